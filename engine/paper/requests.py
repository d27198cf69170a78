"""Trade requests and how they are judged: the order of the checks, and the MT5 return code of each refusal.

In: a request, the instrument, its quote. Out: a Refusal or None. Pure; what needs the account (money, positions) is
judged in dealing.py.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.paper import market as mk
from engine.paper.market import Instrument, Quote
from engine.paper.structs import CONSTANTS, CONTRACT

ACTION_DEAL = CONSTANTS["TRADE_ACTION_DEAL"]
ACTION_PENDING = CONSTANTS["TRADE_ACTION_PENDING"]
ACTION_SLTP = CONSTANTS["TRADE_ACTION_SLTP"]
ACTION_MODIFY = CONSTANTS["TRADE_ACTION_MODIFY"]
ACTION_REMOVE = CONSTANTS["TRADE_ACTION_REMOVE"]
ACTION_CLOSE_BY = CONSTANTS["TRADE_ACTION_CLOSE_BY"]
BUY = CONSTANTS["ORDER_TYPE_BUY"]
SELL = CONSTANTS["ORDER_TYPE_SELL"]
BUY_LIMIT, SELL_LIMIT = CONSTANTS["ORDER_TYPE_BUY_LIMIT"], CONSTANTS["ORDER_TYPE_SELL_LIMIT"]
BUY_STOP, SELL_STOP = CONSTANTS["ORDER_TYPE_BUY_STOP"], CONSTANTS["ORDER_TYPE_SELL_STOP"]
BUY_STOP_LIMIT, SELL_STOP_LIMIT = CONSTANTS["ORDER_TYPE_BUY_STOP_LIMIT"], CONSTANTS["ORDER_TYPE_SELL_STOP_LIMIT"]
CLOSE_BY = CONSTANTS["ORDER_TYPE_CLOSE_BY"]
MARKET_TYPES = frozenset({BUY, SELL})
LIMITS = frozenset({BUY_LIMIT, SELL_LIMIT})
STOPS = frozenset({BUY_STOP, SELL_STOP})
STOP_LIMITS = frozenset({BUY_STOP_LIMIT, SELL_STOP_LIMIT})
PENDING_TYPES = LIMITS | STOPS | STOP_LIMITS
BUYS = frozenset({BUY, BUY_LIMIT, BUY_STOP, BUY_STOP_LIMIT})
FOK = CONSTANTS["ORDER_FILLING_FOK"]
IOC = CONSTANTS["ORDER_FILLING_IOC"]
RETURN = CONSTANTS["ORDER_FILLING_RETURN"]
BOC = CONSTANTS["ORDER_FILLING_BOC"]
TIME_GTC, TIME_DAY = CONSTANTS["ORDER_TIME_GTC"], CONSTANTS["ORDER_TIME_DAY"]
TIME_SPECIFIED, TIME_SPECIFIED_DAY = CONSTANTS["ORDER_TIME_SPECIFIED"], CONSTANTS["ORDER_TIME_SPECIFIED_DAY"]

CHECKED = 0
COMMENTS = {
    CHECKED: "Done",
    **{
        CONSTANTS[f"TRADE_RETCODE_{name}"]: text
        for name, text in {
            "REQUOTE": "Requote",
            "REJECT": "Request rejected",
            "DONE": "Request executed",
            "DONE_PARTIAL": "Request executed partially",
            "INVALID": "Invalid request",
            "INVALID_VOLUME": "Invalid volume",
            "INVALID_PRICE": "Invalid price",
            "INVALID_STOPS": "Invalid stops",
            "TRADE_DISABLED": "Trade disabled",
            "MARKET_CLOSED": "Market closed",
            "NO_MONEY": "No money",
            "PRICE_OFF": "No prices",
            "INVALID_EXPIRATION": "Invalid expiration",
            "NO_CHANGES": "No changes",
            "SERVER_DISABLES_AT": "AutoTrading disabled by server",
            "CLIENT_DISABLES_AT": "AutoTrading disabled by client",
            "LOCKED": "Request locked for processing",
            "FROZEN": "Order or position frozen",
            "INVALID_FILL": "Unsupported filling mode",
            "CONNECTION": "No connection",
            "LIMIT_ORDERS": "Orders limit reached",
            "LIMIT_VOLUME": "Volume limit reached",
            "INVALID_ORDER": "Invalid order",
            "POSITION_CLOSED": "Position doesn't exist",
            "INVALID_CLOSE_VOLUME": "Invalid close volume",
            "CLOSE_ORDER_EXIST": "Close order already exists",
            "LONG_ONLY": "Only long positions allowed",
            "SHORT_ONLY": "Only short positions allowed",
            "CLOSE_ONLY": "Only position closing allowed",
            "FIFO_CLOSE": "Positions must be closed by FIFO rule",
        }.items()
    },
}


class Refusal(NamedTuple):
    """Why a request is not carried out: MT5's return code and a comment."""

    retcode: int
    comment: str


