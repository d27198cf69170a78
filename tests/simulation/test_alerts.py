"""Alerts in a whole engine: raised by what happens, kept through deaths, and in nobody's way."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.alerts import desk
from engine.alerts.board import Board
from engine.alerts.delivery import Report, Result
from engine.alerts.letter import Message
from engine.alerts.rules import Rules, Severity
from engine.control.messages import Acknowledge, Flatten, TestAlert
from engine.events import EventType
from engine.paper.terminal import PaperTerminal, TerminalConfig
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, world

SETTINGS: dict[str, Any] = {
    "alerts": {"targets": ["phone"], "escalation": ["boss"], "repeat_seconds": 300},
    "paper": {"demo_strategy": False},
}


class Messenger:
    """Answers as told: at once with `why`, or never."""

    def __init__(self, why: str | None = None, *, hangs: bool = False) -> None:
        self.why = why
        self.hangs = hangs
        self.sent: list[Message] = []
        self.waiting: list[Callable[[], None]] = []

    def send(self, messages: Sequence[Message], report: Report) -> None:
        self.sent += messages
        for message in messages:
            if not self.hangs:
                report(Result(message.target, self.why))

    async def close(self) -> None:
        """Nothing is under way."""

    def to(self, target: str) -> list[str]:
        return [message.body for message in self.sent if message.target == target]


def trip(made: World) -> None:
    """Make up a breach of the drawdown: it is the guard's own way from here on."""
    made.engine.recorder.urgent_soon(EventType.GUARD_TRIPPED, guard="drawdown", said="a made-up breach")


def test_a_breach_is_told_at_once_and_repeated_with_the_escalation_until_it_is_acknowledged(tmp_path: Path) -> None:
    async def main() -> None:
        messenger = Messenger()
        async with world(tmp_path, settings=SETTINGS, courier=messenger) as made:
            trip(made)
            await made.until(lambda: messenger.sent, 2)
            assert "a made-up breach" in messenger.to("phone")[0]
            await made.until(lambda: len(messenger.to("phone")) == 3 and len(messenger.to("boss")) == 2, 700)
            (view,) = made.target.snapshot().alerts
            assert (view.severity, view.delivered_to, view.failing) == ("critical", ["phone", "boss"], [])
            wrong = await made.command(Acknowledge(ids=["NOPE1"]))
            assert not wrong.accepted
            assert "NOPE1" in wrong.message
            answer = await made.command(Acknowledge(ids=[view.id]), "seen")
            assert answer.accepted, answer.message
            assert made.target.snapshot().alerts == []
            sent = len(messenger.sent)
            await asyncio.sleep(1000)
            assert len(messenger.sent) == sent
            (acknowledged,) = await made.events("alert_acknowledged")
            assert (acknowledged["operator"], acknowledged["ids"], acknowledged["reason"]) == (
                "tester",
                [view.id],
                "seen",
            )
            assert [item["target"] for item in await made.events("alert_delivered")].count("boss") == 2

    run_virtual(main())


def test_guard_cycles_go_on_at_their_pace_while_a_delivery_never_ends(tmp_path: Path) -> None:
    async def cycles(messenger: Messenger, folder: Path) -> int:
        async with world(folder, settings=SETTINGS, courier=messenger) as made:
            counted = 0
            judge = made.engine.cycle.once

            async def once() -> None:
                nonlocal counted
                counted += 1
                await judge()

            made.engine.cycle.once = once  # type: ignore[method-assign]
            trip(made)
            await asyncio.sleep(60)
            for number in range(500):
                made.engine.alerts.raise_alert(f"k{number}", Severity.CRITICAL, "x")
            await asyncio.sleep(60)
            assert not made.running.done()
            return counted

    for name in ("well", "hung"):
        (tmp_path / name).mkdir()
    well = run_virtual(cycles(Messenger(), tmp_path / "well"))
    hung = run_virtual(cycles(Messenger(hangs=True), tmp_path / "hung"))
    assert hung == well > 1100


