"""A market whose quotes the test says, and a terminal with a client on it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.paper import client as mt5
from engine.paper.client import PaperClient
from engine.paper.conditions import Conditions
from engine.paper.market import Instrument, Quote, instrument
from engine.paper.terminal import PaperTerminal

BEGIN_MSC = 1_767_600_000_000


class ScriptedMarket:
    """Gives the quotes it was told, one a second, in the order told. It finishes behind the last one."""

    def __init__(self, quotes: Iterable[tuple[str, float, float]], **changed: Any) -> None:
        self._quotes = [
            Quote(symbol, BEGIN_MSC + place * 1000, bid, ask) for place, (symbol, bid, ask) in enumerate(quotes)
        ]
        names = dict.fromkeys(quote.symbol for quote in self._quotes)
        self._instruments = {name: replace(instrument(name), **changed) for name in names}
        self._next = 0

    @property
    def identity(self) -> str:
        return "scripted"

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self._instruments

    def due_ms(self) -> int | None:
        return self._quotes[self._next].time_msc - BEGIN_MSC if self._next < len(self._quotes) else None

    def take(self) -> Quote:
        self._next += 1
        return self._quotes[self._next - 1]

    def position(self) -> dict[str, Any]:
        return {"next": self._next}

    def resume(self, position: Mapping[str, Any]) -> None:
        self._next = position["next"]

    def close(self) -> None:
        """Nothing is held."""


def trade(
    quotes: Iterable[tuple[str, float, float]],
    conditions: Conditions | None = None,
    *,
    balance: float = 10_000.0,
    state: Path | None = None,
    **changed: Any,
) -> tuple[PaperTerminal, PaperClient]:
    """A terminal at the first quote of each symbol, stepped by the test, and a connected client.

    `changed` are fields of every instrument. One more quote than needed keeps the market open.
    """
    terminal = PaperTerminal(ScriptedMarket(quotes, **changed), conditions, balance=balance, speed=None, state=state)
    client = PaperClient.in_process(terminal)
    assert client.initialize()
    return terminal, client


def deal(side: str, volume: float = 1.0, symbol: str = "EURUSD", **more: Any) -> dict[str, Any]:
    """A market request."""
    kind = mt5.ORDER_TYPE_BUY if side == "buy" else mt5.ORDER_TYPE_SELL
    return {"action": mt5.TRADE_ACTION_DEAL, "symbol": symbol, "volume": volume, "type": kind, **more}
