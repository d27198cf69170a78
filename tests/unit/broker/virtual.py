"""Gateways in one process and in virtual time: a loop whose clock jumps to the next timer, and a scripted terminal."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple

from engine.broker.base import BrokerError
from engine.broker.connection import Call, Connection, ConnectionLost, Frame, GatewayChange, Lane, Result
from engine.broker.gateway import Gateways
from engine.broker.inprocess import connect_in_process
from engine.config import GatewaySettings
from tests.simulation.virtual import VirtualClock, run_virtual

NEVER = math.inf


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario to its end in virtual time."""
    run_virtual(scenario)


class AccountInfo(NamedTuple):
    login: int
    server: str


class Client:
    """A broker module as one gateway sees it."""

    def __init__(self, world: "World", slot: str) -> None:
        self.world = world
        self.slot = slot

    def initialize(self) -> bool:
        return self.world.initialize_error is None

    def last_error(self) -> tuple[int, str]:
        return self.world.initialize_error or (1, "Success")

    def version(self) -> tuple[int, int, str]:
        return (500, 1, "")

    def account_info(self) -> AccountInfo:
        return AccountInfo(7, "Demo")

    def read(self, name: str) -> str:
        self.world.served.append((self.slot, name))
        return name

    def order_send(self, request: Mapping[str, Any]) -> str:
        self.world.served.append((self.slot, request["name"]))
        return str(request["name"])


class World:
    """Two gateways over clients; every delay and fault is set here, by slot."""

    def __init__(self, **settings: float) -> None:
        self.served: list[tuple[str, str]] = []
        self.changes: list[GatewayChange] = []
        self.spawned: list[tuple[float, str]] = []
        self.delay: dict[str, float] = {}
        self.break_before: set[str] = set()
        self.break_after: set[str] = set()
        self.initialize_error: tuple[int, str] | None = None
        self.spawn_delay = 0.0
        self.spawn_errors = 0
        self.connections: dict[str, Connection] = {}
        self.on_change: Callable[[GatewayChange], object] = lambda change: None
        self.gateways = Gateways(
            self._spawn, VirtualClock(asyncio.get_running_loop()), GatewaySettings(**settings), self._told
        )

    async def __aenter__(self) -> "World":
        await self.gateways.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gateways.stop()

    def told(self) -> list[tuple[str, str]]:
        return [(str(change.slot), change.what) for change in self.changes]

    def _told(self, change: GatewayChange) -> None:
        self.changes.append(change)
        self.on_change(change)

    async def _spawn(self, slot: str) -> Connection:
        self.spawned.append((asyncio.get_running_loop().time(), str(slot)))
        if self.spawn_delay:
            await asyncio.sleep(self.spawn_delay)
        if self.spawn_errors:
            self.spawn_errors -= 1
            raise BrokerError("initialize", -10003, "no terminal")

        async def before(_: Frame) -> None:
            if slot in self.break_before:
                self.break_before.discard(slot)
                raise ConnectionLost("the wire broke")
            seconds = self.delay.get(slot, 0.0)
            if seconds == NEVER:
                await asyncio.Event().wait()
            elif seconds:
                await asyncio.sleep(seconds)

        async def after(_: Frame) -> None:
            if slot in self.break_after:
                self.break_after.discard(slot)
                raise ConnectionLost("the answer was lost")

        connection = connect_in_process(Client(self, slot), before=before, after=after)
        self.connections[slot] = connection
        return connection


def now() -> float:
    return asyncio.get_running_loop().time()


def begin(world: World, lane: Lane, name: str, **how: Any) -> "asyncio.Task[list[Result]]":
    how.setdefault("deadline", 2.0)
    call = Call("order_send", ({"name": name},)) if lane is Lane.ORDERS else Call("read", (name,))
    return asyncio.create_task(world.gateways.call(lane, [call], **how))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
