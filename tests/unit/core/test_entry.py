"""The rules of an opening, each at its limit, and sizing by risk: never over what was asked for, always legal."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.broker.base import Side, SymbolSpec, Tick
from engine.broker.mt5 import floor_volume, round_price, volume_problem
from engine.config import EntrySettings
from engine.entry import money_at_risk, proposal_problem, send_problem, volume_for_risk
from engine.signals import EntryType, Signal
from tests.unit.core.makers import EURUSD, TICK, signal

RULES = EntrySettings()


def proposed(chosen: Signal, rules: EntrySettings = RULES, spec: SymbolSpec = EURUSD, tick: Tick = TICK) -> str:
    return proposal_problem(spec, rules, chosen, tick) or ""


def sent(chosen: Signal, rules: EntrySettings = RULES, spec: SymbolSpec = EURUSD, tick: Tick = TICK) -> str:
    return send_problem(spec, rules, chosen, tick) or ""


def quote(bid: float, spread_points: float = 10) -> Tick:
    return Tick("EURUSD", bid, round(bid + spread_points * EURUSD.point, 5), TICK.time_msc)


def test_half_a_lot_of_eurusd_with_a_stop_50_pips_away_risks_250_dollars() -> None:
    assert money_at_risk(EURUSD, 0.5, 1.1, 1.095) == pytest.approx(250.0)


def test_risk_is_unknown_rather_than_zero_without_a_tick_value_or_a_stop() -> None:
    assert money_at_risk(replace(EURUSD, tick_value_loss=0.0), 0.5, 1.1, 1.095) is None
    assert money_at_risk(EURUSD, 0.5, 1.1, 0.0) is None


@pytest.mark.parametrize("side", Side)
def test_a_sound_signal_is_proposed_and_sent(side: Side) -> None:
    assert proposed(signal(side)) == ""
    assert sent(signal(side)) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sl": 1.101}, "below the entry"),
        ({"side": Side.SELL, "sl": 1.099, "tp": 1.09}, "above the entry"),
        ({"tp": 1.099}, "above the entry"),
        ({"side": Side.SELL, "sl": 1.11, "tp": 1.101}, "below the entry"),
        ({"sl": 1.09995}, "no less than 10"),
        ({"tp": 1.10005}, "no less than 10"),
        ({"volume": 0.005}, "0.01"),
        ({"volume": 500.0}, "100"),
        ({"volume": 0.015}, "0.01"),
        ({"sl": 0.0}, "entry.require_stop"),
        ({"tp": 0.0}, "entry.min_reward_to_risk"),
        ({"tp": 1.1074}, "reward to risk is 1.48; the profile asks for a reward to risk of at least 1.5"),
        ({"type": EntryType.LIMIT, "entry": 1.10005}, "at least 10 points below 1.1001"),
        ({"type": EntryType.LIMIT, "entry": 1.1003}, "at least 10 points below 1.1001"),
        ({"type": EntryType.STOP, "entry": 1.10015}, "at least 10 points above 1.1001"),
    ],
)
def test_a_wrong_proposal_is_refused_by_the_rule_it_breaks(changes: dict[str, Any], words: str) -> None:
    assert words in proposed(signal(**changes))


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({"tp": 1.1075}, {}),
        ({"sl": 1.0999, "tp": 1.10015}, {}),
        ({"tp": 0.0}, {"min_reward_to_risk": 0}),
        ({"sl": 0.0, "tp": 0.0}, {"min_reward_to_risk": 0, "require_stop": False}),
        ({}, {"min_stop_points": 500}),
        ({"type": EntryType.LIMIT, "entry": 1.1}, {}),
        ({"type": EntryType.STOP, "entry": 1.1002}, {}),
    ],
)
def test_a_proposal_exactly_at_a_limit_is_taken(changes: dict[str, Any], rules: dict[str, Any]) -> None:
    assert proposed(signal(**changes), EntrySettings.model_validate(rules)) == ""


def test_the_profiles_own_stop_distance_stands_beside_the_symbols() -> None:
    assert "at least 501 (entry.min_stop_points)" in proposed(signal(), EntrySettings(min_stop_points=501))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"trade_mode": 0}, "DISABLED"),
        ({"trade_mode": 2}, "SHORTONLY"),
        ({"trade_mode": 3}, "CLOSEONLY"),
        ({"order_mode": 126}, "takes no market orders"),
        ({"order_mode": 127 - 16}, "takes no stop loss"),
        ({"order_mode": 127 - 32}, "takes no take profit"),
    ],
)
def test_what_a_symbol_does_not_take_is_refused_before_it_is_sent(spec: dict[str, int], words: str) -> None:
    chosen = replace(EURUSD, **spec)  # type: ignore[arg-type]  # values by name
    assert words in proposed(signal(), spec=chosen)
    assert words in sent(signal(), spec=chosen)
    assert sent(signal(), spec=replace(EURUSD, trade_mode=1)) == ""


@pytest.mark.parametrize("drift", [125, -125])
def test_a_price_that_moved_a_quarter_of_the_stop_distance_either_way_is_the_last_that_is_sent(drift: int) -> None:
    at_limit = quote(round(1.1 + (drift - 10) * EURUSD.point, 5))
    beyond = quote(round(1.1 + (drift - 10 + (1 if drift > 0 else -1)) * EURUSD.point, 5))
    assert sent(signal(), tick=at_limit) == ""
    assert "at most 125.0 (0.25 of the stop distance)" in sent(signal(), tick=beyond)
    assert "moved" in sent(signal(), EntrySettings(max_drift_points=50), tick=at_limit)
    assert sent(signal(), EntrySettings(max_drift_of_stop=None), tick=beyond) == ""


def test_drift_does_not_concern_an_order_that_has_its_own_price() -> None:
    assert sent(signal(type=EntryType.LIMIT, entry=1.1), tick=quote(1.13)) == ""
    assert "below" in sent(signal(type=EntryType.LIMIT, entry=1.1), tick=quote(1.0999))


def test_a_spread_of_a_quarter_of_the_stop_distance_is_the_last_that_is_taken() -> None:
    rules = EntrySettings(max_drift_of_stop=None)
    assert sent(signal(), rules, tick=quote(1.1, 125)) == ""
    assert "the spread is 126.0 points; at most 125.0" in sent(signal(), rules, tick=quote(1.1, 126))
    assert "at most 20 are allowed" in sent(signal(), EntrySettings(max_spread_points=20), tick=quote(1.1, 21))


@pytest.mark.parametrize(("bid", "words"), [(1.095, "passed the stop loss"), (1.11, "passed the take profit")])
def test_a_price_beyond_its_own_stop_or_target_is_not_sent(bid: float, words: str) -> None:
    assert words in sent(signal(), EntrySettings(max_drift_of_stop=None), tick=quote(bid))


def test_a_signal_without_a_stop_is_refused_at_send_too() -> None:
    assert "entry.require_stop" in sent(signal(sl=0.0))


def test_two_percent_of_ten_thousand_at_50_pips_is_four_tenths_of_a_lot() -> None:
    assert volume_for_risk(EURUSD, 10_000.0, 2.0, 1.1, 1.095) == 0.4
    assert volume_for_risk(EURUSD, 9_999.99, 2.0, 1.1, 1.095) == 0.39


def test_a_risk_below_the_least_volume_is_no_volume() -> None:
    assert volume_for_risk(EURUSD, 100.0, 1.0, 1.1, 1.095) == 0.0


@pytest.mark.parametrize("spec", [replace(EURUSD, tick_value_loss=0.0), replace(EURUSD, tick_size=0.0)])
def test_without_a_tick_value_no_volume_can_be_reckoned(spec: SymbolSpec) -> None:
    with pytest.raises(ValueError, match="cannot be known"):
        volume_for_risk(spec, 10_000.0, 2.0, 1.1, 1.095)


specs = st.builds(
    lambda digits, ticks, value, step, least, most, limit: replace(
        EURUSD,
        digits=digits,
        point=10.0**-digits,
        tick_size=float(Decimal(ticks) * Decimal(10) ** -digits),
        tick_value_loss=value,
        volume_step=float(step),
        volume_min=float(step * least),
        volume_max=float(step * least * most),
        volume_limit=float(step * limit),
    ),
    st.integers(0, 5),
    st.sampled_from([1, 5, 25]),
    st.floats(0.0001, 1000),
    st.sampled_from([Decimal("0.001"), Decimal("0.01"), Decimal("0.1"), Decimal("1"), Decimal("0.05")]),
    st.integers(1, 20),
    st.integers(1, 10_000),
    st.sampled_from([0, 7, 5000]),
)
prices = st.floats(0.5, 50_000)


@given(specs, st.floats(0.01, 1e8), st.floats(0.01, 100), prices, prices)
def test_sizing_never_risks_more_than_asked_and_is_always_legal(
    spec: SymbolSpec, equity: float, percent: float, entry: float, stop: float
) -> None:
    entry, stop = round_price(spec, entry), round_price(spec, stop)
    if entry == stop:
        return
    volume = volume_for_risk(spec, equity, percent, entry, stop)
    if volume == 0.0:
        return
    assert volume_problem(spec, volume) is None
    ticks = abs(Decimal(repr(entry)) - Decimal(repr(stop))) / Decimal(repr(spec.tick_size))
    cost = ticks * Decimal(repr(spec.tick_value_loss)) * Decimal(repr(volume))
    assert cost <= Decimal(repr(equity)) * Decimal(repr(percent)) / 100
    one_more = Decimal(repr(volume)) + Decimal(repr(spec.volume_step))
    bigger = ticks * Decimal(repr(spec.tick_value_loss)) * one_more
    capped = volume_problem(spec, float(one_more)) is not None
    assert capped or bigger > Decimal(repr(equity)) * Decimal(repr(percent)) / 100


@given(specs, st.floats(0.001, 10_000))
def test_a_floored_volume_is_a_whole_number_of_steps_and_never_more(spec: SymbolSpec, volume: float) -> None:
    floored = floor_volume(spec, volume)
    assert floored <= volume + 1e-8
    assert Decimal(repr(floored)) % Decimal(repr(spec.volume_step)) == 0
    assert volume - floored < spec.volume_step + 1e-8


@given(specs, prices)
def test_a_rounded_price_is_on_a_tick_and_no_further_than_half_of_one(spec: SymbolSpec, price: float) -> None:
    rounded = round_price(spec, price)
    assert Decimal(repr(rounded)) % Decimal(repr(spec.tick_size)) == 0
    assert abs(rounded - price) <= spec.tick_size / 2 + 1e-9
    assert round_price(spec, rounded) == rounded
