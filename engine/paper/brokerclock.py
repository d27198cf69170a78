"""The trade server's clock: wall-clock time of the broker, as epoch seconds that read like UTC.

Most servers run at New York time plus seven hours, so that the trading week has five days: GMT+2 in winter, GMT+3
while the United States have daylight saving time. In: UTC. Out: the broker's clock. Milliseconds throughout.
"""

from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

ClockKind = Literal["new-york-close", "utc"]
NEW_YORK_CLOSE: ClockKind = "new-york-close"
HOUR_MS = 3_600_000
AHEAD_OF_NEW_YORK_MS = 7 * HOUR_MS


class BrokerClock:
    """One kind of server clock. Going back an hour in autumn, it says the same hour twice."""

    def __init__(self, kind: ClockKind = NEW_YORK_CLOSE) -> None:
        self.kind: ClockKind = kind
        self._zone = ZoneInfo("America/New_York")
        # Offsets change on full hours only, and ticks come in the order of time: the last hour is kept.
        self._hour = -1
        self._offset = 0

    def offset_ms(self, utc_msc: int) -> int:
        """How far the server's clock is ahead of UTC at a moment."""
        if self.kind == "utc":
            return 0
        hour = utc_msc // HOUR_MS
        if hour != self._hour:
            offset = datetime.fromtimestamp(hour * 3600, UTC).astimezone(self._zone).utcoffset()
            if offset is None:
                raise ValueError("a time zone without an offset")
            self._offset = int(offset.total_seconds()) * 1000 + AHEAD_OF_NEW_YORK_MS
            self._hour = hour
        return self._offset

    def from_utc_msc(self, utc_msc: int) -> int:
        """What the server's clock shows at a moment of UTC."""
        return utc_msc + self.offset_ms(utc_msc)
