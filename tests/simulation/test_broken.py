"""What once broke the engine: each test was a way to do harm."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.broker.connection import Frame
from engine.control import messages as wire
from engine.journal.database import Ballast
from engine.paper.control import PaperControl
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.signals import SignalState
from engine.state import EngineMode
from tests.simulation.test_desk import changed
from tests.simulation.test_execution import Answers, Struct, _template, drop_stop, is_opening
from tests.simulation.virtual import run_virtual
from tests.simulation.world import opened_volume, world
from tests.unit.journal.test_failure import break_on


def test_a_signal_that_expires_while_its_order_is_checked_is_not_sent_and_ends_nothing(tmp_path: Path) -> None:
    faults: dict[str, Any] = {}

    async def slow_check(frame: Frame) -> None:
        if any(call[0] == "order_check" for call in frame.get("calls", ())):
            await asyncio.sleep(1.5)

    async def run() -> None:
        async with world(tmp_path, before=slow_check, faults=faults) as made:
            signal = await made.engine.proposals.take(made.buy(expires_seconds=1.0))
            assert (await made.approve(signal)).accepted
            await asyncio.sleep(5)
            assert not made.running.done()
            assert [event["from"] for event in await made.events("signal_expired")] == ["APPROVED"]
            assert opened_volume(made.terminal) == {}

    run_virtual(run())


def test_a_flatten_never_closes_what_is_on_another_account(tmp_path: Path) -> None:
    faults: dict[str, Any] = {}
    closed: list[Any] = []

    def note(honest: Any, request: dict[str, Any]) -> Any:
        if not is_opening(request):
            closed.append(request)
        return honest(request)

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            await made.bought()
            faults["order_send"] = note
            faults["account_info"] = changed(login=5)
            await made.until(lambda: made.engine.cycle.reading.validity == "INVALID")
            assert (await made.command(wire.Flatten())).accepted
            await asyncio.sleep(5)
            assert closed == []
            report = made.target.snapshot().flatten
            assert report is not None
            assert "another account" in report.remaining[0]
            del faults["account_info"]
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert len(closed) == 1

    run_virtual(run())


def test_orders_that_cannot_be_read_do_not_keep_positions_open(tmp_path: Path) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            await made.bought()
            faults["orders_get"] = lambda honest: None
            await asyncio.sleep(0.5)
            await made.command(wire.Flatten())
            await made.until(lambda: made.engine.cycle.reading.positions == (), 10.0)
            await asyncio.sleep(5)
            assert made.engine.modes.mode is EngineMode.FLATTENING
            faults.clear()
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


@pytest.mark.parametrize("what", ["unreadable", "no filling mode"])
def test_a_symbol_whose_conditions_are_of_no_use_is_closed_all_the_same(tmp_path: Path, what: str) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal) as made:
            await made.bought()
        faults["symbol_info"] = (
            (lambda honest, *args: None)
            if what == "unreadable"
            else lambda honest, *args: Struct(honest(*args), filling_mode=0, trade_exemode=2)
        )
        async with world(tmp_path, terminal=terminal, faults=faults) as made:
            await made.command(wire.Flatten())
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED, 30.0)
            assert made.engine.cycle.reading.positions == ()
        terminal.shutdown()

    run_virtual(run())


def test_a_stop_dropped_at_the_fill_is_set_after_a_crash_too(tmp_path: Path) -> None:
    def refuse(honest: Any, request: dict[str, Any]) -> Any:
        if request["action"] == 6:
            return Struct(_template, retcode=10006)
        return drop_stop(honest, request)

    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        async with world(tmp_path, terminal=terminal, faults={"order_send": refuse}) as made:
            await made.bought()
            await asyncio.sleep(1)
            await made.crash()
        async with world(tmp_path, terminal=terminal) as again:
            await again.until(lambda: (again.engine.cycle.reading.positions or ())[0].sl != 0.0, 20.0)
        terminal.shutdown()

    run_virtual(run())


def test_a_stop_dropped_at_the_fill_is_set_without_a_journal_too(tmp_path: Path) -> None:
    broken: list[Any] = []

    async def run() -> None:
        faults: dict[str, Any] = {}
        async with world(tmp_path, faults=faults) as made:

            def drop_and_break(honest: Any, request: dict[str, Any]) -> Any:
                if is_opening(request) and not broken:
                    broken.append(break_on(made.journal, "COMMIT"))
                return drop_stop(honest, request)

            faults["order_send"] = drop_and_break
            signal = await made.engine.proposals.take(made.buy())
            assert (await made.approve(signal)).accepted
            await made.until(lambda: made.engine.cycle.reading.positions, 10.0)
            await made.until(lambda: made.engine.cycle.reading.positions[0].sl != 0.0, 10.0)  # type: ignore[index]

    run_virtual(run())


def test_the_engine_stops_while_a_stop_loss_can_neither_be_set_nor_its_position_closed(tmp_path: Path) -> None:
    sent: list[int] = []

    def refuse(honest: Any, request: dict[str, Any]) -> Any:
        if is_opening(request):
            return drop_stop(honest, request)
        sent.append(1)
        return Struct(_template, retcode=10027)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": refuse}) as made:
            await made.bought()
            await asyncio.sleep(600)
            assert len(sent) < 300, "the broker is flooded"
            assert len(await made.events("stop_missing")) < 300, "the journal is flooded"
            await made.command(wire.Stop())
            async with asyncio.timeout(60):
                await asyncio.wait([made.running])

    run_virtual(run())


def test_without_room_on_the_disk_the_engine_starts_and_goes_on_with_its_flatten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Ballast) -> None:
        raise OSError(28, "No space left on device")

    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        stuck = {"order_send": lambda honest, request: honest(request) if is_opening(request) else None}
        async with world(tmp_path, terminal=terminal, faults=stuck) as made:
            await made.bought()
            await made.command(wire.Flatten(), "storm")
            await asyncio.sleep(1)
            await made.crash()
        monkeypatch.setattr(Ballast, "allocate", full)
        async with world(tmp_path, terminal=terminal) as again:
            await again.until(lambda: again.engine.modes.mode is EngineMode.HALTED)
            assert again.engine.cycle.reading.positions == ()
            assert again.engine.gate.account_refusal()
        terminal.shutdown()

    run_virtual(run())


def test_a_weekend_of_refused_closes_does_not_fill_the_disk(tmp_path: Path) -> None:
    def refuse(honest: Any, request: dict[str, Any]) -> Any:
        return honest(request) if is_opening(request) else Struct(_template, retcode=10018)

    async def run() -> None:
        faults: dict[str, Any] = {"order_send": refuse}
        async with world(tmp_path, faults=faults) as made:
            await made.bought()
            await made.command(wire.Flatten())
            await asyncio.sleep(600)
            assert len(await made.events("flatten_progress")) < 10
            faults.clear()
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


def test_an_order_whose_answer_was_lost_is_found_whatever_the_quotes_time_was(tmp_path: Path) -> None:
    answers = Answers(executed=True, error=-10002)

    async def run() -> None:
        faults: dict[str, Any] = {"order_send": answers, "last_error": answers.last_error}
        async with world(tmp_path, faults=faults) as made:
            faults["symbol_info_tick"] = changed(time_msc=0)
            signal = await made.engine.proposals.take(made.buy())
            assert (await made.approve(signal)).accepted
            await made.until(lambda: not made.engine.book.all(), 60.0)
            assert [event["state"] for event in await made.events("trade_executed")] == [SignalState.EXECUTED]
            assert len(opened_volume(made.terminal)) == 1

    run_virtual(run())


def test_a_position_known_before_the_flatten_must_be_explained_too(tmp_path: Path) -> None:
    faults: dict[str, Any] = {}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            await made.bought()

            def flat_lie(honest: Any) -> Any:
                account = honest()._asdict()
                return Struct(honest(), equity=account["balance"], profit=0.0, margin=0.0)

            # The flatten has no look of before to begin with, and those of its own are lies.
            faults["account_info"] = lambda honest: None
            await made.until(lambda: made.engine.cycle.reading.validity == "INVALID")
            faults["positions_get"] = lambda honest: ()
            faults["account_info"] = flat_lie
            await made.command(wire.Flatten())
            await asyncio.sleep(10)
            assert made.engine.modes.mode is EngineMode.FLATTENING
            faults.clear()
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


def test_the_engine_stops_while_the_broker_no_longer_answers(tmp_path: Path) -> None:
    dead = [False]

    async def hook(frame: Frame) -> None:
        if dead[0]:
            await asyncio.Event().wait()

    async def after(frame: Frame) -> None:
        if any(call[0] == "order_send" for call in frame.get("calls", ())):
            dead[0] = True

    async def run() -> None:
        async with world(tmp_path, before=hook, after=after) as made:
            signal = await made.engine.proposals.take(made.buy())
            assert (await made.approve(signal)).accepted
            await asyncio.sleep(30)
            await made.command(wire.Stop())
            async with asyncio.timeout(120):
                await asyncio.wait([made.running])

    run_virtual(run())


def test_a_charge_that_is_booked_before_the_trade_ends_nothing(tmp_path: Path) -> None:
    asked: list[int] = []

    def charge_first(honest: Any, *args: Any, **kwargs: Any) -> Any:
        deals = honest(*args, **kwargs)
        if not deals:
            return deals
        asked.append(1)
        charge = Struct(deals[-1], type=7, volume=0.0, price=0.0)
        return (charge,) if len(asked) <= 2 else (*deals, charge)

    async def run() -> None:
        faults: dict[str, Any] = {}
        async with world(tmp_path, faults=faults) as made:
            faults["history_deals_get"] = charge_first
            await made.bought()
            await made.until(lambda: not made.engine.book.all(), 20.0)
            assert (await made.events("trade_executed"))[0]["volume"] == 0.5
            asked.clear()
            await made.command(wire.Flatten())
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)

    run_virtual(run())


def test_a_journal_that_is_none_is_said_in_one_sentence_and_leaves_no_terminal_behind(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "paper"
    folder.mkdir(parents=True)
    (folder / "journal.db").write_bytes(b"not a database" * 1000)
    engine = subprocess.run(
        [sys.executable, "-m", "engine"],
        env={**os.environ, "QUARTERDECK_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert engine.returncode == 1
    assert "the engine does not start: journal" in engine.stderr
    assert "Traceback" not in engine.stderr
    with pytest.raises((OSError, EOFError, ValueError)):
        asyncio.run(PaperControl.connect(folder / "paper" / "terminal.json"))
