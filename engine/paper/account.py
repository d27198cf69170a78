"""A simulated account: its holdings, its dealing desk, and what every quote does to them.

Pure and deterministic: no I/O, no clock but the market's. In: quotes in the order of time, trade requests. Out: MT5
return codes, and entries in the ledger, to be committed by the caller before anybody is told.
"""

from collections.abc import Mapping

from engine.paper import requests as rq
from engine.paper.books import REASON_EXPERT, REASON_SL, REASON_SO, STATE_PLACED, Position
from engine.paper.conditions import EXCHANGE, PERCENT, Conditions
from engine.paper.dealing import Dealing, Execution
from engine.paper.holdings import Holdings, Totals, opposite
from engine.paper.market import Instrument, Quote
from engine.paper.plans import Planner
from engine.paper.rollover import nights, swap_of
from engine.paper.sessions import DAY
from engine.paper.working import Working


class PaperAccount(Holdings):
    """One account on the instruments of one market."""

    def __init__(self, conditions: Conditions, instruments: Mapping[str, Instrument]) -> None:
        super().__init__(conditions, instruments)
        self._working = Working(self)
        self._planner = Planner(self, self._working)
        self._dealing = Dealing(self, self._working, self._planner)

    @property
    def entries_open(self) -> bool:
        """Whether the market goes on; behind its last quote nothing is opened any more."""
        return self._planner.entries_open

    @entries_open.setter
    def entries_open(self, goes_on: bool) -> None:
        self._planner.entries_open = goes_on

    def check(self, request: rq.TradeRequest) -> tuple[rq.Refusal, Totals | None]:
        """Judge a request: return code 0 when it would be carried out, and the account's money after it."""
        return self._dealing.check(request)

    def send(self, request: rq.TradeRequest, reason: int = REASON_EXPERT) -> Execution:
        """Carry out a request of a program (or, by its reason, a person), or refuse it."""
        return self._dealing.send(request, reason)

    def settle(self, market_ms: float) -> None:
        """Make the deals that the server's delay held back; `market_ms` is the running time of the market."""
        self._working.settle(market_ms)

    def show(self, quote: Quote) -> None:
        """Take a quote as the last one without anything happening at it: after a restart."""
        self.quotes[quote.symbol] = quote
        self.moved(quote.symbol)

    def on_quote(self, quote: Quote) -> None:
        """Take a tick: the day may end, orders trigger, stops fire at its price, then the stop-out looks."""
        symbol = quote.symbol
        before = self.time_msc // 1000 // DAY
        today = quote.time_msc // 1000 // DAY
        if today > before and self.books.positions:
            self._roll_over(before, today)
        self.quotes[symbol] = quote
        self.time_msc = quote.time_msc
        if self.depth_used:
            self.depth_used.pop(symbol, None)
        if self.books.orders:
            self._working.on_quote(symbol)
        if not self.books.positions:
            return
        self.moved(symbol)
        self._stops(quote)
        self._stop_out()

    def _roll_over(self, first: int, today: int) -> None:
        for position in list(self.books.positions.values()):
            instrument = self.instruments[position.symbol]
            count = sum(nights(instrument, day) for day in range(first, today))
            swap = swap_of(position, instrument, self.quotes[position.symbol], self.valuation, count)
            carried = position._replace(swap=self.valuation.money(position.swap + swap))
            if self.conditions.margin_mode == EXCHANGE:
                # On an exchange the levels of a position do not outlive the day.
                carried = carried._replace(sl=0.0, tp=0.0)
            if carried != position:
                self.put_position(carried)

    def _stops(self, quote: Quote) -> None:
        for position in self.reached(quote):
            reason = position.stop_hit(quote.bid, quote.ask)
            if reason is not None and self.trading(quote.symbol):
                level = position.sl if reason == REASON_SL else position.tp
                name = "sl" if reason == REASON_SL else "tp"
                self._close(position, reason, f"[{name} {level:.{self.instruments[quote.symbol].digits}f}]")

    def _stop_out(self) -> None:
        while self.books.positions and self.below(self.conditions.stop_out):
            closable = [
                position
                for position in self.books.positions.values()
                if self.trading(position.symbol) and self.margin(position.symbol)
            ]
            if not closable:
                return
            totals = self.totals()
            measured = (
                f"{totals.margin_level:.2f}%"
                if self.conditions.stop_out_mode == PERCENT
                else f"{totals.equity:.{self.valuation.digits}f}"
            )
            worst = min(closable, key=lambda position: (self.profit(position) + position.swap, position.ticket))
            self._close(worst, REASON_SO, f"[so {measured}]")

    def _close(self, position: Position, reason: int, comment: str) -> None:
        """Close a position as the server itself does: in full, at the price of now, whatever the depth."""
        price = self.closing_price(position)
        order = self.new_order(
            opposite(position.type), position.symbol, position.volume, price, STATE_PLACED, reason=reason,
            magic=position.magic, comment=comment, position_id=position.ticket,
        )  # fmt: skip
        self._working.close(self._working.placed(order), position, price)
