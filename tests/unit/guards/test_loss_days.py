from typing import Any

import pytest

from engine.guards.base import Booked, Facts, Neighbour
from engine.guards.loss import LossLimit, LossMemory
from tests.unit.guards.makers import facts, flat, moment, utc
from tests.unit.guards.test_loss import loss_limit

EVENING = "2026-01-05T22:59:59"
MIDNIGHT = "2026-01-05T23:00:00"
"""In Prague."""
PRAGUE = {"zone": "Europe/Prague"}


def daily(basis: str = "day-start balance", **rule: Any) -> LossLimit:
    """A limit of 10 percent whose day begins at midnight in Prague."""
    return loss_limit(basis, **{"reset": PRAGUE, **rule})


def after(guard: LossLimit, *seen: Facts) -> LossMemory:
    """The memory after a start at 10,000 on the evening of the 5th and these readings."""
    memory = guard.fresh(flat(10_000, "2026-01-05T20:00:00"))
    for each in seen:
        memory, _ = guard.judge(memory, each)
    return memory


def before(at: str, balance: float, equity: float | None = None) -> Neighbour:
    return Neighbour(utc(at), balance, balance if equity is None else equity)


def result(at: str, amount: float) -> Booked:
    return Booked(utc(at), amount)


def test_a_second_before_midnight_the_old_day_s_balance_counts() -> None:
    memory = after(daily(), flat(10_400, EVENING, before=before("2026-01-05T22:59:58", 10_400)))
    assert (memory.day, memory.day_balance) == ("2026-01-05", 10_000.0)


def test_at_midnight_the_new_day_s_balance_counts() -> None:
    memory = after(daily(), flat(10_400, MIDNIGHT, before=before(EVENING, 10_400)))
    assert (memory.day, memory.day_balance, memory.day_equity) == ("2026-01-06", 10_400.0, 10_400.0)


def test_of_both_readings_beside_a_day_s_start_the_higher_counts() -> None:
    earlier = after(daily(), facts(9_900, MIDNIGHT, balance=10_300, before=before(EVENING, 10_400, 10_100)))
    assert (earlier.day_balance, earlier.day_equity) == (10_400.0, 10_100.0)
    later = after(daily(), facts(10_600, MIDNIGHT, balance=10_500, before=before(EVENING, 10_400, 10_100)))
    assert (later.day_balance, later.day_equity) == (10_500.0, 10_600.0)


def test_a_floor_moves_down_with_the_day_s_start() -> None:
    guard = daily()
    memory = after(guard, flat(9_500, MIDNIGHT, before=before(EVENING, 9_500)))
    assert guard.limit(memory).floor == 8_550.0


def test_within_a_day_the_start_stays() -> None:
    memory = after(daily(), flat(11_000, "2026-01-05T22:00:00"), flat(9_500, "2026-01-05T22:30:00"))
    assert (memory.day_balance, memory.day_equity) == (10_000.0, 10_000.0)


def test_a_missed_start_is_rebuilt_from_the_deals_since() -> None:
    booked = (result("2026-01-05T22:30:00", 300), result(MIDNIGHT, -50), result("2026-01-06T02:00:00", -200))
    memory = after(
        daily(), flat(10_050, "2026-01-06T06:00:00", before=before("2026-01-05T22:00:00", 10_000), booked=booked)
    )
    assert memory.day_balance == 10_300.0


def test_the_equity_of_a_missed_start_is_the_higher_reading_beside_it() -> None:
    asleep = before("2026-01-05T22:00:00", 10_000, 10_250)
    assert after(daily(), facts(9_900, "2026-01-06T06:00:00", before=asleep)).day_equity == 10_250.0
    assert after(daily(), facts(10_700, "2026-01-06T06:00:00", before=asleep)).day_equity == 10_700.0


@pytest.mark.parametrize(("at", "balance"), [("2026-01-05T22:59:56", 10_400.0), ("2026-01-05T22:59:54", 10_300.0)])
def test_a_reading_more_than_five_seconds_before_is_not_beside_it(at: str, balance: float) -> None:
    booked = (result("2026-01-05T23:00:00", -100),)
    seen = flat(10_200, "2026-01-05T23:00:01", before=before(at, 10_400), booked=booked)
    assert after(daily(), seen).day_balance == balance


def test_without_a_reading_before_it_is_rebuilt_all_the_same() -> None:
    memory = after(daily(), flat(9_900, "2026-01-06T06:00:00", booked=(result("2026-01-06T02:00:00", -200),)))
    assert (memory.day_balance, memory.day_equity) == (10_100.0, 9_900.0)


