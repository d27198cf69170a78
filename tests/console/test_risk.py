"""The Risk screen, the nearest limit in the header, and what an operator decides about guards."""

from datetime import timedelta
from typing import Any

import pytest

from console.describe import header
from console.risk_rows import bar, guard_rows, lifts, risk_lines, used_words, verdict_word
from console.screens.close import AskText
from console.screens.reset import ResetDialog, _amount
from console.state import Phase, View
from engine.control.messages import (
    FundsView,
    GuardView,
    LockView,
    Reset,
    RiskView,
    SetBases,
    SettleFunds,
    TripView,
    Unlock,
)
from tests.console.fake import HOSTILE, NOW, FakeEngine, connected, console, shown, snapshot, toasts, until


def guard(name: str = "daily loss", **over: Any) -> GuardView:
    """A limit on equity, 62 % used up."""
    values: dict[str, Any] = {
        "name": name,
        "action": "flatten and lock",
        "verdict": "CLEAR",
        "unit": "percent",
        "value": 3.1,
        "limit": 5.0,
        "used": 0.62,
        "warn_at": 0.8,
        "floor": 9_500.0,
        "headroom": 190.0,
        "headroom_percent": 1.96,
        "said": "3.1 % of 5 % lost",
        "evaluated_age_seconds": 0.2,
    }
    return GuardView.model_validate({**values, **over})


def locked(**over: Any) -> GuardView:
    """One that waits for an operator."""
    lock = LockView(since=NOW, until=None, reason="10 % lost")
    return guard("max loss", verdict="BLOCK", lock=lock, used=1.1, headroom=-20.0, **over)


def drawdown_guard() -> GuardView:
    return guard("drawdown", used=0.1, floor=8_000.0, headroom=1_800.0)


def with_risk(*guards: GuardView, mode: str = "RUNNING", environment: str = "paper", **risk: Any) -> Any:
    engine = {"mode": mode, "environment": environment, "halt_reason": "as tested" if mode == "HALTED" else None}
    return snapshot(engine=engine, risk=RiskView(guards=list(guards), **{"market_time": NOW, **risk}))


def view_of(made: Any, age: float = 0.0) -> View:
    return View(snapshot=made, age=age, phase=Phase.CONNECTED)


def words(lines: Any) -> str:
    return "\n".join("".join(piece.text for piece in line) for line in lines)


@pytest.mark.parametrize(
    ("used", "drawn"),
    [
        (0.0, "[.........|..]"),
        (0.62, "[#######..|..]"),
        (0.8, "[#########|..]"),
        (0.95, "[#########|#.]"),
        (1.0, "[#########|#!]"),
        (7.5, "[#########|#!]"),
        (-1.0, "[.........|..]"),
    ],
)
def test_a_bar_shows_what_is_used_and_where_the_warning_begins(used: float, drawn: str) -> None:
    assert bar(used, 0.8) == drawn


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("100000", 100_000.0),
        ("100,000.50", 100_000.5),
        (" 99.5 ", 99.5),
        ("10000,5", None),
        ("1,23", None),
        ("1e5", None),
        ("-5", None),
        ("0", None),
        ("", None),
        ("nan", None),
    ],
)
def test_an_amount_is_taken_only_when_it_can_be_read_in_one_way(typed: str, value: float | None) -> None:
    assert _amount(typed) == value


def test_a_limit_is_not_said_to_be_used_up_before_it_is() -> None:
    assert (used_words(0.9999), used_words(1.0), used_words(0.0)) == ("99 %", "100 %", "0 %")


def test_a_guard_is_told_by_what_keeps_it_blocked() -> None:
    assert verdict_word(guard(failed=True, verdict="BLOCK")) == "FAILED"
    assert verdict_word(locked()) == "LOCKED"
    assert verdict_word(guard(verdict="WARN")) == "WARN"


def test_the_time_until_a_lock_lifts_goes_on_while_the_snapshot_grows_old() -> None:
    lock = LockView(since=NOW, until=NOW + timedelta(hours=3, minutes=12, seconds=20), reason="")
    one = guard(lock=lock)
    made = with_risk(one)
    assert "in 3 h 12 m" in lifts(one, view_of(made))
    assert "in 3 h 11 m" in lifts(one, view_of(made, age=60.0))


