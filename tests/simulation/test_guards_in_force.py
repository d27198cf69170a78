"""Guards in a running engine: they trip, lock, survive, refuse, and cannot be loosened while it matters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.broker.mt5 import DealType
from engine.control import messages as wire
from engine.guards.equity_floor import EquityFloorGuard as EquityFloor
from engine.guards.loss import LossLimit
from engine.paper.brokerclock import BrokerClock
from engine.paper.faultplan import read_fault
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.starting import UnsupportedAccount
from engine.state import EngineMode
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, world

RESET_SOON = {"zone": "UTC", "time": "06:02"}
"""The market begins at 06:00 UTC: a day ends after two minutes."""
DAILY = {
    "name": "daily loss",
    "basis": "day-start balance",
    "percent": 5.0,
    "of": "initial",
    "reset": RESET_SOON,
    "action": "flatten and lock",
    "lock": "reset",
    "begins_again": False,
}


def rules(**guards: Any) -> dict[str, Any]:
    return {"guards": guards, "drawdown": {"limit_percent": 50.0}, "reading": {"interval_seconds": 0.5}}


async def lose(made: World, amount: float) -> None:
    """Lose money at once, by a commission: no position need move for it."""
    account = made.engine.cycle.reading.account
    assert account is not None
    made.terminal.cash(DealType.COMMISSION, -amount, "made up")
    await made.until(lambda: (made.engine.cycle.reading.account or account).balance < account.balance)
    await made.until(lambda: made.engine.cycle.reading.unexplained == 0.0)


def guard(made: World, name: str) -> wire.GuardView:
    return next(view for view in made.target.snapshot().risk.guards if view.name == name)


def test_a_daily_loss_closes_everything_and_locks_until_its_reset(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=rules(loss=[DAILY])) as made:
            await made.bought(volume=0.1)
            await lose(made, 499.0)
            assert guard(made, "daily loss").verdict in ("WARN", "CLEAR", "FLATTEN")
            await lose(made, 60.0)
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert made.engine.cycle.reading.positions == ()
            tripped = (await made.events("guard_tripped"))[0]
            assert tripped["guard"] == "daily loss"
            assert tripped["equity"] <= tripped["floor"] == 9_500.0
            view = guard(made, "daily loss")
            assert view.lock is not None
            assert view.lock.until is not None
            refused = await made.command(wire.Reset(), "begin again")
            assert not refused.accepted
            assert "daily loss" in refused.message
            trip = made.target.snapshot().risk.trip
            assert trip is not None
            assert (trip.guard, trip.breached) == ("daily loss", True)
            await made.until(lambda: guard(made, "daily loss").lock is None, 300.0)
            accepted = await made.command(wire.Reset(), "a new day")
            assert accepted.accepted, accepted.message
            assert (await made.command(wire.Resume())).accepted
            await made.until(lambda: guard(made, "daily loss").floor is not None)
            assert guard(made, "daily loss").floor == pytest.approx(made.engine.cycle.reading.equity - 500.0)

    run_virtual(run())


def test_field_11_a_restart_across_the_reset_rebuilds_the_days_start_from_deals(tmp_path: Path) -> None:
    """300 are lost before the day begins and 100 after it, while no engine runs: the day began with 9,700."""

    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal, settings=rules(loss=[DAILY])) as made:
            await made.until(lambda: guard(made, "daily loss").floor == 9_500.0)
            await made.crash()
        loop_time = made.clock.monotonic()
        terminal.cash(DealType.COMMISSION, -300.0, "before")
        terminal.advance_to(loop_time + 150.0)
        terminal.cash(DealType.COMMISSION, -100.0, "after")
        async with world(tmp_path, terminal=terminal, settings=rules(loss=[DAILY])) as again:
            await again.until(lambda: again.engine.cycle.reading.unexplained == 0.0)
            await again.until(lambda: again.engine.cycle.facts is not None)
            await again.until(lambda: guard(again, "daily loss").floor == 9_200.0)
            assert guard(again, "daily loss").headroom == pytest.approx(400.0)
            await again.crash()
        async with world(tmp_path, terminal=terminal, settings=rules(loss=[DAILY])) as last:
            await last.until(lambda: last.engine.cycle.facts is not None)
            assert guard(last, "daily loss").floor == 9_200.0
        terminal.shutdown()

    run_virtual(run())


def test_invariant_5_a_locked_guard_stays_locked_over_restarts_and_a_reset_until_an_operator_unlocks_it(
    tmp_path: Path,
) -> None:
    limit = {"name": "max loss", "basis": "initial", "percent": 10.0, "action": "flatten and lock", "lock": "operator"}
    settings = rules(loss=[{**limit, "action": "block"}])

    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal, settings=settings) as made:
            await made.until(lambda: made.engine.cycle.facts is not None)
            await lose(made, 1_000.0)
            await made.until(lambda: guard(made, "max loss").lock is not None)
            terminal.cash(DealType.INTEREST, 900.0, "made up")
            await made.until(lambda: made.engine.cycle.reading.equity == 9_900.0)
            await made.crash()
        async with world(tmp_path, terminal=terminal, settings=settings) as again:
            await again.until(lambda: again.engine.cycle.facts is not None)
            assert guard(again, "max loss").verdict == "BLOCK"
            signal = await again.engine.proposals.take(again.buy())
            refused = await again.approve(signal)
            assert not refused.accepted
            assert "max loss is locked until an operator" in refused.message
            assert "LOCKED by max loss" in str(again.target.snapshot().engine.notices)
            assert not (await again.command(wire.Unlock(guard="max loss"))).accepted
            assert not (await again.command(wire.Unlock(guard="nobody"), "why")).accepted
            assert (await again.command(wire.Unlock(guard="max loss"), "the loss was explained")).accepted
            await again.until(lambda: guard(again, "max loss").verdict == "CLEAR")
            assert (await again.approve(signal)).accepted
            assert (await again.events("guard_unlocked"))[0]["reason"] == "the loss was explained"
        terminal.shutdown()

    run_virtual(run())


def test_the_limit_on_open_positions_holds_for_a_batch_that_is_sent_before_the_next_reading(tmp_path: Path) -> None:
    settings = {**rules(open_positions={"most": 2}), "reading": {"interval_seconds": 5.0, "stale_after_seconds": 30.0}}

    async def run() -> None:
        async with world(tmp_path, settings=settings) as made:
            await made.until(lambda: made.engine.cycle.facts is not None)
            signals = [await made.engine.proposals.take(made.buy(volume=0.1)) for _ in range(4)]
            for signal in signals:
                await made.approve(signal)
            await made.until(lambda: made.engine.loop.signals_processed >= 2)
            await made.until(lambda: not made.engine.book.approved(10))
            blocked = await made.events("signal_blocked")
            assert len(await made.events("trade_executed")) == 2
            assert len(blocked) >= 1
            assert "2" in blocked[0]["reason"]

    run_virtual(run())


def test_a_looser_profile_is_refused_while_the_account_is_halted_and_taken_by_a_reset(tmp_path: Path) -> None:
    tight, loose = (
        {**rules(equity_floor={"money": money}), "drawdown": {"limit_percent": limit}}
        for money, limit in ((9_000.0, 10.0), (5_000.0, 60.0))
    )

    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal, settings=tight) as made:
            await made.until(lambda: made.engine.cycle.facts is not None)
            await lose(made, 1_000.0)
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            await made.crash()
        async with world(tmp_path, terminal=terminal, settings=loose) as again:
            await again.until(lambda: again.engine.cycle.facts is not None)
            risk = again.target.snapshot().risk
            assert {view.name: view.floor for view in risk.guards} == {"drawdown": 9_000.0, "equity floor": 9_000.0}
            assert any("equity_floor" in said for said in risk.loosened)
            assert any("drawdown" in said for said in risk.loosened)
            assert "LOOSER RULES REFUSED" in str(again.target.snapshot().engine.notices)
            keep = await again.command(wire.Reset(baseline="keep"), "with the looser rules")
            assert keep.accepted, keep.message
            await again.until(lambda: guard(again, "equity floor").floor == 5_000.0)
            assert again.target.snapshot().risk.loosened == []
            assert guard(again, "drawdown").floor == 4_000.0
            await again.crash()
        async with world(tmp_path, terminal=terminal, settings=tight) as tighter:
            await tighter.until(lambda: tighter.engine.modes.mode is EngineMode.HALTED)
            assert guard(tighter, "equity floor").floor == 9_000.0
        terminal.shutdown()

    run_virtual(run())


def test_a_looser_profile_is_refused_while_positions_are_open(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal, settings=rules(open_positions={"most": 2})) as made:
            await made.bought(volume=0.1)
            await made.crash()
        async with world(tmp_path, terminal=terminal, settings=rules()) as again:
            await again.until(lambda: again.engine.cycle.facts is not None)
            assert guard(again, "open positions").limit == 2
            await again.command(wire.Close(scope=wire.AllScope()), "flat for the change")
            await again.until(lambda: again.engine.cycle.reading.positions == ())
            await again.crash()
        async with world(tmp_path, terminal=terminal, settings=rules()) as flat:
            await flat.until(lambda: flat.engine.cycle.facts is not None)
            assert [view.name for view in flat.target.snapshot().risk.guards] == ["drawdown"]
            configured = await flat.events("guards_configured")
            assert configured[-1]["rules"]["open_positions"] is None
        terminal.shutdown()

    run_virtual(run())


def test_invariant_7_a_guard_that_raises_blocks_entries_and_the_drawdown_guard_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=rules(equity_floor={"money": 1_000.0})) as made:
            await made.until(lambda: made.engine.cycle.facts is not None)

            def broken(self: Any, memory: Any, facts: Any) -> Any:
                raise KeyError("a bug")

            monkeypatch.setattr(EquityFloor, "judge", broken)
            await made.until(lambda: guard(made, "equity floor").failed)
            signal = await made.engine.proposals.take(made.buy())
            refused = await made.approve(signal)
            assert "KeyError" in refused.message
            assert "GUARD FAILED: equity floor" in str(made.target.snapshot().engine.notices)
            assert len(await made.events("guard_error")) == 1
            await lose(made, 5_000.0)
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


@pytest.mark.parametrize("kind", [EquityFloor, LossLimit])
def test_a_guard_that_does_not_trip_in_its_self_test_keeps_the_engine_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    honest = kind.judge

    def blind(self: Any, memory: Any, facts: Any) -> Any:
        memory, finding = honest(self, memory, facts)
        from dataclasses import replace

        return memory, replace(finding, breached=False)

    monkeypatch.setattr(kind, "judge", blind)

    async def run() -> None:
        async with world(tmp_path, settings=rules(equity_floor={"money": 1_000.0}, loss=[DAILY])):
            raise AssertionError("it started")

    with pytest.raises(BaseExceptionGroup) as raised:
        run_virtual(run())
    assert raised.group_contains(UnsupportedAccount, match="self-test")


def test_before_the_weekend_what_is_open_is_closed_and_the_account_is_not_halted(tmp_path: Path) -> None:
    """The market's Monday, 06:00 UTC, is told as Friday 21:58: the week closes two minutes later."""
    friday = 4 * 86_400_000 + 15 * 3_600_000 + 58 * 60_000

    def to_utc_msc(shown: int) -> int:
        return BrokerClock().to_utc_msc(shown) + friday

    async def run() -> None:
        settings = rules(sessions={"zone": "UTC", "friday_close": "22:00"})
        async with world(tmp_path, settings=settings, to_utc_msc=to_utc_msc) as made:
            await made.bought(volume=0.1)
            await made.until(lambda: made.engine.cycle.reading.positions == (), 300.0)
            await made.until(lambda: not made.engine.closings.active())
            assert made.engine.modes.mode is EngineMode.RUNNING
            signal = await made.engine.proposals.take(made.buy())
            assert not (await made.approve(signal)).accepted
            assert [event["what"] for event in await made.events("closing_started")] == ["everything on the account"]

    run_virtual(run())


