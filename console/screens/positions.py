"""Positions: what is open on the account, whoever opened it, with its live profit."""

from textual.app import ComposeResult

from console.screens.base import ConsoleScreen
from console.state import Line, Piece, Row, View, position_rows, position_total
from console.widgets.ink import Ink
from console.widgets.keyed_table import Column, KeyedTable

POSITION_COLUMNS = (
    Column("Ticket", right=True),
    Column("Symbol"),
    Column("Side"),
    Column("Vol", right=True),
    Column("Open", right=True),
    Column("Now", right=True),
    Column("Profit", right=True),
    Column("Stop", right=True),
    Column("Target", right=True),
    Column("Owner"),
    Column("Swap", right=True, drop=2),
    Column("Opened UTC", drop=3),
    Column("Note", drop=1),
)


class PositionsScreen(ConsoleScreen):
    """A table and its total."""

    name_here = "positions"

    def body(self) -> ComposeResult:
        """Table, empty state, total."""
        yield Ink(id="empty")
        yield KeyedTable(POSITION_COLUMNS, id="rows")
        yield Ink(id="total")

    def main(self) -> KeyedTable:
        """The table."""
        return self.query_one(KeyedTable)

    def selected(self) -> Row | None:
        """The position under the cursor."""
        return self.main().selected

    def settled(self) -> bool:
        """False right after another position slid under the cursor."""
        return self.main().settled

    def paint_body(self, view: View) -> None:
        """Show the positions."""
        rows = position_rows(view, self.filter_text)
        self.main().show(rows)
        self.query_one("#empty", Ink).show([] if rows else self._empty(view))
        total = position_total(view)
        self.query_one("#total", Ink).show([total] if total else [])

    def _empty(self, view: View) -> list[Line]:
        if view.snapshot is None:
            return [(Piece(" Waiting for the engine.", "dim"),)]
        if view.snapshot.positions:
            return [(Piece(" No position matches the filter. Press esc to see all.", "dim"),)]
        return [
            (Piece(" No position is open.", "strong"),),
            (Piece(" Press 1 to see the signals that wait, 3 for the equity curve.", "dim"),),
        ]
