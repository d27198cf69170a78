"""A table whose rows have keys: the cursor stays on its row wherever that row moves, and only changed cells are sent.

In: rows, several times a second. Out: the selected row, and whether the operator has had time to see it. A command
is bound to that row's subject and version, never to a position on the screen.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.state import Changes, Row, changes
from console.widgets.ink import fitted, toned

SETTLE_SECONDS = 0.5
"""After a row vanished from under the cursor, its neighbour is not acted upon for this long."""
_MARK, _NO_MARK = "> ", "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Narrow screens leave out columns with the highest `drop` first; 0 is always shown."""

    title: str
    right: bool = False
    drop: int = 0


class KeyedTable(ScrollView, can_focus=True):
    """Rows of Pieces under a header that stays."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--header", "table--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "move(-1000000)", "First", show=False),
        Binding("end", "move(1000000)", "Last", show=False),
    ]

    class Selected(Message):
        """The cursor is on another row, or on none."""

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        id: str | None = None,  # noqa: A002
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._widths = [cell_len(column.title) for column in columns]
        self._shown: tuple[int, ...] = tuple(range(len(columns)))
        self._gap = 1
        self._clock = clock
        self._settled_at = 0.0
        self.rows: list[Row] = []
        self.cursor_key: str | None = None

    @property
    def cursor(self) -> int:
        """The position of the cursor's row, -1 without one."""
        return next((index for index, row in enumerate(self.rows) if row.key == self.cursor_key), -1)

    @property
    def selected(self) -> Row | None:
        """The row under the cursor."""
        index = self.cursor
        return self.rows[index] if index >= 0 else None

    @property
    def settled(self) -> bool:
        """False right after the row under the cursor vanished and another took its place unasked."""
        return self._clock() >= self._settled_at

    def show(self, rows: Sequence[Row]) -> None:
        """Replace the rows; draws what differs."""
        before, position, old_key = self.rows, self.cursor, self.cursor_key
        self.rows = list(rows)
        difference = changes(before, self.rows)
        if difference.rows:
            self._keep_cursor(position)
            self.virtual_size = Size(0, len(self.rows) + 1)
        if self._grow() or difference.rows:
            self.refresh()
        else:
            self._refresh_cells(difference)
        if self.cursor_key != old_key:
            self.post_message(self.Selected())
            self._scroll_to_cursor()

    def _keep_cursor(self, position: int) -> None:
        if self.cursor >= 0:
            return
        if not self.rows:
            self.cursor_key = None
            return
        if position >= 0:
            self._settled_at = self._clock() + SETTLE_SECONDS
        self.cursor_key = self.rows[min(max(position, 0), len(self.rows) - 1)].key

    def _grow(self) -> bool:
        """Fit the columns to their widest cell so far; they never shrink, so that nothing jumps sideways."""
        wider = [
            max([width, *(cell_len(row.cells[index].text) for row in self.rows)])
            for index, width in enumerate(self._widths)
        ]
        grown, self._widths = wider != self._widths, wider
        return self._choose_columns() or grown

    def _choose_columns(self) -> bool:
        shown = list(range(len(self._columns)))
        room = self.size.width - len(_MARK)
        while room > 0 and sum(self._widths[index] + 1 for index in shown) - 1 > room:
            dropped = max(shown, key=lambda index: (self._columns[index].drop, index))
            if not self._columns[dropped].drop:
                break
            shown.remove(dropped)
        spare = room - sum(self._widths[index] for index in shown)
        before = self._shown, self._gap
        self._shown, self._gap = tuple(shown), min(3, max(1, spare // max(1, len(shown))))
        return before != (self._shown, self._gap)

    def _refresh_cells(self, difference: Changes) -> None:
        for row, column in difference.cells:
            y = 1 + row - self.scroll_offset.y
            if column not in self._shown or not 1 <= y < self.size.height:
                continue
            x = len(_MARK) + sum(self._widths[index] + self._gap for index in self._shown if index < column)
            self.refresh(Region(x, y, self._widths[column], 1))

    def on_resize(self) -> None:
        """Another width shows other columns."""
        if self._choose_columns():
            self.refresh()
        self._scroll_to_cursor()

    def render_line(self, y: int) -> Strip:
        """The header, or the row that is scrolled to here."""
        width = self.size.width
        if y == 0:
            style = self.get_component_rich_style("table--header")
            titles = [
                fitted(self._columns[at].title, self._widths[at], right=self._columns[at].right) for at in self._shown
            ]
            return Strip([Segment(_NO_MARK + (" " * self._gap).join(titles), style)]).adjust_cell_length(width, style)
        index = y - 1 + self.scroll_offset.y
        if index >= len(self.rows):
            return Strip.blank(width, self.rich_style)
        row = self.rows[index]
        here = row.key == self.cursor_key
        base = self.get_component_rich_style("table--cursor") if here else self.rich_style
        line = [Segment(_MARK if here else _NO_MARK, base)]
        for at in self._shown:
            text, tone = row.cells[at]
            style = toned(self, base, tone)
            line.append(Segment(fitted(text, self._widths[at], right=self._columns[at].right), _on(style, base, here)))
            line.append(Segment(" " * self._gap, base))
        # Textual sends a changed cell with all that stands left of it on its line: fewer styles, fewer bytes.
        return Strip(line).adjust_cell_length(width, base).simplify()

    def action_move(self, rows: int) -> None:
        """Move the cursor; what the operator moved to, the operator has seen."""
        if self.rows:
            self._put_cursor(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by a screenful."""
        self.action_move(pages * max(1, self.size.height - 2))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on the row that was clicked."""
        index = event.y - 1 + self.scroll_offset.y
        if event.y >= 1 and index < len(self.rows):
            self._put_cursor(index)

    def _put_cursor(self, index: int) -> None:
        before = self.cursor
        index = min(max(index, 0), len(self.rows) - 1)
        self._settled_at = 0.0
        if index == before:
            return
        self.cursor_key = self.rows[index].key
        for at in (before, index):
            self.refresh(Region(0, 1 + at - self.scroll_offset.y, self.size.width, 1))
        self._scroll_to_cursor()
        self.post_message(self.Selected())

    def _scroll_to_cursor(self) -> None:
        top, room, index = self.scroll_offset.y, self.size.height - 1, self.cursor
        if room <= 0 or index < 0:
            return
        if index < top:
            self.scroll_to(y=index, animate=False)
        elif index >= top + room:
            self.scroll_to(y=index - room + 1, animate=False)


def _on(style: Style, base: Style, here: bool) -> Style:
    """Under the cursor the cursor's own colours win, so that a toned cell stays readable there."""
    return style + Style.from_color(base.color, base.bgcolor) if here else style