def test_the_highest_day_end_is_taken_at_every_missed_start() -> None:
    guard = daily("highest day-end balance")
    booked = (
        result("2026-01-05T22:30:00", 700),
        result("2026-01-06T12:00:00", 100),
        result("2026-01-07T12:00:00", -400),
        result("2026-01-08T06:00:00", 5_000),
    )
    asleep = before("2026-01-05T22:00:00", 10_000)
    memory = after(guard, flat(15_400, "2026-01-08T12:00:00", before=asleep, booked=booked))
    assert (memory.highest_close, memory.day_balance) == (10_800.0, 10_400.0)
    assert guard.limit(memory).floor == 9_720.0


def test_the_highest_day_end_does_not_fall() -> None:
    guard = daily("highest day-end balance")
    memory = after(
        guard,
        flat(10_800, MIDNIGHT, before=before(EVENING, 10_800)),
        flat(10_200, "2026-01-06T23:00:00", before=before("2026-01-06T22:59:59", 10_200)),
    )
    assert memory.highest_close == 10_800.0


def test_a_high_within_the_day_is_no_day_end() -> None:
    guard = daily("highest day-end balance")
    memory = after(guard, flat(12_000, "2026-01-05T21:00:00"), flat(10_000, "2026-01-05T22:00:00"))
    assert guard.limit(memory).floor == 9_000.0


def test_a_clock_set_back_does_not_begin_a_day_again() -> None:
    guard = daily()
    began = flat(10_400, MIDNIGHT, before=before(EVENING, 10_400))
    memory = after(guard, began, flat(9_700, EVENING), flat(9_500, MIDNIGHT, before=before(EVENING, 9_700)))
    assert (memory.day, memory.day_balance) == ("2026-01-06", 10_400.0)


def test_the_hour_that_is_repeated_does_not_begin_a_day_again() -> None:
    guard = daily(reset={"zone": "Europe/Prague", "time": "02:30"})
    memory = guard.fresh(flat(10_000, "2026-10-24T12:00:00"))
    memory, _ = guard.judge(memory, flat(10_400, "2026-10-25T00:30:00", before=before("2026-10-25T00:29:59", 10_400)))
    for at in ("2026-10-25T01:00:00", "2026-10-25T01:29:59", "2026-10-25T01:30:00", "2026-10-25T02:00:00"):
        memory, _ = guard.judge(memory, flat(9_500, at))
    assert (memory.day, memory.day_balance) == ("2026-10-25", 10_400.0)


def test_a_broker_clock_that_falls_back_an_hour_does_not_begin_a_day_again() -> None:
    guard = loss_limit("day-start balance", reset={"time": "00:00"})
    memory = guard.fresh(flat(10_000, moment("2026-10-24T12:00:00", broker_hours=3)))
    memory, _ = guard.judge(memory, flat(10_400, moment("2026-10-24T21:30:00", broker_hours=3)))
    memory, _ = guard.judge(memory, flat(9_500, moment("2026-10-24T21:30:01", broker_hours=2)))
    memory, _ = guard.judge(memory, flat(9_300, moment("2026-10-24T22:00:00", broker_hours=2)))
    assert (memory.day, memory.day_balance) == ("2026-10-25", 10_400.0)


def test_a_restart_over_midnight_begins_the_new_day() -> None:
    guard = daily()
    stored = after(guard, flat(10_200, "2026-01-05T22:00:00"))
    memory, finding = guard.judge(
        stored,
        flat(
            9_300,
            "2026-01-06T06:00:00",
            before=before("2026-01-05T22:00:00", 10_200),
            booked=(result("2026-01-06T01:00:00", -900),),
        ),
    )
    assert memory.day_balance == 10_200.0
    assert finding.floor == 9_180.0


@pytest.mark.parametrize(("at", "balance"), [("2026-01-05T22:59:59", 10_500.0), ("2026-01-05T23:00:00", 10_000.0)])
def test_a_day_waits_for_the_deal_that_says_in_which_day_a_step_was(at: str, balance: float) -> None:
    guard = daily()
    evening = before("2026-01-05T22:59:58", 10_000)
    memory = after(guard, flat(10_500, MIDNIGHT, unexplained=500, before=evening))
    assert memory.day == "2026-01-05"
    late = flat(10_500, "2026-01-05T23:00:01", before=before(MIDNIGHT, 10_000), booked=(result(at, 500),))
    memory, _ = guard.judge(memory, late)
    assert (memory.day, memory.day_balance) == ("2026-01-06", balance)


def test_what_no_deal_explains_in_time_is_not_what_a_day_begins_with() -> None:
    waiting = flat(15_000, "2026-01-05T23:00:14.9", unexplained=5_000, before=before(EVENING, 10_000))
    assert after(daily(), waiting).day == "2026-01-05"
    late = flat(15_000, "2026-01-05T23:00:15", unexplained=5_000, before=before("2026-01-05T23:00:14", 10_000))
    memory = after(daily(), waiting, late)
    assert (memory.day, memory.day_balance, memory.day_equity) == ("2026-01-06", 10_000.0, 10_000.0)


