import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.guards.base import Verdict
from engine.guards.drawdown import (
    DrawdownCapExceededError,
    DrawdownGuard,
    DrawdownState,
    after_cash_flow,
    evaluate,
    floor_of,
)
from engine.readings import AccountReading
from tests.unit.core.makers import LOGIN, TERMINAL, reading


def state(limit: float = 20.0, peak: float = 10_000.0) -> DrawdownState:
    return DrawdownState(limit_percent=limit, warn_at=0.8, peak=peak, equity=peak)


def test_it_trips_at_exactly_the_limit() -> None:
    assert evaluate(reading(8_000.0), state()).verdict is Verdict.FLATTEN


def test_it_does_not_trip_one_cent_above_the_limit() -> None:
    assert evaluate(reading(8_000.01), state()).verdict is Verdict.WARN


@pytest.mark.parametrize(("equity", "verdict"), [(8_400.01, Verdict.CLEAR), (8_400.0, Verdict.WARN)])
def test_it_warns_at_eighty_percent_of_the_limit(equity: float, verdict: Verdict) -> None:
    assert evaluate(reading(equity), state()).verdict is verdict


def test_a_new_high_moves_the_peak_and_the_floor() -> None:
    after = evaluate(reading(12_500.0), state())
    assert (after.peak, after.floor, after.headroom, after.percent) == (12_500.0, 10_000.0, 2_500.0, 0.0)


def test_a_lower_equity_leaves_the_peak() -> None:
    after = evaluate(reading(9_000.0, at=3.5), state())
    assert (after.peak, after.percent, after.evaluated_at) == (10_000.0, 10.0, 3.5)


@pytest.mark.parametrize(
    "broken",
    [
        reading(math.nan),
        reading(0.0, balance=0.0),
        reading(1.0, login=LOGIN + 1),
        reading(1.0, profit=0.0),
        reading(1.0, terminal=replace(TERMINAL, connected=False)),
        reading(99_999.0, terminal=replace(TERMINAL, connected=False)),
    ],
)
def test_a_reading_that_is_not_valid_changes_nothing(broken: AccountReading) -> None:
    before = evaluate(reading(9_500.0), state())
    assert evaluate(broken, before) is before


def test_a_breach_that_positions_do_not_bear_out_blocks_at_once_and_trips_when_seen_three_times() -> None:
    now = state()
    verdicts = []
    for at in (0.0, 0.1, 0.2, 0.3):
        now = evaluate(reading(7_900.0, positions=(), at=at), now)
        verdicts.append(now.verdict)
    assert verdicts == [Verdict.BLOCK, Verdict.BLOCK, Verdict.BLOCK, Verdict.FLATTEN]


def test_three_readings_within_less_than_300_ms_are_not_enough() -> None:
    now = state()
    for at in (0.0, 0.05, 0.1, 0.15):
        now = evaluate(reading(7_900.0, positions=(), at=at), now)
    assert now.verdict is Verdict.BLOCK


def test_two_readings_are_not_enough_however_far_apart() -> None:
    now = state()
    for at in (0.0, 9.0):
        now = evaluate(reading(7_900.0, positions=(), at=at), now)
    assert now.verdict is Verdict.BLOCK


def test_a_recovery_in_between_starts_the_count_again() -> None:
    now = state()
    for at, equity in ((0.0, 7_900.0), (0.2, 7_900.0), (0.4, 9_000.0), (0.6, 7_900.0), (0.8, 7_900.0)):
        now = evaluate(reading(equity, positions=() if equity < 8_000 else None, at=at), now)
    assert now.verdict is Verdict.BLOCK
    assert now.breaches == 2


@pytest.mark.parametrize("limit", [0.99, 99.01, math.nan, -5.0, 0.0])
def test_a_limit_outside_1_to_99_percent_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="drawdown limit"):
        state(limit)