def refusal(name: str) -> Refusal:
    """The refusal of a return code, by the name MT5 gives it, with its usual comment."""
    retcode = CONSTANTS[f"TRADE_RETCODE_{name}"]
    return Refusal(retcode, COMMENTS[retcode])


class TradeRequest(NamedTuple):
    """The 17 fields of a request, in the contract's order; a key that was left out has its zero."""

    action: int = 0
    magic: int = 0
    order: int = 0
    symbol: str = ""
    volume: float = 0.0
    price: float = 0.0
    stoplimit: float = 0.0
    sl: float = 0.0
    tp: float = 0.0
    deviation: int = 0
    type: int = 0
    type_filling: int = 0
    type_time: int = 0
    expiration: int = 0
    comment: str = ""
    position: int = 0
    position_by: int = 0


REQUEST_FIELDS: tuple[str, ...] = tuple(CONTRACT["structs"]["TradeRequest"]["fields"])
REQUEST_TYPES: tuple[type, ...] = tuple(type(value) for value in TradeRequest())


def read_request(values: Sequence[Any]) -> TradeRequest | None:
    """A request from the wire, or None when it is not 17 values of the right types."""
    if len(values) != len(REQUEST_TYPES):
        return None
    for value, kind in zip(values, REQUEST_TYPES, strict=True):
        if type(value) is not kind:
            return None
    request = TradeRequest(*values)
    # What floats add to a sum is not part of it: 0.1 + 0.2 lots are 0.3 lots.
    volume, stoplimit, sl, tp = (
        round(value, 8) for value in (request.volume, request.stoplimit, request.sl, request.tp)
    )
    return request._replace(volume=volume, stoplimit=stoplimit, sl=sl, tp=tp)


def filling_allowed(instrument: Instrument, request: TradeRequest) -> bool:
    """Whether an order may be filled so: by its kind, the execution mode, and the symbol's mask where that decides."""
    filling = request.type_filling
    by_mask = instrument.execution_mode in (mk.EXECUTION_MARKET, mk.EXECUTION_EXCHANGE)
    pending = request.action == ACTION_PENDING
    if filling == RETURN:
        return pending or instrument.execution_mode == mk.EXECUTION_EXCHANGE
    if filling == BOC:
        # Into the depth of market only, which other executions do not have.
        booked = instrument.execution_mode == mk.EXECUTION_EXCHANGE and request.type in LIMITS | STOP_LIMITS
        return pending and booked and bool(instrument.filling_mode & mk.FILLING_MASK_BOC)
    if filling == FOK:
        return not by_mask or bool(instrument.filling_mode & mk.FILLING_MASK_FOK)
    return filling == IOC and by_mask and bool(instrument.filling_mode & mk.FILLING_MASK_IOC)


def volume_steps(instrument: Instrument, volume: float) -> bool:
    """Whether a volume is positive and a whole number of steps."""
    if not math.isfinite(volume) or volume <= 0:
        return False
    steps = volume / instrument.volume_step
    return abs(steps - round(steps)) < 1e-6


