"""The link: how it comes up, goes down and comes up again."""

import asyncio
from typing import Any

import pytest

from console.commands import COMMANDS, Command, bindings
from console.link import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, Link, LinkChanged, SnapshotArrived
from console.state import Phase
from engine.control.errors import EngineStopped
from engine.control.messages import Pause
from tests.console.fake import FakeEngine, snapshot


class Posted:
    def __init__(self) -> None:
        self.messages: list[Any] = []
        self._news = asyncio.Event()

    def __call__(self, message: Any) -> None:
        self.messages.append(message)
        self._news.set()

    async def phase(self, phase: Phase) -> LinkChanged:
        while True:
            for message in self.messages:
                if isinstance(message, LinkChanged) and message.phase is phase:
                    self.messages.clear()
                    return message
            self._news.clear()
            await self._news.wait()


async def test_it_comes_up_goes_down_and_comes_up_again_by_itself() -> None:
    engine, posted = FakeEngine(), Posted()
    link = Link(engine.attach)
    running = asyncio.create_task(link.run(posted))
    await posted.phase(Phase.CONNECTED)
    engine.cut()
    assert "the engine has gone; trying again" in (await posted.phase(Phase.DISCONNECTED)).detail
    await posted.phase(Phase.CONNECTED)
    assert engine.attached == 2
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_while_it_cannot_attach_it_waits_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, posted = FakeEngine(), Posted()
    engine.refuse_attach = "nobody there"
    waits: list[float] = []
    rounds = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 8:
            rounds.set()
            await asyncio.Event().wait()

    monkeypatch.setattr("console.link.asyncio.sleep", sleep)
    running = asyncio.create_task(Link(engine.attach).run(posted))
    await rounds.wait()
    assert waits == sorted(waits)
    assert waits[0] == 2 * FIRST_RETRY_SECONDS
    assert waits[-1] == LONGEST_RETRY_SECONDS
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_stopped_engine_is_left_alone_until_it_is_wanted() -> None:
    engine, posted = FakeEngine(), Posted()
    link = Link(engine.attach)
    running = asyncio.create_task(link.run(posted))
    await posted.phase(Phase.CONNECTED)
    engine.cut(EngineStopped("stopped"))
    await posted.phase(Phase.STOPPED)
    told = await link.send(Pause())
    assert told.accepted is False
    assert told.message.startswith("not sent")
    assert await link.ask(lambda client: client.snapshot()) == (None, "no engine is connected")
    assert engine.attached == 1
    link.start_again()
    await posted.phase(Phase.CONNECTED)
    assert engine.attached == 2
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_a_newer_snapshot_replaces_one_that_was_not_handled() -> None:
    first, second = SnapshotArrived(snapshot()), SnapshotArrived(snapshot())
    assert second.can_replace(first)
    assert not second.can_replace(LinkChanged(Phase.CONNECTED))


def test_every_command_has_one_key_one_name_and_one_sentence() -> None:
    keys = [key for command in COMMANDS for key in command.key.split(",") if key]
    assert len(keys) == len(set(keys))
    assert len({command.name for command in COMMANDS}) == len(COMMANDS)
    assert all(command.help().endswith(".") for command in COMMANDS)
    assert len(bindings()) == len(keys) - 1


async def test_a_command_without_an_effect_is_a_bug() -> None:
    with pytest.raises(NotImplementedError):
        await Command().run(None, None)  # type: ignore[arg-type]
