"""What an approval may and may not do."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.approvals import Refused
from engine.control import messages as wire
from engine.orders import intent_of
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.signals import SignalState
from engine.state import EngineMode
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, opened_volume, world


def in_world(folder: Path, session, **options) -> None:  # type: ignore[no-untyped-def]  # a test's coroutine
    async def run() -> None:
        async with world(folder, **options) as made:
            await session(made)

    run_virtual(run())


def test_field_09_an_approved_signal_is_executed_once_however_often_it_is_approved(tmp_path: Path) -> None:
    async def session(made: World) -> None:
        signal = await made.engine.proposals.take(made.buy())
        results = [await made.approve(signal) for _ in range(5)]
        assert [result.accepted for result in results] == [True, False, False, False, False]
        await made.until(lambda: made.engine.loop.trades_executed == 1)
        assert opened_volume(made.terminal) == {signal.magic: 0.5}

    in_world(tmp_path, session)


def test_an_approval_of_a_version_that_has_moved_on_is_refused(tmp_path: Path) -> None:
    async def session(made: World) -> None:
        signal = await made.engine.proposals.take(made.buy())
        result = await made.command(wire.Approve(signal=signal.id, version=signal.version + 1))
        assert not result.accepted
        assert "look again" in result.message
        assert made.engine.book.get(signal.id).state is SignalState.PENDING

    in_world(tmp_path, session)


def test_a_rejected_signal_is_gone_and_says_by_whom(tmp_path: Path) -> None:
    async def session(made: World) -> None:
        signal = await made.engine.proposals.take(made.buy())
        assert (await made.command(wire.Reject(signal=signal.id, version=1), "not today")).accepted
        with pytest.raises(Refused, match="no open signal"):
            made.engine.book.get(signal.id)
        rejected = (await made.events("signal_rejected"))[0]
        assert (rejected["reason"], rejected["operator"], rejected["origin"]) == ("not today", "tester", "test")
        assert not (await made.approve(signal)).accepted

    in_world(tmp_path, session)


def test_a_pending_signal_expires_in_its_time_and_cannot_be_approved_after(tmp_path: Path) -> None:
    async def session(made: World) -> None:
        signal = await made.engine.proposals.take(made.buy(expires_seconds=5.0))
        await made.until(lambda: not made.engine.book.all(), 10.0)
        assert [event["from"] for event in await made.events("signal_expired")] == ["PENDING"]
        assert not (await made.approve(signal)).accepted
        assert opened_volume(made.terminal) == {}

    in_world(tmp_path, session)


def test_an_approved_signal_that_cannot_go_out_in_time_expires_unsent(tmp_path: Path) -> None:
    faults = {"symbol_info": lambda honest, *args: None}

    async def session(made: World) -> None:
        faults.clear()
        signal = await made.engine.proposals.take(made.buy(expires_seconds=5.0))
        faults["symbol_info"] = lambda honest, *args: None
        assert (await made.approve(signal)).accepted
        await made.until(lambda: not made.engine.book.all(), 20.0)
        assert [event["from"] for event in await made.events("signal_expired")] == ["APPROVED"]
        assert await made.events("loop_error")
        assert opened_volume(made.terminal) == {}

    in_world(tmp_path, session, faults=faults)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sl": 9.0}, "below the entry"),
        ({"tp": 0.5}, "above the entry"),
        ({"entry": 0.0001}, "below the entry"),
    ],
)
def test_a_proposal_that_makes_no_sense_is_refused_in_words(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    async def session(made: World) -> None:
        with pytest.raises(Refused, match=words):
            await made.engine.proposals.take(made.buy(**changes))

    in_world(tmp_path, session)


def test_an_unknown_symbol_is_refused_by_name(tmp_path: Path) -> None:
    async def session(made: World) -> None:
        result = await made.command(wire.AddSignal(symbol="NOPE", side="buy", volume=1, sl=1, tp=2))
        assert not result.accepted
        assert "NOPE" in result.message

    in_world(tmp_path, session)


def test_while_paused_an_approved_signal_is_blocked_and_nothing_is_sent(tmp_path: Path) -> None:
    async def session(made: World) -> None:
        assert (await made.command(wire.Pause(), "lunch")).accepted
        signal = await made.engine.proposals.take(made.buy())
        refused = await made.approve(signal)
        assert not refused.accepted
        assert "still waits" in refused.message
        await made.engine.book.approve(signal.id, 1, operator="t", origin="t")
        made.engine.loop.wake()
        await made.until(lambda: not made.engine.book.all())
        assert "PAUSED" in (await made.events("signal_blocked"))[0]["reason"]
        assert opened_volume(made.terminal) == {}
        assert (await made.command(wire.Pause())).accepted
        assert (await made.command(wire.Resume())).accepted
        await made.bought()

    in_world(tmp_path, session)


def test_the_claim_is_refused_when_the_mode_has_changed_in_the_journal(tmp_path: Path) -> None:
    async def session(made: World) -> None:
        engine = made.engine
        signal = await engine.book.approve((await engine.proposals.take(made.buy())).id, 1, operator="t", origin="t")
        spec = await engine.specs.get("EURUSD")
        tick = engine.cycle.quotes["EURUSD"].tick
        stale = intent_of(
            signal, spec, volume=0.5, epoch=engine.modes.epoch, clock=engine.clock, server_time=engine.server_time(tick)
        )
        await engine.modes.block(EngineMode.PAUSED, "between approval and claim")
        with pytest.raises(Refused, match="not RUNNING"):
            await engine.book.claim(signal, stale)

    in_world(tmp_path, session)


def test_the_journal_itself_refuses_to_claim_what_has_expired(tmp_path: Path) -> None:
    async def session(made: World) -> None:
        engine = made.engine
        await engine.modes.block(EngineMode.PAUSED, "so that the loop leaves it alone")
        await engine.modes.resume("go on")
        signal = await engine.proposals.take(made.buy(expires_seconds=2.0))
        approved = await engine.book.approve(signal.id, 1, operator="t", origin="t")
        engine.book._deadlines[signal.id] = float("inf")  # the monotonic check is out of the way
        faults["symbol_info"] = lambda honest, *args: None
        await asyncio.sleep(3)
        spec, tick = engine.specs.known("EURUSD"), engine.cycle.quotes["EURUSD"].tick
        assert spec is not None
        late = intent_of(
            approved,
            spec,
            volume=0.5,
            epoch=engine.modes.epoch,
            clock=engine.clock,
            server_time=engine.server_time(tick),
        )
        with pytest.raises(Refused, match="had expired"):
            await engine.book.claim(approved, late)

    faults: dict[str, Any] = {}
    in_world(tmp_path, session, faults=faults)


def test_pending_signals_survive_a_crash_with_their_time_running_on(tmp_path: Path) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal) as made:
            signal = await made.engine.proposals.take(made.buy(expires_seconds=100.0))
            await made.crash()
        async with world(tmp_path, terminal=terminal) as again:
            kept = again.engine.book.get(signal.id)
            assert (kept.state, kept.version, kept.sl) == (SignalState.PENDING, 1, signal.sl)
            assert again.engine.book.seconds_left(kept) <= 100.0
            assert (await again.approve(kept)).accepted
            await again.until(lambda: again.engine.loop.trades_executed == 1)
        terminal.shutdown()

    run_virtual(run())
