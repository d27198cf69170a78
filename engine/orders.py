"""From an approved signal to what is sent: rounding, filling, life time, the request, the intent.

Pure: prices and conditions in; a trade request out. Volumes in lots, prices in the symbol's units.
"""

import math
from typing import Any

from engine.broker.base import Position, Side, SymbolSpec, Tick
from engine.broker.mt5 import (
    Execution,
    Expiration,
    OrderFilling,
    OrderTime,
    OrderType,
    TradeAction,
    filling_for,
    floor_volume,
    round_price,
)
from engine.clock import Clock
from engine.signals import EntryType, Intent, Signal

_PENDING_TYPES = {
    (EntryType.LIMIT, Side.BUY): OrderType.BUY_LIMIT,
    (EntryType.LIMIT, Side.SELL): OrderType.SELL_LIMIT,
    (EntryType.STOP, Side.BUY): OrderType.BUY_STOP,
    (EntryType.STOP, Side.SELL): OrderType.SELL_STOP,
}
VOLUME_EPSILON = 1e-9
"""Two volumes nearer to each other than this, in lots, are the same."""
_ANY_FILLING = (OrderFilling.FOK, OrderFilling.IOC, OrderFilling.RETURN)


def drift_points(spec: SymbolSpec, signal: Signal, tick: Tick) -> float:
    """How far the price has moved against the signal's entry, in points; negative when it has moved in its favour."""
    price = entry_price(signal.side, tick)
    return (price - signal.entry) * signal.side.sign / spec.point


def entry_price(side: Side, tick: Tick) -> float:
    """The price at which this side opens."""
    return tick.ask if side is Side.BUY else tick.bid


def intent_of(signal: Signal, spec: SymbolSpec, *, volume: float, epoch: int, clock: Clock, server_time: int) -> Intent:
    """What is about to be sent for a signal. `server_time` is now, in seconds of the broker's clock."""
    return Intent(
        magic=signal.magic,
        comment=signal.comment,
        symbol=signal.symbol,
        side=signal.side,
        volume=volume,
        sl=round_price(spec, signal.sl),
        tp=round_price(spec, signal.tp),
        epoch=epoch,
        sent_at=clock.utc(),
        server_time=server_time,
        type=signal.type,
        price=0.0 if signal.type is EntryType.MARKET else round_price(spec, signal.entry),
    )


def opening_request(
    intent: Intent, spec: SymbolSpec, tick: Tick, deviation: int, *, order_seconds: float = 0.0
) -> dict[str, Any] | None:
    """The trade request that opens a position, at market or by an order that waits at the broker for `order_seconds`.

    None when the symbol has no filling mode for it.
    """
    shared = {
        "symbol": intent.symbol,
        "volume": intent.volume,
        "sl": intent.sl,
        "tp": intent.tp,
        "magic": intent.magic,
        "comment": intent.comment,
    }
    filling = filling_for(spec)
    if intent.type is EntryType.LIMIT and spec.execution_mode in (Execution.MARKET, Execution.EXCHANGE):
        # Only a limit order's rest may stand on; a stop order becomes a market order once it is triggered.
        filling = OrderFilling.RETURN
    if filling is None:
        return None
    if intent.type is not EntryType.MARKET:
        return {
            **shared,
            "action": int(TradeAction.PENDING),
            "type": int(_PENDING_TYPES[intent.type, intent.side]),
            "price": intent.price,
            "type_filling": int(filling),
            **_life(spec, intent.server_time, order_seconds),
        }
    return {
        **shared,
        "action": int(TradeAction.DEAL),
        "type": int(OrderType.BUY if intent.side is Side.BUY else OrderType.SELL),
        "price": entry_price(intent.side, tick),
        "deviation": deviation,
        "type_filling": int(filling),
    }


def _life(spec: SymbolSpec, server_time: int, seconds: float) -> dict[str, int]:
    """How long an order stands, as far as the symbol lets the broker end it; the engine cancels it then in any case."""
    if spec.expiration_mode & Expiration.SPECIFIED:
        return {"type_time": int(OrderTime.SPECIFIED), "expiration": server_time + math.ceil(seconds)}
    if spec.expiration_mode & Expiration.GTC:
        return {"type_time": int(OrderTime.GTC)}
    return {"type_time": int(OrderTime.DAY)}


def cancelling_request(order: int) -> dict[str, Any]:
    """The trade request that takes a standing order out."""
    return {"action": int(TradeAction.REMOVE), "order": order}


def closing_request(
    position: Position,
    spec: SymbolSpec | None,
    deviation: int,
    tries: int = 0,
    *,
    lots: float | None = None,
    magic: int | None = None,
    comment: str = "qd flatten",
    any_filling: bool = False,
) -> dict[str, Any]:
    """The trade request that closes `lots` of a position (None: all of it) by its ticket.

    One larger than the symbol's largest order is closed piece by piece. A close is sent whatever is known of the
    symbol: when its conditions cannot be read, name no filling mode, or name one that was refused (`any_filling`), each
    mode is tried in turn, by the number of `tries` before.
    """
    filling = filling_for(spec) if spec is not None and not any_filling else None
    wanted = position.volume if lots is None else lots
    if filling is None:
        filling = _ANY_FILLING[tries % len(_ANY_FILLING)]
    return {
        "action": int(TradeAction.DEAL),
        "symbol": position.symbol,
        "volume": wanted if spec is None else piece_of(spec, wanted),
        "type": int(OrderType.SELL if position.side is Side.BUY else OrderType.BUY),
        "position": position.ticket,
        "price": position.price_current,
        "deviation": deviation,
        "magic": position.magic if magic is None else magic,
        "comment": comment,
        "type_filling": int(filling),
    }


def piece_of(spec: SymbolSpec, lots: float) -> float:
    """How much of `lots` one order may close: at most the symbol's largest, and no rest below its smallest."""
    if not 0 < spec.volume_max < lots:
        return lots
    rest = lots - spec.volume_max
    return floor_volume(spec, lots - spec.volume_min) if rest < spec.volume_min else spec.volume_max


def partial_close_problem(spec: SymbolSpec, held: float, lots: float) -> str | None:
    """Why `lots` of a position of `held` lots cannot be closed, in words; None when they can."""
    if lots > held + VOLUME_EPSILON:
        return f"{lots:g} lots are more than the position has: {held:g}"
    if abs(floor_volume(spec, lots) - lots) > VOLUME_EPSILON:
        return f"{spec.name}: {lots:g} lots is not a multiple of the volume step, {spec.volume_step:g}"
    if lots < spec.volume_min - VOLUME_EPSILON:
        return f"{spec.name}: {lots:g} lots is below the least volume, {spec.volume_min:g}"
    rest = held - lots
    if VOLUME_EPSILON < rest < spec.volume_min - VOLUME_EPSILON:
        return f"{spec.name}: {rest:g} lots would be left, below the least volume, {spec.volume_min:g}"
    return None


def protection_request(position: Position, sl: float, tp: float) -> dict[str, Any]:
    """The trade request that sets a position's stop loss and take profit."""
    return {
        "action": int(TradeAction.SLTP),
        "symbol": position.symbol,
        "position": position.ticket,
        "sl": sl,
        "tp": tp,
    }
