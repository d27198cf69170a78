"""Each preset with the numbers of its firm's own text."""

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from engine.guards.base import Action, Booked, Facts, Neighbour
from engine.guards.loss import LossLimit, LossMemory
from engine.guards.presets import preset_rules
from engine.guards.settings import PresetName
from tests.unit.guards.makers import facts, flat, utc


def limits(name: PresetName, act_at: float = 1.0) -> list[LossLimit]:
    return [LossLimit(rule) for rule in preset_rules(name, act_at)]


def day_end(balance: float, at: str, *, equity: float | None = None) -> Facts:
    """A reading at a day's start with the same one a second before."""
    made = balance if equity is None else equity
    start = utc(at)
    return facts(
        made,
        at,
        balance=balance,
        before=Neighbour(start.replace(hour=start.hour - 1, minute=59, second=59), balance, made),
    )


def floors(guard: LossLimit, *seen: Facts) -> list[float | None]:
    """The floor at each reading."""
    memory: LossMemory = guard.fresh(seen[0])
    found = []
    for each in seen:
        memory, finding = guard.judge(memory, each)
        found.append(finding.floor)
    return found


def test_ftmo_2step_daily_loss_is_5_percent_of_the_initial_capital_below_the_balance_at_midnight() -> None:
    daily, _ = limits("ftmo-2step")
    assert floors(
        daily,
        flat(200_000, "2026-01-05T08:00:00"),
        day_end(204_000, "2026-01-05T23:00:00", equity=191_000),
        day_end(198_000, "2026-01-06T23:00:00"),
    ) == [190_000.0, 194_000.0, 188_000.0]


def test_ftmo_2step_a_floating_loss_that_was_within_the_limit_exceeds_it_after_midnight() -> None:
    """After +4,000 closed on 200,000, a floating loss of 13,000 is allowed until 23:59 and not from 00:00 on."""
    daily, _ = limits("ftmo-2step")
    memory = daily.fresh(flat(200_000, "2026-01-05T08:00:00"))
    memory, evening = daily.judge(memory, facts(191_000, "2026-01-05T22:59:59", balance=204_000))
    assert (evening.breached, evening.headroom) == (False, 1_000.0)
    _, midnight = daily.judge(memory, day_end(204_000, "2026-01-05T23:00:00", equity=191_000))
    assert midnight.breached


def test_ftmo_2step_max_loss_is_90_percent_of_the_initial_balance_for_ever() -> None:
    """With a balance of 92,000, a floating loss of 2,001 exceeds the limit of 90,000."""
    _, lasting = limits("ftmo-2step")
    seen = (flat(100_000), day_end(130_000, "2026-01-05T23:00:00"), facts(90_000.01, balance=92_000))
    assert floors(lasting, *seen) == [90_000.0] * 3
    memory = lasting.fresh(flat(100_000))
    assert not lasting.judge(memory, facts(90_000.01, balance=92_000))[1].breached
    assert lasting.judge(memory, facts(89_999.0, balance=92_000))[1].breached


def test_ftmo_1step_max_loss_follows_the_highest_day_end_and_does_not_fall() -> None:
    _, lasting = limits("ftmo-1step")
    assert floors(
        lasting,
        flat(100_000, "2026-01-05T08:00:00"),
        facts(109_000, "2026-01-05T12:00:00", balance=104_000),
        day_end(104_000, "2026-01-05T23:00:00"),
        day_end(103_000, "2026-01-06T23:00:00"),
    ) == [90_000.0, 90_000.0, 94_000.0, 94_000.0]


def test_ftmo_1step_daily_loss_is_3_percent_of_the_initial_capital() -> None:
    daily, _ = limits("ftmo-1step")
    seen = (flat(100_000, "2026-01-05T08:00:00"), day_end(104_000, "2026-01-05T23:00:00"))
    assert floors(daily, *seen) == [97_000.0, 101_000.0]


def test_eod_trailing_stops_at_the_starting_balance_and_withdrawals_do_not_lower_it() -> None:
    (guard,) = limits("eod-trailing")
    seen = (
        flat(50_000, "2026-01-05T15:00:00"),
        facts(51_500, "2026-01-05T18:00:00", balance=50_000),
        day_end(51_000, "2026-01-05T22:00:00"),
        day_end(50_400, "2026-01-06T22:00:00"),
        day_end(53_000, "2026-01-07T22:00:00"),
    )
    assert floors(guard, *seen) == [48_000.0, 48_000.0, 49_000.0, 49_000.0, 50_000.0]
    memory = guard.fresh(seen[0])
    for each in seen:
        memory, _ = guard.judge(memory, each)
    paid = guard.after_cash_flow(memory, -2_500, 50_500)
    booked = Booked(utc("2026-01-07T23:00:00"), -2_500, "cash flow")
    assert guard.judge(paid, flat(50_500, "2026-01-07T23:00:01", booked=(booked,)))[1].floor == 50_000.0


def test_the_day_of_eod_trailing_ends_at_five_in_the_afternoon_in_new_york() -> None:
    (guard,) = limits("eod-trailing")
    assert guard.next_reset(flat(50_000, "2026-07-01T12:00:00").moment) == utc("2026-07-01T21:00:00")


def test_equity_trailing_is_4_percent_of_every_new_high() -> None:
    (guard,) = limits("equity-trailing")
    seen = (flat(100_000), facts(103_000, balance=100_000), facts(101_000, balance=100_000))
    assert floors(guard, *seen) == [96_000.0, 98_880.0, 98_880.0]
    assert guard.judge(guard.fresh(flat(100_000)), facts(96_000, balance=100_000))[1].breached


def test_static_does_not_change_at_any_stage() -> None:
    (guard,) = limits("static")
    seen = (flat(100_000), day_end(108_000, "2026-01-05T23:00:00"), day_end(99_000, "2026-01-06T23:00:00"))
    assert floors(guard, *seen) == [90_000.0] * 3


def test_acting_at_90_percent_leaves_a_tenth_of_the_limit() -> None:
    found = {
        guard.name: floors(guard, flat(100_000))[0] for name in get_args(PresetName) for guard in limits(name, 0.9)
    }
    assert found == {
        "ftmo-2step daily loss": 95_500.0,
        "ftmo-2step max loss": 91_000.0,
        "ftmo-1step daily loss": 97_300.0,
        "ftmo-1step max loss": 91_000.0,
        "eod-trailing max loss": 96_400.0,
        "equity-trailing max loss": 96_400.0,
        "static max loss": 91_000.0,
    }


@pytest.mark.parametrize("name", get_args(PresetName))
def test_a_firm_s_rule_locks_and_neither_begins_again_nor_follows_a_withdrawal(name: PresetName) -> None:
    for rule in preset_rules(name, 0.9):
        assert rule.action is Action.LOCK
        assert rule.lock == ("reset" if "daily" in rule.name else "operator")
        assert not rule.begins_again
        assert rule.cash_flows == "keep"
        guard = LossLimit(rule)
        memory = guard.fresh(flat(100_000))
        assert guard.began_again(memory, flat(80_000)) == memory
        assert guard.after_cash_flow(memory, -10_000, 90_000) == memory


@pytest.mark.parametrize("share", [0.0, 1.01, float("nan")])
def test_a_share_outside_of_the_limit_is_refused(share: float) -> None:
    with pytest.raises(ValidationError, match="act_at"):
        preset_rules("static", share)


def test_a_name_that_is_no_preset_s_is_refused_with_those_there_are() -> None:
    name: Any = "ftmo-3step"
    with pytest.raises(ValueError, match="say one of ftmo-2step, ftmo-1step"):
        preset_rules(name, 0.9)
