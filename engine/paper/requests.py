"""Trade requests and how they are judged: the order of the checks, and the MT5 return code of each refusal.

In: a request, the instrument, its quote. Out: a Refusal or None. Pure; what needs the account (money, positions) is
judged in account.py.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.paper.market import (
    EXECUTION_EXCHANGE,
    EXECUTION_MARKET,
    FILLING_MASK_FOK,
    FILLING_MASK_IOC,
    Instrument,
    Quote,
)
from engine.paper.structs import CONSTANTS, CONTRACT

ACTION_DEAL = CONSTANTS["TRADE_ACTION_DEAL"]
ACTION_SLTP = CONSTANTS["TRADE_ACTION_SLTP"]
ORDER_KINDS = (CONSTANTS["TRADE_ACTION_PENDING"], CONSTANTS["TRADE_ACTION_CLOSE_BY"])
BUY = CONSTANTS["ORDER_TYPE_BUY"]
SELL = CONSTANTS["ORDER_TYPE_SELL"]
FOK = CONSTANTS["ORDER_FILLING_FOK"]
IOC = CONSTANTS["ORDER_FILLING_IOC"]
RETURN = CONSTANTS["ORDER_FILLING_RETURN"]

CHECKED = 0
DONE = CONSTANTS["TRADE_RETCODE_DONE"]
REJECT = CONSTANTS["TRADE_RETCODE_REJECT"]
INVALID = CONSTANTS["TRADE_RETCODE_INVALID"]
INVALID_VOLUME = CONSTANTS["TRADE_RETCODE_INVALID_VOLUME"]
INVALID_PRICE = CONSTANTS["TRADE_RETCODE_INVALID_PRICE"]
INVALID_STOPS = CONSTANTS["TRADE_RETCODE_INVALID_STOPS"]
MARKET_CLOSED = CONSTANTS["TRADE_RETCODE_MARKET_CLOSED"]
TRADE_DISABLED = CONSTANTS["TRADE_RETCODE_TRADE_DISABLED"]
NO_MONEY = CONSTANTS["TRADE_RETCODE_NO_MONEY"]
REQUOTE = CONSTANTS["TRADE_RETCODE_REQUOTE"]
PRICE_OFF = CONSTANTS["TRADE_RETCODE_PRICE_OFF"]
NO_CHANGES = CONSTANTS["TRADE_RETCODE_NO_CHANGES"]
INVALID_FILL = CONSTANTS["TRADE_RETCODE_INVALID_FILL"]
INVALID_ORDER = CONSTANTS["TRADE_RETCODE_INVALID_ORDER"]
POSITION_CLOSED = CONSTANTS["TRADE_RETCODE_POSITION_CLOSED"]
INVALID_CLOSE_VOLUME = CONSTANTS["TRADE_RETCODE_INVALID_CLOSE_VOLUME"]

COMMENTS = {
    CHECKED: "Done",
    DONE: "Request executed",
    REQUOTE: "Requote",
    INVALID: "Invalid request",
    INVALID_VOLUME: "Invalid volume",
    INVALID_PRICE: "Invalid price",
    INVALID_STOPS: "Invalid stops",
    TRADE_DISABLED: "Trade disabled",
    MARKET_CLOSED: "Market closed",
    NO_MONEY: "No money",
    PRICE_OFF: "No prices",
    NO_CHANGES: "No changes",
    INVALID_FILL: "Unsupported filling mode",
    INVALID_ORDER: "Invalid order",
    POSITION_CLOSED: "Position doesn't exist",
    INVALID_CLOSE_VOLUME: "Invalid close volume",
}


class Refusal(NamedTuple):
    """Why a request is not carried out: MT5's return code and a comment."""

    retcode: int
    comment: str


def refusal(retcode: int) -> Refusal:
    """The refusal of a return code with its usual comment."""
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
    volume, sl, tp = (round(value, 8) for value in (request.volume, request.sl, request.tp))
    return request._replace(volume=volume, sl=sl, tp=tp)


def filling_allowed(instrument: Instrument, filling: int) -> bool:
    """Whether a market order may be filled so: by execution mode, and by the symbol's mask where that decides."""
    if instrument.execution_mode not in (EXECUTION_MARKET, EXECUTION_EXCHANGE):
        return filling == FOK
    if filling == FOK:
        return bool(instrument.filling_mode & FILLING_MASK_FOK)
    if filling == IOC:
        return bool(instrument.filling_mode & FILLING_MASK_IOC)
    return filling == RETURN and instrument.execution_mode == EXECUTION_EXCHANGE


def volume_steps(instrument: Instrument, volume: float) -> bool:
    """Whether a volume is positive and a whole number of steps."""
    if not math.isfinite(volume) or volume <= 0:
        return False
    steps = volume / instrument.volume_step
    return abs(steps - round(steps)) < 1e-6


def volume_allowed(instrument: Instrument, volume: float) -> bool:
    """Whether a volume may be opened."""
    tolerance = instrument.volume_step / 1e3
    within = instrument.volume_min - tolerance <= volume <= instrument.volume_max + tolerance
    return volume_steps(instrument, volume) and within


def price_problem(instrument: Instrument, request: TradeRequest, price: float) -> Refusal | None:
    """Judge the requested price. Market execution ignores it; instant execution keeps within the deviation."""
    if not math.isfinite(request.price) or request.price < 0:
        return refusal(INVALID_PRICE)
    if instrument.execution_mode in (EXECUTION_MARKET, EXECUTION_EXCHANGE):
        return None
    if request.price == 0:
        return refusal(INVALID_PRICE)
    if abs(instrument.points(request.price - price)) > request.deviation:
        return refusal(REQUOTE)
    return None


def stops_problem(instrument: Instrument, quote: Quote, sign: int, sl: float, tp: float) -> Refusal | None:
    """Judge stop loss and take profit (0: none) of a position of that side, by the price that would close it."""
    closing = quote.bid if sign > 0 else quote.ask
    for level, beyond in ((sl, -sign), (tp, sign)):
        if level == 0:
            continue
        if not math.isfinite(level) or level < 0 or abs(level - round(level, instrument.digits)) > 1e-9:
            return refusal(INVALID_STOPS)
        if instrument.points((level - closing) * beyond) < max(1, instrument.stops_level):
            return refusal(INVALID_STOPS)
    return None