def as_live(honest: Callable[..., Any]) -> Any:
    info = honest()

    class Live:
        def _asdict(self) -> dict[str, Any]:
            return {**info._asdict(), "trade_mode": 2}

    return None if info is None else Live()


def test_a_new_live_account_resumes_only_when_its_bases_are_said_and_a_reset_needs_its_number(tmp_path: Path) -> None:
    async def run() -> None:
        settings = rules(presets=["static"])
        async with world(tmp_path, settings=settings, faults={"account_info": as_live}) as made:
            await made.until(lambda: made.engine.cycle.facts is not None)
            assert made.engine.modes.mode is EngineMode.PAUSED
            assert made.target.snapshot().risk.bases_wanted
            refused = await made.command(wire.Resume())
            assert not refused.accepted
            assert "bases" in refused.message
            assert not (await made.command(wire.SetBases(initial=10_500.0))).accepted
            said = await made.command(wire.SetBases(initial=10_500.0), "the firm's contract")
            assert said.accepted, said.message
            await made.until(lambda: guard(made, "static max loss").floor == pytest.approx(10_500.0 - 0.9 * 1_050.0))
            assert (await made.command(wire.Resume())).accepted
            await made.command(wire.Flatten(), "to be reset")
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            for account in (None, 1):
                refused = await made.command(wire.Reset(account=account), "why not")
                assert not refused.accepted
                assert str(made.engine.account.login) in refused.message
            accepted = await made.command(wire.Reset(account=made.engine.account.login), "why not")
            assert accepted.accepted, accepted.message

    run_virtual(run())


