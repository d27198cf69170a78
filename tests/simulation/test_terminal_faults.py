"""The engine on a paper terminal whose plan goes wrong; what happened is read from the broker's ledger."""

from pathlib import Path
from typing import Any

from engine.events import EventType
from engine.paper.books import Books
from engine.paper.faultplan import read_fault
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.state import EngineMode
from tests.simulation.other import Other
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


def test_a_stop_that_was_dropped_is_set_also_when_the_position_comes_late(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(seed=3))
        async with world(tmp_path, terminal=terminal) as made:
            fault(terminal, kind="drop_stops", seconds=5.0)
            number = fault(terminal, kind="unsynchronised")
            proposal = made.buy()
            signal = await made.engine.proposals.take(proposal)
            assert (await made.approve(signal)).accepted
            await made.until(lambda: made.engine.clock.monotonic() > 20.0)
            [position] = held(terminal).positions.values()
            assert position.sl == 0.0
            terminal.faults.end(number)
            await made.until(lambda: [one.sl for one in held(terminal).positions.values()] == [proposal.sl], 5.0)
            [alarm, *_] = await made.events(EventType.STOP_MISSING)
            assert "not listed" in alarm["said"]
        terminal.shutdown()

    run_virtual(run())
