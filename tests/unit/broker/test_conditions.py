import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.broker.base import SymbolSpec
from engine.broker.codes import Execution, OrderFilling
from engine.broker.conditions import (
    filling_for,
    floor_volume,
    loss_per_lot,
    notional_per_lot,
    round_price,
    volume_problem,
)

SPEC = SymbolSpec(
    name="EURUSD",
    digits=5,
    point=1e-05,
    tick_size=1e-05,
    tick_value=1.0,
    tick_value_loss=1.0,
    contract_size=100_000.0,
    volume_min=0.01,
    volume_max=50.0,
    volume_step=0.01,
    volume_limit=0.0,
    stops_level=0,
    freeze_level=0,
    execution_mode=Execution.MARKET,
    filling_mode=3,
    trade_mode=4,
    order_mode=127,
    expiration_mode=15,
    currency_profit="USD",
)


@pytest.mark.parametrize(
    ("execution", "mask", "filling"),
    [
        (Execution.REQUEST, 0, OrderFilling.FOK),
        (Execution.INSTANT, 2, OrderFilling.FOK),
        (Execution.MARKET, 1, OrderFilling.FOK),
        (Execution.MARKET, 2, OrderFilling.IOC),
        (Execution.MARKET, 3, OrderFilling.FOK),
        (Execution.MARKET, 0, None),
        (Execution.MARKET, 4, None),
        (Execution.EXCHANGE, 1, OrderFilling.FOK),
        (Execution.EXCHANGE, 2, OrderFilling.IOC),
        (Execution.EXCHANGE, 0, OrderFilling.RETURN),
    ],
)
def test_filling_is_chosen_by_execution_and_mask_and_is_never_the_mask(
    execution: int, mask: int, filling: int | None
) -> None:
    assert filling_for(dataclasses.replace(SPEC, execution_mode=execution, filling_mode=mask)) == filling


@pytest.mark.parametrize(
    ("tick", "digits", "price", "rounded"),
    [
        (1e-05, 5, 1.123456, 1.12346),
        (1e-05, 5, 1.123455, 1.12346),
        (0.25, 2, 4500.13, 4500.25),
        (0.25, 2, 4500.12, 4500.0),
        (0.0, 5, 1.123456, 1.12346),
        (0.001, 3, 150.0004999, 150.0),
    ],
)
def test_price_is_a_multiple_of_the_tick_size(tick: float, digits: int, price: float, rounded: float) -> None:
    assert round_price(dataclasses.replace(SPEC, tick_size=tick, digits=digits), price) == rounded


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_number_that_is_not_finite_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="EURUSD: a price of"):
        round_price(SPEC, number)
    with pytest.raises(ValueError, match="EURUSD: a volume of"):
        floor_volume(SPEC, number)
    assert "not a positive number" in (volume_problem(SPEC, number) or "")


@pytest.mark.parametrize(
    ("step", "volume", "floored"),
    [
        (0.01, 0.019, 0.01),
        (0.01, 0.009, 0.0),
        (0.01, 0.1 * 3, 0.3),
        (0.01, 0.7 - 0.4, 0.3),
        (0.1, 0.79, 0.7),
        (1.0, 7.99, 7.0),
        (0.05, 0.14, 0.1),
        (0.01, 1e25, 1e25),
    ],
)
def test_volume_is_floored_to_its_step_without_binary_noise(step: float, volume: float, floored: float) -> None:
    assert floor_volume(dataclasses.replace(SPEC, volume_step=step), volume) == floored


@given(volume=st.floats(min_value=0.01, max_value=50.0), step=st.sampled_from([0.01, 0.1, 1.0, 0.05]))
def test_floored_volume_is_never_above_what_was_asked_and_has_no_problem(volume: float, step: float) -> None:
    spec = dataclasses.replace(SPEC, volume_step=step)
    floored = floor_volume(spec, volume)
    assert floored <= volume + 1e-8
    assert volume - floored < step + 1e-8
    assert floored == 0 or volume_problem(spec, floored) is None


@pytest.mark.parametrize(
    ("volume", "problem"),
    [
        (0.0, "not a positive number"),
        (-1.0, "not a positive number"),
        (0.001, "below the least volume, 0.01"),
        (51.0, "above the greatest volume, 50"),
        (21.0, "above the limit in one direction, 20"),
        (0.015, "not a multiple of the volume step, 0.01"),
    ],
)
def test_volume_problem_says_what_is_wrong_and_what_is_right(volume: float, problem: str) -> None:
    assert problem in (volume_problem(dataclasses.replace(SPEC, volume_limit=20.0), volume) or "")


def test_good_volume_has_no_problem() -> None:
    assert volume_problem(SPEC, 0.3) is None
    assert volume_problem(SPEC, 50.0) is None


def test_what_a_lot_costs_at_a_stop_and_what_it_is_worth_are_told_in_account_currency() -> None:
    assert loss_per_lot(SPEC, 1.1, 1.095) == 500
    assert notional_per_lot(SPEC, 1.1) == 110_000


@pytest.mark.parametrize("changes", [{"tick_value_loss": 0.0}, {"tick_size": 0.0}, {"tick_value_loss": math.nan}])
def test_a_loss_at_an_unknown_tick_value_is_not_known(changes: dict[str, Any]) -> None:
    assert loss_per_lot(dataclasses.replace(SPEC, **changes), 1.1, 1.095) is None


@pytest.mark.parametrize("changes", [{"tick_value": 0.0}, {"tick_size": 0.0}, {"tick_size": math.inf}])
def test_the_worth_of_a_lot_at_an_unknown_tick_value_is_not_known(changes: dict[str, Any]) -> None:
    assert notional_per_lot(dataclasses.replace(SPEC, **changes), 1.1) is None
    assert notional_per_lot(SPEC, 0.0) is None
