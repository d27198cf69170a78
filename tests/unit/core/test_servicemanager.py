"""What a service manager is told, on a real socket: a pulse for completed cycles only, and never a wait."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from engine.servicemanager import ServiceManager
from tests.simulation.virtual import run_virtual

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd is not there")
MINUTE = "60000000"


class Engine:
    """What the engine says of itself."""

    def __init__(self) -> None:
        self.cycles = 0
        self.status = "RUNNING"
        self.stop = asyncio.Event()

    @contextlib.asynccontextmanager
    async def reporting(self, address: str, pid: int = 1, **environment: str) -> AsyncIterator[None]:
        manager = ServiceManager({"NOTIFY_SOCKET": address, **environment}, pid)
        task = asyncio.create_task(manager.report(self.stop, lambda: self.cycles, lambda: self.status))
        await asyncio.sleep(0.01)
        try:
            yield
        finally:
            self.stop.set()
            await task


class Listener:
    """A service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{address[1:]}" if address[0] == "@" else address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """The words said since this was last asked."""
        words: list[str] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                words += self.socket.recv(4096).decode().split("\n")
        return words


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("the abstract namespace is Linux's")
    made = Listener(f"@quarterdeck-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify"))
    yield made
    made.socket.close()


def test_ready_then_pulses_of_completed_cycles_then_stopping(listener: Listener) -> None:
    async def run() -> None:
        engine = Engine()
        async with engine.reporting(listener.address, WATCHDOG_USEC=MINUTE, WATCHDOG_PID="1"):
            assert listener.heard() == ["READY=1", "STATUS=RUNNING"]
            for _ in range(100):
                engine.cycles += 1
                await asyncio.sleep(0.1)
            assert 9 <= len(pulses := listener.heard()) <= 11
            assert set(pulses) == {"WATCHDOG=1"}
            await asyncio.sleep(1)
            listener.heard()
            await asyncio.sleep(60)
            assert listener.heard() == []
            engine.cycles += 1
            await asyncio.sleep(1)
            assert listener.heard() == ["WATCHDOG=1"]
        assert listener.heard() == ["STOPPING=1", "STATUS=stopping"]

    run_virtual(run())


def test_an_engine_that_completes_no_cycle_says_no_pulse(listener: Listener) -> None:
    async def run() -> None:
        async with Engine().reporting(listener.address, WATCHDOG_USEC=MINUTE):
            listener.heard()
            await asyncio.sleep(100)
            assert listener.heard() == []

    run_virtual(run())


def test_a_short_watchdog_hears_two_pulses_in_its_time(listener: Listener) -> None:
    async def run() -> None:
        engine = Engine()
        async with engine.reporting(listener.address, WATCHDOG_USEC="400000"):
            listener.heard()
            heard: list[str] = []
            for _ in range(40):
                engine.cycles += 1
                await asyncio.sleep(0.1)
                heard += listener.heard()
            assert heard.count("WATCHDOG=1") >= 18

    run_virtual(run())


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": MINUTE, "WATCHDOG_PID": "2"}, {"WATCHDOG_USEC": "0"}])
def test_no_pulse_is_said_that_nobody_asked_of_this_process(listener: Listener, environment: dict[str, str]) -> None:
    async def run() -> None:
        engine = Engine()
        async with engine.reporting(listener.address, 1, **environment):
            engine.cycles = 5
            await asyncio.sleep(3)
            assert "WATCHDOG=1" not in listener.heard()

    run_virtual(run())


def test_a_status_is_said_when_it_changes_and_is_one_line(listener: Listener) -> None:
    async def run() -> None:
        engine = Engine()
        async with engine.reporting(listener.address):
            listener.heard()
            engine.status = "HALTED\nREADY=0"
            await asyncio.sleep(5)
            assert listener.heard() == ["STATUS=HALTED READY=0"]

    run_virtual(run())


def test_what_a_manager_had_no_room_for_is_said_when_it_has(tmp_path: Path) -> None:
    async def run() -> None:
        listener = Listener(str(tmp_path / "notify"))
        full = ServiceManager({"NOTIFY_SOCKET": listener.address}, 1)
        while full.say("X=1"):
            pass
        async with Engine().reporting(listener.address):
            assert "READY=1" not in listener.heard()
            await asyncio.sleep(2)
            assert listener.heard() == ["READY=1", "STATUS=RUNNING"]
        listener.socket.close()

    run_virtual(run())


def test_a_manager_that_has_gone_or_does_not_read_costs_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        engine, listener = Engine(), Listener(str(tmp_path / "notify"))
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        async with engine.reporting(listener.address, WATCHDOG_USEC=MINUTE):
            for _ in range(2000):
                engine.cycles += 1
                await asyncio.sleep(1)
            listener.socket.close()
            os.unlink(listener.address)
            engine.cycles += 1
            await asyncio.sleep(3)

    run_virtual(run())


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_without_a_socket_of_use_nothing_is_said_and_nothing_waited_for(address: str) -> None:
    async def run() -> None:
        await ServiceManager({"NOTIFY_SOCKET": address}, 1).report(asyncio.Event(), lambda: 1, str)

    run_virtual(run())
