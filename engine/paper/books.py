"""The records of an account: deals and finished orders in the contract's own fields, positions, and what has changed.

Deals and orders are written once. `Changes` is what a state file must take in one transaction.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.paper.structs import CONSTANTS

BUY, SELL = CONSTANTS["POSITION_TYPE_BUY"], CONSTANTS["POSITION_TYPE_SELL"]
DEAL_BALANCE = CONSTANTS["DEAL_TYPE_BALANCE"]
ENTRY_IN, ENTRY_OUT = CONSTANTS["DEAL_ENTRY_IN"], CONSTANTS["DEAL_ENTRY_OUT"]
REASON_CLIENT, REASON_EXPERT = CONSTANTS["DEAL_REASON_CLIENT"], CONSTANTS["DEAL_REASON_EXPERT"]
REASON_SL, REASON_TP, REASON_SO = (CONSTANTS[f"DEAL_REASON_{name}"] for name in ("SL", "TP", "SO"))
STATE_FILLED = CONSTANTS["ORDER_STATE_FILLED"]


class Deal(NamedTuple):
    """A deal, as history_deals_get shows it. Money in account currency; times of the broker's clock."""

    ticket: int
    order: int
    time: int
    time_msc: int
    type: int
    entry: int
    magic: int
    position_id: int
    reason: int
    volume: float
    price: float
    commission: float
    swap: float
    profit: float
    fee: float
    symbol: str
    comment: str
    external_id: str


class Order(NamedTuple):
    """A finished order, as history_orders_get shows it."""

    ticket: int
    time_setup: int
    time_setup_msc: int
    time_done: int
    time_done_msc: int
    time_expiration: int
    type: int
    type_time: int
    type_filling: int
    state: int
    magic: int
    position_id: int
    position_by_id: int
    reason: int
    volume_initial: float
    volume_current: float
    price_open: float
    sl: float
    tp: float
    price_current: float
    price_stoplimit: float
    symbol: str
    comment: str
    external_id: str


@dataclass(slots=True)
class Position:
    """An open position. `margin_rate` is account currency per unit of the base currency when it was opened."""

    ticket: int
    symbol: str
    type: int
    volume: float
    price_open: float
    sl: float
    tp: float
    magic: int
    comment: str
    reason: int
    time_msc: int
    time_update_msc: int
    margin_rate: float
    margin: float

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self.type == BUY else -1

    def as_json(self) -> list[Any]:
        """The fields as one JSON list."""
        return [getattr(self, name) for name in self.__slots__]

    def stop_hit(self, bid: float, ask: float) -> int | None:
        """REASON_SL or REASON_TP when a quote reaches one of them, else None.

        A buy looks at the bid, a sell at the ask.
        """
        if self.type == BUY:
            if self.sl and bid <= self.sl:
                return REASON_SL
            return REASON_TP if self.tp and bid >= self.tp else None
        if self.sl and ask >= self.sl:
            return REASON_SL
        return REASON_TP if self.tp and ask <= self.tp else None


@dataclass(slots=True)
class Changes:
    """What happened since the last commit. A position of None was closed."""

    deals: list[Deal] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    positions: dict[int, Position | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.deals or self.orders or self.positions)


@dataclass(frozen=True, slots=True)
class Ledger:
    """An account as a state file holds it."""

    balance: float
    next_ticket: int
    deals: list[Deal]
    orders: list[Order]
    positions: list[Position]


class History:
    """Deals and finished orders in the order of time, found by order, by position and by time."""

    def __init__(self, deals: Iterable[Deal] = (), orders: Iterable[Order] = ()) -> None:
        self.deals: list[Deal] = []
        self.orders: list[Order] = []
        self._deals_of_position: dict[int, list[Deal]] = {}
        self._deals_of_order: dict[int, list[Deal]] = {}
        self._orders_of_position: dict[int, list[Order]] = {}
        self._order_by_ticket: dict[int, Order] = {}
        for order in orders:
            self.add_order(order)
        for deal in deals:
            self.add_deal(deal)

    def add_order(self, order: Order) -> None:
        """Append a finished order; its time is not before the last one's."""
        self.orders.append(order)
        self._order_by_ticket[order.ticket] = order
        self._orders_of_position.setdefault(order.position_id, []).append(order)

    def add_deal(self, deal: Deal) -> None:
        """Append a deal; its time is not before the last one's."""
        self.deals.append(deal)
        if deal.order:
            self._deals_of_order.setdefault(deal.order, []).append(deal)
            self._deals_of_position.setdefault(deal.position_id, []).append(deal)

    def deals_of_order(self, ticket: int) -> list[Deal]:
        """The deals that an order made."""
        return self._deals_of_order.get(ticket, [])

    def deals_of_position(self, identifier: int) -> list[Deal]:
        """The deals of a position."""
        return self._deals_of_position.get(identifier, [])

    def deals_between(self, start: float, end: float) -> list[Deal]:
        """Deals with start <= time <= end, in seconds of the broker's clock."""
        first = bisect_left(self.deals, start, key=lambda deal: deal.time)
        return self.deals[first : bisect_right(self.deals, end, key=lambda deal: deal.time)]

    def orders_of_ticket(self, ticket: int) -> list[Order]:
        """The finished order of a ticket, if there is one."""
        order = self._order_by_ticket.get(ticket)
        return [] if order is None else [order]

    def orders_of_position(self, identifier: int) -> list[Order]:
        """The finished orders of a position."""
        return self._orders_of_position.get(identifier, [])

    def orders_between(self, start: float, end: float) -> list[Order]:
        """Finished orders with start <= time_done <= end, in seconds of the broker's clock."""
        first = bisect_left(self.orders, start, key=lambda order: order.time_done)
        return self.orders[first : bisect_right(self.orders, end, key=lambda order: order.time_done)]
