"""A symbol's trading conditions applied to numbers: filling, price, volume and money. Pure; decimal inside."""

import math
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from engine.broker.base import SymbolSpec
from engine.broker.codes import Execution, Filling, OrderFilling

_VOLUME_PLACES = 8
_HIGHEST_PRICE = 1e15


def filling_for(spec: SymbolSpec) -> int | None:
    """The ORDER_FILLING_* of a market order on this symbol, or None if it takes none that the engine sends.

    By execution mode and the symbol's mask; never the mask itself, whose numbers mean something else.
    """
    if spec.execution_mode in (Execution.REQUEST, Execution.INSTANT):
        return OrderFilling.FOK
    if spec.filling_mode & Filling.FOK:
        return OrderFilling.FOK
    if spec.filling_mode & Filling.IOC:
        return OrderFilling.IOC
    return OrderFilling.RETURN if spec.execution_mode == Execution.EXCHANGE else None


def is_price(value: float) -> bool:
    """Whether it is the price of anything: what is reckoned from it is a number."""
    return 0 < value < _HIGHEST_PRICE


def round_price(spec: SymbolSpec, price: float) -> float:
    """The nearest multiple of the symbol's tick size, with the symbol's digits. Raises ValueError if not finite."""
    if not math.isfinite(price):
        raise ValueError(f"{spec.name}: a price of {price}")
    step = exact(spec.tick_size or spec.point)
    ticks = (exact(price) / step).to_integral_value(ROUND_HALF_UP)
    return round(float(ticks * step), spec.digits)


def floor_volume(spec: SymbolSpec, volume: float) -> float:
    """The largest multiple of the volume step that is not above `volume`, in lots; 0.0 if below one step.

    Noise of binary arithmetic (0.29999999999999993 for 0.3) is rounded off first. Raises ValueError if not finite.
    """
    if not math.isfinite(volume):
        raise ValueError(f"{spec.name}: a volume of {volume}")
    step = exact(spec.volume_step)
    steps = (_lots(volume) / step).to_integral_value(ROUND_DOWN)
    return float(steps * step)


def volume_problem(spec: SymbolSpec, volume: float) -> str | None:
    """What is wrong with an order of this volume, for people, or None."""
    if not math.isfinite(volume) or volume <= 0:
        return f"{spec.name}: a volume of {volume} lots is not a positive number"
    if volume < spec.volume_min:
        return f"{spec.name}: {volume:g} lots is below the least volume, {spec.volume_min:g}"
    if volume > spec.volume_max:
        return f"{spec.name}: {volume:g} lots is above the greatest volume, {spec.volume_max:g}"
    if spec.volume_limit > 0 and volume > spec.volume_limit:
        return f"{spec.name}: {volume:g} lots is above the limit in one direction, {spec.volume_limit:g}"
    if _lots(volume) % exact(spec.volume_step) != 0:
        return f"{spec.name}: {volume:g} lots is not a multiple of the volume step, {spec.volume_step:g}"
    return None


def loss_per_lot(spec: SymbolSpec, entry: float, sl: float) -> Decimal | None:
    """What the way from `entry` to `sl` costs for one lot, in account currency; None when a tick's value is unknown."""
    if not (0 < spec.tick_size < math.inf and 0 < spec.tick_value_loss < math.inf):
        return None
    return abs(exact(entry) - exact(sl)) / exact(spec.tick_size) * exact(spec.tick_value_loss)


def notional_per_lot(spec: SymbolSpec, price: float) -> Decimal | None:
    """What one lot is worth at `price`, in account currency; None when the price or a tick's value is not known."""
    if not all(0 < value < math.inf for value in (spec.tick_size, spec.tick_value, price)):
        return None
    return exact(price) / exact(spec.tick_size) * exact(spec.tick_value)


def exact(value: float) -> Decimal:
    """The decimal number that a float is written as: 0.1 is a tenth."""
    return Decimal(repr(float(value)))


def _lots(volume: float) -> Decimal:
    return exact(round(volume, _VOLUME_PLACES))
