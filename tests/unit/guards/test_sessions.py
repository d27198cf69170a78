from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.guards.base import Finding, Nothing
from engine.guards.sessions import SessionsGuard
from engine.guards.settings import SessionsRule
from tests.unit.guards.makers import utc
from tests.unit.guards.market import market, opening

MONDAY = datetime.fromisoformat("2026-01-05")


def window(days: str, begins: str, ends: str) -> dict[str, str]:
    return {"days": days, "begins": begins, "ends": ends}


def guard(*windows: dict[str, str], zone: str = "broker", **rule: Any) -> SessionsGuard:
    return SessionsGuard(SessionsRule.model_validate({"zone": zone, "windows": windows, **rule}))


def found(sessions: SessionsGuard, at: str) -> Finding:
    """What it finds at a UTC time; the broker's clock is two hours ahead."""
    facts = market(at=at)
    finding = sessions.judge(Nothing(), facts)[1]
    assert finding.breached is (sessions.refuses(Nothing(), facts, opening()) is not None)
    return finding


def allows(sessions: SessionsGuard, at: str) -> bool:
    return not found(sessions, at).breached


DAY = guard(window("Mon-Fri", "08:00", "17:00"))
NIGHT = guard(window("Mon-Thu", "22:00", "02:00"))
WEEKEND = guard(zone="Europe/Prague", friday_close="21:00", week_begins="23:00")


@pytest.mark.parametrize(
    ("at", "allowed"),
    [
        ("2026-01-05T05:59:59", False),
        ("2026-01-05T06:00:00", True),
        ("2026-01-05T14:59:59", True),
        ("2026-01-05T15:00:00", False),
        ("2026-01-10T10:00:00", False),
    ],
)
def test_a_window_holds_its_beginning_and_not_its_end(at: str, allowed: bool) -> None:
    assert allows(DAY, at) is allowed


