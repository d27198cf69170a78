"""When entries are allowed, and when the week is closed: by the clock of a zone, or by the broker's.

Prop firms forbid holding over the weekend on many accounts, and liquidity is thin outside of a market's hours. Times of
day are read off the clock on the wall: where it jumps over the beginning of a window, the window begins at the jump; an
hour that it shows twice is inside, or outside, twice.
"""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from engine.guards import rehearsal
from engine.guards.base import Action, Drill, Entry, Facts, Finding, Moment, Nothing
from engine.guards.days import next_reset
from engine.guards.findings import StatelessGuard
from engine.guards.settings import BROKER, Reset, SessionsRule, Window

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_FRIDAY, _SATURDAY, _SUNDAY = 4, 5, 6
_MIDNIGHT = time(0)


class SessionsGuard(StatelessGuard):
    """Blocks outside of every window and while the week is closed; then also what is open is to be closed.

    A window holds its beginning and not its end; one that ends when it begins lasts for 24 hours. Raises ValueError
    when the rule would never allow an entry, or never forbid one.
    """

    name = "sessions"
    action = Action.BLOCK

    def __init__(self, rule: SessionsRule) -> None:
        if rule.week_begins is not None and rule.friday_close is None:
            raise ValueError("week_begins is given without friday_close: the week never closes")
        self._rule = rule
        self._windows = tuple((window, _days(window)) for window in rule.windows)
        beginnings = {window.begins for window in rule.windows} | {rule.week_begins or _MIDNIGHT}
        self._beginnings = tuple(Reset(zone=rule.zone, time=begins) for begins in sorted(beginnings))
        allowed = {self._allows(wall) for wall in self._changes()}
        if allowed != {True, False}:
            what = "never allow" if allowed == {False} else "never forbid"
            raise ValueError(f"windows and friday_close {what} an entry")

    def judge(self, memory: Nothing, facts: Facts) -> tuple[Nothing, Finding]:
        """Look at the clock."""
        wall = self._wall(facts.moment)
        closed = self._week_closed(wall)
        if not closed and self._in_a_window(wall):
            return memory, Finding(0.0, 1.0, "time", 0.0, "entries are allowed now", breached=False)
        lifts_at = self._lifts_at(facts.moment)
        said = "the week is closed" if closed else "outside of every window"
        if lifts_at is not None:
            said += f"; entries are allowed from {lifts_at:%a %Y-%m-%d %H:%M} UTC"
        return memory, Finding(1.0, 1.0, "time", 1.0, said, breached=True, lifts_at=lifts_at, closes=closed)

    def refuses(self, memory: Nothing, facts: Facts, entry: Entry) -> str | None:
        """Whether entries are forbidden now."""
        _, finding = self.judge(memory, facts)
        return finding.said if finding.breached else None

    @property
    def by_brokers_clock(self) -> bool:
        """Whether its times are the broker's."""
        return self._rule.zone == BROKER

    def drill(self) -> Drill[Nothing]:
        """A moment of a made-up week at which entries are allowed, then one at which they are not."""
        walls = self._changes()
        harmless = next(wall for wall in walls if self._allows(wall))
        breach = next(wall for wall in walls if not self._allows(wall))
        return Drill(Nothing(), self._rehearsed(harmless), self._rehearsed(breach))

    def _allows(self, wall: datetime) -> bool:
        return not self._week_closed(wall) and self._in_a_window(wall)

    def _week_closed(self, wall: datetime) -> bool:
        closes, begins = self._rule.friday_close, self._rule.week_begins
        if closes is None:
            return False
        day, now = wall.weekday(), wall.time()
        if day == _SUNDAY:
            return begins is None or now < begins
        return day == _SATURDAY or (day == _FRIDAY and now >= closes)

    def _in_a_window(self, wall: datetime) -> bool:
        return not self._windows or any(_inside(window, days, wall) for window, days in self._windows)

    def _wall(self, moment: Moment) -> datetime:
        """The clock on the wall."""
        if self._rule.zone == BROKER:
            return moment.broker
        return moment.utc.astimezone(ZoneInfo(self._rule.zone)).replace(tzinfo=None)

    def _lifts_at(self, moment: Moment) -> datetime | None:
        """When entries are next allowed, UTC. In an hour that the clock repeats it may be told too late."""
        found: datetime | None = None
        for begins in self._beginnings:
            now = moment
            for _ in range(9):
                at = next_reset(begins, now)
                if found is not None and at >= found:
                    break
                now = Moment(at, moment.broker + (at - moment.utc), moment.monotonic)
                if self._allows(self._wall(now)):
                    found = at
                    break
        return found

    def _changes(self) -> list[datetime]:
        """Every time of a made-up week at which something may begin or end, by the clock on the wall."""
        times = {_MIDNIGHT, self._rule.friday_close or _MIDNIGHT, self._rule.week_begins or _MIDNIGHT}
        for window, _ in self._windows:
            times |= {window.begins, window.ends}
        monday = rehearsal.MONDAY.date()
        return [datetime.combine(monday + timedelta(days=day), at) for day in range(7) for at in sorted(times)]

    def _rehearsed(self, wall: datetime) -> Facts:
        if self._rule.zone == BROKER:
            return rehearsal.facts(at=Moment((wall - timedelta(hours=2)).replace(tzinfo=UTC), wall, 0.0))
        return rehearsal.facts(at=rehearsal.moment(wall.replace(tzinfo=ZoneInfo(self._rule.zone)).astimezone(UTC)))


def _days(window: Window) -> frozenset[int]:
    """The weekdays of a window, Monday 0; "Fri-Mon" goes over the weekend."""
    first, _, last = window.days.partition("-")
    begin = _DAYS.index(first)
    count = (_DAYS.index(last or first) - begin) % 7 + 1
    return frozenset((begin + step) % 7 for step in range(count))


def _inside(window: Window, days: frozenset[int], wall: datetime) -> bool:
    day, now = wall.weekday(), wall.time()
    if window.begins < window.ends:
        return day in days and window.begins <= now < window.ends
    return (day in days and now >= window.begins) or ((day - 1) % 7 in days and now < window.ends)
