import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.guards.loss import LossMemory
from tests.unit.guards.makers import facts, flat
from tests.unit.guards.test_loss import judged, loss_limit

BASES = [
    "initial",
    "day-start balance",
    "day-start equity",
    "day-start higher",
    "highest day-end balance",
    "highest equity",
]


def test_a_withdrawal_of_5000_leaves_10_percent_at_10_percent() -> None:
    guard = loss_limit(percent=20)
    memory, before = judged(guard, facts(10_000), flat(9_000))
    after = guard.judge(guard.after_cash_flow(memory, -5_000, 4_000), flat(4_000))[1]
    assert (before.value, after.value) == (10.0, 10.0)
    assert after.floor == pytest.approx(4_000 / 9_000 * 8_000)


def test_a_deposit_does_not_raise_the_peak() -> None:
    guard = loss_limit(percent=20)
    memory, _ = judged(guard, facts(10_000), flat(9_000))
    memory, after = guard.judge(guard.after_cash_flow(memory, 9_000, 18_000), flat(18_000))
    assert memory.highest_equity == 20_000.0
    assert after.value == 10.0


def test_a_limit_in_money_is_shifted() -> None:
    guard = loss_limit(money=2_000)
    memory, _ = judged(guard, facts(10_000), flat(9_000))
    after = guard.judge(guard.after_cash_flow(memory, -5_000, 4_000), flat(4_000))[1]
    assert (after.value, after.floor, after.headroom) == (1_000.0, 3_000.0, 1_000.0)


@pytest.mark.parametrize("basis", BASES)
def test_a_rule_that_keeps_its_floor_keeps_it(basis: str) -> None:
    guard = loss_limit(basis, cash_flows="keep")
    memory, before = judged(guard, flat(10_000))
    after = guard.judge(guard.after_cash_flow(memory, -500, 9_500), flat(9_500))[1]
    assert after.floor == before.floor == 9_000.0


@pytest.mark.parametrize("rule", [{"percent": 10}, {"money": 1_000}, {"percent": 10, "of": "initial"}])
@pytest.mark.parametrize("basis", BASES)
def test_no_basis_takes_a_cash_flow_for_profit_or_loss(basis: str, rule: dict[str, Any]) -> None:
    guard = loss_limit(basis, **rule)
    memory, before = judged(guard, facts(10_000), flat(9_600))
    for amount, equity in ((2_400, 12_000), (-9_000, 3_000)):
        memory = guard.after_cash_flow(memory, amount, equity)
        memory, after = guard.judge(memory, flat(equity))
        assert after.used == pytest.approx(before.used if "money" not in rule else 0.4)


@pytest.mark.parametrize("level", ["initial", 10_500])
def test_where_a_floor_stops_trailing_follows_a_cash_flow_too(level: object) -> None:
    guard = loss_limit(stops_trailing_at=level)
    memory, before = judged(guard, flat(10_000), flat(20_000))
    memory, after = guard.judge(guard.after_cash_flow(memory, -10_000, 10_000), flat(10_000))
    assert before.floor is not None
    assert after.floor == before.floor / 2
    memory, again = guard.judge(guard.after_cash_flow(memory, 10_000, 20_000), flat(20_000))
    assert again.floor == before.floor


@pytest.mark.parametrize(("amount", "equity"), [(5_000, 4_000), (5_000, 5_000), (-9_000, 0), (-9_500, -500)])
def test_where_there_is_no_equity_to_scale_by_it_is_shifted(amount: float, equity: float) -> None:
    guard = loss_limit()
    memory = LossMemory(10_000, 10_000, 10_000, "2026-01-05", 10_000, 10_000)
    assert guard.after_cash_flow(memory, amount, equity).highest_equity == 10_000 + amount


def test_a_cash_flow_that_is_taken_back_leaves_everything_as_it_was() -> None:
    guard = loss_limit()
    memory, finding = judged(guard, facts(10_000.10), flat(9_500))
    taken = guard.after_cash_flow(memory, -3_333.33, 6_166.67)
    assert guard.limit(guard.after_cash_flow(taken, 3_333.33, 9_500)).floor == finding.floor == 9_000.09


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize(("amount", "equity"), [(math.nan, 1.0), (1.0, math.nan), (math.inf, math.inf)])
def test_a_cash_flow_that_is_not_finite_is_refused(basis: str, amount: float, equity: float) -> None:
    for flows in ("adjust", "keep"):
        guard = loss_limit(basis, cash_flows=flows)
        with pytest.raises(ValueError, match="cash flow"):
            guard.after_cash_flow(guard.fresh(facts()), amount, equity)


@given(st.floats(100, 1e6), st.floats(0.01, 1), st.floats(-0.99, 10))
def test_any_cash_flow_leaves_the_drawdown_in_percent(peak: float, share: float, flow: float) -> None:
    guard = loss_limit(percent=99)
    equity = peak * share
    memory, before = judged(guard, flat(peak), flat(equity))
    after = equity + flow * equity
    _, found = guard.judge(guard.after_cash_flow(memory, flow * equity, after), flat(after))
    assert found.value == pytest.approx(before.value, abs=1e-6)
