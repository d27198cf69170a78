"""Decisions that need two operators: one name twice, a restart or an earlier halt does not make one of them two."""

import asyncio
from pathlib import Path
from typing import Any

from engine.control import messages as wire
from engine.control.target import Operator
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.state import EngineMode
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, world

ANN, BOB = Operator("ann", "console"), Operator("bob", "cli", via="ssh ::1 port 5")
EYES: dict[str, Any] = {"control": {"four_eyes_reset": True, "four_eyes_lots": 0.5}}


async def by(made: World, operator: Operator, action: wire.Action, reason: str = "why") -> wire.CommandResult:
    identifier = f"{made.ids.getrandbits(64):016x}"
    return await made.target.execute(wire.Command(id=identifier, action=action, reason=reason), operator)


async def halted(made: World) -> None:
    assert (await by(made, ANN, wire.Flatten())).accepted
    await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)


def test_a_large_approval_waits_for_another_name_and_a_small_one_does_not(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=EYES) as made:
            small = await made.engine.proposals.take(made.buy(volume=0.49))
            assert (await by(made, ANN, wire.Approve(signal=small.id, version=1))).accepted
            large = await made.engine.proposals.take(made.buy(volume=0.5, expires_seconds=2000))
            approve = wire.Approve(signal=large.id, version=1)
            for _ in range(2):
                waits = await by(made, ANN, approve)
                assert not waits.accepted
                assert "waits for a second operator" in waits.message
            (notice,) = made.target.snapshot().engine.notices
            assert f"A SECOND OPERATOR IS WANTED for approving {large.id}: ann asked" in notice
            shown = next(one for one in made.target.snapshot().signals if one.id == large.id)
            assert (shown.state, shown.reason) == ("PENDING", "approved by ann: waits for a second operator")
            assert (await by(made, BOB, approve)).accepted
            approved = (await made.events("signal_approved"))[-1]
            assert (approved["operator"], approved["first_operator"], approved["via"]) == ("bob", "ann", BOB.via)
            assert len(await made.events("second_operator_wanted")) == 1

    run_virtual(run())


def test_what_was_asked_holds_ten_minutes_and_for_that_signal_only(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=EYES) as made:
            signals = [await made.engine.proposals.take(made.buy(expires_seconds=2000)) for _ in range(2)]
            first, second = (wire.Approve(signal=signal.id, version=1) for signal in signals)
            assert not (await by(made, ANN, first)).accepted
            assert not (await by(made, BOB, second)).accepted
            assert not (await by(made, BOB, wire.Approve(signal=signals[0].id, version=2))).accepted
            await asyncio.sleep(601)
            assert made.target.snapshot().engine.notices == []
            assert not (await by(made, BOB, first)).accepted
            assert "than bob" in (await by(made, BOB, first)).message
            assert await made.events("signal_approved") == []

    run_virtual(run())


def test_a_reset_waits_for_another_name_in_the_same_halt_and_a_restart_forgets_it(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(seed=1))
        reset, keep = wire.Reset(), wire.Reset(baseline="keep")
        async with world(tmp_path, settings=EYES, terminal=terminal) as made:
            await halted(made)
            assert not (await by(made, ANN, keep)).accepted
            assert not (await by(made, ANN, reset)).accepted
            assert (await by(made, BOB, reset)).accepted
            changed = (await made.events("mode_changed"))[-1]
            assert (changed["operator"], changed["first_operator"]) == ("bob", "ann")
            await halted(made)
            # Ann has asked for it, but of the halt before.
            assert not (await by(made, BOB, keep)).accepted
            await made.crash()
        async with world(tmp_path, settings=EYES, terminal=terminal) as again:
            await again.until(lambda: again.engine.cycle.facts is not None)
            waits = await by(again, ANN, keep)
            assert "waits for a second operator" in waits.message
            assert again.engine.modes.mode is EngineMode.HALTED

    run_virtual(run())
