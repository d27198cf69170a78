"""Scoped closes: what they cover, what they leave, and that each is done once and proves itself."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from engine.broker.connection import Frame
from engine.control import messages as wire
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.settling import is_closing
from engine.state import EngineMode
from tests.simulation.campaign import truth
from tests.simulation.closing import (
    QUICK,
    SELL,
    Closes,
    by_hand,
    check_journal,
    closed_lots,
    ended,
    held,
    one,
    refused,
    seen,
    start,
    terminal_with,
    view,
    volumes,
    waiting_order,
)
from tests.simulation.test_commands_everywhere import slow_down
from tests.simulation.test_execution import is_opening
from tests.simulation.test_flatten import closes
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, world

CLOSED = re.compile(r"^closed, confirmed by the broker at \d\d:\d\d:\d\d UTC")
UNKNOWN = [
    {"error": -10002},
    {"error": -10005},
    {"error": -1},
    {"retcode": 10011},
    {"retcode": 10012},
    {"retcode": 10031},
    {"retcode": 10999},
    {"retcode": 10008},
    {"retcode": 10004},
    {"retcode": 10006},
]
"""Answers after which a close may have been executed; the last two are refusals that lie."""


async def buy(made: World, symbol: str, volume: float, source: str = "test") -> None:
    """A position of a source."""
    before = len(made.engine.cycle.reading.positions or ())
    signal = await made.engine.proposals.take(made.buy(symbol, volume, 0.05, source=source))
    assert (await made.approve(signal)).accepted
    await seen(made, before + 1)


def test_a_symbol_is_closed_with_its_orders_and_nothing_else_and_the_mode_stays(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = terminal_with()
        async with world(tmp_path, terminal=terminal) as made:
            await buy(made, "EURUSD", 0.3)
            await buy(made, "GBPUSD", 0.2)
            by_hand(terminal, "EURUSD", 0.1, SELL)
            waiting_order(terminal, "EURUSD")
            waiting_order(terminal, "GBPUSD")
            await seen(made, 3)
            done = await ended(made, await start(made, wire.SymbolScope(symbol="EURUSD")))
            assert CLOSED.match(done.statement)
            assert (done.state, done.positions_closed, done.orders_cancelled) == ("DONE", 2, 1)
            books = truth(terminal)
            assert volumes(terminal) == {"GBPUSD": 0.2}
            assert [order.symbol for order in books.orders.values()] == ["GBPUSD"]
            assert made.engine.modes.mode is EngineMode.RUNNING
            kinds = [event["kind"] for event in await made.events() if event["kind"].startswith("closing_")]
            assert kinds == ["closing_started", *["closing_progress"] * 3, "closing_finished"]
            check_journal(made)
        terminal.shutdown()

    run_virtual(run())


def test_a_source_is_closed_and_the_others_stay(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await buy(made, "EURUSD", 0.3, "alpha")
            await buy(made, "EURUSD", 0.2, "beta")
            by_hand(made.terminal, "EURUSD", 0.1)
            await seen(made, 3)
            assert "nothing to close" in await refused(made, wire.SourceScope(source="gamma"))
            await made.until(lambda: made.target.snapshot().positions[0].source == "alpha")
            done = await ended(made, await start(made, wire.SourceScope(source="alpha")))
            assert CLOSED.match(done.statement)
            assert volumes(made.terminal) == {"EURUSD": 0.3}
            assert [item.source for item in made.target.snapshot().positions] == ["beta", ""]

    run_virtual(run())


@pytest.mark.parametrize("kind", ["losers", "winners"])
def test_losers_and_winners_are_those_of_the_start_whatever_they_become(tmp_path: Path, kind: str) -> None:
    async def run() -> None:
        slow = Closes(retcode=10004, times=400)
        async with world(tmp_path, faults=slow.faults) as made:
            for symbol in ("EURUSD", "GBPUSD"):
                by_hand(made.terminal, symbol, 0.2)
                by_hand(made.terminal, symbol, 0.1, SELL)

            def profits() -> dict[int, float]:
                return {item.identifier: item.profit + item.swap for item in made.engine.cycle.reading.positions or ()}

            def mixed() -> bool:
                return min(profits().values(), default=0) < 0 < max(profits().values(), default=0)

            await made.until(mixed, 3600)
            sign = -1 if kind == "losers" else 1
            chosen = {name for name, profit in profits().items() if profit * sign > 0}
            name = await start(made, wire.LosersScope() if kind == "losers" else wire.WinnersScope())
            # The market goes on: another one becomes what was asked for, and is not touched.
            others = set(profits()) - chosen
            await made.until(lambda: any(profits()[one] * sign > 0 for one in others), 36_000)
            slow.times = 0
            await ended(made, name, 120)
            assert {position.identifier for position in held(made.terminal)} == others

    run_virtual(run())


def test_one_position_is_closed_and_a_part_leaves_the_rest(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await buy(made, "EURUSD", 1.0)
            await buy(made, "EURUSD", 0.5)
            name = await start(made, one(made, 0, 0.3))
            done = await ended(made, name)
            assert CLOSED.match(done.statement)
            assert done.statement.endswith(": 0.3 lots by this close, 0.7 left")
            assert volumes(made.terminal) == {"EURUSD": 1.2}
            await made.until(lambda: made.target.snapshot().positions[0].volume == 0.7)
            await ended(made, await start(made, one(made, 0)))
            assert volumes(made.terminal) == {"EURUSD": 0.5}
            check_journal(made)

    run_virtual(run())


@pytest.mark.parametrize("answer", UNKNOWN, ids=str)
def test_a_part_whose_answer_is_lost_is_not_closed_twice(tmp_path: Path, answer: dict[str, int]) -> None:
    lost = Closes(executed="yes", **answer)

    async def run() -> None:
        async with world(tmp_path, faults=lost.faults) as made:
            await buy(made, "EURUSD", 1.0)
            done = await ended(made, await start(made, one(made, 0, 0.3)), 200.0)
            assert len(lost.requests) == 1
            assert done.state == "DONE"
            assert closed_lots(made.terminal) == 0.3
            sent = lost.requests[0]
            assert is_closing(sent["magic"])
            assert sent["magic"] < 2**63
            assert len(sent["comment"]) <= 26

    run_virtual(run())


@pytest.mark.parametrize("answer", UNKNOWN[:-2], ids=str)
def test_a_part_that_comes_late_is_closed_once(tmp_path: Path, answer: dict[str, int]) -> None:
    late = Closes(executed=30.0, **answer)

    async def run() -> None:
        async with world(tmp_path, faults=late.faults) as made:
            await buy(made, "EURUSD", 1.0)
            name = await start(made, one(made, 0, 0.3))
            await asyncio.sleep(20)
            assert view(made, name).state == "RUNNING"
            assert made.engine.closings.blocks_entry("EURUSD", "any") is not None
            await ended(made, name)
            assert len(late.requests) == 1
            assert closed_lots(made.terminal) == 0.3

    run_virtual(run())


@pytest.mark.parametrize("answer", UNKNOWN[:-2], ids=str)
def test_a_part_that_never_came_is_sent_again_only_after_the_settle_time(
    tmp_path: Path, answer: dict[str, int]
) -> None:
    lost = Closes(executed="no", **answer)

    async def run() -> None:
        async with world(tmp_path, faults=lost.faults) as made:
            await buy(made, "EURUSD", 1.0)
            await ended(made, await start(made, one(made, 0, 0.3)), 200.0)
            assert len(lost.requests) == 2
            assert lost.at[1] - lost.at[0] >= 90.0
            assert closed_lots(made.terminal) == 0.3

    run_virtual(run())


def test_the_settle_time_does_not_run_while_the_terminal_is_not_connected(tmp_path: Path) -> None:
    lost = Closes(executed="no", error=-10002)
    faults = lost.faults

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            await buy(made, "EURUSD", 1.0)
            await start(made, one(made, 0, 0.3))
            await asyncio.sleep(60)
            honest = faults.pop("terminal_info", None)
            assert honest is None
            faults["terminal_info"] = _disconnected
            await asyncio.sleep(60)
            del faults["terminal_info"]
            await asyncio.sleep(60)
            assert len(lost.requests) == 1
            await made.until(lambda: len(lost.requests) == 2)

    run_virtual(run())


def _disconnected(honest: Any) -> Any:
    from tests.simulation.test_execution import Struct

    return Struct(honest(), connected=False)


def test_a_part_never_takes_more_than_leaves_what_was_to_stay(tmp_path: Path) -> None:
    slow = Closes(retcode=10004, times=10)

    async def run() -> None:
        async with world(tmp_path, faults=slow.faults) as made:
            await buy(made, "EURUSD", 1.0)
            identifier = held(made.terminal)[0].identifier
            name = await start(made, one(made, 0, 0.5))
            await made.until(lambda: len(slow.requests) == 2)
            by_hand(made.terminal, "EURUSD", 0.3, SELL, position=identifier)
            done = await ended(made, name)
            assert volumes(made.terminal) == {"EURUSD": 0.5}
            assert "0.2 lots by this close, 0.5 left" in done.statement

    run_virtual(run())


def test_what_cannot_be_closed_so_is_refused_in_words(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            assert "nothing to close" in await refused(made, wire.SymbolScope(symbol="EURUSD"))
            assert "no losers" in await refused(made, wire.LosersScope())
            assert "no winners" in await refused(made, wire.WinnersScope())
            await buy(made, "EURUSD", 0.5)
            shown = made.target.snapshot().positions[0]

            async def why(**changes: Any) -> str:
                values = {"position": shown.identifier, "seen_volume": 0.5, **changes}
                return await refused(made, wire.PositionScope(**values))

            assert "has 0.5 lots now, you saw 0.4" in await why(seen_volume=0.4)
            assert "is not open" in await why(position=shown.identifier + 1)
            assert "more than the position has" in await why(volume=0.6)
            assert "volume step" in await why(volume=0.105)
            assert "volume step" in await why(volume=0.005)
            assert "nothing to close" in await refused(made, wire.SymbolScope(symbol="GBPUSD"))
            assert held(made.terminal)[0].volume == 0.5
            unsaid = await made.command(wire.CancelClose(id="nothing"))
            assert "needs a reason" in unsaid.message
            assert "no close 'nothing'" in (await made.command(wire.CancelClose(id="nothing"), "test")).message

    run_virtual(run())


def test_a_second_close_of_the_same_is_refused(tmp_path: Path) -> None:
    stuck = Closes(retcode=10004, times=10_000)

    async def run() -> None:
        async with world(tmp_path, faults=stuck.faults) as made:
            await buy(made, "EURUSD", 1.0)
            first = await start(made, wire.SymbolScope(symbol="EURUSD"))
            assert f"close {first} is under way" in await refused(made, wire.SymbolScope(symbol="EURUSD"))
            part = await start(made, one(made, 0, 0.3))
            assert f"close {part} is under way" in await refused(made, one(made, 0))
            assert f"close {part} is under way" in await refused(made, one(made, 0, 0.2))
            stuck.times = 0
            await ended(made, first)
            await ended(made, part)
            assert closed_lots(made.terminal) == 1.0

    run_virtual(run())


@pytest.mark.parametrize("kind", ["symbol", "source"])
def test_what_appears_while_a_symbol_or_a_source_is_closed_is_closed_too(tmp_path: Path, kind: str) -> None:
    stuck = Closes(retcode=10004, times=10_000)

    async def run() -> None:
        async with world(tmp_path, faults=stuck.faults) as made:
            await buy(made, "EURUSD", 0.3, "alpha")
            magic = held(made.terminal)[0].magic
            scope: wire.CloseScope = (
                wire.SymbolScope(symbol="EURUSD") if kind == "symbol" else wire.SourceScope(source="alpha")
            )
            name = await start(made, scope)
            await asyncio.sleep(1)
            by_hand(made.terminal, "EURUSD", 0.2, magic=magic)
            waiting_order(made.terminal, "EURUSD", magic=magic)
            await asyncio.sleep(1)
            stuck.times = 0
            done = await ended(made, name)
            assert (done.positions_closed, done.orders_cancelled) == (2, 1)
            assert held(made.terminal) == []
            assert truth(made.terminal).orders == {}

    run_virtual(run())


def test_closed_is_said_only_a_second_after_the_first_empty_look_and_when_deals_explain_it(tmp_path: Path) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            for hidden in (False, True):
                await buy(made, "EURUSD", 0.3)
                name = await start(made, wire.SymbolScope(symbol="EURUSD"))
                await made.until(lambda: held(made.terminal) == [])
                emptied = made.engine.clock.monotonic()
                if hidden:
                    faults["history_deals_get"] = lambda honest, *args, **kwargs: ()
                    await asyncio.sleep(5)
                    assert view(made, name).state == "RUNNING"
                    assert "its deals do not close it" in view(made, name).remaining[0]
                    faults.clear()
                await ended(made, name)
                assert made.engine.clock.monotonic() - emptied >= 1.0

    run_virtual(run())


def test_it_is_not_called_closed_while_an_order_for_it_may_still_be_filled(tmp_path: Path) -> None:
    """An opening whose answer was lost comes while its symbol is closed: it is waited for, and closed."""
    pending: list[Any] = []

    def lose(honest: Any, request: dict[str, Any]) -> Any:
        if "position" in request or request["magic"] == 0 or len(pending) != 0 or request["volume"] != 0.4:
            return honest(request)
        pending.append(request)
        asyncio.get_running_loop().call_later(20.0, honest, request)
        return None

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": lose}) as made:
            await buy(made, "EURUSD", 0.3)
            signal = await made.engine.proposals.take(made.buy("EURUSD", 0.4, 0.05))
            await made.approve(signal)
            await made.until(lambda: made.engine.book.unresolved())
            name = await start(made, wire.SymbolScope(symbol="EURUSD"))
            await asyncio.sleep(10)
            assert "unresolved" in view(made, name).remaining[0]
            await ended(made, name)
            assert made.engine.clock.monotonic() > 20
            assert held(made.terminal) == []

    run_virtual(run())


def test_entries_in_the_scope_are_blocked_and_others_go_through(tmp_path: Path) -> None:
    stuck = Closes(retcode=10004, times=10_000)

    async def run() -> None:
        async with world(tmp_path, faults=stuck.faults) as made:
            await buy(made, "EURUSD", 0.3, "alpha")
            blocks = made.engine.closings.blocks_entry
            assert blocks("EURUSD", "alpha") is None
            name = await start(made, wire.SymbolScope(symbol="EURUSD"))
            signal = await made.engine.proposals.take(made.buy("EURUSD", 0.1, 0.05))
            assert f"close {name} is under way" in (await made.approve(signal)).message
            assert blocks("GBPUSD", "alpha") is None
            other = await made.engine.proposals.take(made.buy("GBPUSD", 0.1, 0.05, source="alpha"))
            source = await start(made, wire.SourceScope(source="alpha"))
            assert f"close {source} is under way" in (await made.approve(other)).message
            assert blocks("GBPUSD", "beta") is None
            losers = await start(made, wire.LosersScope())
            assert made.engine.closings.active()[-1].id == losers
            stuck.times = 0
            for job in (name, source, losers):
                await ended(made, job)
            assert blocks("EURUSD", "alpha") is None
            assert (await made.approve(other)).accepted

    run_virtual(run())


def test_a_close_interrupted_by_a_kill_goes_on_at_the_next_start(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = terminal_with()
        stuck = Closes(error=-10002, times=10_000)
        async with world(tmp_path, terminal=terminal, faults=stuck.faults) as made:
            await buy(made, "EURUSD", 0.3)
            await buy(made, "GBPUSD", 0.2)
            name = await start(made, wire.SymbolScope(symbol="EURUSD"), "storm")
            await asyncio.sleep(1)
            await made.crash()
        assert volumes(terminal) == {"EURUSD": 0.3, "GBPUSD": 0.2}
        async with world(tmp_path, terminal=terminal, seed=2) as again:
            assert again.engine.modes.mode is EngineMode.RUNNING
            done = await ended(again, name)
            assert CLOSED.match(done.statement)
            assert (done.reason, done.scope) == ("storm", "everything of EURUSD")
            assert volumes(terminal) == {"GBPUSD": 0.2}
        async with world(tmp_path, terminal=terminal, seed=3) as third:
            assert view(third, name).statement == done.statement
            check_journal(third)
        terminal.shutdown()

    run_virtual(run())


@pytest.mark.parametrize("executed", ["yes", "no", 40.0])
def test_a_part_that_was_in_flight_at_a_kill_is_closed_once(tmp_path: Path, executed: str | float) -> None:
    async def run() -> None:
        terminal = terminal_with()
        lost = Closes(executed=executed, error=-10002, times=1)

        async def frozen(frame: Frame) -> None:
            if lost.requests:
                await asyncio.Event().wait()

        async with world(tmp_path, terminal=terminal, faults=lost.faults, after=frozen) as made:
            await buy(made, "EURUSD", 1.0)
            name = await start(made, one(made, 0, 0.3))
            await made.until(lambda: lost.requests)
            await made.crash()
        again_sent = Closes(executed="no", times=0)
        async with world(tmp_path, terminal=terminal, faults=again_sent.faults, seed=2) as again:
            await ended(again, name, 200.0)
            assert len(again_sent.requests) == (1 if executed == "no" else 0)
            assert closed_lots(terminal) == 0.3
            check_journal(again)
        terminal.shutdown()

    run_virtual(run())


def test_a_flatten_takes_over_what_is_being_closed(tmp_path: Path) -> None:
    stuck = Closes(retcode=10004, times=10_000)

    async def run() -> None:
        async with world(tmp_path, faults=stuck.faults, settings=QUICK) as made:
            await buy(made, "EURUSD", 0.3)
            name = await start(made, wire.SymbolScope(symbol="EURUSD"))
            assert (await made.command(wire.Flatten(), "enough")).accepted
            done = view(made, name)
            flatten = made.target.snapshot().flatten
            assert flatten is not None
            assert done.state == "CANCELLED"
            assert done.statement == f"superseded by flatten {flatten.id} of the whole account"
            assert "whole account is being flattened" in await refused(made, wire.SymbolScope(symbol="EURUSD"))
            stuck.times = 0
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert held(made.terminal) == []
            check_journal(made)

    run_virtual(run())


def test_a_deferred_close_is_shown_tried_again_and_can_be_cancelled(tmp_path: Path) -> None:
    shut = Closes(retcode=10018, times=10_000)

    async def run() -> None:
        async with world(tmp_path, faults=shut.faults) as made:
            await buy(made, "EURUSD", 0.3)
            name = await start(made, wire.SymbolScope(symbol="EURUSD"))
            await made.until(lambda: view(made, name).state == "DEFERRED")
            await asyncio.sleep(300)
            assert len(await made.events("closing_deferred")) == 1
            assert len(shut.requests) <= 20
            assert "10018 market is closed" in view(made, name).remaining[0]
            assert not (await made.command(wire.CancelClose(id=name), " ")).accepted
            assert (await made.command(wire.CancelClose(id=name), "not worth it")).accepted
            done = view(made, name)
            assert done.state == "CANCELLED"
            assert "not worth it" in done.statement
            assert "10018" in done.statement
            tries = len(shut.requests)
            await asyncio.sleep(60)
            assert len(shut.requests) == tries
            assert made.engine.closings.blocks_entry("EURUSD", "test") is None
            assert f"close {name} is CANCELLED" in (await made.command(wire.CancelClose(id=name), "again")).message
            check_journal(made)

    run_virtual(run())


def test_closing_works_while_paused_and_while_halted(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await buy(made, "EURUSD", 0.3)
            assert (await made.command(wire.Pause())).accepted
            await ended(made, await start(made, wire.SymbolScope(symbol="EURUSD")))
            assert made.engine.modes.mode is EngineMode.PAUSED
            assert held(made.terminal) == []

    run_virtual(run())


def test_a_hung_read_does_not_hold_up_the_first_close_of_a_symbol(tmp_path: Path) -> None:
    hanging = [False]
    sent_at: list[float] = []

    async def hook(frame: Frame) -> None:
        if closes(frame):
            sent_at.append(asyncio.get_running_loop().time())
        elif hanging[0]:
            await asyncio.Event().wait()

    async def run() -> None:
        async with world(tmp_path, before=hook) as made:
            await buy(made, "EURUSD", 0.3)
            hanging[0] = True
            await asyncio.sleep(0.15)
            asked = made.engine.clock.monotonic()
            await start(made, wire.SymbolScope(symbol="EURUSD"))
            await made.until(lambda: sent_at, 5.0)
            assert sent_at[0] - asked < 0.05
            hanging[0] = False

    run_virtual(run())


def test_where_the_oldest_must_go_first_it_does_and_a_younger_one_waits(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = terminal_with(fifo_close=True)
        first_refused = Closes(retcode=10004, times=1)
        async with world(tmp_path, terminal=terminal, faults=first_refused.faults) as made:
            for volume in (0.1, 0.7, 0.3):
                await buy(made, "EURUSD", volume)
                await asyncio.sleep(2)
            ages = [position.ticket for position in held(terminal)]
            await ended(made, await start(made, wire.SymbolScope(symbol="EURUSD")))
            assert [request["position"] for request in first_refused.requests] == [ages[0], *ages]
        terminal.shutdown()

    run_virtual(run())


def test_what_waits_for_an_older_position_outside_the_scope_is_deferred_until_that_one_is_gone(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = terminal_with(fifo_close=True)
        async with world(tmp_path, terminal=terminal) as made:
            for source in ("beta", "alpha", "alpha"):
                await buy(made, "EURUSD", 0.1, source)
                await asyncio.sleep(2)
            oldest, *others = held(terminal)
            name = await start(made, wire.SourceScope(source="alpha"))
            await made.until(lambda: view(made, name).state == "DEFERRED", 5.0)
            first, second = view(made, name).remaining
            assert "10045" in first
            assert second.endswith(f"waits for position {others[0].ticket} EURUSD buy 0.1")
            await asyncio.sleep(120)
            assert view(made, name).state == "DEFERRED"
            by_hand(terminal, "EURUSD", 0.1, SELL, position=oldest.ticket)
            assert CLOSED.match((await ended(made, name, 5.0)).statement)
        terminal.shutdown()

    run_virtual(run())


def test_a_close_that_is_being_recorded_while_the_engine_stops_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        faults = {"order_send": lambda honest, request: honest(request) if is_opening(request) else None}
        async with world(tmp_path, terminal=terminal, faults=faults) as made:
            await made.bought()
            slow_down(made.journal)
            await made.command(wire.Stop())
            await asyncio.sleep(0.03)
            assert (await made.command(wire.Close(scope=wire.SymbolScope(symbol="EURUSD")))).accepted
            await asyncio.wait({made.running}, timeout=60)
            assert made.running.done()
        async with world(tmp_path, terminal=terminal) as again:
            await again.until(lambda: again.engine.closings.all()[0].state == "DONE")
        terminal.shutdown()

    run_virtual(run())
