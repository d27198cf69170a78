"""Events: everything that happened, newest last, fetched window by window."""

import time
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from console.describe import event_detail
from console.screens.base import Answer, ConsoleScreen
from console.state import Line, Phase, Piece, View
from console.widgets.event_log import EventLog
from console.widgets.ink import Ink

if TYPE_CHECKING:
    from console.link import ConsoleClient
    from engine.control.messages import EventView

MATCH_AGAIN_SECONDS = 2.0
"""How often a filter is asked again while events come: the engine searches its whole journal for it."""
_DETAIL_LINES = 4


class EventsScreen(ConsoleScreen):
    """The log, the selected event in full, and how many came since it was scrolled up."""

    name_here = "events"

    def __init__(self) -> None:
        super().__init__()
        self._problem = ""
        self._matched: tuple[str, int] = ("", 0)
        self._matched_at = float("-inf")

    def body(self) -> ComposeResult:
        """Log and detail."""
        yield Ink(id="empty")
        yield EventLog(id="log")
        yield Ink(id="below")
        yield Ink(id="detail")

    def main(self) -> EventLog:
        """The log."""
        return self.query_one(EventLog)

    def paint_body(self, view: View) -> None:
        """Show what is new."""
        log = self.main()
        if view.snapshot is not None:
            log.show(view.snapshot.seq)
            if self._problem and view.phase is Phase.CONNECTED:
                log.want(again=True)
            if self.filter_text and self._matched != (self.filter_text, log.last_seq):
                self._match_again()
        self.query_one("#empty", Ink).show([] if log.count else self._empty(view))
        self.query_one("#below", Ink).show(self._below())
        event = log.selected
        width = self.app.size.width
        lines = event_detail(event, width - 2)[:_DETAIL_LINES] if event else ()
        self.query_one("#detail", Ink).show([(Piece(" "), *line) for line in lines])

    def on_event_log_moved(self) -> None:
        """Explain another event at once."""
        self.console.paint()

    def on_event_log_wanted(self, message: EventLog.Wanted) -> None:
        """Fetch what the log shows."""

        async def fetch(client: "ConsoleClient") -> "list[EventView]":
            pages = [await client.events(after, limit) for after, limit in message.windows]
            return [event for page in pages for event in page.events]

        self.console.ask(self, "events", fetch)

    def on_answer(self, message: Answer) -> None:
        """Events or matches have come, or the reason why not."""
        from engine.control.messages import EventMatches

        self._problem = message.problem
        if isinstance(message.value, EventMatches):
            if self.filter_text:
                self.main().filter(message.value.seqs)
        elif isinstance(message.value, list):
            self.main().fill(message.value)

    def filter_changed(self) -> None:
        """Ask which events match."""
        if self.filter_text:
            self._matched_at = float("-inf")
            self._match_again()
        else:
            self._matched = ("", 0)
            self.main().filter(None)

    def _match_again(self) -> None:
        now, text = time.monotonic(), self.filter_text
        if now - self._matched_at >= MATCH_AGAIN_SECONDS:
            self._matched_at, self._matched = now, (text, self.main().last_seq)
            self.console.ask(self, "matches", lambda client: client.matches(text))

    def _below(self) -> list[Line]:
        log = self.main()
        if self._problem:
            return [(Piece(f" Some events could not be fetched: {self._problem}", "alarm"),)]
        if not log.following:
            new = f"{log.below} new below. " if log.below else ""
            return [(Piece(f" {new}Not following; press end for the newest.", "warn"),)]
        return []

    def _empty(self, view: View) -> list[Line]:
        if self.filter_text:
            return [(Piece(" No event matches the filter. Press esc to see all.", "dim"),)]
        waiting = "Nothing has happened yet." if view.snapshot is not None else "Waiting for the engine."
        return [(Piece(f" {waiting} Press 1 for approvals.", "dim"),)]
