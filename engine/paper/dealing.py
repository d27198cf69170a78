"""The dealing desk: judges a trade request and carries it out.

In: a request whose types have been judged. Out: an Execution with MT5's return code; entries in the ledger. Nothing is
entered for a request that is refused but the request itself.
"""

from typing import NamedTuple

from engine.paper import requests as rq
from engine.paper.books import ENTRY_OUT_BY, REASON_EXPERT, STATE_FILLED, STATE_PLACED, Order, Position
from engine.paper.holdings import Holdings, Totals
from engine.paper.ledger import REQUEST
from engine.paper.plans import MarketDeal, NewStops, Pairing, Plan, Planner, Refused, Removal, Standing
from engine.paper.working import Working


class Execution(NamedTuple):
    """The answer to a request: return code, tickets (0: none), volume and price of the deal."""

    retcode: int
    comment: str
    deal: int = 0
    order: int = 0
    volume: float = 0.0
    price: float = 0.0


class Dealing:
    """The dealing desk of one account."""

    def __init__(self, holdings: Holdings, working: Working, planner: Planner) -> None:
        self._holdings = holdings
        self._working = working
        self._planner = planner

    def check(self, request: rq.TradeRequest) -> tuple[rq.Refusal, Totals | None]:
        """Judge a request: return code 0 when it would be carried out, and the account's money after it."""
        try:
            plan = self._planner.plan(request, REASON_EXPERT)
        except Refused as refused:
            return refused.refusal, None
        done = rq.Refusal(rq.CHECKED, rq.COMMENTS[rq.CHECKED])
        if isinstance(plan, MarketDeal):
            return done, self._holdings.after(plan.order, plan.trade, plan.volume)
        return done, self._holdings.totals()

    def send(self, request: rq.TradeRequest, reason: int = REASON_EXPERT) -> Execution:
        """Carry out a request, or refuse it. `reason` is of the order: whether a program or a person sends it."""
        try:
            plan = self._planner.plan(request, reason)
        except Refused as refused:
            execution = Execution(*refused.refusal)
        else:
            execution = self._carry_out(plan)
        self._holdings.write(REQUEST, [list(request), execution.retcode, execution.deal, execution.order])
        return execution

    def _carry_out(self, plan: Plan) -> Execution:
        done = rq.refusal("DONE")
        match plan:
            case MarketDeal(order, _, _, price):
                return self._deal(order, price)
            case Standing(order):
                self._working.stand(order)
                return Execution(*done, order=order.ticket, volume=order.volume_current)
            case Removal(order):
                self._working.cancel(order)
                return Execution(*done, order=order.ticket)
            case NewStops(position):
                self._holdings.put_position(position)
                return Execution(*done)
            case Pairing(position, other, volume):
                return self._pair(position, other, volume)

    def _deal(self, order: Order, price: float) -> Execution:
        done = rq.refusal("DONE")
        order = self._working.placed(order)
        if self._holdings.conditions.execution_delay_ms:
            self._working.delay(order)
            return Execution(*done, order=order.ticket)
        filled = self._working.fill(order, price)
        if filled.refused:
            return Execution(*rq.refusal(filled.refused), order=order.ticket)
        if filled.order.volume_current:
            done = rq.refusal("DONE_PARTIAL")
        return Execution(*done, filled.deal, order.ticket, filled.volume, price)

    def _pair(self, position: Position, other: Position, volume: float) -> Execution:
        """Close two positions by each other: the whole profit is in the first one's deal."""
        holdings = self._holdings
        order = holdings.new_order(
            rq.CLOSE_BY, position.symbol, volume, other.price_open, STATE_PLACED, position_id=position.ticket,
            position_by_id=other.ticket, comment=f"close #{position.ticket} by #{other.ticket}", magic=position.magic,
        )  # fmt: skip
        holdings.put_order(order)
        tickets = []
        for closed, price, keeps_profit in ((position, other.price_open, True), (other, position.price_open, False)):
            leg = order._replace(type=rq.SELL if closed.sign > 0 else rq.BUY, position_id=closed.ticket)
            trade = holdings.trade(leg, volume, price, closed)._replace(entry=ENTRY_OUT_BY)
            tickets.append(
                holdings.book(leg, trade if keeps_profit else trade._replace(profit=0.0), volume, price).ticket
            )
        holdings.put_order(order._replace(state=STATE_FILLED, volume_current=0.0))
        return Execution(*rq.refusal("DONE"), tickets[0], order.ticket, volume, other.price_open)
