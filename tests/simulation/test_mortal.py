"""An engine that dies of a commit tells nobody of it: what was on the disk by then counts for the judge."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

from engine.control import messages as wire
from engine.events import Event, EventType
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.state import EngineMode
from tests.simulation.campaign import SETTLE_SECONDS, Campaign
from tests.simulation.mortal import Life
from tests.simulation.test_execution import is_opening
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


def test_a_flatten_and_a_cancelled_close_that_were_answered_for_survive_a_kill_right_after(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        faults = {"order_send": lambda honest, request: honest(request) if is_opening(request) else None}
        life = Life(random.Random(1), Counter(), chance=0.0, send_chance=0.0)
        async with world(tmp_path, terminal=terminal, faults=faults, life=life) as made:
            await made.bought()
            started = await made.command(wire.Close(scope=wire.SymbolScope(symbol="EURUSD")))
            assert (await made.command(wire.CancelClose(id=started.data["closing"]), "no")).accepted
            life.die("killed")
            await made.crash()
        life = Life(random.Random(1), Counter(), chance=0.0, send_chance=0.0)
        async with world(tmp_path, terminal=terminal, faults=faults, life=life) as again:
            assert [job.state for job in again.engine.closings.all()] == ["CANCELLED"]
            assert (await again.command(wire.Flatten(), "storm")).accepted
            life.die("killed")
            await again.crash()
        async with world(tmp_path, terminal=terminal) as third:
            await third.until(lambda: third.engine.modes.mode is EngineMode.HALTED)
            assert third.engine.modes.state.halt_reason == "storm"
        terminal.shutdown()

    run_virtual(run())
