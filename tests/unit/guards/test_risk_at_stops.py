from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.broker.base import Position
from engine.guards.base import Facts, Nothing
from engine.guards.risk_at_stops import RiskAtStopsGuard
from engine.guards.settings import RiskAtStopsRule
from tests.unit.core.makers import EURUSD
from tests.unit.guards.market import SPECS, held, market, opening, order, unread

MONEY = RiskAtStopsGuard(RiskAtStopsRule(money=1_000.0))
PERCENT = RiskAtStopsGuard(RiskAtStopsRule(percent=10.0))


def stopped(points: int, number: int = 7) -> Position:
    """A lot of EURUSD with its stop so many dollars away."""
    return held(number, price_current=1.1, sl=round(1.1 - points / 100_000, 5))


@pytest.mark.parametrize("guard", [MONEY, PERCENT])
@pytest.mark.parametrize(("dollars", "breached"), [(999, False), (1_000, True), (1_001, True)])
def test_it_breaks_at_exactly_the_limit(guard: RiskAtStopsGuard, dollars: int, breached: bool) -> None:
    finding = guard.judge(Nothing(), market(stopped(dollars)))[1]
    assert (finding.value, finding.limit, finding.breached) == (dollars, 1_000.0, breached)


@pytest.mark.parametrize(("sl", "refused"), [(1.095, False), (1.09499, True)])
def test_an_opening_may_use_up_the_limit_and_no_more(sl: float, refused: bool) -> None:
    assert (MONEY.refuses(Nothing(), market(stopped(500)), opening(sl=sl)) is not None) is refused


def test_profit_that_a_stop_gives_back_is_at_risk() -> None:
    assert MONEY.judge(Nothing(), market(held(price_open=1.0, price_current=1.1, sl=1.095)))[1].value == 500.0


def test_what_is_ordered_and_on_its_way_is_at_risk() -> None:
    facts = market(orders=(order(sl=1.097),), sent=(opening(sl=1.096),))
    assert MONEY.judge(Nothing(), facts)[1].value == 700.0


@pytest.mark.parametrize(
    "facts",
    [
        unread(market()),
        market(orders=None),
        market(held(sl=0.0)),
        market(orders=(order(sl=0.0),)),
        market(sent=(opening(sl=0.0),)),
        market(held(), specs={}),
        market(held(), specs=SPECS | {"EURUSD": replace(EURUSD, tick_value_loss=0.0)}),
    ],
)
def test_a_risk_that_cannot_be_known_does_not_pass(facts: Facts) -> None:
    assert MONEY.judge(Nothing(), facts)[1].breached
    assert MONEY.refuses(Nothing(), facts, opening(0.01, symbol="GBPUSD")) is not None


def test_an_opening_without_a_stop_is_refused() -> None:
    said = MONEY.refuses(Nothing(), market(), opening(0.01, sl=0.0))
    assert said is not None
    assert "no stop" in said


def test_an_account_without_equity_may_risk_nothing() -> None:
    assert PERCENT.judge(Nothing(), market(equity=-5.0))[1].breached
    assert PERCENT.refuses(Nothing(), market(equity=-5.0), opening(0.01)) is not None


def test_what_may_be_a_deposit_allows_no_more_risk() -> None:
    facts = market(equity=20_000.0, balance=20_000.0)
    doubtful = replace(facts, reading=replace(facts.reading, unexplained=10_000.0))
    assert PERCENT.refuses(Nothing(), facts, opening(1.5)) is None
    assert PERCENT.refuses(Nothing(), doubtful, opening(1.5)) is not None


@settings(deadline=None)
@given(st.lists(st.integers(1, 800), max_size=4), st.integers(1, 1_200), st.integers(1, 200))
def test_exactly_what_keeps_the_limit_is_admitted(open_: list[int], dollars: int, hundredths: int) -> None:
    facts = market(*(stopped(points, number) for number, points in enumerate(open_, 1)))
    entry = opening(hundredths / 100, sl=round(1.1 - dollars / 100_000, 5))
    keeps = sum(open_) * 100 + dollars * hundredths <= 100_000
    assert (MONEY.refuses(Nothing(), facts, entry) is None) is keeps
