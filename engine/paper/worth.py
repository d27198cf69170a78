"""What the open positions are worth at the last quotes: profit, swap, margin, and which stops a quote reaches.

Asked at every tick with positions open, so that what only changes with a position is kept until one changes. In: the
books, the quotes. Out: money in account currency, rounded as a broker does.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from engine.paper.books import BUY, Books, Position
from engine.paper.margin import symbol_margin
from engine.paper.market import Instrument, Quote
from engine.paper.money import Valuation


class _Held(NamedTuple):
    """The positions of one symbol, and the prices from which on one of their stops is reached."""

    positions: list[Position]
    bid_falls_to: float
    bid_rises_to: float
    ask_falls_to: float
    ask_rises_to: float


def _held(positions: list[Position]) -> _Held:
    buys = [position for position in positions if position.type == BUY]
    sells = [position for position in positions if position.type != BUY]
    return _Held(
        positions,
        max((position.sl for position in buys if position.sl), default=-math.inf),
        min((position.tp for position in buys if position.tp), default=math.inf),
        max((position.tp for position in sells if position.tp), default=-math.inf),
        min((position.sl for position in sells if position.sl), default=math.inf),
    )


class Worth:
    """The worth of one account's positions."""

    def __init__(
        self,
        books: Books,
        instruments: Mapping[str, Instrument],
        quotes: Mapping[str, Quote],
        valuation: Valuation,
        leverage: int,
    ) -> None:
        self._books = books
        self._instruments = instruments
        self._quotes = quotes
        self._valuation = valuation
        self._leverage = leverage
        self.forget()

    def forget(self) -> None:
        """Positions and quotes may be others now."""
        self._symbols: dict[str, _Held] | None = None
        self._profits: dict[int, float] = {}
        self._margins: dict[str, float] = {}
        self._carried: tuple[float, float] | None = None
        self._stale: set[str] = set(self._instruments)
        """Symbols whose quotes have moved since the positions were valued."""
        self._watched: dict[str, frozenset[str]] = {}

    def changed(self, position: Position) -> None:
        """A position has come, gone or changed."""
        self._symbols = self._carried = None
        self._margins.pop(position.symbol, None)
        self._profits.pop(position.ticket, None)
        self._stale.add(position.symbol)

    def moved(self, symbol: str) -> None:
        """A quote of this symbol has come."""
        self._stale.add(symbol)

    def _by_symbol(self) -> dict[str, _Held]:
        if self._symbols is None:
            grouped: dict[str, list[Position]] = {}
            for position in self._books.positions.values():
                grouped.setdefault(position.symbol, []).append(position)
            self._symbols = {symbol: _held(positions) for symbol, positions in grouped.items()}
        return self._symbols

    def reached(self, quote: Quote) -> list[Position]:
        """The positions whose stop loss or take profit a quote reaches, in the order in which they were opened."""
        symbol, _, bid, ask = quote
        held = self._by_symbol().get(symbol)
        if held is None:
            return []
        positions, bid_falls_to, bid_rises_to, ask_falls_to, ask_rises_to = held
        if bid_falls_to < bid < bid_rises_to and ask_falls_to < ask < ask_rises_to:
            return []
        return [position for position in positions if position.stop_hit(bid, ask) is not None]

    def _value(self) -> None:
        stale = self._stale
        for symbol, held in self._by_symbol().items():
            watched = self._watched.get(symbol)
            if watched is None:
                watched = self._watched[symbol] = self._valuation.depends_on(self._instruments[symbol])
            if not stale.isdisjoint(watched):
                _, _, bid, ask = self._quotes[symbol]
                self._profits.update(self._valuation.profits(self._instruments[symbol], held.positions, bid, ask))
        stale.clear()

    def profit(self, position: Position) -> float:
        """Floating profit of a position, without its swap. Raises NoRate."""
        if self._stale:
            self._value()
        return self._profits[position.ticket]

    def totals(self) -> tuple[float, float]:
        """Floating profit with swap, and margin, of all positions. Raises NoRate."""
        if self._stale:
            self._value()
        if self._carried is None:
            swap = sum(position.swap for position in self._books.positions.values())
            margin = self._valuation.money(sum(self.margin(symbol) for symbol in self._by_symbol()))
            self._carried = swap, margin
        swap, margin = self._carried
        return self._valuation.money(sum(self._profits.values()) + swap), margin

    def margin(self, symbol: str) -> float:
        """Margin of a symbol's positions."""
        margin = self._margins.get(symbol)
        if margin is None:
            held = self._by_symbol().get(symbol)
            margin = self._margins[symbol] = 0.0 if held is None else self.margin_of(symbol, held.positions)
        return margin

    def margin_of(self, symbol: str, positions: list[Position]) -> float:
        """What the margin of a symbol would be with these positions."""
        if not positions:
            return 0.0
        return self._valuation.money(symbol_margin(self._instruments[symbol], positions, self._leverage))
