import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from console import host as host_module
from console.host import EngineFailed, Host, HostState
from engine import detached
from engine.control.client import ControlClient, EngineStopped, EngineUnreachable
from engine.control.messages import Stop
from engine.control.server import ControlServer
from tests.unit.control.fake import FakeEngine

SCRIPT = Path(__file__).with_name("engine_script.py")
ROOT = SCRIPT.parents[3]
Make = Callable[..., Host]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUARTERDECK_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    state = tmp_path / "state" / "paper"
    state.mkdir(parents=True)
    return state


@pytest.fixture
async def make(folder: Path) -> AsyncIterator[Make]:
    """Make hosts of the small engine; every engine that one of them started is ended with the test."""
    hosts: list[Host] = []

    def _make(what: str = "serve", *words: str, start_seconds: float = 20.0) -> Host:
        command = (sys.executable, str(SCRIPT), str(folder), what, *words)
        host = Host("paper", command=command, start_seconds=start_seconds)
        hosts.append(host)
        return host

    yield _make
    for host in hosts:
        if host._child is not None:
            host._child.kill()
            await asyncio.to_thread(host._child.wait)


def _count(path: Path) -> int:
    return len(path.read_text())


async def _kill(host: Host) -> None:
    assert host._child is not None
    host._child.kill()
    await asyncio.to_thread(host._child.wait)


async def test_engine_is_started_in_its_own_session_and_found_again(make: Make, folder: Path) -> None:
    first, second = make(), make()
    assert str(first.state) == "gone"
    async with await first.attach() as client:
        assert first.state is HostState.ATTACHED
        assert (await client.snapshot()).engine.pid == 4242
    assert first._child is not None
    assert os.getsid(first._child.pid) == first._child.pid != os.getsid(0)
    async with await second.attach():
        assert second._child is None
    assert _count(folder / "started") == 1


async def test_engine_that_is_slow_to_answer_is_waited_for(make: Make) -> None:
    host = make("slow", "0.3")
    attaching = asyncio.create_task(host.attach())
    while host._child is None:  # noqa: ASYNC110  the start is the thing under test
        await asyncio.sleep(0.005)
    assert str(host.state) == "starting"
    async with await attaching as client:
        assert (await client.snapshot()).seq == 0


async def test_engine_that_fails_is_shown_with_its_last_words_cleaned(make: Make, folder: Path) -> None:
    await asyncio.to_thread((folder / "engine.log").write_text, "words of an older engine\n")
    host = make("fail", "ticks.csv line 7: expected a bid,\x1b[2J\u202e found 'x'")
    with pytest.raises(EngineFailed, match=r"exit code 3; it printed:\nticks.csv line 7: expected a bid,") as failed:
        await host.attach()
    assert "older" not in str(failed.value)
    assert "\x1b" not in str(failed.value)
    assert "\u202e" not in str(failed.value)
    assert str(host.state) == "gone"


async def test_engine_that_never_answers_is_left_running_and_told(make: Make) -> None:
    host = make("hang", start_seconds=0.3)
    with pytest.raises(EngineFailed, match=r"not answered for 0\.3 s; it printed nothing"):
        await host.attach()
    assert host._child is not None
    assert host._child.poll() is None
    with pytest.raises(EngineFailed, match="not answered"):
        await host.attach()
    assert host._child.poll() is None


async def test_five_racing_consoles_share_one_engine(make: Make, folder: Path) -> None:
    hosts = [make("slow", "0.5") for _ in range(5)]
    clients = await asyncio.gather(*(host.attach() for host in hosts))
    for client in clients:
        async with client:
            assert (await client.snapshot()).engine.pid == 4242
    assert _count(folder / "served") == 1
    children = [host._child for host in hosts if host._child is not None]
    # Those that did not get the lock end by themselves, in their own time.
    async with asyncio.timeout(20):
        while len([child for child in children if child.poll() is None]) > 1:  # noqa: ASYNC110 - a process has no event
            await asyncio.sleep(0.05)
    assert len([child for child in children if child.poll() is None]) == 1


async def test_lock_held_by_an_ending_engine_is_tried_again(make: Make, folder: Path) -> None:
    holder = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), str(folder), "hang")
    try:
        while not (folder / "engine.lock").exists():  # noqa: ASYNC110  another process makes it
            await asyncio.sleep(0.01)
        host = make()
        attaching = asyncio.create_task(host.attach())
        while host._child is None or host._child.poll() != host_module.RUNS_ALREADY:  # noqa: ASYNC110  a process ends
            await asyncio.sleep(0.01)
    finally:
        holder.kill()
        await holder.wait()
    async with await attaching as client:
        assert (await client.snapshot()).seq == 0


