"""The books of an account: deals and orders in the contract's own fields, positions, balance and credit.

Every change of the books is a record of the ledger (engine/paper/ledger.py), applied here and nowhere else, so that
the same ledger always gives the same account. Times are of the broker's clock, money is in account currency.
"""

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from engine.paper.ledger import CLOSED, DEAL, ORDER, POSITION, Record
from engine.paper.structs import CONSTANTS

BUY, SELL = CONSTANTS["POSITION_TYPE_BUY"], CONSTANTS["POSITION_TYPE_SELL"]
DEAL_BALANCE = CONSTANTS["DEAL_TYPE_BALANCE"]
ENTRY_IN, ENTRY_OUT = CONSTANTS["DEAL_ENTRY_IN"], CONSTANTS["DEAL_ENTRY_OUT"]
REASON_CLIENT, REASON_EXPERT = CONSTANTS["DEAL_REASON_CLIENT"], CONSTANTS["DEAL_REASON_EXPERT"]
REASON_SL, REASON_TP, REASON_SO = (CONSTANTS[f"DEAL_REASON_{name}"] for name in ("SL", "TP", "SO"))
REASON_ROLLOVER = CONSTANTS["DEAL_REASON_ROLLOVER"]
DEAL_CREDIT, DEAL_BONUS = CONSTANTS["DEAL_TYPE_CREDIT"], CONSTANTS["DEAL_TYPE_BONUS"]
ENTRY_INOUT, ENTRY_OUT_BY = CONSTANTS["DEAL_ENTRY_INOUT"], CONSTANTS["DEAL_ENTRY_OUT_BY"]
STATE_PLACED, STATE_PARTIAL = CONSTANTS["ORDER_STATE_PLACED"], CONSTANTS["ORDER_STATE_PARTIAL"]
STATE_FILLED, STATE_CANCELED = CONSTANTS["ORDER_STATE_FILLED"], CONSTANTS["ORDER_STATE_CANCELED"]
STATE_REJECTED, STATE_EXPIRED = CONSTANTS["ORDER_STATE_REJECTED"], CONSTANTS["ORDER_STATE_EXPIRED"]
WORKING_STATES = frozenset({STATE_PLACED, STATE_PARTIAL})


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
    """An order, as orders_get shows it while it works and history_orders_get afterwards."""

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


class Position(NamedTuple):
    """An open position. `margin_rate` is account currency per unit of the margin currency when it was opened.

    `identifier` stays for its life; `ticket` changes when a netting position turns round. `swap` is what the
    rollovers have added up to.
    """

    ticket: int
    identifier: int
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
    swap: float

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self.type == BUY else -1

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


class Books:
    """What an account holds. Changed by `apply` alone; `digits` are the decimals of its money."""

    def __init__(self, digits: int) -> None:
        self._digits = digits
        self.balance = 0.0
        self.credit = 0.0
        self.next_ticket = 1
        self.positions: dict[int, Position] = {}
        self.orders: dict[int, Order] = {}
        self.history = History()

    def apply(self, record: Record) -> None:
        """Take one record. The ledger's order is the only legal one."""
        if record.kind == DEAL:
            self._take_deal(Deal(*record.row))
        elif record.kind == ORDER:
            self._take_order(Order(*record.row))
        elif record.kind == POSITION:
            position = Position(*record.row)
            self.positions[position.ticket] = position
        elif record.kind == CLOSED:
            del self.positions[record.row[0]]

    def _take_deal(self, deal: Deal) -> None:
        amount = deal.profit + deal.commission + deal.swap + deal.fee
        if deal.type in (DEAL_CREDIT, DEAL_BONUS):
            self.credit = round(self.credit + amount, self._digits) + 0.0
        else:
            self.balance = round(self.balance + amount, self._digits) + 0.0
        self.history.add_deal(deal)
        self.next_ticket = max(self.next_ticket, deal.ticket + 1)

    def _take_order(self, order: Order) -> None:
        if order.state in WORKING_STATES:
            self.orders[order.ticket] = order
        else:
            self.orders.pop(order.ticket, None)
            self.history.add_order(order)
        self.next_ticket = max(self.next_ticket, order.ticket + 1)


class History:
    """Deals and finished orders in the order of time, found by order, by position and by time."""

    def __init__(self) -> None:
        self.deals: list[Deal] = []
        self.orders: list[Order] = []
        self._deals_of_position: dict[int, list[Deal]] = {}
        self._deals_of_order: dict[int, list[Deal]] = {}
        self._orders_of_position: dict[int, list[Order]] = {}
        self._order_by_ticket: dict[int, Order] = {}

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
