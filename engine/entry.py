"""What an opening must satisfy: the rules of the profile and of the symbol. And how large it may be.

In: a signal, the symbol's conditions, a quote, the profile's rules. Out: None, or a refusal that names the rule, the
value and the limit. Pure; asked when a signal is proposed, when it is approved and again before each send. Distances
are compared in ticks, so that binary arithmetic decides nothing.
"""

from decimal import ROUND_DOWN

from engine.broker.base import Side, SymbolSpec, Tick
from engine.broker.conditions import exact, is_price, loss_per_lot
from engine.broker.mt5 import OrdersAllowed, SymbolTradeMode, volume_problem
from engine.config import EntrySettings
from engine.orders import drift_points, entry_price
from engine.signals import EntryType, Signal

_ORDER_BITS = {
    EntryType.MARKET: OrdersAllowed.MARKET,
    EntryType.LIMIT: OrdersAllowed.LIMIT,
    EntryType.STOP: OrdersAllowed.STOP,
}
_FULL = SymbolTradeMode.FULL


def proposal_problem(spec: SymbolSpec, rules: EntrySettings, signal: Signal, tick: Tick) -> str | None:
    """What is wrong with a proposal; None when nothing is."""
    return (
        _quote_problem(spec, tick)
        or _permission_problem(spec, signal)
        or volume_problem(spec, signal.volume)
        or _sides_problem(signal)
        or _distance_problem(spec, rules, signal)
        or _reward_problem(spec, rules, signal)
        or _order_price_problem(spec, signal, tick)
    )


def send_problem(spec: SymbolSpec, rules: EntrySettings, signal: Signal, tick: Tick) -> str | None:
    """Why a signal may not be sent at this quote, though it was sound when it was proposed; None when it may."""
    problem = _quote_problem(spec, tick) or _permission_problem(spec, signal) or volume_problem(spec, signal.volume)
    if problem is None and rules.require_stop and not signal.sl:
        problem = _NO_STOP
    if problem is None and signal.type is EntryType.MARKET:
        problem = _overtaken_problem(signal, tick) or _drift_problem(spec, rules, signal, tick)
    return problem or _order_price_problem(spec, signal, tick) or _spread_problem(spec, rules, signal, tick)


_NO_STOP = "it has no stop loss: the profile takes none without (entry.require_stop)"


def _quote_problem(spec: SymbolSpec, tick: Tick) -> str | None:
    """Whether there is a price at all: no limit would hold against a number that is none."""
    if is_price(tick.bid) and is_price(tick.ask):
        return None
    return f"{spec.name} has no price now: bid {tick.bid}, ask {tick.ask}"


def _permission_problem(spec: SymbolSpec, signal: Signal) -> str | None:
    if not spec.order_mode & _ORDER_BITS[signal.type]:
        return f"{spec.name} takes no {signal.type} orders (order mode {spec.order_mode})"
    if signal.sl and not spec.order_mode & OrdersAllowed.STOP_LOSS:
        return f"{spec.name} takes no stop loss (order mode {spec.order_mode})"
    if signal.tp and not spec.order_mode & OrdersAllowed.TAKE_PROFIT:
        return f"{spec.name} takes no take profit (order mode {spec.order_mode})"
    one_way = SymbolTradeMode.LONGONLY if signal.side is Side.BUY else SymbolTradeMode.SHORTONLY
    if spec.trade_mode in (_FULL, one_way):
        return None
    known = {int(mode): mode.name for mode in SymbolTradeMode}
    return f"{spec.name} takes no {signal.side} now: its trade mode is {known.get(spec.trade_mode, spec.trade_mode)}"


def _sides_problem(signal: Signal) -> str | None:
    side, entry, sl, tp = signal.side, signal.entry, signal.sl, signal.tp
    if sl and (entry - sl) * side.sign <= 0:
        right = "below" if side is Side.BUY else "above"
        return f"a {side} needs its stop loss {right} the entry: stop {sl}, entry {entry}"
    if tp and (tp - entry) * side.sign <= 0:
        right = "above" if side is Side.BUY else "below"
        return f"a {side} needs its take profit {right} the entry: target {tp}, entry {entry}"
    return None


def _distance_problem(spec: SymbolSpec, rules: EntrySettings, signal: Signal) -> str | None:
    if rules.require_stop and not signal.sl:
        return _NO_STOP
    for name, price, own in (("stop loss", signal.sl, rules.min_stop_points), ("take profit", signal.tp, 0)):
        if not price:
            continue
        points = round(abs(price - signal.entry) / spec.point)
        if points < spec.stops_level:
            said = f"{spec.name} allows no less than {spec.stops_level}"
        elif points < own:
            said = f"the profile asks for at least {own} (entry.min_stop_points)"
        else:
            continue
        return f"{name} {price} is {points} points from {signal.entry}; {said}"
    return None


