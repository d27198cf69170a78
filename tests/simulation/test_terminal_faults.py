"""The engine on a paper terminal whose plan goes wrong; what happened is read from the broker's ledger."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from engine.events import EventType
from engine.paper.books import Books
from engine.paper.faultplan import read_fault
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.signals import SignalState
from engine.state import EngineMode
from tests.simulation.other import Other
from tests.simulation.test_execution import drop_stop
from tests.simulation.virtual import run_virtual
from tests.simulation.world import world


def fault(terminal: PaperTerminal, **values: Any) -> int:
    return terminal.add_fault(read_fault(values))


def held(terminal: PaperTerminal) -> Books:
    """The broker's own books, made anew from its ledger."""
    books = Books(2)
    for record in terminal.ledger():
        books.apply(record)
    return books


def test_positions_that_come_late_were_not_closed(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(seed=3))
        async with world(tmp_path, terminal=terminal) as made:
            await made.bought()
            number = fault(terminal, kind="unsynchronised")
            await made.until(lambda: made.engine.cycle.reading.positions == ())
            await made.until(lambda: made.engine.clock.monotonic() > 20.0)
            terminal.faults.end(number)
            await made.until(lambda: len(made.engine.cycle.reading.positions or ()) == 1)
            await made.until(lambda: made.engine.clock.monotonic() > 60.0)
            kinds = [event["kind"] for event in await made.events()]
            assert kinds.count(EventType.POSITION_OPENED) == 1
            assert EventType.POSITION_CLOSED not in kinds
        terminal.shutdown()

    run_virtual(run())


def test_flatten_is_not_confirmed_while_the_positions_have_not_come(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(seed=3))
        async with world(tmp_path, terminal=terminal) as made:
            await made.bought()
            number = fault(terminal, kind="unsynchronised")
            await made.until(lambda: made.engine.cycle.reading.positions == ())
            made.engine.flatten("while they are not there")
            await made.until(lambda: made.engine.clock.monotonic() > 30.0)
            assert made.engine.modes.mode is EngineMode.FLATTENING
            assert len(held(terminal).positions) == 1
            terminal.faults.end(number)
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert held(terminal).positions == {}
        terminal.shutdown()

    run_virtual(run())


def test_flat_is_not_said_while_an_order_of_others_that_stood_has_not_come(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(seed=3))
        async with world(tmp_path, terminal=terminal) as made:
            ask = made.engine.cycle.quotes["EURUSD"].tick.ask
            Other(terminal, magic=7).send(
                action=5, symbol="EURUSD", type=2, volume=0.1, price=round(ask - 0.01, 5), type_filling=2
            )
            await made.until(lambda: made.engine.cycle.orders)
            number = fault(terminal, kind="unsynchronised")
            await made.until(lambda: made.engine.cycle.orders == ())
            made.engine.flatten("while it is not there")
            await made.until(lambda: made.engine.clock.monotonic() > 30.0)
            report = made.target.snapshot().flatten
            assert report is not None
            assert report.remaining, report
            assert "the history does not say how it ended" in report.remaining[0]
            assert len(held(terminal).orders) == 1
            terminal.faults.end(number)
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert held(terminal).orders == {}
        terminal.shutdown()

    run_virtual(run())


def test_while_a_position_is_not_listed_other_symbols_are_traded(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(seed=3))
        async with world(tmp_path, terminal=terminal) as made:
            fault(terminal, kind="unsynchronised")
            first = await made.engine.proposals.take(made.buy())
            assert (await made.approve(first)).accepted
            await made.until(lambda: made.engine.clock.monotonic() > 20.0)
            assert made.engine.book.get(first.id).state is SignalState.UNKNOWN
            assert len(await made.events(EventType.TRADE_UNKNOWN)) == 1
            again = await made.engine.proposals.take(made.buy())
            assert "is not known" in (await made.approve(again)).message
            other = await made.engine.proposals.take(made.buy("GBPUSD"))
            assert (await made.approve(other)).accepted
            await made.until(lambda: len(held(terminal).positions) == 2, 5.0)
        terminal.shutdown()

    run_virtual(run())


@pytest.mark.parametrize("restarts", [False, True])
def test_a_position_that_comes_late_has_its_stop_read_back_then(tmp_path: Path, restarts: bool) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(seed=3))
        dropped = {"order_send": drop_stop}
        number = fault(terminal, kind="unsynchronised")
        async with AsyncExitStack() as stack:
            made = await stack.enter_async_context(world(tmp_path, terminal=terminal, faults=dropped))
            signal = await made.engine.proposals.take(made.buy())
            assert (await made.approve(signal)).accepted
            await made.until(lambda: made.engine.clock.monotonic() > 20.0)
            assert made.engine.book.get(signal.id).state is SignalState.UNKNOWN
            assert len(await made.events(EventType.TRADE_UNKNOWN)) == 1
            [alarm] = await made.events(EventType.STOP_MISSING)
            assert "not listed" in alarm["said"]
            if restarts:
                await stack.aclose()
                made = await stack.enter_async_context(world(tmp_path, terminal=terminal, faults=dropped, seed=2))
            assert [position.sl for position in held(terminal).positions.values()] == [0.0]
            terminal.faults.end(number)
            await made.until(lambda: not made.engine.book.all(), 5.0)
            assert [position.sl for position in held(terminal).positions.values()] == [signal.sl]
            executed = await made.events(EventType.TRADE_EXECUTED)
            assert [event["signal"] for event in executed] == [signal.id]
        terminal.shutdown()

    run_virtual(run())


def test_a_position_that_never_came_and_was_closed_leaves_nothing_in_doubt(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(seed=3))
        fault(terminal, kind="unsynchronised")
        async with world(tmp_path, terminal=terminal) as made:
            signal = await made.engine.proposals.take(made.buy())
            assert (await made.approve(signal)).accepted
            await made.until(lambda: made.engine.clock.monotonic() > 20.0)
            (position,) = held(terminal).positions.values()
            Other(terminal, magic=7).close(position)
            await made.until(lambda: not made.engine.book.all(), 5.0)
        terminal.shutdown()

    run_virtual(run())