def test_a_failed_delivery_is_journalled_shown_and_tried_again(tmp_path: Path) -> None:
    async def main() -> None:
        messenger = Messenger("the service answered 500")
        async with world(tmp_path, settings=SETTINGS, courier=messenger) as made:
            trip(made)
            await made.until(lambda: len(messenger.sent) == 3, 30)
            (view,) = made.target.snapshot().alerts
            assert view.failing == ["phone: the service answered 500"]
            messenger.why = None
            await made.until(lambda: made.target.snapshot().alerts[0].delivered_to == ["phone"], 60)
            failed = await made.events("alert_failed")
            assert [(item["attempt"], item["reason"]) for item in failed] == [
                (1, "the service answered 500"),
                (2, "the service answered 500"),
                (3, "the service answered 500"),
            ]

    run_virtual(main())


def test_open_alerts_survive_a_death_which_is_told_too_and_go_on_escalating(tmp_path: Path) -> None:
    terminal = PaperTerminal.open(TerminalConfig(seed=1))
    kept: list[str] = []

    async def first() -> None:
        async with world(tmp_path, terminal=terminal, settings=SETTINGS, courier=Messenger()) as made:
            trip(made)
            await made.until(lambda: made.target.snapshot().alerts and made.target.snapshot().alerts[0].delivered_to, 5)
            await asyncio.sleep(1)
            kept.append(made.target.snapshot().alerts[0].id)
            await made.crash()

    async def second() -> None:
        messenger = Messenger()
        async with world(tmp_path, terminal=terminal, settings=SETTINGS, courier=messenger) as made:
            views = {view.key: view for view in made.target.snapshot().alerts}
            assert views["guard:drawdown:tripped"].id == kept[0]
            assert views["guard:drawdown:tripped"].delivered_to == ["phone"]
            assert "died" in views["death"].text
            assert not [body for body in messenger.to("phone") if "made-up" in body], "it has been told of that"
            await made.until(lambda: any("made-up" in body for body in messenger.to("boss")), 320)
            assert (await made.command(Acknowledge(all=True))).accepted
            await asyncio.sleep(1)

    async def third() -> None:
        async with world(tmp_path, terminal=terminal, settings=SETTINGS, courier=Messenger()) as made:
            assert made.target.snapshot().alerts == []

    for run in (first, second, third):
        run_virtual(run())


def test_a_bug_in_alerts_is_shown_and_guards_and_journal_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with world(tmp_path, settings=SETTINGS, courier=Messenger()) as made:
            monkeypatch.setattr(Rules, "finding", _raise)
            trip(made)
            await asyncio.sleep(2)
            assert (await made.events("guard_tripped"))[0]["said"] == "a made-up breach"
            assert any("ALERTS FAILED" in notice for notice in made.target.snapshot().engine.notices)
            monkeypatch.undo()
            monkeypatch.setattr(Board, "due", _raise)
            before = made.engine.cycle.completed_at or 0.0
            await asyncio.sleep(20)
            assert (made.engine.cycle.completed_at or 0.0) > before + 19
            assert not made.running.done()

    run_virtual(main())


def _raise(*_: object) -> None:
    raise RuntimeError("a bug")


def test_a_journal_that_has_failed_is_told_although_nothing_can_be_recorded(tmp_path: Path) -> None:
    async def main() -> None:
        messenger = Messenger()
        async with world(tmp_path, settings=SETTINGS, courier=messenger) as made:
            made.journal._store._fail("commit", OSError("the disk is gone"))
            await made.until(lambda: messenger.sent, 3)
            assert "The journal failed" in messenger.sent[0].body
            trip(made)
            await made.until(lambda: len(messenger.sent) == 2, 3)
            assert "a made-up breach" in messenger.sent[1].body

    run_virtual(main())


def test_a_test_reaches_every_target_and_its_events_tell_which(tmp_path: Path) -> None:
    async def main() -> None:
        messenger = Messenger()
        async with world(tmp_path, settings=SETTINGS, courier=messenger) as made:
            answer = await made.command(TestAlert())
            assert answer.accepted
            assert answer.data["targets"] == ["phone", "boss"]
            await asyncio.sleep(1)
            told = await made.events("alert_delivered")
            assert [(item["target"], item["ids"]) for item in told] == [
                ("phone", [answer.data["test"]]),
                ("boss", [answer.data["test"]]),
            ]
            assert made.target.snapshot().alerts == []

    run_virtual(main())


