from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.guards.base import Moment
from engine.guards.days import day_key, next_reset, starts_between
from engine.guards.settings import Reset
from tests.unit.guards.makers import moment, utc

PRAGUE = Reset(zone="Europe/Prague")
GAP = Reset(zone="Europe/Prague", time="02:30")


@pytest.mark.parametrize(
    ("at", "key"),
    [("2026-01-05T22:59:59", "2026-01-05"), ("2026-01-05T23:00:00", "2026-01-06")],
)
def test_a_day_begins_at_midnight_and_not_a_second_before(at: str, key: str) -> None:
    assert day_key(PRAGUE, moment(at)) == key


def test_the_last_microsecond_of_a_day_belongs_to_it() -> None:
    assert day_key(PRAGUE, moment("2026-01-05T22:59:59.999999")) == "2026-01-05"


@pytest.mark.parametrize(
    ("at", "key"),
    [("2026-01-05T20:59:59", "2026-01-05"), ("2026-01-05T21:00:00", "2026-01-06")],
)
def test_five_in_the_morning_in_ulaanbaatar_is_nine_in_the_evening_in_utc(at: str, key: str) -> None:
    reset = Reset(zone="Asia/Ulaanbaatar", time="05:00")
    assert day_key(reset, moment(at)) == key
    assert next_reset(reset, moment("2026-01-05T20:59:59")) == utc("2026-01-05T21:00:00")


def test_a_zone_with_a_quarter_of_an_hour_is_taken_as_it_is() -> None:
    assert next_reset(Reset(zone="Asia/Kathmandu", time="00:00"), moment("2026-01-05T12:00:00")) == utc(
        "2026-01-05T18:15:00"
    )


def test_the_day_of_the_change_to_summer_time_has_23_hours() -> None:
    assert next_reset(PRAGUE, moment("2026-03-28T22:59:59")) == utc("2026-03-28T23:00:00")
    assert next_reset(PRAGUE, moment("2026-03-28T23:00:00")) == utc("2026-03-29T22:00:00")


def test_the_day_of_the_change_to_winter_time_has_25_hours() -> None:
    assert next_reset(PRAGUE, moment("2026-10-24T22:00:00")) == utc("2026-10-25T23:00:00")


def test_a_reset_in_the_hour_that_is_left_out_is_at_the_jump() -> None:
    assert day_key(GAP, moment("2026-03-29T00:59:59")) == "2026-03-28"
    assert day_key(GAP, moment("2026-03-29T01:00:00")) == "2026-03-29"
    assert next_reset(GAP, moment("2026-03-29T00:59:59")) == utc("2026-03-29T01:00:00")
    assert next_reset(GAP, moment("2026-03-29T01:00:00")) == utc("2026-03-30T00:30:00")


def test_a_reset_at_a_midnight_that_is_left_out_is_at_the_jump() -> None:
    reset = Reset(zone="America/Sao_Paulo")
    assert next_reset(reset, moment("2017-10-15T02:59:59")) == utc("2017-10-15T03:00:00")
    assert day_key(reset, moment("2017-10-15T03:00:00")) == "2017-10-15"


def test_a_reset_in_the_hour_that_is_repeated_comes_once() -> None:
    assert day_key(GAP, moment("2026-10-25T00:29:59")) == "2026-10-24"
    keys = {day_key(GAP, moment(f"2026-10-25T0{hour}:{minute}:00")) for hour in (1, 2) for minute in ("00", "29", "31")}
    assert keys | {day_key(GAP, moment("2026-10-25T00:30:00"))} == {"2026-10-25"}
    assert next_reset(GAP, moment("2026-10-25T01:15:00")) == utc("2026-10-26T01:30:00")


def test_a_midnight_that_is_repeated_comes_once() -> None:
    reset = Reset(zone="America/Havana")  # 01:00 became 00:00 on 2025-11-02
    assert next_reset(reset, moment("2025-11-02T03:59:59")) == utc("2025-11-02T04:00:00")
    assert next_reset(reset, moment("2025-11-02T05:00:00")) == utc("2025-11-03T05:00:00")


def test_a_date_that_a_zone_left_out_begins_no_second_day() -> None:
    apia = Reset(zone="Pacific/Apia")  # there was no 2011-12-30
    assert starts_between(apia, "2011-12-29", moment("2011-12-30T10:00:00")) == (utc("2011-12-30T10:00:00"),)
    assert day_key(apia, moment("2011-12-30T10:00:00")) == "2011-12-31"


def test_the_broker_day_is_by_the_broker_clock() -> None:
    reset = Reset(time="00:00")
    assert day_key(reset, moment("2026-01-05T20:59:59", broker_hours=3)) == "2026-01-05"
    assert day_key(reset, moment("2026-01-05T21:00:00", broker_hours=3)) == "2026-01-06"
    assert next_reset(reset, moment("2026-01-05T20:59:59", broker_hours=3)) == utc("2026-01-05T21:00:00")


def test_every_missed_day_start_is_told_oldest_first() -> None:
    assert starts_between(PRAGUE, "2026-03-27", moment("2026-03-30T09:00:00")) == (
        utc("2026-03-27T23:00:00"),
        utc("2026-03-28T23:00:00"),
        utc("2026-03-29T22:00:00"),
    )


def test_a_clock_that_was_set_back_starts_no_day() -> None:
    assert starts_between(PRAGUE, "2026-03-30", moment("2026-03-28T09:00:00")) == ()
    assert starts_between(PRAGUE, "2026-03-30", moment("2026-03-30T09:00:00")) == ()


def test_what_is_not_a_day_is_refused() -> None:
    with pytest.raises(ValueError, match="isoformat"):
        starts_between(PRAGUE, "yesterday", moment())


ZONES = ["Europe/Prague", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu", "Africa/Cairo"]


@given(
    st.sampled_from(ZONES),
    st.times().map(lambda each: each.replace(second=0, microsecond=0)),
    st.integers(0, 4 * 365 * 86_400).map(lambda seconds: utc("2024-01-01T00:00:00") + timedelta(seconds=seconds)),
)
def test_a_day_begins_exactly_at_its_reset_in_any_zone(zone: str, at: object, when: datetime) -> None:
    reset = Reset.model_validate({"zone": zone, "time": at})

    def of(instant: datetime) -> Moment:
        return Moment(instant, instant.replace(tzinfo=None), 0.0)

    now = of(when)
    key, ends = day_key(reset, now), next_reset(reset, now)
    assert ends > now.utc
    assert day_key(reset, of(ends - timedelta(microseconds=1))) == key
    assert day_key(reset, of(ends)) > key
    wall = ends.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    due = datetime.combine(wall.date(), reset.time)
    before = (ends - timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    assert before < due <= wall
