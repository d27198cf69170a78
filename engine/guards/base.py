"""What every guard is: a pure function of what was read and what it remembers, and how its word is written down.

    Facts (a reading, the time, what is known beside it) + memory  ->  Finding + memory

A guard measures; the board (`board.py`) makes a verdict of what it found: the guard's action, its lock, and how often
the breach was seen. Nothing here knows a broker, a journal or a clock.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

from engine.broker.base import Order, Side, SymbolSpec, Tick
from engine.readings import AccountReading


class Verdict(StrEnum):
    """A guard's word on a reading, from harmless to final."""

    CLEAR = "CLEAR"
    WARN = "WARN"
    BLOCK = "BLOCK"
    """No new risk."""
    FLATTEN = "FLATTEN"
    """Close everything."""

    @property
    def rank(self) -> int:
        """0 for CLEAR to 3 for FLATTEN: the greater one prevails."""
        return list(Verdict).index(self)


class Action(StrEnum):
    """What a breach leads to."""

    WARN = "warn"
    BLOCK = "block"
    """No new risk while it lasts, or until its lock lifts."""
    FLATTEN = "flatten"
    """Close everything and halt."""
    LOCK = "flatten and lock"
    """Close everything, halt, and keep entries blocked after a reset until the lock lifts."""

    @property
    def verdict(self) -> Verdict:
        """The verdict of a breach."""
        return {Action.WARN: Verdict.WARN, Action.BLOCK: Verdict.BLOCK}.get(self, Verdict.FLATTEN)


Unit = Literal["money", "percent", "lots", "count", "points", "time"]


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment. `utc` is the market's time (a replay's own), `broker` the broker server's wall clock, without zone.

    `monotonic` counts real seconds, for ages and confirmations only.
    """

    utc: datetime
    broker: datetime
    monotonic: float


@dataclass(frozen=True, slots=True)
class Entry:
    """An opening that is about to be sent, or was sent and is not in a reading yet. Volume in lots, `sl` 0.0: none."""

    magic: int
    symbol: str
    side: Side
    volume: float
    price: float
    sl: float


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The last VALID reading before this one, of an earlier run if need be. Money in account currency, time UTC.

    Both without what no deal explained then: it may be a deposit, and a day must not begin with it.
    """

    utc: datetime
    balance: float
    equity: float


BookedKind = Literal["result", "cash flow", "credit"]


@dataclass(frozen=True, slots=True)
class Booked:
    """A deal that changed the balance or the credit: by how much, and when (market time, UTC).

    `kind`: a trade's result, money that came or went without a trade, or a credit, which is no part of the balance.
    """

    at: datetime
    amount: float
    kind: BookedKind = "result"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a guard looks at. The reading is VALID: the board asks no guard about another one.

    `orders` and the reading's positions are None when they could not be read. `sent` are the openings sent that
    neither positions nor orders show yet. `before` and what was `booked` since then are for a day that began between
    two readings, perhaps while nothing ran: the balance at its start is the one now without what was booked later.
    """

    moment: Moment
    reading: AccountReading
    before: Neighbour | None = None
    booked: tuple[Booked, ...] = ()
    specs: Mapping[str, SymbolSpec] = field(default_factory=dict)
    quotes: Mapping[str, Tick] = field(default_factory=dict)
    orders: tuple[Order, ...] | None = ()
    sent: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """An opening was sent to the broker: each try counts."""

    entry: Entry
    at: datetime
    """Market time, UTC."""


@dataclass(frozen=True, slots=True)
class TradeOpened:
    """Deals opened a position, or added to one. One for each order, whoever sent it."""

    order: int
    symbol: str
    at: datetime


@dataclass(frozen=True, slots=True)
class TradeClosed:
    """A position is wholly closed. `result` is all its deals' profit, commission, swap and fee, account currency."""

    position: int
    symbol: str
    result: float
    at: datetime


News = Sent | TradeOpened | TradeClosed


