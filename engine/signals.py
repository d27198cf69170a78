"""A signal and its life.

    PENDING -> APPROVED -> EXECUTING -> WORKING | PARTIAL | EXECUTED | FAILED | UNKNOWN
    PENDING -> REJECTED | EXPIRED        APPROVED -> EXPIRED | BLOCKED
    UNKNOWN -> WORKING | PARTIAL | EXECUTED | FAILED      (by evidence, or by the operator)
    WORKING -> PARTIAL | EXECUTED | FAILED | UNKNOWN      (a limit or stop order at the broker; UNKNOWN: it is gone)
    FAILED, PARTIAL -> PARTIAL | EXECUTED                 (only by deals that the broker shows later)

Every step is one conditional update in the journal (state and version in its WHERE); the step to EXECUTING also asks
for expiry, mode and epoch there. There is no second way in.
"""

import random
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engine.broker.base import Side

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID_LENGTH = 8
_MAGIC_PREFIX = 0x5144
"""Sixteen bits above the forty of a signal's id: tells our orders from anyone else's."""


class SignalState(StrEnum):
    """Where a signal is in its life."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    EXECUTING = "EXECUTING"
    WORKING = "WORKING"
    PARTIAL = "PARTIAL"
    EXECUTED = "EXECUTED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    BLOCKED = "BLOCKED"


class EntryType(StrEnum):
    """How a position is opened: at the price now, or by an order that waits at the broker."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"


_RESULTS = frozenset({SignalState.WORKING, SignalState.PARTIAL, SignalState.EXECUTED, SignalState.FAILED})

TRANSITIONS: dict[SignalState, frozenset[SignalState]] = {
    SignalState.PENDING: frozenset({SignalState.APPROVED, SignalState.REJECTED, SignalState.EXPIRED}),
    SignalState.APPROVED: frozenset({SignalState.EXECUTING, SignalState.EXPIRED, SignalState.BLOCKED}),
    SignalState.EXECUTING: _RESULTS | {SignalState.UNKNOWN},
    SignalState.UNKNOWN: _RESULTS,
    SignalState.WORKING: _RESULTS - {SignalState.WORKING} | {SignalState.UNKNOWN},
    SignalState.PARTIAL: frozenset({SignalState.PARTIAL, SignalState.EXECUTED}),
    SignalState.EXECUTED: frozenset(),
    SignalState.FAILED: frozenset({SignalState.PARTIAL, SignalState.EXECUTED}),
    SignalState.REJECTED: frozenset(),
    SignalState.EXPIRED: frozenset(),
    SignalState.BLOCKED: frozenset(),
}

OPEN_STATES = frozenset(
    {
        SignalState.PENDING,
        SignalState.APPROVED,
        SignalState.EXECUTING,
        SignalState.WORKING,
        SignalState.UNKNOWN,
    }
)
"""States in which something is still to happen to a signal."""

UNRESOLVED_STATES = frozenset({SignalState.EXECUTING, SignalState.UNKNOWN})
"""States in which an order may be at the broker without our knowing."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What was sent for a signal, journalled before the send.

    `volume` in lots, the most that may be opened; `price` is the order's own, 0.0 at market; `sl` and `tp` 0.0 for
    none; `sent_at` is UTC, `server_time` seconds of the broker's clock at that moment.
    """

    magic: int
    comment: str
    symbol: str
    side: Side
    volume: float
    sl: float
    tp: float
    epoch: int
    sent_at: datetime
    server_time: int
    type: EntryType = EntryType.MARKET
    price: float = 0.0
    order: int = 0
    """The ticket of a limit or stop order once it stands at the broker; 0 before."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A proposal to trade, as the journal has it.

    Volume in lots, prices in the symbol's units. `entry` is the price of a limit or stop order, and at market the
    reference for drift; `sl` and `tp` are 0.0 for none. `risk_percent` of the equity, when it is given, is what the
    stop may cost: the volume was reckoned from it and only shrinks until it is sent. `order_seconds` is how long a
    limit or stop order stands. `version` grows by one with each change; a decision names the version it was made on.
    """

    id: str
    account: str
    version: int
    state: SignalState
    symbol: str
    side: Side
    volume: float
    entry: float
    sl: float
    tp: float
    source: str
    note: str
    created_at: datetime
    expires_at: datetime
    type: EntryType = EntryType.MARKET
    risk_percent: float | None = None
    order_seconds: float = 0.0
    approved_at: datetime | None = None
    intent: Intent | None = None
    reason: str = ""
    presumed_absent: bool = False
    filled: float = 0.0
    """Lots that its orders have opened."""

    @property
    def reward_to_risk(self) -> float | None:
        """Distance to the target over distance to the stop, from the entry; None without a stop or a target."""
        risk = abs(self.entry - self.sl)
        return abs(self.tp - self.entry) / risk if self.sl and self.tp and risk > 0 else None

    @property
    def magic(self) -> int:
        """The number that travels with this signal's orders, positions and deals; below 2**63."""
        return magic_of(self.id)

    @property
    def comment(self) -> str:
        """The comment on the order, at most 26 ASCII characters: a hint only, since servers rewrite it."""
        return f"qd {self.id}"


def new_id(randomness: random.Random) -> str:
    """Draw a signal's id: forty bits, written in eight letters and digits that are not mistaken for one another."""
    number = randomness.getrandbits(40)
    return "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(_ID_LENGTH)))


def magic_of(signal_id: str) -> int:
    """The magic number of a signal's orders."""
    number = 0
    for letter in signal_id:
        number = number << 5 | _ALPHABET.index(letter)
    return _MAGIC_PREFIX << 40 | number


def id_of(magic: int) -> str:
    """The id of the signal that a magic number of ours belongs to."""
    number = magic & ((1 << 40) - 1)
    return "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(_ID_LENGTH)))


def is_ours(magic: int) -> bool:
    """Whether a magic number was given by an engine of ours."""
    return magic >> 40 == _MAGIC_PREFIX
