"""Alerts: what is open, listed before it is acknowledged. What is raised meanwhile is not among it."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from console import format as fmt
from console.screens.dialog import WIDTH, Dialog
from console.state import Line, Piece, View
from console.text import plain
from console.widgets.choices import Choice

if TYPE_CHECKING:
    from console.app import Console
    from engine.control.messages import AlertView

_ROWS = 12
"""Rows of alerts; with the frame that fits 24."""


class AlertsDialog(Dialog):
    """Lists alerts that were open when it was opened, as many as fit. The default acknowledges nothing."""

    title_text = "OPEN ALERTS"
    choices: ClassVar[Sequence[Choice]] = (
        Choice("cancel", "Back: they stay open, critical ones are sent again"),
        Choice("acknowledge", "Acknowledge all that are listed: nothing more of them is sent"),
    )

    def __init__(self, alerts: "Sequence[AlertView]") -> None:
        super().__init__()
        self._alerts = alerts

    def heading(self) -> str:
        """How many."""
        return f"{len(self._alerts)} OPEN ALERT{'S' if len(self._alerts) > 1 else ''}"

    def lines(self, view: View) -> Sequence[Line]:
        """Each in words, and who has been told."""
        return alert_lines(self._alerts)[0]

    def listed(self) -> "Sequence[AlertView]":
        """Those that are seen."""
        return self._alerts[: alert_lines(self._alerts)[1]]


def alert_lines(alerts: "Sequence[AlertView]") -> tuple[list[Line], int]:
    """The alerts, the worst first, in as many rows as fit, and how many those are; the others are counted."""
    lines: list[Line] = []
    for place, alert in enumerate(alerts):
        times = f" ({alert.count} times)" if alert.count > 1 else ""
        told = ", ".join(plain(name, 32) for name in alert.delivered_to) or "nobody yet"
        failing = f"; FAILING {plain('; '.join(alert.failing), 120)}" if alert.failing else ""
        said = f"{alert.severity.upper()} {fmt.clock(alert.raised_at)} UTC{times}: {plain(alert.text, 200)}"
        rows = [*textwrap.wrap(said, WIDTH)[:3], *textwrap.wrap(f"  {alert.id}, told: {told}{failing}", WIDTH)[:2]]
        if len(lines) + len(rows) > _ROWS:
            more = f"... and {len(alerts) - place} more, which stay open: see quarterdeck alerts"
            return [*lines, (Piece(more, "alarm"),)], place
        tone = "alarm" if alert.severity == "critical" else "warn"
        lines += [(Piece(row, "dim" if row.startswith("  ") else tone),) for row in rows]  # type: ignore[arg-type]
    return lines, len(alerts)


async def ask_and_acknowledge(app: "Console") -> None:
    """List them, then acknowledge those that were listed, and no other."""
    from engine.control.messages import Acknowledge

    snapshot = app.view().snapshot
    if snapshot is None or not snapshot.alerts:
        return
    dialog = AlertsDialog(snapshot.alerts)
    if await app.push_screen_wait(dialog) == "acknowledge":
        await app.send(Acknowledge(ids=[alert.id for alert in dialog.listed()]))