def volume_allowed(instrument: Instrument, volume: float, *, closes_all: bool = False) -> bool:
    """Whether an order may have a volume. What is left of a position may be closed although it is below the least."""
    tolerance = instrument.volume_step / 1e3
    least = 0.0 if closes_all else instrument.volume_min - tolerance
    return volume_steps(instrument, volume) and least <= volume <= instrument.volume_max + tolerance


def price_problem(instrument: Instrument, request: TradeRequest, price: float, *, requote: bool) -> Refusal | None:
    """Judge the price of a market order. Market execution ignores it; instant execution keeps within the deviation."""
    if not math.isfinite(request.price) or request.price < 0:
        return refusal("INVALID_PRICE")
    if instrument.execution_mode in (mk.EXECUTION_MARKET, mk.EXECUTION_EXCHANGE):
        return None
    if request.price == 0:
        return refusal("INVALID_PRICE")
    if requote or abs(instrument.points(request.price - price)) > request.deviation:
        return refusal("REQUOTE")
    return None


def on_tick(instrument: Instrument, price: float) -> bool:
    """Whether a price is positive, finite and a whole number of ticks."""
    if not math.isfinite(price) or price <= 0:
        return False
    ticks = price / instrument.tick
    return abs(ticks - round(ticks)) * instrument.tick < 1e-9


def stops_problem(
    instrument: Instrument, closing: float, sign: int, sl: float, tp: float, *, level: int | None = None
) -> Refusal | None:
    """Judge stop loss and take profit (0: none) of a position of that side against the price that would close it.

    `level` is the least distance in points, the symbol's by default.
    """
    least = max(1, instrument.stops_level if level is None else level)
    for stop, beyond in ((sl, -sign), (tp, sign)):
        if stop == 0:
            continue
        if not on_tick(instrument, stop) or instrument.points((stop - closing) * beyond) < least:
            return refusal("INVALID_STOPS")
    flags = instrument.order_mode
    if (sl and not flags & mk.ORDERS_SL) or (tp and not flags & mk.ORDERS_TP):
        return refusal("INVALID_STOPS")
    return None


def pending_price_problem(instrument: Instrument, quote: Quote, request: TradeRequest) -> Refusal | None:
    """Judge where a pending order waits: on the right side of the market, the stops level away from it.

    MetaTrader 5 help, "Pending order".
    """
    kind, price = request.type, request.price
    market = quote.ask if kind in BUYS else quote.bid
    below = kind in (BUY_LIMIT, SELL_STOP, SELL_STOP_LIMIT)
    if not on_tick(instrument, price):
        return refusal("INVALID_PRICE")
    if kind in LIMITS and instrument.execution_mode == mk.EXECUTION_EXCHANGE:
        # Not verified there: what the market has passed is filled at once, no worse than at its price.
        return None
    distance = (market - price) if below else (price - market)
    if instrument.points(distance) < max(1, instrument.stops_level):
        return refusal("INVALID_PRICE")
    if kind in STOP_LIMITS:
        if not on_tick(instrument, request.stoplimit):
            return refusal("INVALID_PRICE")
        better = (price - request.stoplimit) if kind == BUY_STOP_LIMIT else (request.stoplimit - price)
        if instrument.points(better) < instrument.stops_level:
            return refusal("INVALID_PRICE")
    return None


def expiration_problem(instrument: Instrument, request: TradeRequest, now: int) -> Refusal | None:
    """Judge how long an order may stand; `now` is in seconds of the broker's clock."""
    masks = {
        TIME_GTC: mk.EXPIRATION_GTC,
        TIME_DAY: mk.EXPIRATION_DAY,
        TIME_SPECIFIED: mk.EXPIRATION_SPECIFIED,
        TIME_SPECIFIED_DAY: mk.EXPIRATION_SPECIFIED_DAY,
    }
    mask = masks.get(request.type_time)
    if mask is None or not instrument.expiration_mode & mask:
        return refusal("INVALID_EXPIRATION")
    if request.type_time == TIME_SPECIFIED and request.expiration <= now:
        return refusal("INVALID_EXPIRATION")
    if request.type_time == TIME_SPECIFIED_DAY and request.expiration // 86_400 < now // 86_400:
        return refusal("INVALID_EXPIRATION")
    return None
