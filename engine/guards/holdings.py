"""What is held, ordered and on its way to the broker, each once, and what it is worth and may lose.

In: the facts of a reading. Out: holdings, or Unknown. Orders are counted as soon as they are sent, whether or not they
are filled (RTS 6 Article 15(2): all orders sent enter the pre-trade limits at once). Both sides of a symbol are counted
gross, on accounts that net too. Sums are decimal, so that 0.1 + 0.2 is 0.3 lots.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from engine.broker.base import Order, Position, Side, SymbolSpec
from engine.broker.codes import OrderType
from engine.broker.conditions import exact, loss_per_lot, notional_per_lot
from engine.guards.base import Entry, Facts
from engine.guards.findings import Unknown

_NO_VOLUME = 1e-9
"""Less than this, in lots, is nothing."""

_SIDES = {
    OrderType.BUY: Side.BUY,
    OrderType.SELL: Side.SELL,
    OrderType.BUY_LIMIT: Side.BUY,
    OrderType.SELL_LIMIT: Side.SELL,
    OrderType.BUY_STOP: Side.BUY,
    OrderType.SELL_STOP: Side.SELL,
    OrderType.BUY_STOP_LIMIT: Side.BUY,
    OrderType.SELL_STOP_LIMIT: Side.SELL,
}
_AT_MARKET = (OrderType.BUY, OrderType.SELL)


@dataclass(frozen=True, slots=True)
class Holding:
    """One thing that is held or may come to be. Volume in lots, above 0.

    `price` is where a loss begins: the present price of a position, the own price of an order (a stop-limit order's
    trigger, which is never better than its fill); 0.0 when it is not known. `sl` 0.0: no stop. `adds`: more of a
    position or order that is among the holdings too.
    """

    kind: Literal["position", "order", "opening"]
    number: int
    """The position's identifier, the order's ticket, or the opening's magic number."""
    symbol: str
    side: Side
    volume: float
    price: float
    sl: float
    adds: bool = False

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.kind} {self.number} on {self.symbol}" if self.number else f"the {self.kind} on {self.symbol}"


_Key = tuple[int, str, Side]


def held(facts: Facts) -> tuple[Holding, ...]:
    """All that is held, ordered or on its way. Raises Unknown when positions or orders could not be read.

    A market order in flight stands among the orders for a moment, by its magic number also among what was sent, and
    already as a position: it is counted once. What closes a position is not counted.
    """
    positions, orders = facts.reading.positions, facts.orders
    if positions is None:
        raise Unknown("the positions could not be read")
    if orders is None:
        raise Unknown("the standing orders could not be read")
    holdings = [_of_position(position) for position in positions]
    shown: dict[_Key, float] = defaultdict(float)
    for position in positions:
        shown[position.magic, position.symbol, position.side] += position.volume
    filled = dict(shown)
    for order in orders:
        holding = _of_order(order, positions, filled, facts)
        if holding is not None:
            holdings.append(holding)
            shown[order.magic, order.symbol, holding.side] += holding.volume
    for entry in facts.sent:
        seen = shown[entry.magic, entry.symbol, entry.side] if entry.magic else 0.0
        rest = entry.volume - seen
        if not rest <= _NO_VOLUME:
            holdings.append(of_entry(entry, volume=rest, adds=seen > _NO_VOLUME))
    return tuple(holdings)


def of_entry(entry: Entry, *, volume: float | None = None, adds: bool = False) -> Holding:
    """An opening that is about to be sent. Raises Unknown when its volume, price or stop is no number."""
    lots = entry.volume if volume is None else volume
    if not all(map(math.isfinite, (lots, entry.price, entry.sl))) or lots <= 0:
        raise Unknown(f"an opening of {lots} lots of {entry.symbol} at {entry.price} with its stop at {entry.sl}")
    return Holding("opening", entry.magic, entry.symbol, entry.side, lots, entry.price, entry.sl, adds)


