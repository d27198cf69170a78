"""What the operator sees and what the engine will not do: accounts, refusals, notices, history, the demo strategy."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from engine.control import messages as wire
from engine.intake.strategies.demo import DemoStrategy
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.signals import is_ours
from engine.state import EngineMode
from tests.simulation.closing import waiting_order
from tests.simulation.test_execution import Struct, _template, is_opening
from tests.simulation.virtual import run_virtual
from tests.simulation.world import opened_volume, world


def changed(**changes: Any) -> Any:
    return lambda honest, *args, **kwargs: Struct(honest(*args, **kwargs), **changes)


@pytest.mark.parametrize(
    ("settings", "trade_mode", "environment", "mode"),
    [
        ({}, 0, "paper", "RUNNING"),
        ({"terminal": {"module": "MetaTrader5"}}, 0, "demo", "PAUSED"),
        ({"terminal": {"module": "MetaTrader5"}}, 1, "live", "PAUSED"),
        ({"terminal": {"module": "MetaTrader5"}}, 2, "live", "PAUSED"),
        ({}, 2, "live", "PAUSED"),
    ],
)
def test_whatever_is_not_certainly_paper_or_demo_is_live_and_starts_paused(
    tmp_path: Path, settings: dict[str, Any], trade_mode: int, environment: str, mode: str
) -> None:
    async def run() -> None:
        faults = {"account_info": changed(trade_mode=trade_mode)}
        async with world(tmp_path, settings=settings, faults=faults) as made:
            view = made.target.snapshot().engine
            assert (view.environment, view.mode) == (environment, mode)

    run_virtual(run())


@pytest.mark.parametrize(
    ("function", "changes", "words"),
    [
        ("terminal_info", {"trade_allowed": False}, "AutoTrading is off"),
        ("terminal_info", {"tradeapi_disabled": True}, "does not let Python trade"),
        ("account_info", {"trade_allowed": False}, "may not trade"),
        ("account_info", {"trade_expert": False}, "does not let programs trade"),
    ],
)
def test_what_forbids_trading_is_shown_and_blocks_entries(
    tmp_path: Path, function: str, changes: dict[str, Any], words: str
) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            faults[function] = changed(**changes)
            await made.until(lambda: made.engine.gate.trading_refusal() is not None)
            assert any("CANNOT TRADE" in notice and words in notice for notice in made.target.snapshot().engine.notices)
            signal = await made.engine.proposals.take(made.buy())
            refused = await made.approve(signal)
            assert words in refused.message
            await made.engine.book.approve(signal.id, 1, operator="t", origin="t")
            made.engine.loop.wake()
            await made.until(lambda: not made.engine.book.all())
            assert words in (await made.events("signal_blocked"))[0]["reason"]

    run_virtual(run())


def test_an_order_the_broker_would_not_take_is_blocked_before_it_is_claimed(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            signal = await made.engine.proposals.take(made.buy(volume=80.0))
            await made.approve(signal)
            await made.until(lambda: not made.engine.book.all())
            assert "10019" in (await made.events("signal_blocked"))[0]["reason"]
            assert await made.events("signal_executing") == []

    run_virtual(run())


def test_a_symbol_without_a_filling_mode_is_blocked(tmp_path: Path) -> None:
    faults = {"symbol_info": changed(filling_mode=0, trade_exemode=2)}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            signal = await made.engine.proposals.take(made.buy())
            await made.approve(signal)
            await made.until(lambda: not made.engine.book.all())
            assert "filling mode" in (await made.events("signal_blocked"))[0]["reason"]

    run_virtual(run())


def test_a_stop_loss_that_fires_is_told_with_its_price_and_result(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await made.bought(distance=0.0004)
            await made.until(lambda: not made.engine.cycle.reading.positions, 40_000.0)
            await asyncio.sleep(1)
            closed = (await made.events("position_closed"))[0]
            assert closed["how"] in ("stop loss", "take profit")
            assert closed["explained"]
            assert (closed["profit"] < 0) == (closed["how"] == "stop loss")

    run_virtual(run())


def test_a_position_that_closed_while_the_engine_was_down_is_told_at_the_next_start(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal) as made:
            await made.bought(distance=0.0004)
            await asyncio.sleep(1)
            await made.crash()
        await asyncio.sleep(20_000)
        async with world(tmp_path, terminal=terminal) as again:
            await asyncio.sleep(2)
            assert len(await again.events("position_opened")) == 1
            assert len(await again.events("position_closed")) == 1
        terminal.shutdown()

    run_virtual(run())


def test_events_matches_equity_health_and_metrics_come_from_the_journal_and_the_cycle(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await made.bought()
            await asyncio.sleep(30)
            page = await made.target.events(0, 3)
            assert [event.seq for event in page.events] == [1, 2, 3]
            assert page.last_seq == made.journal.last_seq
            found = await made.target.matches("trade_executed")
            assert len(found.seqs) == 1
            curve = await made.target.equity(None, None, 100)
            assert len(curve.points) >= 25
            assert all(point.low <= point.last <= point.high for point in curve.points)
            moment = curve.points[5].start
            assert (await made.target.equity(moment, moment, 10)).points[0].start == moment
            health = made.target.health()
            assert health.healthy, health.message
            await made.until(lambda: made.target.health().cycles > health.cycles)
            assert made.target.health().loop_id == health.loop_id
            assert "quarterdeck_equity 9" in made.target.metrics()
            assert 'quarterdeck_mode{mode="RUNNING"} 1' in made.target.metrics()

    run_virtual(run())


def test_the_engine_is_not_healthy_when_no_cycle_is_completed(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            made.engine.cycle.completed_at = made.engine.clock.monotonic() - 60
            assert not made.target.health().healthy
            made.engine.cycle.completed_at = None
            health = made.target.health()
            assert (health.healthy, health.message) == (False, "no guard cycle has been completed yet")

    run_virtual(run())


def demo_session(folder: Path, seed: int) -> list[dict[str, Any]]:
    async def run() -> list[dict[str, Any]]:
        async with world(folder, strategy=DemoStrategy(random.Random(seed))) as made:
            await made.until(lambda: made.engine.book.pending(), 10.0)
            await asyncio.sleep(300)
            assert len(made.engine.book.pending()) <= 4
            for signal in made.engine.book.pending():
                assert signal.reward_to_risk == pytest.approx(2.0, rel=0.05)
                result = await made.approve(signal)
                assert result.accepted or "moved" in result.message
            await made.until(lambda: made.engine.loop.trades_executed >= 1, 120.0)
            assert made.engine.loop.trades_executed >= 1
            return await made.events("signal_received")

    return run_virtual(run())


def test_the_demo_strategy_proposes_within_seconds_and_the_same_from_the_same_seed(tmp_path: Path) -> None:
    runs = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        runs.append(demo_session(tmp_path / name, 5))
    assert runs[0] == runs[1]
    assert len(runs[0]) > 4


def test_hostile_text_is_clean_before_it_is_stored(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            quote = made.engine.cycle.quotes["EURUSD"].tick
            result = await made.command(
                wire.AddSignal(
                    symbol="EURUSD",
                    side="buy",
                    volume=0.1,
                    sl=round(quote.ask - 0.005, 5),
                    tp=round(quote.ask + 0.010, 5),
                    source="\x1b]52;c;aGk=\x07me",
                    note="[@click=app.flatten]x[/]\x1b[2J\u202e",
                ),
                "reason \x1b[31m",
            )
            assert result.accepted, result.message
            stored = await made.journal.events(0, 1_000)
            text = "".join(str(event.metadata) for event in stored)
            assert "\\x1b" not in text
            assert "\\u202e" not in text
            assert "[@click=app.flatten]x[/]" in text

    run_virtual(run())


def test_positions_of_others_are_told_apart(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await made.bought()
            assert all(is_ours(magic) for magic in opened_volume(made.terminal))
            assert [item.foreign for item in made.target.snapshot().positions] == [False]

    run_virtual(run())


def pending_order(ticket: int) -> Struct:
    names = "ticket type state magic position_id time_setup_msc"
    values: dict[str, Any] = dict.fromkeys(names.split(), 0)
    prices = dict.fromkeys(("volume_initial", "volume_current", "price_open", "sl", "tp"), 1.0)
    return Struct(_template, **values | prices | {"ticket": ticket, "symbol": "EURUSD", "comment": ""})


def test_pending_orders_are_cancelled_first(tmp_path: Path) -> None:
    sent: list[str] = []

    def order_send(honest: Any, request: dict[str, Any]) -> Any:
        if request["action"] == 8:
            sent.append("cancel")
        elif not is_opening(request):
            sent.append("close")
        return honest(request)

    faults: dict[str, Any] = {"order_send": order_send}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            await made.bought()
            waiting_order(made.terminal)
            waiting_order(made.terminal)
            await made.until(lambda: len(made.engine.cycle.orders) == 2)
            await made.command(wire.Flatten())
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert sent == ["cancel", "cancel", "close"]
            report = made.target.snapshot().flatten
            assert report is not None
            assert report.orders_cancelled == 2

    run_virtual(run())


@pytest.mark.parametrize(
    ("function", "changes", "words"),
    [
        ("terminal_info", {"connected": False}, "not connected"),
        ("account_info", {"login": 5}, "another account"),
        ("account_info", {"margin": 3.0}, "margin 3.0"),
        ("account_info", {"credit": 7.0}, "is not balance"),
    ],
)
def test_an_empty_list_alone_is_not_flat(tmp_path: Path, function: str, changes: dict[str, Any], words: str) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            faults[function] = changed(**changes)
            await made.command(wire.Flatten())
            await asyncio.sleep(10)
            report = made.target.snapshot().flatten
            assert report is not None
            assert report.state == "RUNNING"
            assert words in report.remaining[0]
            faults.clear()
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


def test_a_position_that_vanishes_without_closing_deals_is_not_flat(tmp_path: Path) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            await made.bought()
            faults["history_deals_get"] = lambda honest, *args, **kwargs: ()
            await made.command(wire.Flatten())
            await asyncio.sleep(10)
            report = made.target.snapshot().flatten
            assert report is not None
            assert "its deals do not close it" in report.remaining[0]
            faults["history_deals_get"] = lambda honest, *args, **kwargs: None
            await asyncio.sleep(5)
            assert "cannot be read" in made.target.snapshot().flatten.remaining[0]  # type: ignore[union-attr]
            faults.clear()
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


def test_a_flatten_closes_on_known_conditions_when_they_cannot_be_read_again(tmp_path: Path) -> None:
    faults: dict[str, Any] = {}
    refused = [0]

    def refuse_once(honest: Any, request: dict[str, Any]) -> Any:
        if not is_opening(request) and not refused[0]:
            refused[0] = 1
            faults["symbol_info"] = lambda honest, *args: None
            return Struct(_template, retcode=10021)
        return honest(request)

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            await made.bought()
            faults["order_send"] = refuse_once
            await made.command(wire.Flatten())
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


def test_the_same_run_writes_the_same_journal(tmp_path: Path) -> None:
    async def run(folder: Path) -> list[str]:
        async with world(folder) as made:
            await made.bought()
            await made.command(wire.Flatten())
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            return [event.hash for event in await made.journal.events(0, 10_000)]

    hashes = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        hashes.append(run_virtual(run(tmp_path / name)))
    assert hashes[0] == hashes[1]


def test_gateways_that_lost_their_terminal_are_replaced_until_it_is_back(tmp_path: Path) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            await made.bought()
            for name in ("account_info", "terminal_info", "positions_get", "orders_get", "symbol_info_tick"):
                faults[name] = lambda honest, *args, **kwargs: None
            faults["last_error"] = lambda honest: (-10004, "No IPC connection")
            await made.until(lambda: made.engine.cycle.blind)
            assert made.gateways.restarts >= 2
            faults.clear()
            await made.until(lambda: not made.engine.cycle.blind)
            assert len(made.engine.cycle.reading.positions or ()) == 1
            assert made.engine.modes.mode is EngineMode.RUNNING

    run_virtual(run())
