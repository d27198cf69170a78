"""What a trade request would do: judged in the order a trade server does, as a plan that changes nothing.

In: a request whose types have been judged, the holdings. Out: a Plan, or Refused with MT5's return code.
"""

import math
from typing import NamedTuple

from engine.paper import market as mk
from engine.paper import requests as rq
from engine.paper.books import REASON_EXPERT, STATE_PLACED, Order, Position
from engine.paper.conditions import COMMENTS_CUT, COMMENTS_REPLACED
from engine.paper.fills import Trade
from engine.paper.holdings import Holdings
from engine.paper.market import Instrument
from engine.paper.money import NoRate
from engine.paper.working import DISABLED, OPENING, Working

CUT_COMMENT = 16


class MarketDeal(NamedTuple):
    """A market order that will be filled now or after the server's delay."""

    order: Order
    trade: Trade
    volume: float
    price: float


class Standing(NamedTuple):
    """A pending order as it will stand: a new one, or one that is changed."""

    order: Order


class Removal(NamedTuple):
    """A pending order that will be cancelled."""

    order: Order


class NewStops(NamedTuple):
    """A position as it will be with other stop loss and take profit."""

    position: Position


class Pairing(NamedTuple):
    """Two opposite positions that will close each other."""

    position: Position
    other: Position
    volume: float


Plan = MarketDeal | Standing | Removal | NewStops | Pairing


class Refused(Exception):
    """The request is not carried out; `refusal` says why."""

    def __init__(self, refusal: rq.Refusal) -> None:
        self.refusal = refusal


def _refuse(problem: str | rq.Refusal | None) -> None:
    if problem:
        raise Refused(rq.refusal(problem) if isinstance(problem, str) else problem)


