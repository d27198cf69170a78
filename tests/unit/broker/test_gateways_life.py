"""How gateways start, come back and stop: in virtual time."""

import asyncio
from typing import Any

import pytest

from engine.broker.base import BrokerError, GatewayUnavailable
from engine.broker.connection import Lane
from engine.broker.gateway import Gateways
from tests.simulation.virtual import VirtualClock
from tests.unit.broker.virtual import NEVER, World, begin, now, run, settle


def test_replacements_are_spaced_by_a_back_off_that_a_long_life_resets() -> None:
    async def scenario() -> None:
        async with World() as world:

            async def die_and_return() -> float:
                died, up = now(), asyncio.Event()
                world.on_change = lambda change: up.set() if change.what == "started" else None
                world.connections["reads"].kill()
                await up.wait()
                return world.spawned[-1][0] - died

            waits = [await die_and_return() for _ in range(7)]
            assert waits == pytest.approx([0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 5.0])
            await asyncio.sleep(30)
            assert await die_and_return() == pytest.approx(0.0)

    run(scenario())


def test_failed_replacement_is_told_and_tried_again() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.spawn_errors = 2
            world.connections["orders"].kill()
            await settle()
            assert world.gateways.state(Lane.ORDERS) == "down"
            await asyncio.sleep(1.0)
            assert world.gateways.state(Lane.ORDERS) == "ready"
            assert world.told()[2:] == [
                ("orders", "lost"),
                ("orders", "failed"),
                ("orders", "failed"),
                ("orders", "started"),
            ]
            assert "no terminal" in world.changes[3].reason
            assert world.changes[2].account == "7@Demo"
            assert world.changes[2].pid is None

    run(scenario())


def test_replacement_that_hangs_in_initialize_is_given_up() -> None:
    async def scenario() -> None:
        async with World(connect_seconds=3.0) as world:
            world.spawn_delay = 100.0
            world.connections["orders"].kill()
            await asyncio.sleep(3.1)
            assert world.told()[-1] == ("orders", "failed")
            assert "not up within 3 s" in world.changes[-1].reason

    run(scenario())


def test_start_fails_with_the_brokers_reason_and_leaves_nothing() -> None:
    async def scenario() -> None:
        world = World()
        world.initialize_error = (-10003, "IPC initialize failed, MetaTrader 5 x64 not found")
        with pytest.raises(BrokerError, match="not found") as caught:
            await world.gateways.start()
        assert caught.value.code == -10003
        assert not world.gateways.connected

    run(scenario())


def test_start_kills_the_one_that_came_up_when_the_other_does_not() -> None:
    async def scenario() -> None:
        world = World()
        world.spawn_errors = 1
        with pytest.raises(BrokerError):
            await world.gateways.start()
        assert await world.connections["reads"].closed() == "killed"

    run(scenario())


def test_a_start_after_one_that_failed_replaces_what_dies_as_ever() -> None:
    async def scenario() -> None:
        world = World()
        world.spawn_errors = 1
        with pytest.raises(BrokerError):
            await world.gateways.start()
        await world.gateways.start()
        world.connections["orders"].kill()
        await settle()
        await asyncio.sleep(1.0)
        assert world.gateways.state(Lane.ORDERS) == "ready"
        assert world.gateways.restarts == 1
        await world.gateways.stop()

    run(scenario())


def test_stop_answers_everybody_and_stays_stopped() -> None:
    async def scenario() -> None:
        world = World()
        await world.gateways.start()
        world.delay["orders"] = NEVER
        flying, waiting = begin(world, Lane.ORDERS, "flying"), begin(world, Lane.ORDERS, "waiting")
        await settle()
        await world.gateways.stop()
        with pytest.raises(BrokerError) as caught:
            await flying
        assert caught.value.code == -10002
        with pytest.raises(GatewayUnavailable):
            await waiting
        with pytest.raises(GatewayUnavailable):
            await begin(world, Lane.ORDERS, "after")
        await asyncio.sleep(60)
        assert len(world.spawned) == 2
        await world.gateways.stop()

    run(scenario())


def test_fault_in_the_listener_is_reported_not_swallowed() -> None:
    async def scenario() -> None:
        world = World()
        reports: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        told = 0

        def on_change(_: object) -> None:
            nonlocal told
            told += 1
            if told > 2:
                raise ZeroDivisionError

        gateways = Gateways(world._spawn, VirtualClock(asyncio.get_running_loop()), world.gateways._settings, on_change)
        await gateways.start()
        world.connections["orders"].kill()
        await settle()
        assert isinstance(reports[0]["exception"], ZeroDivisionError)
        await gateways.stop()

    run(scenario())
