"""Values that once broke the engine: numbers that are none, odd times, first looks that lie."""

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from engine.control import messages as wire
from engine.signals import EntryType
from engine.state import EngineMode
from tests.simulation.test_desk import changed
from tests.simulation.test_execution import Struct
from tests.simulation.test_working_orders import FAR, order
from tests.simulation.virtual import run_virtual
from tests.simulation.world import opened_volume, world


@pytest.mark.parametrize(
    "lie", [{"equity": math.nan}, {"balance": math.nan}, {"equity": 0.0, "balance": 0.0, "credit": 0.0}]
)
def test_numbers_that_cannot_be_believed_are_not_flat(tmp_path: Path, lie: dict[str, float]) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            faults["account_info"] = changed(**lie)
            await made.command(wire.Flatten())
            await asyncio.sleep(10)
            assert made.engine.modes.mode is EngineMode.FLATTENING
            report = made.target.snapshot().flatten
            assert report is not None
            assert report.remaining
            faults.clear()
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


@pytest.mark.parametrize("time_msc", [0, 32_503_680_000_000, 10**18, -(10**18)])
def test_a_quote_of_any_time_is_shown(tmp_path: Path, time_msc: int) -> None:
    faults: dict[str, Any] = {"symbol_info_tick": changed(time_msc=time_msc)}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            await asyncio.sleep(1)
            assert made.target.snapshot().model_dump_json()
            assert made.target.snapshot().markets

    run_virtual(run())


@pytest.mark.parametrize("changes", [{"time_msc": 10**18}, {"time_msc": -(10**18)}])
def test_a_position_with_odd_fields_is_shown(tmp_path: Path, changes: dict[str, Any]) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            await made.bought()
            faults["positions_get"] = lambda honest: tuple(Struct(item, **changes) for item in honest())
            await asyncio.sleep(1)
            assert made.target.snapshot().model_dump_json()

    run_virtual(run())


@pytest.mark.parametrize("changes", [{"margin_level": math.inf}, {"margin_level": math.nan, "margin_free": math.nan}])
def test_an_account_with_figures_that_are_none_is_shown(tmp_path: Path, changes: dict[str, Any]) -> None:
    async def run() -> None:
        async with world(tmp_path, faults={"account_info": changed(**changes)}) as made:
            await asyncio.sleep(1)
            assert made.target.snapshot().model_dump_json()

    run_virtual(run())


@pytest.mark.parametrize("price", [math.nan, math.inf])
def test_a_price_that_is_none_makes_no_signal(tmp_path: Path, price: float) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            faults["symbol_info_tick"] = changed(ask=price, bid=price)
            action = wire.AddSignal(symbol="EURUSD", side="buy", volume=0.1, sl=1.0, tp=2.0)
            assert not (await made.command(action)).accepted
            assert made.target.snapshot().model_dump_json()

    run_virtual(run())


@pytest.mark.parametrize("price", [math.nan, math.inf, 0.0, 1e308])
@pytest.mark.parametrize("kind", EntryType)
def test_at_a_price_that_is_none_nothing_is_sent_and_nothing_ends(
    tmp_path: Path, price: float, kind: EntryType
) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            market = kind is EntryType.MARKET
            proposal = made.buy() if market else order(made, FAR, kind)
            signal = await made.engine.proposals.take(proposal)
            assert (await made.approve(signal)).accepted
            faults["symbol_info_tick"] = changed(ask=price, bid=price)
            action = wire.AddSignal(symbol="EURUSD", side="buy", volume=0.1, type=kind.value, entry=1.1, sl=1.0, tp=2.0)
            assert "no price" in (await made.command(action)).message
            await asyncio.sleep(5)
            assert made.target.snapshot().model_dump_json()
            [blocked] = await made.events("signal_blocked")
            assert "no price" in blocked["reason"]
            assert not opened_volume(made.terminal)

    run_virtual(run())


@pytest.mark.parametrize(
    "changes", [{"point": 0.0}, {"volume_step": 0.0}, {"volume_step": 1e-300}, {"trade_tick_value_loss": 1e308}]
)
def test_conditions_that_make_no_sense_end_nothing(tmp_path: Path, changes: dict[str, float]) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            signal = await made.engine.proposals.take(made.buy())
            faults["symbol_info"] = lambda honest, *args: Struct(honest(*args), **changes)
            await asyncio.sleep(15)
            assert made.target.snapshot().model_dump_json()
            action = wire.AddSignal(symbol="EURUSD", side="buy", volume=0.1, sl=1.0, tp=2.0)
            assert not (await made.command(action)).accepted
            await made.approve(signal)
            await asyncio.sleep(5)
            assert not made.running.done()

    run_virtual(run())


@pytest.mark.parametrize(
    "lie",
    [
        {"equity": 1_000_000.0},
        {"equity": 1_000_000.0, "balance": 1_000_000.0},
        {"equity": math.nan},
        {"equity": 0.0, "balance": 0.0},
    ],
)
def test_a_first_look_that_cannot_be_believed_sets_no_baseline(tmp_path: Path, lie: dict[str, float]) -> None:
    looks: list[int] = []

    def at_first(honest: Any) -> Any:
        looks.append(1)
        # The third lie is of cached values: the terminal has not yet connected.
        return Struct(honest(), **lie) if len(looks) <= 4 else honest()

    faults: dict[str, Any] = {"account_info": at_first}
    if "balance" in lie and lie["equity"]:
        faults["terminal_info"] = lambda honest: Struct(honest(), connected=len(looks) > 4)

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            await asyncio.sleep(5)
            assert made.engine.modes.mode is EngineMode.RUNNING
            assert made.engine.cycle.guard.state.peak == 10_000.0
            assert made.target.snapshot().model_dump_json()

    run_virtual(run())


@pytest.mark.parametrize("volume", [math.inf, math.nan, 1e-300])
def test_a_fill_of_a_volume_that_is_none_is_looked_for_again(tmp_path: Path, volume: float) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            signal = await made.engine.proposals.take(made.buy())
            faults["history_deals_get"] = lambda honest, *args, **kwargs: tuple(
                Struct(deal, volume=volume) for deal in honest(*args, **kwargs)
            )
            assert (await made.approve(signal)).accepted
            await asyncio.sleep(5)
            assert made.engine.book.unresolved()
            faults.clear()
            await made.until(lambda: not made.engine.book.unresolved())
            [executed] = await made.events("trade_executed")
            assert executed["volume"] == 0.5

    run_virtual(run())