def test_a_withdrawal_while_asleep_is_no_loss_of_the_day() -> None:
    guard = daily("day-start higher")
    memory = guard.fresh(flat(10_000, "2026-01-05T20:00:00"))
    memory = guard.after_cash_flow(memory, -4_000, 6_000)
    flow = Booked(utc("2026-01-06T02:00:00"), -4_000, "cash flow")
    asleep = before("2026-01-05T22:00:00", 10_000)
    memory, finding = guard.judge(memory, flat(6_000, "2026-01-06T06:00:00", before=asleep, booked=(flow,)))
    assert (memory.day_balance, memory.day_equity, finding.used) == (6_000.0, 6_000.0, 0.0)


def test_a_deposit_while_asleep_is_no_profit_of_a_missed_day() -> None:
    guard = daily("highest day-end balance")
    memory = guard.fresh(flat(10_000, "2026-01-05T20:00:00"))
    memory = guard.after_cash_flow(memory, 10_000, 20_000)
    flow = Booked(utc("2026-01-06T12:00:00"), 10_000, "cash flow")
    asleep = before("2026-01-05T22:00:00", 10_000)
    memory, _ = guard.judge(memory, flat(20_000, "2026-01-07T06:00:00", before=asleep, booked=(flow,)))
    assert memory.highest_close == 20_000.0
    assert guard.limit(memory).floor == 18_000.0


def test_a_withdrawal_in_the_second_of_midnight_is_no_loss_of_the_new_day() -> None:
    guard = daily("day-start higher")
    memory = guard.fresh(flat(10_000, "2026-01-05T20:00:00"))
    memory = guard.after_cash_flow(memory, -4_000, 6_000)
    flow = Booked(utc(MIDNIGHT), -4_000, "cash flow")
    memory, finding = guard.judge(memory, flat(6_000, MIDNIGHT, before=before(EVENING, 10_000), booked=(flow,)))
    assert (memory.day_balance, memory.day_equity, finding.used) == (6_000.0, 6_000.0, 0.0)


def test_a_floor_that_is_kept_counts_the_balance_before_a_withdrawal_of_the_day() -> None:
    guard = daily(cash_flows="keep")
    flow = Booked(utc("2026-01-06T02:00:00"), -500, "cash flow")
    asleep = before("2026-01-05T22:00:00", 10_000)
    assert after(guard, flat(9_500, "2026-01-06T06:00:00", before=asleep, booked=(flow,))).day_balance == 10_000.0


def test_a_cash_flow_from_before_the_reading_before_is_counted_once() -> None:
    guard = daily("day-start higher")
    flow = Booked(utc("2026-01-05T22:00:00"), -4_000, "cash flow")
    seen = flat(6_000, MIDNIGHT, before=before(EVENING, 6_300), booked=(flow,))
    memory = after(guard, seen)
    assert (memory.day_balance, memory.day_equity) == (6_300.0, 6_300.0)


def test_a_floor_that_is_kept_counts_both_readings_beside_the_start_as_they_were() -> None:
    flow = Booked(utc(MIDNIGHT), -4_000, "cash flow")
    memory = after(daily(cash_flows="keep"), flat(6_000, MIDNIGHT, before=before(EVENING, 10_000), booked=(flow,)))
    assert (memory.day_balance, memory.day_equity) == (10_000.0, 10_000.0)


def test_a_credit_at_midnight_moves_the_equity_and_not_the_balance() -> None:
    credit = Booked(utc(MIDNIGHT), 1_000, "credit")
    evening = before(EVENING, 10_000, 10_300)
    seen = facts(11_200, MIDNIGHT, credit=1_000.0, profit=200.0, before=evening, booked=(credit,))
    memory = after(daily(), seen)
    assert (memory.day_balance, memory.day_equity) == (10_000.0, 11_300.0)


def test_the_higher_reading_beside_the_start_is_a_day_end_too() -> None:
    seen = flat(10_300, MIDNIGHT, before=before(EVENING, 10_400))
    assert after(daily("highest day-end balance"), seen).highest_close == 10_400.0


def test_a_credit_is_no_part_of_a_balance_that_is_rebuilt() -> None:
    credit = Booked(utc("2026-01-06T02:00:00"), 1_000, "credit")
    for flows in ("adjust", "keep"):
        seen = facts(11_000, "2026-01-06T06:00:00", credit=1_000.0, profit=0.0, booked=(credit,))
        assert after(daily(cash_flows=flows), seen).day_balance == 10_000.0
