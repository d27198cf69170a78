"""The kill file in a whole engine: whatever mode it is in, whatever hangs, and however often it is started again."""

import asyncio
from pathlib import Path

from engine.broker.connection import Frame
from engine.control import messages as wire
from engine.state import EngineMode
from tests.simulation.closing import QUICK, Closes, terminal_with, volumes
from tests.simulation.test_flatten_held import deferred, flatten_of, given_up
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, world


async def halted(made: World) -> None:
    await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)


def test_it_closes_everything_and_no_reset_lifts_the_halt_until_a_hand_has_removed_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=QUICK) as made:
            await made.bought()
            made.kill_file.path.write_text("the desk is on fire", encoding="utf-8")
            await halted(made)
            assert volumes(made.terminal) == {}
            changed = (await made.events("mode_changed"))[-2]
            assert (changed["operator"], changed["origin"]) == ("kill file", "kill switch")
            assert "the desk is on fire" in changed["reason"]
            assert any("the desk is on fire" in notice for notice in made.target.snapshot().engine.notices)
            refused = await made.command(wire.Reset(), "again")
            assert not refused.accepted
            assert str(made.kill_file.path) in refused.message
            assert made.kill_file.path.exists()
            made.kill_file.path.unlink()
            assert (await made.command(wire.Reset(), "again")).accepted

    run_virtual(run())


def test_nothing_is_approved_beside_it_though_no_cycle_has_seen_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=QUICK) as made:
            signal = await made.engine.proposals.take(made.buy())
            made.kill_file.path.touch()
            refused = await made.approve(signal)
            assert not refused.accepted
            assert "kill file" in refused.message

    run_virtual(run())


def test_it_is_looked_at_before_the_very_send(tmp_path: Path) -> None:
    """It comes while the price for a send is read: no cycle sees it before that send, the send itself does."""
    armed: list[World] = []

    async def touch(frame: Frame) -> None:
        if armed and [call[0] for call in frame.get("calls", ())] == ["symbol_info_tick"]:
            armed.pop().kill_file.path.touch()

    async def run() -> None:
        async with world(tmp_path, before=touch, settings=QUICK) as made:
            signal = await made.engine.proposals.take(made.buy())
            armed.append(made)
            await made.approve(signal)
            await halted(made)
            assert not armed
            assert await made.events("signal_executing")
            assert not await made.events("position_opened")

    run_virtual(run())


def test_it_is_seen_while_a_read_hangs(tmp_path: Path) -> None:
    hanging = asyncio.Event()

    async def hold(frame: Frame) -> None:
        if hanging.is_set() and any(call[0] == "account_info" for call in frame.get("calls", ())):
            await asyncio.sleep(1.5)

    async def run() -> None:
        async with world(tmp_path, before=hold, settings=QUICK) as made:
            await made.bought()
            hanging.set()
            await asyncio.sleep(0.3)
            completed = made.engine.cycle.completed_at
            made.kill_file.path.touch()
            await asyncio.sleep(0.3)
            assert made.engine.modes.mode is EngineMode.FLATTENING
            assert made.engine.cycle.completed_at == completed
            hanging.clear()
            await halted(made)

    run_virtual(run())


def test_a_start_beside_it_closes_and_a_later_one_leaves_a_flat_account_alone(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = terminal_with()
        async with world(tmp_path, terminal=terminal, settings=QUICK) as made:
            await made.bought()
            kill_file = made.kill_file.path
        kill_file.touch()
        async with world(tmp_path, terminal=terminal, settings=QUICK) as made:
            await halted(made)
            assert volumes(terminal) == {}
        async with world(tmp_path, terminal=terminal, settings=QUICK) as made:
            await asyncio.sleep(2)
            assert made.engine.modes.mode is EngineMode.HALTED
            assert len(await made.events("flatten_started")) == 1
        terminal.shutdown()

    run_virtual(run())


def test_what_an_operator_left_open_is_closed_too_and_nothing_more_is_left_open_beside_it(tmp_path: Path) -> None:
    shut = Closes(retcode=10018, times=10_000)

    async def run() -> None:
        terminal = terminal_with()
        async with world(tmp_path, terminal=terminal, faults=shut.faults, settings=QUICK) as made:
            await made.bought("EURUSD", 0.5, 0.05)
            await deferred(made)
            await given_up(made)
            made.kill_file.path.touch()
            await made.until(lambda: flatten_of(made).state == "DEFERRED")
            refused = await made.command(wire.CancelClose(id=flatten_of(made).id), "until Monday")
            assert not refused.accepted
            assert "kill file" in refused.message
            shut.times = 0
            await halted(made)
            assert volumes(terminal) == {}
        terminal.shutdown()

    run_virtual(run())


def test_a_state_folder_that_is_gone_blocks_entries_and_closes_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        folder = tmp_path / "state"
        folder.mkdir()
        async with world(folder, settings=QUICK) as made:
            await made.bought()
            signal = await made.engine.proposals.take(made.buy())
            folder.rename(tmp_path / "moved")
            refused = await made.approve(signal)
            assert not refused.accepted
            assert "state folder cannot be read" in refused.message
            await asyncio.sleep(2)
            assert made.engine.modes.mode is EngineMode.RUNNING
            assert volumes(made.terminal) == {"EURUSD": 0.5}
            folder.symlink_to(tmp_path / "moved")
            (tmp_path / "state").unlink()
            (tmp_path / "moved").rename(folder)
            assert (await made.approve(signal)).accepted

    run_virtual(run())


def test_a_signal_of_the_system_flattens_in_any_mode_and_leaves_no_level(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=QUICK) as made:
            await made.bought()
            await made.command(wire.Pause())
            made.kill_file.ask("SIGUSR1")
            await halted(made)
            assert volumes(made.terminal) == {}
            changed = (await made.events("mode_changed"))[-2]
            assert (changed["operator"], changed["reason"]) == ("signal", "SIGUSR1")
            assert (await made.command(wire.Reset(), "over")).accepted

    run_virtual(run())
