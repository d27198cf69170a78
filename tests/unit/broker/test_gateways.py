"""Who serves what, when one gateway hangs, dies or is slow: in virtual time."""

import asyncio

import pytest

from engine.broker.base import BrokerError, BrokerTimeout, GatewayUnavailable, StaleEpoch
from engine.broker.connection import Lane, Result
from tests.unit.broker.virtual import NEVER, World, begin, now, run, settle


def test_each_lane_has_its_own_gateway() -> None:
    async def scenario() -> None:
        async with World() as world:
            assert world.gateways.connected
            read, order = begin(world, Lane.READS, "r"), begin(world, Lane.ORDERS, "o")
            assert (await read)[0] == Result("r", 1, "Success")
            assert (await order)[0].value == "o"
            assert world.served == [("reads", "r"), ("orders", "o")]
            assert world.gateways.restarts == 0
        assert world.gateways.state(Lane.ORDERS) == "down"
        assert not world.gateways.connected

    run(scenario())


def test_hung_read_does_not_delay_an_order() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.delay["reads"] = NEVER
            read = begin(world, Lane.READS, "r")
            await settle()
            start = now()
            await begin(world, Lane.ORDERS, "o")
            assert now() == start
            read.cancel()

    run(scenario())


def test_timeout_sends_waiting_and_new_calls_to_the_standby_at_once() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.delay["reads"] = NEVER
            world.spawn_delay = 1.0
            stuck = begin(world, Lane.READS, "stuck", deadline=2.0)
            await settle()
            waiting = begin(world, Lane.READS, "waiting", deadline=3.0)
            start = now()
            with pytest.raises(BrokerTimeout) as caught:
                await stuck
            assert caught.value.code == -10005
            assert now() - start == pytest.approx(2.0)
            assert world.gateways.state(Lane.READS) == "hung"
            assert (await waiting)[0].value == "waiting"
            assert (await begin(world, Lane.READS, "new"))[0].value == "new"
            assert now() - start == pytest.approx(2.0)
            assert world.served == [("orders", "waiting"), ("orders", "new")]

    run(scenario())


def test_hung_gateway_is_killed_only_after_the_standby_has_answered() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.delay["reads"] = NEVER
            with pytest.raises(BrokerTimeout):
                await begin(world, Lane.READS, "stuck", deadline=1.0)
            await asyncio.sleep(5)
            assert world.gateways.state(Lane.READS) == "hung"
            assert len(world.spawned) == 2
            world.delay.clear()
            await begin(world, Lane.ORDERS, "o")
            await settle()
            assert world.gateways.state(Lane.READS) == "ready"
            assert world.gateways.restarts == 1
            assert world.told()[2:] == [("reads", "hung"), ("reads", "lost"), ("reads", "started")]
            assert (await begin(world, Lane.READS, "r"))[0].value == "r"
            assert world.served[-1] == ("reads", "r")

    run(scenario())


def test_hung_gateway_is_killed_at_last_when_nobody_asks_the_standby() -> None:
    async def scenario() -> None:
        async with World(connect_seconds=7.0) as world:
            world.delay["orders"] = NEVER
            with pytest.raises(BrokerTimeout):
                await begin(world, Lane.ORDERS, "stuck", deadline=1.0)
            await asyncio.sleep(6.9)
            assert world.gateways.state(Lane.ORDERS) == "hung"
            await asyncio.sleep(0.2)
            assert world.gateways.state(Lane.ORDERS) == "ready"

    run(scenario())


def test_when_the_standby_hangs_too_both_are_killed_and_calls_fail_at_once_until_one_is_back() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.delay.update(orders=NEVER, reads=NEVER)
            stuck = begin(world, Lane.ORDERS, "stuck", deadline=1.0)
            read = begin(world, Lane.READS, "read", deadline=2.0)
            world.spawn_delay = 0.5
            for task in (stuck, read):
                with pytest.raises(BrokerTimeout):
                    await task
            await settle()
            assert not world.gateways.connected
            assert [world.gateways.state(lane) for lane in Lane] == ["starting", "starting"]
            with pytest.raises(GatewayUnavailable) as caught:
                await begin(world, Lane.ORDERS, "o")
            assert caught.value.code == -10004
            world.delay.clear()
            await asyncio.sleep(0.6)
            assert (await begin(world, Lane.ORDERS, "o"))[0].value == "o"
            assert world.gateways.restarts == 2

    run(scenario())


