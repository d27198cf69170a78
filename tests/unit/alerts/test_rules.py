"""Which events are alerts."""

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.alerts.rules import GATEWAY_SECONDS, Over, Raised, Rules, Severity
from engine.events import Draft, EventType

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def draft(kind: EventType, **told: Any) -> Draft:
    return Draft(kind, NOW, "loop", told)


def found(kind: EventType, **told: Any) -> Raised:
    raised = Rules().finding(draft(kind, **told), 0.0)
    assert isinstance(raised, Raised)
    return raised


@pytest.mark.parametrize(
    ("kind", "told", "key", "severity", "words"),
    [
        (
            EventType.GUARD_TRIPPED,
            {"guard": "drawdown", "equity": 7995.0, "floor": 8000.0, "percent": 20.05, "limit_percent": 20.0},
            "guard:drawdown:tripped",
            "critical",
            "equity 7995.00 at or under the floor 8000.00, 20.05 % of 20.00 %",
        ),
        (EventType.GUARD_TRIPPED, {"guard": "g", "said": "why"}, "guard:g:tripped", "critical", "Guard g tripped: why"),
        (EventType.GUARD_BLOCK, {"guard": "spread", "said": "wide"}, "guard:spread", "warning", "wide"),
        (EventType.GUARD_ERROR, {"guard": "spread", "said": "ValueError"}, "guard:spread:error", "critical", "failed"),
        (EventType.GUARD_LOCKED, {"guard": "g", "locked": "until 9"}, "guard:g:locked", "warning", "locked until 9"),
        (EventType.FLATTEN_DEFERRED, {"id": "F", "remaining": ["EURUSD"]}, "flatten:deferred", "critical", "EURUSD"),
        (EventType.FLATTEN_FINISHED, {"id": "F", "statement": "flat"}, "flatten:F", "warning", "flat"),
        (EventType.FLATTEN_CANCELLED, {"id": "F", "statement": "left"}, "flatten:F", "critical", "left"),
        (EventType.CLOSING_DEFERRED, {"id": "C", "remaining": []}, "close:C", "warning", "not known"),
        (EventType.READING_BLIND, {"age_seconds": 5.2, "reason": "x"}, "blind", "critical", "readable for 5 s"),
        (EventType.TRADE_UNKNOWN, {"signal": "S1", "reason": "lost"}, "trade:S1", "critical", "lost"),
        (EventType.TRADE_PRESUMED_ABSENT, {"signal": "S1", "reason": "r"}, "trade:S1", "critical", "settled"),
        (EventType.STOP_MISSING, {"position": 7, "symbol": "EURUSD"}, "stop:7", "critical", "EURUSD position 7"),
        (EventType.DEAL_UNEXPLAINED, {"magic": "9", "signal": "S"}, "deal:9", "critical", "signal S"),
        (EventType.FUNDS_UNEXPLAINED, {"amount": -12.5}, "funds", "critical", "-12.50"),
        (EventType.CLOCK_SET, {"seconds": 3600.0}, "clock", "warning", "3600.00 s"),
        (EventType.BROKER_CLOCK_CHANGED, {"before": 0, "after": 3600}, "broker clock", "warning", "3600"),
        (
            EventType.MODE_CHANGED,
            {"to": "FLATTENING", "halt_reason": "blind"},
            "flatten",
            "critical",
            "by the engine itself: blind",
        ),
        (EventType.MODE_CHANGED, {"to": "HALTED", "halt_reason": "dd"}, "halt", "critical", "until a reset: dd"),
    ],
)
def test_an_event_that_somebody_must_know_has_a_key_a_severity_and_a_sentence(
    kind: EventType, told: dict[str, Any], key: str, severity: str, words: str
) -> None:
    raised = found(kind, **told)
    assert (raised.key, raised.severity.value) == (key, severity)
    assert words in raised.text


def test_every_rule_bears_an_event_that_holds_nothing() -> None:
    for kind in EventType:
        Rules().finding(draft(kind), 0.0)


def test_what_happens_all_day_is_no_alert() -> None:
    quiet = [
        kind for kind in EventType if kind.name.startswith(("HEARTBEAT", "SIGNAL_", "ORDER_", "POSITION_", "CLOSE_"))
    ]
    quiet += [EventType.TRADE_EXECUTED, EventType.TRADE_FAILED, EventType.GUARD_WARN, EventType.COMMAND]
    quiet += [kind for kind in EventType if kind.name.startswith("ALERT_")]
    assert len(quiet) > 20
    assert [kind for kind in quiet if Rules().finding(draft(kind), 0.0) is not None] == []


def test_a_flatten_that_an_operator_began_is_not_told_and_its_halt_is_a_warning() -> None:
    rules = Rules()
    began = draft(EventType.MODE_CHANGED, to="FLATTENING", operator="ann", origin="cli", halt_reason="done")
    assert rules.finding(began, 0.0) is None
    halted = rules.finding(draft(EventType.MODE_CHANGED, to="HALTED", halt_reason="done"), 1.0)
    assert isinstance(halted, Raised)
    assert halted.severity is Severity.WARNING
    guard = draft(EventType.MODE_CHANGED, to="FLATTENING", operator="drawdown guard", origin="engine", halt_reason="dd")
    assert isinstance(rules.finding(guard, 2.0), Raised)
    halted = rules.finding(draft(EventType.MODE_CHANGED, to="HALTED", halt_reason="dd"), 3.0)
    assert isinstance(halted, Raised)
    assert halted.severity is Severity.CRITICAL


def test_a_pause_and_a_resume_are_no_alerts() -> None:
    for mode in ("PAUSED", "RUNNING"):
        assert Rules().finding(draft(EventType.MODE_CHANGED, to=mode), 0.0) is None


def test_a_gateway_is_told_of_when_it_is_lost_again_and_again_only() -> None:
    rules = Rules()
    lost = draft(EventType.GATEWAY_LOST, slot="a", reason="deadline")
    assert [rules.finding(lost, at) for at in (0.0, GATEWAY_SECONDS)] == [None, None]
    assert rules.finding(lost, GATEWAY_SECONDS + 1) is None
    raised = rules.finding(lost, GATEWAY_SECONDS + 2)
    assert isinstance(raised, Raised)
    assert "deadline" in raised.text


def test_what_has_ended_ends_what_was_raised_for_it() -> None:
    assert Rules().finding(draft(EventType.READING_RESTORED), 0.0) == Over("blind", "readings are valid again")
    cleared = Rules().finding(draft(EventType.GUARD_CLEARED, guard="spread"), 0.0)
    assert isinstance(cleared, Over)
    assert cleared.key == "guard:spread"
