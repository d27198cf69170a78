"""Who is attached, consoles that only look, leaving by one key, and what is told to whoever comes back."""

from datetime import timedelta
from typing import Any

import pytest

from console.app import Console
from console.away import MOST_PAGES, PAGE, TOLD, Since, look_back
from console.link import Link
from console.screens.away import AwayScreen
from console.screens.flatten import FlattenDialog
from console.widgets.event_log import EventLog
from engine.control.messages import EventsPage, EventView, Snapshot
from tests.console.fake import (
    HOSTILE,
    NOW,
    FakeEngine,
    Ticking,
    connected,
    event,
    frame,
    ink,
    shown,
    signal,
    snapshot,
    toasts,
    until,
)

ME = "c0ffee"


def attached(name: str = "bob", console: str = "other", role: str = "operator", **over: Any) -> dict[str, Any]:
    return {"id": console, "name": name, "role": role, "origin": "console", "since": NOW, **over}


def console(engine: FakeEngine, *, read_only: bool = False) -> Console:
    return Console(Link(engine.attach, console_id=ME, read_only=read_only), Ticking())


class Remembering(FakeEngine):
    """An engine with a journal of the test's own."""

    def __init__(self, first: Snapshot, log: list[EventView]) -> None:
        super().__init__(first)
        self.log = log
        self.asked: list[int] = []

    async def events(self, after: int = 0, limit: int = 100) -> EventsPage:
        self.asked.append(after)
        found = [one for one in self.log if one.seq > after][:limit]
        return EventsPage(events=found, last_seq=self.log[-1].seq if self.log else 0)


def log_of(count: int, **kinds: str) -> list[EventView]:
    """Heartbeats, but for the given ones: _7="guard_tripped"."""
    return [event(seq, kinds.get(f"_{seq}", "heartbeat"), reason=f"number {seq}") for seq in range(1, count + 1)]


@pytest.mark.parametrize("width", [80, 160])
async def test_the_others_are_counted_and_named_where_there_is_room(width: int) -> None:
    here = [attached("ann", ME), attached("bob"), attached(HOSTILE[2], "x", "viewer", via="ssh \x1b[2J10.0.0.5 port 1")]
    app = console(FakeEngine(snapshot(attached=here)))
    async with app.run_test(size=(width, 24)) as pilot:
        await connected(pilot)
        await shown(pilot, "w +2" if width == 80 else "w 2 others: bob, ")
        await pilot.press("w")
        text = await shown(pilot, "WHO IS ATTACHED", "ann", "(this console)", "bob", "viewer", "10.0.0.5 port 1")
        assert "\x1b" not in text
        await pilot.press("w")
        await until(pilot, lambda: "WHO IS ATTACHED" not in frame(app))


async def test_alone_at_the_desk_nobody_else_is_counted() -> None:
    app = console(FakeEngine(snapshot(attached=[attached("ann", ME)])))
    async with app.run_test(size=(160, 24)) as pilot:
        await connected(pilot)
        assert "other" not in ink(app, "#tabs")


@pytest.mark.parametrize("because", ["--read-only", "lets you look"])
async def test_a_viewer_s_console_says_so_and_acts_on_nothing(because: str) -> None:
    read_only = because == "--read-only"
    here = [attached("ann", ME, "operator" if read_only else "viewer")]
    engine = FakeEngine(snapshot(signals=[signal()], attached=here))
    app = console(engine, read_only=read_only)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await shown(pilot, "READ-ONLY", "CONNECTED", "data")
        for key in ("a", "r", "p", "F"):
            await pilot.press(key)
        await until(pilot, lambda: toasts(app).count(because) >= 4)
        assert engine.sent == []
        await pilot.press("q")
        text = await shown(pilot, "QUIT THE CONSOLE?")
        assert "Stop the engine" not in text
        assert "leave the engine running" in text


async def test_detach_leaves_at_once_and_sends_nothing() -> None:
    engine = FakeEngine()
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("d")
        await until(pilot, lambda: app.return_code is not None or not app.is_running)
    assert app.return_value == 0
    assert engine.sent == []


def away_snapshot(seq: int, away_seq: int) -> Snapshot:
    since = NOW + timedelta(seconds=away_seq)
    return snapshot(
        seq=seq,
        time=NOW + timedelta(hours=2),
        attached=[attached("ann", ME, away_seq=away_seq, away_since=since)],
    )


async def test_whoever_comes_back_is_told_what_mattered_and_can_look_there() -> None:
    log = log_of(60, _7="guard_tripped", _40="guard_block", _41="flatten_started", _50="trade_failed")
    said = away_snapshot(60, 10)
    engine = Remembering(said, log)
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        engine.push(said)
        text = await shown(
            pilot, "WHILE YOU WERE AWAY (since", "Flattens: 1", "Guards: 1", "number 40", "Trades failed: 1"
        )
        assert "number 7" not in text
        assert "heartbeat" not in text
        assert min(engine.asked) == 10
        await pilot.press("4")
        await until(pilot, lambda: app.current_mode == "events" and not isinstance(app.screen, AwayScreen))
        log_widget = app.screen.query_one(EventLog)
        await until(pilot, lambda: log_widget.selected is not None and log_widget.selected.seq == 40)


async def test_nothing_is_told_when_nothing_mattered() -> None:
    said = away_snapshot(60, 10)
    engine = Remembering(said, log_of(60, _7="guard_tripped"))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        engine.push(said)
        await until(pilot, lambda: len(engine.asked) >= 2)
        await pilot.pause()
        assert not isinstance(app.screen, AwayScreen)


async def test_the_kill_key_works_on_what_is_told_and_a_dialog_is_not_covered() -> None:
    said = away_snapshot(60, 10)
    engine = Remembering(said, log_of(60, _40="guard_tripped"))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        engine.push(said)
        await shown(pilot, "WHILE YOU WERE AWAY")
        await pilot.press("F")
        await until(pilot, lambda: isinstance(app.screen, FlattenDialog))
        engine.log += [event(61, "trade_failed", reason="meanwhile")]
        engine.cut()
        await until(pilot, lambda: engine.attached == 2)
        engine.push(away_snapshot(61, 10))
        await until(pilot, lambda: "1 events that matter" in toasts(app))
        assert isinstance(app.screen, FlattenDialog)
        # The link was lost at 60: what was told before is not told again.
        assert engine.asked[-2:] == [60, 60]


async def test_looking_back_is_bounded_and_says_how_much_it_left_out() -> None:
    count = PAGE * MOST_PAGES + 500
    log = log_of(count, _100="guard_tripped", **{f"_{count - step}": "trade_failed" for step in range(9)})
    engine = Remembering(snapshot(), log)
    away = await look_back(engine, Since(20, NOW))
    assert away.unread == 480
    (group,) = away.groups
    assert (group.title, group.count) == ("Trades failed", 9)
    assert [one.seq for one in group.last] == [count - step for step in reversed(range(TOLD))]
    assert away.first == count - 8
    assert len(engine.asked) == MOST_PAGES + 1