async def test_engine_that_died_is_restarted_and_it_is_said(make: Make, folder: Path) -> None:
    host = make()
    async with await host.attach() as client, aclosing(client.stream(0)) as messages:
        await anext(messages)
        await _kill(host)
        with pytest.raises(EngineUnreachable) as ended:
            async for _ in messages:
                pass
    assert not isinstance(ended.value, EngineStopped)
    async with await host.attach() as client:
        assert (await client.snapshot()).seq == 0
    assert host.said == "the engine has died: restart 1 of at most 3 a minute"
    assert _count(folder / "served") == 2


async def test_engine_that_was_told_to_stop_says_so(make: Make) -> None:
    host = make()
    async with await host.attach() as client, aclosing(client.stream(0)) as messages:
        await anext(messages)
        assert (await client.send(Stop())).accepted
        with pytest.raises(EngineStopped):
            async for _ in messages:
                pass


async def test_restarts_are_paced_and_then_given_up(make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "_BACK_OFF_SECONDS", (0.0, 0.2, 0.4))
    host = make("fail", "no", "terminal")
    loop = asyncio.get_running_loop()
    for _ in range(4):
        with pytest.raises(EngineFailed, match="exit code 3"):
            await host.attach()
    first, second, third = host._restarts
    assert second - first >= 0.2
    assert third - second >= 0.4
    with pytest.raises(
        EngineFailed, match=r"restarted 3 times within a minute .* not again for \d+ s; .*\nno terminal"
    ):
        await host.attach()
    assert _count(folder / "started") == 4
    monkeypatch.setattr(host_module, "_WINDOW_SECONDS", loop.time() - first - 0.001)
    with pytest.raises(EngineFailed, match="exit code 3"):
        await host.attach()
    assert _count(folder / "started") == 5


async def test_attached_engine_that_another_started_counts_as_a_restart(make: Make, folder: Path) -> None:
    server = ControlServer(FakeEngine(), str(folder / "control.sock"))
    await server.start()
    host = make()
    async with await host.attach():
        pass
    await server.stop()
    async with await host.attach():
        assert len(host._restarts) == 1


async def test_log_that_has_grown_is_put_aside(make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detached, "_MAX_LOG_BYTES", 10)
    log = folder / "engine.log"
    await asyncio.to_thread(log.write_text, "much that was printed long ago")
    with pytest.raises(EngineFailed, match="printed:\nnew"):
        await make("fail", "new").attach()
    assert await asyncio.to_thread((folder / "engine.log.1").read_text) == "much that was printed long ago"


def test_log_that_cannot_be_put_aside_is_written_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def _held(source: Path, target: Path) -> None:
        raise PermissionError(source)

    monkeypatch.setattr(detached, "_MAX_LOG_BYTES", 10)
    monkeypatch.setattr(os, "replace", _held)
    (tmp_path / "engine.log").write_text("x" * 50)
    assert detached._prepare(tmp_path / "engine.log") == 50


async def test_windows_engine_is_detached(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    class _Popen:
        def __init__(self, command: tuple[str, ...], **options: object) -> None:
            asked.update(options, command=command)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(subprocess, "Popen", _Popen)
    monkeypatch.setattr(subprocess, "DETACHED_PROCESS", 8, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 512, raising=False)
    Host("paper", ("--seed", "3"))._launch(folder)
    assert asked["creationflags"] == 520
    assert asked["stdin"] == subprocess.DEVNULL
    assert asked["command"] == (sys.executable, "-P", "-m", "engine", "--profile", "paper", "--seed", "3")


async def test_console_that_is_killed_leaves_its_engine(folder: Path) -> None:
    command = (sys.executable, str(SCRIPT), str(folder), "serve")
    program = (
        "import asyncio; from console.host import Host\n"
        "async def main():\n"
        f"    host = Host('paper', command={command!r})\n"
        "    await host.attach(); print(host._child.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())"
    )
    console = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert console.stdout is not None
    pid = int(await console.stdout.readline())
    console.kill()
    await console.wait()
    try:
        async with ControlClient(str(folder / "control.sock"), "cli") as client:
            assert (await client.snapshot()).engine.pid == 4242
    finally:
        os.kill(pid, signal.SIGKILL)
