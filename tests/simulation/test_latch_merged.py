"""A halt that waits in the fallback file is not lifted by what a later run, which did not know of it, has put there."""

from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.events import Draft, EventType
from engine.journal.fallback import Fallback, FallbackGroup
from engine.journal.record import prepare
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.state import EngineMode
from tests.simulation.test_alerts import Messenger
from tests.simulation.virtual import run_virtual
from tests.simulation.world import world


def test_a_pause_of_a_run_that_could_not_merge_a_halt_does_not_lift_it(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal) as made:
            account = made.engine.key
            await made.crash()
        fallback = Fallback(tmp_path / "journal.fallback")
        steps = (("RUNNING", "FLATTENING", 1), ("FLATTENING", "HALTED", 2), ("RUNNING", "PAUSED", 1))
        for number, (before, after, epoch) in enumerate(steps, 1):
            halted = "the drill" if after != "PAUSED" else ""
            details = {"from": before, "to": after, "epoch": epoch, "reason": "the drill", "halt_reason": halted}
            draft = Draft(EventType.MODE_CHANGED, SystemClock().utc(), "earlier", details, account)
            fallback.write(FallbackGroup(f"direct-run-{number}", (prepare(draft),)))
        async with world(tmp_path, terminal=terminal) as again:
            assert again.engine.modes.mode is EngineMode.HALTED
            assert again.engine.modes.state.halt_reason == "the drill"
        terminal.shutdown()

    run_virtual(run())


@pytest.mark.parametrize(("spoilt", "mode"), [(True, EngineMode.PAUSED), (False, EngineMode.RUNNING)])
def test_an_account_does_not_run_on_behind_a_record_that_cannot_be_read(
    tmp_path: Path, spoilt: bool, mode: EngineMode
) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal) as made:
            account, epoch = made.engine.key, made.engine.modes.epoch
            await made.crash()
        path = tmp_path / "journal.fallback"
        draft = Draft(EventType.STOP_CHANGED, SystemClock().utc(), "earlier", {"position": 1}, account)
        Fallback(path).write(FallbackGroup("direct-run-1", (prepare(draft),)))
        if spoilt:
            path.write_bytes(path.read_bytes()[:-5])
        for _ in range(2):
            async with world(tmp_path, terminal=terminal, courier=Messenger()) as again:
                assert again.engine.modes.mode is mode
                assert (again.engine.modes.epoch > epoch) is spoilt
                assert [alert.key for alert in again.engine.alerts.board.open()].count("records") == spoilt
        terminal.shutdown()

    run_virtual(run())
