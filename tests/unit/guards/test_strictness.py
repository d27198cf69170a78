"""Every tightening holds at once; what loosens is named and keeps the old table."""

from typing import Any

import pytest

from engine.config import DrawdownSettings
from engine.guards.settings import GuardSettings
from engine.guards.strictness import rules_in_force
from engine.risk import rules_of

LOSS = {"name": "daily", "basis": "day-start balance", "percent": 5.0, "action": "block", "lock": "operator"}


def rules(drawdown: float = 20.0, **guards: Any) -> dict[str, Any]:
    return rules_of(DrawdownSettings(limit_percent=drawdown), GuardSettings.model_validate(guards))


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        (rules(10.0), rules(20.0), "drawdown: limit_percent 10.0 -> 20.0"),
        (rules(presets=["static"]), rules(), "preset static is left out"),
        (rules(presets=["static"]), rules(presets=["static"], preset_act_at=1.0), "preset_act_at 0.9 -> 1.0"),
        (rules(loss=[LOSS]), rules(), "daily is left out"),
        (rules(loss=[LOSS]), rules(loss=[{**LOSS, "percent": 6.0}]), "daily: percent 5.0 -> 6.0"),
        (rules(loss=[LOSS]), rules(loss=[{**LOSS, "basis": "initial"}]), "daily: basis"),
        (rules(loss=[LOSS]), rules(loss=[{**LOSS, "lock": "reset"}]), "daily: lock"),
        (rules(loss=[LOSS]), rules(loss=[{**LOSS, "action": "warn", "lock": None}]), "daily: action block -> warn"),
        (rules(loss=[LOSS]), rules(loss=[{**LOSS, "reset": {"zone": "Asia/Tokyo", "time": "00:00"}}]), "daily: reset"),
        (rules(loss=[LOSS]), rules(loss=[{**LOSS, "percent": None, "money": 9.0}]), "daily: percent"),
        (rules(equity_floor={"money": 9_000.0}), rules(equity_floor={"money": 8_000.0}), "equity_floor: money"),
        (rules(margin_level={"percent": 200}), rules(margin_level={"percent": 150}), "margin_level: percent"),
        (rules(open_positions={"most": 2}), rules(open_positions={"most": 3}), "open_positions: most 2 -> 3"),
        (rules(volume={"most": 2, "most_per_symbol": 1}), rules(volume={"most": 2}), "volume: most_per_symbol"),
        (rules(risk_at_stops={"percent": 2}), rules(risk_at_stops={"money": 2}), "risk_at_stops"),
        (rules(losing_streak={"losses": 3}), rules(losing_streak={"losses": 4}), "losing_streak: losses"),
        (
            rules(losing_streak={"losses": 3}),
            rules(losing_streak={"losses": 3, "cooldown_seconds": 60}),
            "losing_streak: cooldown_seconds",
        ),
        (
            rules(repeated_orders={"most": 3}),
            rules(repeated_orders={"most": 3, "window_seconds": 10}),
            "repeated_orders: window_seconds",
        ),
        (rules(spread={"points": {"EURUSD": 10}}), rules(spread={"points": {"EURUSD": 20}}), "spread: points"),
        (
            rules(sessions={"friday_close": "20:00"}),
            rules(sessions={"friday_close": "21:00"}),
            "sessions: friday_close",
        ),
        (rules(initial_balance=100_000.0), rules(initial_balance=90_000.0), "initial_balance"),
    ],
)
def test_what_is_looser_is_named_and_the_old_table_holds(
    before: dict[str, Any], after: dict[str, Any], named: str
) -> None:
    held, said = rules_in_force(before, after)
    assert any(one.startswith(named) for one in said), said
    again, nothing = rules_in_force(before, held)
    assert nothing == []
    assert GuardSettings.model_validate({key: value for key, value in again.items() if key != "drawdown"})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (rules(20.0), rules(10.0)),
        (rules(), rules(presets=["static"])),
        (rules(presets=["static"]), rules(presets=["static", "ftmo-2step"], preset_act_at=0.8)),
        (rules(), rules(loss=[LOSS])),
        (rules(loss=[LOSS]), rules(loss=[{**LOSS, "percent": 4.0, "act_at": 0.9, "warn_at": 0.5}])),
        (rules(loss=[LOSS]), rules(loss=[{**LOSS, "action": "flatten and lock"}])),
        (rules(equity_floor={"money": 9_000.0}), rules(equity_floor={"money": 9_500.0, "warn_money": 100})),
        (rules(volume={"most": 2}), rules(volume={"most": 2, "most_per_symbol": 1})),
        (rules(losing_streak={"losses": 3}), rules(losing_streak={"losses": 2, "cooldown_seconds": 7_200})),
    ],
)
def test_a_tightening_holds_at_once(before: dict[str, Any], after: dict[str, Any]) -> None:
    held, said = rules_in_force(before, after)
    assert said == []
    assert held == after


def test_of_a_profile_that_does_both_the_tightening_holds_and_the_loosening_does_not() -> None:
    before = rules(10.0, loss=[LOSS], open_positions={"most": 5})
    after = rules(20.0, loss=[{**LOSS, "percent": 3.0}], open_positions={"most": 4}, volume={"most": 1})
    held, said = rules_in_force(before, after)
    assert len(said) == 1
    assert held["drawdown"]["limit_percent"] == 10.0
    assert held["loss"][0]["percent"] == 3.0
    assert held["open_positions"] == {"most": 4}
    assert held["volume"]["most"] == 1.0
