"""The event log over a journal of a million events."""

from console.widgets.event_log import EventLog
from engine.control.errors import ControlError
from tests.console.fake import FakeEngine, connected, console, frame, shown, snapshot, until

MILLION = 1_000_000


def log_of(app: object) -> EventLog:
    return app.screen.query_one(EventLog)  # type: ignore[attr-defined, no-any-return]


async def test_a_million_events_are_opened_by_fetching_one_screenful() -> None:
    engine = FakeEngine(snapshot(seq=MILLION))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("4")
        await shown(pilot, "number=1000000", "> ")
        assert sum(limit for _, limit in engine.windows) <= 100
        assert min(after for after, _ in engine.windows) > MILLION - 100
        asked = len(engine.windows)
        await pilot.press("home")
        await shown(pilot, "number=1 ", "Not following")
        assert len(engine.windows) <= asked + 3
        assert sum(limit for _, limit in engine.windows) <= 200
        await pilot.press("pagedown")
        await until(pilot, lambda: log_of(app).selected is not None)


async def test_events_held_are_bounded() -> None:
    log = EventLog()
    assert log.selected is None
    from tests.console.fake import event

    log._events.update((seq, event(seq)) for seq in range(1, 2_500))
    app = console(FakeEngine(snapshot(seq=3_000)))
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("4")
        await shown(pilot, "number=3000")
        log_of(app).fill([event(seq) for seq in range(1, 2_900)])
        assert len(log_of(app)._events) == 2_000


async def test_the_log_follows_the_newest_until_scrolled_up() -> None:
    engine = FakeEngine(snapshot(seq=100))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("4")
        await shown(pilot, "number=100 ")
        engine.push(snapshot(seq=101))
        await shown(pilot, "number=101 ")
        await pilot.press("up", "up")
        engine.push(snapshot(seq=105))
        await shown(pilot, "4 new below", "number=99 ")
        await pilot.press("end")
        text = await shown(pilot, "number=105 ")
        assert "new below" not in text


async def test_scrolling_with_the_wheel_stops_following_and_a_click_selects() -> None:
    engine = FakeEngine(snapshot(seq=100))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("4")
        await shown(pilot, "number=100 ")
        log_of(app).on_mouse_scroll_up()
        engine.push(snapshot(seq=102))
        await shown(pilot, "2 new below")
        await pilot.click(EventLog, offset=(5, 0))
        await until(pilot, lambda: log_of(app).selected is not None)
        chosen = log_of(app).selected
        assert chosen is not None
        assert chosen.seq < 100


async def test_a_filter_shows_the_matches_and_fetches_neighbours_together() -> None:
    engine = FakeEngine(snapshot(seq=MILLION))
    engine.seqs = [5, 50, 90, 500_000, 999_999]
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("4")
        await shown(pilot, "number=1000000")
        before = len(engine.windows)
        await pilot.press("slash", *"xy", "enter")
        await shown(pilot, "Filter: xy", "number=999999", "number 50")
        assert engine.searched[-1] == "xy"
        assert engine.windows[before:] == [(4, 86), (499_999, 1)], "the newest was held already"
        assert log_of(app).count == 5
        await pilot.press("home")
        await shown(pilot, "number=5 ")
        engine.seqs = [5, 50, 90, 500_000, 999_999, MILLION + 1]
        app.screen._matched_at = float("-inf")  # type: ignore[attr-defined]
        engine.push(snapshot(seq=MILLION + 1))
        await shown(pilot, "1 new below", "number=5 ")
        await pilot.press("escape")
        await until(pilot, lambda: log_of(app).count == MILLION + 1)


async def test_a_filter_without_matches_says_so() -> None:
    engine = FakeEngine(snapshot(seq=10))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("4", "slash", "q", "enter")
        await shown(pilot, "No event matches the filter")


async def test_events_that_cannot_be_fetched_are_said_and_asked_for_again() -> None:
    engine = FakeEngine(snapshot(seq=10))
    engine.problem = ControlError(500, "the disk is full")
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("4")
        await shown(pilot, "could not be fetched: the disk is full", "10 ...")
        engine.problem = None
        text = await shown(pilot, "number=10")
        assert "could not be fetched" not in text


async def test_another_journal_starts_the_log_anew() -> None:
    engine = FakeEngine(snapshot(seq=50))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("4")
        await shown(pilot, "number=50")
        asked = len(engine.windows)
        engine.push(snapshot(seq=2))
        await shown(pilot, "number=2 ")
        assert len(engine.windows) > asked
        engine.push(snapshot(seq=0))
        await shown(pilot, "Nothing has happened yet.")
        await pilot.press("up", "home", "end")
        assert "heartbeat" not in frame(app)
