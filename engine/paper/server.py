"""The paper terminal's process: lets the market run and answers clients on a loopback socket.

In: frames (engine/frames.py); the first one of a connection must hold the token of the address file. Out: one reply
to each request. Connections with the role "mt5" reach MT5's functions, those with "control" the control calls; never
the other way. What a fault plan delays, leaves without an answer or cuts is waited for and cut here. A client that
does not read, or dies, holds up nobody else. The process ends when asked to, or when nobody has been connected for a
while.
"""

import asyncio
import hmac
import json
import math
import os
import secrets
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine import frames
from engine.paper.faultplan import read_fault
from engine.paper.market import MarketError
from engine.paper.store import StateError
from engine.paper.terminal import PaperTerminal
from engine.paper.transport import HOST, ROLE_CONTROL, ROLE_MT5, Address, write_address

TICK_SECONDS = 0.02
CATCH_UP_TICKS = 2000
"""At most so many ticks are taken at a stretch, so that a fast market does not hold up the clients."""
GREETING_SECONDS = 5.0
MAX_GREETING_BYTES = 1024


class PaperServer:
    """Serves one terminal until `stop`, SIGTERM (see __main__) or `idle_seconds` without a client.

    `listening` is set once the address file is there.
    """

    def __init__(self, terminal: PaperTerminal, address_file: Path, idle_seconds: float) -> None:
        self._terminal = terminal
        self._address_file = address_file
        self._idle_seconds = idle_seconds
        self._token = secrets.token_hex(32)
        self.listening = asyncio.Event()
        self._stopping = asyncio.Event()
        self._failure: StateError | MarketError | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._lines: set[asyncio.Task[None]] = set()
        """The connections that a restart of the terminal cuts."""
        self._restarts = terminal.lines
        self._clients = 0
        self._last_used = 0.0
        self._controls: dict[str, Callable[..., Any]] = {
            "step": terminal.step,
            "status": terminal.status,
            "shutdown": self.stop,
            "fault": lambda values: terminal.add_fault(read_fault(values)),
            "end_fault": terminal.faults.end,
            "faults": terminal.faults.hits,
            "ledger": terminal.ledger,
            "cash": terminal.cash,
        }

    def stop(self) -> bool:
        """End `run` soon. Always True."""
        self._stopping.set()
        return True

    async def run(self) -> None:
        """Serve. Raises StateError when the state file can no longer be written, MarketError when the replayed file has
        been changed: the process must end then.
        """
        loop = asyncio.get_running_loop()
        self._last_used = loop.time()
        server = await asyncio.start_server(self._accept, HOST, 0)
        address = Address(server.sockets[0].getsockname()[1], self._token, os.getpid())
        write_address(self._address_file, address)
        self.listening.set()
        try:
            await self._run_market()
        finally:
            self._address_file.unlink(missing_ok=True)
            server.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            await server.wait_closed()
        if self._failure is not None:
            raise self._failure

    async def _run_market(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            caught_up = self._terminal.advance_to(loop.time(), CATCH_UP_TICKS)
            if self._restarts != self._terminal.lines:
                self._restarts = self._terminal.lines
                for line in self._lines:
                    line.cancel()
            if self._clients:
                self._last_used = loop.time()
            elif loop.time() - self._last_used >= self._idle_seconds:
                return
            if caught_up:
                # The event, not a sleep: stopping takes effect at once.
                try:
                    await asyncio.wait_for(self._stopping.wait(), TICK_SECONDS)
                except TimeoutError:
                    continue
            else:
                await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection outside of a task")
        self._connections.add(task)
        try:
            role = await self._greet(reader, writer)
            if role is not None:
                self._clients += 1
                if role == ROLE_MT5:
                    self._lines.add(task)
                try:
                    await self._serve(role, reader, writer)
                finally:
                    self._clients -= 1
                    self._lines.discard(task)
        except (OSError, EOFError, frames.FrameError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # The client went away or talks nonsense, or the process ends: only this connection is over.
            return
        except (StateError, MarketError) as failure:
            self._failure = failure
            self.stop()
        except Exception:  # a request that hits a bug ends its own connection; the market must go on
            traceback.print_exc(file=sys.stderr)
        finally:
            self._connections.discard(task)
            # Not close(): what a client that does not read left behind is thrown away.
            writer.transport.abort()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str | None:
        """Return the role of a connection that knows the token, else None."""
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                # A stranger must not make us hold a large frame.
                size: int = struct.unpack(">I", await reader.readexactly(4))[0]
                if size > MAX_GREETING_BYTES:
                    return None
                greeting = json.loads(await reader.readexactly(size))
        except (TimeoutError, ValueError, RecursionError):
            return None
        if not isinstance(greeting, dict) or not isinstance(greeting.get("token"), str):
            return None
        if not hmac.compare_digest(greeting["token"].encode("utf-8", "replace"), self._token.encode()):
            return None
        role = greeting.get("role")
        if role not in (ROLE_MT5, ROLE_CONTROL) or (role == ROLE_MT5 and self._terminal.away):
            return None
        writer.write(frames.encode({"ok": True}))
        await writer.drain()
        return str(role)

    async def _serve(self, role: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            request = await frames.read(reader)
            if not isinstance(request, dict) or not isinstance(request.get("call"), str):
                return
            if self._stopping.is_set():
                return
            self._terminal.advance_to(loop.time(), CATCH_UP_TICKS)
            if role == ROLE_MT5:
                if self._terminal.away:
                    return
                answer = await self._answer(request, reader)
            else:
                answer = self._control(request)
            if answer is None:
                return
            result, error = answer
            writer.write(frames.encode({"id": request["id"], "result": result, "error": error}))
            await writer.drain()

    async def _answer(
        self, request: dict[str, Any], reader: asyncio.StreamReader
    ) -> tuple[Any, tuple[int, str]] | None:
        """Carry out an MT5 call as the fault plan has it. None: the line is to be cut."""
        terminal, name = self._terminal, request["call"]
        plan = terminal.begin(name)
        if plan.before:
            await asyncio.sleep(plan.before)
        answer = terminal.handle(name, request["args"], request["kwargs"], plan)
        if math.isinf(plan.after):
            # Nothing comes any more but the end of the line.
            await reader.read(1)
            return None
        if plan.after:
            await asyncio.sleep(plan.after)
        return None if plan.cut else answer

    def _control(self, request: dict[str, Any]) -> tuple[Any, tuple[int, str]]:
        """Carry out a control call. What is wrong with it is said in the answer."""
        control = self._controls.get(request["call"])
        if control is None:
            return None, (-2, f"no control call {request['call']!r}; expected one of {', '.join(self._controls)}")
        try:
            return control(*request["args"]), (1, "Success")
        except (ValueError, TypeError) as problem:
            return None, (-2, str(problem))
