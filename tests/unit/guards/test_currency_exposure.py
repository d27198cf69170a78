from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.broker.base import Position, Side
from engine.broker.codes import OrderType
from engine.guards.base import Entry, Facts, Nothing
from engine.guards.currency_exposure import CurrencyExposureGuard
from engine.guards.settings import CurrencyExposureRule
from tests.unit.core.makers import EURUSD
from tests.unit.guards.market import SPECS, held, market, opening, order, unread

GUARD = CurrencyExposureGuard(CurrencyExposureRule(money=110_000.0))
PERCENT = CurrencyExposureGuard(CurrencyExposureRule(percent=1_100.0))
BUY, SELL = Side.BUY, Side.SELL


def value(facts: Facts) -> float:
    return GUARD.judge(Nothing(), facts)[1].value


def refused(facts: Facts, entry: Entry, guard: CurrencyExposureGuard = GUARD) -> bool:
    return guard.refuses(Nothing(), facts, entry) is not None


def index(side: Side, number: int = 8, volume: float = 1.0) -> Position:
    """An index in euros: a lot is worth 22,000 dollars."""
    return held(number, symbol="GER40", side=side, volume=volume, price_current=20_000.0, sl=0.0)


@pytest.mark.parametrize("guard", [GUARD, PERCENT])
@pytest.mark.parametrize(("volume", "no"), [(0.5, False), (0.51, True)])
def test_an_opening_may_use_up_the_limit_and_no_more(guard: CurrencyExposureGuard, volume: float, no: bool) -> None:
    assert refused(market(held(volume=0.5)), opening(volume), guard) is no


@pytest.mark.parametrize(("volume", "warned"), [(0.99, False), (1.0, True), (2.0, True)])
def test_a_currency_at_its_limit_warns_and_blocks_no_other(volume: float, warned: bool) -> None:
    facts = market(held(volume=volume))
    finding = GUARD.judge(Nothing(), facts)[1]
    assert (finding.breached, finding.warned, finding.limit) == (False, warned, 110_000.0)
    assert not refused(facts, opening(symbol="GBPUSD"))


def test_the_account_s_own_currency_is_not_counted() -> None:
    assert value(market(held(1, symbol="USDJPY", price_current=150.0))) == 97_500.0
    assert value(market(held(1), currency="EUR")) == 110_000.0
    assert "USD" in GUARD.judge(Nothing(), market(held(1), currency="EUR"))[1].said


def test_a_sell_is_short_in_the_base_and_long_in_the_profit_currency() -> None:
    facts = market(held(1, symbol="EURJPY", side=SELL, price_current=160.0), held(2, volume=0.5))
    assert value(facts) == 104_000.0
    assert not refused(facts, opening(symbol="EURUSD"))
    assert refused(facts, opening(symbol="USDJPY", side=SELL, price=150.0))


def test_both_currencies_of_a_cross_are_held_against_the_limit() -> None:
    yen_short = market(held(1, symbol="USDJPY", price_current=150.0))
    assert refused(yen_short, opening(0.2, symbol="EURJPY", price=160.0))
    assert not refused(yen_short, opening(0.2, symbol="EURJPY", price=160.0, side=SELL))


def test_positions_of_both_sides_are_netted() -> None:
    assert value(market(held(1), held(2, side=SELL, volume=0.4))) == 66_000.0


@pytest.mark.parametrize("volume", [0.01, 1.0, 2.0, 3.0])
def test_an_opening_that_lessens_an_exposure_beyond_the_limit_is_allowed(volume: float) -> None:
    assert not refused(market(held(volume=2.0)), opening(volume, side=SELL))


def test_a_currency_is_left_though_an_index_is_beyond_the_limit() -> None:
    facts = market(held(volume=1.0), index(BUY, volume=6.0))
    assert not refused(facts, opening(1.0, side=SELL))
    assert refused(facts, opening(1.01, side=SELL))


def test_one_that_turns_it_beyond_the_limit_on_the_other_side_is_not() -> None:
    assert refused(market(held(volume=2.0)), opening(3.01, side=SELL))


def test_an_order_that_may_never_be_filled_makes_no_room() -> None:
    hoped = market(held(volume=1.0), orders=(order(type=OrderType.SELL_LIMIT),), sent=(opening(side=SELL),))
    assert value(hoped) == 110_000.0
    assert refused(hoped, opening(0.01))


