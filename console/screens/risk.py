"""Risk: every guard with its floor, how far it is, whether it is locked, and how old its last word is."""

from textual.app import ComposeResult

from console.risk_rows import guard_detail, guard_rows, risk_lines
from console.screens.base import ConsoleScreen
from console.state import Line, Piece, Row, View
from console.widgets.ink import Ink
from console.widgets.keyed_table import Column, KeyedTable

RISK_COLUMNS = (
    Column("Guard"),
    Column("Says"),
    Column("Used"),
    Column("%", right=True),
    Column("Left", right=True),
    Column("Floor", right=True, drop=1),
    Column("Value", right=True, drop=3),
    Column("Limit", right=True, drop=3),
    Column("Asked", right=True, drop=2),
    Column("Lock lifts UTC", drop=4),
    Column("Action", drop=5),
)


class RiskScreen(ConsoleScreen):
    """What an operator must know, the guards, and what the selected one found."""

    name_here = "risk"

    def body(self) -> ComposeResult:
        """Lines, table, detail."""
        yield Ink(id="risk-lines")
        yield Ink(id="empty")
        yield KeyedTable(RISK_COLUMNS, id="rows")
        yield Ink(id="risk-detail")

    def main(self) -> KeyedTable:
        """The table."""
        return self.query_one(KeyedTable)

    def selected(self) -> Row | None:
        """The guard under the cursor."""
        return self.main().selected

    def settled(self) -> bool:
        """False right after another guard slid under the cursor."""
        return self.main().settled

    def paint_body(self, view: View) -> None:
        """Show the guards."""
        width = self.app.size.width
        rows = guard_rows(view, self.filter_text)
        self.main().show(rows)
        self.query_one("#empty", Ink).show([] if rows else self._empty(view))
        self.query_one("#risk-lines", Ink).show(risk_lines(view, width))
        row = self.main().selected
        self.query_one("#risk-detail", Ink).show(guard_detail(view, row.subject if row else None, width))

    def on_keyed_table_selected(self, message: KeyedTable.Selected) -> None:
        """Show the detail of the guard that is now under the cursor."""
        self.paint_body(self.console.view())

    def _empty(self, view: View) -> list[Line]:
        if view.snapshot is None:
            return [(Piece(" Waiting for the engine.", "dim"),)]
        if view.snapshot.risk.guards:
            return [(Piece(" No guard matches the filter. Press esc to see all.", "dim"),)]
        return [(Piece(" No guard has judged a reading yet.", "warn"),)]
