"""Every command in every mode, alone and crossed with others: what memory, the journal and the next start say of it.

Ready callbacks run in a drawn order, and the disk is slow in most worlds, so that crossing is more than queueing.
"""

import asyncio
import itertools
import json
import random
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine.control import messages as wire
from engine.journal import Journal, verify
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.projection import SCHEMA, project
from engine.signals import EntryType
from engine.state import TRANSITIONS, EngineMode
from tests.simulation.mortal import Dead, Life
from tests.simulation.test_execution import Struct, _template, is_opening
from tests.simulation.test_working_orders import FAR, order
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, opened_volume, world

SLOW_SECONDS = 0.3
MODES = ("RUNNING", "PAUSED", "FLATTENING", "DEFERRED", "HALTED", "LEFT OPEN")
LATCHED = frozenset({EngineMode.FLATTENING, EngineMode.HALTED})


def _signal(made: World, note: str) -> tuple[str, int]:
    """The signal that a test has named so, and its version; one that is finished goes by version 0."""
    found = [one for one in made.engine.book.all() if one.note == note]
    return (found[0].id, found[0].version) if found else (note, 0)


def _approve(made: World) -> wire.Action:
    name, version = _signal(made, "to approve")
    return wire.Approve(signal=name, version=version)


def _reject(made: World) -> wire.Action:
    name, version = _signal(made, "to approve")
    return wire.Reject(signal=name, version=version)


def _cancel(made: World) -> wire.Action:
    name, version = _signal(made, "standing")
    return wire.Cancel(signal=name, version=version)


def _close_part(made: World) -> wire.Action:
    positions = made.engine.cycle.reading.positions or ()
    name, held = (positions[0].identifier, positions[0].volume) if positions else (1, 1.0)
    return wire.Close(scope=wire.PositionScope(position=name, seen_volume=held, volume=0.2))


def _cancel_flatten(made: World) -> wire.Action:
    report = made.engine.flattener.report
    return wire.CancelClose(id=report.id if report is not None else "none")


def _cancel_job(made: World) -> wire.Action:
    jobs = made.engine.closings.all()
    return wire.CancelClose(id=jobs[-1].id if jobs else "none")


ACTIONS: dict[str, Callable[[World], wire.Action]] = {
    "approve": _approve,
    "reject": _reject,
    "pause": lambda made: wire.Pause(),
    "resume": lambda made: wire.Resume(),
    "flatten": lambda made: wire.Flatten(),
    "close all": lambda made: wire.Close(scope=wire.AllScope()),
    "close symbol": lambda made: wire.Close(scope=wire.SymbolScope(symbol="EURUSD")),
    "close source": lambda made: wire.Close(scope=wire.SourceScope(source="test")),
    "close losers": lambda made: wire.Close(scope=wire.LosersScope()),
    "close winners": lambda made: wire.Close(scope=wire.WinnersScope()),
    "close part": _close_part,
    "cancel flatten": _cancel_flatten,
    "cancel job": _cancel_job,
    "reset": lambda made: wire.Reset(),
    "reset keep": lambda made: wire.Reset(baseline="keep"),
    "unlock": lambda made: wire.Unlock(guard="floor"),
    "bases": lambda made: wire.SetBases(highest_equity=10_100.0),
    "settle": lambda made: wire.SettleFunds(what="result"),
    "stop": lambda made: wire.Stop(),
    "signal": lambda made: wire.AddSignal(symbol="EURUSD", side="buy", volume=0.1, sl=1.0, tp=2.0),
    "cancel order": _cancel,
    "acknowledge": lambda made: wire.Acknowledge(all=True),
    "test alert": lambda made: wire.TestAlert(),
}


def slow_down(journal: Journal) -> None:
    """Every commit takes a while from now on, one after the other."""
    writer, waiting = journal._writer, deque[Any]()
    honest = writer.submit

    def late() -> None:
        with suppress(Dead):
            honest(waiting.popleft())

    def submit(ticket: Any) -> None:
        waiting.append(ticket)
        asyncio.get_running_loop().call_later(SLOW_SECONDS, late)

    writer.submit = submit  # type: ignore[method-assign]  # a slow disk


async def _bring_to(made: World, mode: str, faults: dict[str, Any]) -> None:
    """Positions, orders and signals of all kinds, in this mode."""
    if mode not in ("HALTED",):
        await made.bought()
        signal = await made.engine.proposals.take(order(made, FAR, EntryType.LIMIT, note="standing"))
        assert (await made.approve(signal)).accepted
        await made.until(made.engine.book.working)
    await made.engine.proposals.take(made.buy(note="to approve"))
    await asyncio.sleep(0.3)
    match mode:
        case "PAUSED":
            assert (await made.command(wire.Pause())).accepted
        case "FLATTENING":
            faults["order_send"] = _refusing(10004)
            assert (await made.command(wire.Flatten(), "test")).accepted
            await asyncio.sleep(1)
        case "DEFERRED" | "LEFT OPEN":
            faults["order_send"] = _refusing(10018)
            assert (await made.command(wire.Flatten(), "test")).accepted
            await made.until(lambda: made.engine.flattener.report and made.engine.flattener.report.state == "DEFERRED")
            if mode == "LEFT OPEN":
                assert (await made.command(_cancel_flatten(made), "test")).accepted
                await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
                faults.clear()
        case "HALTED":
            assert (await made.command(wire.Flatten(), "test")).accepted
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)