def test_without_targets_alerts_are_shown_and_journalled_and_a_test_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        messenger = Messenger()
        async with world(tmp_path, courier=messenger) as made:
            assert "nobody is told" in caplog.text
            trip(made)
            await asyncio.sleep(1000)
            assert messenger.sent == []
            assert [view.key for view in made.target.snapshot().alerts] == ["guard:drawdown:tripped"]
            assert len(await made.events("alert_raised")) == 1
            answer = await made.command(TestAlert())
            assert not answer.accepted
            assert "names no target" in answer.message
            assert not (await made.command(Acknowledge())).accepted

    run_virtual(main())


def test_a_real_flatten_by_a_guard_is_told_as_trip_start_and_halt(tmp_path: Path) -> None:
    async def main() -> None:
        messenger = Messenger()
        settings = {**SETTINGS, "guards": {"equity_floor": {"money": 9_990.0}}}
        async with world(tmp_path, settings=settings, courier=messenger) as made:
            await made.bought(volume=5.0, distance=0.05)
            await made.until(lambda: made.engine.modes.mode == "HALTED", 600)
            await asyncio.sleep(1)
            keys = {view.key.split(":F")[0] for view in made.target.snapshot().alerts}
            assert {"guard:equity floor:tripped", "flatten", "halt"} <= keys, keys

    run_virtual(main())


def test_an_operators_own_flatten_raises_no_critical_alert(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, settings=SETTINGS, courier=Messenger()) as made:
            await made.command(Flatten())
            await made.until(lambda: made.engine.modes.mode == "HALTED")
            await asyncio.sleep(1)
            severities = {view.key.split(":")[0]: view.severity for view in made.target.snapshot().alerts}
            assert severities == {"halt": "warning", "flatten": "warning"}

    run_virtual(main())


def test_what_a_kill_kept_from_being_told_is_told_at_the_next_start(tmp_path: Path) -> None:
    terminal = PaperTerminal.open(TerminalConfig(seed=1))

    async def first() -> None:
        async with world(tmp_path, terminal=terminal, settings=SETTINGS) as made:
            # Without a courier nothing is raised: as if each alert had been lost with the process.
            recorder = made.engine.recorder
            recorder.urgent_soon(EventType.READING_BLIND, age_seconds=5.0, reason="over by now")
            recorder.urgent_soon(EventType.READING_RESTORED)
            recorder.urgent_soon(EventType.ALERT_RAISED, id="QQQQQ", key="stop:7", **_RAISED)
            recorder.urgent_soon(EventType.STOP_MISSING, position=7, symbol="EURUSD")
            recorder.urgent_soon(EventType.STOP_MISSING, position=8, symbol="EURUSD")
            recorder.urgent_soon(EventType.ALERT_RAISED, id="RRRRR", key="stop:8", **_RAISED)
            trip(made)
            await recorder.drained()
            await made.crash()

    async def second() -> None:
        messenger = Messenger()
        async with world(tmp_path, terminal=terminal, settings=SETTINGS, courier=messenger) as made:
            views = {view.key: view for view in made.target.snapshot().alerts}
            assert views.keys() == {"guard:drawdown:tripped", "stop:7", "stop:8", "death"}
            assert "a made-up breach (06:00:" in views["guard:drawdown:tripped"].text
            # Raised once before and now once more; the other one was told.
            assert (views["stop:7"].count, views["stop:8"].count) == (2, 1)
            await made.until(lambda: any("a made-up breach" in body for body in messenger.to("phone")), 5)

    for run in (first, second):
        run_virtual(run())


def test_of_too_many_events_the_newest_are_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "_UNTOLD", 3)
    terminal = PaperTerminal.open(TerminalConfig(seed=1))

    async def first() -> None:
        async with world(tmp_path, terminal=terminal, settings=SETTINGS) as made:
            for _ in range(10):
                made.engine.recorder.urgent_soon(EventType.READING_RESTORED)
            trip(made)
            await made.engine.recorder.drained()
            await made.crash()

    async def second() -> None:
        async with world(tmp_path, terminal=terminal, settings=SETTINGS, courier=Messenger()) as made:
            assert "guard:drawdown:tripped" in {view.key for view in made.target.snapshot().alerts}

    for run in (first, second):
        run_virtual(run())


_RAISED = {"severity": "critical", "text": "told", "raised_at": "2026-01-05T06:00:00.000000Z", "count": 1}