@dataclass(frozen=True, slots=True)
class Bases:
    """What an operator says a limit is measured from, in account currency; None leaves what is known."""

    initial: float | None = None
    """The balance that the account began with, by the firm's books."""
    highest_equity: float | None = None
    highest_close: float | None = None
    """The highest balance at the end of a day."""
    day_start_balance: float | None = None
    day_start_equity: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one guard measured: `value` against `limit`, in `unit`.

    `used` is the share of the limit that is used up: 0 none, 1 at the limit. `floor` is the equity at which it trips
    and `headroom` the money left before that, both None where equity does not decide. `borne_out`: whether the
    positions say so too; a breach that they do not bear out must be seen again before anything is closed.
    `lifts_at`: when the breach ends by itself (UTC), where time alone decides. `closes`: what is open is to be closed
    without halting the account, as before a weekend.
    """

    value: float
    limit: float
    unit: Unit
    used: float
    said: str
    breached: bool
    warned: bool = False
    floor: float | None = None
    headroom: float | None = None
    borne_out: bool = True
    lifts_at: datetime | None = None
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Nothing:
    """The memory of a guard that needs none."""


Memory = TypeVar("Memory")


class Guard(ABC, Generic[Memory]):
    """One rule. `memory` is a frozen dataclass of JSON values: what a restart must find again.

    `locks` says how long a breach keeps entries blocked after it is over: not at all (None), until the next reset
    of its day, until an operator lifts it, or for some seconds.
    """

    name: str
    """Unique among an account's guards, in words for people ("daily loss")."""
    action: Action
    locks: Literal["reset", "operator"] | float | None = None

    warns_at: float | None = None
    """The share of its limit from which it warns; None where it does not."""

    @abstractmethod
    def fresh(self, facts: Facts) -> Memory:
        """The memory with which it begins on an account that it has never seen."""

    @abstractmethod
    def load(self, stored: Mapping[str, Any]) -> Memory:
        """The memory from its stored form. Raises ValueError when it is not one."""

    @abstractmethod
    def judge(self, memory: Memory, facts: Facts) -> tuple[Memory, Finding]:
        """Measure one VALID reading."""

    @abstractmethod
    def drill(self) -> "Drill[Memory]":
        """Readings made up so that the first is harmless and the last breaks this guard: asked at every start."""

    def refuses(self, memory: Memory, facts: Facts, entry: Entry) -> str | None:
        """Why this opening would break the rule; None when it would not, or when openings do not matter to it."""
        return None

    def learn(self, memory: Memory, news: News) -> Memory:
        """Take in what happened beside the readings."""
        return memory

    def after_cash_flow(self, memory: Memory, amount: float, equity: float) -> Memory:
        """Money came (amount > 0) or went without a trade; `equity` is the one after it. Account currency."""
        return memory

    def with_bases(self, memory: Memory, bases: Bases) -> Memory:
        """Take over what the operator says it is measured from."""
        return memory

    def began_again(self, memory: Memory, facts: Facts) -> Memory:
        """Begin again from the present reading, where a reset may do that. A firm's limit does not begin again."""
        return memory

    def unlocked(self, memory: Memory) -> Memory:
        """Go on after an operator has lifted its lock: what led to the lock is forgotten where it would lock again."""
        return memory

    @property
    def lasts(self) -> bool:
        """Whether its memory is kept while a profile leaves it out: a firm measures on."""
        return False

    @property
    def by_brokers_clock(self) -> bool:
        """Whether the broker's clock decides: while that is not known, nothing may be opened."""
        return False

    def next_reset(self, moment: Moment) -> datetime | None:
        """When its day ends, UTC; None when it has no day."""
        return None


@dataclass(frozen=True, slots=True)
class Drill(Generic[Memory]):
    """A rehearsal of one guard: it must find nothing in `harmless`, and break in `breach`.

    `news` comes before the breach; `entry`, if given, is what must be refused instead of a breach being found.
    """

    memory: Memory
    harmless: Facts
    breach: Facts
    news: tuple[News, ...] = ()
    entry: Entry | None = None
