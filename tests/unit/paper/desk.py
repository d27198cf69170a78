"""A paper account without a terminal: quotes and requests in, books and return codes out."""

from dataclasses import replace
from typing import Any

from engine.paper import requests as rq
from engine.paper.account import PaperAccount
from engine.paper.books import Books, Deal, Order, Position
from engine.paper.conditions import Conditions
from engine.paper.dealing import Execution
from engine.paper.ledger import Record
from engine.paper.market import Instrument, Quote, instrument
from engine.paper.structs import CONSTANTS

MONDAY = 1_767_571_200
"""2026-01-05 00:00 of the broker's clock."""
NAMES = {value: name.removeprefix("TRADE_RETCODE_") for name, value in CONSTANTS.items() if "_RETCODE_" in name}


class Desk:
    """One account with a deposit on some instruments; its clock stands where the last quote put it."""

    def __init__(
        self,
        *symbols: str | Instrument,
        conditions: Conditions | None = None,
        balance: float = 10_000.0,
        at: int = MONDAY + 10 * 3600,
        **changed: Any,
    ) -> None:
        made = [instrument(one) if isinstance(one, str) else one for one in symbols or ("EURUSD",)]
        self.instruments = {one.name: replace(one, **changed) for one in made}
        self.main = made[0].name
        self.account = PaperAccount(conditions or Conditions(), self.instruments)
        self.account.time_msc = at * 1000
        self.account.deposit(balance)

    def quote(self, bid: float, ask: float | None = None, symbol: str = "", *, at: int | None = None) -> None:
        """The next tick: a second after the last one, or at a time in epoch seconds of the broker's clock."""
        time_msc = self.account.time_msc + 1000 if at is None else at * 1000
        self.account.on_quote(Quote(symbol or self.main, time_msc, bid, bid if ask is None else ask))

    def send(self, action: int, **fields: Any) -> Execution:
        """Send a request as a program does."""
        return self.account.send(rq.TradeRequest(action=action, **fields))

    def deal(self, side: str, volume: float = 1.0, **fields: Any) -> Execution:
        """A market order."""
        kind = rq.BUY if side == "buy" else rq.SELL
        return self.send(rq.ACTION_DEAL, **{"symbol": self.main, "type": kind, "volume": volume, **fields})

    def pend(self, kind: int, price: float, volume: float = 1.0, **fields: Any) -> Execution:
        """A pending order, filled in parts when it must be."""
        values = {"symbol": self.main, "type_filling": rq.RETURN, **fields}
        return self.send(rq.ACTION_PENDING, type=kind, price=price, volume=volume, **values)

    def close(self, position: Position, volume: float | None = None, **fields: Any) -> Execution:
        """Close a position, or a part of it, by its ticket."""
        side = "sell" if position.sign > 0 else "buy"
        lots = position.volume if volume is None else volume
        return self.deal(side, lots, symbol=position.symbol, position=position.ticket, **fields)

    @property
    def positions(self) -> list[Position]:
        return list(self.account.books.positions.values())

    @property
    def position(self) -> Position:
        """The only one."""
        (only,) = self.positions
        return only

    @property
    def orders(self) -> list[Order]:
        return list(self.account.books.orders.values())

    @property
    def deals(self) -> list[Deal]:
        """The trades' deals, without those of money alone."""
        return [deal for deal in self.account.books.history.deals if deal.order]

    def replayed(self) -> Books:
        """The books that the ledger gives when it is read back."""
        books = Books(self.account.valuation.digits)
        for record in self.account.ledger.records:
            books.apply(Record(record.sequence, record.time_msc, record.kind, list(record.row)))
        return books


def name(execution: Execution) -> str:
    """The return code's name: DONE, NO_MONEY ..."""
    return NAMES[execution.retcode]
