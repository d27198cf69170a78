"""A flatten that holds, that waits for a closed market, and that an operator may give up: nothing is forgotten."""

import asyncio
from pathlib import Path
from typing import Any

from engine.broker.connection import Frame
from engine.control import messages as wire
from engine.paper.faultplan import read_fault
from engine.state import EngineMode
from tests.simulation.campaign import truth
from tests.simulation.closing import (
    NETTING,
    QUICK,
    SELL,
    Closes,
    by_hand,
    check_journal,
    ended,
    held,
    one,
    refused,
    start,
    terminal_with,
    volumes,
    waiting_order,
)
from tests.simulation.test_execution import Struct, _template, is_opening
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, world


def flatten_of(made: World) -> wire.FlattenView:
    """The flatten as consoles see it."""
    view = made.target.snapshot().flatten
    assert view is not None
    return view


async def deferred(made: World) -> wire.FlattenView:
    """Flatten, and wait until it is deferred."""
    assert (await made.command(wire.Flatten(), "storm")).accepted
    await made.until(lambda: flatten_of(made).state == "DEFERRED")
    return flatten_of(made)


async def given_up(made: World) -> wire.FlattenView:
    """Cancel the deferred flatten."""
    result = await made.command(wire.CancelClose(id=flatten_of(made).id), "open until Monday")
    assert result.accepted, result.message
    await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
    return flatten_of(made)


def test_field_05_what_fails_is_shown_tried_again_and_flat_is_not_said_before(tmp_path: Path) -> None:
    """Failure 5 of the field: a flatten fails in part, is reported as done, and is not tried again."""
    stuck = [True]

    def refuse(honest: Any, request: dict[str, Any]) -> Any:
        if not is_opening(request) and request["volume"] == 0.7 and stuck[0]:
            return Struct(_template, retcode=10006, comment="no")
        return honest(request)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": refuse}, settings=QUICK) as made:
            for volume in (0.1, 0.7, 0.3):
                await made.bought(volume=volume, distance=0.05)
            await made.command(wire.Flatten(), "test")
            await asyncio.sleep(20)
            left = flatten_of(made)
            assert volumes(made.terminal) == {"EURUSD": 0.7}
            assert left.state == "RUNNING"
            assert len(left.remaining) == 1
            assert "tries, last: 10006 request rejected (no)" in left.remaining[0]
            stuck[0] = False
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert held(made.terminal) == []

    run_virtual(run())


def test_field_06_orders_and_others_positions_go_too_and_what_refills_while_it_is_held(tmp_path: Path) -> None:
    """Failure 6 of the field: "flat", but pending orders or positions of others remain and refill."""

    async def run() -> None:
        async with world(tmp_path) as made:
            await made.bought()
            by_hand(made.terminal, "GBPUSD", 0.2)
            waiting_order(made.terminal, "USDJPY")
            await made.command(wire.Flatten(), "test")
            await made.until(lambda: held(made.terminal) == [])
            assert truth(made.terminal).orders == {}
            for _ in range(2):
                await asyncio.sleep(2.5)
                assert made.engine.modes.mode is EngineMode.FLATTENING
                by_hand(made.terminal, "EURUSD", 0.1)
                await made.until(lambda: held(made.terminal) == [])
            last = made.engine.clock.monotonic()
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert made.engine.clock.monotonic() - last >= 3.0
            assert len(await made.events("flatten_finished")) == 1
            assert flatten_of(made).positions_closed == 4

    run_virtual(run())


