from dataclasses import replace
from datetime import timedelta

import pytest

from engine.broker.base import Position
from engine.broker.codes import OrderType
from engine.guards.base import Facts, Sent, TradeOpened
from engine.guards.settings import Reset, TradesADayRule
from engine.guards.trades_a_day import DayOfTrades, TradesADayGuard
from tests.unit.guards.makers import moment, utc
from tests.unit.guards.market import held, market, opening, order, unread

GUARD = TradesADayGuard(TradesADayRule(most=2))
"""Its day ends at the broker's midnight: 22:00 UTC."""
PRAGUE = TradesADayGuard(TradesADayRule(most=2, reset=Reset(zone="Europe/Prague")))
MONDAY = GUARD.fresh(market())


def opened(*times: str, memory: DayOfTrades = MONDAY, first: int = 1, guard: TradesADayGuard = GUARD) -> DayOfTrades:
    for number, at in enumerate(times, first):
        memory = guard.learn(memory, TradeOpened(number, "EURUSD", utc(at)))
    return memory


def blocks(memory: DayOfTrades, facts: Facts, guard: TradesADayGuard = GUARD) -> bool:
    breached = guard.judge(memory, facts)[1].breached
    assert breached is (guard.refuses(memory, facts, opening()) is not None)
    return breached


def of_today(at: str, number: int = 7, hours: float = 2.0) -> Position:
    """A position opened at a UTC time, with no stop of interest; the broker's clock is `hours` ahead."""
    broker = utc(at) + timedelta(hours=hours)
    return held(number, time_msc=int(broker.timestamp() * 1000))


def test_it_breaks_at_exactly_as_many_as_may_be() -> None:
    assert not blocks(opened("2026-01-05T09:00:00"), market())
    assert blocks(opened("2026-01-05T09:00:00", "2026-01-05T09:00:01"), market())


@pytest.mark.parametrize(("at", "blocked"), [("2026-01-05T21:59:59", True), ("2026-01-05T22:00:00", False)])
def test_the_next_day_begins_at_nothing(at: str, blocked: bool) -> None:
    assert blocks(opened("2026-01-05T09:00:00", "2026-01-05T09:00:01"), market(at=at)) is blocked


def test_it_says_when_the_day_ends() -> None:
    memory = opened("2026-01-05T09:00:00", "2026-01-05T09:00:01")
    assert GUARD.judge(memory, market())[1].lifts_at == utc("2026-01-05T22:00:00")
    assert GUARD.next_reset(moment()) == utc("2026-01-05T22:00:00")


def test_a_trade_of_the_day_before_that_is_told_late_does_not_count() -> None:
    memory = opened("2026-01-04T21:59:59")
    assert memory == MONDAY


def test_a_trade_that_is_told_twice_counts_once() -> None:
    memory = opened("2026-01-05T09:00:00", memory=opened("2026-01-05T09:00:00"))
    assert not blocks(memory, market())


def test_a_trade_of_a_day_that_no_reading_has_seen_begin_counts_for_it() -> None:
    memory = opened("2026-01-05T22:00:00", "2026-01-05T22:00:01")
    kept, finding = GUARD.judge(memory, market(at="2026-01-05T22:00:02"))
    assert (kept.day, finding.value, finding.breached) == ("2026-01-06", 2, True)


def test_a_trade_that_seems_to_be_of_tomorrow_frees_nothing_today() -> None:
    memory = opened("2026-01-05T09:00:00", "2026-01-05T22:00:05")
    assert blocks(memory, market(at="2026-01-05T21:59:59"))


def test_a_clock_that_is_set_back_over_the_reset_gives_nothing_back() -> None:
    memory = GUARD.judge(MONDAY, market(at="2026-01-05T22:00:01"))[0]
    memory = opened("2026-01-05T22:00:02", "2026-01-05T22:00:03", memory=memory)
    back = market(at="2026-01-05T21:00:00")
    assert blocks(memory, back)
    assert GUARD.judge(memory, back)[0].day == "2026-01-06"


def test_news_is_dated_by_the_clocks_of_the_last_reading() -> None:
    ahead = market(at=moment("2026-01-05T12:00:00", broker_hours=3.0))
    memory = GUARD.judge(MONDAY, ahead)[0]
    assert memory.offset == 3 * 3600
    assert opened("2026-01-04T21:30:00", memory=memory).opened == (("2026-01-05", 1),)


def test_a_position_of_today_counts_before_its_deal_is_told() -> None:
    facts = market(of_today("2026-01-05T09:00:00"), of_today("2026-01-04T22:00:00", 8))
    assert blocks(MONDAY, facts)
    assert not blocks(MONDAY, market(of_today("2026-01-05T09:00:00"), of_today("2026-01-04T21:59:59", 8)))


def test_a_position_is_its_trade_and_not_a_second_one() -> None:
    memory = opened("2026-01-05T09:00:00", first=7)
    assert not blocks(memory, market(of_today("2026-01-05T09:00:00", 7)))


def test_what_is_ordered_and_on_its_way_counts_as_a_trade() -> None:
    facts = market(orders=(order(),), sent=(opening(magic=5),))
    finding = GUARD.judge(MONDAY, facts)[1]
    assert blocks(MONDAY, facts)
    assert (finding.value, finding.lifts_at) == (2, None)


def test_an_order_in_flight_whose_deal_is_told_counts_once() -> None:
    memory = opened("2026-01-05T09:00:00", first=20)
    assert not blocks(memory, market(orders=(order(ticket=20, type=OrderType.BUY),)))


@pytest.mark.parametrize("facts", [unread(market()), market(orders=None)])
def test_a_day_that_cannot_be_counted_does_not_pass(facts: Facts) -> None:
    assert blocks(MONDAY, facts)


def test_only_trades_are_counted() -> None:
    assert GUARD.learn(MONDAY, Sent(opening(), utc("2026-01-05T09:00:00"))) == MONDAY


@pytest.mark.parametrize(
    ("trades", "at", "blocked"),
    [
        (("2026-03-28T23:30:00", "2026-03-29T00:30:00"), "2026-03-29T21:59:59", True),
        (("2026-03-28T23:30:00", "2026-03-29T00:30:00"), "2026-03-29T22:00:00", False),
        (("2026-10-24T22:30:00", "2026-10-25T00:30:00"), "2026-10-25T22:59:59", True),
        (("2026-10-24T22:30:00", "2026-10-25T00:30:00"), "2026-10-25T23:00:00", False),
    ],
)
def test_a_day_of_23_or_25_hours_is_one_day(trades: tuple[str, ...], at: str, blocked: bool) -> None:
    memory = opened(*trades, memory=PRAGUE.fresh(market(at=trades[0])), guard=PRAGUE)
    assert blocks(memory, market(at=at), PRAGUE) is blocked


@pytest.mark.parametrize(
    "changes",
    [
        {"day": "today"},
        {"day": 5},
        {"offset": float("inf")},
        {"opened": [["2026-01-05"]]},
        {"opened": [["2026-01-05", -1]]},
        {"opened": [[5, 5]]},
        {"opened": None},
        {"more": 1},
    ],
)
def test_a_memory_that_is_none_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="trades a day"):
        GUARD.load({"day": "2026-01-05", "offset": 7200.0, "opened": []} | changes)


def test_an_older_day_s_trades_are_forgotten() -> None:
    memory = GUARD.judge(opened("2026-01-05T09:00:00"), market(at="2026-01-06T09:00:00"))[0]
    assert memory == replace(MONDAY, day="2026-01-06")
