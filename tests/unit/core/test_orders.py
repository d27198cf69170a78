from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.approvals import intent_from_json, intent_to_json
from engine.broker.base import Side, SymbolSpec
from engine.orders import (
    closing_request,
    drift_points,
    entry_price,
    intent_of,
    money_at_risk,
    opening_request,
    proposal_problem,
    protection_request,
)
from engine.signals import Signal, SignalState
from tests.unit.core.makers import EURUSD, TICK, position

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)


class FixedClock:
    def monotonic(self) -> float:
        return 0.0

    def utc(self) -> datetime:
        return NOW


def signal(side: Side = Side.BUY, **changes: object) -> Signal:
    made = Signal(
        id="ABCDEFGH",
        account="1@x",
        version=1,
        state=SignalState.APPROVED,
        symbol="EURUSD",
        side=side,
        volume=0.5,
        entry=1.1,
        sl=1.095 if side is Side.BUY else 1.105,
        tp=1.11 if side is Side.BUY else 1.09,
        source="test",
        note="",
        created_at=NOW,
        expires_at=NOW + timedelta(minutes=5),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # test values by name


def test_half_a_lot_of_eurusd_with_a_stop_50_pips_away_risks_250_dollars() -> None:
    assert money_at_risk(EURUSD, 0.5, 1.1, 1.095) == pytest.approx(250.0)


def test_risk_is_unknown_rather_than_zero_without_a_tick_value() -> None:
    assert money_at_risk(replace(EURUSD, tick_value_loss=0.0), 0.5, 1.1, 1.095) is None


def test_drift_is_positive_against_the_entry_for_both_sides() -> None:
    assert drift_points(EURUSD, signal(), TICK) == pytest.approx(10.0)
    assert drift_points(EURUSD, signal(Side.SELL, entry=1.1002), TICK) == pytest.approx(20.0)


def test_a_buy_opens_on_the_ask_and_a_sell_on_the_bid() -> None:
    assert (entry_price(Side.BUY, TICK), entry_price(Side.SELL, TICK)) == (TICK.ask, TICK.bid)


def test_reward_to_risk_is_target_over_stop_distance() -> None:
    assert signal().reward_to_risk == pytest.approx(2.0)
    assert signal(sl=1.1).reward_to_risk is None


@pytest.mark.parametrize(
    ("side", "volume", "sl", "tp", "words"),
    [
        (Side.BUY, 0.5, 1.101, 1.11, "below the entry"),
        (Side.SELL, 0.5, 1.099, 1.09, "above the entry"),
        (Side.BUY, 0.5, 1.09, 1.099, "above the entry"),
        (Side.SELL, 0.5, 1.11, 1.101, "below the entry"),
        (Side.BUY, 0.5, 1.09995, 1.11, "no less than 10"),
        (Side.BUY, 0.5, 1.09, 1.10005, "no less than 10"),
        (Side.BUY, 0.005, 1.09, 1.11, "0.01"),
        (Side.BUY, 500.0, 1.09, 1.11, "100"),
        (Side.BUY, 0.015, 1.09, 1.11, "0.01"),
    ],
)
def test_a_wrong_proposal_is_refused_by_the_rule_it_breaks(
    side: Side, volume: float, sl: float, tp: float, words: str
) -> None:
    problem = proposal_problem(EURUSD, side, volume, 1.1, sl, tp)
    assert problem is not None
    assert words in problem


def test_a_stop_exactly_at_the_least_distance_is_allowed() -> None:
    assert proposal_problem(EURUSD, Side.BUY, 0.5, 1.1, 1.0999, 1.1001) is None


@pytest.mark.parametrize(("side", "order_type", "price"), [(Side.BUY, 0, TICK.ask), (Side.SELL, 1, TICK.bid)])
def test_an_opening_carries_stop_target_magic_and_comment(side: Side, order_type: int, price: float) -> None:
    chosen = signal(side)
    intent = intent_of(chosen, EURUSD, TICK, epoch=3, clock=FixedClock())
    request = opening_request(intent, EURUSD, TICK, 20)
    assert request is not None
    assert (request["type"], request["price"]) == (order_type, price)
    assert (request["sl"], request["tp"]) == (chosen.sl, chosen.tp)
    assert request["magic"] == chosen.magic
    assert request["comment"] == "qd ABCDEFGH"
    assert len(request["comment"]) <= 26
    assert request["type_filling"] == 0
    assert (intent.epoch, intent.server_time) == (3, TICK.time_msc // 1000)


def test_an_intent_comes_back_from_the_journal_as_it_went_in() -> None:
    intent = intent_of(signal(), EURUSD, TICK, epoch=3, clock=FixedClock())
    assert intent_from_json(intent_to_json(intent)) == intent


@pytest.mark.parametrize(("side", "order_type"), [(Side.BUY, 1), (Side.SELL, 0)])
def test_a_close_names_the_ticket_and_goes_the_other_way(side: Side, order_type: int) -> None:
    request = closing_request(position(side=side), EURUSD, 50)
    assert (request["position"], request["type"], request["volume"]) == (7, order_type, 1.0)


def test_without_a_filling_mode_nothing_is_opened() -> None:
    without = replace(EURUSD, filling_mode=0)
    intent = intent_of(signal(), without, TICK, epoch=0, clock=FixedClock())
    assert opening_request(intent, without, TICK, 20) is None


@pytest.mark.parametrize("spec", [None, replace(EURUSD, filling_mode=0)])
def test_without_a_filling_mode_a_close_tries_each_in_turn(spec: SymbolSpec | None) -> None:
    assert [closing_request(position(), spec, 20, tries)["type_filling"] for tries in range(4)] == [0, 1, 2, 0]


def test_a_position_larger_than_the_largest_order_is_closed_piece_by_piece() -> None:
    assert closing_request(position(volume=250.0), EURUSD, 50)["volume"] == 100.0
    assert closing_request(position(volume=250.0), replace(EURUSD, volume_max=0.0), 50)["volume"] == 250.0


def test_a_protection_request_names_position_stop_and_target() -> None:
    assert protection_request(position(), 1.09, 1.12)["position"] == 7
