import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.guards.base import Finding, TradeClosed, TradeOpened
from engine.guards.losing_streak import LosingStreakGuard, Streak
from engine.guards.settings import LosingStreakRule
from tests.unit.guards.makers import utc
from tests.unit.guards.market import market, opening

GUARD = LosingStreakGuard(LosingStreakRule(losses=3, cooldown_seconds=600.0))


def after(*results: float, at: str = "12:00:00", memory: Streak | None = None) -> Streak:
    memory = memory or Streak()
    for result in results:
        memory = GUARD.learn(memory, TradeClosed(1, "EURUSD", result, utc(f"2026-01-05T{at}")))
    return memory


def found(memory: Streak, at: str = "12:00:01") -> tuple[Streak, Finding]:
    facts = market(at=f"2026-01-05T{at}")
    kept, finding = GUARD.judge(memory, facts)
    assert finding.breached is (GUARD.refuses(memory, facts, opening()) is not None)
    return kept, finding


@pytest.mark.parametrize(
    ("results", "breached"),
    [
        ((-1.0, -1.0), False),
        ((-1.0, -1.0, -1.0), True),
        ((-1.0, -1.0, 0.01, -1.0), False),
        ((-1.0, 0.0, -1.0, 0.0), False),
        ((-1.0, 0.0, -1.0, 0.0, -0.01), True),
        ((-1.0, -1.0, math.nan), True),
    ],
)
def test_losses_in_a_row_are_counted_and_nothing_neither_counts_nor_breaks(
    results: tuple[float, ...], breached: bool
) -> None:
    assert found(after(*results))[1].breached is breached


@pytest.mark.parametrize(("at", "blocked"), [("12:09:59.9", True), ("12:10:00", False)])
def test_it_lasts_until_the_cool_down_is_over(at: str, blocked: bool) -> None:
    assert found(after(-1, -1, -1), at)[1].breached is blocked


def test_it_says_when_it_ends() -> None:
    assert found(after(-1, -1, -1))[1].lifts_at == utc("2026-01-05T12:10:00")
    assert found(after(-1, -1))[1].lifts_at is None


def test_after_the_cool_down_the_count_begins_again() -> None:
    rested = found(after(-1, -1, -1), "12:10:00")[0]
    assert rested == Streak()
    assert not found(after(-1, -1, at="12:10:01", memory=rested), "12:10:02")[1].breached


def test_it_begins_again_though_no_reading_came_between() -> None:
    late = after(-1, at="12:10:00", memory=after(-1, -1, -1))
    assert late.losses == 1


def test_a_further_loss_prolongs_the_cool_down_and_a_win_does_not_end_it() -> None:
    memory = after(5.0, at="12:06:00", memory=after(-1, at="12:05:00", memory=after(-1, -1, -1)))
    assert found(memory, "12:14:59")[1].breached
    assert not found(memory, "12:15:00")[1].breached


def test_losses_that_are_told_out_of_order_do_not_shorten_it() -> None:
    memory = after(-1, at="11:55:00", memory=after(-1, -1))
    assert found(memory)[1].lifts_at == utc("2026-01-05T12:10:00")


def test_a_clock_that_is_set_back_does_not_end_it() -> None:
    assert found(after(-1, -1, -1), "11:00:00")[1].breached


def test_a_tighter_profile_holds_for_the_losses_that_were() -> None:
    tighter = LosingStreakGuard(LosingStreakRule(losses=2, cooldown_seconds=600.0))
    assert tighter.judge(after(-1, -1), market(at="2026-01-05T12:00:01"))[1].breached


def test_only_closed_trades_are_counted() -> None:
    assert GUARD.learn(Streak(), TradeOpened(1, "EURUSD", utc("2026-01-05T12:00:00"))) == Streak()


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"losses": -1, "last": None},
        {"losses": 1, "last": None},
        {"losses": 0, "last": 1.0},
        {"losses": 1.0, "last": 1.0},
        {"losses": 1, "last": float("nan")},
    ],
)
def test_a_memory_that_is_none_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="losing streak"):
        GUARD.load(stored)


@settings(deadline=None)
@given(st.lists(st.sampled_from([-5.0, 0.0, 3.0]), max_size=12))
def test_it_breaks_exactly_when_three_losses_have_stood_without_a_win_between(results: list[float]) -> None:
    signs = "".join("-" if result < 0 else "+" for result in results if result)
    assert found(after(*results))[1].breached is ("---" in signs)
