"""What the broker holds of an order of ours, found by its magic number: the only ground for believing an outcome.

In: an intent. Out: an Evidence. Orders, positions, finished orders and deals are all asked; one that cannot be read
raises, since None is never "nothing". The history is asked on the broker's clock, to a day ahead.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engine.broker.base import Broker, Deal, Order, Side
from engine.broker.mt5 import DealType, OrderState
from engine.signals import EntryType, Intent

_DAY = 86_400
_TYPES = {Side.BUY: DealType.BUY, Side.SELL: DealType.SELL}
_DEAD = (OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED)
_VOLUME_NOISE = 1e-9


class Trace(StrEnum):
    """What an order has left at the broker."""

    NOTHING = "NOTHING"
    """Neither an order nor a deal nor a position."""
    STANDING = "STANDING"
    """The order stands at the broker."""
    UNDER_WAY = "UNDER_WAY"
    """It was accepted, and something of it is still to come: look again."""
    FILLED = "FILLED"
    """It is finished and has made deals."""
    DEAD = "DEAD"
    """It is finished and has made none."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found: the order's ticket (0 if none is known), its opening deals oldest first, and what they say."""

    trace: Trace
    order: int = 0
    deals: tuple[Deal, ...] = ()
    said: str = ""

    @property
    def volume(self) -> float:
        """Lots that its deals have opened."""
        return opened_volume(self.deals)


def opened_volume(deals: tuple[Deal, ...]) -> float:
    """Lots that deals opened."""
    return round(sum(deal.volume for deal in deals), 8)


def net_volume(deals: Collection[Deal]) -> float:
    """Lots that a position's deals leave: bought less sold. By side, so that a reversal counts as what it is."""
    signs: Mapping[int, int] = {DealType.BUY: 1, DealType.SELL: -1}
    return round(sum(signs.get(deal.type, 0) * deal.volume for deal in deals), 8)


def is_whole(volume: float, intent: Intent) -> bool:
    """Whether a filled volume is all that was asked for."""
    return volume >= intent.volume - _VOLUME_NOISE


def deals_of(intent: Intent, deals: tuple[Deal, ...]) -> tuple[Deal, ...]:
    """An intent's own deals among others: those of its magic number on its side.

    Not by their entry: on a netting account a deal of ours may meet an opposite position and close it. Closing deals
    bear the position's number too, on the other side. Without what is booked beside a trade: a charge is a deal of its
    own at some brokers, of no volume. One of a volume that is no number is not believed yet.
    """
    return tuple(
        deal
        for deal in deals
        if deal.magic == intent.magic and deal.type == _TYPES[intent.side] and 0 < round(deal.volume, 8) < math.inf
    )


async def search(broker: Broker, intent: Intent, now: datetime) -> Evidence:
    """Look for everything an intent may have left. `now` is UTC. Raises BrokerError when something cannot be read."""
    elapsed = max(0, int((now - intent.sent_at).total_seconds()))
    start, end = max(0, intent.server_time - _DAY), max(0, intent.server_time) + elapsed + 2 * _DAY
    # In this order: an order that is filled meanwhile leaves the first list before it is looked for in the others.
    orders = [order for order in await broker.orders() if order.magic == intent.magic]
    positions = await broker.positions()
    finished = [order for order in await broker.history_orders_between(start, end) if order.magic == intent.magic]
    deals = deals_of(intent, await broker.deals_between(start, end))
    held = next((item.identifier for item in positions if item.magic == intent.magic), None)
    if held is not None and not deals:
        # Found whatever the quote's time was, from which the window of the history was reckoned.
        deals = deals_of(intent, await broker.deals_of_position(held))
    return judge(intent, orders, finished, deals, held=held is not None)


def judge(
    intent: Intent, orders: list[Order], finished: list[Order], deals: tuple[Deal, ...], *, held: bool
) -> Evidence:
    """What lists that hold only this intent's orders and deals say. Pure."""
    if orders:
        trace = Trace.UNDER_WAY if intent.type is EntryType.MARKET else Trace.STANDING
        return Evidence(trace, orders[0].ticket, deals, f"order {orders[0].ticket} stands at the broker")
    if deals:
        return Evidence(Trace.FILLED, deals[0].order, deals)
    if held:
        return Evidence(Trace.UNDER_WAY, said="a position is there, its deals are not yet")
    if not finished:
        return Evidence(Trace.NOTHING)
    last = finished[-1]
    if all(order.state in _DEAD for order in finished):
        named = {int(state): state.name for state in OrderState}
        return Evidence(Trace.DEAD, last.ticket, said=f"order {last.ticket} was {named[last.state].lower()}")
    return Evidence(Trace.UNDER_WAY, last.ticket, said=f"order {last.ticket} is finished, its deals are not there yet")
