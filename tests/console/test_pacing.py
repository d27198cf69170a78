"""The refresh goes by what the terminal takes: nothing is written while it is behind, and the newest is shown next."""

import pytest

from console.ascii import to_ascii
from console.flow import PROBE_SECONDS, REMIND_SECONDS, WINDOW_BYTES, Flow, answer_of
from console.terminal import Colours, detect
from tests.console.fake import (
    FakeEngine,
    Ticking,
    connected,
    console,
    frame,
    ink,
    position,
    shown,
    signal,
    snapshot,
    toasts,
    until,
)


def _frame(flow: Flow, size: int) -> str:
    """A frame that the pty takes whole, with its mark."""
    flow.wrote(size)
    mark = flow.mark()
    flow.wrote(len(mark))
    flow.marked()
    flow.passed(size + len(mark))
    return mark


def test_a_frame_waits_until_the_terminal_has_drawn_the_one_before() -> None:
    flow = Flow(Ticking())
    assert _frame(flow, WINDOW_BYTES + 1) == "\x1b[2;1H\x1b[6n"
    assert not flow.behind
    flow.answered(1)
    assert _frame(flow, WINDOW_BYTES + 1) == "\x1b[2;2H\x1b[6n"
    assert flow.behind
    flow.answered(2)
    assert not flow.behind
    assert flow.sums.waiting == 0


def test_a_later_answer_counts_for_a_mark_whose_answer_was_lost() -> None:
    flow = Flow(Ticking())
    _frame(flow, 400)
    _frame(flow, 400)
    flow.answered(2)
    assert flow.sums.waiting == 0
    flow.answered(1)
    flow.answered(17)
    assert flow.sums.taken == flow.sums.written


def test_a_mark_without_answer_is_sent_again_with_the_same_number() -> None:
    clock = Ticking()
    flow = Flow(clock)
    _frame(flow, 10)
    flow.answered(1)
    _frame(flow, 5000)
    assert flow.remind() == ""
    clock.now += REMIND_SECONDS
    assert flow.remind() == "\x1b[2;2H\x1b[6n"
    assert flow.behind


def test_a_full_pty_holds_the_next_frame_and_gets_no_reminder() -> None:
    clock = Ticking()
    flow = Flow(clock)
    flow.wrote(10)
    flow.mark()
    clock.now += 100
    assert flow.behind
    assert flow.remind() == ""


def test_a_terminal_that_answers_nothing_is_paced_by_its_pty_until_it_answers() -> None:
    clock = Ticking()
    flow = Flow(clock)
    _frame(flow, 5000)
    assert not flow.behind
    clock.now += PROBE_SECONDS
    assert flow.remind() == ""
    assert not flow.behind
    assert flow.mark() == ""
    flow.answered(1)
    _frame(flow, 5000)
    assert flow.behind


@pytest.mark.parametrize(("x", "y", "right"), [(0, 1, 1), (19, 1, 20), (20, 1, None), (0, 0, None)])
def test_other_cursor_reports_are_nobodys_answer(x: int, y: int, right: int | None) -> None:
    assert answer_of(x, y) == right


async def test_nothing_is_shown_while_the_terminal_is_behind_and_then_the_newest() -> None:
    engine = FakeEngine(snapshot(positions=[position(7)]))
    app = console(engine)
    async with app.run_test(size=(120, 32)) as pilot:
        await connected(pilot)
        app.flow.wrote(WINDOW_BYTES + 1)
        app.pacer.tick()
        assert app.pacer.holding
        skips = app.pacer.skips
        for equity in (1.0, 2.0, 3.0):
            engine.push(snapshot(positions=[position(7)], account={"equity": equity}))
        await until(pilot, lambda: (app.view().snapshot or snapshot()).account.equity == 3.0)  # type: ignore[union-attr]
        app.pacer.tick()
        assert app.pacer.skips > skips
        assert "Equity 10,023.45" in ink(app, "#header")
        await pilot.press("2")
        assert app.current_mode == "positions"
        app.flow.passed(WINDOW_BYTES + 1)
        mark = app.flow.mark()
        app.flow.answered(1)
        assert mark
        app.pacer.moved()
        assert not app.pacer.holding
        assert "Equity 3.00" in ink(app, "#header")
        await until(pilot, lambda: "[2 Positions" in frame(app))


async def test_no_row_is_decided_on_that_the_terminal_may_not_have_drawn_yet() -> None:
    clock = Ticking()
    engine = FakeEngine(snapshot(signals=[signal()]))
    app = console(engine, clock)
    async with app.run_test(size=(120, 32)) as pilot:
        await connected(pilot)
        await until(pilot, lambda: app.context().row is not None)
        clock.now += 5
        assert app.context().settled
        app.flow.wrote(WINDOW_BYTES + 1)
        app.pacer.tick()
        assert not app.context().settled
        await pilot.press("a")
        await until(pilot, lambda: "look again" in toasts(app))
        assert not engine.sent


async def test_f12_shows_what_the_line_is_doing() -> None:
    app = console(FakeEngine())
    async with app.run_test(size=(120, 32)) as pilot:
        await connected(pilot)
        await pilot.press("f12")
        await shown(pilot, " B/s ", "paints/s", "skipped", "waiting", "data ", "Equity ")
        await pilot.press("ctrl+g")
        await until(pilot, lambda: "paints/s" not in frame(app))


@pytest.mark.parametrize(
    ("environ", "right"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, Colours.TRUE),
        ({"TERM": "xterm-256color"}, Colours.MANY),
        ({"TERM": "linux"}, Colours.SIXTEEN),
        ({"TERM": "vt100"}, Colours.SIXTEEN),
        ({"TERM": "screen"}, Colours.SIXTEEN),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "1"}, Colours.NONE),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, Colours.MANY),
    ],
)
def test_colours_are_those_of_the_terminal(environ: dict[str, str], right: Colours) -> None:
    assert detect(environ, utf8=True).colours is right


def test_a_locale_without_utf8_means_ascii() -> None:
    assert detect({}, utf8=False).ascii_only
    assert not detect({}, utf8=True).ascii_only
    assert detect({}, utf8=True, ascii_only=True).ascii_only


def test_ascii_is_as_wide_as_what_it_stands_for() -> None:
    assert to_ascii("\x1b[1m┏━┓…▁█\x1b[0m") == "\x1b[1m+-+.-#\x1b[0m"
    assert to_ascii("注文ok") == "????ok"
    assert to_ascii("e\u0301") == "e"