def test_hung_gateway_is_killed_when_its_standby_dies() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.delay["orders"] = NEVER
            with pytest.raises(BrokerTimeout):
                await begin(world, Lane.ORDERS, "stuck", deadline=1.0)
            world.connections["reads"].kill()
            await settle()
            assert [world.gateways.state(lane) for lane in Lane] == ["ready", "ready"]
            assert world.gateways.restarts == 2

    run(scenario())


def test_urgent_call_goes_through_the_standby_when_its_gateway_stalls() -> None:
    async def scenario() -> None:
        async with World(stall_seconds=0.25) as world:
            world.delay["orders"] = NEVER
            begin(world, Lane.ORDERS, "opening", deadline=10.0).add_done_callback(lambda task: task.exception())
            await settle()
            start = now()
            ordinary = begin(world, Lane.ORDERS, "ordinary", deadline=20.0)
            await begin(world, Lane.ORDERS, "close", urgent=True, deadline=10.0)
            assert now() - start == pytest.approx(0.25)
            assert world.served == [("reads", "close")]
            # The gateway is known to stall now: the next one does not wait again.
            await begin(world, Lane.ORDERS, "close 2", urgent=True, deadline=10.0)
            assert now() - start == pytest.approx(0.25)
            assert world.gateways.state(Lane.ORDERS) == "busy"
            assert not ordinary.done()
            ordinary.cancel()

    run(scenario())


def test_urgent_call_behind_many_short_ones_leaves_its_lane_after_the_stall_time() -> None:
    async def scenario() -> None:
        async with World(stall_seconds=0.25) as world:
            world.delay["orders"] = 0.1
            closes = [begin(world, Lane.ORDERS, f"c{number}", urgent=True) for number in range(6)]
            await asyncio.gather(*closes)
            assert [name for slot, name in world.served if slot == "reads"] == ["c3", "c4", "c5"]

    run(scenario())


def test_urgent_calls_overtake_waiting_openings_in_their_own_order() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.delay["orders"] = 0.05
            tasks = [begin(world, Lane.ORDERS, "a"), begin(world, Lane.ORDERS, "b"), begin(world, Lane.ORDERS, "c")]
            await settle()
            tasks += [begin(world, Lane.ORDERS, name, urgent=True) for name in ("x", "y")]
            await asyncio.gather(*tasks)
            assert world.served == [("orders", name) for name in "axybc"]

    run(scenario())


def test_waiting_past_the_deadline_is_not_sent() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.delay["orders"] = 5.0
            first = begin(world, Lane.ORDERS, "first", deadline=10.0)
            await settle()
            with pytest.raises(GatewayUnavailable, match=r"no gateway was free within 1 s"):
                await begin(world, Lane.ORDERS, "second", deadline=1.0)
            await first
            await asyncio.sleep(10)
            assert world.served == [("orders", "first")]

    run(scenario())


def test_deadline_counts_from_when_a_gateway_takes_the_call() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.delay["reads"] = 1.5
            first, second = begin(world, Lane.READS, "1", deadline=2.0), begin(world, Lane.READS, "2", deadline=2.0)
            await first
            await second

    run(scenario())


def test_raised_epoch_voids_waiting_openings_and_those_on_their_way() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.delay["orders"] = 0.5
            taken = begin(world, Lane.ORDERS, "taken", epoch=1)
            await settle()
            waiting = begin(world, Lane.ORDERS, "waiting", epoch=1)
            closing = begin(world, Lane.ORDERS, "closing")
            await settle()
            await world.gateways.raise_epoch(2)
            with pytest.raises(StaleEpoch):
                await waiting
            with pytest.raises(StaleEpoch):
                await taken
            await closing
            with pytest.raises(StaleEpoch):
                await begin(world, Lane.ORDERS, "late", epoch=1)
            await begin(world, Lane.ORDERS, "current", epoch=2)
            assert world.served == [("orders", "closing"), ("orders", "current")]

    run(scenario())


