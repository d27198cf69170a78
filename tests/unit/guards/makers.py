"""Values for tests of guards: moments, and the facts of one reading."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.guards.base import Booked, Facts, Moment, Neighbour
from tests.unit.core.makers import reading

NOON = "2026-01-05T12:00:00"


def utc(text: str) -> datetime:
    """A UTC time from its text without a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def moment(text: str = NOON, *, broker_hours: float = 2.0, monotonic: float = 0.0) -> Moment:
    """The moment at a UTC time; the broker's clock is so many hours ahead."""
    at = utc(text)
    return Moment(at, (at + timedelta(hours=broker_hours)).replace(tzinfo=None), monotonic)


def facts(
    equity: float = 10_000.0,
    at: str | Moment = NOON,
    *,
    before: Neighbour | None = None,
    booked: tuple[Booked, ...] = (),
    unexplained: float = 0.0,
    **changes: Any,
) -> Facts:
    """A VALID reading of the test account at a UTC time; `changes` are the account's."""
    when = moment(at) if isinstance(at, str) else at
    seen = replace(reading(equity, **changes), unexplained=unexplained, relief=max(0.0, -unexplained))
    return Facts(when, seen, before=before, booked=booked)


def flat(balance: float, at: str | Moment = NOON, **changes: Any) -> Facts:
    """A reading with nothing open: equity and balance are one."""
    return facts(balance, at, balance=balance, **changes)
