"""A gateway without a process, for simulation in virtual time: the worker's own dispatcher, called on the event loop.

Deterministic and without threads. Hooks before and after execution let a simulation delay a call, hang it, or lose its
answer (by raising ConnectionLost, or by never returning). As with a real worker, a caller that gives up does not stop
the call: only `kill` does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from engine.broker.base import BrokerError
from engine.broker.connection import Connection, ConnectionLost, Frame
from engine.broker.worker import Dispatcher, greet

Hook = Callable[[Frame], Awaitable[None]]


async def _pass_on(frame: Frame) -> None:
    """Neither delay nor fault."""


class InProcessGateway:
    """A Connection over a module-like object in this process."""

    def __init__(self, dispatcher: Dispatcher, account: str, before: Hook, after: Hook) -> None:
        self._dispatcher = dispatcher
        self._account = account
        self._before = before
        self._after = after
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._turn = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def pid(self) -> int | None:
        """None: it has no process."""
        return None

    @property
    def account(self) -> str:
        """ "login@server" at initialisation."""
        return self._account

    async def request(self, frame: Frame) -> Any:
        """Execute a request in its turn. Raises ConnectionLost when killed before the answer is out."""
        if self._end.done():
            raise ConnectionLost(self._end.result())
        running = asyncio.create_task(self._execute(frame))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        await asyncio.wait({running, self._end}, return_when=asyncio.FIRST_COMPLETED)
        if self._end.done():
            raise ConnectionLost(self._end.result())
        reply = running.result()
        if isinstance(reply, ConnectionLost):
            raise reply
        return reply

    def notify(self, frame: Frame) -> None:
        """Raise the dispatcher's epoch, whatever is running."""
        self._dispatcher.raise_epoch(frame["raise_epoch"])

    def kill(self) -> None:
        """End it: what has not been executed never will be."""
        if not self._end.done():
            self._end.set_result("killed")
        for running in self._running:
            running.cancel()

    async def closed(self) -> str:
        """Wait for the end and return why."""
        return await asyncio.shield(self._end)

    async def reap(self) -> None:
        """Wait until no call is left running."""
        if self._running:
            await asyncio.wait(self._running)

    async def _execute(self, frame: Frame) -> Any:
        """Return the reply, or the ConnectionLost of a hook: the caller may be gone by then."""
        async with self._turn:
            try:
                await self._before(frame)
                reply = self._dispatcher.execute(frame)
                await self._after(frame)
            except ConnectionLost as lost:
                return lost
            await asyncio.sleep(0)
        return reply


def connect_in_process(
    module: Any,
    initialize: Mapping[str, Any] | None = None,
    *,
    before: Hook = _pass_on,
    after: Hook = _pass_on,
) -> Connection:
    """Initialise a broker module, or an object with its interface, and return a Connection to it.

    `before` and `after` are awaited around the execution of each request. Raises BrokerError when initialize() fails.
    """
    greeting = greet(module, initialize or {})
    if not greeting["ready"]:
        code, text = greeting["error"]
        raise BrokerError("initialize", code, text)
    account = "" if greeting["login"] is None else f"{greeting['login']}@{greeting['server']}"
    return InProcessGateway(Dispatcher(module), account, before, after)
