import json
import math
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.guards.base import Action, Bases, Facts, Finding
from engine.guards.loss import LossLimit, LossMemory
from engine.guards.presets import preset_rules
from engine.guards.settings import LossRule
from engine.readings import Validity
from tests.unit.core.makers import reading
from tests.unit.guards.makers import facts, flat, moment


def loss_limit(basis: str = "highest equity", **rule: Any) -> LossLimit:
    """A limit of 10 percent unless something else is given."""
    amounts = {} if {"percent", "money"} & set(rule) else {"percent": 10}
    return LossLimit(LossRule.model_validate({"name": "loss", "basis": basis, **amounts, **rule}))


def judged(guard: LossLimit, *seen: Facts) -> tuple[LossMemory, Finding]:
    """The memory and the last finding after a fresh start at the first of these readings."""
    memory = guard.fresh(seen[0])
    for each in seen:
        memory, finding = guard.judge(memory, each)
    return memory, finding


def test_it_trips_at_exactly_the_floor() -> None:
    _, finding = judged(loss_limit(), facts(10_000), facts(9_000))
    assert (finding.breached, finding.floor, finding.headroom, finding.used) == (True, 9_000.0, 0.0, 1.0)


def test_it_does_not_trip_one_cent_above_the_floor() -> None:
    _, finding = judged(loss_limit(), facts(10_000), facts(9_000.01))
    assert not finding.breached
    assert finding.headroom == 0.01


@pytest.mark.parametrize(("equity", "warned"), [(9_200.01, False), (9_200.0, True)])
def test_it_warns_at_eighty_percent_of_what_it_acts_at(equity: float, warned: bool) -> None:
    _, finding = judged(loss_limit(), facts(10_000), facts(equity))
    assert finding.warned is warned


def test_its_own_margin_raises_the_floor_and_the_warning_with_it() -> None:
    guard = loss_limit(act_at=0.9)
    memory, finding = judged(guard, facts(10_000), facts(9_100))
    limit = guard.limit(memory)
    assert (limit.firm_floor, limit.floor, limit.warn_floor) == (9_000.0, 9_100.0, 9_280.0)
    assert finding.breached
    assert (finding.value, finding.limit, finding.unit) == (9.0, 9.0, "percent")


def test_it_says_how_much_is_lost_of_what_and_where_it_acts() -> None:
    _, finding = judged(loss_limit("initial", percent=5, act_at=0.9), facts(10_000), facts(9_690))
    assert finding.said == "3.1 % of 5 % lost from 10000.00, acts at 4.5 %; equity is 140.00 above 9550.00"


def test_a_limit_in_money_says_money() -> None:
    _, finding = judged(loss_limit("initial", money=800), facts(10_000), facts(9_100))
    assert finding.said == "900.00 of 800.00 lost from 10000.00; equity is 100.00 below 9200.00"
    assert (finding.value, finding.limit, finding.unit, finding.used) == (900.0, 800.0, "money", 1.125)


def test_a_profit_uses_nothing_of_the_limit() -> None:
    _, finding = judged(loss_limit("initial"), facts(10_000), facts(12_000))
    assert (finding.used, finding.value, finding.headroom) == (0.0, 0.0, 3_000.0)


def test_a_limit_of_nothing_is_used_up() -> None:
    memory = LossMemory(-100.0, 10_000.0, 10_000.0, "2026-01-05", 10_000.0, 10_000.0)
    _, finding = loss_limit("initial").judge(memory, facts(-200.0, balance=-200.0))
    assert (finding.breached, finding.used, finding.floor) == (True, 1.0, -90.0)


def test_the_floor_does_not_fall_a_hair_beside_the_money_it_means() -> None:
    _, finding = judged(loss_limit(), facts(10_000.10), facts(9_000.09))
    assert finding.breached
    assert finding.floor == 9_000.09


@pytest.mark.parametrize(
    ("basis", "floor"),
    [
        ("initial", 9_000.0),
        ("highest equity", 10_800.0),
        ("day-start balance", 9_000.0),
        ("day-start equity", 9_450.0),
        ("day-start higher", 9_450.0),
        ("highest day-end balance", 9_000.0),
    ],
)
def test_each_basis_is_what_it_says(basis: str, floor: float) -> None:
    _, finding = judged(loss_limit(basis), facts(10_500), facts(12_000), facts(11_000))
    assert finding.floor == floor


def test_the_higher_of_both_is_the_balance_when_positions_are_at_a_loss() -> None:
    _, finding = judged(loss_limit("day-start higher"), facts(9_500))
    assert finding.floor == 9_000.0


