"""Which events are alerts: their key, how severe they are, and the sentence that a person reads at night.

In: drafts of events as they are handed to the journal, the most of which are none of this. Out: Raised, Over (what was
raised under a key has ended), or nothing. Pure but for a memory of the last gateway losses and of who began a flatten.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from engine.events import Draft, Event, EventType
from engine.projection import records_lost

GATEWAY_LOSSES = 3
GATEWAY_SECONDS = 300.0
"""So many losses within so long are no longer a hiccup."""


class Severity(StrEnum):
    """WARNING is delivered once; CRITICAL is repeated until somebody acknowledges it."""

    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Raised:
    """Something to be told. The same key again, while it is open, is the same alert."""

    key: str
    severity: Severity
    text: str


@dataclass(frozen=True, slots=True)
class Over:
    """What was raised under a key, or below it ("key:..."), has ended: it stays open until acknowledged."""

    key: str
    text: str

    def covers(self, key: str) -> bool:
        """Whether an alert of this key is what has ended."""
        return key == self.key or key.startswith(f"{self.key}:")


Finding = Raised | Over
_Rule = Callable[[Mapping[str, Any]], Finding | None]


class Rules:
    """Says what an event means to somebody who is not looking."""

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=GATEWAY_LOSSES)
        self._flattened_by = ""
        """The operator who began the flatten under way; "" when a guard did, or when it is not known."""
        self._special: dict[EventType, Callable[[Mapping[str, Any], float], Finding | None]] = {
            EventType.GATEWAY_LOST: self._gateway_lost,
            EventType.MODE_CHANGED: self._mode_changed,
        }

    def finding(self, draft: Draft | Event, now: float) -> Finding | None:
        """What an event raises or ends. `now`: seconds of a clock, the same one for all."""
        special = self._special.get(draft.event_type)
        if special is not None:
            return special(draft.metadata, now)
        rule = _RULES.get(draft.event_type)
        return rule(draft.metadata) if rule is not None else None

    def _gateway_lost(self, told: Mapping[str, Any], now: float) -> Finding | None:
        self._losses.append(now)
        if len(self._losses) < GATEWAY_LOSSES or now - self._losses[0] > GATEWAY_SECONDS:
            return None
        why = f"the {told.get('slot', '?')} gateway was lost: {told.get('reason', '')}"
        return Raised("gateway", Severity.CRITICAL, f"Gateways are lost again and again; last {why}")

    def _mode_changed(self, told: Mapping[str, Any], now: float) -> Finding | None:
        why = told.get("halt_reason") or told.get("reason", "")
        if told.get("to") == "FLATTENING":
            self._flattened_by = told.get("operator", "") if told.get("origin", "engine") != "engine" else ""
            if self._flattened_by:
                return None
            return Raised("flatten", Severity.CRITICAL, f"Everything is being closed, by the engine itself: {why}")
        if told.get("to") == "HALTED":
            severity = Severity.WARNING if self._flattened_by else Severity.CRITICAL
            return Raised("halt", severity, f"HALTED, entries are blocked until a reset: {why}")
        return None


def _guard(told: Mapping[str, Any]) -> str:
    return str(told.get("guard", "?"))


def _tripped(told: Mapping[str, Any]) -> Finding:
    said = told.get("said") or (
        f"equity {_number(told, 'equity')} at or under the floor {_number(told, 'floor')},"
        f" {_number(told, 'percent')} % of {_number(told, 'limit_percent')} %"
    )
    return Raised(f"guard:{_guard(told)}:tripped", Severity.CRITICAL, f"Guard {_guard(told)} tripped: {said}")


def _blind(told: Mapping[str, Any]) -> Finding:
    age = float(told.get("age_seconds", 0.0))
    why = f": {told['reason']}" if told.get("reason") else ""
    text = f"BLIND: the account has not been readable for {age:.0f} s, entries are blocked{why}"
    return Raised("blind", Severity.CRITICAL, text)


def _merged(told: Mapping[str, Any]) -> Finding | None:
    lost = records_lost(told)
    if not lost:
        return None
    text = f"{lost} of the records that were kept beside a failing journal cannot be used"
    why = "a pause or a halt may be among them, so no account was left RUNNING"
    return Raised("records", Severity.CRITICAL, f"{text}: {why}")


def _left(told: Mapping[str, Any]) -> str:
    return "; ".join(str(item) for item in list(told.get("remaining") or ())[:5]) or "not known"


def _number(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return f"{value:.2f}" if isinstance(value, int | float) else "?"


def _position(told: Mapping[str, Any]) -> str:
    named = f"{told.get('symbol', '')} position {told.get('position', '?')}".strip()
    return f"{named}{': ' + str(told['said']) if told.get('said') else ''}"


def _critical(key: Callable[[Mapping[str, Any]], str], text: Callable[[Mapping[str, Any]], str]) -> _Rule:
    return lambda told: Raised(key(told), Severity.CRITICAL, text(told))


def _warning(key: Callable[[Mapping[str, Any]], str], text: Callable[[Mapping[str, Any]], str]) -> _Rule:
    return lambda told: Raised(key(told), Severity.WARNING, text(told))


_RULES: Mapping[EventType, _Rule] = {
    EventType.GUARD_TRIPPED: _tripped,
    EventType.GUARD_BLOCK: _warning(
        lambda told: f"guard:{_guard(told)}",
        lambda told: f"Guard {_guard(told)} blocks entries: {told.get('said', '')}",
    ),
    EventType.GUARD_LOCKED: _warning(
        lambda told: f"guard:{_guard(told)}:locked",
        lambda told: f"Guard {_guard(told)} is locked {told.get('locked', '')}: {told.get('said', '')}",
    ),
    EventType.GUARD_ERROR: _critical(
        lambda told: f"guard:{_guard(told)}:error",
        lambda told: f"Guard {_guard(told)} failed, entries are blocked: {told.get('said', '')}",
    ),
    EventType.GUARD_CLEARED: lambda told: Over(f"guard:{_guard(told)}", "it is clear again"),
    EventType.FLATTEN_DEFERRED: _critical(
        lambda told: "flatten:deferred", lambda told: f"The flatten is DEFERRED, what is left stays open: {_left(told)}"
    ),
    EventType.FLATTEN_FINISHED: _warning(
        lambda told: f"flatten:{told.get('id', '')}", lambda told: f"Flatten finished: {told.get('statement', '')}"
    ),
    EventType.FLATTEN_CANCELLED: _critical(
        lambda told: f"flatten:{told.get('id', '')}", lambda told: f"Flatten cancelled: {told.get('statement', '')}"
    ),
    EventType.DIRECT_FLATTEN_FINISHED: _warning(
        lambda told: f"flatten:{told.get('id', '')}",
        lambda told: f"HALTED, everything was closed without the engine: {told.get('statement', '')}",
    ),
    EventType.FALLBACK_MERGED: _merged,
    EventType.CLOSING_DEFERRED: _warning(
        lambda told: f"close:{told.get('id', '')}",
        lambda told: f"Close {told.get('id', '')} is DEFERRED: {_left(told)}",
    ),
    EventType.READING_BLIND: _blind,
    EventType.READING_RESTORED: lambda told: Over("blind", "readings are valid again"),
    EventType.TRADE_UNKNOWN: _critical(
        lambda told: f"trade:{told.get('signal', '')}",
        lambda told: (
            f"The outcome of {told.get('signal', '?')} is unknown, its symbol is blocked: {told.get('reason', '')}"
        ),
    ),
    EventType.TRADE_PRESUMED_ABSENT: _critical(
        lambda told: f"trade:{told.get('signal', '')}",
        lambda told: f"The outcome of {told.get('signal', '?')} must be settled: {told.get('reason', '')}",
    ),
    EventType.STOP_MISSING: _critical(
        lambda told: f"stop:{told.get('position', '')}", lambda told: f"A stop loss is missing on {_position(told)}"
    ),
    EventType.DEAL_UNEXPLAINED: _critical(
        lambda told: f"deal:{told.get('magic', '')}",
        lambda told: f"A deal at the broker is not explained: signal {told.get('signal', '?')}",
    ),
    EventType.FUNDS_UNEXPLAINED: _critical(
        lambda told: "funds",
        lambda told: f"No deal explains a step of the balance by {_number(told, 'amount')}: entries are blocked",
    ),
    EventType.FUNDS_EXPLAINED: lambda told: Over("funds", "deals explain it now"),
    EventType.FUNDS_SETTLED: lambda told: Over("funds", "an operator has settled it"),
    EventType.CLOCK_SET: _warning(
        lambda told: "clock", lambda told: f"This machine's clock was set by {_number(told, 'seconds')} s"
    ),
    EventType.BROKER_CLOCK_CHANGED: _warning(
        lambda told: "broker clock",
        lambda told: f"The broker's clock went from {told.get('before')} to {told.get('after')} s from UTC",
    ),
}
