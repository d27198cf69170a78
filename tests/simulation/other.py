"""Somebody else at the same terminal: another program, or a person's hand."""

from typing import Any

from engine.paper.client import PaperClient
from engine.paper.terminal import PaperTerminal


class Other:
    """Trades on the account beside the engine, with a magic number of its own."""

    def __init__(self, terminal: PaperTerminal, magic: int = 0) -> None:
        self._client: Any = PaperClient.in_process(terminal)
        self._client.initialize()
        self._magic = magic
        self._terminal = terminal

    def send(self, **request: Any) -> Any:
        reply = self._client.order_send({"magic": self._magic, **request})
        assert reply is not None, self._client.last_error()
        assert reply.retcode in (10008, 10009), reply
        return reply

    def deal(self, side: int = 0, volume: float = 0.1, symbol: str = "EURUSD", **more: Any) -> int:
        """Trade at market (0 buy, 1 sell) and return the order's ticket."""
        quote = self._client.symbol_info_tick(symbol)
        price = quote.ask if side == 0 else quote.bid
        ticket: int = self.send(action=1, symbol=symbol, type=side, volume=volume, price=price, **more).order
        return ticket

    def attempt_deal(self, volume: float, symbol: str) -> None:
        """Buy at market, whether or not it is taken."""
        quote = self._client.symbol_info_tick(symbol)
        if quote is not None:
            self._attempt(action=1, symbol=symbol, type=0, volume=volume, price=quote.ask)

    def attempt_close(self, position: Any, volume: float) -> None:
        quote = self._client.symbol_info_tick(position.symbol)
        if quote is not None:
            price = quote.bid if position.type == 0 else quote.ask
            side = 1 - position.type
            self._attempt(
                action=1, symbol=position.symbol, type=side, volume=volume, price=price, position=position.ticket
            )

    def attempt_stop(self, position: Any, sl: float) -> None:
        self._attempt(action=6, symbol=position.symbol, position=position.ticket, sl=sl, tp=0.0)

    def _attempt(self, **request: Any) -> None:
        self._client.order_send({"magic": self._magic, **request})
        # A plan's delay of this call concerns nobody who waits.
        self._terminal.take_owed()

    def positions(self) -> Any:
        return self._client.positions_get()

    def close(self, position: Any, volume: float | None = None) -> None:
        self.deal(1 - position.type, volume or position.volume, position.symbol, position=position.ticket)

    def move_stop(self, position: Any, sl: float, tp: float = 0.0) -> None:
        self.send(action=6, symbol=position.symbol, position=position.ticket, sl=sl, tp=tp)

    def remove(self, order: int) -> None:
        self.send(action=8, order=order)
