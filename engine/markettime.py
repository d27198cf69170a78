"""The market's time: UTC, and what the broker server's clock shows.

    live     UTC is the machine's; the broker's clock is so many quarters of an hour ahead, measured by fresh quotes
    replay   the newest quote is the time, and the only one: the paper market has its own, whatever its speed

In: quotes and when each last changed. Out: a Moment for the guards; what the operator must hear of: the broker's clock
was set, or the machine's. Vendor documents call quotes' times UTC, but they are the server's clock, and a closed market
shows the same quote for days (reference/mt5.md 4): only a change that was seen to happen says what time it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from engine.broker.base import Tick
from engine.clock import Clock
from engine.guards.base import Moment

QUARTER = 900
"""Seconds: no time zone is set more finely."""
FRESH_SECONDS = 5.0
"""A quote that changed longer ago says nothing about now."""
REMAINDER_SECONDS = 60.0
"""So far from whole quarters of an hour a fresh quote may be: what the network and the machine's clock are off."""
CONFIRMING_QUOTES = 3
CONFIRMING_SECONDS = 10.0
"""An offset is believed when so many quotes in a row, over so long, show it."""
STEP_SECONDS = 2.0
"""A machine's clock that moves so much against the monotonic one was set, or the machine slept."""
WEST, EAST = -12 * 3600, 14 * 3600
"""The offsets there are on earth."""
_BACK_MSC = 3_660_000
"""A quote so much older than the newest one comes late: a broker's clock is put back by one hour."""
_LATEST_MSC = 253_402_300_799_999
"""The last millisecond that a datetime can hold."""
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the broker's wall clock has no zone


class Changed(Protocol):
    """The last quote of a symbol and the monotonic second at which it was first seen."""

    @property
    def tick(self) -> Tick:
        """The quote."""
        ...

    @property
    def changed_at(self) -> float:
        """Monotonic seconds."""
        ...