def _refusing(retcode: int) -> Any:
    def refuse(honest: Any, request: dict[str, Any]) -> Any:
        return honest(request) if is_opening(request) else Struct(_template, retcode=retcode)

    return refuse


async def _as_stored(made: World) -> tuple[str, int, str]:
    [row] = await made.journal.query("SELECT mode, epoch, halt_reason FROM account_state")
    return row[0], row[1], row[2]


def _changes_are_legal(changes: list[dict[str, Any]]) -> None:
    """By the table, from the mode before, each in a later epoch; what stops a resume or a reset that is just being
    written has its epoch, in which nothing was ever opened."""
    mode, epoch, earlier = EngineMode.RUNNING, 0, EngineMode.RUNNING
    for change in changes:
        before, after = EngineMode(change["from"]), EngineMode(change["to"])
        assert after in TRANSITIONS[before], changes
        overtaken = after is not EngineMode.RUNNING and before in (mode, earlier) and change["epoch"] == epoch
        assert overtaken or (before is mode and change["epoch"] > epoch), changes
        earlier, mode, epoch = mode, after, change["epoch"]


async def _answered(made: World, names: tuple[str, ...]) -> list[tuple[str, wire.CommandResult]]:
    """Give all of the commands at once; the answers that came, by the command's name."""
    asked = {name: ACTIONS[name](made) for name in dict.fromkeys(names)}
    tasks = [(name, asyncio.create_task(made.command(asked[name], f"asked for {name}"))) for name in names]
    await asyncio.wait([task for _, task in tasks], timeout=5)
    answers = []
    for name, task in tasks:
        if task.done() and not task.cancelled() and task.exception() is None:
            answers.append((name, task.result()))
            continue
        task.cancel()
        # Whoever asks an engine that ends meanwhile is told that there is no answer.
        assert made.engine.stop_requested.is_set() or not (made.life and made.life.alive), (names, task)
    return answers


async def cross(folder: Path, mode: str, names: tuple[str, ...], *, slow: bool, seed: int, death: float = 0.0) -> None:
    """Give these commands at once in this mode, end the engine, and hold what it and the next one say together.

    `death` is the chance to be killed at each commit from then on.
    """
    faults: dict[str, Any] = {}
    terminal = PaperTerminal.open(TerminalConfig(seed=3))
    settings = {"guards": {"equity_floor": {"money": 5000}}}
    life = Life(random.Random(seed), Counter(), chance=0.0, send_chance=0.0)
    async with world(folder, terminal=terminal, faults=faults, seed=seed, settings=settings, life=life) as made:
        await _bring_to(made, mode, faults)
        if slow:
            slow_down(made.journal)
        before = made.engine.modes.mode
        life._chance = death
        results = await _answered(made, names)
        accepted = {name for name, result in results if result.accepted}
        lifted = bool({"reset", "reset keep"} & set(names if death else accepted))
        latched = "flatten" in accepted or (before in LATCHED and not lifted)
        assert not latched or made.engine.modes.mode in LATCHED, results
        assert mode != "PAUSED" or "resume" in (names if death else accepted) or made.engine.modes.mode != "RUNNING"
        await asyncio.wait({made.running}, timeout=60 if "stop" in accepted else 5)
        ended = made.engine.modes.state
        if life.alive and not made.running.done():
            assert made.target.snapshot().model_dump_json()
            assert await _as_stored(made) == (ended.mode, ended.epoch, ended.halt_reason)
        assert not life.alive or made.running.done() is ("stop" in accepted)
        life.spare()
        await made.crash()
    faults.clear()
    async with world(folder, terminal=terminal, seed=seed, settings=settings, compared=False) as again:
        begun = (await again.events("engine_started"))[-1]
        assert not latched or begun["mode"] in LATCHED, (begun, ended)
        assert death or begun["mode"] == ended.mode, (begun, ended)
        if again.engine.modes.mode is EngineMode.FLATTENING:
            await again.until(lambda: again.engine.modes.mode is EngineMode.HALTED, 120)
            assert not again.engine.closedown.something_is_open()
        if not death:
            _changes_are_legal(await again.events("mode_changed"))
        intents = [
            json.loads(row[0]) for row in await again.journal.query("SELECT intent FROM signals WHERE intent <> ''")
        ]
        approved = {int(intent["magic"]): intent["volume"] for intent in intents}
        for magic, volume in opened_volume(terminal).items():
            assert volume <= approved.get(magic, 0.0) + 1e-9
    terminal.shutdown()
    report = verify(folder / "journal.db", schema=SCHEMA, project=project)
    assert report.ok, report.problem


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ACTIONS)
def test_every_command_twice_at_once_in_every_mode(tmp_path: Path, mode: str, name: str) -> None:
    run_virtual(cross(tmp_path, mode, (name, name), slow=True, seed=2), seed=2)


@pytest.mark.parametrize("mode", MODES)
def test_commands_that_cross(tmp_path: Path, mode: str) -> None:
    pairs = list(itertools.permutations(ACTIONS, 2))
    for place, pair in enumerate(random.Random(MODES.index(mode)).sample(pairs, 4)):
        for slow, death in ((True, 0.0), (False, 0.1), (True, 0.1)):
            run_virtual(
                cross(tmp_path / f"{place} {slow} {death}", mode, pair, slow=slow, seed=place, death=death), seed=place
            )