def test_percent_of_the_initial_balance_does_not_grow_with_the_basis() -> None:
    _, finding = judged(loss_limit(of="initial"), facts(10_000), facts(20_000))
    assert finding.floor == 19_000.0


@pytest.mark.parametrize(("level", "floor"), [("initial", 10_000.0), (10_500, 10_500.0), (None, 18_000.0)])
def test_the_floor_stops_trailing_where_the_rule_says(level: object, floor: float) -> None:
    _, finding = judged(loss_limit(stops_trailing_at=level), facts(10_000), facts(20_000))
    assert finding.floor == floor


def test_before_that_the_floor_trails() -> None:
    _, finding = judged(loss_limit(stops_trailing_at="initial"), facts(10_000), facts(11_000))
    assert finding.floor == 9_900.0


def test_beyond_that_the_share_used_is_still_1_at_the_floor() -> None:
    guard = loss_limit(stops_trailing_at="initial")
    memory, _ = judged(guard, facts(10_000), facts(20_000))
    assert guard.judge(memory, facts(10_000))[1].used == 1.0
    assert guard.judge(memory, facts(15_000))[1].used == 0.5


def test_a_lower_equity_leaves_the_high() -> None:
    memory, _ = judged(loss_limit(), facts(10_000), facts(9_500))
    assert memory.highest_equity == 10_000.0


def test_what_may_be_a_deposit_raises_no_high() -> None:
    memory, _ = judged(loss_limit(), facts(10_000), flat(15_000, unexplained=5_000))
    assert memory.highest_equity == 10_000.0


def test_what_may_be_a_withdrawal_is_no_loss() -> None:
    _, finding = judged(loss_limit(), facts(10_000), flat(5_000, unexplained=-5_000))
    assert (finding.breached, finding.used) == (False, 0.0)


def test_what_may_be_a_deposit_is_not_what_it_began_with() -> None:
    memory = loss_limit().fresh(flat(15_000, unexplained=5_000))
    assert memory == LossMemory(10_000.0, 10_000.0, 10_000.0, "2026-01-05", 10_000.0, 10_000.0)


@pytest.mark.parametrize("validity", [Validity.STALE, Validity.INVALID, Validity.NONE])
def test_a_reading_that_is_not_valid_is_refused_and_moves_nothing(validity: Validity) -> None:
    guard = loss_limit()
    memory = guard.fresh(facts())
    stale = Facts(moment(), replace(reading(99_999.0), validity=validity))
    with pytest.raises(ValueError, match="only a VALID one"):
        guard.judge(memory, stale)
    with pytest.raises(ValueError, match="only a VALID one"):
        guard.fresh(stale)


def test_a_breach_that_positions_bear_out_is_said_to_be() -> None:
    _, finding = judged(loss_limit(), facts(10_000), facts(8_000))
    assert finding.breached
    assert finding.borne_out


def test_a_breach_that_positions_do_not_bear_out_is_said_not_to_be() -> None:
    guard = loss_limit()
    unseen = Facts(moment(), reading(8_000.0, positions=()))
    _, finding = guard.judge(guard.fresh(facts(10_000)), unseen)
    assert finding.breached
    assert not finding.borne_out


def test_its_action_and_its_lock_are_the_rule_s() -> None:
    guard = loss_limit(action=Action.LOCK, lock="reset")
    assert (guard.name, guard.action, guard.locks) == ("loss", Action.LOCK, "reset")
    assert loss_limit(action=Action.BLOCK, lock=600.0).locks == 600.0


def test_only_a_limit_with_a_day_has_a_reset() -> None:
    midnight = moment("2026-01-05T22:00:00").utc
    assert loss_limit().next_reset(moment()) is None
    assert loss_limit("initial").next_reset(moment()) is None
    assert loss_limit("highest day-end balance").next_reset(moment()) == midnight
    assert loss_limit("initial", action=Action.LOCK, lock="reset").next_reset(moment()) == midnight


def test_an_operator_says_what_it_is_measured_from() -> None:
    guard = loss_limit()
    memory = guard.fresh(facts())
    told = guard.with_bases(memory, Bases(11_000, 12_000, 13_000, 14_000, 15_000))
    assert told == LossMemory(11_000, 12_000, 13_000, memory.day, 14_000, 15_000)
    assert guard.with_bases(told, Bases()) == told


def test_an_account_that_began_with_more_once_had_that_much_equity() -> None:
    guard = loss_limit()
    told = guard.with_bases(guard.fresh(facts(9_000, balance=9_000)), Bases(initial=10_000))
    assert told.highest_equity == 10_000
    assert guard.with_bases(told, Bases(initial=9_000)).highest_equity == 10_000


