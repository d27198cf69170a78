"""The last operator leaves: what the profile says is done after the grace time, also when the engine dies meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.attendance import NOBODY
from engine.control import messages as wire
from engine.control.target import Operator, Visitor
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.state import EngineMode
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, world

BOB = Operator("bob", "console", via="ssh 10.0.0.5 port 51234")
VIEWER = Operator("vera", "console", "viewer")
GRACE = 20.0


def control(action: str) -> dict[str, Any]:
    return {"control": {"on_last_operator": action, "grace_seconds": GRACE}}


def come(made: World, operator: Operator = BOB, console: str = "c1") -> Visitor:
    visitor = Visitor(operator, console)
    made.target.arrived(visitor)
    return visitor


def mode(made: World) -> EngineMode:
    return made.engine.modes.mode


@asynccontextmanager
async def lives(folder: Path, action: str, terminal: PaperTerminal) -> AsyncIterator[World]:
    async with world(folder, settings=control(action), terminal=terminal) as made:
        yield made


@pytest.mark.parametrize(("action", "ends"), [("pause", EngineMode.PAUSED), ("flatten", EngineMode.HALTED)])
def test_after_the_grace_time_the_desk_is_paused_or_flattened(tmp_path: Path, action: str, ends: EngineMode) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=control(action)) as made:
            visitor = come(made)
            looking = come(made, VIEWER)
            await made.bought()
            await asyncio.sleep(GRACE * 2)
            assert mode(made) is EngineMode.RUNNING
            made.target.left(visitor)
            await asyncio.sleep(GRACE - 2)
            assert mode(made) is EngineMode.RUNNING
            assert made.target.snapshot().engine.notices == [f"NO OPERATOR ATTACHED: {action} in 2 s"]
            await made.until(lambda: mode(made) is ends)
            assert [view.name for view in made.target.snapshot().attached] == ["vera"]
            assert not any("NO OPERATOR" in notice for notice in made.target.snapshot().engine.notices)
            changed = (await made.events("mode_changed"))[-1 if action == "pause" else -2]
            assert (changed["operator"], changed["origin"]) == (NOBODY, "engine")
            assert "no operator has been attached for 20 s" in changed["reason"]
            assert len(made.engine.cycle.reading.positions or ()) == (1 if action == "pause" else 0)
            made.target.left(looking)

    run_virtual(run())


def test_an_operator_who_comes_back_in_time_changes_nothing_and_a_second_one_keeps_the_desk(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=control("flatten")) as made:
            first, second = come(made), come(made, Operator("carol", "console"), "c2")
            made.target.left(first)
            await asyncio.sleep(GRACE * 2)
            made.target.left(second)
            await asyncio.sleep(GRACE - 1)
            again = come(made)
            await asyncio.sleep(GRACE * 2)
            assert mode(made) is EngineMode.RUNNING
            assert await made.events("mode_changed") == []
            made.target.left(again)

    run_virtual(run())


@pytest.mark.parametrize("action", ["keep", "pause", "flatten"])
def test_nothing_is_done_where_no_operator_ever_was_or_the_profile_keeps(tmp_path: Path, action: str) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=control(action)) as made:
            visitor = come(made, BOB if action == "keep" else VIEWER)
            await asyncio.sleep(1)
            made.target.left(visitor)
            await asyncio.sleep(GRACE * 3)
            assert mode(made) is EngineMode.RUNNING
            assert made.engine.attendance.notice() is None

    run_virtual(run())


@pytest.mark.parametrize(("action", "ends"), [("pause", EngineMode.PAUSED), ("flatten", EngineMode.HALTED)])
@pytest.mark.parametrize("killed_in_grace", [False, True])
def test_an_engine_that_is_killed_waits_for_an_operator_again(
    tmp_path: Path, action: str, ends: EngineMode, killed_in_grace: bool
) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(seed=1))
        async with lives(tmp_path, action, terminal) as made:
            visitor = come(made)
            await asyncio.sleep(1)
            if killed_in_grace:
                made.target.left(visitor)
                await asyncio.sleep(1)
            await made.crash()
        async with lives(tmp_path, action, terminal) as again:
            assert mode(again) is EngineMode.RUNNING
            assert "NO OPERATOR ATTACHED" in " ".join(again.target.snapshot().engine.notices)
            await again.until(lambda: mode(again) is ends)
            # Until the flatten has reported, and its end is kept.
            await asyncio.sleep(5)
            await again.crash()
        async with lives(tmp_path, action, terminal) as third:
            assert third.engine.attendance.notice() is None
            if action == "pause":
                assert (await third.command(wire.Resume())).accepted
            await asyncio.sleep(GRACE * 2)
            assert mode(third) is (EngineMode.RUNNING if action == "pause" else EngineMode.HALTED)

    run_virtual(run())


@pytest.mark.parametrize("action", ["pause", "flatten"])
def test_an_engine_killed_before_what_it_did_is_on_record_does_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    async def hang(epoch: int) -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(seed=1))
        async with lives(tmp_path, action, terminal) as made:
            made.target.left(come(made))
            monkeypatch.setattr(made.engine.broker, "raise_epoch", hang)
            await made.until(lambda: mode(made) is not EngineMode.RUNNING)
            await asyncio.sleep(1)
            assert await made.events("mode_changed") == []
            await made.crash()
        async with lives(tmp_path, action, terminal) as again:
            assert mode(again) is EngineMode.RUNNING
            await again.until(lambda: mode(again) is (EngineMode.PAUSED if action == "pause" else EngineMode.HALTED))

    run_virtual(run())


def test_who_came_and_went_is_journalled_and_whoever_returns_learns_since_when(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(seed=1))
        async with lives(tmp_path, "keep", terminal) as made:
            visitor = come(made)
            assert made.target.snapshot().attached[0].away_seq is None
            made.target.left(visitor)
            left_at = made.engine.clock.utc()
            await asyncio.sleep(30)
            again, beside = come(made), come(made, BOB, "c2")
            first, second = made.target.snapshot().attached
            assert first.away_since is not None
            assert abs((first.away_since - left_at).total_seconds()) < 0.01
            assert first.away_seq is not None
            assert (second.id, second.away_seq) == ("c2", None)
            events = await made.events("operator_attached", "operator_detached")
            assert [event["kind"] for event in events][:2] == ["operator_attached", "operator_detached"]
            assert {key: events[0][key] for key in ("operator", "origin", "via", "role", "console")} == {
                "operator": "bob",
                "origin": "console",
                "via": "ssh 10.0.0.5 port 51234",
                "role": "operator",
                "console": "c1",
            }
            made.target.left(beside)
            await asyncio.sleep(1)
            assert again is not None
            newest = made.journal.last_seq
            await made.crash()
        async with lives(tmp_path, "keep", terminal) as restarted:
            come(restarted)
            (view,) = restarted.target.snapshot().attached
            assert view.away_seq is not None
            assert view.away_seq >= newest
            gone = (await restarted.events("operator_detached"))[-1]
            assert (gone["operator"], gone["reason"]) == ("bob", "the engine ended")

    run_virtual(run())
