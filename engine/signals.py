"""A signal and its life.

    PENDING -> APPROVED -> EXECUTING -> WORKING | PARTIAL | EXECUTED | FAILED | UNKNOWN
    PENDING -> REJECTED | EXPIRED        APPROVED -> EXPIRED | BLOCKED
    UNKNOWN -> WORKING | PARTIAL | EXECUTED | FAILED      (by evidence, or by the operator)
    WORKING -> PARTIAL | EXECUTED | FAILED

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


_RESULTS = frozenset({SignalState.WORKING, SignalState.PARTIAL, SignalState.EXECUTED, SignalState.FAILED})

TRANSITIONS: dict[SignalState, frozenset[SignalState]] = {
    SignalState.PENDING: frozenset({SignalState.APPROVED, SignalState.REJECTED, SignalState.EXPIRED}),
    SignalState.APPROVED: frozenset({SignalState.EXECUTING, SignalState.EXPIRED, SignalState.BLOCKED}),
    SignalState.EXECUTING: _RESULTS | {SignalState.UNKNOWN},
    SignalState.UNKNOWN: _RESULTS,
    SignalState.WORKING: _RESULTS - {SignalState.WORKING},
    SignalState.PARTIAL: frozenset(),
    SignalState.EXECUTED: frozenset(),
    SignalState.FAILED: frozenset(),
    SignalState.REJECTED: frozenset(),
    SignalState.EXPIRED: frozenset(),
    SignalState.BLOCKED: frozenset(),
}

OPEN_STATES = frozenset(state for state, following in TRANSITIONS.items() if following)
"""States in which something may still happen to a signal."""

UNRESOLVED_STATES = frozenset({SignalState.EXECUTING, SignalState.UNKNOWN})
"""States in which an order may be at the broker without our knowing."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What was sent for a signal, journalled before the send.

    `sent_at` is UTC, `server_time` seconds of the broker's clock.
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
    order: int = 0
    """The order's ticket once the broker has named it; 0 before."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A proposal to trade, as the journal has it.

    Volume in lots, prices in the symbol's units, `entry` is the reference price for drift. `version` grows by one with
    each change; a decision names the version it was made on.
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
    approved_at: datetime | None = None
    intent: Intent | None = None
    reason: str = ""
    presumed_absent: bool = False

    @property
    def reward_to_risk(self) -> float | None:
        """Distance to the target over distance to the stop, from the entry; None when the stop is at the entry."""
        risk = abs(self.entry - self.sl)
        return abs(self.tp - self.entry) / risk if risk > 0 else None

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


def is_ours(magic: int) -> bool:
    """Whether a magic number was given by an engine of ours."""
    return magic >> 40 == _MAGIC_PREFIX