def test_the_time_until_a_lock_lifts_is_the_markets() -> None:
    one = guard(lock=LockView(since=NOW, until=NOW + timedelta(hours=3), reason=""))
    replayed = with_risk(one, market_time=NOW + timedelta(hours=2, minutes=30))
    assert lifts(one, view_of(replayed)).endswith(", in 30 m 00 s")
    assert lifts(one, view_of(with_risk(one, market_time=None))) == "01-05 11:00:00"


def test_a_breach_that_time_ends_says_when() -> None:
    cooling = guard(verdict="BLOCK", unit="count", lifts_at=NOW + timedelta(minutes=30))
    cells = [piece.text for piece in guard_rows(view_of(with_risk(cooling)))[0].cells]
    assert "01-05 08:30:00, in 30 m 00 s" in cells
    assert lifts(guard(), view_of(with_risk(guard()))) == "-"


def test_the_ages_grow_with_the_view() -> None:
    made = with_risk(guard())
    cells = [piece.text for piece in guard_rows(view_of(made, age=5.0))[0].cells]
    assert "5 s" in cells


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_header_names_the_nearest_limit_and_fits(width: int) -> None:
    made = with_risk(drawdown_guard(), guard(used=0.2), guard("max loss", used=0.7, headroom=333.0))
    lines = header(view_of(made), width)
    assert "Nearest max loss 70 %, 333.00" in words(lines)
    if width < 120:
        assert all(sum(len(piece.text) for piece in line) <= width for line in lines)
    assert "Nearest" not in words(header(view_of(with_risk(drawdown_guard(), guard(used=0.05))), width))


def test_the_header_cuts_a_long_name_and_never_the_money() -> None:
    long = guard("a very long name of a limit", used=0.9, headroom=-1_234_567.89, verdict="FLATTEN")
    made = snapshot(account={"equity": 98_765_432.1}, risk=RiskView(guards=[long]))
    second = header(view_of(made), 80)[1]
    assert sum(len(piece.text) for piece in second) <= 80
    assert "-1,234,567.89 left" in words([second])


def test_what_stands_above_the_table_leaves_room_for_it() -> None:
    said = [f"rule {number}: " + "very long " * 30 for number in range(9)]
    made = with_risk(
        guard(), loosened=said, bases_wanted=said, funds=FundsView(amount=1.0, since=NOW, provisional=True)
    )
    assert len(risk_lines(view_of(made), 80)) <= 6


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_every_guard_is_shown_with_its_floor_and_lock(size: tuple[int, int]) -> None:
    risk = with_risk(
        drawdown_guard(),
        guard(),
        locked(),
        trip=TripView(guard="max loss", at=NOW, equity=8_990.0, floor=9_000.0, said="10 % lost", breached=True),
        loosened=["equity_floor: money 9000 -> 5000"],
        funds=FundsView(amount=-5_000.0, since=NOW, provisional=True),
    )
    app = console(FakeEngine(risk))
    async with app.run_test(size=size) as pilot:
        await connected(pilot)
        await pilot.press("5")
        await shown(pilot, "daily loss", "LOCKED", "62 %", "190.00", "-5,000.00", "Last trip: max loss", "equity_floor")
        if size[0] >= 200:
            await shown(pilot, "9,500.00", "when unlocked (u)", "flatten and lock")


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_invariant_13_what_a_guard_says_is_data(hostile: str) -> None:
    lock = LockView(since=NOW, until=None, reason=hostile.encode("utf-8", "replace").decode())
    said = hostile.encode("utf-8", "replace").decode()
    app = console(FakeEngine(with_risk(guard(said[:60], said=said, lock=lock, verdict="BLOCK"))))
    async with app.run_test(size=(120, 30)) as pilot:
        await connected(pilot)
        await pilot.press("5")
        await shown(pilot, "LOCKED")
        assert app.is_running


