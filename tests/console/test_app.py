"""The real application, driven by keys, over an engine that the test plays."""

import asyncio

import pytest
from textual.widgets._toast import Toast

from console.app import Console
from console.link import Told
from console.run import run_console
from console.screens.base import ConsoleScreen
from console.screens.flatten import FlattenDialog
from console.screens.quit import QuitDialog
from console.state import Phase
from console.styling import styles_dir
from engine.control.errors import ControlError, EngineStopped, EngineUnreachable
from engine.control.messages import Action, Approve, CommandResult, Flatten, Pause, Reject, Resume, Stop
from tests.console.fake import (
    HOSTILE,
    FakeEngine,
    Ticking,
    connected,
    console,
    flatten,
    frame,
    ink,
    position,
    shown,
    signal,
    snapshot,
    toasts,
    until,
)

SIZES = [(80, 24), (200, 60)]


@pytest.mark.parametrize("size", SIZES)
async def test_every_screen_shows_its_content_at_both_sizes(size: tuple[int, int]) -> None:
    engine = FakeEngine(snapshot(signals=[signal(), signal("B", state="WORKING")], positions=[position(7)]))
    app = console(engine)
    async with app.run_test(size=size) as pilot:
        await connected(pilot)
        await shown(pilot, "PAPER", "5001@Paper", "RUNNING", "[1 Approvals (1)]", "> EURUSD", "5:00", "WORKING")
        await pilot.press("2")
        await shown(pilot, "[2 Positions (1)]", "+12.50", "ours", "1 position")
        await pilot.press("3")
        await shown(pilot, "[3 Equity]", "Last 10,023.45", "Limit line 8,080.00")
        await pilot.press("4")
        text = await shown(pilot, "[4 Events]", "heartbeat", "number=3")
        assert len(text.splitlines()) == size[1]
        assert "q Quit" in text


@pytest.mark.parametrize("environment", ["paper", "demo", "live"])
async def test_the_kind_of_money_is_written_on_every_screen(environment: str) -> None:
    app = console(FakeEngine(snapshot(engine={"environment": environment})))
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        for key in "1234":
            await pilot.press(key)
            await shown(pilot, f" {environment.upper()} ")


