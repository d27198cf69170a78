"""Ways in which guards were got round, silenced or lost: each once happened."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.bookkeeping import Bookkeeper
from engine.broker.mt5 import DealType
from engine.control import messages as wire
from engine.guards.holdings import held
from engine.guards.loss import LossLimit
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.readings import NO_READING
from engine.signals import EntryType
from engine.state import EngineMode
from tests.simulation.test_guards_in_force import as_live, guard, lose, rules
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, world

FLOOR = {"equity_floor": {"money": 1_000.0}}


async def halted(made: World) -> None:
    """Flatten an account on which nothing is open."""
    await made.command(wire.Flatten(), "to be reset")
    await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)


def test_a_reset_after_many_deals_and_a_kill_right_after_it_starts_again(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal) as made:
            for number in range(80):
                terminal.cash(DealType.COMMISSION, -1.0, f"made up {number}")
            await made.until(lambda: made.engine.risk.funds is not None and len(made.engine.risk.funds.counted) >= 80)
            await made.until(lambda: made.engine.cycle.reading.unexplained == 0.0)
            await halted(made)
            said = await made.command(wire.Reset(baseline="keep"), "go on")
            assert said.accepted, said.message
            await made.crash()
        async with world(tmp_path, terminal=terminal) as again:
            await again.until(lambda: again.engine.cycle.facts is not None)
            assert again.engine.risk.drawdown.peak == 10_000.0
            assert again.engine.risk.funds is not None
            assert len(again.engine.risk.funds.counted) >= 80
        terminal.shutdown()

    run_virtual(run())


def test_a_reset_while_a_deposit_is_not_explained_yet_does_not_count_it_twice(tmp_path: Path) -> None:
    """A peak of 15,000 with a deposit of 5,000 in it, moved again by its deal, would halt the account at once."""

    async def run() -> None:
        hidden = [True]

        def deals(honest: Callable[..., Any], *args: Any, **named: Any) -> Any:
            found = honest(*args, **named)
            return tuple(deal for deal in found if deal.profit != 5_000.0) if hidden[0] and found else found

        async with world(tmp_path, faults={"history_deals_get": deals}) as made:
            await halted(made)
            made.terminal.cash(DealType.BALANCE, 5_000.0, "paid in")
            await made.until(lambda: made.engine.cycle.reading.unexplained == 5_000.0)
            said = await made.command(wire.Reset(), "at once")
            hidden[0] = False
            await made.until(lambda: made.engine.cycle.reading.unexplained == 0.0)
            if not said.accepted:
                said = await made.command(wire.Reset(), "a moment later")
            assert said.accepted, said.message
            await made.until(lambda: made.engine.cycle.reading.equity == 15_000.0)
            assert made.engine.risk.drawdown.peak == 15_000.0
            assert made.engine.modes.mode is EngineMode.PAUSED

    run_virtual(run())


def test_a_reset_with_a_profile_whose_guards_cannot_be_built_is_refused_in_words(tmp_path: Path) -> None:
    sessions = {"windows": [{"days": "Mon-Sun", "begins": "01:00", "ends": "23:00"}], "zone": "UTC"}
    broken = {"windows": [{"days": "Mon-Sun", "begins": "00:00", "ends": "00:00"}], "zone": "UTC"}

    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal, settings=rules(sessions=sessions)) as made:
            await made.until(lambda: made.engine.cycle.facts is not None)
            await halted(made)
            await made.crash()
        async with world(tmp_path, terminal=terminal, settings=rules(sessions=broken)) as again:
            await again.until(lambda: again.engine.cycle.facts is not None)
            refused = await again.command(wire.Reset(), "go on")
            assert not refused.accepted
            assert "never forbid" in refused.message
        terminal.shutdown()

    run_virtual(run())


def test_a_rule_without_a_memory_is_tried_from_the_profiles_initial_balance(tmp_path: Path) -> None:
    """What a reset asks: a new rule would trip at once, since half of the initial balance is gone."""
    limit = {"name": "max loss", "basis": "initial", "percent": 10.0, "action": "flatten", "begins_again": False}

    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal, settings=rules()) as made:
            await made.until(lambda: made.engine.cycle.facts is not None)
            await halted(made)
            await made.crash()
        new = rules(loss=[limit], initial_balance=20_000.0)
        async with world(tmp_path, terminal=terminal, settings=new) as again:
            await again.until(lambda: again.engine.cycle.facts is not None)
            tried = again.engine.risk.copy()
            tried.board.standings["max loss"] = type(tried.board.standings["max loss"])()
            facts = again.engine.cycle.facts_now()
            assert facts is not None
            assert any("max loss" in said for said in tried.breaches(facts))
            assert tried.floors(facts)["max loss"] == 18_000.0
        terminal.shutdown()

    run_virtual(run())


def test_while_the_brokers_clock_is_not_known_a_rule_that_needs_it_lets_nothing_be_opened(tmp_path: Path) -> None:
    async def run() -> None:
        daily = {"name": "daily loss", "basis": "day-start balance", "percent": 5.0}
        async with world(tmp_path, settings=rules(loss=[daily])) as made:
            await made.until(lambda: made.engine.cycle.facts is not None)
            signal = await made.engine.proposals.take(made.buy())
            assert made.engine.gate.signal_refusal(signal) is None
            made.engine.market._to_utc_msc = None
            made.engine.market.offset = None
            assert not made.engine.market.known
            assert "clock" in (made.engine.gate.signal_refusal(signal) or "")
            made.engine.market.offset = 7200
            assert "clock" not in (made.engine.gate.signal_refusal(signal) or "")

    run_virtual(run())


def test_an_order_with_a_number_that_is_none_blinds_no_console(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=rules(**FLOOR)) as made:
            await made.until(lambda: made.engine.cycle.facts is not None)
            ask = made.engine.cycle.quotes["EURUSD"].tick.ask
            proposal = made.buy(volume=0.1, type=EntryType.LIMIT, entry=round(ask - 0.002, 5), sl=round(ask - 0.01, 5))
            await made.approve(await made.engine.proposals.take(proposal))
            await made.until(lambda: made.engine.cycle.orders)
            nan = float("nan")
            order = replace(made.engine.cycle.orders[0], price_open=nan, sl=nan, tp=nan, volume_current=nan)
            made.engine.cycle.orders = (order,)
            assert len(made.target.snapshot().orders) == 1
            made.engine.account = replace(made.engine.account, balance=nan, equity=nan, margin=nan)
            made.engine.cycle.last_valid = NO_READING
            assert made.target.snapshot().account is not None

    run_virtual(run())


def test_an_order_that_stands_keeps_a_looser_profile_from_being_taken(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal, settings=rules(open_positions={"most": 2})) as made:
            await made.until(lambda: made.engine.cycle.facts is not None)
            ask = made.engine.cycle.quotes["EURUSD"].tick.ask
            proposal = made.buy(volume=0.1, type=EntryType.LIMIT, entry=round(ask - 0.002, 5), sl=round(ask - 0.01, 5))
            await made.approve(await made.engine.proposals.take(proposal))
            await made.until(lambda: made.engine.cycle.orders)
            await made.crash()
        async with world(tmp_path, terminal=terminal, settings=rules(open_positions={"most": 9})) as again:
            await again.until(lambda: again.engine.cycle.facts is not None)
            assert guard(again, "open positions").limit == 2
            assert again.engine.risk.loosened
        terminal.shutdown()

    run_virtual(run())


def test_bases_that_were_answered_for_survive_a_kill_right_after(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        settings = rules(presets=["static"])
        async with world(tmp_path, terminal=terminal, settings=settings) as made:
            await made.until(lambda: guard(made, "static max loss").floor is not None)
            await made.command(wire.Pause())
            honest = made.journal.set_value

            async def slow(*named: Any) -> None:
                await asyncio.sleep(0.5)
                await honest(*named)

            made.journal.set_value = slow  # type: ignore[method-assign,assignment]
            said = await made.command(wire.SetBases(initial=10_500.0), "the contract")
            assert said.accepted, said.message
            await made.crash()
        async with world(tmp_path, terminal=terminal, settings=settings) as again:
            await again.until(lambda: again.engine.cycle.facts is not None)
            assert guard(again, "static max loss").floor == pytest.approx(10_500.0 - 0.9 * 1_050.0)
        terminal.shutdown()

    run_virtual(run())


def test_bases_that_would_close_everything_at_once_are_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=rules(presets=["static"])) as made:
            await made.bought(volume=0.1)
            await made.command(wire.Pause())
            refused = await made.command(wire.SetBases(initial=100_000.0), "a nought too many")
            assert not refused.accepted
            assert "static max loss" in refused.message
            await made.until(lambda: guard(made, "static max loss").verdict == "CLEAR")
            assert made.engine.modes.mode is EngineMode.PAUSED

    run_virtual(run())


def test_a_live_account_whose_bases_are_wanted_opens_nothing_though_it_was_running(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal, settings=rules(**FLOOR)) as made:
            await made.until(lambda: made.engine.cycle.facts is not None)
            signal = await made.engine.proposals.take(made.buy())
            assert made.engine.gate.signal_refusal(signal) is None
            made.engine.risk.wants_bases = True
            assert "bases" in (made.engine.gate.signal_refusal(signal) or "")
        terminal.shutdown()

    run_virtual(run())


def test_equity_that_flickers_at_a_warning_is_not_told_ten_times_a_second(tmp_path: Path) -> None:
    settings = {**rules(equity_floor={"money": 1_000.0, "warn_money": 8_998.5}), "reading": {"interval_seconds": 0.1}}

    async def run() -> None:
        count = [0]

        def info(honest: Callable[..., Any]) -> Any:
            found, down = honest(), 1.0 + count[0] % 2
            count[0] += 1

            class Changed:
                def _asdict(self) -> dict[str, Any]:
                    values = found._asdict()
                    equity = values["equity"] - down
                    return {**values, "equity": equity, "profit": values["profit"] - down}

            return None if found is None else Changed()

        async with world(tmp_path, settings=settings, faults={"account_info": info}) as made:
            await made.until(lambda: made.engine.cycle.facts is not None)
            before = len(await made.events("guard_warn", "guard_cleared"))
            at = made.clock.monotonic()
            await made.until(lambda: made.clock.monotonic() > at + 20.0)
            told = len(await made.events("guard_warn", "guard_cleared")) - before
            assert 1 <= told <= 10

    run_virtual(run())


def test_a_bug_beside_the_drawdown_guard_does_not_keep_it_from_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**rules(loss=[{"name": "a", "basis": "initial", "percent": 40.0, "lock": "reset"}])}

    async def run() -> None:
        async with world(tmp_path, settings=settings) as made:
            await made.bought(volume=0.1)

            def broken(self: Any, moment: Any) -> Any:
                raise ValueError("no such day")

            monkeypatch.setattr(LossLimit, "next_reset", broken)
            made.terminal.cash(DealType.COMMISSION, -6_000.0, "made up")
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


def test_a_new_live_account_pauses_and_stays_so_over_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        settings = rules(presets=["static"])
        for _ in range(2):
            async with world(tmp_path, terminal=terminal, settings=settings, faults={"account_info": as_live}) as made:
                await made.until(lambda: made.engine.cycle.facts is not None)
                assert made.engine.modes.mode is EngineMode.PAUSED
                assert not (await made.command(wire.Resume())).accepted
                await lose(made, 1.0)
                await made.crash()
        terminal.shutdown()

    run_virtual(run())


def test_an_order_that_fills_between_two_calls_of_one_look_is_counted(tmp_path: Path) -> None:
    """What is held is read by two calls: an order that is filled between them must be in one of the answers."""

    async def run() -> None:
        faults: dict[str, Callable[..., Any]] = {}
        rows: dict[str, Any] = {}

        def keep(name: str) -> Callable[..., Any]:
            def read(honest: Callable[..., Any]) -> Any:
                rows[name] = honest()
                return rows[name]

            return read

        class Filled:
            def _asdict(self) -> dict[str, Any]:
                number = rows["orders_get"][0]._asdict()["ticket"]
                magic = rows["orders_get"][0]._asdict()["magic"]
                return {**rows["positions_get"][0]._asdict(), "ticket": number, "identifier": number, "magic": magic}

        faults |= {"orders_get": keep("orders_get"), "positions_get": keep("positions_get")}
        async with world(tmp_path, settings=rules(), faults=faults) as made:
            await made.bought(volume=0.1)
            ask = made.engine.cycle.quotes["EURUSD"].tick.ask
            proposal = made.buy(volume=0.1, type=EntryType.LIMIT, entry=round(ask - 0.002, 5), sl=round(ask - 0.01, 5))
            await made.approve(await made.engine.proposals.take(proposal))
            await made.until(lambda: made.engine.cycle.orders)
            calls: list[str] = []

            def at_the_fill(name: str, before: Any, after: Any) -> Callable[..., Any]:
                def read(honest: Callable[..., Any]) -> Any:
                    calls.append(name)
                    return before if len(calls) == 1 else after

                return read

            faults["orders_get"] = at_the_fill("orders_get", rows["orders_get"], ())
            faults["positions_get"] = at_the_fill("positions_get", (), (Filled(),))
            sweep = await made.engine.broker.sweep(())
            assert len(calls) == 2
            facts = made.engine.cycle.facts
            assert facts is not None
            looked = replace(facts, reading=replace(facts.reading, positions=sweep.positions), orders=sweep.orders)
            assert [holding.kind for holding in held(looked)] == ["position"]

    run_virtual(run())


def test_a_bug_in_the_books_does_not_keep_the_drawdown_guard_from_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=rules()) as made:
            await made.bought(volume=0.1)

            def broken(self: Any, reading: Any) -> Any:
                raise OverflowError("no such time")

            monkeypatch.setattr(Bookkeeper, "explained", broken)
            await made.until(lambda: made.engine.cycle.guard_error is not None)
            assert "OverflowError" in (made.engine.gate.account_refusal() or "")
            made.terminal.cash(DealType.COMMISSION, -6_000.0, "made up")
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


def test_a_firms_rule_that_is_left_out_once_and_put_back_goes_on_from_what_it_measured(tmp_path: Path) -> None:
    limit = {"name": "firm", "basis": "highest equity", "money": 4_000.0, "begins_again": False}

    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal, settings=rules(loss=[limit])) as made:
            await made.until(lambda: guard(made, "firm").floor == 6_000.0)
            await lose(made, 1_000.0)
            await made.crash()
        async with world(tmp_path, terminal=terminal, settings=rules()) as without:
            await without.until(lambda: without.engine.cycle.facts is not None)
            terminal.cash(DealType.BALANCE, -500.0, "paid out")
            await without.until(lambda: without.engine.cycle.reading.equity == 8_500.0)
            await without.until(lambda: without.engine.cycle.reading.unexplained == 0.0)
            await without.crash()
        async with world(tmp_path, terminal=terminal, settings=rules(loss=[limit])) as again:
            await again.until(lambda: again.engine.cycle.facts is not None)
            assert guard(again, "firm").floor == 5_500.0
        terminal.shutdown()

    run_virtual(run())
