import math
from dataclasses import replace

import pytest

from engine.guards.base import Action, Finding, Nothing
from engine.guards.margin_level import MarginLevelGuard
from engine.guards.settings import MarginLevelRule
from tests.unit.guards.makers import facts

GUARD = MarginLevelGuard(MarginLevelRule(percent=200.0, action=Action.FLATTEN))


def found(level: float, margin: float = 5_000.0, guard: MarginLevelGuard = GUARD) -> Finding:
    return guard.judge(Nothing(), facts(margin=margin, margin_level=level))[1]


@pytest.mark.parametrize(("level", "breached"), [(200.01, False), (200.0, True), (199.99, True), (0.0, True)])
def test_it_breaks_at_exactly_the_least_level(level: float, breached: bool) -> None:
    assert found(level).breached is breached


@pytest.mark.parametrize(("level", "warned"), [(250.01, False), (250.0, True)])
def test_it_warns_a_quarter_above(level: float, warned: bool) -> None:
    assert found(level).warned is warned


def test_it_warns_where_the_profile_says() -> None:
    own = MarginLevelGuard(MarginLevelRule(percent=200.0, warn_percent=900.0))
    assert found(900.0, guard=own).warned
    assert not found(900.01, guard=own).warned


def test_an_account_without_margin_in_use_is_clear() -> None:
    finding = found(0.0, margin=0.0)
    assert (finding.breached, finding.warned, finding.used) == (False, False, 0.0)


@pytest.mark.parametrize("level", [math.nan, math.inf, -math.inf])
def test_a_level_that_is_no_number_breaks_it_but_closes_nothing_at_once(level: float) -> None:
    finding = found(level)
    assert (finding.breached, finding.borne_out) == (True, False)


def test_its_floor_is_the_equity_of_the_least_level() -> None:
    finding = found(200.0)
    assert (finding.floor, finding.headroom, finding.borne_out) == (10_000.0, 0.0, True)


def test_positions_that_show_a_higher_equity_do_not_bear_it_out() -> None:
    made = facts(margin=5_000.0, margin_level=200.0)
    doubted = replace(made, reading=replace(made.reading, equity_by_positions=10_000.01))
    assert not GUARD.judge(Nothing(), doubted)[1].borne_out


def test_a_reading_without_an_account_does_not_pass() -> None:
    made = facts()
    assert GUARD.judge(Nothing(), replace(made, reading=replace(made.reading, account=None)))[1].breached


@pytest.mark.parametrize("warn", [200.0, 150.0])
def test_it_cannot_be_built_to_warn_when_it_is_too_late(warn: float) -> None:
    with pytest.raises(ValueError, match="warn_percent"):
        MarginLevelGuard(MarginLevelRule(percent=200.0, warn_percent=warn))
