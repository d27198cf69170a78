"""From an approved signal to what is sent: rounding, filling, the request, the intent. And the checks of a proposal.

Pure: prices, conditions and settings in; a request or a refusal in words out. Volumes in lots, prices in the symbol's
units, money in account currency.
"""

from typing import Any

from engine.broker.base import Position, Side, SymbolSpec, Tick
from engine.broker.mt5 import OrderFilling, OrderType, TradeAction, filling_for, round_price, volume_problem
from engine.clock import Clock
from engine.signals import Intent, Signal

_ANY_FILLING = (OrderFilling.FOK, OrderFilling.IOC, OrderFilling.RETURN)


def money_at_risk(spec: SymbolSpec, volume: float, entry: float, sl: float) -> float | None:
    """What the stop would cost at this volume from `entry`; None when the symbol's tick value is not known."""
    if spec.tick_size <= 0 or spec.tick_value_loss <= 0:
        return None
    return abs(entry - sl) / spec.tick_size * spec.tick_value_loss * volume


def drift_points(spec: SymbolSpec, signal: Signal, tick: Tick) -> float:
    """How far the price has moved against the signal's entry, in points; negative when it has moved in its favour."""
    price = entry_price(signal.side, tick)
    return (price - signal.entry) * signal.side.sign / spec.point


def entry_price(side: Side, tick: Tick) -> float:
    """The price at which this side opens."""
    return tick.ask if side is Side.BUY else tick.bid


def proposal_problem(spec: SymbolSpec, side: Side, volume: float, entry: float, sl: float, tp: float) -> str | None:
    """What is wrong with a proposal, in words that name the rule, the value and the limit; None when nothing is."""
    wrong_volume = volume_problem(spec, volume)
    if wrong_volume:
        return wrong_volume
    if (entry - sl) * side.sign <= 0:
        right = "below" if side is Side.BUY else "above"
        return f"a {side} needs its stop loss {right} the entry: stop {sl}, entry {entry}"
    if (tp - entry) * side.sign <= 0:
        right = "above" if side is Side.BUY else "below"
        return f"a {side} needs its take profit {right} the entry: target {tp}, entry {entry}"
    least = spec.stops_level * spec.point
    for name, price in (("stop loss", sl), ("take profit", tp)):
        if abs(price - entry) < least - spec.point / 2:
            distance = round(abs(price - entry) / spec.point)
            return (
                f"{name} {price} is {distance} points from {entry}; {spec.name} allows no less than {spec.stops_level}"
            )
    return None


def intent_of(signal: Signal, spec: SymbolSpec, tick: Tick, *, epoch: int, clock: Clock) -> Intent:
    """What is about to be sent for a signal."""
    return Intent(
        magic=signal.magic,
        comment=signal.comment,
        symbol=signal.symbol,
        side=signal.side,
        volume=signal.volume,
        sl=round_price(spec, signal.sl),
        tp=round_price(spec, signal.tp),
        epoch=epoch,
        sent_at=clock.utc(),
        server_time=tick.time_msc // 1000,
    )


def opening_request(intent: Intent, spec: SymbolSpec, tick: Tick, deviation: int) -> dict[str, Any] | None:
    """The trade request that opens a position at market; None when the symbol has no filling mode for it."""
    filling = filling_for(spec)
    if filling is None:
        return None
    return {
        "action": int(TradeAction.DEAL),
        "symbol": intent.symbol,
        "volume": intent.volume,
        "type": int(OrderType.BUY if intent.side is Side.BUY else OrderType.SELL),
        "price": entry_price(intent.side, tick),
        "sl": intent.sl,
        "tp": intent.tp,
        "deviation": deviation,
        "magic": intent.magic,
        "comment": intent.comment,
        "type_filling": filling,
    }


def closing_request(position: Position, spec: SymbolSpec | None, deviation: int, tries: int = 0) -> dict[str, Any]:
    """The trade request that closes a hedging position by its ticket.

    One larger than the symbol's largest order is closed piece by piece. A close is sent whatever is known of the
    symbol: when its conditions cannot be read, or name no filling mode, each mode is tried in turn, by the number of
    `tries` before.
    """
    filling = filling_for(spec) if spec is not None else None
    volume = position.volume
    if spec is not None and 0 < spec.volume_max < volume:
        volume = spec.volume_max
    if filling is None:
        filling = _ANY_FILLING[tries % len(_ANY_FILLING)]
    return {
        "action": int(TradeAction.DEAL),
        "symbol": position.symbol,
        "volume": volume,
        "type": int(OrderType.SELL if position.side is Side.BUY else OrderType.BUY),
        "position": position.ticket,
        "price": position.price_current,
        "deviation": deviation,
        "magic": position.magic,
        "comment": "qd flatten",
        "type_filling": int(filling),
    }


def protection_request(position: Position, sl: float, tp: float) -> dict[str, Any]:
    """The trade request that sets a position's stop loss and take profit."""
    return {
        "action": int(TradeAction.SLTP),
        "symbol": position.symbol,
        "position": position.ticket,
        "sl": sl,
        "tp": tp,
    }
