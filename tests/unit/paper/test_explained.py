"""The paper broker as a witness: whatever is traded, its deals explain its funds to the ledger."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings

from engine.broker.base import Deal
from engine.broker.parse import parse_rows
from engine.cashflows import advance, blocks, book
from engine.funds import FundsState, begin, observe
from engine.paper.conditions import Conditions
from tests.unit.paper.desk import Desk
from tests.unit.paper.test_invariants import SYMBOLS, Trader, cents, conditions, instruments, moves

FLOWS = (2, 3, 4, 5, 6)


def shown(desk: Desk, start: int) -> tuple[Deal, ...]:
    """The deals as a gateway passes them on, from `start` in seconds of the broker's clock."""
    rows = [deal._asdict() for deal in desk.account.books.history.deals if deal.time_msc // 1000 >= start]
    return parse_rows(Deal, rows, "history_deals_get")


@settings(deadline=None, max_examples=150)
@given(granted=conditions, symbols=instruments, drawn=moves)
def test_deals_explain_the_balance_whatever_is_traded_and_only_flows_shift_the_baselines(
    granted: Conditions, symbols: dict[str, Any], drawn: list[tuple[str, int, int]]
) -> None:
    desk = Desk(*SYMBOLS, conditions=granted, balance=20_000.0 if granted.currency == "USD" else 2e6, **symbols)
    trader = Trader(desk)
    for symbol in SYMBOLS:
        trader.tick(symbol, 0, 3)
    totals = desk.account.totals()
    digits = desk.account.valuation.digits
    before = shown(desk, 0)
    state = begin(totals.balance, totals.credit, before, server_time=0, currency_digits=digits)
    shifted = Decimal(0)
    for at, move in enumerate(drawn):
        trader.move(*move)
        if move[1] % 7 == 0:
            state = FundsState.from_json(state.to_json())
        totals = desk.account.totals()
        state = observe(state, totals.balance, totals.credit, totals.equity, float(at))
        state, booking = book(state, shown(desk, state.look_from), float(at))
        assert (state.unexplained, booking.problems, blocks(state, float(at))) == (0.0, (), False)
        assert advance(state, float(at)) == (state, ())
        shifted += sum((cents(shift.amount) for shift in booking.shifts), Decimal(0))
    flows = [deal for deal in shown(desk, 0) if deal.type in FLOWS and deal not in before]
    assert shifted == sum((cents(deal.profit) for deal in flows), Decimal(0))
