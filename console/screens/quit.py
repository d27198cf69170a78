"""Quitting: leave the engine running, stop it, or flatten and stop it. Never silent while a flatten is not FLAT."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from console.command import WITHOUT_ENGINE
from console.screens.dialog import WIDTH, Dialog
from console.screens.flatten import REASON, FlattenProgress
from console.state import Line, Phase, Piece, View
from console.widgets.choices import Choice

if TYPE_CHECKING:
    from console.app import Console

STOPPED = "stopped by the operator on quitting the console"


class QuitDialog(Dialog):
    """What becomes of the engine. The default is Cancel."""

    title_text = "QUIT THE CONSOLE?"
    choices: ClassVar[Sequence[Choice]] = (
        Choice("leave", "Quit, leave the engine running: guards and approved signals go on"),
        Choice("stop", "Stop the engine and quit: NO guard watches the open positions", danger=True),
        Choice("flatten", "Flatten, stop the engine and quit: closes the whole account", danger=True),
        Choice("cancel", "Cancel: stay here"),
    )

    def offered(self) -> Sequence[Choice]:
        """Who only looks can only leave."""
        if self.console.view().looks_only:
            return [choice for choice in self.choices if not choice.danger]
        return self.choices

    def lines(self, view: View) -> Sequence[Line]:
        """What is at stake."""
        snapshot = view.snapshot
        if snapshot is None or view.phase is not Phase.CONNECTED:
            return (
                (Piece("No engine is connected: it can be neither stopped nor flattened from here.", "alarm"),),
                (Piece(f"To flatten {WITHOUT_ENGINE}", "alarm"),),
            )
        held = len(snapshot.positions)
        said = f"The engine is {snapshot.engine.mode}; {held} position{'' if held == 1 else 's'} open."
        lines: list[Line] = [(Piece(row),) for row in textwrap.wrap(said, WIDTH)]
        if snapshot.flatten is not None and snapshot.flatten.state in ("RUNNING", "DEFERRED"):
            lines.append((Piece(f"A flatten is {snapshot.flatten.state}: the account is not flat yet.", "alarm"),))
        return lines


async def ask_and_quit(app: "Console") -> None:
    """Ask, do what was chosen, and leave only when it has been done."""
    if any(isinstance(screen, (QuitDialog, FlattenProgress)) for screen in app.screen_stack):
        return
    choice = await app.push_screen_wait(QuitDialog())
    if choice == "flatten":
        choice = await _flatten(app)
    if choice == "stop" and not await _stop(app):
        return
    if choice != "cancel":
        app.exit(0)


async def _stop(app: "Console") -> bool:
    from engine.control.messages import Stop

    return (await app.send(Stop(), STOPPED)).accepted is True


async def _flatten(app: "Console") -> str:
    """Flatten and wait for its statement. Returns what is to be done next: stop, leave or cancel."""
    from engine.control.messages import Flatten

    snapshot = app.view().snapshot
    before = snapshot.flatten if snapshot else None
    settled_before = before.id if before is not None and before.state in ("FLAT", "CANCELLED") else None
    if (await app.send(Flatten(), REASON)).accepted is not True:
        return "cancel"
    outcome = await app.push_screen_wait(FlattenProgress(settled_before))
    return "stop" if outcome == "flat" else outcome