class Planner:
    """Judges the requests of one account. `entries_open` false: nothing is opened any more."""

    def __init__(self, holdings: Holdings, working: Working) -> None:
        self._holdings = holdings
        self._working = working
        self.entries_open = True

    def plan(self, request: rq.TradeRequest, reason: int) -> Plan:
        """Judge a request. `reason` is of the order: a program or a person. Raises Refused."""
        if reason == REASON_EXPERT:
            # The terminal's own switch comes first: such a request never leaves it.
            _refuse("" if self._holdings.interference.terminal_autotrading else "CLIENT_DISABLES_AT")
            _refuse("" if self._holdings.interference.server_autotrading else "SERVER_DISABLES_AT")
        match request.action:
            case rq.ACTION_DEAL:
                return self._plan_deal(request, reason)
            case rq.ACTION_PENDING:
                return self._plan_pending(request, reason)
            case rq.ACTION_SLTP:
                return self._plan_stops(request)
            case rq.ACTION_MODIFY:
                return self._plan_modify(request)
            case rq.ACTION_REMOVE:
                return self._plan_removal(request)
            case rq.ACTION_CLOSE_BY:
                return self._plan_pairing(request)
        raise Refused(rq.refusal("INVALID"))

    def _instrument(self, symbol: str) -> Instrument:
        """The instrument of a symbol that is traded now."""
        instrument = self._holdings.instruments.get(symbol)
        if instrument is None:
            raise Refused(rq.refusal("INVALID"))
        _refuse("" if symbol in self._holdings.quotes else "PRICE_OFF")
        _refuse("" if self._holdings.trading(symbol) else "MARKET_CLOSED")
        return instrument

    def _enabled(self, symbol: str) -> Instrument:
        """The instrument of a symbol that is traded now and whose trade mode does not forbid everything."""
        instrument = self._instrument(symbol)
        _refuse("TRADE_DISABLED" if instrument.trade_mode == DISABLED else "")
        return instrument

    def _new_order(self, request: rq.TradeRequest, reason: int, price: float) -> Order:
        return self._holdings.new_order(
            request.type,
            request.symbol,
            request.volume,
            price,
            STATE_PLACED,
            type_time=request.type_time,
            time_expiration=self._expiration(request),
            type_filling=request.type_filling,
            magic=request.magic,
            position_id=request.position,
            reason=reason,
            sl=request.sl,
            tp=request.tp,
            comment=self._comment(request.comment),
        )

    def _comment(self, comment: str) -> str:
        way = self._holdings.conditions.comments
        if way == COMMENTS_CUT:
            return comment[:CUT_COMMENT]
        return "server" if way == COMMENTS_REPLACED else comment

    def _plan_deal(self, request: rq.TradeRequest, reason: int) -> MarketDeal:
        if request.type not in rq.MARKET_TYPES:
            raise Refused(rq.refusal("INVALID"))
        holdings = self._holdings
        instrument = self._instrument(request.symbol)
        _refuse("" if instrument.order_mode & mk.ORDERS_MARKET else "INVALID_ORDER")
        _refuse("" if rq.filling_allowed(instrument, request) else "INVALID_FILL")
        price = holdings.price_for(request.type, request.symbol)
        order = self._new_order(request, reason, price)
        if request.type_time != rq.TIME_GTC:
            # What is filled at once has no life to judge; one that asks for a life stands if it is not filled.
            _refuse(rq.expiration_problem(instrument, request, holdings.time_msc // 1000))
        met = self._met(request, order, instrument)
        against = met is not None and met.type != request.type
        closes_all = met is not None and against and met.volume == request.volume
        _refuse("" if rq.volume_allowed(instrument, request.volume, closes_all=closes_all) else "INVALID_VOLUME")
        if met is not None and against:
            self._refuse_closing(request, instrument, met)
        try:
            holdings.valuation.tick_values(instrument)
            trade = holdings.trade(order, request.volume, price, met)
        except NoRate as missing:
            raise Refused(rq.Refusal(rq.refusal("REJECT").retcode, str(missing))) from missing
        if trade.entry in OPENING:
            self._refuse_opening(request, instrument)
        _refuse(rq.price_problem(instrument, request, price, requote=holdings.interference.requote))
        volume = request.volume
        if request.type_filling != rq.RETURN:
            # What RETURN leaves open stands on, so it is judged as a whole.
            volume = holdings.fillable(request.symbol, request.volume)
        if volume < request.volume:
            _refuse("REJECT" if volume <= 0 or request.type_filling == rq.FOK else "")
            trade = holdings.trade(order, volume, price, met)
        _refuse(self._working.refused(order, trade, volume))
        return MarketDeal(order, trade, volume, price)

    def _met(self, request: rq.TradeRequest, order: Order, instrument: Instrument) -> Position | None:
        if not request.position:
            return self._holdings.met(order)
        named = self._holdings.books.positions.get(request.position)
        _refuse("" if named else "POSITION_CLOSED")
        if named is not None and (named.symbol != instrument.name or named.type == request.type):
            _refuse("INVALID")
        return named

    def _refuse_closing(self, request: rq.TradeRequest, instrument: Instrument, met: Position) -> None:
        left = round(met.volume - request.volume, 8)
        if request.position:
            _refuse("INVALID_CLOSE_VOLUME" if left < 0 else "")
            orders = self._holdings.books.orders.values()
            standing = any(order.position_id == met.ticket and order.type in rq.MARKET_TYPES for order in orders)
            _refuse("CLOSE_ORDER_EXIST" if standing else "")
        _refuse("INVALID_CLOSE_VOLUME" if 0 < left < instrument.volume_min else "")
        self._refuse_by_age(met)
        _refuse("FROZEN" if self._frozen(instrument, met) else "")

    def _refuse_by_age(self, *closed: Position) -> None:
        """Where the oldest goes first, only the oldest positions of the symbol may be closed, whatever their side."""
        if not self._holdings.conditions.closes_by_fifo:
            return
        same = (one for one in self._holdings.books.positions.values() if one.symbol == closed[0].symbol)
        oldest = sorted(same, key=lambda one: (one.time_msc, one.ticket))[: len(closed)]
        _refuse("" if {one.ticket for one in oldest} == {one.ticket for one in closed} else "FIFO_CLOSE")

    def _refuse_opening(self, request: rq.TradeRequest, instrument: Instrument) -> None:
        _refuse("" if self.entries_open else "MARKET_CLOSED")
        sign = 1 if request.type in rq.BUYS else -1
        closing = self._holdings.quotes[instrument.name]
        _refuse(rq.stops_problem(instrument, closing.bid if sign > 0 else closing.ask, sign, request.sl, request.tp))
        self._refuse_over_limit(request, instrument)

    def _refuse_over_limit(self, request: rq.TradeRequest, instrument: Instrument) -> None:
        if not instrument.volume_limit:
            return
        books, buying = self._holdings.books, request.type in rq.BUYS
        # A pending order may find the opposite position gone: only a deal of now is set off against it.
        sets_off = request.action == rq.ACTION_DEAL and not self._holdings.conditions.hedging
        held = sum(
            position.volume * position.sign
            for position in books.positions.values()
            if position.symbol == instrument.name and (sets_off or (position.sign > 0) == buying)
        )
        waiting = sum(
            order.volume_current
            for order in books.orders.values()
            if order.symbol == instrument.name and (order.type in rq.BUYS) == buying
        )
        directed = held if buying else -held
        over = directed + waiting + request.volume > instrument.volume_limit + instrument.volume_step / 1e3
        _refuse("LIMIT_VOLUME" if over else "")

    def _plan_pending(self, request: rq.TradeRequest, reason: int) -> Standing:
        kinds = ((rq.LIMITS, mk.ORDERS_LIMIT), (rq.STOPS, mk.ORDERS_STOP), (rq.STOP_LIMITS, mk.ORDERS_STOP_LIMIT))
        flag = next((flag for kind, flag in kinds if request.type in kind), 0)
        instrument = self._instrument(request.symbol)
        _refuse("" if flag & instrument.order_mode else "INVALID_ORDER")
        _refuse("" if self.entries_open else "MARKET_CLOSED")
        _refuse("" if rq.filling_allowed(instrument, request) else "INVALID_FILL")
        _refuse("" if rq.volume_allowed(instrument, request.volume) else "INVALID_VOLUME")
        self._refuse_standing(instrument, request)
        limit = self._holdings.conditions.limit_orders
        standing = [order for order in self._holdings.books.orders.values() if order.type in rq.PENDING_TYPES]
        _refuse("LIMIT_ORDERS" if limit and len(standing) >= limit else "")
        self._refuse_over_limit(request, instrument)
        order = self._new_order(request, reason, request.price)
        trade = self._opening(order, instrument)
        _refuse(self._working.mode_refused(order, trade))
        return Standing(
            order._replace(
                price_stoplimit=request.stoplimit if request.type in rq.STOP_LIMITS else 0.0,
                time_expiration=self._expiration(request),
                position_id=0,
            )
        )

    def _opening(self, order: Order, instrument: Instrument) -> Trade:
        try:
            self._holdings.valuation.tick_values(instrument)
            return self._holdings.trade(order, order.volume_initial, order.price_open, None)
        except NoRate as missing:
            raise Refused(rq.Refusal(rq.refusal("REJECT").retcode, str(missing))) from missing

    def _refuse_standing(self, instrument: Instrument, request: rq.TradeRequest) -> None:
        """Judge the prices and the life of a pending order."""
        quote = self._holdings.quotes[instrument.name]
        _refuse(rq.pending_price_problem(instrument, quote, request))
        sign = 1 if request.type in rq.BUYS else -1
        opened = request.stoplimit if request.type in rq.STOP_LIMITS else request.price
        _refuse(rq.stops_problem(instrument, opened, sign, request.sl, request.tp))
        _refuse(rq.expiration_problem(instrument, request, self._holdings.time_msc // 1000))

    @staticmethod
    def _expiration(request: rq.TradeRequest) -> int:
        return request.expiration if request.type_time in (rq.TIME_SPECIFIED, rq.TIME_SPECIFIED_DAY) else 0

    def _plan_stops(self, request: rq.TradeRequest) -> NewStops:
        position = self._held(request)
        if request.symbol not in ("", position.symbol):
            _refuse("INVALID")
        instrument = self._enabled(position.symbol)
        if (request.sl, request.tp) == (position.sl, position.tp):
            _refuse("NO_CHANGES")
        _refuse("FROZEN" if self._frozen(instrument, position) else "")
        # A level that stays is not judged again: the price may have come near it.
        sl = request.sl if request.sl != position.sl else 0.0
        tp = request.tp if request.tp != position.tp else 0.0
        _refuse(rq.stops_problem(instrument, self._holdings.closing_price(position), position.sign, sl, tp))
        return NewStops(position._replace(sl=request.sl, tp=request.tp, time_update_msc=self._holdings.time_msc))

    def _held(self, request: rq.TradeRequest) -> Position:
        """The position that is named; on a netting account the symbol is enough."""
        positions = self._holdings.books.positions
        found = positions.get(request.position)
        if not request.position and not self._holdings.conditions.hedging:
            found = next((position for position in positions.values() if position.symbol == request.symbol), None)
        if found is None:
            raise Refused(rq.refusal("POSITION_CLOSED"))
        return found

    def _frozen(self, instrument: Instrument, held: Position | Order) -> bool:
        """Whether the price is so near to a level of it that it may not be touched."""
        if not instrument.freeze_level:
            return False
        if isinstance(held, Position):
            price = self._holdings.closing_price(held)
            levels = (held.sl, held.tp)
        else:
            price = self._holdings.price_for(held.type, held.symbol)
            levels = (held.price_open, 0.0)
        return any(level and abs(instrument.points(price - level)) <= instrument.freeze_level for level in levels)

    def _standing(self, request: rq.TradeRequest) -> Order:
        order = self._holdings.books.orders.get(request.order)
        if order is None:
            raise Refused(rq.refusal("INVALID"))
        _refuse("LOCKED" if order.type in rq.MARKET_TYPES else "")
        instrument = self._enabled(order.symbol)
        _refuse("FROZEN" if self._frozen(instrument, order) else "")
        return order

    def _plan_modify(self, request: rq.TradeRequest) -> Standing:
        order = self._standing(request)
        changed = order._replace(
            price_open=request.price,
            sl=request.sl,
            tp=request.tp,
            price_stoplimit=request.stoplimit if order.type in rq.STOP_LIMITS else 0.0,
            type_time=request.type_time,
            time_expiration=self._expiration(request),
        )
        _refuse("NO_CHANGES" if changed == order else "")
        if not math.isfinite(request.price):
            _refuse("INVALID_PRICE")
        self._refuse_standing(self._holdings.instruments[order.symbol], request._replace(type=order.type))
        return Standing(changed)

    def _plan_removal(self, request: rq.TradeRequest) -> Removal:
        return Removal(self._standing(request))

    def _plan_pairing(self, request: rq.TradeRequest) -> Pairing:
        _refuse("" if self._holdings.conditions.hedging else "INVALID_ORDER")
        position = self._held(request)
        other = self._held(request._replace(position=request.position_by))
        if position.symbol != other.symbol or position.type == other.type:
            _refuse("INVALID")
        instrument = self._enabled(position.symbol)
        _refuse("" if instrument.order_mode & mk.ORDERS_CLOSE_BY else "INVALID_ORDER")
        self._refuse_by_age(position, other)
        _refuse("FROZEN" if self._frozen(instrument, position) or self._frozen(instrument, other) else "")
        return Pairing(position, other, min(position.volume, other.volume))
