"""Closing a part of the account from the console: what is asked, what is sent, what is shown."""

from typing import Any

import pytest

from console.commands import BY_NAME
from console.screens.close import AskText, CloseDialog, GiveUpDialog
from engine.control.messages import (
    CancelClose,
    Close,
    LosersScope,
    PositionScope,
    SourceScope,
    SymbolScope,
    WinnersScope,
)
from tests.console.fake import NOW, FakeEngine, connected, console, flatten, position, shown, snapshot, toasts, until


def closing(state: str, **over: Any) -> dict[str, Any]:
    """A scoped close as the snapshot tells it."""
    return {"id": "C1", "state": state, "scope": "everything of EURUSD", "reason": "", "started_at": NOW, **over}


def held() -> list[Any]:
    return [position(7, source="alpha"), position(8, -3.0, symbol="GBPUSD", owner="foreign")]


async def test_closing_a_position_asks_and_its_default_is_cancel() -> None:
    engine = FakeEngine(snapshot(positions=held()))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("x")
        await until(pilot, lambda: "press 2" in toasts(app))
        await pilot.press("2")
        await shown(pilot, "Close")
        await pilot.press("x")
        await shown(pilot, "CLOSE A PART OF THE ACCOUNT?", "7  EURUSD", "> Cancel: close nothing")
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, CloseDialog))
        await pilot.press("x", "x", "y", "escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert engine.sent == []


async def test_the_position_is_sent_with_the_volume_that_was_seen_when_the_dialog_opened() -> None:
    engine = FakeEngine(snapshot(positions=held()))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("2", "x")
        await shown(pilot, "Close position 7 EURUSD 0.10")
        engine.push(snapshot(positions=[position(7, volume=0.4), position(9)]))
        await shown(pilot, "0.40")
        await pilot.press("down", "enter")
        await until(pilot, lambda: engine.sent)
        assert engine.sent == [(Close(scope=PositionScope(position=7, seen_volume=0.1)), "closed by the operator")]


@pytest.mark.parametrize(("typed", "lots"), [("0.04", 0.04), ("0,04", 0.04), ("", None), ("half", None), ("-1", None)])
async def test_a_part_asks_for_its_lots(typed: str, lots: float | None) -> None:
    engine = FakeEngine(snapshot(positions=held()))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("2", "x")
        await until(pilot, lambda: isinstance(app.screen, CloseDialog))
        await pilot.press("down", "down", "enter")
        await shown(pilot, "CLOSE HOW MANY LOTS?")
        await pilot.press(*typed, "enter")
        await until(pilot, lambda: not isinstance(app.screen, AskText))
        if lots is None:
            await until(pilot, lambda: not typed or "is no volume in lots" in toasts(app))
            assert engine.sent == []
        else:
            await until(pilot, lambda: engine.sent)
            scope = PositionScope(position=7, seen_volume=0.1, volume=lots)
            assert engine.sent[0][0] == Close(scope=scope)


@pytest.mark.parametrize(
    ("name", "scope", "says"),
    [
        ("close symbol", SymbolScope(symbol="EURUSD"), "everything of EURUSD"),
        ("close source", SourceScope(source="alpha"), "everything of source alpha"),
        ("close losers", LosersScope(), "at a loss"),
        ("close winners", WinnersScope(), "at a profit"),
    ],
)
async def test_scopes_are_in_the_palette_and_ask_too(name: str, scope: Any, says: str) -> None:
    engine = FakeEngine(snapshot(positions=held()))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("2")
        await shown(pilot, "GBPUSD")
        app.perform(BY_NAME[name])
        text = await shown(pilot, says, "> Cancel")
        assert ("GBPUSD" in text.split("CLOSE A PART")[1]) == (name == "close losers")
        await pilot.press("down", "enter")
        await until(pilot, lambda: engine.sent)
        assert engine.sent[0][0] == Close(scope=scope)


async def test_what_cannot_be_closed_says_why() -> None:
    engine = FakeEngine(snapshot(positions=[position(8, 0.0, owner="foreign")]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("2")
        await shown(pilot, "FOREIGN")
        context = app.context()
        said = {name: BY_NAME[name].unavailable(context) for name in BY_NAME if "close" in name}
        assert said["close source"] == "the selected position comes from no signal of ours"
        assert said["close losers"] == "no position is at a loss"
        assert said["close winners"] == "no position is at a profit"
        assert said["give up close"] == "no close is under way"
        assert said["close"] is None
        assert engine.sent == []


async def test_a_close_under_way_is_shown_and_a_deferred_one_in_red() -> None:
    running = closing("RUNNING", positions_closed=2)
    engine = FakeEngine(snapshot(positions=held(), closings=[closing("DONE", id="C0"), running]))
    app = console(engine)
    async with app.run_test(size=(160, 45)) as pilot:
        await connected(pilot)
        text = await shown(pilot, "Close C1 RUNNING: everything of EURUSD (2 closed, 0 cancelled)")
        assert "C0" not in text
        left = ["position 7 EURUSD: 2 tries, last: 10018 market is closed"]
        engine.push(snapshot(positions=held(), closings=[closing("DEFERRED", remaining=left)]))
        await shown(pilot, "Close C1 DEFERRED", "10018 market is closed")


async def test_giving_up_asks_which_and_why() -> None:
    waiting = flatten("F1", "DEFERRED", remaining=["position 7"])
    engine = FakeEngine(snapshot(positions=held(), flatten=waiting, closings=[closing("RUNNING")]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        app.perform(BY_NAME["give up close"])
        await shown(pilot, "GIVE UP A CLOSE?", "> Cancel", "the flatten of the whole account", "Close C1 RUNNING")
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, GiveUpDialog))
        assert engine.sent == []
        app.perform(BY_NAME["give up close"])
        await until(pilot, lambda: isinstance(app.screen, GiveUpDialog))
        await pilot.press("down", "enter")
        await shown(pilot, "WHY?")
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert engine.sent == []
        app.perform(BY_NAME["give up close"])
        await until(pilot, lambda: isinstance(app.screen, GiveUpDialog))
        await pilot.press("down", "enter")
        await shown(pilot, "WHY?")
        await pilot.press(*"monday", "enter")
        await until(pilot, lambda: engine.sent)
        assert engine.sent == [(CancelClose(id="F1"), "monday")]


async def test_the_flatten_dialog_names_pending_orders_too() -> None:
    standing = {"digits": 5, "type": "buy limit", "price": 1.0, "sl": 0, "tp": 0, "comment": "", "placed_at": NOW}
    orders = [
        {**standing, "ticket": 12, "symbol": "EURUSD", "volume": 0.1},
        {**standing, "ticket": 13, "symbol": "GBPUSD", "volume": 0.2, "owner": "foreign"},
    ]
    engine = FakeEngine(snapshot(positions=[position(n) for n in range(20, 40)], orders=orders))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("F")
        await shown(pilot, "2 pending orders (1 FOREIGN): 12 EURUSD 0.10, 13 GBPUSD 0.20", "and 15 more", "Flatten now")
