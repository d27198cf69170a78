"""The live stream: snapshots to every console, the latest only; events to each, all of them, in order.

One publisher encodes a snapshot once for all. Each client has a slot for the newest snapshot, a place in the journal,
and a task of its own that sends; nothing else ever waits for a client. A client that does not read for 30 seconds is
dropped.
"""

import asyncio
import logging
from collections.abc import Callable

from aiohttp import WSCloseCode, web

from engine.control.messages import StreamMessage
from engine.control.target import ControlTarget, Visitor

EVENTS_PER_MESSAGE = 100
MAX_CLIENTS = 64
_MAX_INCOMING_BYTES = 1024
_CLOSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


class _Client:
    """One attached stream: the snapshot waiting for it and the last event it was sent."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        after: int,
        admitted: Callable[[], bool],
    ) -> None:
        self.socket = socket
        self.admitted = admitted
        self.sent = after
        self.snapshot: str | None = None
        self.wake = asyncio.Event()
        self._transport = transport

    def drop(self) -> None:
        """End the connection without waiting for anything; its handler then sees the end and cleans up."""
        if self._transport is not None:
            self._transport.abort()


class StreamHub:
    """All attached streams. `interval` is the seconds between snapshots, `stall` how long a client may not read."""

    def __init__(self, target: ControlTarget, *, interval: float, stall: float = 30.0) -> None:
        self._target = target
        self._interval = interval
        self._stall = stall
        self._clients: set[_Client] = set()
        self._publisher: asyncio.Task[None] | None = None
        self._newest = 0
        self._closing = False

    @property
    def full(self) -> bool:
        """Whether there are as many streams as are served."""
        return len(self._clients) >= MAX_CLIENTS

    @property
    def closing(self) -> bool:
        """Whether no stream is taken any more, since the engine stops."""
        return self._closing

    async def serve(
        self, request: web.Request, after: int | None, visitor: Visitor, admitted: Callable[[], bool]
    ) -> web.WebSocketResponse:
        """Stream to one client until it leaves. Events begin behind `after`; None: behind the newest one.

        `admitted` is asked all the time whether it may stay, since a token can be taken away.
        """
        socket = web.WebSocketResponse(compress=False, max_msg_size=_MAX_INCOMING_BYTES, timeout=_CLOSE_SECONDS)
        await socket.prepare(request)
        client = _Client(socket, request.transport, self._target.snapshot().seq if after is None else after, admitted)
        self._clients.add(client)
        feeder = asyncio.create_task(self._feed(client), name="control stream feeder")
        if self._publisher is None or self._publisher.done():
            self._publisher = asyncio.create_task(self._publish(), name="control stream publisher")
        self._target.arrived(visitor)
        try:
            async for _ in socket:
                await socket.close(
                    code=WSCloseCode.UNSUPPORTED_DATA, message=b"nothing is read here: POST /v1/commands"
                )
        finally:
            self._clients.discard(client)
            self._target.left(visitor)
            feeder.cancel()
            await asyncio.wait((feeder,))
        return socket

    async def close(self) -> None:
        """End every stream with "going away", which tells a console that the engine was stopped and has not died."""
        self._closing = True
        if self._publisher is not None:
            self._publisher.cancel()
            await asyncio.wait((self._publisher,))
        await asyncio.gather(*(self._farewell(client) for client in tuple(self._clients)))

    async def _publish(self) -> None:
        try:
            while self._clients:
                snapshot = self._target.snapshot()
                text = f'{{"snapshot":{snapshot.model_dump_json()}}}'
                self._newest = max(self._newest, snapshot.seq)
                for client in self._clients:
                    if not client.admitted():
                        client.drop()
                        continue
                    client.snapshot = text
                    client.wake.set()
                await asyncio.sleep(self._interval)
        except Exception:
            _log.exception("no snapshot can be made: every stream is dropped")
            for client in self._clients:
                client.drop()

    async def _feed(self, client: _Client) -> None:
        try:
            while True:
                await client.wake.wait()
                client.wake.clear()
                text, client.snapshot = client.snapshot, None
                if text is not None:
                    await self._send(client, text)
                if client.sent < self._newest:
                    await self._send_events(client)
        except TimeoutError:
            _log.warning("a console that has not read for %.0f s was dropped", self._stall)
            client.drop()
        except ConnectionError:
            client.drop()
        except Exception:
            _log.exception("a stream cannot go on: it is dropped")
            client.drop()

    async def _send_events(self, client: _Client) -> None:
        page = await self._target.events(client.sent, EVENTS_PER_MESSAGE)
        if not page.events:
            return
        await self._send(client, StreamMessage(events=page.events).model_dump_json(exclude={"snapshot"}))
        client.sent = page.events[-1].seq
        if client.sent < page.last_seq:
            client.wake.set()

    async def _send(self, client: _Client, text: str) -> None:
        async with asyncio.timeout(self._stall):
            await client.socket.send_str(text)

    async def _farewell(self, client: _Client) -> None:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await client.socket.close(code=WSCloseCode.GOING_AWAY, message=b"the engine is stopping")
        except (TimeoutError, ConnectionError):
            client.drop()
