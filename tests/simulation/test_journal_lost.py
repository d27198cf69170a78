"""A journal that cannot be written: nothing new is opened, everything can still be closed, and nothing is forgotten."""

import asyncio
from pathlib import Path
from typing import Any

from engine.control import messages as wire
from engine.journal import verify
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.projection import SCHEMA, project
from engine.state import EngineMode
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, opened_volume, world
from tests.unit.journal.test_failure import break_on


def test_a_failed_journal_blocks_entries_but_not_the_flatten_and_the_halt_survives_the_restart(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal) as made:
            await made.bought()
            signal = await made.engine.proposals.take(made.buy())
            failing = break_on(made.journal, "COMMIT")
            refused = await made.approve(signal)
            assert not refused.accepted
            await made.until(lambda: made.journal.failure is not None)
            assert failing.failures
            assert any("JOURNAL FAILED" in notice for notice in made.target.snapshot().engine.notices)
            assert "journal failed" in (made.engine.gate.account_refusal() or "")
            other = await made.command(wire.AddSignal(symbol="EURUSD", side="buy", volume=0.1, sl=1.0, tp=2.0))
            assert not other.accepted
            await asyncio.sleep(5)
            assert (await made.command(wire.Flatten(), "the disk is gone")).accepted
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert made.engine.cycle.reading.positions == ()
            await made.crash()
        assert (tmp_path / "journal.db").exists()
        async with world(tmp_path, terminal=terminal) as again:
            assert again.engine.modes.mode is EngineMode.HALTED
            assert again.target.snapshot().engine.halt_reason == "the disk is gone"
            assert len(opened_volume(terminal)) == 1
            assert "flatten_finished" in [event["kind"] for event in await again.events()]
        report = verify(tmp_path / "journal.db", schema=SCHEMA, project=project)
        assert report.ok, report.problem
        terminal.shutdown()

    run_virtual(run())


def slowed(made: World) -> Any:
    """Give it a slow disk: an append is answered a second after it is written. Returns the append that was there."""
    append = made.journal.append

    async def slow(*drafts):  # type: ignore[no-untyped-def]  # as the journal's own
        written = await append(*drafts)
        await asyncio.sleep(1)
        return written

    made.journal.append = slow  # type: ignore[method-assign]
    return append


def test_a_pause_that_comes_while_a_resume_is_written_stands(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            assert (await made.command(wire.Pause())).accepted
            append = slowed(made)
            resuming = asyncio.create_task(made.command(wire.Resume()))
            await asyncio.sleep(0.5)
            assert (await made.command(wire.Pause())).accepted
            assert "PAUSED" in (await resuming).message
            assert not (await resuming).accepted
            assert made.engine.modes.mode is EngineMode.PAUSED
            made.journal.append = append  # type: ignore[method-assign]
            modes = [event["to"] for event in await made.events("mode_changed")]
            assert modes == ["PAUSED", "RUNNING", "PAUSED"]

    run_virtual(run())


def test_resumes_and_pauses_that_cross_never_leave_another_mode_in_the_journal_than_in_force(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            assert (await made.command(wire.Pause())).accepted
            append = slowed(made)
            sent = [asyncio.create_task(made.command(wire.Resume()))]
            await asyncio.sleep(0.5)
            assert (await made.command(wire.Pause())).accepted
            for _ in range(3):
                sent.append(asyncio.create_task(made.command(wire.Resume())))
                await asyncio.sleep(0.7)
                assert (await made.command(wire.Pause())).accepted
            await asyncio.gather(*sent)
            assert made.engine.modes.mode is EngineMode.PAUSED
            made.journal.append = append  # type: ignore[method-assign]
            stored = await made.journal.query("SELECT mode FROM account_state", ())
            assert [str(row[0]) for row in stored] == ["PAUSED"]
            assert (await made.command(wire.Resume())).accepted

    run_virtual(run())


def test_a_flatten_that_comes_while_a_reset_is_written_stands_and_the_reset_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            assert (await made.command(wire.Flatten(), "first")).accepted
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            await asyncio.sleep(1)
            slowed(made)
            resetting = asyncio.create_task(made.command(wire.Reset(), "again"))
            await asyncio.sleep(0.5)
            assert (await made.command(wire.Flatten(), "second")).accepted
            said = await resetting
            assert not said.accepted
            assert "second" in said.message
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


def test_the_tables_can_be_built_again_from_the_events(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await made.bought()
            signal = await made.engine.proposals.take(made.buy(expires_seconds=2.0))
            await made.command(wire.Reject(signal=signal.id, version=1))
            await made.engine.proposals.take(made.buy(expires_seconds=2.0))
            await asyncio.sleep(4)
            await made.command(wire.Pause())
            await made.command(wire.Resume())
            await made.command(wire.Flatten())
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            await made.command(wire.Reset(), "again")

    run_virtual(run())
    report = verify(tmp_path / "journal.db", schema=SCHEMA, project=project)
    assert report.ok, report.problem
    assert report.events > 20


def test_a_pause_during_a_resume_survives_a_crash_between_the_two(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal) as made:
            assert (await made.command(wire.Pause())).accepted
            append = made.journal.append

            async def never(*drafts):  # type: ignore[no-untyped-def]  # as the journal's own
                await append(*drafts)
                await asyncio.Event().wait()

            made.journal.append = never  # type: ignore[method-assign]  # written, and nobody hears of it
            resuming = asyncio.create_task(made.command(wire.Resume()))
            await asyncio.sleep(0.1)
            assert (await made.command(wire.Pause())).accepted
            resuming.cancel()
            await made.crash()
        async with world(tmp_path, terminal=terminal) as again:
            assert again.target.snapshot().engine.mode == "PAUSED"
        terminal.shutdown()

    run_virtual(run())
