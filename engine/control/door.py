"""The door of the shared socket: how many connections one user of the machine may hold open there.

In: connections. Out: those within the bounds go to the server, the others end at once. Whoever can reach the socket,
listed or not, could else take every descriptor of the engine, and with them its owner's socket, journal and gateways.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from aiohttp import web

from engine.control.peer import peer_uid

MOST_OF_A_USER = 160
MOST_OF_ALL = 480


class DooredSite(web.SockSite):
    """A site whose connections are counted by the uid that the operating system states."""

    def __init__(self, runner: web.AppRunner, sock: socket.socket) -> None:
        super().__init__(runner, sock)
        self._listener = sock
        self._inside: list[tuple[int | None, asyncio.Transport]] = []

    async def start(self) -> None:
        """Begin to listen."""
        await web.BaseSite.start(self)
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner must have been set up before its site")
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Door(self._enters, server), sock=self._listener)

    def _enters(self, uid: int | None, transport: asyncio.Transport) -> bool:
        self._inside = [(of, other) for of, other in self._inside if not other.is_closing()]
        if len(self._inside) >= MOST_OF_ALL or sum(of == uid for of, _ in self._inside) >= MOST_OF_A_USER:
            return False
        self._inside.append((uid, transport))
        return True


class _Door(asyncio.Protocol):
    def __init__(
        self, enters: Callable[[int | None, asyncio.Transport], bool], server: Callable[[], asyncio.Protocol]
    ) -> None:
        self._enters = enters
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = cast(asyncio.Transport, transport)
        if not self._enters(peer_uid(made.get_extra_info("socket")), made):
            made.abort()
            return
        handler = self._server()
        made.set_protocol(handler)
        handler.connection_made(made)