@dataclass(frozen=True, slots=True)
class OffsetChange:
    """The broker's clock is now `after` seconds ahead of UTC; `before` is None when that had not been known."""

    before: int | None
    after: int


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The machine's UTC moved by so many seconds (negative: back) more than its monotonic clock."""

    seconds: float


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An offset that quotes show and that is not believed yet."""

    offset: int
    since: float
    quotes: int = 1


class MarketClock:
    """Tells the time of one account's market.

    `offset` is the broker's offset in seconds as it was last known, of an earlier run: it holds until quotes show
    another, however long the market is closed. `to_utc_msc` makes a replay of it: UTC of a time that the market's
    clock shows, both in milliseconds since the epoch.
    """

    def __init__(
        self, clock: Clock, *, offset: int | None = None, to_utc_msc: Callable[[int], int] | None = None
    ) -> None:
        if offset is not None and (offset % QUARTER or not WEST <= offset <= EAST):
            raise ValueError(
                f"a broker's clock {offset} s ahead of UTC: expected whole quarters of an hour, -12 to 14 h"
            )
        self._clock = clock
        self._to_utc_msc = to_utc_msc
        self.offset = offset
        """Seconds that the broker's clock is ahead of UTC; None: not known, or a replay. To be kept for a restart."""
        self.doubt = ""
        """Why the last fresh quotes fit no offset, in words; empty when they do."""
        self._shown: dict[str, int] = {}
        self._newest_msc: int | None = None
        self._candidate: _Candidate | None = None
        self._before: tuple[float, datetime] | None = None

    @property
    def known(self) -> bool:
        """Whether the broker's clock is known. While it is not, a rule that needs it must refuse entries."""
        return (self.offset if self._to_utc_msc is None else self._newest_msc) is not None

    @property
    def has_time(self) -> bool:
        """Whether `moment` can be asked: not in a replay that has not shown a quote."""
        return self._to_utc_msc is None or self._newest_msc is not None

    def moment(self) -> Moment:
        """The time now. While the broker's offset is not known, its clock is given as UTC.

        Raises ValueError in a replay that has not shown a quote: it has no time yet, and the machine's is not it.
        """
        monotonic = self._clock.monotonic()
        if self._to_utc_msc is None:
            utc = self._clock.utc()
            return Moment(utc, utc.replace(tzinfo=None) + timedelta(seconds=self.offset or 0), monotonic)
        if self._newest_msc is None:
            raise ValueError("the replayed market has not shown a quote: it has no time yet")
        shown, utc_msc = self._newest_msc, self._to_utc_msc(self._newest_msc)
        return Moment((_EPOCH + _msc(utc_msc)).replace(tzinfo=UTC), _EPOCH + _msc(shown), monotonic)

    def utc_of(self, shown_msc: int) -> datetime:
        """The moment at which the broker's clock showed a time (milliseconds), by what is known of it now."""
        ahead = (self.offset or 0) * 1000
        utc_msc = shown_msc - ahead if self._to_utc_msc is None else self._to_utc_msc(shown_msc)
        return (_EPOCH + _msc(min(max(utc_msc, 0), _LATEST_MSC))).replace(tzinfo=UTC)

    def see(self, quotes: Mapping[str, Changed]) -> tuple[OffsetChange | ClockStep, ...]:
        """Take in the quotes of a reading, by symbol. Returns what the operator must hear of, once."""
        monotonic, utc = self._clock.monotonic(), self._clock.utc()
        replay = self._to_utc_msc is not None
        latest = _LATEST_MSC if replay else int((utc.timestamp() + EAST + REMAINDER_SECONDS) * 1000)
        newest = self._newest_change(quotes, monotonic, latest)
        if replay:
            return ()
        step = self._step(monotonic, utc)
        if step is not None:
            return (step,)
        if newest is None:
            return ()
        age = monotonic - newest.changed_at
        change = self._measure(newest.tick.time_msc / 1000 - (utc.timestamp() - age), monotonic)
        return () if change is None else (change,)

    def _newest_change(self, quotes: Mapping[str, Changed], monotonic: float, latest_msc: int) -> Changed | None:
        """The newest quote that was seen to take an older one's place just now: not one that was there at first."""
        newest: Changed | None = None
        oldest = (self._newest_msc or 0) - _BACK_MSC
        for symbol, quote in quotes.items():
            shown = quote.tick.time_msc
            if shown <= 0:
                continue
            if shown <= latest_msc:
                self._newest_msc = max(shown, self._newest_msc or 0)
            before = self._shown.get(symbol)
            self._shown[symbol] = shown
            fresh = before is not None and shown != before and monotonic - quote.changed_at <= FRESH_SECONDS
            if fresh and shown >= oldest and (newest is None or shown > newest.tick.time_msc):
                newest = quote
        return newest

    def _step(self, monotonic: float, utc: datetime) -> ClockStep | None:
        before, self._before = self._before, (monotonic, utc)
        if before is None:
            return None
        moved = (utc - before[1]).total_seconds() - (monotonic - before[0])
        return ClockStep(round(moved, 3)) if abs(moved) >= STEP_SECONDS else None

    def _measure(self, ahead: float, monotonic: float) -> OffsetChange | None:
        offset = round(ahead / QUARTER) * QUARTER
        if abs(ahead - offset) > REMAINDER_SECONDS or not WEST <= offset <= EAST:
            self._candidate = None
            self.doubt = f"a fresh quote is {ahead:.0f} s ahead of this machine's UTC: no broker's clock is set so"
            return None
        self.doubt = ""
        if offset == self.offset:
            self._candidate = None
            return None
        known = self._candidate
        if known is None or known.offset != offset:
            self._candidate = _Candidate(offset, monotonic)
            return None
        self._candidate = _Candidate(offset, known.since, known.quotes + 1)
        if self._candidate.quotes < CONFIRMING_QUOTES or monotonic - known.since < CONFIRMING_SECONDS:
            return None
        before, self.offset = self.offset, offset
        return OffsetChange(before, offset)


def _msc(milliseconds: int) -> timedelta:
    return timedelta(milliseconds=milliseconds)