def test_opening_of_an_older_epoch_does_not_even_reach_a_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with World() as world:
            for connection in world.connections.values():
                monkeypatch.setattr(connection, "notify", lambda frame: None)
            await world.gateways.raise_epoch(2)
            with pytest.raises(StaleEpoch):
                await begin(world, Lane.ORDERS, "late", epoch=1)
            assert world.served == []

    run(scenario())


def test_epoch_never_falls_and_later_gateways_know_it() -> None:
    async def scenario() -> None:
        async with World() as world:
            await world.gateways.raise_epoch(5)
            await world.gateways.raise_epoch(3)
            world.connections["orders"].kill()
            await settle()
            # Past the engine's own check, straight to the new gateway.
            reply = await world.connections["orders"].request(
                {"id": 1, "calls": [["order_send", [{"name": "old"}], {}]], "epoch": 4}
            )
            assert reply == {"id": 1, "refused": "epoch"}
            assert world.served == []

    run(scenario())


def test_cancelled_call_that_waits_is_never_sent() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.delay["orders"] = 0.5
            first, second = begin(world, Lane.ORDERS, "1"), begin(world, Lane.ORDERS, "2")
            await settle()
            second.cancel()
            await first
            await asyncio.sleep(5)
            assert world.served == [("orders", "1")]

    run(scenario())


def test_call_cancelled_in_the_very_step_its_turn_comes_is_not_sent() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.delay["orders"] = NEVER
            first, second = begin(world, Lane.ORDERS, "1"), begin(world, Lane.ORDERS, "2")
            await settle()
            # Told of the loss, the engine gives up the second call; its turn at the standby comes before its task runs.
            world.on_change = lambda change: second.cancel()
            world.connections["orders"].kill()
            with pytest.raises(BrokerError):
                await first
            await settle()
            assert second.cancelled()
            assert world.served == []

    run(scenario())


def test_call_cancelled_in_flight_leaves_a_sound_gateway() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.delay["orders"] = 0.5
            first = begin(world, Lane.ORDERS, "1")
            await settle()
            first.cancel()
            assert (await begin(world, Lane.ORDERS, "2"))[0].value == "2"
            assert world.served == [("orders", "1"), ("orders", "2")]

    run(scenario())


@pytest.mark.parametrize("executed", [False, True])
def test_death_in_flight_is_an_unknown_outcome_and_what_waits_moves_to_the_standby(executed: bool) -> None:
    async def scenario() -> None:
        async with World() as world:
            world.spawn_delay = 1.0
            world.delay["orders"] = 0.1
            (world.break_after if executed else world.break_before).add("orders")
            lost, waiting = begin(world, Lane.ORDERS, "lost"), begin(world, Lane.ORDERS, "waiting")
            with pytest.raises(BrokerError, match="not known") as caught:
                await lost
            assert type(caught.value) is BrokerError
            assert caught.value.code == -10002
            await waiting
            assert world.served == [("orders", "lost")] * executed + [("reads", "waiting")]
            assert world.changes[2].reason in ("the wire broke", "the answer was lost")
            assert world.gateways.state(Lane.ORDERS) == "starting"

    run(scenario())


def test_answer_that_makes_no_sense_costs_the_gateway_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with World() as world:

            async def nonsense(_: object) -> object:
                return {"id": 1}

            monkeypatch.setattr(world.connections["orders"], "request", nonsense)
            with pytest.raises(BrokerError, match="results") as caught:
                await begin(world, Lane.ORDERS, "o")
            assert caught.value.code == -10002
            await settle()
            assert world.gateways.restarts == 1

    run(scenario())
