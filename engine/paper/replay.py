"""A market from files of ticks or bars: streamed, one symbol a file, in one order of time, on the broker's clock.

In: files, a symbol or none. Out: their ticks; the last quote of each stays. Prices are rounded to the symbol's digits.
The order and the running time of the market are those of UTC, so that nothing happens when the broker's clock is set;
in the hour that it says twice, ticks show the latest time that was shown before.
Where nothing comes for more than LONG_GAP_MS, as over a weekend, the market runs on after SHORT_GAP_MS, while the
broker's clock jumps: nobody waits two days for Monday.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.paper.brokerclock import BrokerClock
from engine.paper.market import Instrument, MarketError, Quote, instrument, pair_in_name
from engine.paper.source import Source, inspect
from engine.paper.tickfile import Place, Tick, place_of

LONG_GAP_MS = 300_000
SHORT_GAP_MS = 60_000


class _Feed:
    """One file: when its next tick comes, in UTC, and the place behind the last one that was taken."""

    def __init__(self, symbol: Instrument, source: Source, clock: BrokerClock) -> None:
        self.instrument = symbol
        self.source = source
        self._clock = clock
        self._shown = source.on_broker_clock
        self.go(source.start)

    def go(self, place: Place) -> None:
        self._behind: Tick = place
        self._stream: Generator[Tick, None, None] = self.source.ticks(place)
        self._advance()

    def _advance(self) -> None:
        self._next = next(self._stream, None)
        self.utc_msc = None if self._next is None else self._utc_msc(self._next)

    def _utc_msc(self, tick: Tick) -> int:
        written = tick[2][0]
        return self._clock.to_utc_msc(written) if self._shown else written

    @property
    def place(self) -> Place:
        """The place behind the last tick that was taken."""
        return Place(*self._behind)

    @property
    def taken_msc(self) -> int | None:
        """The moment of the last tick that was taken, in UTC; None before the first."""
        return None if self.place == self.source.start else self._utc_msc(self._behind)

    def take(self) -> tuple[int, float, float]:
        """Move behind the next tick: what the broker's clock shows, bid, ask."""
        tick = self._next
        if tick is None:
            raise ValueError("the file has ended")
        self._behind = tick
        self._advance()
        written, bid, ask = tick[2]
        digits = self.instrument.digits
        shown = written if self._shown else self._clock.from_utc_msc(written)
        return shown, round(bid, digits), round(ask, digits)

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
        self._last_msc = 0
        self._running_ms = 0
        self._choose(None)

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

    def _choose(self, last_utc_msc: int | None) -> None:
        """Find the file with the next tick (of two at the same time the one named first), and when it is due."""
        self._next: _Feed | None = None
        self._next_utc_msc = 0
        for feed in self._feeds:
            utc_msc = feed.utc_msc
            if utc_msc is not None and (self._next is None or utc_msc < self._next_utc_msc):
                self._next, self._next_utc_msc = feed, utc_msc
        gap = 0 if last_utc_msc is None else self._next_utc_msc - last_utc_msc
        self._due = self._running_ms + (SHORT_GAP_MS if gap > LONG_GAP_MS else gap)

    def due_ms(self) -> int | None:
        """Milliseconds of running market from its first tick to the next one; None behind the last."""
        return None if self._next is None else self._due

    def take(self) -> Quote:
        """Return the next tick. Its time is never before that of the last one."""
        feed = self._next
        if feed is None:
            raise ValueError("the files have ended")
        shown, bid, ask = feed.take()
        self._running_ms = self._due
        self._choose(self._next_utc_msc)
        if shown > self._last_msc:
            self._last_msc = shown
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
        taken = [feed.taken_msc for feed in self._feeds]
        self._choose(max((moment for moment in taken if moment is not None), default=None))

    def close(self) -> None:
        """Close the files."""
        for feed in self._feeds:
            feed.close()
