"""The in-process gateway behaves as a worker process does: only a kill stops a call."""

import asyncio

import pytest

from engine.broker.base import BrokerError
from engine.broker.connection import ConnectionLost
from tests.unit.broker.virtual import World, run

REQUEST = {"id": 1, "calls": [["order_send", [{"name": "o"}], {}]], "epoch": None}


def test_call_goes_on_when_its_caller_gives_up() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.delay["orders"] = 1.0
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(world.connections["orders"].request(REQUEST), 0.5)
            await asyncio.sleep(1)
            assert world.served == [("orders", "o")]

    run(scenario())


def test_kill_ends_a_call_that_was_not_executed_yet_for_good() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.delay["orders"] = 1.0
            connection = world.connections["orders"]
            asking = asyncio.create_task(connection.request(REQUEST))
            await asyncio.sleep(0.5)
            connection.kill()
            with pytest.raises(ConnectionLost, match="killed"):
                await asking
            with pytest.raises(ConnectionLost, match="killed"):
                await connection.request(REQUEST)
            await connection.reap()
            await asyncio.sleep(1)
            assert world.served == []
            assert connection.pid is None

    run(scenario())


def test_calls_are_served_one_after_the_other() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.delay["orders"] = 1.0
            connection = world.connections["orders"]
            start = asyncio.get_running_loop().time()
            await asyncio.gather(connection.request(REQUEST), connection.request({**REQUEST, "id": 2}))
            assert asyncio.get_running_loop().time() - start == pytest.approx(2.0)

    run(scenario())


def test_terminal_that_is_not_there_is_told() -> None:
    async def scenario() -> None:
        world = World()
        world.initialize_error = (-10003, "IPC initialize failed")
        with pytest.raises(BrokerError, match="IPC initialize failed"):
            await world._spawn("orders")

    run(scenario())