def test_bases_that_lower_a_floor_are_refused_while_positions_are_open(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=rules(presets=["static"])) as made:
            await made.bought(volume=0.1)
            assert not (await made.command(wire.SetBases(initial=5_000.0), "lower")).accepted
            await made.command(wire.Pause())
            refused = await made.command(wire.SetBases(initial=5_000.0), "lower")
            assert "lower the floor of static max loss" in refused.message
            higher = await made.command(wire.SetBases(initial=10_100.0), "higher")
            assert higher.accepted, higher.message

    run_virtual(run())


def test_bases_that_lower_a_floor_are_refused_between_an_unlock_and_the_lock_that_follows(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=rules(presets=["static"], initial_balance=11_200.0)) as made:
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            unlocked = await made.command(wire.Unlock(guard="static max loss"), "the firm's limit is reached")
            assert unlocked.accepted, unlocked.message
            refused = await made.command(wire.SetBases(initial=9_000.0), "quickly")
            assert "lower the floor of static max loss" in refused.message

    run_virtual(run())


@pytest.mark.parametrize(("action", "closes"), [("block", False), ("flatten", True)])
def test_blindness_closes_everything_only_where_the_profile_says_so_and_the_broker_answers(
    tmp_path: Path, action: str, closes: bool
) -> None:
    reading = {"interval_seconds": 0.25, "blind_action": action}

    async def run() -> None:
        async with world(tmp_path, settings={"reading": reading}) as made:
            await made.bought(volume=0.1)
            made.terminal.faults.add(read_fault({"kind": "equity", "value": "nan", "seconds": 40.0}))
            await made.until(lambda: made.engine.cycle.blind)
            await made.until(lambda: len(made.engine.cycle.sweep.positions or ()) == 0 if closes else True)  # type: ignore[union-attr]
            levels: Callable[[], Any] = lambda: made.engine.cycle._blind_level  # noqa: E731
            await made.until(lambda: levels() >= 2, 60.0)
            await made.engine.recorder.drained()
            assert (made.engine.modes.mode is EngineMode.RUNNING) is not closes
            assert [event["level"] for event in await made.events("reading_blind")] == [1, 2]

    run_virtual(run())


def test_blindness_never_closes_anything_on_another_account(tmp_path: Path) -> None:
    reading = {"interval_seconds": 0.25, "blind_action": "flatten"}

    async def run() -> None:
        async with world(tmp_path, settings={"reading": reading}) as made:
            await made.bought(volume=0.1)
            made.terminal.faults.add(read_fault({"kind": "login", "login": 5, "seconds": 40.0}))
            await made.until(lambda: made.engine.cycle.blind)
            await made.until(lambda: made.engine.cycle._blind_level >= 2, 60.0)
            assert made.engine.modes.mode is EngineMode.RUNNING
            assert await made.events("close_sent", "flatten_started") == []

    run_virtual(run())
