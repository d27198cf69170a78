"""What happened while an operator was away: the events that matter, counted and the last of each kind told.

In: a client and where the operator left off. Out: an Away. It reads a bounded number of pages, the newest, and says how
many events it did not look at. Touches no widget.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from engine.control.messages import EventsPage, EventView

PAGE = 1000
MOST_PAGES = 20
TOLD = 3
"""Events told of each kind, the last ones."""

KINDS: dict[str, frozenset[str]] = {
    "Flattens": frozenset({"flatten_started", "flatten_finished", "flatten_deferred", "flatten_cancelled"}),
    "Guards": frozenset({"guard_tripped", "guard_block", "guard_locked", "guard_error"}),
    "Alarms": frozenset(
        {
            "reading_blind",
            "stop_missing",
            "deal_unexplained",
            "funds_unexplained",
            "broker_clock_changed",
            "gateway_lost",
            "loop_error",
        }
    ),
    "Trades of unknown outcome": frozenset({"trade_unknown", "trade_presumed_absent"}),
    "Trades failed": frozenset({"trade_failed", "signal_blocked"}),
    "Trades executed": frozenset({"trade_executed"}),
    "Positions closed": frozenset({"position_closed", "closing_finished", "closing_deferred", "closing_cancelled"}),
    "Mode changes": frozenset({"mode_changed", "peak_reset"}),
}
"""What matters, the worst first. What is not named here is not told."""


@dataclass(frozen=True, slots=True)
class Since:
    """Where an operator left off: the newest event then, and the time."""

    seq: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Group:
    """The events of one kind: how many, and the last of them, oldest first."""

    title: str
    count: int
    last: "tuple[EventView, ...]"


@dataclass(frozen=True, slots=True)
class Away:
    """What happened since. `unread` events, the earliest, were not looked at; `first` is the first that matters."""

    since: Since
    groups: tuple[Group, ...]
    unread: int
    first: int

    @property
    def matters(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.groups)


class _Pages(Protocol):
    async def events(self, after: int = 0, limit: int = 100) -> "EventsPage": ...


async def look_back(client: _Pages, since: Since) -> Away:
    """Read what happened since, at most the newest 20,000 events. Raises what the client raises."""
    newest = (await client.events(since.seq, 1)).last_seq
    after = max(since.seq, newest - PAGE * MOST_PAGES)
    unread = after - since.seq
    found: list[EventView] = []
    while after < newest:
        page = await client.events(after, PAGE)
        if not page.events:
            break
        found += [event for event in page.events if any(event.event_type in kinds for kinds in KINDS.values())]
        after = page.events[-1].seq
    return Away(since, _grouped(found), unread, min((event.seq for event in found), default=newest))


def _grouped(found: "Sequence[EventView]") -> tuple[Group, ...]:
    groups = []
    for title, kinds in KINDS.items():
        of_kind = [event for event in found if event.event_type in kinds]
        if of_kind:
            groups.append(Group(title, len(of_kind), tuple(of_kind[-TOLD:])))
    return tuple(groups)
