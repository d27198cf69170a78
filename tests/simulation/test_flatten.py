"""A flatten ends flat, whatever happens on the way, and never says so before the broker does."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.broker.connection import Frame
from engine.control import messages as wire
from engine.paper.client import PaperClient
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.state import EngineMode
from tests.simulation.test_execution import Struct, _template, is_opening
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, world


async def flattened(made: World, seconds: float = 60.0) -> wire.FlattenView:
    assert (await made.command(wire.Flatten(), "test")).accepted
    await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED, seconds)
    view = made.target.snapshot().flatten
    assert view is not None
    return view


def foreign_position(terminal: PaperTerminal) -> None:
    """Another program opens a position on the same account."""
    other = PaperClient.in_process(terminal)
    other.initialize()
    request = {"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0, "type_filling": 0, "price": 0.0}
    assert other.order_send(request).retcode == 10009


def closes(frame: Frame) -> bool:
    return any(call[0] == "order_send" and not is_opening(call[1][0]) for call in frame.get("calls", ()))


def test_everything_goes_worst_loss_first_and_whoever_opened_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            for volume in (0.1, 0.7, 0.3):
                await made.bought(volume=volume, distance=0.05)
            foreign_position(made.terminal)
            await made.until(lambda: len(made.engine.cycle.reading.positions or ()) == 4)
            view = made.target.snapshot()
            assert [item.foreign for item in view.positions] == [False, False, False, True]
            losses = {item.ticket: item.profit for item in made.engine.cycle.reading.positions or ()}
            report = await flattened(made)
            assert report.positions_closed == 4
            order = [event["ticket"] for event in await made.events("flatten_progress") if event["done"]]
            assert order == sorted(losses, key=lambda ticket: losses[ticket])

    run_virtual(run())


def test_flat_is_said_only_a_second_after_the_first_empty_look(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            started = made.engine.clock.monotonic()
            await flattened(made)
            assert made.engine.clock.monotonic() - started >= 1.0

    run_virtual(run())


def test_none_from_the_broker_is_never_read_as_empty(tmp_path: Path) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            await made.bought()
            faults["positions_get"] = lambda honest: None
            assert (await made.command(wire.Flatten())).accepted
            await asyncio.sleep(20)
            assert made.engine.modes.mode is EngineMode.FLATTENING
            assert "flatten_finished" not in [event["kind"] for event in await made.events()]
            report = made.target.snapshot().flatten
            assert report is not None
            assert report.remaining == ["the positions cannot be read: what is open cannot be known"]
            faults.clear()
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


@pytest.mark.parametrize("retcode", [10004, 10006, 10011, 10012, 10021, 10030])
def test_a_refused_close_is_tried_again_until_it_is_done(tmp_path: Path, retcode: int) -> None:
    tries: list[int] = []

    def refuse(honest: Any, request: dict[str, Any]) -> Any:
        if is_opening(request) or len(tries) >= 3:
            return honest(request)
        tries.append(request["deviation"])
        return Struct(_template, retcode=retcode)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": refuse}) as made:
            await made.bought()
            report = await flattened(made)
            assert report.positions_closed == 1
            assert tries == sorted(tries)
            assert tries[-1] > tries[0]

    run_virtual(run())


@pytest.mark.parametrize("retcode", [10018, 10026, 10027])
def test_a_closed_market_defers_the_flatten_keeps_it_latched_and_goes_on_when_it_opens(
    tmp_path: Path, retcode: int
) -> None:
    closed = [True]

    def refuse(honest: Any, request: dict[str, Any]) -> Any:
        if is_opening(request) or not closed[0]:
            return honest(request)
        return Struct(_template, retcode=retcode)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": refuse}) as made:
            await made.bought()
            assert (await made.command(wire.Flatten())).accepted
            await made.until(lambda: made.target.snapshot().flatten.state == "DEFERRED")  # type: ignore[union-attr]
            await asyncio.sleep(120)
            view = made.target.snapshot()
            assert view.flatten is not None
            assert view.engine.mode == "FLATTENING"
            assert str(retcode) in view.flatten.remaining[0]
            assert str(retcode) in view.positions[0].note
            assert len(await made.events("flatten_deferred")) == 1
            assert not (await made.command(wire.Resume())).accepted
            closed[0] = False
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


def test_a_close_whose_answer_is_lost_is_not_counted_twice_and_ends_flat(tmp_path: Path) -> None:
    lost: list[int] = []

    def lose(honest: Any, request: dict[str, Any]) -> Any:
        reply = honest(request)
        if is_opening(request) or lost:
            return reply
        lost.append(1)
        return None

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": lose}) as made:
            await made.bought()
            report = await flattened(made)
            assert lost
            assert report.statement.startswith("flat")

    run_virtual(run())


def test_what_refills_while_flattening_is_closed_too(tmp_path: Path) -> None:
    refills: list[int] = []
    terminals: list[PaperTerminal] = []

    async def refill(frame: Frame) -> None:
        if closes(frame) and len(refills) < 3:
            refills.append(1)
            foreign_position(terminals[0])

    async def run() -> None:
        async with world(tmp_path, after=refill) as made:
            terminals.append(made.terminal)
            await made.bought()
            report = await flattened(made)
            assert len(refills) == 3
            assert report.positions_closed == 4

    run_virtual(run())


def test_nothing_but_a_reset_lifts_a_halt(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal) as made:
            assert (await made.command(wire.Flatten(), "storm")).accepted
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            for action in (wire.Pause(), wire.Resume(), wire.Pause(), wire.CancelClose(id="x")):
                answer = await made.command(action, "in a hurry")
                assert not answer.accepted
                assert "HALTED" in answer.message or "no close" in answer.message
                assert made.engine.modes.mode is EngineMode.HALTED
        async with world(tmp_path, terminal=terminal) as again:
            assert again.engine.modes.mode is EngineMode.HALTED
        terminal.shutdown()

    run_virtual(run())


def test_while_halted_whatever_appears_is_closed_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await flattened(made)
            foreign_position(made.terminal)
            await made.until(lambda: made.engine.modes.mode is EngineMode.FLATTENING)
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert "while halted" in (made.target.snapshot().engine.halt_reason or "")
            assert len(await made.events("flatten_finished")) == 2

    run_virtual(run())


def test_a_flatten_interrupted_by_a_crash_goes_on_at_the_next_start(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        stuck = {"order_send": lambda honest, request: honest(request) if is_opening(request) else None}
        async with world(tmp_path, terminal=terminal, faults=stuck) as made:
            await made.bought()
            assert (await made.command(wire.Flatten(), "storm")).accepted
            await made.until(lambda: made.engine.flattener.report is not None)
            await asyncio.sleep(1)
            await made.crash()
        async with world(tmp_path, terminal=terminal) as again:
            await again.until(lambda: again.engine.modes.mode is EngineMode.HALTED)
            assert again.engine.cycle.reading.positions == ()
            assert again.target.snapshot().engine.halt_reason == "storm"
        terminal.shutdown()

    run_virtual(run())


def test_an_unknown_opening_holds_the_flat_statement_back(tmp_path: Path) -> None:
    def lose(honest: Any, request: dict[str, Any]) -> Any:
        return Struct(_template, retcode=10012) if is_opening(request) else honest(request)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": lose}) as made:
            signal = await made.engine.proposals.take(made.buy())
            await made.approve(signal)
            await made.until(lambda: made.engine.book.unresolved())
            assert (await made.command(wire.Flatten())).accepted
            await asyncio.sleep(30)
            view = made.target.snapshot().flatten
            assert view is not None
            assert "unresolved" in view.remaining[0]
            assert made.engine.modes.mode is EngineMode.FLATTENING
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED, 120.0)
            assert not (await made.command(wire.Reset(), "still unknown")).accepted

    run_virtual(run())


def test_a_hung_read_does_not_hold_up_the_first_close(tmp_path: Path) -> None:
    hanging = [False]
    sent_at: list[float] = []

    async def hook(frame: Frame) -> None:
        loop = asyncio.get_running_loop()
        if closes(frame):
            sent_at.append(loop.time())
        elif hanging[0]:
            await asyncio.Event().wait()

    async def run() -> None:
        async with world(tmp_path, before=hook) as made:
            await made.bought()
            hanging[0] = True
            await asyncio.sleep(0.15)
            asked = made.engine.clock.monotonic()
            assert (await made.command(wire.Flatten())).accepted
            await made.until(lambda: sent_at, 5.0)
            assert sent_at[0] - asked < 0.05
            hanging[0] = False
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED, 120.0)

    run_virtual(run())


def test_a_second_flatten_joins_the_first(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await made.bought()
            first = await made.command(wire.Flatten())
            second = await made.command(wire.Flatten())
            assert first.accepted
            assert second.message == "flatten goes on"
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert len(await made.events("flatten_started")) == 1

    run_virtual(run())


def test_reset_is_refused_unless_the_account_is_seen_flat(tmp_path: Path) -> None:
    async def run() -> None:
        faults: dict[str, Any] = {}
        async with world(tmp_path, faults=faults) as made:
            assert not (await made.command(wire.Reset(), "why not")).accepted
            await flattened(made)
            faults["account_info"] = lambda honest: None
            await asyncio.sleep(0.3)
            unseen = await made.command(wire.Reset(), "blind")
            assert not unseen.accepted
            assert "cannot be read" in unseen.message
            faults.clear()
            await asyncio.sleep(0.3)
            faults["order_send"] = lambda honest, request: None
            foreign_position(made.terminal)
            await made.until(lambda: made.engine.modes.mode is EngineMode.FLATTENING)
            assert not (await made.command(wire.Reset(), "open")).accepted
            faults.clear()
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED, 120.0)
            assert (await made.command(wire.Reset(), "flat now")).accepted

    run_virtual(run())


def test_reset_in_the_moment_before_a_refill_is_noticed_is_refused_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await flattened(made)
            made.engine.closedown.something_is_open = lambda: False  # type: ignore[method-assign]  # it has not been noticed yet
            foreign_position(made.terminal)
            await made.until(lambda: made.engine.cycle.reading.positions)
            refused = await made.command(wire.Reset(), "flat, I think")
            assert "not flat: 1 positions" in refused.message

    run_virtual(run())


@pytest.mark.parametrize("turns", range(12))
def test_a_flatten_that_was_accepted_while_the_engine_stops_is_latched(tmp_path: Path, turns: int) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal) as made:
            await made.bought()
            assert (await made.command(wire.Stop())).accepted
            for _ in range(turns):
                await asyncio.sleep(0)
            accepted = not made.running.done() and (await made.command(wire.Flatten(), "after all")).accepted
            await asyncio.wait({made.running})
        async with world(tmp_path, terminal=terminal) as again:
            assert again.engine.modes.mode in (EngineMode.FLATTENING, EngineMode.HALTED) or not accepted
        terminal.shutdown()

    run_virtual(run())
