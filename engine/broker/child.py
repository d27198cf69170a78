"""One gateway as a child process: start it, shake hands, pass frames, kill it, reap it.

The wire is loopback TCP with a one-time token, not the child's standard streams: under Wine a terminal that the child
has started inherits those, and their end would come with the terminal's. Nothing here waits for a stream to end, and
nothing blocks the event loop.
"""

import asyncio
import contextlib
import hmac
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import IO, Any, cast

from engine import frames
from engine.alerts.addresses import without_addresses
from engine.broker.base import BrokerError
from engine.broker.codes import LastError
from engine.broker.connection import Connection, ConnectionLost, Frame, Spawn

_TOKEN_BYTES = 32
_TOKEN_SECONDS = 1.0
_LIMIT = 1 << 20
"""Bytes that are buffered before the child is made to wait."""
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Gateway:
    """A worker process with an initialised broker module, one call in flight at a time."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        account: str,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._account = account
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen(), name=f"gateway {process.pid}")

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid

    @property
    def account(self) -> str:
        """ "login@server" at initialisation."""
        return self._account

    async def request(self, frame: Frame) -> Any:
        """Send a request and return its reply. Raises ConnectionLost. A late reply to a cancelled one is dropped."""
        if self._end.done():
            raise ConnectionLost(self._end.result())
        reply = self._pending[frame["id"]] = asyncio.get_running_loop().create_future()
        self._writer.write(frames.encode(frame))
        try:
            return await reply
        finally:
            self._pending.pop(frame["id"], None)

    def notify(self, frame: Frame) -> None:
        """Send a frame that has no reply."""
        if not self._end.done():
            self._writer.write(frames.encode(frame))

    def kill(self) -> None:
        """Kill the child and close the wire."""
        self._process.kill()
        self._close("killed")

    async def closed(self) -> str:
        """Wait for the end and return why."""
        return await asyncio.shield(self._end)

    async def reap(self) -> None:
        """Wait until the child's process is gone from the system."""
        await _exit_code(self._process)
        await self._listening
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _listen(self) -> None:
        try:
            while True:
                reply = await frames.read(self._reader)
                waiting = self._pending.pop(reply["id"], None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(reply)
        except (EOFError, OSError) as error:
            self._close(f"the gateway process went away: {error}")
        except (frames.FrameError, LookupError, TypeError) as error:
            self._close(f"the gateway process sent something else than a reply: {error}")

    def _close(self, reason: str) -> None:
        if self._end.done():
            return
        self._end.set_result(reason)
        for waiting in self._pending.values():
            if not waiting.done():
                waiting.set_exception(ConnectionLost(reason))
        self._writer.transport.abort()


def spawn_workers(module: str, initialize: Mapping[str, Any], log: Path | None = None) -> Spawn:
    """Return a Spawn that starts worker processes with the broker module `module`.

    `initialize` are the keyword arguments of its initialize(), passed over the wire only: they may hold a password.
    `log` takes the children's standard error.
    """

    async def spawn(slot: str) -> Connection:
        try:
            return await _spawn({"module": module, "initialize": dict(initialize), "epoch": 0}, log)
        except (EOFError, OSError, frames.FrameError) as error:
            raise BrokerError(
                "initialize", LastError.E_INTERNAL_FAIL_INIT, f"gateway {slot}: {error}; see its log"
            ) from error

    return spawn


async def _spawn(hello: Mapping[str, Any], log: Path | None) -> Gateway:
    token = secrets.token_hex(_TOKEN_BYTES).encode("ascii")
    with contextlib.ExitStack() as on_failure, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setblocking(False)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        process = await _launch({"port": listener.getsockname()[1], "token": token.decode()}, log)
        try:
            reader, writer = await _unless_it_exits(process, _accept(listener, token, on_failure))
            writer.write(frames.encode(hello))
            greeting = await frames.read(reader)
            if not greeting["ready"]:
                code, text = greeting["error"]
                raise BrokerError("initialize", code, text)
        except BaseException:
            await _end(process)
            raise
        on_failure.pop_all()
    login, server = greeting["login"], greeting["server"]
    return Gateway(process, reader, writer, "" if login is None else f"{login}@{server}")


async def _launch(address: Mapping[str, Any], log: Path | None) -> "subprocess.Popen[bytes]":
    """Start the child in a thread: creating a process takes long enough on Windows to be seen in a guard cycle."""
    launching = asyncio.get_running_loop().run_in_executor(None, _start_process, address, log)
    try:
        return await asyncio.shield(launching)
    except asyncio.CancelledError:
        await _end(await launching)
        raise


def _start_process(address: Mapping[str, Any], log: Path | None) -> "subprocess.Popen[bytes]":
    # A group of its own: Ctrl+C in the engine's terminal must not reach the gateways.
    apart: dict[str, Any]
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    else:
        apart = {"start_new_session": True}
    with contextlib.ExitStack() as stack:
        errors: int | IO[bytes] = subprocess.DEVNULL
        # On a disk that takes nothing any more it starts without: there may be something to close.
        with contextlib.suppress(OSError):
            errors = stack.enter_context(log.open("ab")) if log is not None else errors
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "engine.broker.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            close_fds=True,
            env=without_addresses(os.environ),
            **apart,
        )
    line = cast(IO[bytes], process.stdin)
    # A child that is already dead does not read it; its exit is noticed where its connection is awaited.
    with contextlib.suppress(OSError), line:
        line.write(json.dumps(address).encode() + b"\n")
    return process


async def _exit_code(process: "subprocess.Popen[bytes]") -> int:
    """Wait for a process without a thread and without waiting for its streams."""
    pause = 0.001
    while (code := process.poll()) is None:
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.05)
    return code


async def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and wait until it is gone, however often the waiting is cancelled: no zombie may stay behind."""
    process.kill()
    exiting = asyncio.create_task(_exit_code(process))
    while not exiting.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(exiting)


async def _unless_it_exits(process: "subprocess.Popen[bytes]", accepting: Coroutine[Any, Any, _Streams]) -> _Streams:
    """Await the child's connection; raise BrokerError if the child ends first."""
    connecting = asyncio.create_task(accepting)
    exiting = asyncio.create_task(_exit_code(process))
    try:
        await asyncio.wait({connecting, exiting}, return_when=asyncio.FIRST_COMPLETED)
        if connecting.done():
            return connecting.result()
        raise BrokerError(
            "initialize", LastError.E_INTERNAL_FAIL_INIT, f"the gateway process exited with code {exiting.result()}"
        )
    finally:
        connecting.cancel()
        exiting.cancel()
        await asyncio.gather(connecting, exiting, return_exceptions=True)


async def _accept(listener: socket.socket, token: bytes, on_failure: contextlib.ExitStack) -> _Streams:
    """Return the connection of the peer that knows the token; others are turned away."""
    while True:
        peer, _ = await asyncio.get_running_loop().sock_accept(listener)
        reader, writer = await asyncio.open_connection(sock=peer, limit=_LIMIT)
        on_failure.callback(writer.transport.abort)
        # A peer that says nothing, too little, or goes away is as unknown as one with a wrong token.
        with contextlib.suppress(TimeoutError, EOFError, ConnectionError):
            async with asyncio.timeout(_TOKEN_SECONDS):
                if hmac.compare_digest(await reader.readexactly(len(token)), token):
                    # asyncio does this only for sockets that name their protocol. Without it a close that follows a
                    # raised epoch, which has no answer, waits for the child's delayed acknowledgement: 40 ms.
                    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    return reader, writer
        writer.transport.abort()
