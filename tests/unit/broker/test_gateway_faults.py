"""Random faults from a seed, in virtual time: what must hold whatever happens."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from engine.broker.base import BrokerError, GatewayUnavailable, StaleEpoch
from engine.broker.connection import Call, Lane
from tests.unit.broker.virtual import NEVER, World, run


@pytest.mark.parametrize("seed", range(40))
def test_no_call_is_repeated_none_unanswered_and_both_gateways_come_back(seed: int) -> None:
    async def scenario() -> None:
        chance = random.Random(seed)
        async with World(connect_seconds=5.0, stall_seconds=0.25) as world:
            epoch = 0
            tasks: dict[str, asyncio.Task[Any]] = {}
            void: set[str] = set()

            def begin(name: str) -> None:
                lane = chance.choice(list(Lane))
                opening = lane is Lane.ORDERS and chance.random() < 0.5
                call = Call("order_send", ({"name": name},)) if lane is Lane.ORDERS else Call("read", (name,))
                # A close may be urgent, an opening never is; some openings were prepared in an epoch that is over.
                of_epoch = epoch - chance.choice((0, 0, 1)) if opening else None
                if opening and of_epoch != epoch:
                    void.add(name)
                urgent = not opening and chance.random() < 0.5
                deadline = chance.choice((0.5, 2.0, 10.0))
                tasks[name] = asyncio.create_task(
                    world.gateways.call(lane, [call], deadline=deadline, epoch=of_epoch, urgent=urgent)
                )

            for step in range(150):
                slot = chance.choice(("orders", "reads"))
                match chance.randrange(12):
                    case 0:
                        world.connections[slot].kill()
                    case 1:
                        world.delay[slot] = NEVER
                    case 2 | 3:
                        world.delay[slot] = chance.choice((0.0, 0.01, 0.2, 1.0))
                    case 4:
                        chance.choice((world.break_before, world.break_after)).add(slot)
                    case 5:
                        world.spawn_errors, world.spawn_delay = chance.randrange(3), chance.choice((0.0, 0.3, 6.0))
                    case 6:
                        epoch += 1
                        await world.gateways.raise_epoch(epoch)
                    case 7 if tasks:
                        chance.choice(list(tasks.values())).cancel()
                    case _:
                        begin(f"{step}")
                await asyncio.sleep(chance.choice((0.0, 0.0, 0.05, 0.5)))

            world.delay.clear()
            world.break_before.clear()
            world.break_after.clear()
            world.spawn_errors, world.spawn_delay = 0, 0.0
            outcomes = dict(zip(tasks, await asyncio.gather(*tasks.values(), return_exceptions=True), strict=True))
            # A call on each lane lets a standby answer, so that what hangs may go.
            for lane in Lane:
                await asyncio.gather(
                    world.gateways.call(lane, [Call("read", ("last",))], deadline=5.0), return_exceptions=True
                )
            await asyncio.sleep(20)
            assert [world.gateways.state(lane) for lane in Lane] == ["ready", "ready"]

            served = Counter(name for _, name in world.served if name != "last")
            assert set(served.values()) <= {1}
            assert not void & set(served)
            for name, outcome in outcomes.items():
                if isinstance(outcome, list):
                    assert outcome[0].value == name
                    assert served[name] == 1
                elif isinstance(outcome, (StaleEpoch, GatewayUnavailable)):
                    assert served[name] == 0
                else:
                    assert isinstance(outcome, (BrokerError, asyncio.CancelledError))

    run(scenario())
