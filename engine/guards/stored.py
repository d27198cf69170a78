"""A guard's memory read back from its stored form: every field there, of its kind and finite, and no other.

What was stored is the engine's own writing: if it is not as expected, it is not guessed at. Each method raises
ValueError that names the guard, the field and what is right.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any


class Stored:
    """The stored memory of the guard `name`: a mapping with exactly these `fields`."""

    def __init__(self, name: str, stored: Mapping[str, Any], fields: Sequence[str]) -> None:
        self._name = name
        if not isinstance(stored, Mapping) or set(stored) != set(fields):
            raise ValueError(f"the stored memory of {name!r} is {stored!r}; it must have {sorted(fields) or 'nothing'}")
        self._stored = stored

    def number(self, field: str) -> float:
        """A finite number."""
        return self._number(field, self._stored[field])

    def count(self, field: str) -> int:
        """A whole number from 0."""
        return self._count(field, self._stored[field])

    def time(self, field: str) -> float | None:
        """A time in UTC epoch seconds, or none."""
        value = self._stored[field]
        return None if value is None else self._number(field, value)

    def day(self, field: str) -> str:
        """A day's key: its date, as "2026-03-29"."""
        value = self._stored[field]
        if not isinstance(value, str):
            raise self._wrong(field, value, "a date")
        try:
            date.fromisoformat(value)
        except ValueError:
            raise self._wrong(field, value, "a date") from None
        return value

    def times(self, field: str) -> tuple[float, ...]:
        """A list of times, UTC epoch seconds."""
        return tuple(self._number(field, value) for value in self.rows(field))

    def counts(self, field: str) -> tuple[int, ...]:
        """A list of whole numbers from 0."""
        return tuple(self._count(field, value) for value in self.rows(field))

    def rows(self, field: str) -> Sequence[Any]:
        """A list of anything."""
        value = self._stored[field]
        if not isinstance(value, (list, tuple)):
            raise self._wrong(field, value, "a list")
        return value

    def _number(self, field: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self._wrong(field, value, "a finite number")
        return float(value)

    def _count(self, field: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(field, value, "a whole number from 0")
        return value

    def _wrong(self, field: str, value: Any, right: str) -> ValueError:
        return ValueError(f"{field!r} in the stored memory of {self._name!r} is {value!r}; it must be {right}")


def seconds(at: datetime) -> float:
    """A time as it is stored: UTC epoch seconds."""
    return at.timestamp()


def at_seconds(stored: float) -> datetime:
    """The stored time, UTC."""
    return datetime.fromtimestamp(stored, UTC)