async def test_unlocking_asks_why_and_only_where_a_lock_waits_for_an_operator() -> None:
    engine = FakeEngine(with_risk(guard(), locked()))
    app = console(engine)
    async with app.run_test(size=(120, 30)) as pilot:
        await connected(pilot)
        await pilot.press("5", "u")
        await until(pilot, lambda: "no lock that waits" in toasts(app))
        await pilot.press("down", "u")
        await until(pilot, lambda: isinstance(app.screen, AskText))
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert engine.sent == []
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, AskText))
        await pilot.press(*"explained", "enter")
        await until(pilot, lambda: engine.sent)
        assert engine.sent == [(Unlock(guard="max loss"), "explained")]


async def test_a_reset_says_what_tripped_and_its_default_is_to_stay_halted() -> None:
    trip = TripView(guard="max loss", at=NOW, equity=8_990.0, floor=9_000.0, said="10 % lost", breached=True)
    engine = FakeEngine(with_risk(guard(), mode="HALTED", trip=trip))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("R")
        await shown(
            pilot, "LIFT THE HALT OF", "max loss tripped", "8,990.00", "still breached", "> Cancel: stay HALTED"
        )
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, ResetDialog))
        await pilot.press("R", "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, AskText))
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert engine.sent == []
        await pilot.press("R", "down", "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, AskText))
        await pilot.press(*"why", "enter")
        await until(pilot, lambda: engine.sent)
        assert engine.sent == [(Reset(baseline="present"), "why")]


@pytest.mark.parametrize(("typed", "sent"), [("7", False), ("", False), ("5001", True)])
async def test_a_reset_of_a_live_account_needs_its_number_typed(typed: str, sent: bool) -> None:
    made = with_risk(guard(), mode="HALTED", environment="live")
    assert made.account is not None
    number = str(made.account.login) if sent else typed
    engine = FakeEngine(made)
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("R", "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, AskText))
        await pilot.press(*"why", "enter")
        await shown(pilot, "THIS IS A LIVE ACCOUNT")
        await pilot.press(*number, "enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        if sent:
            await until(pilot, lambda: engine.sent)
            assert engine.sent == [(Reset(baseline="keep", account=made.account.login), "why")]
        else:
            await until(pilot, lambda: not typed or "is not this account's number" in toasts(app))
            assert engine.sent == []


async def test_a_reset_is_not_offered_unless_the_account_is_halted() -> None:
    engine = FakeEngine(with_risk(guard()))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("R")
        await until(pilot, lambda: "only a HALTED one is reset" in toasts(app))


async def test_an_unexplained_step_is_settled_by_one_of_two_words() -> None:
    engine = FakeEngine(with_risk(guard(), funds=FundsView(amount=-5_000.0, since=NOW, provisional=True)))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("e")
        await shown(pilot, "WHAT WAS THIS STEP", "> Cancel")
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, AskText))
        await pilot.press(*"payout", "enter")
        await until(pilot, lambda: engine.sent)
        assert engine.sent == [(SettleFunds(what="cash flow"), "payout")]


async def test_esc_at_any_of_the_bases_changes_nothing() -> None:
    engine = FakeEngine(with_risk(guard(), mode="PAUSED"))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("5", "b")
        await until(pilot, lambda: isinstance(app.screen, AskText))
        await pilot.press(*"100000", "enter")
        await shown(pilot, "the highest equity")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert engine.sent == []


async def test_a_reset_says_which_locks_lift_and_which_stay() -> None:
    stays = guard("day", lock=LockView(since=NOW, until=NOW + timedelta(hours=3), reason=""))
    app = console(FakeEngine(with_risk(locked(), stays, mode="HALTED")))
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("R")
        await shown(pilot, "max loss is unlocked by it", "day stays locked until 01-05 11:00:00 UTC")


async def test_bases_are_asked_for_one_by_one_and_what_is_left_out_stays() -> None:
    engine = FakeEngine(with_risk(guard(), mode="PAUSED", bases_wanted=["this live account is new here"]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("5")
        await shown(pilot, "new here")
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, AskText))
        for typed in ("100,000", "", "", "99500.50", ""):
            field = app.screen
            await pilot.press(*typed, "enter")
            await until(pilot, lambda field=field: app.screen is not field)  # type: ignore[misc]
        await pilot.press(*"contract", "enter")
        await until(pilot, lambda: engine.sent)
        assert engine.sent == [(SetBases(initial=100_000.0, day_start_balance=99_500.5), "contract")]
