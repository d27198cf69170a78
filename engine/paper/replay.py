"""A market from a file of ticks: streamed, one symbol, prices rounded to the symbol's digits.

In: a file, a symbol or none. Out: its ticks in order; the last quote stays. The file is read whole before the first
tick is given, so a bad one never starts.
"""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from engine.paper.market import Instrument, MarketError, Quote, instrument, pair_in_name
from engine.paper.tickfile import NOTHING, Place, Prices, TickFile, inspect, ticks


class ReplayMarket:
    """The ticks of one file.

    `symbol` None: the first known pair in the file's name. Raises TickFileError or MarketError.
    """

    def __init__(self, path: Path, symbol: str | None = None) -> None:
        name = symbol or pair_in_name(path.name)
        if name is None:
            raise MarketError(f"{path}: no known pair in the file's name; name the symbol (--symbol EURUSD)")
        self._instrument = instrument(name)
        self._file = inspect(path)
        self._go(Place(*self._file.body, NOTHING))

    @property
    def file(self) -> TickFile:
        """What was found in the file."""
        return self._file

    @property
    def identity(self) -> str:
        """The file's digest and the symbol."""
        return f"replay {self._file.digest} {self._instrument.name}"

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """The one symbol."""
        return {self._instrument.name: self._instrument}

    def _go(self, place: Place) -> None:
        self._place = place
        self._stream: Generator[Place, None, None] = ticks(self._file.path, self._file.format, place)
        self._next = next(self._stream, None)

    def due_ms(self) -> int | None:
        """Milliseconds from the file's first tick to the next one; None behind the last."""
        return None if self._next is None else self._next.prices.time_msc - self._file.first_msc

    def take(self) -> Quote:
        """Return the next tick."""
        if self._next is None:
            raise ValueError("the file has ended")
        self._place = self._next
        self._next = next(self._stream, None)
        time_msc, bid, ask = self._place.prices
        digits = self._instrument.digits
        return Quote(self._instrument.name, time_msc, round(bid, digits), round(ask, digits))

    def position(self) -> dict[str, Any]:
        """Byte offset, line and prices behind the last tick taken."""
        return self._place.as_json()

    def resume(self, position: Mapping[str, Any]) -> None:
        """Go on behind a tick."""
        self.close()
        self._go(Place(position["offset"], position["line"], Prices(*position["prices"])))

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
