"""A terminal that is logged in to another account than before: neither takes over the other's state."""

from pathlib import Path

from engine.control import messages as wire
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.state import EngineMode
from tests.simulation.test_terminal_faults import fault
from tests.simulation.virtual import run_virtual
from tests.simulation.world import world


def test_a_halted_accounts_journal_does_not_let_another_account_start_running(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(seed=3))
        async with world(tmp_path, terminal=terminal) as made:
            assert made.engine.modes.mode is EngineMode.RUNNING
            await made.command(wire.Flatten())
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
        number = fault(terminal, kind="login", login=5)
        async with world(tmp_path, terminal=terminal, seed=2) as made:
            assert made.engine.modes.mode is EngineMode.PAUSED
        terminal.faults.end(number)
        async with world(tmp_path, terminal=terminal, seed=3) as made:
            assert made.engine.modes.mode is EngineMode.HALTED
        terminal.shutdown()

    run_virtual(run())
