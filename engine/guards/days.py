"""When a day of a limit begins: which day a moment belongs to, when the next one starts, which starts were missed.

A day is named by the date on which it begins, as "2026-03-29". In a zone it begins at the first instant at which that
zone's clock reaches the reset's time of day on that date: once only in the hour that a clock repeats, and at the jump
when the clock leaves the time out. By the broker's clock it is reckoned with the offset that the moment shows; the
offset of another season is not known. Pure: nothing here asks a clock.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from engine.guards.base import Moment
from engine.guards.settings import BROKER, Reset

DAY = timedelta(days=1)


def day_key(reset: Reset, moment: Moment) -> str:
    """The day that `moment` belongs to. Days compare as text; one that is remembered never goes back, the clock may."""
    return _day(reset, moment).isoformat()


def next_reset(reset: Reset, moment: Moment) -> datetime:
    """When the day of `moment` ends, UTC: always later than the moment."""
    return _start(reset, _day(reset, moment) + DAY, moment)


def starts_between(reset: Reset, key: str, moment: Moment) -> tuple[datetime, ...]:
    """The start (UTC) of each day after the day `key` up to the one of `moment`, oldest first; none if it is not later.

    Raises ValueError when `key` is not a day's.
    """
    day, last = date.fromisoformat(key), _day(reset, moment)
    days = (day + DAY * count for count in range(1, (last - day).days + 1))
    # A zone that leaves out a whole date, as Apia did once, begins two days at one instant.
    return tuple(dict.fromkeys(_start(reset, each, moment) for each in days))


def _day(reset: Reset, moment: Moment) -> date:
    if reset.zone == BROKER:
        return (moment.broker - _time_of(reset)).date()
    wall = moment.utc.astimezone(ZoneInfo(reset.zone)).replace(tzinfo=None)
    day = (wall - _time_of(reset)).date()
    # In the hour that is repeated the clock stands before the reset again, but the day has begun.
    return day + DAY if _start(reset, day + DAY, moment) <= moment.utc else day


def _start(reset: Reset, day: date, moment: Moment) -> datetime:
    begins = datetime.combine(day, time.min) + _time_of(reset)
    if reset.zone == BROKER:
        return (begins - (moment.broker - moment.utc.replace(tzinfo=None))).replace(tzinfo=UTC)
    zone = ZoneInfo(reset.zone)
    # fold=0 is the first of two times that a clock shows, and later than both sides of a jump over it.
    start = begins.replace(tzinfo=zone).astimezone(UTC)
    if start.astimezone(zone).replace(tzinfo=None) == begins:
        return start
    return _jump(zone, begins.replace(tzinfo=zone, fold=1).astimezone(UTC), start)


def _jump(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The instant between two at which the zone's clock jumps forward: to the second, as all of them are."""
    offset = before.astimezone(zone).utcoffset()
    low, high = 0, int((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if (before + timedelta(seconds=middle)).astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return before + timedelta(seconds=high)


def _time_of(reset: Reset) -> timedelta:
    at = reset.time
    return timedelta(hours=at.hour, minutes=at.minute, seconds=at.second, microseconds=at.microsecond)
