"""What a terminal remembers of prices: the last ticks, one-minute bars of the bid, and the day's extremes.

Filled by every tick since the terminal was started, bounded in memory, not kept on disk. Bars of other timeframes
are made from the minutes when asked for. Times are of the broker's clock.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from engine.paper.market import Instrument, Quote
from engine.paper.structs import CONSTANTS

KEPT_TICKS = 10_000
KEPT_MINUTES = 10_000
FLAG_BID, FLAG_ASK = CONSTANTS["TICK_FLAG_BID"], CONSTANTS["TICK_FLAG_ASK"]
HOURS_FROM, WEEK, MONTH = 0x4000, CONSTANTS["TIMEFRAME_W1"], CONSTANTS["TIMEFRAME_MN1"]
TIMEFRAMES = frozenset(value for name, value in CONSTANTS.items() if name.startswith("TIMEFRAME_"))
DAY = 86_400
FIRST_SUNDAY = 3 * DAY


class TickRow(NamedTuple):
    """A tick in the order of the Tick struct and of the ticks array."""

    time: int
    bid: float
    ask: float
    last: float
    volume: int
    time_msc: int
    flags: int
    volume_real: float


class Bar(NamedTuple):
    """A bar in the order of the rates array; `spread` is the last one's, in points."""

    time: int
    open: float
    high: float
    low: float
    close: float
    tick_volume: int
    spread: int
    real_volume: int


def bar_start(time: int, timeframe: int) -> int:
    """The opening time of the bar that holds a moment. Weeks begin on Sunday, months on the first."""
    if timeframe == MONTH:
        moment = datetime.fromtimestamp(time, UTC)
        return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp())
    if timeframe == WEEK:
        return (time - FIRST_SUNDAY) // (7 * DAY) * (7 * DAY) + FIRST_SUNDAY
    seconds = (timeframe - HOURS_FROM) * 3600 if timeframe > HOURS_FROM else timeframe * 60
    return time - time % seconds


class Day:
    """One day's extremes."""

    __slots__ = ("ask_high", "ask_low", "bid_high", "bid_low", "number", "opened")

    def __init__(self, number: int, bid: float, ask: float) -> None:
        self.number = number
        self.opened = self.bid_high = self.bid_low = bid
        self.ask_high = self.ask_low = ask


class PriceHistory:
    """The remembered prices of one symbol."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self.last: TickRow | None = None
        self.day = Day(0, 0.0, 0.0)
        self._ticks: deque[TickRow] = deque(maxlen=KEPT_TICKS)
        self._minutes: deque[Bar] = deque(maxlen=KEPT_MINUTES)
        # The minute under way: start, open, high, low, ticks.
        self._start = -1
        self._open = self._high = self._low = 0.0
        self._count = 0

    def add(self, quote: Quote) -> None:
        """Take the next tick."""
        _, time_msc, bid, ask = quote
        time = time_msc // 1000
        last = self.last
        if last is None:
            flags = FLAG_BID | FLAG_ASK
        else:
            flags = (FLAG_BID if bid != last.bid else 0) | (FLAG_ASK if ask != last.ask else 0)
        self.last = row = TickRow(time, bid, ask, 0.0, 0, time_msc, flags or FLAG_BID | FLAG_ASK, 0.0)
        minute = time - time % 60
        if minute != self._start:
            if last is not None:
                self._minutes.append(self._current(last))
            self._start, self._count = minute, 0
            self._open = self._high = self._low = bid
            if time // DAY != self.day.number:
                self.day = Day(time // DAY, bid, ask)
        self._ticks.append(row)
        self._count += 1
        day = self.day
        if bid > self._high:
            self._high = bid
        elif bid < self._low:
            self._low = bid
        if bid > day.bid_high:
            day.bid_high = bid
        elif bid < day.bid_low:
            day.bid_low = bid
        if ask > day.ask_high:
            day.ask_high = ask
        elif ask < day.ask_low:
            day.ask_low = ask

    def _current(self, last: TickRow) -> Bar:
        spread = self._instrument.points(last.ask - last.bid)
        return Bar(self._start, self._open, self._high, self._low, last.bid, self._count, spread, 0)

    def bars(self, timeframe: int) -> list[Bar]:
        """All remembered bars of a timeframe (one of TIMEFRAMES), oldest first; the last one is under way."""
        if self.last is None:
            return []
        return _merge([*self._minutes, self._current(self.last)], timeframe)

    def ticks_between(self, start_msc: float, end_msc: float, flags: int) -> list[TickRow]:
        """Remembered ticks with start <= time_msc <= end. Trades (COPY_TICKS_TRADE) do not exist here."""
        if flags == CONSTANTS["COPY_TICKS_TRADE"]:
            return []
        ticks = list(self._ticks)
        first = bisect_left(ticks, start_msc, key=lambda tick: tick.time_msc)
        return ticks[first : bisect_right(ticks, end_msc, key=lambda tick: tick.time_msc)]


def _merge(minutes: Iterable[Bar], timeframe: int) -> list[Bar]:
    bars: list[Bar] = []
    for minute in minutes:
        start = bar_start(minute.time, timeframe)
        if bars and bars[-1].time == start:
            whole = bars[-1]
            bars[-1] = Bar(
                start,
                whole.open,
                max(whole.high, minute.high),
                min(whole.low, minute.low),
                minute.close,
                whole.tick_volume + minute.tick_volume,
                minute.spread,
                0,
            )
        else:
            bars.append(minute._replace(time=start))
    return bars
