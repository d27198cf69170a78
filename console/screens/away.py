"""While you were away: what mattered since this operator left, or since this console lost its link."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from console import format as fmt
from console.away import Away
from console.commands import BY_NAME, Context
from console.describe import event_summary, event_tone
from console.link import Told
from console.screens.base import ConsoleScreen
from console.screens.dialog import WIDTH
from console.screens.page import Page
from console.state import Line, Piece, View
from console.text import plain

if TYPE_CHECKING:
    from console.app import Console


def away_title(away: Away, view: View) -> str:
    """Since when."""
    now = view.snapshot.time if view.snapshot else away.since.at
    gone = fmt.age(max(0.0, (now - away.since.at).total_seconds()))
    return f"WHILE YOU WERE AWAY (since {fmt.stamp(away.since.at)} UTC, {gone})"


def away_lines(away: Away) -> list[Line]:
    """Counts, and the last events of each kind."""
    lines: list[Line] = []
    if away.unread:
        lines.append((Piece(f"{away.unread} earlier events were not looked at: see Events.", "warn"),))
    for group in away.groups:
        lines.append((Piece(f"{group.title}: {group.count}", "strong"),))
        if group.count > len(group.last):
            lines.append((Piece(f"  ... {group.count - len(group.last)} more before these", "dim"),))
        for event in group.last:
            said = f"  {fmt.clock(event.timestamp)} {plain(event.event_type, 24)}  {event_summary(event)}"
            lines.append((Piece(plain(said, WIDTH), event_tone(event.event_type)),))
    return lines


class AwayScreen(Page[str]):
    """Returns "events" to look there, "flatten" to ask for a flatten, "" to close."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "leave('')", "Close", show=False),
        Binding("4,e", "leave('events')", "Events", show=False),
        # The kill key works wherever the operator happens to be.
        Binding("F", "leave('flatten')", "Flatten", show=False),
    ]

    def __init__(self, away: Away) -> None:
        super().__init__()
        self._away = away

    def title_lines(self, context: Context) -> Sequence[Line]:
        """Since when, and the keys."""
        keys = "esc closes, 4 opens Events there, F flattens"
        return [(Piece(away_title(self._away, context.view), "strong"),), (Piece(keys, "dim"),)]

    def body(self, context: Context) -> Sequence[Line]:
        """What mattered."""
        return away_lines(self._away)

    def action_leave(self, where: str) -> None:
        """Back to the screen below, or on."""
        self.dismiss(where)


def show(app: "Console", away: Away) -> None:
    """Show it, unless the operator is in the middle of a dialog: then only say that there is something."""
    if not isinstance(app.screen, ConsoleScreen):
        count = sum(group.count for group in away.groups)
        app.tell(Told(False, f"{count} events that matter since {fmt.stamp(away.since.at)} UTC: see Events"), "Away")
        return

    async def go_on() -> None:
        where = await app.push_screen_wait(AwayScreen(away))
        if where == "events":
            await _open_events(app, away.first)
        elif where == "flatten":
            app.perform(BY_NAME["flatten"])

    app.run_worker(go_on(), name="while you were away", exit_on_error=False)


async def _open_events(app: "Console", seq: int) -> None:
    from console.screens.events import EventsScreen

    await app.switch_mode("events")
    app.paint()
    if isinstance(app.screen, EventsScreen):
        app.screen.main().go_to(seq)
