"""Orders that stand: how they are filled, triggered by quotes, delayed, and expire.

In: orders of the books and the quotes. Out: entries in the ledger. A fill looks at the depth of the quote, the filling
mode and the margin; what it leaves open stands on, is cancelled or is rejected as the filling mode says.
"""

from typing import NamedTuple

from engine.paper import requests as rq
from engine.paper.books import (
    ENTRY_IN,
    ENTRY_INOUT,
    STATE_CANCELED,
    STATE_EXPIRED,
    STATE_FILLED,
    STATE_PARTIAL,
    STATE_PLACED,
    STATE_REJECTED,
    Order,
    Position,
)
from engine.paper.fills import Trade
from engine.paper.holdings import Holdings
from engine.paper.market import EXECUTION_INSTANT, EXECUTION_REQUEST
from engine.paper.money import NoRate
from engine.paper.structs import CONSTANTS

DAY = 86_400
VOLUME_DIGITS = 8
OPENING = frozenset({ENTRY_IN, ENTRY_INOUT})
STANDING = frozenset({rq.RETURN, rq.BOC})
"""Filling modes whose rest stands on."""
DISABLED, LONG_ONLY, SHORT_ONLY, CLOSE_ONLY = (
    CONSTANTS[f"SYMBOL_TRADE_MODE_{name}"] for name in ("DISABLED", "LONGONLY", "SHORTONLY", "CLOSEONLY")
)


class Filled(NamedTuple):
    """What came of trying to fill an order: `volume` 0 when there was no deal; `refused` says why."""

    order: Order
    volume: float = 0.0
    deal: int = 0
    refused: str = ""


