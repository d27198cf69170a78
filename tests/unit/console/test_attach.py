"""Which engine a console attaches to, and what it never starts or hands on."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from console import host
from console.host import Guest, Host
from engine.control.caller import Caller
from engine.control.client import ControlClient
from engine.control.errors import ControlError, EngineUnreachable
from engine.control.messages import Pause
from engine.control.server import ControlServer
from tests.unit.control.fake import FakeEngine


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def _refuse(*words: Any, **options: Any) -> None:
        raise AssertionError(f"started: {words}")

    monkeypatch.setattr(subprocess, "Popen", _refuse)


async def test_a_console_that_only_looks_starts_no_engine(state: Path, no_process: None) -> None:
    link = host.attached("paper", None, read_only=True)
    with pytest.raises(EngineUnreachable, match="--read-only starts none"):
        await link._attach()
    assert link.read_only
    assert link.console_id


async def test_another_user_s_engine_is_attached_to_and_never_started(tmp_path: Path, no_process: None) -> None:
    socket = str(tmp_path / "shared.sock")
    guest = Guest(socket, Caller("console", read_only=True))
    async with await guest.attach() as client:
        with pytest.raises(EngineUnreachable, match=r"no engine answers at .*shared\.sock"):
            await client.snapshot()
    server = ControlServer(FakeEngine(), socket)
    await server.start()
    async with await guest.attach() as client:
        assert isinstance(client, ControlClient)
        assert (await client.snapshot()).engine.pid == 4242
        with pytest.raises(ControlError, match="you are a viewer"):
            await client.send(Pause())
    await server.stop()


async def test_the_console_s_token_goes_to_the_engine_it_asks_and_not_to_the_one_it_starts(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERDECK_TOKEN", "x" * 43)
    started: list[dict[str, str]] = []

    def _note(*words: Any, env: dict[str, str] | None = None, **options: Any) -> None:
        started.append(dict(os.environ) if env is None else env)
        raise OSError("enough")

    monkeypatch.setattr(subprocess, "Popen", _note)
    with pytest.raises(OSError, match="enough"):
        await Host("paper", caller=Caller.here("console")).attach()
    assert "x" * 43 not in started[0].values()
    assert started[0]["QUARTERDECK_HOME"] == os.environ["QUARTERDECK_HOME"]
    assert Caller.here("console").headers()["Authorization"] == f"Bearer {'x' * 43}"
