"""An engine that dies of a commit tells nobody of it: what was on the disk by then counts for the judge."""

import asyncio
import random
from pathlib import Path
from typing import Any

from engine.events import Event, EventType
from tests.simulation.campaign import SETTLE_SECONDS, Campaign
from tests.simulation.mortal import Life
from tests.simulation.virtual import run_virtual
from tests.simulation.world import world


def test_an_outcome_is_known_once_it_is_on_the_disk_though_the_engine_died_of_it(tmp_path: Path) -> None:
    campaign = Campaign(1, tmp_path)

    def committed(event: Event) -> None:
        campaign.committed(event)
        if event.event_type is EventType.TRADE_EXECUTED:
            life._chance = 1.0

    life = Life(random.Random(1), campaign._hits, chance=0.0, send_chance=0.0, committed=committed)

    async def run() -> None:
        async with world(tmp_path, terminal=campaign.terminal, life=life, note=campaign.note) as made:
            signal = await made.engine.proposals.take(made.buy())
            request: dict[str, Any] = {"symbol": signal.symbol, "magic": signal.magic + 1}
            campaign._doubt[signal.symbol] = (signal.magic, asyncio.get_running_loop().time())
            campaign._is_alone(request)
            assert len(campaign.verdict.problems) == 1
            assert (await made.approve(signal)).accepted
            await asyncio.wait({made.running})
        assert asyncio.get_running_loop().time() < SETTLE_SECONDS
        campaign._is_alone(request)
        assert len(campaign.verdict.problems) == 1
        assert campaign._hits["killed after a commit"] == 1

    run_virtual(run())
    campaign.terminal.shutdown()
