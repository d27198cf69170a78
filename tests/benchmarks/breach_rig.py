"""The real processes of a breach: an engine on the benchmark's broker module, consoles in terminals of their own, and a
console that never reads. Linux only: it counts on one monotonic clock for all processes.
"""

import array
import asyncio
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from engine.config import state_folder
from engine.control.address import control_address
from engine.control.client import ControlClient
from engine.control.errors import EngineUnreachable
from engine.control.messages import Reset, Stop
from tests.benchmarks.breach_board import Board
from tests.benchmarks.breach_terminal import BOARD_VARIABLE, LOGIN, SERVER

PROFILE = "bench"
MODULE = "tests.benchmarks.breach_terminal"
ROOT = Path(__file__).parents[2]
_ROWS, _COLUMNS = 60, 160
_START_SECONDS = 30.0
_FULL_SECONDS = 4.0
"""How long snapshots go to somebody who does not read before every buffer on the way is full."""


class Console:
    """The real console in a pseudo terminal of its own, with its table of positions on the screen."""

    def __init__(self) -> None:
        self.painted = 0
        """Bytes read from the terminal."""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from console.cli import main; main()", "--profile", PROFILE],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(slave)
        self._reading = threading.Event()
        self._reading.set()
        self._over = False
        self._seen = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    async def ready(self) -> None:
        """Wait until it shows the account, then have it show the positions."""
        await _until(lambda: str(LOGIN).encode() in self._seen, "the console shows the account")
        self._seen = b""
        os.write(self._master, b"2")
        await _until(lambda: b"NZDUSD" in self._seen, "the console shows the positions")

    async def stop_reading(self) -> None:
        """Read the terminal no more, and wait until the console gets nothing more into it."""
        self._reading.clear()
        before = -1
        while (now := self._unread()) != before or not now:
            before = now
            await asyncio.sleep(_FULL_SECONDS)

    def _unread(self) -> int:
        """The bytes that wait in the terminal."""
        size = array.array("i", [0])
        fcntl.ioctl(self._master, termios.FIONREAD, size)
        return size[0]

    def freeze(self) -> None:
        """Stop the console's process as Ctrl-Z does."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self._over = True
        self._reading.set()
        self._reader.join()
        os.close(self._master)

    def _read(self) -> None:
        while not self._over:
            self._reading.wait()
            if not select.select([self._master], [], [], 0.2)[0]:
                continue
            try:
                read = os.read(self._master, 1 << 16)
            except OSError:
                return
            self.painted += len(read)
            self._seen = (self._seen + read)[-(1 << 20) :]


class DeadClient:
    """A console that asked for the stream and everything in the journal, and never reads a byte of it."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    async def connect(self) -> None:
        """Attach, if the engine has not got it any more, and wait until nothing fits into the socket."""
        if self._socket is not None and not _is_hung_up(self._socket):
            return
        self.close()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(address())
        self._socket.sendall(
            b"GET /v1/stream?after=0 HTTP/1.1\r\nHost: quarterdeck\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await asyncio.sleep(_FULL_SECONDS)

    def close(self) -> None:
        """Go away."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


@contextmanager
def console() -> Iterator[Console]:
    """A console for as long as the block lasts."""
    running = Console()
    try:
        yield running
    finally:
        running.close()


def address() -> str:
    """Where the engine of the benchmark answers."""
    return control_address(state_folder(PROFILE))


@asynccontextmanager
async def engine(home: Path) -> AsyncIterator[tuple[Board, ControlClient]]:
    """A running engine on a board, with nothing attached, and a client that is silent until it is used."""
    os.environ["QUARTERDECK_HOME"] = str(home)
    os.environ[BOARD_VARIABLE] = str(home / "board")
    profiles = home / "profiles"
    profiles.mkdir()
    (profiles / f"{PROFILE}.toml").write_text(f'[account]\nlogin = {LOGIN}\nserver = "{SERVER}"\n')
    board = Board.create(home / "board")
    process = _start_engine(home / "engine.log")
    try:
        async with ControlClient(address(), "bench") as client:
            await _answering(client, process)
            yield board, client
            await client.send(Stop(), "the benchmark is over")
    except BaseException:
        print((home / "engine.log").read_text(), file=sys.stderr)
        raise
    finally:
        try:
            await asyncio.to_thread(process.wait, 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        board.close()


def _start_engine(log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as printed:
        return subprocess.Popen(
            [sys.executable, "-m", "engine", "--profile", PROFILE, "--terminal", MODULE],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            cwd=ROOT,
            start_new_session=True,
        )


async def restored(board: Board, client: ControlClient, positions: int) -> None:
    """Have the engine flat, reset and in sight of this many new positions."""
    if (await client.snapshot()).engine.mode == "HALTED":
        result = await client.send(Reset(), "the next trial")
        if not result.accepted:
            raise RuntimeError(f"the engine was not reset: {result.message}")
    board.restore(positions)
    while len((await client.snapshot()).positions) != positions:  # noqa: ASYNC110 - another process sees them
        await asyncio.sleep(0.05)


async def halted(client: ControlClient) -> None:
    """Wait until the flatten is over."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        snapshot = await client.snapshot()
        if snapshot.engine.mode == "HALTED":
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"not halted after {_START_SECONDS:g} s: {snapshot.flatten}")
        await asyncio.sleep(0.05)


async def _answering(client: ControlClient, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            if (await client.snapshot()).reading.validity == "VALID":
                return
        except EngineUnreachable:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.1)


async def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"it has not happened within {_START_SECONDS:g} s that {what}")
        await asyncio.sleep(0.02)


def _is_hung_up(connection: socket.socket) -> bool:
    """Whether the other end has gone, found without reading."""
    poll = select.poll()
    poll.register(connection, select.POLLHUP)
    return bool(poll.poll(0))