class Working:
    """The standing orders of one account."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._due: dict[int, float] = {}
        """Market orders whose deal is made later: when, in milliseconds of running market."""
        self._market_ms = 0.0

    def delay(self, order: Order) -> None:
        """Let a market order that was put wait for the server's delay."""
        self._due[order.ticket] = self._market_ms + self._holdings.conditions.execution_delay_ms

    def settle(self, market_ms: float) -> None:
        """Fill the market orders whose time has come. Those found at a restart are filled at once."""
        self._market_ms = market_ms
        if not self._holdings.books.orders:
            return
        for order in list(self._holdings.books.orders.values()):
            if order.type in rq.MARKET_TYPES and self._due.get(order.ticket, 0.0) <= market_ms:
                self._due.pop(order.ticket, None)
                if self._holdings.trading(order.symbol):
                    self.fill(order, self._holdings.price_for(order.type, order.symbol))

    def on_quote(self, symbol: str) -> None:
        """Let a quote of a symbol trigger its orders, and the market's time end those that have expired."""
        holdings = self._holdings
        for order in list(holdings.books.orders.values()):
            if self._expired(order):
                self._end(order, STATE_EXPIRED)
            elif order.symbol == symbol and order.type in rq.PENDING_TYPES and holdings.trading(symbol):
                self._trigger(order)

    def _expired(self, order: Order) -> bool:
        now = self._holdings.time_msc // 1000
        if order.type_time == rq.TIME_DAY:
            return now // DAY > order.time_setup // DAY
        if order.type_time == rq.TIME_SPECIFIED:
            return now >= order.time_expiration
        return order.type_time == rq.TIME_SPECIFIED_DAY and now // DAY > order.time_expiration // DAY

    def _trigger(self, order: Order) -> None:
        price = self._holdings.price_for(order.type, order.symbol)
        rising = order.type in (rq.BUY_STOP, rq.BUY_STOP_LIMIT, rq.SELL_LIMIT)
        if (price < order.price_open) if rising else (price > order.price_open):
            return
        if order.type in rq.STOP_LIMITS:
            limit = rq.BUY_LIMIT if order.type == rq.BUY_STOP_LIMIT else rq.SELL_LIMIT
            self.stand(order._replace(type=limit, price_open=order.price_stoplimit, price_stoplimit=0.0))
            return
        execution = self._holdings.instruments[order.symbol].execution_mode
        if order.type in rq.LIMITS and execution in (EXECUTION_REQUEST, EXECUTION_INSTANT):
            price = order.price_open
        self.fill(order, price)

    def stand(self, order: Order) -> None:
        """Let a pending order wait for its price from now on."""
        if order.type_filling == rq.BOC and order.type in rq.LIMITS:
            price = self._holdings.price_for(order.type, order.symbol)
            if price <= order.price_open if order.type == rq.BUY_LIMIT else price >= order.price_open:
                # Book or cancel: it must not take what others offer.
                self._end(order, STATE_CANCELED)
                return
        self._holdings.put_order(order)

    def cancel(self, order: Order) -> None:
        """Take a standing order out as its owner wishes."""
        self._end(order, STATE_CANCELED)

    def _end(self, order: Order, state: int) -> Order:
        now = self._holdings.time_msc
        ended = order._replace(state=state, time_done=now // 1000, time_done_msc=now)
        self._holdings.put_order(ended)
        return ended

    def mode_refused(self, order: Order, trade: Trade) -> str:
        """Why the symbol's trade mode forbids a trade: the name of MT5's return code, or "" when it does not."""
        mode = self._holdings.instruments[order.symbol].trade_mode
        if mode == DISABLED:
            return "TRADE_DISABLED"
        if trade.entry not in OPENING:
            return ""
        if mode == CLOSE_ONLY:
            return "CLOSE_ONLY"
        if mode == LONG_ONLY and order.type not in rq.BUYS:
            return "LONG_ONLY"
        if mode == SHORT_ONLY and order.type in rq.BUYS:
            return "SHORT_ONLY"
        return ""

    def refused(self, order: Order, trade: Trade, volume: float) -> str:
        """Why a trade may not be made: the name of MT5's return code, or "" when it may."""
        forbidden = self.mode_refused(order, trade)
        if forbidden or trade.entry not in OPENING:
            return forbidden
        after = self._holdings.after(order, trade, volume)
        return "NO_MONEY" if after.margin_free < 0 and after.margin > 0 else ""

    def fill(self, order: Order, price: float) -> Filled:
        """Fill a standing order at a price, as far as the market takes it."""
        holdings = self._holdings
        met = holdings.met(order)
        wanted = order.volume_current
        if order.position_id and order.type in rq.MARKET_TYPES:
            if met is None:
                return Filled(self._end(order, STATE_CANCELED), refused="POSITION_CLOSED")
            wanted = min(wanted, met.volume)
        volume = holdings.fillable(order.symbol, wanted)
        if volume <= 0 or (volume < wanted and order.type_filling == rq.FOK):
            if order.type_filling in STANDING:
                return Filled(order)
            return Filled(self._end(order, STATE_CANCELED), refused="REJECT")
        now = holdings.time_msc
        order = order._replace(time_done=now // 1000, time_done_msc=now, price_current=price)
        try:
            trade = holdings.trade(order, volume, price, met)
        except NoRate:
            return Filled(self._end(order, STATE_REJECTED), refused="REJECT")
        refused = self.refused(order, trade, volume)
        if refused:
            return Filled(self._end(order, STATE_REJECTED), refused=refused)
        deal = holdings.book(order, trade, volume, price)
        holdings.depth_used[order.symbol] = holdings.depth_used.get(order.symbol, 0.0) + volume
        left = round(wanted - volume, VOLUME_DIGITS)
        stands = left > 0 and order.type_filling in STANDING
        state = STATE_PARTIAL if stands else STATE_CANCELED if left else STATE_FILLED
        done = order._replace(state=state, volume_current=left, position_id=trade.identifier)
        if stands and holdings.conditions.hedging:
            # The rest of it adds to the position that it opened, which has its ticket.
            done = done._replace(position_id=0)
        holdings.put_order(done)
        return Filled(done, volume, deal.ticket)

    def close(self, order: Order, position: Position, price: float) -> None:
        """Fill an order of the server itself: all of it, whatever the market takes."""
        trade = self._holdings.trade(order, order.volume_initial, price, position)
        self._holdings.book(order, trade, order.volume_initial, price)
        self._holdings.put_order(order._replace(state=STATE_FILLED, volume_current=0.0, position_id=trade.identifier))

    def placed(self, order: Order) -> Order:
        """Put a new order."""
        order = order._replace(state=STATE_PLACED)
        self._holdings.put_order(order)
        return order
