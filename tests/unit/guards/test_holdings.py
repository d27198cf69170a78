import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.broker.base import Order, Position, Side, Tick
from engine.broker.codes import OrderType
from engine.guards.base import Facts
from engine.guards.findings import Unknown
from engine.guards.holdings import held as held_of
from engine.guards.holdings import limit_of, lots, money_at_stop, notional, of_entry
from tests.unit.core.makers import EURUSD
from tests.unit.guards.market import SPECS, held, market, opening, order, unread


def total(facts: Facts) -> Decimal:
    return lots(held_of(facts))


def sums(facts: Facts) -> tuple[float, int]:
    return float(total(facts)), counted(facts)


def counted(facts: Facts) -> int:
    return sum(not holding.adds for holding in held_of(facts))


def test_positions_orders_and_what_was_sent_are_all_held() -> None:
    facts = market(held(volume=0.1), orders=(order(volume_initial=0.2, volume_current=0.2),), sent=(opening(0.4),))
    assert sums(facts) == (0.7, 3)


@pytest.mark.parametrize("facts", [unread(market()), market(orders=None)])
def test_what_could_not_be_read_is_not_nothing(facts: Facts) -> None:
    with pytest.raises(Unknown, match="could not be read"):
        held_of(facts)


def test_what_was_sent_is_not_counted_beside_its_position() -> None:
    assert total(market(held(magic=99), sent=(opening(),))) == 1


def test_what_was_sent_is_not_counted_beside_its_order() -> None:
    assert total(market(orders=(order(magic=99, type=OrderType.BUY),), sent=(opening(),))) == 1


def test_what_is_missing_of_what_was_sent_is_counted() -> None:
    facts = market(held(magic=99, volume=0.4), sent=(opening(),))
    assert sums(facts) == (1, 1)


@pytest.mark.parametrize("changes", [{"magic": 98}, {"symbol": "GBPUSD"}, {"side": Side.SELL}])
def test_another_position_does_not_hide_what_was_sent(changes: dict[str, Any]) -> None:
    facts = market(held(7, **({"magic": 99} | changes)), sent=(opening(),))
    assert sums(facts) == (2, 2)


def test_openings_without_a_magic_number_are_never_taken_for_each_other() -> None:
    assert total(market(held(magic=0), sent=(opening(magic=0),))) == 2


def test_a_market_order_in_flight_is_not_counted_beside_its_position() -> None:
    by_number = order(ticket=7, type=OrderType.BUY, magic=0)
    by_magic = order(type=OrderType.BUY, magic=99)
    assert total(market(held(7), orders=(by_number,))) == 1
    assert total(market(held(7, magic=99), orders=(by_magic,), sent=(opening(),))) == 1


def test_the_rest_of_a_market_order_in_flight_is_counted() -> None:
    rest = order(ticket=7, type=OrderType.BUY, magic=99, volume_initial=1.0, volume_current=0.6)
    facts = market(held(7, volume=0.4, magic=99), orders=(rest,), sent=(opening(),))
    assert sums(facts) == (1, 1)


def test_a_market_order_that_opens_is_counted_whole() -> None:
    assert total(market(held(7), orders=(order(type=OrderType.BUY),))) == 2


def test_a_market_order_that_closes_a_position_is_not_an_opening() -> None:
    closing = order(type=OrderType.SELL, position_id=7, magic=5)
    assert total(market(held(7, magic=5), orders=(closing,))) == 1


def test_what_turns_a_netting_position_round_is_counted_beyond_it() -> None:
    turning = order(type=OrderType.SELL, position_id=7, volume_initial=1.5, volume_current=1.5)
    assert total(market(held(7), orders=(turning,))) == Decimal("1.5")


def test_a_market_order_that_adds_to_a_position_is_counted() -> None:
    assert total(market(held(7), orders=(order(type=OrderType.BUY, position_id=7),))) == 2


def test_standing_orders_with_the_magic_number_of_a_position_are_counted() -> None:
    grid = tuple(order(ticket=20 + number, magic=5) for number in range(3))
    assert total(market(held(7, magic=5), orders=grid)) == 4


def test_a_standing_order_filled_in_part_is_counted_once() -> None:
    facts = market(held(20, volume=0.4), orders=(order(ticket=20, volume_initial=1.0, volume_current=0.6),))
    assert sums(facts) == (1, 1)


def test_a_filled_order_that_is_still_listed_is_not_counted_again() -> None:
    assert total(market(held(20), orders=(order(ticket=20),))) == 1


def test_close_by_opens_nothing() -> None:
    assert total(market(orders=(order(type=OrderType.CLOSE_BY),))) == 0