def test_a_high_below_the_initial_balance_does_not_lower_the_highest_day_end() -> None:
    guard = loss_limit("highest day-end balance")
    told = guard.with_bases(guard.fresh(facts()), Bases(initial=10_000, highest_close=8_000))
    assert guard.limit(told).floor == 9_000.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_basis_that_is_not_finite_is_refused(value: float) -> None:
    guard = loss_limit()
    with pytest.raises(ValueError, match="day_start_equity"):
        guard.with_bases(guard.fresh(facts()), Bases(day_start_equity=value))


def test_a_reset_begins_it_again_from_the_present_reading() -> None:
    guard = loss_limit()
    memory, _ = judged(guard, facts(10_000), facts(8_000, "2026-01-06T12:00:00"))
    again = guard.began_again(memory, flat(8_000, "2026-01-06T12:00:00"))
    assert (again.initial, again.highest_equity, again.day) == (8_000.0, 8_000.0, "2026-01-06")


def test_beginning_again_does_not_set_the_day_back() -> None:
    guard = loss_limit()
    memory, _ = judged(guard, facts(10_000, "2026-01-06T12:00:00"))
    assert guard.began_again(memory, flat(8_000, "2026-01-05T12:00:00")).day == "2026-01-06"


def test_a_firm_s_limit_does_not_begin_again() -> None:
    guard = loss_limit(begins_again=False)
    memory, _ = judged(guard, facts(10_000), facts(8_000))
    assert guard.began_again(memory, flat(8_000)) is memory


def test_a_restart_finds_its_memory_again() -> None:
    guard = loss_limit()
    memory, _ = judged(guard, facts(10_000), facts(12_345.67))
    assert guard.load(json.loads(json.dumps(asdict(memory)))) == memory


STORED = asdict(LossMemory(10_000.0, 10_000.0, 10_000.0, "2026-01-05", 10_000.0, 10_000.0))


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {name: value for name, value in STORED.items() if name != "day_equity"},
        {**STORED, "another": 1.0},
        {**STORED, "initial": math.nan},
        {**STORED, "highest_equity": math.inf},
        {**STORED, "highest_close": "10000"},
        {**STORED, "day_balance": None},
        {**STORED, "flow_factor": True},
        {**STORED, "day": "yesterday"},
        {**STORED, "day": 20_260_105},
    ],
)
def test_a_memory_that_is_none_is_refused(stored: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="memory of 'loss'"):
        loss_limit().load(stored)


def rules() -> st.SearchStrategy[LossRule]:
    """Any rule that a profile may have."""
    shares = st.floats(0.01, 0.99)
    amount = st.one_of(
        st.floats(0.01, 99.9).map(lambda percent: {"percent": percent}),
        st.floats(1, 1e7).map(lambda money: {"money": money}),
    )
    rest = st.fixed_dictionaries(
        {
            "name": st.just("loss"),
            "basis": st.sampled_from(
                [
                    "initial",
                    "day-start balance",
                    "day-start equity",
                    "day-start higher",
                    "highest day-end balance",
                    "highest equity",
                ]
            ),
            "of": st.sampled_from(["basis", "initial"]),
            "act_at": st.one_of(st.just(1.0), shares),
            "warn_at": shares,
            "stops_trailing_at": st.one_of(st.none(), st.just("initial"), st.floats(1, 1e7)),
            "cash_flows": st.sampled_from(["adjust", "keep"]),
        }
    )
    return st.builds(lambda first, second: LossRule.model_validate({**first, **second}), amount, rest)


@given(rules())
def test_every_rule_s_drill_is_harmless_at_first_and_breaks_it_at_last(rule: LossRule) -> None:
    guard = LossLimit(rule)
    drill = guard.drill()
    memory, harmless = guard.judge(drill.memory, drill.harmless)
    assert not harmless.breached
    assert not harmless.warned
    _, breach = guard.judge(memory, drill.breach)
    assert breach.breached
    assert breach.borne_out


def test_the_drill_of_a_floor_that_stops_trailing_is_where_it_has_stopped() -> None:
    guard = loss_limit(stops_trailing_at="initial")
    drill = guard.drill()
    assert drill.breach.reading.equity == drill.memory.initial


@pytest.mark.parametrize("name", ["ftmo-2step", "ftmo-1step", "eod-trailing", "equity-trailing", "static"])
def test_every_preset_s_drill_trips(name: Any) -> None:
    for rule in preset_rules(name, 0.9):
        guard = LossLimit(rule)
        drill = guard.drill()
        assert not guard.judge(drill.memory, drill.harmless)[1].breached
        assert guard.judge(drill.memory, drill.breach)[1].breached
