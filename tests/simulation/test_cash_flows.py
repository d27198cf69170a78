"""Money that comes and goes without a trade, through the whole engine: neither profit nor drawdown (invariant 8)."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine.broker.mt5 import DealType
from engine.control import messages as wire
from engine.paper.conditions import Conditions
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.state import EngineMode
from tests.simulation.mortal import Life
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, world


def drawdown(made: World) -> float:
    view = made.target.snapshot().drawdown
    assert view is not None
    return view.percent


async def at_nine_thousand(made: World) -> None:
    """A peak of 10,000 and an equity of 9,000 : a commission is a result, and no trade is needed."""
    made.terminal.cash(DealType.COMMISSION, -1_000.0, "a bad month")
    await made.until(lambda: made.engine.cycle.guard.state.equity == 9_000.0)
    assert made.engine.cycle.guard.state.peak == 10_000.0


@pytest.mark.parametrize(
    ("kind", "amount"),
    [
        (DealType.BALANCE, -5_000.0),
        (DealType.BALANCE, 5_000.0),
        (DealType.CREDIT, 2_500.0),
        (DealType.CHARGE, -120.0),
        (DealType.CORRECTION, -0.01),
        (DealType.BONUS, 300.0),
    ],
)
def test_field_10_invariant_8_a_cash_flow_leaves_the_drawdown_in_percent(
    tmp_path: Path, kind: int, amount: float
) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await at_nine_thousand(made)
            assert drawdown(made) == pytest.approx(10.0)
            made.terminal.cash(kind, amount, "made up")
            await made.until(lambda: made.engine.cycle.reading.equity == pytest.approx(9_000.0 + amount))
            await made.until(lambda: made.engine.cycle.reading.unexplained == 0.0)
            await made.until(lambda: drawdown(made) == pytest.approx(10.0))
            assert made.engine.modes.mode is EngineMode.RUNNING
            told = (await made.events("cash_flow"))[-1]
            assert (told["amount"], told["kind"]) == (amount, "flow")

    run_virtual(run())


def test_a_withdrawal_beyond_the_limit_closes_nothing_while_its_deal_is_still_to_come(tmp_path: Path) -> None:
    """60 % less at once, and no deal for three seconds: with the drawdown limit at 20 % nothing may be closed."""
    hidden = True

    def late(honest: Any, *args: Any, **kwargs: Any) -> Any:
        deals = honest(*args, **kwargs)
        return deals if deals is None or not hidden else tuple(deal for deal in deals if deal.profit > -6_000.0)

    async def run() -> None:
        nonlocal hidden
        async with world(tmp_path, faults={"history_deals_get": late}) as made:
            await made.bought(volume=0.1)
            made.terminal.cash(DealType.BALANCE, -6_000.0, "payout")
            await made.until(lambda: made.engine.cycle.reading.equity < 5_000.0)
            await made.until(lambda: made.engine.books.refusal() is not None)
            assert "no deal explains it" in (made.engine.gate.account_refusal() or "")
            assert "UNEXPLAINED BALANCE" in str(made.target.snapshot().engine.notices)
            hidden = False
            await made.until(lambda: made.engine.books.refusal() is None)
            assert made.engine.modes.mode is EngineMode.RUNNING
            assert drawdown(made) < 1.0
            assert len(await made.events("funds_unexplained")) == len(await made.events("funds_explained")) == 1
            assert await made.events("guard_tripped") == []

    run_virtual(run())


def without_balance_deals(honest: Any, *args: Any, **kwargs: Any) -> Any:
    deals = honest(*args, **kwargs)
    return deals if deals is None else tuple(deal for deal in deals if deal.type != DealType.BALANCE)


@pytest.mark.parametrize(("what", "percent"), [("cash flow", 10.0), ("result", 60.0)])
def test_invariant_8_a_step_without_a_deal_is_held_provisionally_until_the_operator_settles_it(
    tmp_path: Path, what: Any, percent: float
) -> None:
    settings = {"drawdown": {"limit_percent": 90.0}}

    async def run() -> None:
        faults = {"history_deals_get": without_balance_deals}
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal, faults=faults, settings=settings) as made:
            await at_nine_thousand(made)
            terminal.cash(DealType.BALANCE, -5_000.0, "nobody's deal")
            await made.until(lambda: (made.target.snapshot().risk.funds or None) is not None)
            await made.until(lambda: bool(made.engine.risk.funds and made.engine.risk.funds.provisional), 30.0)
            assert drawdown(made) == pytest.approx(10.0)
            assert made.engine.gate.account_refusal() is not None
            await made.crash()
        async with world(tmp_path, terminal=terminal, faults=faults, settings=settings) as again:
            await again.until(lambda: again.engine.cycle.facts is not None)
            assert drawdown(again) == pytest.approx(10.0)
            assert "no deal explains it" in (again.engine.gate.account_refusal() or "")
            refused = await again.command(wire.SettleFunds(what=what))
            assert not refused.accepted
            assert "reason" in refused.message
            settled = await again.command(wire.SettleFunds(what=what), "the firm's payout of this morning")
            assert settled.accepted, settled.message
            await again.until(lambda: again.engine.books.refusal() is None)
            await again.until(lambda: drawdown(again) == pytest.approx(percent))
            assert not (await again.command(wire.SettleFunds(what=what), "once more")).accepted
        terminal.shutdown()

    run_virtual(run())


def test_a_flow_while_no_engine_ran_is_found_and_shifts_once(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal) as made:
            await at_nine_thousand(made)
            await made.crash()
        terminal.cash(DealType.BALANCE, -5_000.0, "payout")
        for _ in range(3):
            async with world(tmp_path, terminal=terminal) as again:
                await again.until(lambda again=again: again.engine.cycle.facts is not None)  # type: ignore[misc]
                await again.until(lambda again=again: again.engine.cycle.reading.unexplained == 0.0)  # type: ignore[misc]
                assert drawdown(again) == pytest.approx(10.0)
                assert again.engine.modes.mode is EngineMode.RUNNING
                assert [event["amount"] for event in await again.events("cash_flow")] == [-5_000.0]
                await again.crash()
        terminal.shutdown()

    run_virtual(run())


class AtCommit(random.Random):
    """Draws that end an engine at one of its commits: before it, or right after it."""

    def __init__(self, number: int, *, before: bool) -> None:
        super().__init__(0)
        self.left, self._drawn = number, 0.2 if before else 0.7
        self.armed = False

    def random(self) -> float:
        self.left -= self.armed
        return self._drawn if self.armed and self.left < 0 else 1.0


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("number", range(4))
def test_invariants_5_8_a_kill_leaves_no_flow_counted_and_not_recorded_nor_recorded_twice(
    tmp_path: Path, number: int, *, before: bool
) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        draws = AtCommit(number, before=before)
        life = Life(draws, Counter(), chance=1.0, send_chance=0.0)
        async with world(tmp_path, terminal=terminal, life=life) as made:
            await at_nine_thousand(made)
            await made.until(lambda: made.engine.cycle.reading.unexplained == 0.0)
            draws.armed = True
            terminal.cash(DealType.BALANCE, -5_000.0, "payout")
            await made.until(lambda: not life.alive or made.running.done(), 30.0)
        async with world(tmp_path, terminal=terminal) as again:
            await again.until(lambda: again.engine.cycle.facts is not None)
            await again.until(lambda: again.engine.cycle.reading.unexplained == 0.0)
            await again.until(lambda: drawdown(again) == pytest.approx(10.0))
            assert [event["amount"] for event in await again.events("cash_flow")] == [-5_000.0]
        terminal.shutdown()

    run_virtual(run())


@pytest.mark.parametrize("amount", [5_000.0, -5_000.0])
def test_invariant_8_nothing_begins_again_from_a_balance_that_no_deal_explains_yet(
    tmp_path: Path, amount: float
) -> None:
    """A peak that began from it would be scaled once more when the deal comes: far above the equity, and a trip."""
    hidden = True

    def late(honest: Any, *args: Any, **kwargs: Any) -> Any:
        deals = honest(*args, **kwargs)
        return deals if deals is None or not hidden else tuple(deal for deal in deals if abs(deal.profit) != 5_000.0)

    async def run() -> None:
        nonlocal hidden
        async with world(tmp_path, faults={"history_deals_get": late}) as made:
            await at_nine_thousand(made)
            await made.command(wire.Flatten(), "the month is over")
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            made.terminal.cash(DealType.BALANCE, amount, "nobody's deal yet")
            await made.until(lambda: made.engine.cycle.reading.unexplained == amount)
            for _ in range(2):
                refused = await made.command(wire.Reset(), "begin again")
                assert not refused.accepted
                assert "no deal explains it" in refused.message
                bases = await made.command(wire.SetBases(highest_equity=20_000.0), "the firm's books")
                assert "no deal explains it" in bases.message
                await made.until(lambda: bool(made.engine.risk.funds and made.engine.risk.funds.provisional), 30.0)
            hidden = False
            await made.until(lambda: made.engine.books.refusal() is None)
            assert (await made.command(wire.Reset(), "begin again")).accepted
            assert drawdown(made) == 0.0
            await made.until(lambda: made.engine.cycle.guard.state.peak == pytest.approx(9_000.0 + amount))

    run_virtual(run())


def test_invariant_8_a_reset_does_not_let_entries_through_while_a_step_is_not_explained(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, faults={"history_deals_get": without_balance_deals}) as made:
            await at_nine_thousand(made)
            await made.command(wire.Flatten(), "the month is over")
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            made.terminal.cash(DealType.BALANCE, 500.0, "nobody's deal yet")
            await made.until(lambda: made.engine.books.refusal() is not None)
            assert (await made.command(wire.Reset(baseline="keep"), "go on")).accepted
            assert (await made.command(wire.Resume())).accepted
            assert "no deal explains it" in (made.engine.gate.account_refusal() or "")
            await made.until(lambda: bool(made.engine.risk.funds and made.engine.risk.funds.provisional), 30.0)
            assert len(await made.events("funds_unexplained")) == 1
            assert await made.events("funds_explained") == []

    run_virtual(run())


@pytest.mark.parametrize(("currency", "balance"), [("EUR", 10_000.0), ("JPY", 1_000_000.0), ("USC", 1_000_000.0)])
def test_the_accounts_currency_and_its_digits_do_not_matter(tmp_path: Path, currency: str, balance: float) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(conditions=Conditions(currency=currency), balance=balance))
        async with world(tmp_path, terminal=terminal) as made:
            if currency == "EUR":
                await made.bought(volume=0.1)
            terminal.cash(DealType.BALANCE, -balance / 2, "payout")
            await made.until(lambda: made.engine.cycle.reading.equity < balance * 0.6)
            await made.until(lambda: made.engine.cycle.reading.unexplained == 0.0)
            assert drawdown(made) < 1.0
            assert made.engine.modes.mode is EngineMode.RUNNING
        terminal.shutdown()

    run_virtual(run())


def test_trading_alone_shifts_nothing(tmp_path: Path) -> None:
    """Openings with commission, closes in part and whole: results, and never a cash flow."""

    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(conditions=Conditions(commission_per_lot=7.0)))
        async with world(tmp_path, terminal=terminal) as made:
            for _ in range(3):
                await made.bought(volume=0.4)
            one = (made.engine.cycle.reading.positions or ())[0]
            scope = wire.PositionScope(position=one.identifier, seen_volume=one.volume, volume=0.1)
            assert (await made.command(wire.Close(scope=scope), "a part")).accepted
            await made.until(lambda: not made.engine.closings.active())
            await made.command(wire.Flatten(), "the end")
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            await made.until(lambda: made.engine.cycle.reading.unexplained == 0.0)
            assert await made.events("cash_flow", "funds_unexplained") == []
            assert made.engine.risk.funds is not None
            assert made.engine.risk.funds.settled == pytest.approx(made.engine.cycle.reading.equity)
        terminal.shutdown()

    run_virtual(run())