@pytest.mark.parametrize(
    ("type_", "side"),
    [
        (OrderType.BUY, Side.BUY),
        (OrderType.SELL, Side.SELL),
        (OrderType.BUY_LIMIT, Side.BUY),
        (OrderType.SELL_LIMIT, Side.SELL),
        (OrderType.BUY_STOP, Side.BUY),
        (OrderType.SELL_STOP, Side.SELL),
        (OrderType.BUY_STOP_LIMIT, Side.BUY),
        (OrderType.SELL_STOP_LIMIT, Side.SELL),
    ],
)
def test_every_type_of_order_has_its_side(type_: OrderType, side: Side) -> None:
    assert [holding.side for holding in held_of(market(orders=(order(type=type_),)))] == [side]


@pytest.mark.parametrize("broken", [order(type=9), order(volume_current=math.nan), order(sl=math.inf)])
def test_an_order_that_is_not_understood_is_not_passed_over(broken: Order) -> None:
    with pytest.raises(Unknown, match="order 20"):
        held_of(market(orders=(broken,)))


def test_an_order_in_flight_without_a_price_is_taken_at_the_quote() -> None:
    prices = [
        held_of(market(orders=(order(type=type_, price_open=0.0),)))[0].price
        for type_ in (OrderType.BUY, OrderType.SELL)
    ]
    assert prices == [1.1001, 1.1]


@pytest.mark.parametrize("volume", [0.0, -1.0, math.nan, math.inf])
def test_an_opening_needs_a_volume(volume: float) -> None:
    with pytest.raises(Unknown):
        of_entry(opening(volume))


def test_volumes_are_added_as_they_are_written() -> None:
    facts = market(held(1, volume=0.1), held(2, volume=0.2), held(3, volume=0.30000000000000004))
    assert total(facts) == Decimal("0.6")


@pytest.mark.parametrize(
    ("position", "loss"),
    [
        (held(price_current=1.1, sl=1.09), 1000),
        (held(price_current=1.12, sl=1.11), 1000),
        (held(side=Side.SELL, price_current=1.1, sl=1.105), 500),
        (held(price_current=1.1, sl=1.11), 0),
        (held(side=Side.SELL, price_current=1.1, sl=1.1), 0),
    ],
)
def test_a_stop_costs_what_lies_between_it_and_the_present_price(position: Position, loss: int) -> None:
    facts = market(position)
    assert money_at_stop(held_of(facts)[0], facts) == loss


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (market(held(sl=0.0)), "unlimited"),
        (market(held(), specs={}), "conditions of EURUSD"),
        (market(held(), specs=SPECS | {"EURUSD": replace(EURUSD, tick_value_loss=0.0)}), "tick of EURUSD"),
        (market(held(price_current=0.0)), "price"),
        (market(sent=(opening(sl=1.2),)), "wrong side"),
        (market(sent=(opening(sl=1.1),)), "wrong side"),
        (market(sent=(opening(price=0.0),)), "price"),
    ],
)
def test_money_at_a_stop_that_cannot_be_known_is_not_nothing(facts: Facts, said: str) -> None:
    with pytest.raises(Unknown, match=said):
        money_at_stop(held_of(facts)[0], facts)


def test_a_position_is_worth_its_present_price() -> None:
    facts = market(held(volume=0.5, price_current=1.2))
    assert notional(held_of(facts)[0], facts) == 60_000


@pytest.mark.parametrize(
    "facts",
    [
        market(held(), specs={}),
        market(held(), specs=SPECS | {"EURUSD": replace(EURUSD, tick_value=0.0)}),
        market(held(price_current=0.0)),
    ],
)
def test_a_worth_that_cannot_be_known_is_not_nothing(facts: Facts) -> None:
    with pytest.raises(Unknown):
        notional(held_of(facts)[0], facts)


def test_a_limit_in_percent_leaves_out_what_may_be_a_deposit() -> None:
    facts = market(equity=15_000.0, balance=15_000.0)
    doubtful = replace(facts, reading=replace(facts.reading, unexplained=5_000.0))
    assert limit_of(doubtful, 2.0, None) == 200
    assert limit_of(doubtful, None, 70.0) == 70


def test_an_order_in_flight_without_any_price_has_an_unknown_risk() -> None:
    facts = market(orders=(order(type=OrderType.BUY, price_open=0.0),), quotes={"GBPUSD": Tick("GBPUSD", 1, 1, 1)})
    with pytest.raises(Unknown, match="price"):
        money_at_stop(held_of(facts)[0], facts)