def test_a_refill_that_is_there_and_gone_begins_the_hold_anew(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await made.command(wire.Flatten(), "test")
            await asyncio.sleep(2.0)
            by_hand(made.terminal, "EURUSD", 0.1)
            last = made.engine.clock.monotonic()
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert made.engine.clock.monotonic() - last >= 3.0

    run_virtual(run())


def test_field_07_with_autotrading_off_it_is_deferred_in_words_and_goes_on_when_it_is_on(tmp_path: Path) -> None:
    """Failure 7 of the field: the kill path is disabled by a mode, or by AutoTrading switched off."""

    async def run() -> None:
        async with world(tmp_path, settings=QUICK) as made:
            await made.bought()
            assert (await made.command(wire.Pause())).accepted
            now = made.terminal.faults.now
            made.terminal.add_fault(
                read_fault({"kind": "autotrading", "where": "terminal", "at": now, "seconds": 100.0})
            )
            await made.until(lambda: not made.engine.cycle.sweep.terminal.trade_allowed)  # type: ignore[union-attr]
            left = await deferred(made)
            assert "10027" in left.remaining[0]
            assert any("AutoTrading is off" in notice for notice in made.target.snapshot().engine.notices)
            await made.until(lambda: made.terminal.faults.now >= now + 100, 200)
            switched_on = made.engine.clock.monotonic()
            await made.until(lambda: held(made.terminal) == [])
            assert made.engine.clock.monotonic() - switched_on < 1.0
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


def test_field_13_a_closed_market_is_not_hammered_and_is_closed_on_as_soon_as_quotes_move(tmp_path: Path) -> None:
    """Failure 13 of the field: the market is closed, the flatten is refused and forgotten."""
    sends = Closes(times=0)

    async def run() -> None:
        async with world(tmp_path, faults=sends.faults, settings=QUICK) as made:
            await made.bought()
            now = made.terminal.faults.now
            for kind in ("closed", "freeze"):
                made.terminal.add_fault(read_fault({"kind": kind, "at": now, "seconds": 515.0}))
            await asyncio.sleep(0.2)
            await deferred(made)
            await made.until(lambda: made.terminal.faults.now >= now + 515, 600)
            tries, opened = len(sends.requests), made.engine.clock.monotonic()
            assert 10 <= tries <= 25
            await made.until(lambda: held(made.terminal) == [])
            assert made.engine.clock.monotonic() - opened < 2.0
            assert len(await made.events("flatten_deferred")) == 1
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


def test_a_closed_market_defers_what_waits_for_its_oldest_position_too(tmp_path: Path) -> None:
    stuck = Closes(retcode=10018, times=10_000)

    async def run() -> None:
        terminal = terminal_with(fifo_close=True)
        async with world(tmp_path, terminal=terminal, faults=stuck.faults, settings=QUICK) as made:
            for _ in range(3):
                await made.bought()
                await asyncio.sleep(1)
            await deferred(made)
            assert (await given_up(made)).statement.count("waits for position") == 2
            assert len(held(terminal)) == 3
        terminal.shutdown()

    run_virtual(run())


def test_only_a_deferred_flatten_can_be_cancelled_and_only_with_a_reason(tmp_path: Path) -> None:
    stuck = Closes(retcode=10006, times=10_000)

    async def run() -> None:
        async with world(tmp_path, faults=stuck.faults, settings=QUICK) as made:
            await made.bought()
            await made.command(wire.Flatten(), "test")
            await asyncio.sleep(1)
            name = flatten_of(made).id
            running = await made.command(wire.CancelClose(id=name), "no")
            assert "only one that is DEFERRED" in running.message
            stuck.retcode = 10018
            await made.until(lambda: flatten_of(made).state == "DEFERRED")
            assert "needs a reason" in (await made.command(wire.CancelClose(id=name))).message
            stuck.times = 0
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert "is over: flat" in (await made.command(wire.CancelClose(id=name), "no")).message

    run_virtual(run())


def test_what_a_cancelled_flatten_leaves_stays_open_and_everything_else_is_closed(tmp_path: Path) -> None:
    shut = Closes(retcode=10018, times=10_000)

    async def run() -> None:
        terminal = terminal_with()
        async with world(tmp_path, terminal=terminal, faults=shut.faults, settings=QUICK) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            await deferred(made)
            done = await given_up(made)
            assert done.state == "CANCELLED"
            assert "open until Monday" in done.statement
            assert "position" in done.statement
            assert "10018 market is closed" in done.statement
            tries = len(shut.requests)
            await asyncio.sleep(30)
            assert made.engine.modes.mode is EngineMode.HALTED
            assert len(shut.requests) == tries
            shut.times = 0
            await _only_the_left_one_stays(made)
            assert "not flat" in (await made.command(wire.Reset(), "go on")).message
            await made.crash()
        async with world(tmp_path, terminal=terminal, settings=QUICK, seed=2) as again:
            await asyncio.sleep(5)
            assert again.engine.modes.mode is EngineMode.HALTED
            await _only_the_left_one_stays(again)
            left = held(terminal)[0]
            by_hand(terminal, "EURUSD", 0.1, SELL, position=left.ticket)
            await asyncio.sleep(5)
            assert again.engine.modes.mode is EngineMode.HALTED
            assert volumes(terminal) == {"EURUSD": 0.4}
            assert (await again.command(wire.Flatten(), "now all of it")).accepted
            await again.until(lambda: again.engine.modes.mode is EngineMode.HALTED)
            assert held(terminal) == []
            assert flatten_of(again).statement.startswith("flat, confirmed")
            by_hand(terminal, "EURUSD", 0.1)
            await again.until(lambda: again.engine.modes.mode is EngineMode.FLATTENING)
            await again.until(lambda: again.engine.modes.mode is EngineMode.HALTED)
            assert (await again.command(wire.Reset(), "go on")).accepted
            check_journal(again)
        terminal.shutdown()

    run_virtual(run())


async def _only_the_left_one_stays(made: World) -> None:
    by_hand(made.terminal, "GBPUSD", 0.2)
    waiting_order(made.terminal, "USDJPY")
    await made.until(lambda: made.engine.modes.mode is EngineMode.FLATTENING)
    await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
    assert volumes(made.terminal) == {"EURUSD": 0.5}
    assert truth(made.terminal).orders == {}
    assert flatten_of(made).state == "FLAT"
    assert "flat but for what the operator left open (position" in flatten_of(made).statement


def test_what_was_left_open_is_closed_by_a_scoped_close_while_halted(tmp_path: Path) -> None:
    shut = Closes(retcode=10018, times=10_000)

    async def run() -> None:
        async with world(tmp_path, faults=shut.faults, settings=QUICK) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            await deferred(made)
            await given_up(made)
            shut.times = 0
            await ended(made, await start(made, one(made)))
            assert made.engine.modes.mode is EngineMode.HALTED
            assert held(made.terminal) == []
            assert (await made.command(wire.Reset(), "go on")).accepted

    run_virtual(run())


def test_what_was_left_open_and_grows_is_not_what_was_left(tmp_path: Path) -> None:
    shut = Closes(retcode=10018, times=10_000)

    async def run() -> None:
        terminal = terminal_with(margin_mode=NETTING)
        async with world(tmp_path, terminal=terminal, faults=shut.faults, settings=QUICK) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            await deferred(made)
            await given_up(made)
            shut.times = 0
            by_hand(terminal, "EURUSD", 0.2)
            await made.until(lambda: made.engine.modes.mode is EngineMode.FLATTENING)
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert held(terminal) == []
        terminal.shutdown()

    run_virtual(run())


def test_a_flatten_of_the_operator_goes_on_with_everything_after_a_kill_though_something_was_left_before(
    tmp_path: Path,
) -> None:
    shut = Closes(retcode=10018, times=10_000)

    async def run() -> None:
        terminal = terminal_with()
        async with world(tmp_path, terminal=terminal, faults=shut.faults, settings=QUICK) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            await deferred(made)
            await given_up(made)
            assert (await made.command(wire.Flatten(), "all of it")).accepted
            await asyncio.sleep(1)
            await made.crash()
        async with world(tmp_path, terminal=terminal, settings=QUICK, seed=2) as again:
            await again.until(lambda: again.engine.modes.mode is EngineMode.HALTED)
            assert held(terminal) == []
        terminal.shutdown()

    run_virtual(run())


def test_an_operator_who_flattens_while_others_are_flattened_means_what_was_left_too(tmp_path: Path) -> None:
    shut = Closes(retcode=10018, times=10_000)

    async def run() -> None:
        async with world(tmp_path, faults=shut.faults, settings=QUICK) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            await deferred(made)
            await given_up(made)
            by_hand(made.terminal, "GBPUSD", 0.2)
            await made.until(lambda: made.engine.modes.mode is EngineMode.FLATTENING)
            assert (await made.command(wire.Flatten(), "all of it")).message == "flatten goes on"
            shut.times = 0
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert held(made.terminal) == []

    run_virtual(run())


def test_a_stop_out_in_the_middle_of_a_flatten_ends_flat_and_is_told(tmp_path: Path) -> None:
    stuck = Closes(retcode=10021, times=10_000)

    async def run() -> None:
        async with world(tmp_path, faults=stuck.faults, settings=QUICK) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            await made.bought("GBPUSD", 0.5, 0.05)
            await made.command(wire.Flatten(), "test")
            await asyncio.sleep(1)
            made.terminal.cash(2, -9_600.0, "withdrawn")
            await made.until(lambda: len(held(made.terminal)) < 2)
            stuck.times = 0
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert held(made.terminal) == []
            assert "stop out" in [event.get("how") for event in await made.events("position_closed")]

    run_virtual(run())


def test_a_close_that_hangs_does_not_hold_up_the_others(tmp_path: Path) -> None:
    hung: list[float] = []

    async def hang(frame: Frame) -> None:
        for name, arguments, _ in frame["calls"]:
            if name == "order_send" and not is_opening(arguments[0]) and not hung:
                hung.append(asyncio.get_running_loop().time())
                await asyncio.Event().wait()

    async def run() -> None:
        async with world(tmp_path, before=hang, settings=QUICK) as made:
            for volume in (0.5, 0.3, 0.2):
                await made.bought(volume=volume, distance=0.05)
            await made.command(wire.Flatten(), "test")
            await made.until(lambda: len(held(made.terminal)) == 1)
            assert asyncio.get_running_loop().time() - hung[0] < 1.0
            assert flatten_of(made).remaining
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert held(made.terminal) == []

    run_virtual(run())


def test_a_scoped_close_is_refused_while_nothing_can_be_read(tmp_path: Path) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            await made.bought()
            faults["account_info"] = lambda honest: None
            await asyncio.sleep(1)
            assert "cannot be read now" in await refused(made, wire.SymbolScope(symbol="EURUSD"))

    run_virtual(run())
