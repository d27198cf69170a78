"""The main job in one process, in virtual time: propose, approve, fill, watch, flatten, halt, reset."""

from pathlib import Path

from engine.control import messages as wire
from engine.signals import SignalState
from engine.state import EngineMode
from tests.simulation.virtual import run_virtual
from tests.simulation.world import world


def test_from_a_proposal_to_a_flat_account_and_back_to_paused(tmp_path: Path) -> None:
    async def session() -> None:
        async with world(tmp_path) as made:
            engine = made.engine
            assert made.target.snapshot().engine.mode == "RUNNING"
            signal = await engine.proposals.take(made.buy())
            assert made.target.snapshot().signals[0].state == "PENDING"
            assert (await made.approve(signal)).accepted
            await made.until(lambda: engine.cycle.reading.positions)
            position = engine.cycle.reading.positions[0]  # type: ignore[index]  # just seen
            assert (position.volume, position.sl, position.magic) == (0.5, signal.sl, signal.magic)
            executed = (await made.events("trade_executed"))[0]
            assert executed["state"] == SignalState.EXECUTED
            assert executed["approval_to_send_ms"] >= 0
            assert (await made.command(wire.Flatten(), "enough")).accepted
            await made.until(lambda: engine.modes.mode is EngineMode.HALTED)
            view = made.target.snapshot()
            assert view.positions == []
            assert view.flatten is not None
            assert view.flatten.statement.startswith("flat, confirmed by the broker at ")
            assert view.engine.halt_reason == "enough"
            refused = await made.command(wire.Resume())
            assert not refused.accepted
            assert not (await made.command(wire.Reset())).accepted
            assert (await made.command(wire.Reset(), "looked into it")).accepted
            assert made.target.snapshot().engine.mode == "PAUSED"
            assert (await made.command(wire.Resume())).accepted
            assert made.target.snapshot().engine.mode == "RUNNING"

    run_virtual(session())
