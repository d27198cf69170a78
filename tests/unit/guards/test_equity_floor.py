from dataclasses import replace

import pytest

from engine.guards.base import Action, Finding, Nothing
from engine.guards.equity_floor import EquityFloorGuard
from engine.guards.settings import EquityFloorRule
from tests.unit.guards.makers import facts

GUARD = EquityFloorGuard(EquityFloorRule(money=9_000.0, warn_money=500.0))


def found(equity: float, unexplained: float = 0.0) -> Finding:
    made = facts(equity)
    relief = max(0.0, -unexplained)
    made = replace(made, reading=replace(made.reading, unexplained=unexplained, relief=relief))
    return GUARD.judge(Nothing(), made)[1]


@pytest.mark.parametrize(("equity", "breached"), [(9_000.01, False), (9_000.0, True), (8_999.99, True)])
def test_it_breaks_at_exactly_the_floor(equity: float, breached: bool) -> None:
    assert found(equity).breached is breached


@pytest.mark.parametrize(("equity", "warned"), [(9_500.01, False), (9_500.0, True)])
def test_it_warns_so_far_above_the_floor(equity: float, warned: bool) -> None:
    assert found(equity).warned is warned


def test_it_tells_its_floor_and_what_is_left() -> None:
    finding = found(10_000.0)
    assert (finding.floor, finding.headroom, finding.used, finding.value) == (9_000.0, 1_000.0, 0.9, 10_000.0)


def test_what_may_be_a_withdrawal_does_not_break_it() -> None:
    assert not found(8_500.0, unexplained=-1_000.0).breached
    assert found(8_500.0, unexplained=1_000.0).breached


def test_the_positions_bear_a_breach_out_or_do_not() -> None:
    made = facts(8_000.0)
    other = replace(made, reading=replace(made.reading, equity_by_positions=9_000.01))
    assert GUARD.judge(Nothing(), made)[1].borne_out
    assert not GUARD.judge(Nothing(), other)[1].borne_out


@pytest.mark.parametrize("equity", [0.01, -500.0])
def test_an_equity_near_nothing_or_below_it_uses_the_limit_up(equity: float) -> None:
    assert found(equity).used >= 1


def test_its_action_is_the_profile_s() -> None:
    assert EquityFloorGuard(EquityFloorRule(money=1.0, action=Action.WARN)).action is Action.WARN
    assert GUARD.action is Action.FLATTEN
