from typing import Any

import pytest

from engine.guards.build import build
from engine.guards.selftest import self_test
from engine.guards.settings import GuardSettings

EVERY_TABLE: dict[str, Any] = {
    "presets": ["ftmo-2step", "static"],
    "loss": [{"name": "weekly loss", "basis": "highest equity", "percent": 6.0}],
    "equity_floor": {"money": 8_000.0, "warn_money": 200.0},
    "margin_level": {"percent": 150.0},
    "open_positions": {"most": 5},
    "volume": {"most": 3.0, "most_per_symbol": 1.0},
    "risk_at_stops": {"percent": 3.0},
    "currency_exposure": {"percent": 500.0},
    "order_rate": {"most_per_minute": 10},
    "repeated_orders": {"most": 3},
    "losing_streak": {"losses": 3},
    "trades_a_day": {"most": 10, "reset": {"zone": "Europe/Prague", "time": "00:00"}},
    "spread": {"points": {"EURUSD": 15.0}},
    "sessions": {"windows": [{"days": "Mon-Fri", "begins": "08:00", "ends": "17:00"}], "friday_close": "16:00"},
    "profit_target": {"percent": 8.0},
}


def settings(**tables: Any) -> GuardSettings:
    return GuardSettings.model_validate(tables)


def test_every_table_is_built_in_the_order_of_the_settings() -> None:
    assert [guard.name for guard in build(settings(**EVERY_TABLE))] == [
        "ftmo-2step daily loss",
        "ftmo-2step max loss",
        "static max loss",
        "weekly loss",
        "equity floor",
        "margin level",
        "open positions",
        "volume",
        "money at risk",
        "currency exposure",
        "order rate",
        "repeated orders",
        "losing streak",
        "trades a day",
        "spread",
        "sessions",
        "profit target",
    ]


def test_no_table_is_left_out() -> None:
    tables = set(GuardSettings.model_fields) - {"initial_balance", "preset_act_at"}
    assert tables == set(EVERY_TABLE)


def test_without_tables_there_are_no_guards() -> None:
    assert build(settings()) == ()


def test_every_guard_that_is_built_passes_its_rehearsal() -> None:
    assert {guard.name: self_test(guard) for guard in build(settings(**EVERY_TABLE))} == {
        guard.name: None for guard in build(settings(**EVERY_TABLE))
    }


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"margin_level": {"percent": 200.0, "warn_percent": 100.0}}, r"guards\.margin_level: warn_percent"),
        ({"sessions": {"friday_close": "20:00", "windows": [{"days": "Sat", "begins": "01:00", "ends": "02:00"}]}},
         r"guards\.sessions: windows"),
        ({"loss": [{"name": "drawdown", "basis": "initial", "percent": 5.0}]}, r"guards\.loss\[0\] .*drawdown guard"),
        ({"loss": [{"name": "volume", "basis": "initial", "percent": 5.0}], "volume": {"most": 1.0}},
         r"guards\.volume: .*guards\.loss\[0\]"),
        ({"presets": ["static"], "loss": [{"name": "static max loss", "basis": "initial", "percent": 5.0}]},
         r"guards\.loss\[0\] .*guards\.presets\[0\]"),
        ({"presets": ["static", "static"]}, r"guards\.presets\[1\] static: a guard named"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_named_with_its_key(tables: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build(settings(**tables))


@pytest.mark.parametrize(
    "tables",
    [
        {"equity_floor": {"money": 1e9, "warn_money": 1e6}},
        {"equity_floor": {"money": 0.01, "action": "warn"}},
        {"margin_level": {"percent": 5.0}},
        {"margin_level": {"percent": 33_333.3}},
        {"open_positions": {"most": 1}},
        {"volume": {"most": 0.01}},
        {"volume": {"most_per_symbol": 0.07}},
        {"volume": {"most": 0.3, "most_per_symbol": 500.0}},
        {"risk_at_stops": {"money": 0.37}},
        {"risk_at_stops": {"percent": 0.01}},
        {"currency_exposure": {"money": 333.33}},
        {"currency_exposure": {"percent": 10_000.0}},
        {"order_rate": {"most_per_minute": 1}},
        {"repeated_orders": {"most": 2, "window_seconds": 0.5}},
        {"losing_streak": {"losses": 1, "cooldown_seconds": 1.0}},
        {"trades_a_day": {"most": 1}},
        {"spread": {"points": {"XAUUSD.raw": 0.5, "EURUSD": 15.0}}},
        {"sessions": {"friday_close": "00:00", "week_begins": "23:59", "zone": "America/New_York"}},
        {"sessions": {"windows": [{"days": "Sat", "begins": "23:00", "ends": "01:00"}]}},
        {"profit_target": {"money": 1e7}},
        {"profit_target": {"percent": 0.01, "basis": "day-start equity"}},
        {"profit_target": {"percent": 400.0, "basis": "day-start balance"}},
    ],
)
def test_a_rehearsal_passes_whatever_the_limit_is(tables: dict[str, Any]) -> None:
    assert [self_test(guard) for guard in build(settings(**tables))] == [None]
