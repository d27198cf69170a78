"""The drawdown guard in a running engine: trips, closes, latches, survives."""

import asyncio
import math
from pathlib import Path
from typing import Any

from engine.broker.connection import Frame
from engine.control import messages as wire
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.readings import Validity
from engine.state import EngineMode
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, world

TIGHT = {"drawdown": {"limit_percent": 1.0}}


async def lose(made: World) -> None:
    """Open a position far too large and wait for the market to take one percent."""
    await made.bought(volume=5.0, distance=0.05)
    await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED, 40_000.0)


def test_at_the_limit_everything_is_closed_and_the_account_is_halted(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=TIGHT) as made:
            await lose(made)
            tripped = (await made.events("guard_tripped"))[0]
            assert tripped["equity"] <= tripped["floor"]
            assert made.target.snapshot().positions == []
            assert "drawdown" in (made.target.snapshot().engine.halt_reason or "")
            kinds = [event["kind"] for event in await made.events()]
            assert kinds.index("guard_tripped") < kinds.index("flatten_started") < kinds.index("flatten_finished")
            closed = (await made.events("position_closed"))[0]
            assert closed["how"] == "closed by a program"

    run_virtual(run())


def test_field_03_peak_and_halt_survive_a_crash_and_no_restart_unlatches(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal, settings=TIGHT) as made:
            await lose(made)
            peak = made.target.snapshot().drawdown
            await made.crash()
        for _ in range(2):
            async with world(tmp_path, terminal=terminal, settings=TIGHT) as again:
                assert again.engine.modes.mode is EngineMode.HALTED
                view = again.target.snapshot()
                assert view.drawdown is not None
                assert peak is not None
                assert view.drawdown.peak == peak.peak
                assert not (await again.command(wire.Resume())).accepted
                await again.crash()
        async with world(tmp_path, terminal=terminal, settings=TIGHT) as last:
            equity = last.engine.cycle.reading.equity
            assert (await last.command(wire.Reset(), "accepted the loss")).accepted
            await last.crash()
        async with world(tmp_path, terminal=terminal, settings=TIGHT) as after:
            assert after.engine.modes.mode is EngineMode.PAUSED
            drawdown = after.target.snapshot().drawdown
            assert drawdown is not None
            assert drawdown.peak == equity
        terminal.shutdown()

    run_virtual(run())


def test_a_new_peak_is_found_again_after_a_crash(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal) as made:
            await made.bought(volume=0.5, distance=0.05)
            await made.until(lambda: made.engine.cycle.committed_peak > 10_000.0, 40_000.0)
            await made.until(lambda: made.engine.cycle.reading.equity < made.engine.cycle.committed_peak - 5, 40_000.0)
            peak = made.engine.cycle.guard.state.peak
            await made.crash()
        async with world(tmp_path, terminal=terminal) as again:
            assert again.engine.cycle.reading.equity < peak
            assert again.engine.cycle.guard.state.peak == peak
        terminal.shutdown()

    run_virtual(run())


def test_field_04_readings_that_lie_trip_nothing_move_nothing_and_block_entries(tmp_path: Path) -> None:
    faults: dict[str, Any] = {}

    def lying(**changes: Any) -> Any:
        def account_info(honest: Any) -> Any:
            info = honest()
            return _Struct({**info._asdict(), **changes})

        return account_info

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            before = made.engine.cycle.guard.state.peak
            for changes in (
                {"equity": math.nan, "profit": math.nan},
                {"equity": 0.0, "balance": 0.0, "profit": 0.0},
                {"equity": 1.0},
                {"equity": 5_000.0, "balance": 5_000.0, "profit": 0.0, "login": 999},
                {"equity": 90_000.0, "balance": 90_000.0, "profit": 0.0, "server": "Elsewhere"},
            ):
                faults["account_info"] = lying(**changes)
                await made.until(lambda: made.engine.cycle.reading.validity is Validity.INVALID)
                await made.until(lambda: made.engine.gate.account_refusal() is not None)
                await made.until(lambda: made.engine.cycle.blind)
                assert "BLIND" in made.target.snapshot().engine.notices[0]
                faults.clear()
                await made.until(lambda: not made.engine.cycle.blind)
            assert made.engine.modes.mode is EngineMode.RUNNING
            assert made.engine.cycle.guard.state.peak == before
            assert len(await made.events("reading_blind")) == 5
            assert len(await made.events("reading_restored")) == 5

    run_virtual(run())


