"""Accounts that net: closed by the volume that is there now, never beyond it, by identifier, and once."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.broker.connection import Frame
from engine.control import messages as wire
from engine.paper.books import ENTRY_IN, ENTRY_INOUT
from engine.paper.conditions import Conditions
from engine.paper.faultplan import read_fault
from engine.paper.market import instrument
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.settling import is_closing
from engine.state import EngineMode
from tests.simulation.campaign import truth
from tests.simulation.closing import (
    EXCHANGE,
    NETTING,
    PATIENT,
    QUICK,
    SELL,
    Closes,
    by_hand,
    check_journal,
    closed_lots,
    ended,
    held,
    one,
    seen,
    start,
    terminal_with,
    view,
    volumes,
    without_ticket,
)
from tests.simulation.test_closing import UNKNOWN
from tests.simulation.test_flatten import flattened
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, world


def reversals(terminal: PaperTerminal) -> list[Any]:
    """Deals of our closes that opened something."""
    deals = truth(terminal).history.deals
    return [deal for deal in deals if is_closing(deal.magic) and deal.entry in (ENTRY_IN, ENTRY_INOUT)]


def shown(made: World, symbol: str) -> wire.PositionView:
    """The position of a symbol as consoles see it."""
    return next(item for item in made.target.snapshot().positions if item.symbol == symbol)


@pytest.mark.parametrize("margin_mode", [NETTING, EXCHANGE])
def test_a_netting_account_is_traded_flattened_and_proven_by_identifier(tmp_path: Path, margin_mode: int) -> None:
    async def run() -> None:
        terminal = terminal_with(margin_mode=margin_mode)
        async with world(tmp_path, terminal=terminal, settings=QUICK) as made:
            await made.bought("EURUSD", 0.3, 0.05)
            await made.bought("GBPUSD", 0.2, 0.05)
            by_hand(terminal, "EURUSD", 0.8, SELL)
            await made.until(lambda: shown(made, "EURUSD").type == 1)
            turned = shown(made, "EURUSD")
            assert turned.ticket != turned.identifier
            report = await flattened(made)
            assert report.statement.startswith("flat, confirmed")
            assert report.positions_closed == 2
            assert held(terminal) == []
            assert reversals(terminal) == []
            opened = await made.events("position_opened")
            assert len({event["position"] for event in opened}) == len(opened) == 2
            check_journal(made)
        terminal.shutdown()

    run_virtual(run())


@pytest.mark.parametrize("answer", UNKNOWN, ids=str)
def test_field_12_a_close_whose_answer_is_lost_never_turns_the_position_round(
    tmp_path: Path, answer: dict[str, int]
) -> None:
    """Failure 12 of the field: on netting a second close opens the opposite position."""
    lost = Closes(executed="yes", **answer)

    async def run() -> None:
        terminal = terminal_with(margin_mode=NETTING)
        faults = {**lost.faults, "order_send": without_ticket(lost)}
        async with world(tmp_path, terminal=terminal, faults=faults, settings=QUICK) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            await flattened(made, 200.0)
            assert len(lost.requests) == 1
            assert reversals(terminal) == []
            assert closed_lots(terminal) == 0.5
        terminal.shutdown()

    run_virtual(run())


def test_field_12_the_list_of_positions_lags_behind_and_the_close_is_not_repeated(tmp_path: Path) -> None:
    """The position is in the list for 2 s after its close was done."""
    faults: dict[str, Any] = {}
    closes: list[Any] = []
    shown: list[Any] = []

    async def run() -> None:
        terminal = terminal_with(margin_mode=NETTING)
        loop = asyncio.get_running_loop()

        def close(honest: Any, request: dict[str, Any]) -> Any:
            closes.append(request)
            shown.append(loop.time() + 2)
            return honest({key: value for key, value in request.items() if key != "position"})

        def lag(honest: Any) -> Any:
            now = honest()
            if not shown:
                before[:] = now
            return tuple(before) if shown and loop.time() < shown[0] else now

        before: list[Any] = []
        async with world(tmp_path, terminal=terminal, faults=faults, settings=QUICK) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            faults["order_send"], faults["positions_get"] = close, lag
            await asyncio.sleep(0.3)
            await flattened(made)
            assert len(closes) == 1
            assert reversals(terminal) == []
        terminal.shutdown()

    run_virtual(run())


def test_the_volume_is_read_again_immediately_before_the_send(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = terminal_with(margin_mode=NETTING)
        honest = Closes(times=0)
        faults = {"order_send": without_ticket(honest)}
        async with world(tmp_path, terminal=terminal, faults=faults, settings=QUICK) as made:
            await made.bought("EURUSD", 1.0, 0.05)
            # The flatten begins with the last look, in which the lot is whole.
            by_hand(terminal, "EURUSD", 0.6, SELL)
            await flattened(made)
            assert [request["volume"] for request in honest.requests] == [0.4]
            assert reversals(terminal) == []
        terminal.shutdown()

    run_virtual(run())


def test_a_close_that_comes_late_and_turns_the_position_round_still_ends_flat(tmp_path: Path) -> None:
    late = Closes(executed=11.5, error=-10002)

    async def run() -> None:
        terminal = terminal_with(margin_mode=NETTING)
        faults = {**late.faults, "order_send": without_ticket(late)}
        async with world(tmp_path, terminal=terminal, faults=faults) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            report = await flattened(made, 300.0)
            assert len(reversals(terminal)) == 1
            assert report.statement.startswith("flat")
            assert len(await made.events("flatten_finished")) == 1
            assert held(terminal) == []
        terminal.shutdown()

    run_virtual(run())


def test_a_close_of_a_position_that_comes_later_than_all_is_closed_by_its_job_or_by_the_halt(tmp_path: Path) -> None:
    """Long after "flat" a lost close opens the opposite position: while halted it is closed again."""
    late = Closes(executed=150.0, error=-10002)

    async def run() -> None:
        terminal = terminal_with(margin_mode=NETTING)
        faults = {**late.faults, "order_send": without_ticket(late)}
        async with world(tmp_path, terminal=terminal, faults=faults, settings=PATIENT) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            await flattened(made, 140.0)
            await made.until(lambda: reversals(terminal), 100.0)
            await made.until(lambda: made.engine.modes.mode is EngineMode.FLATTENING)
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert held(terminal) == []
        terminal.shutdown()

    run_virtual(run())


def test_a_job_closes_what_its_own_late_close_opened(tmp_path: Path) -> None:
    late = Closes(executed=11.5, error=-10002)

    async def run() -> None:
        terminal = terminal_with(margin_mode=NETTING)
        faults = {**late.faults, "order_send": without_ticket(late)}
        async with world(tmp_path, terminal=terminal, faults=faults) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            done = await ended(made, await start(made, one(made)), 300.0)
            assert done.state == "DONE"
            assert len(reversals(terminal)) == 1
            assert held(terminal) == []
        terminal.shutdown()

    run_virtual(run())


def test_flat_is_not_said_while_a_close_may_still_come_though_the_position_is_gone(tmp_path: Path) -> None:
    """The position is stopped out in the middle of a flatten whose close is on its way."""
    late = Closes(executed=40.0, error=-10002)

    async def run() -> None:
        terminal = terminal_with(margin_mode=NETTING)
        faults = {**late.faults, "order_send": without_ticket(late)}
        async with world(tmp_path, terminal=terminal, faults=faults, settings=PATIENT) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            await made.command(wire.Flatten(), "test")
            await made.until(lambda: late.requests)
            terminal.cash(2, -9_900.0, "withdrawn")
            await made.until(lambda: held(terminal) == [])
            terminal.cash(2, 9_900.0, "brought back")
            await asyncio.sleep(20)
            flatten = made.target.snapshot().flatten
            assert flatten is not None
            assert "unresolved" in flatten.remaining[0]
            await made.until(lambda: reversals(terminal))
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert held(terminal) == []
            assert "stop out" in [event.get("how") for event in await made.events("position_closed")]
        terminal.shutdown()

    run_virtual(run())


@pytest.mark.parametrize("executed", ["yes", "no", 40.0])
def test_a_close_in_flight_at_a_kill_is_not_repeated_by_the_next_start(tmp_path: Path, executed: str | float) -> None:
    async def run() -> None:
        terminal = terminal_with(margin_mode=NETTING)
        lost = Closes(executed=executed, error=-10002)

        async def frozen(frame: Frame) -> None:
            if lost.requests:
                await asyncio.Event().wait()

        faults = {**lost.faults, "order_send": without_ticket(lost)}
        async with world(tmp_path, terminal=terminal, faults=faults, after=frozen, settings=PATIENT) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            assert (await made.command(wire.Flatten(), "storm")).accepted
            await made.until(lambda: lost.requests)
            await made.crash()
        later = Closes(times=0)
        faults = {"order_send": without_ticket(later)}
        async with world(tmp_path, terminal=terminal, faults=faults, seed=2, settings=PATIENT) as again:
            await again.until(lambda: again.engine.modes.mode is EngineMode.HALTED, 200.0)
            assert held(terminal) == []
            assert reversals(terminal) == []
            assert len(later.requests) == (1 if executed == "no" else 0)
            check_journal(again)
        terminal.shutdown()

    run_virtual(run())


def test_a_part_of_a_netting_position_is_closed_once(tmp_path: Path) -> None:
    lost = Closes(executed="yes", error=-10002)

    async def run() -> None:
        terminal = terminal_with(margin_mode=NETTING)
        faults = {**lost.faults, "order_send": without_ticket(lost)}
        async with world(tmp_path, terminal=terminal, faults=faults) as made:
            await made.bought("EURUSD", 1.0, 0.05)
            done = await ended(made, await start(made, one(made, 0, 0.4)))
            assert done.statement.endswith(": 0.4 lots by this close, 0.6 left")
            assert volumes(terminal) == {"EURUSD": 0.6}
        terminal.shutdown()

    run_virtual(run())


def test_a_volume_above_the_largest_order_goes_in_pieces_one_after_the_other(tmp_path: Path) -> None:
    async def run() -> None:
        config = TerminalConfig(
            conditions=Conditions(margin_mode=NETTING),
            instruments=lambda name: replace(instrument(name), volume_max=0.4),
        )
        terminal = PaperTerminal.open(config)
        honest = Closes(times=0)
        async with world(tmp_path, terminal=terminal, faults=honest.faults, settings=QUICK) as made:
            for _ in range(3):
                by_hand(terminal, "EURUSD", 0.3)
            await seen(made, 1)
            await made.until(lambda: shown(made, "EURUSD").volume == 0.9)
            await flattened(made)
            assert [request["volume"] for request in honest.requests] == [0.4, 0.4, 0.1]
            assert reversals(terminal) == []
        terminal.shutdown()

    run_virtual(run())


def test_an_entry_waits_while_the_outcome_of_a_close_is_not_known(tmp_path: Path) -> None:
    lost = Closes(executed="no", error=-10002)

    async def run() -> None:
        terminal = terminal_with(margin_mode=NETTING)
        async with world(tmp_path, terminal=terminal, faults=lost.faults) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            name = await start(made, one(made))
            await made.until(lambda: lost.requests)
            await made.command(wire.CancelClose(id=name), "changed my mind")
            assert view(made, name).state == "CANCELLED"
            assert "is not known" in (made.engine.closings.blocks_entry("EURUSD", "") or "")
            assert made.engine.closings.blocks_entry("GBPUSD", "") is None
            await made.until(lambda: made.engine.closings.blocks_entry("EURUSD", "") is None, 200.0)
            assert len(lost.requests) == 1
        terminal.shutdown()

    run_virtual(run())


def test_while_reads_hang_a_flatten_starts_from_the_last_look(tmp_path: Path) -> None:
    hanging = [False]

    async def hook(frame: Frame) -> None:
        if hanging[0] and all(call[0] != "order_send" for call in frame["calls"]):
            await asyncio.Event().wait()

    async def run() -> None:
        terminal = terminal_with(margin_mode=NETTING)
        honest = Closes(times=0)
        async with world(tmp_path, terminal=terminal, faults=honest.faults, before=hook, settings=QUICK) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            hanging[0] = True
            await asyncio.sleep(0.15)
            asked = made.engine.clock.monotonic()
            await made.command(wire.Flatten(), "test")
            await made.until(lambda: honest.requests, 5.0)
            assert honest.at[0] - asked < 0.5
            assert held(terminal) == []
            hanging[0] = False
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED, 120.0)
            assert len(honest.requests) == 1
        terminal.shutdown()

    run_virtual(run())


@pytest.mark.parametrize("seed", range(6))
def test_whatever_goes_wrong_with_the_sends_a_netting_account_ends_flat(tmp_path: Path, seed: int) -> None:
    """Sends that are late, lost, answered by a lie, at a broker that takes its time and fills in parts."""
    plans: list[list[dict[str, Any]]] = [
        [{"kind": "late", "call": "order_send", "seconds": 12.0, "count": 2}],
        [{"kind": "lost", "call": "order_send", "count": 2, "silent": True}],
        [{"kind": "retcode", "call": "order_send", "retcode": 10012, "executed": True, "count": 3}],
        [{"kind": "delay", "call": "order_send", "seconds": 8.0}],
        [{"kind": "partial", "share": 0.5, "seconds": 30.0}],
        [{"kind": "disconnect", "seconds": 20.0}, {"kind": "hang", "call": "order_send"}],
    ]

    async def run() -> None:
        terminal = terminal_with(margin_mode=NETTING, execution_delay_ms=(0, 900)[seed % 2])

        async def before(frame: Frame) -> None:
            delay = terminal.faults.delay_ahead([call[0] for call in frame["calls"]])
            if delay:
                await asyncio.sleep(delay)

        async def after(frame: Frame) -> None:
            owed = terminal.take_owed()
            await (asyncio.get_running_loop().create_future() if owed == float("inf") else asyncio.sleep(owed))

        async with world(tmp_path, terminal=terminal, before=before, after=after, settings=QUICK, seed=seed) as made:
            for symbol in ("EURUSD", "GBPUSD", "USDJPY"):
                by_hand(terminal, symbol, 0.5)
            await seen(made, 3)
            for fault in plans[seed]:
                terminal.add_fault(read_fault({"at": terminal.faults.now, **fault}))
            await _flat(made)
            assert held(terminal) == []
            assert reversals(terminal) == []
            assert sum(hit["hits"] for hit in terminal.faults.hits()) > 0
        terminal.shutdown()

    run_virtual(run())


async def _flat(made: World) -> None:
    assert (await made.command(wire.Flatten(), "test")).accepted
    await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED, 400.0)
