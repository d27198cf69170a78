"""The trade server's clock: wall-clock time of the broker, as epoch milliseconds that read like UTC.

Most servers run at New York time plus seven hours, so that the trading week has five days: GMT+2 in winter, GMT+3
while the United States have daylight saving time. In: UTC, or what the clock shows. Out: the other one.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

ClockKind = Literal["new-york-close", "utc"]
NEW_YORK_CLOSE: ClockKind = "new-york-close"
HOUR_MS = 3_600_000
WINTER_MS = 2 * HOUR_MS
SUMMER_MS = 3 * HOUR_MS
AHEAD_OF_NEW_YORK_MS = 7 * HOUR_MS
_NEW_YORK = ZoneInfo("America/New_York")


@lru_cache(maxsize=64)
def _offset_in(hour: int) -> int:
    """The offset in one hour since the epoch: it changes on full hours only, and ticks come in the order of time."""
    offset = datetime.fromtimestamp(hour * 3600, UTC).astimezone(_NEW_YORK).utcoffset()
    if offset is None:
        raise ValueError("a time zone without an offset")
    return int(offset.total_seconds()) * 1000 + AHEAD_OF_NEW_YORK_MS


class BrokerClock:
    """One kind of server clock. Going back an hour in autumn, it says the same hour twice."""

    def __init__(self, kind: ClockKind = NEW_YORK_CLOSE) -> None:
        self.kind: ClockKind = kind

    def offset_ms(self, utc_msc: int) -> int:
        """How far the server's clock is ahead of UTC at a moment."""
        return 0 if self.kind == "utc" else _offset_in(utc_msc // HOUR_MS)

    def from_utc_msc(self, utc_msc: int) -> int:
        """What the server's clock shows at a moment of UTC."""
        return utc_msc + self.offset_ms(utc_msc)

    def to_utc_msc(self, shown_msc: int) -> int:
        """The moment at which the server's clock shows a time; later times never give an earlier moment.

        Of the hour that is said twice the first; for the hour that is left out in spring the moment of the change.
        """
        if self.kind == "utc":
            return shown_msc
        in_summer = shown_msc - SUMMER_MS
        if self.offset_ms(in_summer) == SUMMER_MS:
            return in_summer
        in_winter = shown_msc - WINTER_MS
        return in_winter if self.offset_ms(in_winter) == WINTER_MS else in_winter - in_winter % HOUR_MS
