"""When a symbol is traded: its sessions of the week and its holidays, on the broker's clock.

In: epoch seconds of the broker's clock. Out: whether the symbol is traded then, and when it is next. Pure.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

DAY = 86_400
WEEK = 7 * DAY
FIRST_SUNDAY = 3 * DAY
"""1970-01-04: weeks of the trade server begin on Sunday."""
EPOCH_DAY = date(1970, 1, 1)


@dataclass(frozen=True)
class Sessions:
    """Trading sessions as (begin, end) in seconds since Sunday 00:00, sorted, and days without trading."""

    week: tuple[tuple[int, int], ...] = ((0, WEEK),)
    holidays: frozenset[date] = frozenset()

    @cached_property
    def _holidays(self) -> frozenset[int]:
        return frozenset((day - EPOCH_DAY).days for day in self.holidays)

    def open_at(self, seconds: int) -> bool:
        """Whether the symbol is traded at a moment of the broker's clock."""
        if self._holidays and seconds // DAY in self._holidays:
            return False
        within = (seconds - FIRST_SUNDAY) % WEEK
        return any(begin <= within < end for begin, end in self.week)

    def next_opening(self, seconds: int) -> int | None:
        """The first moment from `seconds` on at which the symbol is traded; None: not within the next two weeks."""
        if self.open_at(seconds):
            return seconds
        start_of_week = seconds - (seconds - FIRST_SUNDAY) % WEEK
        begins = (start_of_week + week * WEEK + begin for week in range(3) for begin, _ in self.week)
        midnights = (
            int(datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC).timestamp())
            for day in self.holidays
        )
        return min((at for at in (*begins, *midnights) if at > seconds and self.open_at(at)), default=None)


ALWAYS = Sessions()
"""Traded whenever there is a quote."""