async def test_approve_sends_the_id_and_version_of_the_row_shown() -> None:
    engine = FakeEngine(snapshot(signals=[signal("A", 3), signal("B", 5)]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("down", "a")
        await until(pilot, lambda: engine.sent)
        assert engine.sent == [(Approve(signal="B", version=5), "")]
        await until(pilot, lambda: "approve accepted" in toasts(app))


async def test_a_version_that_moved_on_is_refused_in_words() -> None:
    engine = FakeEngine(snapshot(signals=[signal("A", 3)]))
    engine.reply = lambda action: CommandResult(id="x" * 8, accepted=False, message="A is at version 4, you saw 3")
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("a")
        await until(pilot, lambda: "you saw 3" in toasts(app))


async def test_reject_is_one_key_with_a_reason() -> None:
    engine = FakeEngine(snapshot(signals=[signal("A")]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("r")
        await until(pilot, lambda: engine.sent)
        assert engine.sent == [(Reject(signal="A", version=1), "rejected by the operator")]


async def test_an_unknown_outcome_can_be_rejected_but_not_approved() -> None:
    engine = FakeEngine(snapshot(signals=[signal("A", state="UNKNOWN")]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("a")
        await until(pilot, lambda: "A is UNKNOWN" in toasts(app))
        await pilot.press("r")
        await until(pilot, lambda: engine.sent)
        assert isinstance(engine.sent[0][0], Reject)


async def test_nothing_is_approved_without_a_row_or_on_another_screen() -> None:
    engine = FakeEngine()
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await shown(pilot, "No signal waits for a decision.", "(Approve)")
        await pilot.press("a")
        await until(pilot, lambda: "no signal is selected" in toasts(app))
        await pilot.press("2", "a")
        await until(pilot, lambda: "press 1" in toasts(app))
        assert engine.sent == []


async def test_a_second_press_waits_for_the_first_answer() -> None:
    engine = FakeEngine(snapshot(signals=[signal("A")]))
    engine.gate.clear()
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("a")
        await until(pilot, lambda: engine.sent)
        await pilot.press("a")
        await until(pilot, lambda: "waiting for the engine's answer" in toasts(app))
        engine.gate.set()
        await until(pilot, lambda: "accepted" in toasts(app))
        assert len(engine.sent) == 1


async def test_the_cursor_stays_on_its_signal_when_rows_above_vanish() -> None:
    engine = FakeEngine(snapshot(signals=[signal(name) for name in "ABCD"]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("down", "down")
        engine.push(snapshot(signals=[signal("C", 2), signal("D")]))
        await until(pilot, lambda: len((app.view().snapshot or snapshot()).signals) == 2)
        app.paint()
        await pilot.press("a")
        await until(pilot, lambda: engine.sent)
        assert engine.sent[0][0] == Approve(signal="C", version=2)


async def test_a_row_that_slid_under_the_cursor_is_not_acted_upon_at_once() -> None:
    engine = FakeEngine(snapshot(signals=[signal("A"), signal("B")]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        table = app.screen.query_one("#rows")
        clock = Ticking()
        table._clock = clock  # type: ignore[attr-defined]
        engine.push(snapshot(signals=[signal("B")]))
        await until(pilot, lambda: len((app.view().snapshot or snapshot()).signals) == 1)
        app.paint()
        await pilot.press("a")
        await until(pilot, lambda: "look again" in toasts(app))
        assert engine.sent == []
        clock.now += 0.6
        await pilot.press("a")
        await until(pilot, lambda: engine.sent)


@pytest.mark.parametrize(("mode", "label", "action"), [("RUNNING", "Pause", Pause()), ("PAUSED", "Resume", Resume())])
async def test_p_pauses_or_resumes_by_the_mode(mode: str, label: str, action: Action) -> None:
    engine = FakeEngine(snapshot(engine={"mode": mode}))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await shown(pilot, f"p {label}")
        await pilot.press("p")
        await until(pilot, lambda: engine.sent)
        assert engine.sent == [(action, "")]


async def test_p_says_why_not_while_halted() -> None:
    engine = FakeEngine(snapshot(engine={"mode": "HALTED", "halt_reason": "limit"}))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await shown(pilot, "HALTED (R lifts it, or quarterdeck reset): limit", "R Reset")
        await pilot.press("p")
        await until(pilot, lambda: "reset it first, with R" in toasts(app))
        assert engine.sent == []


async def test_flatten_asks_and_its_default_is_cancel() -> None:
    engine = FakeEngine(snapshot(positions=[position(7), position(8, owner="foreign")]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("F")
        text = await shown(pilot, "FLATTEN THE WHOLE ACCOUNT?", "7  EURUSD", "FOREIGN", "> Cancel")
        assert "opened by others" in text
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, FlattenDialog))
        await pilot.press("F", "F", "y", "escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert engine.sent == []


async def test_flatten_confirmed_is_sent_once() -> None:
    engine = FakeEngine(snapshot(positions=[position(n) for n in range(1, 20)]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("F")
        await shown(pilot, "and 13 more", "Flatten now")
        await pilot.press("down", "enter")
        await until(pilot, lambda: engine.sent)
        assert engine.sent == [(Flatten(), "flattened by the operator")]


async def test_the_dialog_stays_true_while_it_is_open() -> None:
    engine = FakeEngine(snapshot(positions=[position(7)]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("F")
        await shown(pilot, "7  EURUSD", "CONNECTED")
        engine.push(snapshot(positions=[]))
        await shown(pilot, "No position is open; orders")
        engine.refuse_attach = "gone"
        engine.cut()
        await shown(pilot, "DISCONNECTED 0 s")


async def test_a_lost_engine_is_disconnected_in_words_and_commands_are_not_sent() -> None:
    engine, clock = FakeEngine(snapshot(signals=[signal()])), Ticking()
    app = console(engine, clock)
    async with app.run_test(size=(120, 30)) as pilot:
        await connected(pilot)
        engine.refuse_attach = "no engine answers"
        engine.cut()
        await until(pilot, lambda: "DISCONNECTED 0 s" in frame(app))
        clock.now += 7
        await shown(pilot, "DISCONNECTED 7 s", "no engine answers; trying again", "What is shown is old.")
        for key in ("a", "r", "p", "F"):
            await pilot.press(key)
        await until(pilot, lambda: toasts(app).count("not sent") == 4)
        assert "quarterdeck flatten --direct" in toasts(app)
        assert engine.sent == []
        engine.refuse_attach = ""
        await until(pilot, lambda: app.view().phase is Phase.CONNECTED)
        await shown(pilot, " CONNECTED ")
        assert engine.attached == 2


async def test_an_engine_that_was_told_to_stop_is_started_again_only_when_asked() -> None:
    engine = FakeEngine()
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        engine.cut(EngineStopped("the engine was stopped"))
        await shown(pilot, "DISCONNECTED, engine stopped", "press s to", "s Start", "q Quit")
        assert engine.attached == 1
        await pilot.press("s")
        await until(pilot, lambda: engine.attached == 2 and app.view().phase is Phase.CONNECTED)


async def test_field_14_silence_becomes_stale_in_words_and_blocks_an_approval() -> None:
    engine, clock = FakeEngine(snapshot(signals=[signal()])), Ticking()
    app = console(engine, clock)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        clock.now += 3.2
        await shown(pilot, "STALE 3 s", "data 3 s old, STALE")
        await pilot.press("a")
        await until(pilot, lambda: "the data is 3 s old" in toasts(app))
        assert engine.sent == []
        engine.push(snapshot(signals=[signal()]))
        await shown(pilot, " CONNECTED ")


async def test_an_answer_that_never_came_is_not_called_refused() -> None:
    engine = FakeEngine()
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        engine.problem = EngineUnreachable("closed the connection")
        await pilot.press("p")
        await until(pilot, lambda: "may or may not have been done" in toasts(app))
        engine.problem = ControlError(400, "wrong words")
        await pilot.press("p")
        await until(pilot, lambda: "refused: wrong words" in toasts(app))


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
async def test_every_way_out_asks_and_the_default_is_to_stay(key: str) -> None:
    engine = FakeEngine(snapshot(positions=[position(1)]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press(key)
        await shown(pilot, "QUIT THE CONSOLE?", "The engine is RUNNING; 1 position open.", "> Cancel: stay here")
        await pilot.press(key)
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert app.is_running
        assert engine.sent == []


async def test_ctrl_c_asks_inside_a_dialog_too_and_only_once() -> None:
    app = console(FakeEngine())
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("F", "ctrl+c", "ctrl+c")
        await until(pilot, lambda: isinstance(app.screen, QuitDialog))
        assert len(app.screen_stack) == 3


async def test_quit_can_leave_the_engine_running() -> None:
    engine = FakeEngine()
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, QuitDialog))
        await pilot.press("up", "up", "up", "enter")
        await until(pilot, lambda: not app.is_running or app.return_value == 0)
    assert app.return_value == 0
    assert engine.sent == []


@pytest.mark.parametrize("accepted", [True, False])
async def test_quit_with_stop_leaves_only_when_the_engine_agreed(accepted: bool) -> None:
    engine = FakeEngine()
    engine.reply = lambda action: CommandResult(id="x" * 8, accepted=accepted, message="the engine says so")
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, QuitDialog))
        await pilot.press("up", "up", "enter")
        await until(pilot, lambda: engine.sent and (app.return_value == 0 or "says so" in toasts(app)))
        assert engine.sent[0][0] == Stop()
        assert (app.return_value == 0) is accepted


async def test_flatten_and_stop_waits_for_the_statement_and_only_then_stops() -> None:
    engine = FakeEngine(snapshot(positions=[position(1)], flatten=flatten("OLD", "FLAT", "flat yesterday")))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, QuitDialog))
        await pilot.press("up", "enter")
        await shown(pilot, "FLATTENING, THEN STOPPING", "waiting for the first report")
        working = flatten("NEW", "RUNNING", remaining=["position 1"])
        engine.push(snapshot(positions=[position(1)], engine={"mode": "FLATTENING"}, flatten=working))
        await shown(pilot, "Flatten RUNNING", "left: position 1")
        assert [sent[0] for sent in engine.sent] == [Flatten()]
        done = flatten("NEW", "FLAT", "flat, confirmed by the broker at 08:00:02")
        engine.push(snapshot(engine={"mode": "HALTED"}, flatten=done))
        await until(pilot, lambda: app.return_value == 0)
    assert [sent[0] for sent in engine.sent] == [Flatten(), Stop()]


async def test_a_deferred_flatten_never_quits_by_itself() -> None:
    engine = FakeEngine(snapshot(positions=[position(1)]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, QuitDialog))
        await pilot.press("up", "enter")
        waiting = flatten("NEW", "DEFERRED", "market closed", remaining=["position 1"])
        await until(pilot, lambda: engine.sent)
        engine.push(snapshot(positions=[position(1)], engine={"mode": "FLATTENING"}, flatten=waiting))
        await shown(pilot, "Flatten DEFERRED", "market closed", "> Back to the console")
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert app.return_value is None
        await shown(pilot, "Flatten DEFERRED")
        await pilot.press("q")
        await shown(pilot, "A flatten is DEFERRED: the account is not flat yet.")
        assert len(engine.sent) == 1


async def test_a_refused_flatten_stays_in_the_console() -> None:
    engine = FakeEngine()
    engine.reply = lambda action: CommandResult(id="x" * 8, accepted=False, message="no")
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, QuitDialog))
        await pilot.press("up", "enter")
        await until(pilot, lambda: engine.sent and len(app.screen_stack) == 1)
        assert app.return_value is None


async def test_help_names_every_command_and_why_one_is_not_available() -> None:
    app = console(FakeEngine())
    async with app.run_test(size=(80, 100)) as pilot:
        await connected(pilot)
        await pilot.press("question_mark")
        text = await shown(pilot, "KEYS", "Approve the selected signal", "not now: no signal is selected")
        for fragment in ("Cancel all orders and close every position", "Leave the console", "^p", "esc"):
            assert fragment in text
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)


async def test_the_palette_offers_the_same_commands_and_no_stock_quit() -> None:
    engine = FakeEngine(snapshot(engine={"mode": "PAUSED"}))
    app = console(engine)
    async with app.run_test(size=(80, 95)) as pilot:
        await connected(pilot)
        await pilot.press("ctrl+p")
        text = await shown(pilot, "Resume  (p)", "Quit  (q)", "not now: no signal is selected")
        assert "as soon as possible" not in text
        await pilot.press(*"resume")
        await shown(pilot, "Pause blocks new entries")
        await pilot.press("enter")
        await until(pilot, lambda: engine.sent)
        assert engine.sent == [(Resume(), "")]


async def test_the_filter_is_visible_and_esc_clears_it() -> None:
    engine = FakeEngine(snapshot(positions=[position(1), position(2, symbol="USDJPY")]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("2", "slash", *"jpy")
        await until(pilot, lambda: isinstance(app.screen, ConsoleScreen) and app.screen.filter_text == "jpy")
        await pilot.press("enter")
        text = await shown(pilot, "Filter: jpy", "USDJPY")
        assert "EURUSD" not in text
        await pilot.press("slash", *"zz", "enter")
        await shown(pilot, "No position matches the filter")
        await pilot.press("escape")
        text = await shown(pilot, "EURUSD", "USDJPY")
        assert "Filter:" not in text


async def test_keys_typed_into_the_filter_are_no_commands() -> None:
    engine = FakeEngine(snapshot(signals=[signal()]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("slash", "a", "r", "p", "F", "q")
        await until(pilot, lambda: isinstance(app.screen, ConsoleScreen) and app.screen.filter_text == "arpFq")
        await shown(pilot, "arpFq")
        assert engine.sent == []
        assert len(app.screen_stack) == 1


async def test_the_key_bar_can_be_clicked() -> None:
    engine = FakeEngine()
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        bar = ink(app, "#keys")
        await pilot.click("#keys", offset=(bar.index("p Pause"), 0))
        await until(pilot, lambda: engine.sent)
        await pilot.click("#keys", offset=(bar.index("(Approve)"), 0))
        await until(pilot, lambda: "no signal is selected" in toasts(app))


async def test_a_small_terminal_is_told_what_is_needed() -> None:
    app = console(FakeEngine())
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.resize_terminal(79, 20)
        text = await shown(pilot, "Too small: 79x20. Quarterdeck needs 80x24.")
        assert "Approvals" not in text
        await pilot.resize_terminal(80, 24)
        text = await shown(pilot, "Approvals")
        assert "Too small" not in text


async def test_a_failed_worker_is_named_in_a_banner() -> None:
    engine = FakeEngine()
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        engine.cut(ValueError("a bug [/x]"))
        text = await shown(pilot, "CONSOLE FAULT: link: ValueError: a bug [/x]", "DISCONNECTED")
        assert app.is_running
        assert "Quit and start it again" in text


async def test_signal_detail_stands_beside_the_table_on_a_wide_terminal() -> None:
    app = console(FakeEngine(snapshot(signals=[signal(note="why")])))
    async with app.run_test(size=(200, 60)) as pilot:
        await connected(pilot)
        text = await shown(pilot, "Approve sends:", "Note: why")
        row = next(line for line in text.splitlines() if "Approve sends:" in line)
        assert row.index("Approve sends:") > 100


@pytest.mark.parametrize("mode", ["PAUSED", "HALTED", "FLATTENING"])
async def test_nothing_is_approved_while_entries_are_blocked_and_the_key_says_why(mode: str) -> None:
    engine = FakeEngine(snapshot(engine={"mode": mode}, signals=[signal()]))
    app = console(engine)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await connected(pilot)
        await pilot.press("1", "a")
        await shown(pilot, f"entries are blocked: the engine is {mode}")
        assert engine.sent == []


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_neither_crashes_nor_acts_nor_reaches_the_terminal(text: str) -> None:
    hostile = snapshot(
        engine={"mode": "RUNNING", "notices": [text]},
        account={"server": text, "currency": text},
        positions=[position(1, comment=text), position(2, note=text)],
        signals=[signal(source=text, note=text, reason=text)],
        flatten=flatten("F", "RUNNING", text, remaining=[text]),
    )
    engine = FakeEngine(hostile)
    engine.reply = lambda action: CommandResult(id="x" * 8, accepted=False, message=text)
    app = console(engine)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await connected(pilot)
        for keys in (["1", "a"], ["2"], ["4"], ["1", "F", "escape"], ["question_mark", "escape"], ["ctrl+p"]):
            await pilot.press(*keys)
            await pilot.pause()
            drawn = frame(app)
            for forbidden in ("\x1b", "\x07", "\x9b", "\u202e", "\x00", "\ud800"):
                assert forbidden not in drawn
        await pilot.press("escape")
        await until(pilot, lambda: engine.sent)
        for x, y in ((30, 0), (14, 1), (8, 2), (40, 2), (8, 3), (90, 6), (90, 12), (80, 36), (90, 37)):
            await pilot.click(offset=(x, y))
        assert app.is_running
        assert len(app.screen_stack) == 1
        assert [action.kind for action, _ in engine.sent] == ["approve"]


async def test_ten_thousand_snapshots_are_painted_as_the_newest() -> None:
    engine = FakeEngine()
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        for number in range(2_000):
            engine.push(snapshot(account={"equity": 1_000.0 + number}))
        await shown(pilot, "Equity 2,999.00 USD")


async def test_the_first_frame_does_not_wait_for_the_engine() -> None:
    engine = FakeEngine()
    held = asyncio.Event()
    attach = engine.attach

    async def slow() -> object:
        await held.wait()
        return await attach()

    engine.attach = slow  # type: ignore[method-assign, assignment]
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(pilot, "CONNECTING", "Waiting for the engine.")
        held.set()
        await connected(pilot)


def test_the_styles_are_found() -> None:
    assert (styles_dir() / "console.tcss").is_file()
    assert len(Console.CSS_PATH) > 5


async def test_a_tick_while_a_screen_is_being_made_is_harmless() -> None:
    app = console(FakeEngine())
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        for name in ("events", "positions", "equity"):
            switched = app.switch_mode(name)
            app.paint()
            await switched
            await shown(pilot, f"{name.capitalize()}")
        opened = app.push_screen(QuitDialog())
        app.paint()
        await opened
        await shown(pilot, "QUIT THE CONSOLE?")


async def test_a_tick_while_the_app_takes_itself_apart_is_harmless() -> None:
    app = console(FakeEngine())
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("F")
        await until(pilot, lambda: isinstance(app.screen, FlattenDialog))
        screens = list(app.screen_stack)
    for screen in screens:
        assert not screen.query("#dialog-lines")
    app.paint()
    assert app.context().row is None


def test_the_console_runs_over_the_profiles_host(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Console] = []

    def run(self: Console) -> int:
        made.append(self)
        return 0

    monkeypatch.setattr(Console, "run", run)
    assert run_console("paper") == 0
    assert len(made) == 1


@pytest.mark.parametrize("key", ["a", "r"])
async def test_nothing_is_decided_on_a_terminal_too_small_to_show_it(key: str) -> None:
    engine = FakeEngine(snapshot(signals=[signal("A")]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.resize_terminal(79, 24)
        await shown(pilot, "Too small")
        await pilot.press(key)
        await until(pilot, lambda: "too small to show" in toasts(app))
        assert engine.sent == []
        await pilot.resize_terminal(80, 24)
        await shown(pilot, "Approvals")
        await pilot.press(key)
        await until(pilot, lambda: engine.sent)


@pytest.mark.parametrize("size", [(20, 5), (40, 10)])
async def test_the_choices_of_a_dialog_are_seen_on_any_terminal(size: tuple[int, int]) -> None:
    engine = FakeEngine(snapshot(positions=[position(ticket) for ticket in range(9)]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("F")
        await shown(pilot, "FLATTEN THE WHOLE ACCOUNT?")
        await pilot.resize_terminal(*size)
        await shown(pilot, "> Cancel: close", "Flatten now: ")
        await pilot.resize_terminal(80, 24)
        await shown(pilot, "FLATTEN THE WHOLE ACCOUNT?", "> Cancel: close nothing")
        await pilot.press("escape")
        await pilot.resize_terminal(*size)
        await pilot.press("F")
        await shown(pilot, "> Cancel: close", "Flatten now: ")


async def test_a_pause_that_has_just_come_is_not_taken_back_by_the_same_key() -> None:
    engine = FakeEngine(snapshot(engine={"mode": "RUNNING"}))
    clock = Ticking()
    app = console(engine, clock)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        engine.push(snapshot(engine={"mode": "PAUSED"}))
        await shown(pilot, "(Resume)")
        await pilot.press("p")
        await until(pilot, lambda: "has just been paused" in toasts(app))
        assert engine.sent == []
        clock.now += 1.1
        await pilot.press("p")
        await until(pilot, lambda: engine.sent)


async def test_a_flood_of_messages_leaves_the_state_in_sight() -> None:
    app = console(FakeEngine())
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await connected(pilot)
        for number in range(30):
            app.tell(Told(False, f"refused {number}"), "Flood")
            app.tell(Told(False, "the same again"), "Flood")
        text = await shown(pilot, "RUNNING", "CONNECTED", "refused 29", "the same again")
        assert text.count("the same again") == 1
        assert text.count("refused") == 3


async def test_a_message_that_goes_while_the_map_is_reckoned_anew_is_wiped_off_the_terminal() -> None:
    app = console(FakeEngine())
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await connected(pilot)
        app.tell(Told(False, "refused"), "Here")
        await shown(pilot, "▌ refused")
        place = app.screen.query_one(Toast).region
        app.screen._compositor._dirty_regions.clear()
        app.screen._compositor.update_widgets({app.screen.query_one("#too-small")})
        app.screen.query_one(Toast).display = False
        assert app.screen.query_one("#rows").region
        assert any(dirty.contains_region(place) for dirty in app.screen._compositor._dirty_regions)


async def test_a_flatten_that_reached_no_engine_names_the_way_without_one() -> None:
    engine = FakeEngine(snapshot(positions=[position(7)]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("F")
        await shown(pilot, "FLATTEN THE WHOLE ACCOUNT?")
        engine.refuse_attach = "no engine answers"
        engine.cut()
        await shown(pilot, "DISCONNECTED")
        await pilot.press("down", "enter")
        await until(pilot, lambda: "quarterdeck flatten --direct" in toasts(app))
        await pilot.press("q")
        await shown(pilot, "No engine is connected", "quarterdeck flatten --direct")
