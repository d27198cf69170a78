"""Limit and stop orders: placed once, followed at the broker, ended in time, protected as they fill."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.approvals import Refused
from engine.broker.base import Side
from engine.control import messages as wire
from engine.intake.proposals import Proposal
from engine.paper.market import instrument
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.signals import EntryType, Signal, SignalState
from engine.state import EngineMode
from tests.simulation.other import Other
from tests.simulation.test_execution import Answers
from tests.simulation.test_terminal_faults import fault
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, opened_volume, world

FAR = 0.0100
NEAR = 0.00002


def order(made: World, away: float, kind: EntryType = EntryType.LIMIT, **changes: Any) -> Proposal:
    """A proposal to buy by an order that waits this far from the price."""
    tick = made.engine.cycle.quotes["EURUSD"].tick
    price = round(tick.ask - away if kind is EntryType.LIMIT else tick.ask + away, 5)
    values = {
        "entry": price, "sl": round(price - 0.005, 5), "tp": round(price + 0.01, 5), "volume": 0.5, **changes
    }  # fmt: skip
    return Proposal(symbol="EURUSD", side=Side.BUY, source="test", type=kind, **values)


def terminal_without_levels(**conditions: Any) -> PaperTerminal:
    """A terminal whose symbols take orders and stops at any distance."""
    return PaperTerminal.open(
        TerminalConfig(seed=3, instruments=lambda name: replace(instrument(name), stops_level=0, **conditions))
    )


async def placed(made: World, proposal: Proposal) -> Signal:
    signal = await made.engine.proposals.take(proposal)
    assert (await made.approve(signal)).accepted
    early = (SignalState.APPROVED, SignalState.EXECUTING, SignalState.UNKNOWN)
    await made.until(lambda: not [one for one in made.engine.book.all() if one.id == signal.id and one.state in early])
    return signal


async def cancel(made: World, signal_id: str) -> wire.CommandResult:
    return await made.command(wire.Cancel(signal=signal_id, version=made.engine.book.get(signal_id).version))


@pytest.mark.parametrize("kind", [EntryType.LIMIT, EntryType.STOP])
def test_an_order_waits_at_the_broker_and_is_executed_when_it_is_filled(tmp_path: Path, kind: EntryType) -> None:
    async def run() -> None:
        async with world(tmp_path, terminal=terminal_without_levels()) as made:
            signal = await placed(made, order(made, NEAR, kind))
            [working] = made.engine.book.working()
            assert working.intent is not None
            await made.until(lambda: made.target.snapshot().orders)
            assert [view.ticket for view in made.target.snapshot().orders] == [working.intent.order]
            assert made.target.snapshot().orders[0].signal == signal.id
            assert made.target.snapshot().signals[0].order == working.intent.order
            await made.until(lambda: not made.engine.book.all(), 3600.0)
            [executed] = await made.events("trade_executed")
            assert (executed["state"], executed["order"]) == ("EXECUTED", working.intent.order)
            assert executed["slippage_points"] is not None
            assert opened_volume(made.terminal) == {signal.magic: 0.5}
            [position] = made.engine.cycle.reading.positions or ()
            assert position.sl == signal.sl

    run_virtual(run())


def test_an_order_whose_answer_was_lost_is_adopted_not_placed_again(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = terminal_without_levels()
        async with world(tmp_path, terminal=terminal) as made:
            fault(terminal, kind="lost", call="order_send")
            signal = await placed(made, order(made, FAR))
            assert [event["kind"] for event in await made.events("trade_unknown", "order_placed")] == [
                "trade_unknown",
                "order_placed",
            ]
            await made.until(lambda: made.target.snapshot().orders)
            assert [view.signal for view in made.target.snapshot().orders] == [signal.id]
        terminal.shutdown()

    run_virtual(run())


def test_the_engine_that_is_killed_finds_its_order_and_its_fill_again(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = terminal_without_levels()
        async with world(tmp_path, terminal=terminal) as made:
            far = await placed(made, order(made, FAR))
            near = await placed(made, order(made, NEAR))
            assert len(made.engine.book.working()) == 2
            await made.crash()
        loop = asyncio.get_running_loop()
        await asyncio.sleep(3600)
        terminal.advance_to(loop.time())
        async with world(tmp_path, terminal=terminal, seed=2) as made:
            await made.until(lambda: near.id not in [signal.id for signal in made.engine.book.all()])
            executed = [event["signal"] for event in await made.events("trade_executed")]
            assert executed == [near.id]
            # Its hour is over: the broker or the engine has ended it.
            await made.until(lambda: not made.engine.book.all())
            assert [event["signal"] for event in await made.events("trade_failed")] == [far.id]
            assert opened_volume(terminal) == {near.magic: 0.5}
        terminal.shutdown()

    run_virtual(run())


def test_an_operator_cancels_a_standing_order_at_the_version_that_was_seen(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            signal = await placed(made, order(made, FAR))
            old = await made.command(wire.Cancel(signal=signal.id, version=1))
            assert "look again" in old.message
            assert (await made.command(wire.Pause())).message.endswith("cancel what is not wanted")
            done = await cancel(made, signal.id)
            assert done.accepted
            assert "10009" in done.message
            await made.until(lambda: not made.engine.book.all())
            [failed] = await made.events("trade_failed")
            assert "canceled" in failed["reason"]
            assert made.terminal.market is not None
            assert made.target.snapshot().orders == []
            again = await made.command(wire.Cancel(signal=signal.id, version=9))
            assert not again.accepted

    run_virtual(run())


@pytest.mark.parametrize("by_broker", [True, False])
def test_an_order_ends_at_its_time_whether_or_not_the_broker_ends_it(tmp_path: Path, by_broker: bool) -> None:
    async def run() -> None:
        terminal = terminal_without_levels(**({} if by_broker else {"expiration_mode": 1}))
        async with world(tmp_path, terminal=terminal) as made:
            await placed(made, order(made, FAR, order_seconds=30.0))
            await asyncio.sleep(25)
            assert made.engine.book.working()
            await made.until(lambda: not made.engine.book.all(), 20.0)
            [failed] = await made.events("trade_failed")
            cancelling = await made.events("order_cancelling")
            if by_broker:
                assert "expired" in failed["reason"] or cancelling
            else:
                assert "canceled" in failed["reason"]
                assert cancelling[0]["reason"] == "its time ran out"
        terminal.shutdown()

    run_virtual(run())


def test_a_part_of_an_order_has_its_stop_at_once_and_the_rest_adds_to_it(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = terminal_without_levels()
        async with world(tmp_path, terminal=terminal) as made:
            part = fault(terminal, kind="partial", share=0.4)
            drop = fault(terminal, kind="drop_stops")
            signal = await placed(made, order(made, NEAR))
            await made.until(lambda: made.engine.cycle.reading.positions, 3600.0)
            await made.until(
                lambda: all(position.sl == signal.sl for position in made.engine.cycle.reading.positions or ()), 10.0
            )
            assert made.engine.book.working()
            assert (await made.events("stop_missing"))[0]["right"] == signal.sl
            terminal.faults.end(part)
            terminal.faults.end(drop)
            await made.until(lambda: not made.engine.book.all(), 3600.0)
            assert opened_volume(terminal) == {signal.magic: 0.5}
            assert (await made.events("trade_executed"))[-1]["volume"] == 0.5
        terminal.shutdown()

    run_virtual(run())


def test_a_flatten_cancels_what_stands_and_its_signal_ends(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await placed(made, order(made, FAR))
            assert (await made.command(wire.Flatten())).accepted
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            await made.until(lambda: not made.engine.book.all())
            report = made.engine.flattener.report
            assert report is not None
            assert report.orders_cancelled == 1

    run_virtual(run())


def test_an_order_removed_by_hand_ends_its_signal(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await placed(made, order(made, FAR))
            await made.until(lambda: made.target.snapshot().orders)
            [view] = made.target.snapshot().orders
            Other(made.terminal).remove(view.ticket)
            await made.until(lambda: not made.engine.book.all(), 5.0)
            assert "canceled" in (await made.events("trade_failed"))[0]["reason"]

    run_virtual(run())


def test_an_order_on_the_wrong_side_of_the_price_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            with pytest.raises(Refused, match="points below"):
                await made.engine.proposals.take(order(made, -NEAR))
            with pytest.raises(Refused, match="say the entry"):
                await made.engine.proposals.take(order(made, NEAR, entry=None))

    run_virtual(run())


def test_an_order_that_was_placed_but_said_to_be_refused_is_followed_all_the_same(tmp_path: Path) -> None:
    refused = Answers(executed=True, retcode=10006)

    def lie(honest: Any, request: dict[str, Any]) -> Any:
        return refused(honest, {**request, "action": 1}) if refused.hits else _first(honest, request)

    def _first(honest: Any, request: dict[str, Any]) -> Any:
        refused.hits += 1
        reply = honest(request)
        return type("Reply", (), {"_asdict": lambda self: {**reply._asdict(), "retcode": 10006}})()

    async def run() -> None:
        async with world(tmp_path, terminal=terminal_without_levels(), faults={"order_send": lie}) as made:
            signal = await placed(made, order(made, NEAR))
            assert (await made.events("trade_failed"))[0]["signal"] == signal.id
            await made.until(lambda: made.engine.cycle.reading.positions, 3600.0)
            finished = None
            for _ in range(100):
                finished = await made.engine.book.finished(signal.id)
                if finished is not None and finished.state is SignalState.EXECUTED:
                    break
                await asyncio.sleep(0.2)
            assert finished is not None
            assert finished.state is SignalState.EXECUTED
            assert finished.filled == 0.5

    run_virtual(run())


def test_a_clock_that_is_set_back_does_not_let_an_order_stand_longer(tmp_path: Path) -> None:
    async def run() -> None:
        # The symbol knows no expiry by time: only the engine ends the order.
        terminal = terminal_without_levels(expiration_mode=1)
        async with world(tmp_path, terminal=terminal) as made:
            await placed(made, order(made, FAR, order_seconds=30.0))
            await asyncio.sleep(5)
            made.clock.offset -= timedelta(hours=1)
            await made.until(lambda: not made.engine.book.all(), 40.0)
            assert (await made.events("order_cancelling"))[0]["reason"] == "its time ran out"
        terminal.shutdown()

    run_virtual(run())
