"""The state of each thing that is being closed, on whose behalf, and in which order. Values; nothing is sent here."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from engine.broker.base import Order, Position
from engine.events import EventType

Key = tuple[str, int]
"""("position", identifier) or ("order", ticket)."""


@dataclass(slots=True)
class TicketState:
    """What has been tried on one position or order. Times in monotonic seconds."""

    purpose: str
    symbol: str
    tries: int = 0
    tried_at: float = 0.0
    next_try: float = 0.0
    said: str = ""
    deferred: bool = False
    any_filling: bool = False
    sending: bool = False

    @property
    def words(self) -> str:
        """What was tried and answered; "" before the first try."""
        if not self.tries:
            return ""
        tries = f"{self.tries} {'try' if self.tries == 1 else 'tries'}"
        return f"{tries}, last: {self.said}" if self.said else tries


@dataclass(slots=True)
class Tally:
    """What the broker has said is done."""

    closed: int = 0
    cancelled: int = 0


@dataclass(frozen=True, slots=True)
class Purpose:
    """On whose behalf something is closed.

    `progress` is the event that tells of it; `proceed` is asked before every send; `lots` says how many lots of a
    position are to be closed; `part` that what is left of a position is to stay; `tally` counts what is done.
    """

    id: str
    progress: EventType
    proceed: Callable[[], bool]
    lots: Callable[[Position], float] = lambda position: position.volume
    part: bool = False
    tally: Tally = field(default_factory=Tally)


def in_turn(positions: Sequence[Position], *, fifo: bool) -> list[Position]:
    """Worst loss first. Where the oldest of a symbol must go first, the oldest takes the place of the worst."""
    worst = sorted(positions, key=lambda item: item.profit + item.swap)
    if not fifo:
        return worst
    by_age: dict[str, list[Position]] = {}
    for item in sorted(positions, key=lambda item: (item.time_msc, item.ticket), reverse=True):
        by_age.setdefault(item.symbol, []).append(item)
    return [by_age[item.symbol].pop() for item in worst]


def oldest_of_each(positions: Iterable[Position]) -> dict[str, Position]:
    """The oldest position of each symbol: where the oldest must go first, the others of it wait for it."""
    youngest_first = sorted(positions, key=lambda item: (item.time_msc, item.ticket), reverse=True)
    return {item.symbol: item for item in youngest_first}


def name_of(item: Order | Position) -> str:
    """What a thing is called in reports."""
    if isinstance(item, Order):
        return f"order {item.ticket} {item.symbol}"
    return f"position {item.ticket} {item.symbol} {item.side} {item.volume}"