@pytest.mark.parametrize("warn_at", [0.0, 1.0, -0.1])
def test_a_warning_share_outside_the_limit_is_refused(warn_at: float) -> None:
    with pytest.raises(ValueError, match="warning"):
        DrawdownState(limit_percent=20, warn_at=warn_at, peak=1, equity=1)


def test_a_peak_of_nothing_has_no_percent() -> None:
    assert state(peak=0.0).percent == 0.0


@given(
    st.lists(st.integers(1, 2_000_000), min_size=1, max_size=60),
    st.integers(1, 99),
)
def test_any_course_of_equity_agrees_with_a_plain_running_maximum(cents: list[int], limit: int) -> None:
    now = state(limit, peak=cents[0] / 100)
    peak = cents[0]
    for at, value in enumerate(cents):
        now = evaluate(reading(value / 100, at=float(at)), now)
        peak = max(peak, value)
        assert now.peak == peak / 100
        breached = (peak - value) * 100 >= limit * peak
        assert (now.verdict is Verdict.FLATTEN) == breached


def test_the_floor_does_not_fall_a_hair_beside_the_money_it_means() -> None:
    assert floor_of(10_000.10, 10) == 9_000.09


async def test_check_and_enforce_returns_the_state_while_all_is_well() -> None:
    closings: list[DrawdownState] = []
    guard = _guard([reading(9_000.0)], closings)
    assert (await guard.check_and_enforce()).percent == 10.0
    assert closings == []


async def test_check_and_enforce_closes_everything_then_raises_with_the_figures() -> None:
    closings: list[DrawdownState] = []
    guard = _guard([reading(7_500.0)], closings)
    with pytest.raises(DrawdownCapExceededError) as raised:
        await guard.check_and_enforce()
    assert len(closings) == 1
    assert raised.value.current_drawdown == 25.0
    assert raised.value.maximum_drawdown == 20.0
    assert raised.value.positions_closed == 3


def _guard(readings: list[AccountReading], closings: list[DrawdownState]) -> DrawdownGuard:
    async def read() -> AccountReading:
        return readings.pop(0)

    async def flatten(tripped: DrawdownState) -> int:
        closings.append(tripped)
        return 3

    return DrawdownGuard(state(), read=read, flatten=flatten)


def test_what_may_be_a_deposit_does_not_raise_the_peak() -> None:
    after = evaluate(replace(reading(15_000.0, balance=15_000.0), unexplained=5_000.0), state())
    assert after.peak == 10_000.0


def test_what_may_be_a_withdrawal_does_not_trip() -> None:
    after = evaluate(replace(reading(5_000.0, balance=5_000.0), unexplained=-5_000.0, relief=5_000.0), state())
    assert (after.verdict, after.percent) == (Verdict.CLEAR, 0.0)


def test_a_breach_is_borne_out_by_positions_without_what_may_be_a_withdrawal() -> None:
    fallen = replace(reading(12_500.0 - 5_000.0, positions=()), unexplained=-5_000.0, relief=5_000.0)
    assert fallen.equity_by_positions == 10_000.0
    assert evaluate(fallen, state(peak=18_000.0)).verdict is Verdict.BLOCK


def test_a_withdrawal_leaves_the_drawdown_in_percent() -> None:
    before = evaluate(reading(9_000.0), state())
    after = after_cash_flow(before, -5_000.0, 4_000.0)
    assert before.percent == 10.0
    assert after.percent == pytest.approx(10.0)
    assert evaluate(reading(4_000.0, balance=4_000.0), after).percent == pytest.approx(10.0)


def test_a_deposit_scales_the_peak() -> None:
    assert after_cash_flow(evaluate(reading(9_000.0), state()), 9_000.0, 18_000.0).peak == 20_000.0


def test_where_there_is_no_equity_to_scale_by_the_peak_is_shifted() -> None:
    assert after_cash_flow(state(), 5_000.0, 4_000.0).peak == 15_000.0


def test_a_cash_flow_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="cash flow"):
        after_cash_flow(state(), math.nan, 1.0)
