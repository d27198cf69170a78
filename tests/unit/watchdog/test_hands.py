"""What a watchdog does to real processes, and what it sees of them."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from engine import processes
from engine.clock import SystemClock
from engine.control.address import control_address
from engine.control.server import ControlServer
from engine.killswitch import NAME
from engine.processes import Known, known
from engine.runfile import RunFile, run_path
from engine.watchdog import hands as hands_module
from engine.watchdog.hands import Hands
from engine.watchdog.judge import Alert, Do, Judge, Pulse
from engine.watchdog.look import Look
from engine.watchdog.run import Watchdog
from engine.watchdog.settings import Then, WatchdogSettings
from engine.watchdog.telling import Telling
from tests.unit.control.fake import FakeEngine

HOLD = """
import sys
from pathlib import Path
from engine.runfile import RunFile
RunFile(Path(sys.argv[1])).begin(sys.argv[2])
print("up", flush=True)
input()
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are told apart by /proc in these tests")


class Rig:
    """A state folder with a watchdog's parts on it, and what they said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.told: list[Alert] = []
        self.heard = asyncio.Event()
        self.hands = Hands(
            folder,
            SystemClock(),
            self.said.append,
            engine=(sys.executable, "-c", "print('a new engine'); input()"),
            flatten=lambda reason: (sys.executable, "-c", "import sys; print(sys.argv[1]); sys.exit(3)", reason),
        )

    def watchdog(self, then: Then) -> Watchdog:
        judge = Judge(WatchdogSettings(then=then, checks=3, kill_checks=2))

        async def deliver(alert: Alert, targets: Sequence[str]) -> Sequence[str]:
            self.told.append(alert)
            self.heard.set()
            return targets

        telling = Telling(["phone"], deliver, self.said.append)
        return Watchdog(Look(self.folder), judge, self.hands, self.said.append, telling)

    async def holder(self, role: str = "engine") -> "asyncio.subprocess.Process":
        """A process that has the account in hand, by the run file, and answers nothing."""
        command = (sys.executable, "-c", HOLD, str(self.folder), role)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"up\n"
        return process

    def processes(self) -> list[int]:
        return [process.pid for process, _ in self.hands._engines]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    for process, _ in made.hands._engines:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


async def end_of_flatten(rig: Rig) -> int:
    async with asyncio.timeout(20):
        while True:
            closing, ended = rig.hands.look()
            if ended is not None:
                assert not closing
                return ended
            assert closing
            await asyncio.sleep(0.01)


async def test_a_stopped_engine_is_killed_and_another_started(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hands_module, "_OTHERS_SECONDS", 0.1)
    holder = await rig.holder()
    holder.send_signal(signal.SIGSTOP)
    await rig.hands.restart()
    assert await holder.wait() == -signal.SIGKILL
    (pid,) = rig.processes()
    assert os.getsid(pid) == pid
    assert rig.said == [f"killed pid {holder.pid}", f"started an engine (pid {pid}), which prints into engine.log"]


async def test_none_is_started_beside_the_one_that_another_has_started(rig: Rig) -> None:
    holder = await rig.holder()
    restarting = asyncio.create_task(rig.hands.restart())
    await holder.wait()
    another = await rig.holder()
    await restarting
    assert rig.processes() == []
    assert rig.said[-1] == f"somebody else has started an engine already (pid {another.pid})"
    another.kill()
    await another.wait()


async def test_one_that_another_has_started_and_that_died_again_is_not_counted_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hands_module, "_OTHERS_SECONDS", 0.3)
    holder = await rig.holder()
    restarting = asyncio.create_task(rig.hands.restart())
    await holder.wait()
    path = run_path(rig.folder)
    path.write_text(path.read_text().replace(str(holder.pid), "4194303"))
    await restarting
    assert len(rig.processes()) == 1


async def test_none_is_started_beside_one_that_does_not_die(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(process: Known) -> bool:
        raise PermissionError("not yours")

    monkeypatch.setattr(processes, "kill", refused)
    monkeypatch.setattr(processes, "DEATH_SECONDS", 0.1)
    holder = await rig.holder()
    await rig.hands.restart()
    assert rig.processes() == []
    assert rig.said == [
        f"pid {holder.pid} could not be killed: not yours",
        f"no engine is started: pid {holder.pid} does not die",
    ]
    holder.kill()
    await holder.wait()


async def test_a_later_process_of_the_same_pid_is_not_killed(rig: Rig) -> None:
    holder = await rig.holder()
    path = run_path(rig.folder)
    born = known(holder.pid).birth
    path.write_text(path.read_text().replace(born, "an earlier birth"))
    await rig.hands.restart()
    assert holder.returncode is None
    assert len(rig.processes()) == 1
    holder.kill()
    await holder.wait()


async def test_the_words_of_an_engine_that_does_not_stay_are_said(rig: Rig) -> None:
    await rig.hands.restart()
    ((process, _),) = rig.hands._engines
    # Its input is at an end, so that it fails at once.
    await asyncio.to_thread(process.wait)
    rig.hands.look()
    assert "ended with exit code 1: a new engine | Traceback" in rig.said[-1]


async def test_the_end_of_a_direct_flatten_is_seen_once(rig: Rig) -> None:
    assert rig.hands.look() == (False, None)
    rig.hands.flatten("watchdog: fire")
    assert await end_of_flatten(rig) == 3
    assert rig.hands.look() == (False, None)
    assert rig.said[-1].endswith("ended with exit code 3: watchdog: fire")


async def test_a_look_sees_the_engine_and_asks_for_its_mode_beside_a_kill_file(tmp_path: Path) -> None:
    look = Look(tmp_path)
    assert not (await look(closing=False, ended=None)).lives
    RunFile(tmp_path).begin("engine")
    server = ControlServer(FakeEngine(), control_address(tmp_path))
    await server.start()
    try:
        seen = await look(closing=False, ended=None)
        assert (seen.pulse, seen.mode, seen.lives, seen.killed) == (Pulse("loop", 7), None, True, "")
        (tmp_path / NAME).write_text("fire")
        seen = await look(closing=True, ended=3)
        assert (seen.mode, seen.closing, seen.ended) == ("RUNNING", True, 3)
        assert seen.killed.endswith("KILL: fire")
    finally:
        await server.stop()
    assert (await look(closing=False, ended=None)).pulse is None


async def test_an_engine_that_takes_the_connection_and_says_nothing_does_not_answer(tmp_path: Path) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    left = asyncio.Event()
    silent = await asyncio.start_unix_server(say_nothing, control_address(tmp_path))
    began = asyncio.get_running_loop().time()
    seen = await Look(tmp_path)(closing=False, ended=None)
    assert seen.pulse is None
    assert asyncio.get_running_loop().time() - began < 5
    await left.wait()
    silent.close()


async def test_a_run_file_that_makes_no_sense_is_not_none(tmp_path: Path) -> None:
    run_path(tmp_path).write_text("{")
    seen = await Look(tmp_path)(closing=False, ended=None)
    assert (seen.run, seen.unknown) == (None, f"{run_path(tmp_path)} makes no sense")


@pytest.mark.parametrize("then", ["alert", "restart", "flatten"])
async def test_a_kill_file_beside_a_stopped_engine_starts_the_direct_command_within_its_checks(
    rig: Rig, then: Then
) -> None:
    holder = await rig.holder()
    holder.send_signal(signal.SIGSTOP)
    (rig.folder / NAME).write_text("fire")
    watchdog = rig.watchdog(then)
    assert (await watchdog.check()).do is None
    assert (await watchdog.check()).do is Do.FLATTEN
    assert await end_of_flatten(rig) == 3
    assert "fire" in rig.said[-1]
    assert rig.processes() == []
    holder.kill()
    await holder.wait()


async def test_alerts_are_delivered_while_it_goes_on_checking(rig: Rig) -> None:
    RunFile(rig.folder).begin("engine")
    RunFile(rig.folder).begin("engine")
    watchdog, stop = rig.watchdog("alert"), asyncio.Event()
    for _ in range(3):
        await watchdog.check()
    running = asyncio.create_task(watchdog.run(stop))
    async with asyncio.timeout(20):
        await rig.heard.wait()
    stop.set()
    await running
    assert [alert.severity for alert in rig.told] == ["critical"]
    assert any(line.startswith("ALERT critical: no further guard cycle") for line in rig.said)


async def test_without_a_log_it_is_started_all_the_same(rig: Rig) -> None:
    for log in ("flatten.log", "engine.log"):
        (rig.folder / log).mkdir()  # it cannot be opened, as by a full disk or another's file
    rig.hands.flatten("watchdog: fire")
    await rig.hands.restart()
    assert len(rig.processes()) == 1
    assert await end_of_flatten(rig) == 3


async def test_what_cannot_be_started_at_all_is_said_and_ends_no_watchdog(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(command: object, log: Path) -> None:
        raise OSError("no process can be made")

    monkeypatch.setattr(hands_module, "launch", refuse)
    rig.hands.flatten("watchdog: fire")
    assert rig.said[-1] == "it could not be started: no process can be made"
    await rig.hands.restart()
    assert rig.said[-1] == "it could not be started: no process can be made"
    assert rig.hands.look() == (False, None)


async def test_a_log_that_was_taken_away_does_not_hide_how_a_direct_flatten_ended(rig: Rig) -> None:
    rig.hands.flatten("watchdog: fire")
    (rig.folder / "flatten.log").unlink()
    assert await end_of_flatten(rig) == 3
    assert "what it said cannot be read" in rig.said[-1]


async def test_a_direct_flatten_that_began_after_the_look_is_not_killed_by_a_restart(rig: Rig) -> None:
    closing = await rig.holder("direct flatten")
    await rig.hands.restart()
    assert closing.returncode is None
    assert rig.processes() == []
    assert rig.said == [f"no engine is started: a direct flatten is at work (pid {closing.pid})"]
    closing.kill()
    await closing.wait()
