"""The terminal as a process: its socket, its clients, its end."""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import frames
from engine.paper.__main__ import main
from engine.paper.client import PaperClient
from engine.paper.control import PaperControl
from engine.paper.server import MAX_GREETING_BYTES, PaperServer
from engine.paper.store import StateError
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.paper.transport import HOST, Address, AddressError, read_address, write_address
from tests.unit.paper.markets import ScriptedMarket, deal

TICKS = [("EURUSD", 1.10 + place / 1000, 1.11 + place / 1000) for place in range(50)]


async def begin(server: PaperServer) -> asyncio.Task[None]:
    running = asyncio.create_task(server.run())
    await server.listening.wait()
    return running


@contextlib.asynccontextmanager
async def served(terminal: PaperTerminal, address: Path, idle_seconds: float = 60.0) -> AsyncIterator[PaperServer]:
    server = PaperServer(terminal, address, idle_seconds)
    running = await begin(server)
    try:
        yield server
    finally:
        server.stop()
        await running
        terminal.shutdown()


@pytest.fixture
def address(tmp_path: Path) -> Path:
    return tmp_path / "terminal.json"


def stepped() -> PaperTerminal:
    return PaperTerminal(ScriptedMarket(TICKS), speed=None)


async def there(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Make a blocking call beside the server's loop."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def test_client_trades_over_the_socket(address: Path) -> None:
    async with served(stepped(), address):
        client = PaperClient()
        assert await there(client.initialize, path=str(address))
        sent = await there(client.order_send, deal("buy", 0.1, comment="über"))
        assert (sent.retcode, sent.request.comment) == (10009, "über")
        (position,) = await there(client.positions_get)
        assert position.ticket == sent.order
        assert len(await there(client.copy_ticks_from, "EURUSD", 0, 10, -1)) == 1
        assert await there(client.symbol_info, "NOSUCH") is None
        assert client.last_error() == (-4, "Terminal: Not found")
        assert client.shutdown() is True


async def test_two_clients_share_one_account(address: Path) -> None:
    async with served(stepped(), address):
        one, other = PaperClient(), PaperClient()
        assert await there(one.initialize, str(address))
        assert await there(other.initialize, str(address))
        ticket = (await there(one.order_send, deal("buy", 0.1))).order
        assert [position.ticket for position in await there(other.positions_get)] == [ticket]
        assert (await there(other.order_send, deal("sell", 0.1, position=ticket))).retcode == 10009
        assert await there(one.positions_get) == ()
        one.shutdown()
        assert await there(other.account_info) is not None
        other.shutdown()


async def test_control_steps_reports_and_ends(address: Path) -> None:
    terminal = stepped()
    running = await begin(PaperServer(terminal, address, 60.0))
    control = await PaperControl.connect(address)
    assert await control.step() is False
    status = await control.status()
    assert (status.symbol, status.symbols, status.ticks, status.speed) == ("EURUSD", ["EURUSD"], 2, "max")
    assert (status.bid, status.finished, status.server) == (1.101, False, "Quarterdeck-Paper")
    assert status.time == "2026-01-05T08:00:01.000000Z"
    steps = [await control.step() for _ in range(48)]
    assert steps == [False] * 47 + [True]
    await control.shutdown()
    await running
    with pytest.raises(EOFError, match="gone"):
        await control.step()
    await control.shutdown()
    await control.close()
    with pytest.raises(FileNotFoundError):
        await PaperControl.connect(address)
    terminal.shutdown()


async def test_answer_to_a_control_call_that_was_given_up_is_not_taken_for_another(address: Path) -> None:
    async with served(stepped(), address):
        control = await PaperControl.connect(address)
        given_up = asyncio.create_task(control.step())
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert (await control.status()).ticks == 2
        await control.close()


async def test_control_call_fails_when_the_terminal_dies_under_it(address: Path) -> None:
    received = asyncio.Event()

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await frames.read(reader)
        writer.write(frames.encode({"ok": True}))
        await frames.read(reader)
        received.set()
        writer.transport.abort()

    server = await asyncio.start_server(die, HOST, 0)
    write_address(address, Address(server.sockets[0].getsockname()[1], "any", 1))
    control = await PaperControl.connect(address)
    with pytest.raises(EOFError, match="gone"):
        await control.status()
    assert received.is_set()
    await control.close()
    server.close()


async def test_control_refuses_a_server_that_greets_otherwise(address: Path) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await frames.read(reader)
        writer.write(frames.encode("hello"))
        writer.close()

    server = await asyncio.start_server(other, HOST, 0)
    write_address(address, Address(server.sockets[0].getsockname()[1], "any", 1))
    with pytest.raises(ValueError, match="refused: hello"):
        await PaperControl.connect(address)
    client = PaperClient()
    assert not await there(client.initialize, str(address))
    assert "refused: hello" in client.last_error()[1]
    server.close()


async def test_market_runs_by_itself_at_a_speed(address: Path) -> None:
    async with served(PaperTerminal(ScriptedMarket(TICKS), speed=1000.0), address):
        control = await PaperControl.connect(address)
        while not (await control.status()).finished:  # noqa: ASYNC110 - the market is behind a socket
            await asyncio.sleep(0.005)
        await control.close()


async def test_fast_market_lets_clients_through(address: Path) -> None:
    async with served(PaperTerminal.open(TerminalConfig(speed=100_000.0)), address):
        control = await PaperControl.connect(address)
        first = await control.status()
        second = await control.status()
        assert second.ticks >= first.ticks
        assert (await control.status()).ticks > 3
        await control.close()


def raw(address: Path, greeting: bytes) -> socket.socket:
    connection = socket.create_connection((HOST, read_address(address).port))
    connection.settimeout(10)
    connection.sendall(greeting)
    return connection


def greeting(address: Path, role: str) -> bytes:
    return frames.encode({"token": read_address(address).token, "role": role})


def closed(connection: socket.socket) -> bool:
    with connection:
        try:
            return connection.recv(1) == b""
        except ConnectionResetError:
            return True


async def test_strangers_are_turned_away(address: Path) -> None:
    async with served(stepped(), address):
        wrong = [
            frames.encode({"token": "guess", "role": "mt5"}),
            frames.encode({"token": 5, "role": "mt5"}),
            frames.encode(["token"]),
            greeting(address, "admin"),
            struct.pack(">I", 4) + b"\xff\xfe{}",
            struct.pack(">I", MAX_GREETING_BYTES + 1),
        ]
        for first in wrong:
            connection = await there(raw, address, first)
            assert await there(closed, connection)
        connection = await there(raw, address, b"\x00")
        connection.close()
        client = PaperClient()
        assert await there(client.initialize, str(address))
        client.shutdown()


async def test_stranger_who_says_nothing_is_dropped(address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.paper.server.GREETING_SECONDS", 0.01)
    async with served(stepped(), address):
        assert await there(closed, await there(raw, address, b""))


async def test_mt5_connection_cannot_reach_control_calls_nor_the_other_way(address: Path) -> None:
    terminal = stepped()
    async with served(terminal, address):

        def ask(role: str, call: Any) -> Any:
            with raw(address, greeting(address, role)) as connection:
                assert frames.receive(connection) == {"ok": True}
                connection.sendall(frames.encode({"id": 1, "call": call, "args": [], "kwargs": {}}))
                return frames.receive(connection)

        for call in ("step", "status", "shutdown"):
            assert (await there(ask, "mt5", call))["error"] == [-1, "Terminal: Call failed"]
        assert terminal.ticks == 1
        answer = await there(ask, "control", "account_info")
        assert answer["result"] is None
        assert answer["error"][1].startswith("no control call 'account_info'; expected one of step, status")
        with pytest.raises((EOFError, OSError)):
            await there(ask, "control", 5)


async def test_request_that_hits_a_bug_ends_its_own_connection_only(
    address: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with served(stepped(), address):

        def ask() -> Any:
            with raw(address, greeting(address, "mt5")) as connection:
                frames.receive(connection)
                connection.sendall(frames.encode({"id": 1, "call": "symbol_info", "args": [], "kwargs": {"x": 1}}))
                return frames.receive(connection)

        other = PaperClient()
        assert await there(other.initialize, str(address))
        with pytest.raises((EOFError, OSError)):
            await there(ask)
        assert await there(other.account_info) is not None
        other.shutdown()
    assert "TypeError" in capfd.readouterr().err


async def test_client_that_does_not_read_costs_the_others_nothing(address: Path) -> None:
    async with served(PaperTerminal.open(TerminalConfig()), address):
        deaf = await there(raw, address, greeting(address, "mt5"))
        deaf.setblocking(False)
        request = frames.encode({"id": 1, "call": "symbols_get", "args": [], "kwargs": {}})
        with contextlib.suppress(BlockingIOError):
            for _ in range(200_000):
                deaf.send(request)
        client = PaperClient()
        assert await there(client.initialize, str(address))
        for _ in range(20):
            assert await there(client.account_info) is not None
        client.shutdown()
        deaf.close()


async def test_server_ends_when_nobody_came(address: Path) -> None:
    terminal = stepped()
    await PaperServer(terminal, address, idle_seconds=0.01).run()
    assert not await there(address.exists)
    terminal.shutdown()


async def test_server_stays_while_a_silent_client_is_connected(address: Path) -> None:
    running = await begin(PaperServer(stepped(), address, idle_seconds=0.05))
    control = await PaperControl.connect(address)
    done, _ = await asyncio.wait({running}, timeout=0.2)
    assert not done
    await control.close()
    await running


async def test_server_ends_when_its_state_can_no_longer_be_written(address: Path, tmp_path: Path) -> None:
    terminal = PaperTerminal(ScriptedMarket(TICKS), speed=None, state=tmp_path)
    outside = sqlite3.connect(tmp_path / f"paper-{terminal.login}.db")
    outside.execute("CREATE TRIGGER full BEFORE INSERT ON ledger BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    outside.commit()
    outside.close()
    running = await begin(PaperServer(terminal, address, 60.0))
    client = PaperClient()
    assert await there(client.initialize, str(address))
    assert await there(client.order_send, deal("buy", 0.1)) is None
    assert client.last_error() == (-10002, "IPC recv failed")
    with pytest.raises(StateError, match="disk full"):
        await running
    assert not terminal.alive


def test_file_that_is_changed_under_the_replay_ends_the_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "EURUSD.csv"
    lines = [f"2026-01-05T10:00:{second:02}Z,1.1,1.2\n" for second in range(60)]
    path.write_text("".join(lines))
    started = PaperTerminal.open

    def open_and_spoil(config: TerminalConfig, state: Path | None = None) -> PaperTerminal:
        terminal = started(config, state)
        path.write_text("".join(lines[:2]) + "x" * 5000)
        # What was buffered is gone too: the market goes on from its place in the file.
        terminal.market.resume(terminal.market.position())
        return terminal

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PaperTerminal, "open", open_and_spoil)
        code = main(["--address", str(tmp_path / "a.json"), "--replay", str(path), "--speed", "100"])
    assert code == 1
    assert f"cannot go on: {path}, line 3" in capsys.readouterr().err


def test_address_file_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "terminal.json"
    write_address(path, Address(1234, "secret", 1))
    write_address(path, Address(4321, "other", 1))
    assert read_address(path) == Address(4321, "other", 1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["terminal.json"]
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600
    path.write_text('{"port": 1}')
    with pytest.raises(AddressError, match="port, token and pid"):
        read_address(path)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--speed", "0"],
        ["--speed", "fast"],
        ["--balance", "-1"],
        ["--balance", "nan"],
        ["--currency", "usd"],
        ["--leverage", "0"],
        ["--commission-per-lot", "-0.5"],
        ["--stop-out-percent", "inf"],
    ],
)
def test_bad_argument_exits_with_2(wrong: list[str], address: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--address", str(address), *wrong])
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_bad_file_exits_with_2_and_says_line_and_expectation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "EURUSD.csv"
    path.write_text("2026-01-05T10:00:00Z,1.1,1.2\n2026-01-05T10:00:01Z;1.1;1.2\n")
    assert main(["--address", str(tmp_path / "a.json"), "--replay", str(path)]) == 2
    assert (
        f"{path}, line 2: found '2026-01-05T10:00:01Z;1.1;1.2', expected timestamp,bid,ask" in capsys.readouterr().err
    )


def test_main_serves_until_idle_and_exits_with_0(tmp_path: Path) -> None:
    arguments = ["--address", str(tmp_path / "new" / "a.json"), "--state", str(tmp_path), "--idle-seconds", "0.01"]
    assert main([*arguments, "--speed", "max", "--commission-per-lot", "0"]) == 0
    assert len(list(tmp_path.glob("paper-*.db"))) == 1


def test_unusable_state_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "state"
    state.write_text("a file, not a folder")
    assert main(["--address", str(tmp_path / "a.json"), "--state", str(state)]) == 1
    assert "state" in capsys.readouterr().err


class Process:
    """`python -m engine.paper` on a state folder."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.address = folder / "terminal.json"
        self.address.unlink(missing_ok=True)
        command = [sys.executable, "-m", "engine.paper", "--address", str(self.address), "--state", str(folder)]
        self._process = subprocess.Popen([*command, "--idle-seconds", "60", *more], stderr=subprocess.PIPE, text=True)

    def client(self) -> PaperClient:
        deadline = time.monotonic() + 30
        client = PaperClient()
        while not client.initialize(str(self.address)):
            assert self._process.poll() is None, self.end()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return client

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[int, str]:
        _, said = self._process.communicate(timeout=30)
        return self._process.returncode, said

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=30)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def begin(*more: str) -> Process:
        started.append(Process(tmp_path, *more))
        return started[-1]

    yield begin
    for process in started:
        process.stop()


posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@posix
def test_kill_9_at_any_request_keeps_the_account(start: Callable[..., Process]) -> None:
    expected: list[Any] = []
    for round_ in range(3):
        process = start("--commission-per-lot", "3")
        client = process.client()
        if expected:
            found = [client.account_info().balance, client.history_deals_get(0, 2**33)]
            assert found == expected
            assert {done.position_id for done in found[1][1:]} == {held.ticket for held in client.positions_get()}
        assert client.order_send(deal("buy", 0.01 + round_ / 100)).retcode == 10009
        expected = [client.account_info().balance, client.history_deals_get(0, 2**33)]
        process.send(signal.SIGKILL)
        process.end()
        assert client.account_info() is None
        assert client.last_error()[0] in (-10001, -10002)
        assert client.account_info() is None
        assert client.last_error() == (-10004, "No IPC connection")
    assert len(expected[1]) == 4


@posix
def test_sigterm_ends_cleanly(start: Callable[..., Process]) -> None:
    process = start()
    client = process.client()
    process.send(signal.SIGTERM)
    assert process.end() == (0, "")
    assert not process.address.exists()
    client.shutdown()


def test_second_process_on_the_same_state_is_refused(start: Callable[..., Process], tmp_path: Path) -> None:
    client = start().client()
    for taken in (["--address", str(tmp_path / "other.json")], ["--state", str(tmp_path / "other")]):
        command = [sys.executable, "-m", "engine.paper", "--address", str(tmp_path / "terminal.json")]
        ran = subprocess.run(
            [*command, "--state", str(tmp_path), *taken], capture_output=True, text=True, check=False, timeout=30
        )
        assert ran.returncode == 1
        assert "another paper terminal is running here" in ran.stderr
    assert client.account_info() is not None
    client.shutdown()
