"""The event log: a list of any length that holds only the windows it shows.

In: how many events there are (or which ones match a filter) and the events it asked for. Out: `Wanted`, the ranges of
sequence numbers it has to draw and does not hold. It follows the newest event until the operator scrolls up.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console import format as fmt
from console.describe import event_summary, event_tone
from console.state import Piece
from console.widgets.ink import fitted, segments

if TYPE_CHECKING:
    from textual import events

    from engine.control.messages import EventView

WINDOW = 100
"""Events asked for at once. Matches that lie within one window of each other are fetched together."""
HELD = 2_000
"""Events kept; the ones not looked at for longest are dropped."""


class EventLog(ScrollView, can_focus=True):
    """One line an event, oldest on top."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "first", "First", show=False),
        Binding("end", "follow", "Newest", show=False),
    ]

    class Wanted(Message):
        """Events to fetch: (after, limit) pairs."""

        def __init__(self, windows: tuple[tuple[int, int], ...]) -> None:
            super().__init__()
            self.windows = windows

    class Moved(Message):
        """Another event is selected, or its content has come, or the log follows or stopped following."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.following = True
        self.below = 0
        """Events that came since the log stopped following."""
        self._last_seq = 0
        self._matches: Sequence[int] | None = None
        self._cursor = -1
        self._events: OrderedDict[int, EventView] = OrderedDict()
        self._asked: tuple[tuple[int, int], ...] = ()

    @property
    def count(self) -> int:
        """Lines there are."""
        return self._last_seq if self._matches is None else len(self._matches)

    @property
    def last_seq(self) -> int:
        """The newest event known of."""
        return self._last_seq

    @property
    def selected(self) -> "EventView | None":
        """The event under the cursor, once it has come."""
        return self._events.get(self._seq(self._cursor)) if 0 <= self._cursor < self.count else None

    def show(self, last_seq: int) -> None:
        """There are events up to this one. A lower number than before is another journal."""
        if last_seq == self._last_seq:
            return
        if last_seq < self._last_seq:
            self._events.clear()
        grown, self._last_seq = last_seq - self._last_seq, last_seq
        if self._matches is None:
            self._resized(grown)

    def filter(self, matches: Sequence[int] | None) -> None:
        """Show only these events, by sequence number; None shows all."""
        before = self.count
        selected = self._seq(self._cursor) if 0 <= self._cursor < before else 0
        if (matches is None) != (self._matches is None):
            self.following = True
        self._matches = matches
        self._cursor = min(
            bisect_left(range(1, self.count + 1) if matches is None else matches, selected), self.count - 1
        )
        self._resized(self.count - before)

    def fill(self, events: "Sequence[EventView]") -> None:
        """Events that were asked for have come."""
        self._asked = ()
        for event in events:
            self._events[event.seq] = event
            self._events.move_to_end(event.seq)
        while len(self._events) > HELD:
            self._events.popitem(last=False)
        self.refresh()
        self.post_message(self.Moved())
        self.want()

    def want(self, *, again: bool = False) -> None:
        """Ask for what is drawn here and not held. `again`: what was asked before will not come."""
        # While following, the scroll to the end may still be waiting for the layout.
        height = self.size.height
        top = max(0, self.count - height) if self.following else self.scroll_offset.y
        lines = range(top, min(top + height, self.count))
        missing = [seq for line in lines if (seq := self._seq(line)) not in self._events]
        windows: list[tuple[int, int]] = []
        for seq in missing:
            after, limit = windows[-1] if windows else (seq, 0)
            if windows and seq - after <= WINDOW:
                windows[-1] = (after, max(limit, seq - after))
            else:
                windows.append((seq - 1, 1))
        asked = tuple(windows)
        if asked and (again or asked != self._asked):
            self._asked = asked
            self.post_message(self.Wanted(asked))

    def _seq(self, line: int) -> int:
        return line + 1 if self._matches is None else self._matches[line]

    def _resized(self, grown: int) -> None:
        self.virtual_size = Size(0, self.count)
        if self.following:
            self._cursor = self.count - 1
            self.below = 0
            self.scroll_to(y=max(0, self.count - self.size.height), animate=False)
        else:
            self._cursor = min(self._cursor, self.count - 1)
            self.below += max(0, grown)
        self.refresh()
        self.post_message(self.Moved())
        self.want()

    def render_line(self, y: int) -> Strip:
        """One event: time, type, what happened."""
        line, width = y + self.scroll_offset.y, self.size.width
        if line >= self.count:
            return Strip.blank(width, self.rich_style)
        here = line == self._cursor
        base = self.get_component_rich_style("log--cursor") if here else self.rich_style
        event = self._events.get(self._seq(line))
        mark = "> " if here else "  "
        if event is None:
            return Strip([Segment(f"{mark}{self._seq(line)} ...", base)]).adjust_cell_length(width, base)
        tone = event_tone(event.event_type)
        moment = fmt.stamp(event.timestamp) if width >= 100 else fmt.clock(event.timestamp)
        head = f"{mark}{moment} {fitted(event.event_type, 17)} "
        room = max(1, width - len(head))
        pieces = (
            Piece(head, tone),
            Piece(fitted(event_summary(event), room), tone if tone in ("alarm", "dim") else ""),
        )
        drawn = [Segment(piece.text, base) for piece in pieces] if here else segments(self, pieces, base)
        return Strip(drawn).adjust_cell_length(width, base).simplify()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Other lines are shown now."""
        super().watch_scroll_y(old_value, new_value)
        self.want()

    def on_resize(self) -> None:
        """More lines may be shown now."""
        if self.following:
            self.scroll_to(y=max(0, self.count - self.size.height), animate=False)
        self.want()

    def action_move(self, lines: int) -> None:
        """Move the cursor; on the newest event the log follows again."""
        self._put_cursor(self._cursor + lines)

    def action_page(self, pages: int) -> None:
        """Move the cursor by a screenful."""
        self._put_cursor(self._cursor + pages * max(1, self.size.height - 1))

    def action_first(self) -> None:
        """Go to the oldest event."""
        self._put_cursor(0)

    def action_follow(self) -> None:
        """Go to the newest event and follow."""
        self._put_cursor(self.count - 1)

    def on_click(self, event: "events.Click") -> None:
        """Put the cursor on the event that was clicked."""
        if event.y + self.scroll_offset.y < self.count:
            self._put_cursor(event.y + self.scroll_offset.y)

    def on_mouse_scroll_up(self) -> None:
        """Scrolling up stops following; the cursor stays."""
        self._follow(False)

    def go_to(self, seq: int) -> None:
        """Put the cursor on the first event from this one on that is shown."""
        shown = range(1, self.count + 1) if self._matches is None else self._matches
        self._put_cursor(bisect_left(shown, seq))

    def _put_cursor(self, line: int) -> None:
        if not self.count:
            return
        self._cursor = min(max(line, 0), self.count - 1)
        self._follow(self._cursor == self.count - 1)
        top, room = self.scroll_offset.y, max(1, self.size.height)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False)
        elif self._cursor >= top + room:
            self.scroll_to(y=self._cursor - room + 1, animate=False)
        self.refresh()
        self.want()
        self.post_message(self.Moved())

    def _follow(self, following: bool) -> None:
        self.following = following
        if following:
            self.below = 0