def _of_position(position: Position) -> Holding:
    return Holding(
        kind="position",
        number=position.identifier,
        symbol=position.symbol,
        side=position.side,
        volume=position.volume,
        price=position.price_current,
        sl=position.sl,
    )


def _of_order(order: Order, positions: tuple[Position, ...], filled: dict[_Key, float], facts: Facts) -> Holding | None:
    """What an order may open; None when it opens nothing (more)."""
    if order.type == OrderType.CLOSE_BY:
        return None
    if order.type not in _SIDES:
        raise Unknown(f"what order {order.ticket} does: its type is {order.type}")
    if not all(map(math.isfinite, (order.volume_initial, order.volume_current, order.price_open, order.sl))):
        raise Unknown(f"a number in order {order.ticket} on {order.symbol} is not finite")
    side = _SIDES[OrderType(order.type)]
    of_it = sum(position.volume for position in positions if position.identifier == order.ticket)
    closes, price = 0.0, order.price_open
    if order.type in _AT_MARKET:
        if order.magic:
            of_it = max(of_it, filled.get((order.magic, order.symbol, side), 0.0))
        closes = sum(
            position.volume
            for position in positions
            if order.position_id in (position.identifier, position.ticket) and position.side is side.opposite
        )
        quote = facts.quotes.get(order.symbol)
        if price <= 0 and quote is not None:
            price = quote.ask if side is Side.BUY else quote.bid
    volume = min(order.volume_current, order.volume_initial - of_it - closes)
    if volume <= _NO_VOLUME:
        return None
    return Holding("order", order.ticket, order.symbol, side, volume, price, order.sl, of_it > _NO_VOLUME)


def lots(holdings: Iterable[Holding]) -> Decimal:
    """The gross sum of their volumes. Noise of binary arithmetic in one of them is rounded off."""
    return sum((exact(round(holding.volume, 8)) for holding in holdings), Decimal(0))


def money_at_stop(holding: Holding, facts: Facts) -> Decimal:
    """What is lost from now on if its stop is hit, in account currency, without commission and slippage.

    A position whose stop the price has reached loses nothing more by it: what it lost or won is in the equity. Raises
    Unknown when it has no stop (its risk is unlimited), the stop of an order is on the wrong side, or a tick's value is
    not known.
    """
    if holding.sl <= 0:
        raise Unknown(f"{holding.name} has no stop: its risk is unlimited")
    if not 0 < holding.price < math.inf:
        raise Unknown(f"the price of {holding.name}")
    loss = loss_per_lot(spec_of(facts, holding.symbol), holding.price, holding.sl)
    if loss is None:
        raise Unknown(f"what a tick of {holding.symbol} is worth")
    if (holding.price - holding.sl) * holding.side.sign <= 0:
        if holding.kind != "position":
            raise Unknown(f"{holding.name} has its stop {holding.sl} on the wrong side of {holding.price}")
        return Decimal(0)
    return loss * exact(holding.volume)


def notional(holding: Holding, facts: Facts) -> Decimal:
    """What it is worth, in account currency, above 0. Raises Unknown when its price or a tick's value is not known."""
    worth = notional_per_lot(spec_of(facts, holding.symbol), holding.price)
    if worth is None:
        raise Unknown(f"what {holding.name} is worth")
    return worth * exact(holding.volume)


def spec_of(facts: Facts, symbol: str) -> SymbolSpec:
    """The conditions of a symbol. Raises Unknown when they have not been read."""
    spec = facts.specs.get(symbol)
    if spec is None:
        raise Unknown(f"the conditions of {symbol}")
    return spec


def limit_of(facts: Facts, percent: float | None, money: float | None) -> Decimal:
    """A limit in money, or in percent of the equity, which is then taken without what may turn out to be a deposit."""
    if money is not None:
        return exact(money)
    return exact(facts.reading.equity_for_peak) * exact(percent or 0.0) / 100
