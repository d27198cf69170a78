"""The broker is the truth: what others do on the account, what comes late, what was said and is not so."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.config import Settings
from engine.control import messages as wire
from engine.events import EventType
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.signals import SignalState
from tests.simulation.other import Other
from tests.simulation.test_execution import Answers, is_opening, send_one
from tests.simulation.test_terminal_faults import fault
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, opened_volume, world

CHANGES = ("position_opened", "position_reduced", "position_grown", "position_closed", "stop_changed")


async def told(made: World, count: int, *kinds: str) -> list[dict[str, Any]]:
    """Wait until so many events of these kinds have been recorded, and return them."""
    for _ in range(400):
        events = await made.events(*(kinds or CHANGES))
        if len(events) >= count:
            return events
        await asyncio.sleep(0.1)
    raise AssertionError(await made.events(*(kinds or CHANGES)))


def test_a_position_that_is_reduced_moved_and_closed_by_hand_is_told_each_time(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await made.bought(volume=0.5)
            other = Other(made.terminal)
            [position] = other.positions()
            other.close(position, 0.2)
            await told(made, 2)
            other.move_stop(other.positions()[0], sl=round(position.sl - 0.001, 5))
            await told(made, 3)
            other.close(other.positions()[0])
            events = await told(made, 4)
            assert [event["kind"] for event in events] == [
                "position_opened",
                "position_reduced",
                "stop_changed",
                "position_closed",
            ]
            assert (events[1]["before"], events[1]["volume"]) == (0.5, 0.3)
            assert (events[2]["sl_before"], events[2]["sl"]) == (position.sl, round(position.sl - 0.001, 5))
            assert events[3]["explained"] is True
            assert {event["owner"] for event in events} == {"ours"}

    run_virtual(run())


def test_a_close_whose_deals_come_late_is_told_once_by_the_engine_that_is_started_after_a_kill(tmp_path: Path) -> None:
    late: list[bool] = [True]

    def deals(honest: Any, *args: Any, **kwargs: Any) -> Any:
        return () if late and "position" in kwargs else honest(*args, **kwargs)

    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal, faults={"history_deals_get": deals}) as made:
            await made.bought(volume=0.5)
            other = Other(terminal)
            other.close(other.positions()[0])
            await made.until(lambda: not made.engine.cycle.reading.positions)
            await asyncio.sleep(0.5)
            await made.crash()
            assert not await made.events("position_closed")
        late.clear()
        for _ in range(2):
            async with world(tmp_path, terminal=terminal) as made:
                await asyncio.sleep(5)
                events = await made.events("position_closed")
                assert [event["explained"] for event in events] == [True]
                await made.crash()
        terminal.shutdown()

    run_virtual(run())


def test_what_others_open_and_place_is_told_as_theirs(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            other = Other(made.terminal, magic=77)
            other.deal(volume=0.3)
            events = await told(made, 1)
            assert events[0]["owner"] == "foreign"
            ask = made.engine.cycle.quotes["EURUSD"].tick.ask
            ticket = other.send(
                action=5, symbol="EURUSD", type=2, volume=0.1, price=round(ask - 0.01, 5), type_filling=2
            ).order
            [appeared] = await told(made, 1, "order_appeared")
            assert (appeared["order"], appeared["owner"], appeared["type"]) == (ticket, "foreign", "buy_limit")
            other.remove(ticket)
            await told(made, 1, "order_gone")
            [view] = made.target.snapshot().positions
            assert view.owner == "foreign"

    run_virtual(run())


def test_a_position_opened_and_closed_between_two_looks_is_told_by_its_deals(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await asyncio.sleep(6)
            other = Other(made.terminal)
            other.deal(volume=0.3)
            other.close(other.positions()[0])
            [closed] = await told(made, 1, "position_closed")
            assert closed["unseen"] is True
            assert (closed["volume"], closed["owner"]) == (0.3, "foreign")
            await asyncio.sleep(20)
            assert len(await made.events("position_closed")) == 1

    run_virtual(run())


def test_field_15_what_happened_while_the_engine_was_down_is_told_once_after_it(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(seed=3))
        other = Other(terminal)
        async with world(tmp_path, terminal=terminal) as made:
            await made.bought(volume=0.5)
            await asyncio.sleep(6)
            await made.crash()
        other.close(other.positions()[0])
        other.deal(volume=0.2)
        other.close(other.positions()[0])
        async with world(tmp_path, terminal=terminal, seed=2) as made:
            closed = await told(made, 2, "position_closed")
            assert sorted((event["volume"], event["owner"]) for event in closed) == [(0.2, "foreign"), (0.5, "ours")]
            await asyncio.sleep(20)
            assert len(await made.events("position_closed")) == 2
        terminal.shutdown()

    run_virtual(run())


@pytest.mark.parametrize("retcode", [10006, 10018, 10013])
def test_an_order_said_to_be_refused_but_executed_is_found_by_its_deal(tmp_path: Path, retcode: int) -> None:
    answers = Answers(executed=True, retcode=retcode)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": answers}) as made:
            signal = await send_one(made)
            [failed] = await told(made, 1, "trade_failed")
            assert str(retcode) in failed["reason"]
            [executed] = await told(made, 1, "trade_executed")
            assert (executed["signal"], executed["volume"]) == (signal.id, 0.5)
            finished = await made.engine.book.finished(signal.id)
            assert finished is not None
            assert finished.state is SignalState.EXECUTED
            assert opened_volume(made.terminal) == {signal.magic: 0.5}
            await asyncio.sleep(20)
            assert len(await made.events("trade_executed")) == 1

    run_virtual(run())


@pytest.mark.parametrize("unlisted_for", [0.0, 20.0])
def test_an_order_settled_as_absent_that_is_executed_after_all_is_found_and_protected(
    tmp_path: Path, unlisted_for: float
) -> None:
    held: list[dict[str, Any]] = []

    def hold(honest: Any, request: dict[str, Any]) -> Any:
        if not is_opening(request) or held:
            return honest(request)
        held.append(request)
        return None

    async def run() -> None:
        faults: dict[str, Any] = {
            "order_send": hold,
            "last_error": lambda honest: (-10005, "IPC timeout") if held else honest(),
        }
        async with world(tmp_path, faults=faults) as made:
            signal = await send_one(made)
            await made.until(lambda: made.engine.book.unresolved())
            faults.clear()
            await made.until(lambda: made.engine.book.unresolved()[0].presumed_absent, 200.0)
            now = made.engine.book.get(signal.id)
            assert (await made.command(wire.Reject(signal=now.id, version=now.version), "asked them")).accepted
            if unlisted_for:
                fault(made.terminal, kind="unsynchronised", seconds=unlisted_for)
            Other(made.terminal, magic=signal.magic).deal(volume=0.5, comment=signal.comment)
            await asyncio.sleep(unlisted_for)
            assert not unlisted_for or not await made.events("trade_executed")
            [executed] = await told(made, 1, "trade_executed")
            assert executed["signal"] == signal.id
            [position] = Other(made.terminal).positions()
            assert position.sl == signal.sl

    run_virtual(run())


def test_a_deal_with_a_number_of_ours_that_no_signal_has_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await asyncio.sleep(6)
            Other(made.terminal, magic=(0x5144 << 40) | 12345).deal(volume=0.1)
            [told_of] = await told(made, 1, "deal_unexplained")
            assert told_of["magic"] == str((0x5144 << 40) | 12345)
            await asyncio.sleep(20)
            assert len(await made.events("deal_unexplained")) == 1

    run_virtual(run())


def test_more_than_was_asked_for_is_told_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(seed=3))
        async with world(tmp_path, terminal=terminal) as made:
            fault(terminal, kind="twice", call="order_send")
            signal = await send_one(made)
            await made.until(lambda: not made.engine.book.all())
            assert opened_volume(terminal) == {signal.magic: 1.0}
            [unexplained] = await told(made, 1, "deal_unexplained")
            assert (unexplained["signal"], unexplained["volume"]) == (signal.id, 1.0)
        terminal.shutdown()

    run_virtual(run())


def test_an_adopted_position_is_the_engines_own_and_alarmed_when_it_has_no_stop(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, settings={"account": {"foreign": "adopt"}}) as made:
            Other(made.terminal, magic=77).deal(volume=0.3)
            [opened] = await told(made, 1)
            assert opened["owner"] == "adopted"
            [missing] = await told(made, 1, EventType.STOP_MISSING)
            assert "no stop loss" in missing["said"]
            assert made.target.snapshot().positions[0].owner == "adopted"

    run_virtual(run())


def test_foreign_positions_cannot_be_ignored_beside_a_guard_of_the_accounts_equity() -> None:
    with pytest.raises(ValueError, match="refused while the drawdown guard measures"):
        Settings(account={"foreign": "ignore"})


def test_the_brokers_rules_of_an_entry_are_asked_again_at_an_approval(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig(seed=3))
        async with world(tmp_path, terminal=terminal) as made:
            signal = await made.engine.proposals.take(made.buy(distance=0.0050))
            fault(terminal, kind="spread", factor=20.0, symbol="EURUSD")
            await made.until(lambda: made.target.snapshot().signals[0].problem)
            refused = await made.approve(signal)
            assert "not approved, it still waits: the spread is" in refused.message
        terminal.shutdown()

    run_virtual(run())


def test_a_volume_by_risk_shrinks_with_the_equity_and_never_grows(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            signal = await made.engine.proposals.take(made.buy(distance=0.0050, volume=None, risk_percent=1.0))
            assert signal.volume == 0.2
            made.engine.executor._equity = lambda: 5_000.0
            assert (await made.approve(signal)).accepted
            [executed] = await told(made, 1, "trade_executed")
            assert executed["volume"] < 0.12
            assert executed["state"] == "EXECUTED"
            # Sent exactly as small as it was reckoned: the intent in the journal says so.
            [claim] = await made.events("signal_executing")
            assert claim["intent"]["volume"] == executed["volume"]

    run_virtual(run())