def test_orders_and_openings_count_towards_their_side() -> None:
    facts = market(held(volume=0.3), orders=(order(volume_initial=0.3, volume_current=0.3),), sent=(opening(0.3),))
    assert value(facts) == pytest.approx(99_000.0)
    assert refused(facts, opening(0.11, magic=5))
    assert not refused(facts, opening(0.1, magic=5))


def test_an_index_is_counted_once_in_its_currency() -> None:
    assert value(market(index(BUY))) == 22_000.0
    assert value(market(index(SELL))) == 22_000.0


@pytest.mark.parametrize("side", [BUY, SELL])
def test_an_index_does_not_hedge_a_position_in_its_currency(side: Side) -> None:
    facts = market(held(volume=0.8), index(side))
    assert value(facts) == 110_000.0
    assert refused(facts, opening(0.01))


def test_an_index_is_netted_with_itself() -> None:
    assert value(market(index(BUY, 1), index(SELL, 2, 0.5))) == 11_000.0
    assert not refused(market(index(BUY, 1, 6.0)), opening(6.0, symbol="GER40", side=SELL, price=20_000.0))


@pytest.mark.parametrize(("volume", "no"), [(1.0, False), (1.01, True)])
def test_an_index_and_the_pairs_share_one_limit(volume: float, no: bool) -> None:
    assert refused(market(held(volume=0.8)), opening(volume, symbol="GER40", price=20_000.0)) is no


@pytest.mark.parametrize(
    "facts",
    [
        unread(market()),
        market(orders=None),
        market(held(), specs={}),
        market(held(), currency=""),
        market(held(price_current=0.0)),
        market(held(), specs=SPECS | {"EURUSD": replace(EURUSD, currency_base="")}),
        market(held(), specs=SPECS | {"EURUSD": replace(EURUSD, currency_profit="")}),
        market(held(), specs=SPECS | {"EURUSD": replace(EURUSD, tick_value=0.0)}),
    ],
)
def test_an_exposure_that_cannot_be_known_does_not_pass(facts: Facts) -> None:
    assert GUARD.judge(Nothing(), facts)[1].breached
    assert refused(facts, opening(0.01, symbol="GBPUSD"))


def test_an_opening_whose_currencies_are_not_known_is_refused() -> None:
    assert refused(market(specs={}), opening(0.01))


def test_an_account_without_equity_may_hold_no_currency() -> None:
    assert refused(market(equity=-1.0), opening(0.01), PERCENT)
    assert GUARD.judge(Nothing(), market())[1].said == "no currency is held"


SIDES = st.sampled_from([BUY, SELL])
AMOUNTS = st.tuples(st.integers(1, 200), SIDES)


def net(amounts: Sequence[tuple[int, Side]]) -> int:
    return sum(hundredths * side.sign for hundredths, side in amounts)


@settings(deadline=None)
@given(st.lists(AMOUNTS, max_size=3), st.lists(AMOUNTS, max_size=3), AMOUNTS)
def test_whichever_orders_are_filled_no_admitted_opening_is_what_exceeds_the_limit(
    positions: list[tuple[int, Side]], orders: list[tuple[int, Side]], wanted: tuple[int, Side]
) -> None:
    """Once the opening is in force, no subset of the orders brings the side it adds to beyond the limit."""
    facts = market(
        *(held(number, volume=lots / 100, side=side) for number, (lots, side) in enumerate(positions, 1)),
        orders=tuple(
            order(
                ticket=100 + number,
                type=OrderType.BUY_LIMIT if side is BUY else OrderType.SELL_LIMIT,
                volume_initial=lots / 100,
                volume_current=lots / 100,
            )
            for number, (lots, side) in enumerate(orders)
        ),
    )
    lots, side = wanted
    filled = [
        net([*positions, wanted]) + net([one for one, is_filled in zip(orders, subset, strict=True) if is_filled])
        for subset in product([True, False], repeat=len(orders))
    ]
    exceeds = max(total * side.sign for total in filled) > 100
    assert refused(facts, opening(lots / 100, side=side)) is exceeds


@settings(deadline=None)
@given(AMOUNTS, st.floats(0.0, 1.0))
def test_an_opening_that_lessens_an_exposure_without_turning_it_is_always_allowed(
    position: tuple[int, Side], share: float
) -> None:
    lots, side = position
    facts = market(held(volume=lots / 10, side=side))
    assert not refused(facts, opening(max(1, int(lots * share)) / 10, side=side.opposite))
