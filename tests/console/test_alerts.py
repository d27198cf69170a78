"""Open alerts on every screen, and their acknowledgement."""

from typing import Any

from console.describe import banner
from console.screens.alerts import AlertsDialog, alert_lines
from console.state import Phase, View
from engine.control.messages import Acknowledge, AlertView
from tests.console.fake import HOSTILE, NOW, FakeEngine, connected, console, shown, snapshot, toasts, until


def alert(name: str = "AB123", **over: Any) -> AlertView:
    """A critical one."""
    values: dict[str, Any] = {
        "id": name,
        "key": "guard:drawdown:tripped",
        "severity": "critical",
        "text": "Guard drawdown tripped",
        "raised_at": NOW,
    }
    return AlertView.model_validate({**values, **over})


def said(lines: Any) -> str:
    return "\n".join("".join(piece.text for piece in line) for line in lines)


def test_the_banner_says_how_many_and_the_worst_in_one_row_above_all_else() -> None:
    engine = {"mode": "HALTED", "halt_reason": "drawdown"}
    many = snapshot(engine=engine, alerts=[alert(text="Guard drawdown tripped " + "x" * 300), alert("CD456")])
    for width in (80, 160):
        lines = banner(View(snapshot=many, phase=Phase.CONNECTED), width)
        rows = said(lines).splitlines()
        assert rows[0].startswith(" 2 ALERTS, K acknowledges: CRITICAL Guard drawdown tripped")
        assert "HALTED" in rows[1]
        assert max(map(len, rows)) <= width
    assert "ALERT" not in said(banner(View(snapshot=snapshot(), phase=Phase.CONNECTED), 80))


def test_hostile_words_in_an_alert_are_data() -> None:
    for text in HOSTILE:
        hostile = alert(text=text, delivered_to=[text[:20]], failing=[text])
        shown_ = said(alert_lines([hostile])[0]) + said(
            banner(View(snapshot=snapshot(alerts=[hostile]), phase=Phase.CONNECTED), 80)
        )
        assert not {"\x1b", "\u202e", "\u200b", "\x9b"} & set(shown_)


def test_many_alerts_fit_the_dialog_and_the_rest_are_counted() -> None:
    lines, seen = alert_lines([alert(f"A{number}", text="y" * 300, failing=["z" * 100]) for number in range(20)])
    assert len(lines) <= 13
    assert f"... and {20 - seen} more, which stay open: see quarterdeck alerts" in said(lines)
    assert f"A{seen - 1}, told" in said(lines)


async def test_what_did_not_fit_the_dialog_is_not_acknowledged() -> None:
    engine = FakeEngine(snapshot(alerts=[alert(f"A{number}", text="y" * 300) for number in range(20)]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("K")
        await until(pilot, lambda: isinstance(app.screen, AlertsDialog))
        await pilot.press("down", "enter")
        await until(pilot, lambda: engine.sent)
        ((sent, _),) = engine.sent
        assert isinstance(sent, Acknowledge)
        assert 0 < len(sent.ids) < 5
        assert sent.ids == [f"A{number}" for number in range(len(sent.ids))]


async def test_alerts_are_listed_before_they_are_acknowledged_and_only_those() -> None:
    engine = FakeEngine(snapshot(alerts=[alert(), alert("CD456", severity="warning", text="clock set")]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await shown(pilot, "2 ALERTS, K acknowledges")
        await pilot.press("K")
        await until(pilot, lambda: isinstance(app.screen, AlertsDialog))
        await shown(pilot, "2 OPEN ALERTS", "Guard drawdown tripped", "clock set", "told: nobody yet")
        await pilot.press("enter")
        await pilot.pause()
        assert engine.sent == []
        await pilot.press("K")
        await until(pilot, lambda: isinstance(app.screen, AlertsDialog))
        await pilot.press("down", "enter")
        await until(pilot, lambda: engine.sent)
        assert engine.sent[0][0] == Acknowledge(ids=["AB123", "CD456"])


async def test_without_alerts_the_key_says_that_none_is_open() -> None:
    app = console(FakeEngine(snapshot()))
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("K")
        await until(pilot, lambda: "no alert is open" in toasts(app))
