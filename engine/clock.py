"""Where the time comes from. Tests and the simulation replace it; nothing else in the engine asks the machine.

`monotonic` counts real seconds for deadlines, expiry and ages; `utc` stamps records. Sleeping is done on the
event loop, whose own time a virtual loop replaces.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of monotonic seconds and of UTC time."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...

    def utc(self) -> datetime:
        """The time of day in UTC, time zone aware."""
        ...


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Seconds of the machine's monotonic clock."""
        return time.monotonic()

    def utc(self) -> datetime:
        """The machine's time in UTC."""
        return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """Write a UTC time as ISO 8601 with microseconds and a trailing Z, the one form used on every wire."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
