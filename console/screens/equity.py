"""Equity: the curve with the drawdown limit's line, and the same in figures."""

import time
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from console import curve as curves
from console import format as fmt
from console.screens.base import Answer, ConsoleScreen
from console.state import Line, Piece, View
from console.widgets.curve_plot import CurvePlot
from console.widgets.ink import Ink

if TYPE_CHECKING:
    from engine.control.messages import EquityCurve

LONGEST_REFRESH_SECONDS = 10.0


class EquityScreen(ConsoleScreen):
    """Asks for a new curve when it can have changed by a column, at most once a second."""

    name_here = "equity"

    def __init__(self) -> None:
        super().__init__()
        self._asked_at = float("-inf")
        self._asked_width = 0
        self._problem = ""

    def body(self) -> ComposeResult:
        """Figures and curve."""
        yield Ink(id="figures")
        yield CurvePlot(id="curve")

    def main(self) -> CurvePlot:
        """The curve; it takes no keys."""
        return self.query_one(CurvePlot)

    def paint_body(self, view: View) -> None:
        """Show the figures, and ask for the curve when it is due."""
        plot = self.main()
        self.query_one("#figures", Ink).show(figure_lines(view, plot.curve, self._problem))
        width = max(20, self.app.size.width)
        resolution = plot.curve.resolution_seconds if plot.curve else 0
        due = min(max(resolution, self.console.terminal.curve_seconds), LONGEST_REFRESH_SECONDS)
        now = time.monotonic()
        if now - self._asked_at >= due or width != self._asked_width:
            self._asked_at, self._asked_width = now, width
            self.console.ask(self, "equity", lambda client: client.equity(min(width, 500)))

    def on_answer(self, message: Answer) -> None:
        """The curve has come, or the reason why not."""
        self._problem = message.problem
        if not message.problem:
            from engine.control.messages import EquityCurve

            if isinstance(message.value, EquityCurve):
                snapshot = self.console.view().snapshot
                digits = snapshot.account.currency_digits if snapshot and snapshot.account else 2
                self.main().show(message.value, digits)


def figure_lines(view: View, curve: "EquityCurve | None", problem: str) -> list[Line]:
    """Last, peak, drawdown, deepest in view, limit: in words, since a curve alone cannot be read to the cent."""
    snapshot = view.snapshot
    if snapshot is None or snapshot.account is None:
        return [(Piece(" The account has not been read yet.", "dim"),)]
    account, drawdown = snapshot.account, snapshot.drawdown
    digits = account.currency_digits
    line = [Piece(" Last "), Piece(fmt.money(account.equity, digits), "strong")]
    if drawdown is not None:
        line += [
            Piece("  Peak "),
            Piece(fmt.money(drawdown.peak, digits), "strong"),
            Piece("  Drawdown "),
            Piece(fmt.percent(drawdown.percent), "strong"),
            Piece("  Limit line "),
            Piece(fmt.money(drawdown.floor, digits), "strong"),
        ]
    lines: list[Line] = [tuple(line)]
    said = curves.figures(curve) if curve else None
    if curve is not None and said is not None:
        second = [Piece(f" Deepest fall in view {fmt.percent(said.deepest_percent)}")]
        second.append(Piece(f"  one point is {fmt.age(curve.resolution_seconds)}", "dim"))
        if said.gaps:
            second.append(Piece(f"  {said.gaps} gap{'s' if said.gaps > 1 else ''}: no readings then", "warn"))
        lines.append(tuple(second))
    if problem:
        lines.append((Piece(f" The curve is not up to date: {problem}", "alarm"),))
    return lines
