"""A market from files of ticks or bars: streamed, one symbol a file, in one order of time, on the broker's clock.

In: files, a symbol or none. Out: their ticks; the last quote of each stays. Prices are rounded to the symbol's digits.
Where nothing comes for more than LONG_GAP_MS, as over a weekend, the market runs on after SHORT_GAP_MS, while the
broker's clock jumps: nobody waits two days for Monday.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.paper.brokerclock import BrokerClock
from engine.paper.market import Instrument, MarketError, Quote, instrument, pair_in_name
from engine.paper.source import Source, inspect
from engine.paper.tickfile import Place, place_of

LONG_GAP_MS = 300_000
SHORT_GAP_MS = 60_000


class _Feed:
    """One file: its next tick, on the broker's clock, and the place behind the last one that was taken."""

    def __init__(self, symbol: Instrument, source: Source, clock: BrokerClock) -> None:
        self.instrument = symbol
        self.source = source
        self._clock = None if source.on_broker_clock else clock
        self.go(source.start)

    def go(self, place: Place) -> None:
        self.place = place
        self._stream: Generator[Place, None, None] = self.source.ticks(place)
        self._advance()

    def _advance(self) -> None:
        self._next = next(self._stream, None)
        if self._next is None:
            self.time_msc: int | None = None
        else:
            written = self._next.prices.time_msc
            self.time_msc = written if self._clock is None else self._clock.from_utc_msc(written)

    def take(self) -> tuple[float, float]:
        """Move behind the next tick; its bid and ask."""
        if self._next is None:
            raise ValueError("the file has ended")
        self.place = self._next
        _, bid, ask = self._next.prices
        digits = self.instrument.digits
        self._advance()
        return round(bid, digits), round(ask, digits)

    def close(self) -> None:
        self._stream.close()


class ReplayMarket:
    """The ticks of some files.

    `symbol` is the one file's symbol, or the main one of several; None: the first known pair in each file's name.
    `instruments` gives the trading conditions of a symbol. Raises TickFileError or MarketError.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        symbol: str | None = None,
        *,
        instruments: Callable[[str], Instrument] = instrument,
        clock: BrokerClock | None = None,
    ) -> None:
        self._clock = clock or BrokerClock()
        self._feeds: list[_Feed] = []
        try:
            for path in paths:
                name = symbol if symbol is not None and len(paths) == 1 else pair_in_name(path.name)
                self._add(path, name, instruments)
        except BaseException:
            self.close()
            raise
        names = [feed.instrument.name for feed in self._feeds]
        if not names or (symbol is not None and symbol not in names):
            self.close()
            raise MarketError(f"symbol {symbol!r}: the files hold {', '.join(names) or 'nothing'}")
        order = sorted(self._feeds, key=lambda feed: feed.instrument.name != symbol)
        self._instruments = {feed.instrument.name: feed.instrument for feed in order}
        self._last_msc = min(feed.time_msc or 0 for feed in self._feeds)
        self._running_ms = 0

    def _add(self, path: Path, name: str | None, instruments: Callable[[str], Instrument]) -> None:
        if name is None:
            raise MarketError(f"{path}: no known pair in the file's name; name the symbol (--symbol EURUSD)")
        for feed in self._feeds:
            if feed.instrument.name == name:
                raise MarketError(f"{path}: {name} is in {feed.source.path} already; expected one file a symbol")
        conditions = instruments(name)
        self._feeds.append(_Feed(conditions, inspect(path, conditions.point), self._clock))

    @property
    def sources(self) -> list[Source]:
        """What was found in the files."""
        return [feed.source for feed in self._feeds]

    @property
    def identity(self) -> str:
        """The files' digests and symbols, and the clock."""
        files = ", ".join(f"{feed.source.digest} {feed.instrument.name}" for feed in self._feeds)
        return f"replay {files} {self._clock.kind}"

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """The symbols by name."""
        return self._instruments

    def _first(self) -> _Feed | None:
        """The file with the next tick; of two at the same time the one that was named first."""
        first: _Feed | None = None
        for feed in self._feeds:
            time_msc = feed.time_msc
            if time_msc is not None and (first is None or time_msc < (first.time_msc or 0)):
                first = feed
        return first

    def due_ms(self) -> int | None:
        """Milliseconds of running market from its first tick to the next one; None behind the last."""
        feed = self._first()
        if feed is None or feed.time_msc is None:
            return None
        # An hour is said twice when the broker's clock is set back.
        gap = max(0, feed.time_msc - self._last_msc)
        return self._running_ms + (SHORT_GAP_MS if gap > LONG_GAP_MS else gap)

    def take(self) -> Quote:
        """Return the next tick. Its time is never before that of the last one."""
        due, feed = self.due_ms(), self._first()
        if due is None or feed is None:
            raise ValueError("the files have ended")
        self._running_ms = due
        self._last_msc = max(self._last_msc, feed.time_msc or 0)
        bid, ask = feed.take()
        return Quote(feed.instrument.name, self._last_msc, bid, ask)

    def position(self) -> dict[str, Any]:
        """The place in each file behind the last tick taken from it, and the market's time."""
        places = [feed.place.as_json() for feed in self._feeds]
        return {"places": places, "last_msc": self._last_msc, "running_ms": self._running_ms}

    def resume(self, position: Mapping[str, Any]) -> None:
        """Go on behind a tick."""
        self.close()
        for feed, place in zip(self._feeds, position["places"], strict=True):
            feed.go(place_of(place))
        self._last_msc, self._running_ms = position["last_msc"], position["running_ms"]

    def close(self) -> None:
        """Close the files."""
        for feed in self._feeds:
            feed.close()