def _reward_problem(spec: SymbolSpec, rules: EntrySettings, signal: Signal) -> str | None:
    least = rules.min_reward_to_risk
    if least == 0:
        return None
    rule = f"the profile asks for a reward to risk of at least {least:g} (entry.min_reward_to_risk)"
    if not signal.sl or not signal.tp:
        return f"its reward to risk is not known without a stop loss and a take profit; {rule}"
    step = spec.tick_size or spec.point
    risk, reward = round(abs(signal.entry - signal.sl) / step), round(abs(signal.tp - signal.entry) / step)
    if reward < least * risk - 1e-9:
        return f"its reward to risk is {reward / risk:.2f}; {rule}"
    return None


def _order_price_problem(spec: SymbolSpec, signal: Signal, tick: Tick) -> str | None:
    """Whether a limit or stop order would stand on the right side of the price, as far away as the symbol asks for."""
    if signal.type is EntryType.MARKET:
        return None
    price = entry_price(signal.side, tick)
    better = signal.side.sign if signal.type is EntryType.LIMIT else -signal.side.sign
    points = round((price - signal.entry) * better / spec.point)
    if points <= 0 or points < spec.stops_level:
        right = "below" if better > 0 else "above"
        least = max(1, spec.stops_level)
        return (
            f"a {signal.side} {signal.type} order needs its price at least {least} points {right} {price}; it is"
            f" {signal.entry}"
        )
    return None


def _overtaken_problem(signal: Signal, tick: Tick) -> str | None:
    """Whether the price has already passed the stop or the target: the position would close at once, or never."""
    price = tick.bid if signal.side is Side.BUY else tick.ask
    if signal.sl and (price - signal.sl) * signal.side.sign <= 0:
        return f"the price {price} has passed the stop loss {signal.sl}"
    if signal.tp and (signal.tp - price) * signal.side.sign <= 0:
        return f"the price {price} has passed the take profit {signal.tp}"
    return None


def _limits(points: float | None, share: float | None, spec: SymbolSpec, signal: Signal) -> list[tuple[float, str]]:
    """The limits that hold for a signal, in points, each with where it comes from."""
    limits = [] if points is None else [(points, f"{points:g}")]
    if share is not None and signal.sl:
        distance = abs(signal.entry - signal.sl) / spec.point
        limits.append((share * distance, f"{share * distance:.1f} ({share:g} of the stop distance)"))
    return limits


def _drift_problem(spec: SymbolSpec, rules: EntrySettings, signal: Signal, tick: Tick) -> str | None:
    drift = drift_points(spec, signal, tick)
    for limit, said in _limits(rules.max_drift_points, rules.max_drift_of_stop, spec, signal):
        # A move in the signal's favour counts as much: it stands nearer to its stop than when it was proposed.
        if abs(drift) > limit + 1e-6:
            return f"the price has moved {drift:+.1f} points since the proposal; at most {said} are allowed"
    return None


def _spread_problem(spec: SymbolSpec, rules: EntrySettings, signal: Signal, tick: Tick) -> str | None:
    spread = (tick.ask - tick.bid) / spec.point
    for limit, said in _limits(rules.max_spread_points, rules.max_spread_of_stop, spec, signal):
        if spread > limit + 1e-6:
            return f"the spread is {spread:.1f} points; at most {said} are allowed"
    return None


def volume_for_risk(spec: SymbolSpec, equity: float, percent: float, entry: float, sl: float) -> float:
    """The largest legal volume, in lots, whose stop costs at most `percent` of the equity; 0.0 when none is that small.

    The cost is reckoned at the symbol's present tick value, without commission and slippage. Raises ValueError when
    the symbol's conditions do not say what a tick costs, or the stop is at the entry.
    """
    loss = loss_per_lot(spec, entry, sl)
    if loss is None or loss <= 0:
        raise ValueError(f"{spec.name}: what a stop {sl} from {entry} costs cannot be known")
    money = exact(equity) * exact(percent) / 100
    step = exact(spec.volume_step)
    most = min(money / loss, exact(spec.volume_max))
    if spec.volume_limit > 0:
        most = min(most, exact(spec.volume_limit))
    volume = float((most / step).to_integral_value(ROUND_DOWN) * step)
    return volume if volume >= spec.volume_min else 0.0


def money_at_risk(spec: SymbolSpec, volume: float, entry: float, sl: float) -> float | None:
    """What the stop would cost at this volume from `entry`, in account currency; None when it cannot be known."""
    loss = loss_per_lot(spec, entry, sl)
    return None if loss is None or not sl else float(loss * exact(volume))