def test_a_silent_broker_is_blind_never_flattened(tmp_path: Path) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            await made.bought()
            faults["account_info"] = lambda honest: None
            await made.until(lambda: made.engine.cycle.blind)
            view = made.target.snapshot()
            assert view.reading.validity == "INVALID"
            assert view.reading.age_seconds is not None
            assert view.reading.age_seconds > 5.0
            assert view.engine.mode == "RUNNING"
            assert len(view.positions) == 1

    run_virtual(run())


def test_a_hung_read_does_not_put_the_alarm_off(tmp_path: Path) -> None:
    hanging = [False]

    async def hang(frame: Frame) -> None:
        if hanging[0]:
            await asyncio.Event().wait()

    async def run() -> None:
        slow = {"reading": {"blind_after_seconds": 1.0}, "gateway": {"read_seconds": 60.0}}
        async with world(tmp_path, before=hang, settings=slow) as made:
            hanging[0] = True
            began = made.engine.clock.monotonic()
            await made.until(lambda: made.engine.cycle.blind)
            assert made.engine.clock.monotonic() - began < 1.5

    run_virtual(run())


def test_field_08_a_guard_that_raises_blocks_entries_and_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            guard = made.engine.cycle.guard

            async def broken() -> Any:
                raise ZeroDivisionError("a bug in the guard")

            honest, guard.check = guard.check, broken  # type: ignore[method-assign]  # the bug
            await made.until(lambda: made.engine.cycle.guard_error is not None)
            assert "guard failed" in (made.engine.gate.account_refusal() or "")
            view = made.target.snapshot()
            assert view.drawdown is not None
            assert view.drawdown.verdict == "BLOCK"
            assert any("GUARD FAILED" in notice for notice in view.engine.notices)
            guard.check = honest  # type: ignore[method-assign]
            await made.until(lambda: made.engine.cycle.guard_error is None)
            assert len(await made.events("guard_error")) == 1

    run_virtual(run())


def test_the_operator_is_warned_before_the_limit_and_told_when_it_is_over(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, settings={"drawdown": {"limit_percent": 10.0, "warn_at": 0.01}}) as made:
            await made.bought(volume=2.0, distance=0.05)
            await made.until(lambda: made.target.snapshot().drawdown.verdict == "WARN", 40_000.0)  # type: ignore[union-attr]
            await made.until(lambda: made.target.snapshot().drawdown.verdict == "CLEAR", 40_000.0)  # type: ignore[union-attr]
            assert (await made.events("guard_warn", "guard_cleared"))[0]["verdict"] == "WARN"

    run_virtual(run())


def test_heartbeats_come_every_ten_seconds_from_completed_cycles(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await made.until(lambda: made.engine.clock.monotonic() > 35)
            beats = await made.events("heartbeat")
            assert len(beats) == 4
            assert set(beats[0]) >= {
                "signals_processed",
                "trades_executed",
                "error_count",
                "loop_duration_ms",
                "positions_open",
                "account_equity",
                "total_signals_lifetime",
                "total_trades_lifetime",
                "guard_evaluated_at",
                "reading_validity",
                "loop_lag_ms",
            }
            assert beats[0]["account_equity"] == 10_000.0

    run_virtual(run())


class _Struct:
    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields_of_it = fields

    def _asdict(self) -> dict[str, Any]:
        return self._fields_of_it
