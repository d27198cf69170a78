from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.guards.base import Action, Bases, Finding
from engine.guards.loss import LossMemory
from engine.guards.profit_target import ProfitTargetGuard
from engine.guards.settings import ProfitTargetRule, Reset
from tests.unit.guards.makers import facts, moment, utc

PERCENT = ProfitTargetGuard(ProfitTargetRule(percent=10.0))
MONEY = ProfitTargetGuard(ProfitTargetRule(money=500.0))
BEGAN = PERCENT.fresh(facts())
"""10,000 on Monday."""


def found(guard: ProfitTargetGuard, equity: float, memory: LossMemory = BEGAN, **changes: Any) -> Finding:
    return guard.judge(memory, facts(equity, **changes))[1]


@pytest.mark.parametrize(
    ("guard", "equity", "won"),
    [(PERCENT, 10_999.99, False), (PERCENT, 11_000.0, True), (MONEY, 10_499.99, False), (MONEY, 10_500.0, True)],
)
def test_it_is_won_at_exactly_the_target(guard: ProfitTargetGuard, equity: float, won: bool) -> None:
    assert found(guard, equity).breached is won


def test_it_tells_how_much_of_it_is_made() -> None:
    percent, money = found(PERCENT, 10_250.0), found(MONEY, 10_250.0)
    assert (percent.value, percent.limit, percent.unit, percent.used) == (2.5, 10.0, "percent", 0.25)
    assert (money.value, money.limit, money.unit, money.used) == (250.0, 500.0, "money", 0.5)
    assert found(MONEY, 9_000.0).used == 0.0


def test_a_percentage_of_nothing_is_no_error() -> None:
    assert found(PERCENT, 100.0, replace(BEGAN, initial=0.0)).breached


def test_what_may_be_a_deposit_wins_nothing() -> None:
    assert not found(PERCENT, 11_500.0, unexplained=1_000.0).breached
    assert found(PERCENT, 11_500.0, unexplained=500.0).breached


def test_what_may_be_a_withdrawal_wins_nothing_by_itself() -> None:
    assert not found(PERCENT, 10_500.0, unexplained=-1_000.0).breached


@pytest.mark.parametrize(("witness", "borne_out"), [(11_000.0, True), (10_999.99, False), (None, False)])
def test_the_positions_bear_it_out_or_do_not(witness: float | None, borne_out: bool) -> None:
    made = facts(11_000.0)
    made = replace(made, reading=replace(made.reading, equity_by_positions=witness))
    finding = PERCENT.judge(BEGAN, made)[1]
    assert (finding.breached, finding.borne_out) == (True, borne_out)


def test_a_withdrawal_scales_a_target_in_percent() -> None:
    after = PERCENT.after_cash_flow(BEGAN, -5_000.0, 5_000.0)
    assert not found(PERCENT, 5_499.99, after).breached
    assert found(PERCENT, 5_500.0, after).breached


def test_a_deposit_shifts_a_target_in_money() -> None:
    after = MONEY.after_cash_flow(BEGAN, 1_000.0, 11_000.0)
    assert not found(MONEY, 11_499.99, after).breached
    assert found(MONEY, 11_500.0, after).breached


@pytest.mark.parametrize(
    ("basis", "target"), [("day-start balance", 10_400.0), ("day-start equity", 10_500.0), ("initial", 10_200.0)]
)
def test_each_basis_is_its_own(basis: Any, target: float) -> None:
    guard = ProfitTargetGuard(ProfitTargetRule(basis=basis, money=200.0))
    memory = replace(BEGAN, initial=10_000.0, day_balance=10_200.0, day_equity=10_300.0)
    assert not found(guard, target - 0.01, memory).breached
    assert found(guard, target, memory).breached


def test_a_new_day_begins_from_its_own_balance() -> None:
    guard = ProfitTargetGuard(ProfitTargetRule(basis="day-start balance", money=500.0))
    memory, first = guard.judge(BEGAN, facts(10_600.0, balance=10_600.0))
    _, next_day = guard.judge(memory, facts(10_600.0, "2026-01-06T12:00:00", balance=10_600.0))
    assert (first.breached, next_day.breached) == (True, False)


def test_an_operator_says_what_it_is_measured_from() -> None:
    told = PERCENT.with_bases(BEGAN, Bases(initial=20_000.0))
    assert not found(PERCENT, 21_999.99, told).breached
    assert found(PERCENT, 22_000.0, told).breached


def test_a_reset_that_begins_again_sets_the_next_target() -> None:
    again = PERCENT.began_again(BEGAN, facts(11_000.0, balance=11_000.0))
    assert not found(PERCENT, 12_099.99, again).breached
    assert found(PERCENT, 12_100.0, again).breached


def test_a_target_of_more_than_everything_can_be_set() -> None:
    double = ProfitTargetGuard(ProfitTargetRule(percent=150.0))
    assert not found(double, 24_999.99).breached
    assert found(double, 25_000.0).breached


def test_it_locks_as_its_rule_says_and_a_warning_locks_nothing() -> None:
    assert (PERCENT.action, PERCENT.locks) == (Action.LOCK, "operator")
    assert ProfitTargetGuard(ProfitTargetRule(money=1.0, action=Action.WARN)).locks is None
    assert ProfitTargetGuard(ProfitTargetRule(money=1.0, action=Action.BLOCK, lock=60.0)).locks == 60.0


def test_its_day_ends_where_it_has_one() -> None:
    prague = Reset(zone="Europe/Prague")
    assert PERCENT.next_reset(moment()) is None
    for rule in (
        ProfitTargetRule(money=1.0, lock="reset", reset=prague),
        ProfitTargetRule(money=1.0, basis="day-start equity", reset=prague),
    ):
        assert ProfitTargetGuard(rule).next_reset(moment()) == utc("2026-01-05T23:00:00")


def test_a_memory_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="profit target"):
        PERCENT.load({"initial": 1.0})


@settings(deadline=None)
@given(st.integers(500_000, 2_000_000), st.integers(500_000, 2_000_000))
def test_more_equity_never_loses_what_less_has_won(one: int, other: int) -> None:
    less, more = sorted((one / 100, other / 100))
    if found(PERCENT, less).breached:
        assert found(PERCENT, more).breached
