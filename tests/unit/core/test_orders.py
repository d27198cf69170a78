from dataclasses import replace

import pytest

from engine.approvals import intent_from_json, intent_to_json
from engine.broker.base import Side, SymbolSpec
from engine.orders import (
    closing_request,
    drift_points,
    entry_price,
    intent_of,
    opening_request,
    protection_request,
)
from engine.signals import EntryType, Intent, Signal
from tests.unit.core.makers import EURUSD, TICK, FixedClock, position, signal


def intent(chosen: Signal, spec: SymbolSpec = EURUSD, server_time: int = 1_767_600_000) -> Intent:
    return intent_of(chosen, spec, volume=chosen.volume, epoch=3, clock=FixedClock(), server_time=server_time)


def test_drift_is_positive_against_the_entry_for_both_sides() -> None:
    assert drift_points(EURUSD, signal(), TICK) == pytest.approx(10.0)
    assert drift_points(EURUSD, signal(Side.SELL, entry=1.1002), TICK) == pytest.approx(20.0)


def test_a_buy_opens_on_the_ask_and_a_sell_on_the_bid() -> None:
    assert (entry_price(Side.BUY, TICK), entry_price(Side.SELL, TICK)) == (TICK.ask, TICK.bid)


def test_reward_to_risk_is_target_over_stop_distance() -> None:
    assert signal().reward_to_risk == pytest.approx(2.0)
    assert signal(sl=1.1).reward_to_risk is None


@pytest.mark.parametrize(("side", "order_type", "price"), [(Side.BUY, 0, TICK.ask), (Side.SELL, 1, TICK.bid)])
def test_an_opening_carries_stop_target_magic_and_comment(side: Side, order_type: int, price: float) -> None:
    chosen = signal(side)
    made = intent(chosen)
    request = opening_request(made, EURUSD, TICK, 20)
    assert request is not None
    assert (request["type"], request["price"]) == (order_type, price)
    assert (request["sl"], request["tp"]) == (chosen.sl, chosen.tp)
    assert request["magic"] == chosen.magic
    assert request["comment"] == "qd ABCDEFGH"
    assert len(request["comment"]) <= 26
    assert request["type_filling"] == 0
    assert (made.epoch, made.server_time) == (3, 1_767_600_000)


def test_an_intent_comes_back_from_the_journal_as_it_went_in() -> None:
    for made in (intent(signal()), intent(signal(type=EntryType.STOP, entry=1.2))):
        assert intent_from_json(intent_to_json(made)) == made


@pytest.mark.parametrize(("side", "order_type"), [(Side.BUY, 1), (Side.SELL, 0)])
def test_a_close_names_the_ticket_and_goes_the_other_way(side: Side, order_type: int) -> None:
    request = closing_request(position(side=side), EURUSD, 50)
    assert (request["position"], request["type"], request["volume"]) == (7, order_type, 1.0)


def test_without_a_filling_mode_nothing_is_opened() -> None:
    without = replace(EURUSD, filling_mode=0)
    assert opening_request(intent(signal()), without, TICK, 20) is None
    assert opening_request(intent(signal(type=EntryType.STOP, entry=1.2)), without, TICK, 20) is None


@pytest.mark.parametrize(
    ("kind", "side", "order_type"),
    [
        (EntryType.LIMIT, Side.BUY, 2),
        (EntryType.LIMIT, Side.SELL, 3),
        (EntryType.STOP, Side.BUY, 4),
        (EntryType.STOP, Side.SELL, 5),
    ],
)
def test_an_order_that_waits_has_its_own_price_and_a_life_on_the_brokers_clock(
    kind: EntryType, side: Side, order_type: int
) -> None:
    made = intent(signal(side, type=kind, entry=1.105004), server_time=1000)
    request = opening_request(made, EURUSD, TICK, 20, order_seconds=59.2)
    assert request is not None
    assert (request["action"], request["type"], request["price"]) == (5, order_type, 1.105)
    assert (request["type_time"], request["expiration"]) == (2, 1060)
    assert "deviation" not in request


@pytest.mark.parametrize(
    ("kind", "execution", "mask", "filling"),
    [
        # MetaTrader 5 help, "Fill Policy": Return is for limit orders in market and exchange execution; a stop order
        # becomes a market order; instant and request execution know Fill or Kill alone.
        (EntryType.LIMIT, 2, 1, 2),
        (EntryType.LIMIT, 3, 2, 2),
        (EntryType.LIMIT, 1, 3, 0),
        (EntryType.STOP, 2, 2, 1),
        (EntryType.STOP, 2, 3, 0),
        (EntryType.STOP, 3, 0, 2),
        (EntryType.STOP, 0, 2, 0),
    ],
)
def test_the_filling_of_an_order_that_waits(kind: EntryType, execution: int, mask: int, filling: int) -> None:
    spec = replace(EURUSD, execution_mode=execution, filling_mode=mask)
    request = opening_request(intent(signal(type=kind, entry=1.2)), spec, TICK, 20)
    assert request is not None
    assert request["type_filling"] == filling


@pytest.mark.parametrize(("mode", "type_time"), [(15, 2), (1, 0), (2, 1), (3, 0)])
def test_a_symbol_without_expiry_by_time_takes_the_next_best(mode: int, type_time: int) -> None:
    spec = replace(EURUSD, expiration_mode=mode)
    request = opening_request(intent(signal(type=EntryType.LIMIT, entry=1.0)), spec, TICK, 20, order_seconds=60)
    assert request is not None
    assert request["type_time"] == type_time
    assert ("expiration" in request) == (type_time == 2)


@pytest.mark.parametrize("spec", [None, replace(EURUSD, filling_mode=0)])
def test_without_a_filling_mode_a_close_tries_each_in_turn(spec: SymbolSpec | None) -> None:
    assert [closing_request(position(), spec, 20, tries)["type_filling"] for tries in range(4)] == [0, 1, 2, 0]


def test_a_position_larger_than_the_largest_order_is_closed_piece_by_piece() -> None:
    assert closing_request(position(volume=250.0), EURUSD, 50)["volume"] == 100.0
    assert closing_request(position(volume=250.0), replace(EURUSD, volume_max=0.0), 50)["volume"] == 250.0


def test_a_protection_request_names_position_stop_and_target() -> None:
    assert protection_request(position(), 1.09, 1.12)["position"] == 7