@pytest.mark.parametrize(
    ("at", "allowed"),
    [
        ("2026-01-05T19:59:59", False),
        ("2026-01-05T20:00:00", True),
        ("2026-01-05T21:59:59", True),
        ("2026-01-05T22:00:00", True),
        ("2026-01-05T23:59:59", True),
        ("2026-01-06T00:00:00", False),
        ("2026-01-04T23:00:00", False),
        ("2026-01-08T23:00:00", True),
        ("2026-01-09T20:00:00", False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(at: str, allowed: bool) -> None:
    assert allows(NIGHT, at) is allowed


@pytest.mark.parametrize(
    ("at", "allowed"),
    [
        ("2026-01-05T07:59:59", False),
        ("2026-01-05T08:00:00", True),
        ("2026-01-06T07:59:59", True),
        ("2026-01-06T08:00:00", False),
    ],
)
def test_a_window_that_ends_when_it_begins_lasts_24_hours(at: str, allowed: bool) -> None:
    assert allows(guard(window("Mon", "10:00", "10:00")), at) is allowed


def test_days_may_go_over_the_weekend() -> None:
    sessions = guard(window("Fri-Mon", "10:00", "11:00"))
    days = [allows(sessions, f"2026-01-{day:02d}T08:30:00") for day in range(5, 12)]
    assert days == [True, False, False, False, True, True, True]


def test_any_of_several_windows_allows() -> None:
    sessions = guard(window("Mon", "10:00", "11:00"), window("Mon", "10:30", "12:00"))
    hours = [allows(sessions, f"2026-01-05T{at}") for at in ("07:59", "08:15", "08:45", "09:30", "10:00")]
    assert hours == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("at", "closed"),
    [
        ("2026-01-09T19:59:59", False),
        ("2026-01-09T20:00:00", True),
        ("2026-01-10T12:00:00", True),
        ("2026-01-11T21:59:59", True),
        ("2026-01-11T22:00:00", False),
        ("2026-07-10T18:59:59", False),
        ("2026-07-10T19:00:00", True),
        ("2026-07-12T20:59:59", True),
        ("2026-07-12T21:00:00", False),
    ],
)
def test_from_the_friday_close_to_the_week_s_beginning_everything_is_to_be_closed(at: str, closed: bool) -> None:
    finding = found(WEEKEND, at)
    assert (finding.breached, finding.closes) == (closed, closed)


def test_without_a_beginning_the_week_begins_on_monday_at_midnight() -> None:
    sessions = guard(friday_close="21:00")
    assert [found(sessions, at).closes for at in ("2026-01-11T21:59:59", "2026-01-11T22:00:00")] == [True, False]


def test_outside_of_a_window_nothing_is_closed() -> None:
    assert not found(DAY, "2026-01-05T20:00:00").closes


def test_while_the_week_is_closed_no_window_allows() -> None:
    sessions = guard(window("Mon-Sun", "08:00", "22:00"), friday_close="20:00")
    assert [allows(sessions, f"2026-01-09T{at}") for at in ("17:59:59", "18:00:00")] == [True, False]


@pytest.mark.parametrize(
    ("sessions", "at", "lifts"),
    [
        (DAY, "2026-01-05T05:00:00", "2026-01-05T06:00:00"),
        (DAY, "2026-01-05T15:00:00", "2026-01-06T06:00:00"),
        (DAY, "2026-01-09T15:00:00", "2026-01-12T06:00:00"),
        (NIGHT, "2026-01-09T00:00:00", "2026-01-12T20:00:00"),
        (WEEKEND, "2026-01-09T20:00:00", "2026-01-11T22:00:00"),
        (guard(friday_close="21:00"), "2026-01-10T09:00:00", "2026-01-11T22:00:00"),
        (guard(window("Tue", "10:00", "11:00"), friday_close="12:00"), "2026-01-06T09:00:00", "2026-01-13T08:00:00"),
    ],
)
def test_it_says_when_entries_are_allowed_again(sessions: SessionsGuard, at: str, lifts: str) -> None:
    assert found(sessions, at).lifts_at == utc(lifts)


@pytest.mark.parametrize(
    ("at", "allowed"),
    [
        ("2026-03-29T00:59:59", False),
        ("2026-03-29T01:00:00", True),
        ("2026-03-29T01:59:59", True),
        ("2026-03-29T02:00:00", False),
    ],
)
def test_a_window_whose_beginning_the_clock_jumps_over_begins_at_the_jump(at: str, allowed: bool) -> None:
    sessions = guard(window("Sun", "02:30", "04:00"), zone="Europe/Prague")
    assert allows(sessions, at) is allowed
    if at == "2026-03-29T00:59:59":
        assert found(sessions, at).lifts_at == utc("2026-03-29T01:00:00")


@pytest.mark.parametrize(
    ("at", "allowed"),
    [
        ("2026-10-25T00:29:59", False),
        ("2026-10-25T00:30:00", True),
        ("2026-10-25T01:00:00", False),
        ("2026-10-25T01:30:00", True),
        ("2026-10-25T02:29:59", True),
        ("2026-10-25T02:30:00", False),
    ],
)
def test_an_hour_that_the_clock_shows_twice_is_inside_twice(at: str, allowed: bool) -> None:
    assert allows(guard(window("Sun", "02:30", "03:30"), zone="Europe/Prague"), at) is allowed


def test_a_zone_and_the_broker_s_clock_are_not_taken_for_each_other() -> None:
    assert allows(guard(window("Mon", "12:00", "13:00"), zone="UTC"), "2026-01-05T12:30:00")
    assert not allows(guard(window("Mon", "12:00", "13:00")), "2026-01-05T12:30:00")


@pytest.mark.parametrize(
    ("windows", "rule", "said"),
    [
        ([window("Mon-Sun", "00:00", "00:00")], {}, "never forbid"),
        ([window("Sat", "10:00", "12:00")], {"friday_close": "20:00"}, "never allow"),
        ([window("Mon", "10:00", "12:00")], {"week_begins": "22:00"}, "week_begins"),
    ],
)
def test_a_rule_without_effect_cannot_be_built(windows: list[dict[str, str]], rule: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        guard(*windows, **rule)


HALF_HOURS = st.integers(0, 47)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def clock(half_hour: int) -> str:
    return f"{half_hour // 2:02d}:{half_hour % 2 * 30:02d}"


@settings(deadline=None)
@given(st.integers(0, 6), HALF_HOURS, HALF_HOURS, st.integers(0, 7 * 48 - 1))
def test_any_window_holds_its_half_hours_of_the_week_and_lifts_at_its_first(
    day: int, begins: int, ends: int, at: int
) -> None:
    sessions = guard(window(DAYS[day], clock(begins), clock(ends)), zone="UTC")
    first = day * 48 + begins
    inside = (at - first) % (7 * 48) < ((ends - begins) % 48 or 48)
    finding = found(sessions, (MONDAY + timedelta(minutes=30 * at)).isoformat())
    assert finding.breached is not inside
    if not inside:
        assert finding.lifts_at == utc(MONDAY.isoformat()) + timedelta(minutes=30 * (at + (first - at) % (7 * 48)))
