"""The gateways as real child processes over a fake terminal: deadlines, kills, and what is left behind."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.broker import child
from engine.broker.base import BrokerError, BrokerTimeout, StaleEpoch
from engine.broker.child import Gateway, spawn_workers
from engine.broker.connection import Call, ConnectionLost, GatewayChange, Lane
from engine.broker.gateway import Gateways
from engine.clock import SystemClock
from engine.config import GatewaySettings

pytestmark = pytest.mark.xdist_group("gateway processes")
MODULE = "tests.unit.broker.fake_terminal"
SEND = Call("order_send", ({"volume": 1.0},))
READ = Call("positions_get")


class Terminal:
    """The fake terminal's folder: what its functions do, and what was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pids: dict[str, int] = {}
        self.changes: list[GatewayChange] = []

    def once(self, function: str, **order: Any) -> None:
        (self.folder / f"{function}.once").write_text(json.dumps(order))

    def always(self, function: str, **order: Any) -> None:
        (self.folder / function).write_text(json.dumps(order))

    def calls(self, function: str, what: str = "begun") -> list[int]:
        path = self.folder / "calls"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [row["pid"] for row in rows if row["function"] == function and row["what"] == what]

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for something that another process does."""
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - nothing in this process can tell
                await asyncio.sleep(0.002)

    def on_change(self, change: GatewayChange) -> None:
        self.changes.append(change)
        if change.what == "started" and change.pid is not None:
            self.pids[change.slot] = change.pid

    def told(self) -> list[tuple[str, str]]:
        return [(str(change.slot), change.what) for change in self.changes]


def is_gone(pid: int) -> bool:
    """Not running and not a zombie either."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def has_ended(pid: int) -> bool:
    """Gone, or a zombie that the system's first process has not taken away yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


@asynccontextmanager
async def running(folder: Path, **settings: float) -> AsyncIterator[tuple[Gateways, Terminal]]:
    terminal = Terminal(folder)
    gateways = Gateways(
        spawn_workers(MODULE, {"path": str(folder)}, folder / "stderr.log"),
        SystemClock(),
        GatewaySettings(**settings),
        terminal.on_change,
    )
    await gateways.start()
    try:
        yield gateways, terminal
    finally:
        await gateways.stop()
        assert all(is_gone(change.pid) for change in terminal.changes if change.pid is not None)
        assert (folder / "stderr.log").read_text() == ""


async def test_both_lanes_answer_from_their_own_process(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateways, terminal):
        sent = await gateways.call(Lane.ORDERS, [SEND], deadline=5)
        read = await gateways.call(Lane.READS, [READ, Call("version")], deadline=5)
        assert sent[0].value["request"] == {"name": "request", "inner": {"name": "nested", "inner": [1, 2]}}
        assert [result.value for result in read] == [[], [500, 4000, "1 Jan 2026"]]
        assert terminal.calls("order_send") == [terminal.pids["orders"]]
        assert terminal.calls("positions_get") == [terminal.pids["reads"]]
        assert os.getpid() not in terminal.pids.values()
        assert {change.account for change in terminal.changes} == {"1001@Fake-Demo"}


@pytest.mark.skipif(sys.platform == "win32", reason="sessions")
async def test_interrupt_of_the_engines_terminal_does_not_reach_the_workers(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, terminal):
        assert all(os.getsid(pid) == pid for pid in terminal.pids.values())


async def test_deadline_kills_the_hung_worker_and_the_standby_takes_over(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateways, terminal):
        hung = terminal.pids["reads"]
        terminal.once("positions_get", hang="")
        with pytest.raises(BrokerTimeout):
            await gateways.call(Lane.READS, [READ], deadline=0.05)
        assert not is_gone(hung)
        await gateways.call(Lane.READS, [READ], deadline=5)
        assert terminal.calls("positions_get") == [hung, terminal.pids["orders"]]
        await terminal.until(lambda: gateways.restarts == 1)
        await terminal.until(lambda: is_gone(hung))
        await gateways.call(Lane.READS, [READ], deadline=5)
        assert terminal.calls("positions_get")[-1] == terminal.pids["reads"] != hung
        assert terminal.told()[2:] == [("reads", "hung"), ("reads", "lost"), ("reads", "started")]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("lane", list(Lane))
async def test_killed_worker_is_replaced_and_its_lane_served_meanwhile(tmp_path: Path, lane: Lane) -> None:
    async with running(tmp_path) as (gateways, terminal):
        first = terminal.pids[lane]
        os.kill(first, signal.SIGKILL)
        await terminal.until(lambda: (str(lane), "lost") in terminal.told())
        call = SEND if lane is Lane.ORDERS else READ
        await gateways.call(lane, [call], deadline=5)
        await terminal.until(lambda: gateways.restarts == 1)
        await gateways.call(lane, [call], deadline=5)
        assert terminal.calls(call.function) == [terminal.pids[lane.other], terminal.pids[lane]]
        assert is_gone(first)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
async def test_order_in_flight_when_its_worker_is_killed_has_an_unknown_outcome(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateways, terminal):
        terminal.once("order_send", hang="")
        flying = asyncio.create_task(gateways.call(Lane.ORDERS, [SEND], deadline=10))
        waiting = asyncio.create_task(gateways.call(Lane.ORDERS, [SEND], deadline=10))
        await terminal.until(lambda: terminal.calls("order_send"))
        os.kill(terminal.pids["orders"], signal.SIGKILL)
        with pytest.raises(BrokerError, match="not known") as caught:
            await flying
        assert caught.value.code == -10002
        await waiting


async def test_worker_that_exits_in_a_call_is_replaced(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateways, terminal):
        terminal.once("positions_get", exit=3)
        with pytest.raises(BrokerError) as caught:
            await gateways.call(Lane.READS, [READ], deadline=5)
        assert caught.value.code == -10002
        await terminal.until(lambda: gateways.restarts == 1)


async def test_hung_read_does_not_hold_an_order(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateways, terminal):
        terminal.once("positions_get", hang="go on")
        read = asyncio.create_task(gateways.call(Lane.READS, [READ], deadline=20))
        await terminal.until(lambda: terminal.calls("positions_get"))
        await gateways.call(Lane.ORDERS, [SEND], deadline=5)
        assert not read.done()
        (tmp_path / "go on").touch()
        await read


async def test_close_goes_through_the_standby_while_the_order_gateway_hangs(tmp_path: Path) -> None:
    async with running(tmp_path, stall_seconds=0.05) as (gateways, terminal):
        terminal.once("order_send", hang="go on")
        opening = asyncio.create_task(gateways.call(Lane.ORDERS, [SEND], deadline=20, epoch=0))
        await terminal.until(lambda: terminal.calls("order_send"))
        await gateways.call(Lane.ORDERS, [SEND], deadline=20, urgent=True)
        assert terminal.calls("order_send", "done") == [terminal.pids["reads"]]
        assert not opening.done()
        (tmp_path / "go on").touch()
        await opening


async def test_epoch_raised_while_the_opening_is_behind_a_busy_call_stops_it(tmp_path: Path) -> None:
    gateway = await spawn_workers(MODULE, {"path": str(tmp_path)})("orders")
    terminal = Terminal(tmp_path)
    try:
        terminal.once("positions_get", hang="go on")
        busy = asyncio.create_task(gateway.request({"id": 1, "calls": [["positions_get", [], {}]], "epoch": None}))
        await terminal.until(lambda: terminal.calls("positions_get"))
        opening = asyncio.create_task(gateway.request({"id": 2, "calls": [["order_send", [{}], {}]], "epoch": 1}))
        await asyncio.sleep(0)
        gateway.notify({"raise_epoch": 2})
        (tmp_path / "go on").touch()
        await busy
        assert await opening == {"id": 2, "refused": "epoch"}
        assert terminal.calls("order_send") == []
    finally:
        gateway.kill()
        await gateway.reap()


async def test_replacement_knows_the_epoch(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateways, terminal):
        await gateways.raise_epoch(7)
        terminal.once("order_send", exit=1)
        with pytest.raises(BrokerError):
            await gateways.call(Lane.ORDERS, [SEND], deadline=5)
        await terminal.until(lambda: gateways.restarts == 1)
        with pytest.raises(StaleEpoch):
            await gateways.call(Lane.ORDERS, [SEND], deadline=5, epoch=6)
        await gateways.call(Lane.ORDERS, [SEND], deadline=5, epoch=7)


async def test_late_answer_of_a_call_given_up_is_not_taken_for_the_next(tmp_path: Path) -> None:
    async with running(tmp_path) as (gateways, terminal):
        terminal.once("positions_get", hang="go on", value=["late"])
        first = asyncio.create_task(gateways.call(Lane.READS, [READ], deadline=20))
        await terminal.until(lambda: terminal.calls("positions_get"))
        first.cancel()
        second = asyncio.create_task(gateways.call(Lane.READS, [READ], deadline=20))
        (tmp_path / "go on").touch()
        assert (await second)[0].value == []


async def test_start_says_why_the_terminal_cannot_be_reached(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.always("initialize", error=[-10003, "IPC initialize failed, MetaTrader 5 x64 not found"])
    gateways = Gateways(
        spawn_workers(MODULE, {"path": str(tmp_path)}), SystemClock(), GatewaySettings(), terminal.on_change
    )
    with pytest.raises(BrokerError, match=r"initialize: \(-10003\) IPC initialize failed, MetaTrader 5") as caught:
        await gateways.start()
    assert caught.value.code == -10003
    await terminal.until(lambda: all(is_gone(pid) for pid in terminal.calls("initialize")))


async def test_worker_that_hangs_in_initialize_is_killed_at_the_deadline(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.always("initialize", hang="")
    gateways = Gateways(
        spawn_workers(MODULE, {"path": str(tmp_path)}),
        SystemClock(),
        GatewaySettings(connect_seconds=1.0),
        terminal.on_change,
    )
    with pytest.raises(BrokerTimeout, match="not up within 1 s"):
        await gateways.start()
    pids = terminal.calls("initialize")
    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids)


async def refused(spawning: Awaitable[Any]) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        await spawning
    return caught.value


async def test_worker_that_cannot_import_its_module_says_so(tmp_path: Path) -> None:
    error = await refused(spawn_workers("no_such_module_anywhere", {})("orders"))
    assert "no_such_module_anywhere" in error.text
    assert error.code == -10003


async def test_initialize_that_raises_is_told(tmp_path: Path) -> None:
    error = await refused(spawn_workers(MODULE, {"path": 5})("orders"))
    assert error.code == -10003
    assert "initialize() raised TypeError" in error.text


async def test_worker_that_dies_in_the_handshake_is_a_broker_error(tmp_path: Path) -> None:
    Terminal(tmp_path).always("initialize", exit=1)
    error = await refused(spawn_workers(MODULE, {"path": str(tmp_path)})("orders"))
    assert error.code == -10003
    assert "see its log" in error.text


async def test_a_log_that_cannot_be_opened_keeps_no_gateway_from_starting(tmp_path: Path) -> None:
    gateway = await spawn_workers(MODULE, {"path": str(tmp_path)}, tmp_path / "gone" / "gateway.log")("orders")
    gateway.kill()
    await gateway.reap()


async def test_worker_that_crashes_leaves_its_reason_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    gateway = await spawn_workers(MODULE, {"path": str(tmp_path)}, log)("orders")
    with pytest.raises(ConnectionLost):
        await gateway.request({"id": 1, "calls": [["indescribable", [], {}]], "epoch": None})
    gateway.kill()
    await gateway.reap()
    assert "TypeError: a object from the broker module" in log.read_text()


async def test_worker_that_never_connects_is_noticed_when_it_exits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false" if sys.platform != "win32" else "where.exe")
    error = await refused(spawn_workers(MODULE, {"path": str(tmp_path)})("orders"))
    assert "exited with code" in error.text


async def test_python_that_is_not_there_is_a_broker_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no python"))
    error = await refused(spawn_workers(MODULE, {"path": str(tmp_path)})("orders"))
    assert "no python" in error.text


async def test_stranger_on_the_port_is_turned_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strangers = []

    def start(address: dict[str, Any], log: Path | None) -> Any:
        for words in (b"x" * 64, b"short", b""):
            stranger = socket.create_connection(("127.0.0.1", address["port"]))
            stranger.sendall(words)
            stranger.shutdown(socket.SHUT_WR)
            strangers.append(stranger)
        return original(address, log)

    original = child._start_process
    monkeypatch.setattr(child, "_start_process", start)
    gateway = await spawn_workers(MODULE, {"path": str(tmp_path)})("orders")
    reply = await gateway.request({"id": 1, "calls": [["version", [], {}]], "epoch": None})
    assert reply["results"][0][0] == [500, 4000, "1 Jan 2026"]
    gateway.kill()
    await gateway.reap()
    for stranger in strangers:
        stranger.close()


async def test_spawn_cancelled_at_any_point_leaves_no_process(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.always("initialize", hang="")

    async def spawn() -> None:
        await spawn_workers(MODULE, {"path": str(tmp_path)})("orders")

    early = asyncio.create_task(spawn())
    await asyncio.sleep(0)
    early.cancel()
    with pytest.raises(asyncio.CancelledError):
        await early
    late = asyncio.create_task(spawn())
    await terminal.until(lambda: terminal.calls("initialize"))
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    assert all(is_gone(pid) for pid in terminal.calls("initialize"))


async def test_frames_from_a_worker_gone_mad_end_it(tmp_path: Path) -> None:
    gateway = await spawn_workers(MODULE, {"path": str(tmp_path)})("orders")
    assert isinstance(gateway, Gateway)
    gateway._reader.feed_data(b"\xff\xff\xff\xff")
    assert "something else than a reply" in await gateway.closed()
    with pytest.raises(ConnectionLost):
        await gateway.request({"id": 1, "calls": [], "epoch": None})
    gateway.notify({"raise_epoch": 1})
    gateway.kill()
    await gateway.reap()


ENGINE = """
    import asyncio, os, sys
    from pathlib import Path
    from engine.broker.child import spawn_workers
    from engine.broker.connection import Call, Lane
    from engine.broker.gateway import Gateways
    from engine.clock import SystemClock
    from engine.config import GatewaySettings

    async def main():
        spawn = spawn_workers("tests.unit.broker.fake_terminal", {"path": sys.argv[1]})
        gateways = Gateways(spawn, SystemClock(), GatewaySettings(), lambda change: None)
        await gateways.start()
        Path(sys.argv[1], "ready").touch()
        await gateways.call(Lane.READS, [Call("positions_get")], deadline=60)

    asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a worker that is inside a hung call")
def test_workers_end_with_their_engine_idle_or_hung(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.always("positions_get", hang="")
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(ENGINE), str(tmp_path)]) as engine:
        asyncio.run(terminal.until(lambda: terminal.calls("positions_get")))
        engine.kill()
    pids = terminal.calls("initialize")
    assert len(pids) == 2
    asyncio.run(terminal.until(lambda: all(has_ended(pid) for pid in pids)))
