"""Approvals: the signals that wait for a decision, and what a decision would do."""

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical

from console.describe import WIDE, signal_detail
from console.screens.base import ConsoleScreen
from console.state import Line, Phase, Piece, Row, View, approval_rows
from console.widgets.ink import Ink
from console.widgets.keyed_table import Column, KeyedTable

if TYPE_CHECKING:
    from engine.control.messages import SignalView

APPROVAL_COLUMNS = (
    Column("Symbol"),
    Column("Side"),
    Column("Vol", right=True),
    Column("Entry", right=True),
    Column("Stop", right=True),
    Column("Target", right=True),
    Column("R:R", right=True),
    Column("Risk", right=True),
    Column("Drift", right=True),
    Column("Left", right=True),
    Column("State", drop=1),
    Column("Source", drop=2),
    Column("Id", drop=3),
)
_DETAIL_WIDTH = 46
_DETAIL_LINES = 6


class ApprovalsScreen(ConsoleScreen):
    """A table of signals with the selected one explained beside it, or below it on a narrow terminal."""

    name_here = "approvals"

    def body(self) -> ComposeResult:
        """Table, empty state, detail."""
        with Vertical(id="list"):
            yield Ink(id="empty")
            yield KeyedTable(APPROVAL_COLUMNS, id="rows")
        yield Ink(id="detail")

    def main(self) -> KeyedTable:
        """The table."""
        return self.query_one(KeyedTable)

    def selected(self) -> Row | None:
        """The signal under the cursor, in the version shown."""
        return self.main().selected

    def settled(self) -> bool:
        """False right after another signal slid under the cursor."""
        return self.main().settled

    def paint_body(self, view: View) -> None:
        """Show the signals."""
        rows = approval_rows(view, self.filter_text)
        self.main().show(rows)
        self.query_one("#empty", Ink).show([] if rows else self._empty(view))
        self.query_one("#detail", Ink).show(self._detail(view))

    def on_keyed_table_selected(self) -> None:
        """Explain another signal at once."""
        self.console.paint()

    def _empty(self, view: View) -> list[Line]:
        if view.snapshot is None:
            said = "Waiting for the engine." if view.phase is not Phase.CONNECTED else "Waiting for data."
            return [(Piece(f" {said} Press ? for the keys, q to quit.", "dim"),)]
        if self.filter_text:
            return [(Piece(" No signal matches the filter. Press esc to see all.", "dim"),)]
        return [
            (Piece(" No signal waits for a decision.", "strong"),),
            (Piece(" New ones appear here. Press 2 for positions, 4 for events, ? for all keys.", "dim"),),
        ]

    def _detail(self, view: View) -> tuple[Line, ...]:
        row, snapshot = self.main().selected, view.snapshot
        signal = self._signal(row, view)
        if signal is None or snapshot is None:
            return ()
        wide = self.app.size.width >= WIDE
        lines = signal_detail(signal, snapshot, _DETAIL_WIDTH - 2 if wide else self.app.size.width - 2, view.age)
        padded = tuple((Piece(" "), *line) for line in lines)
        return padded if wide else padded[:_DETAIL_LINES]

    def _signal(self, row: Row | None, view: View) -> "SignalView | None":
        signals = view.snapshot.signals if view.snapshot and row else []
        return next((signal for signal in signals if row and signal.id == row.subject), None)
