"""The server's clock against known instants of both changes of a year."""

from datetime import UTC, datetime

import pytest

from engine.paper.brokerclock import BrokerClock


def msc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("utc", "shown"),
    [
        ("2026-01-05T06:00:00", "2026-01-05T08:00:00"),
        ("2026-03-08T06:59:59", "2026-03-08T08:59:59"),
        ("2026-03-08T07:00:00", "2026-03-08T10:00:00"),
        ("2026-03-20T21:00:00", "2026-03-21T00:00:00"),
        ("2026-07-01T12:00:00", "2026-07-01T15:00:00"),
        ("2026-11-01T05:59:59", "2026-11-01T08:59:59"),
        ("2026-11-01T06:00:00", "2026-11-01T08:00:00"),
        ("2026-11-02T22:00:00", "2026-11-03T00:00:00"),
    ],
)
def test_clock_is_seven_hours_ahead_of_new_york(utc: str, shown: str) -> None:
    assert BrokerClock().from_utc_msc(msc(utc)) == msc(shown)
    assert BrokerClock("utc").from_utc_msc(msc(utc)) == msc(utc)


@pytest.mark.parametrize(
    ("shown", "utc"),
    [
        ("2026-01-05T08:00:00", "2026-01-05T06:00:00"),
        ("2026-07-01T15:00:00", "2026-07-01T12:00:00"),
        # In the hours before the change in spring the server is still two hours ahead.
        ("2026-03-08T07:30:00", "2026-03-08T05:30:00"),
        ("2026-03-08T08:59:59", "2026-03-08T06:59:59"),
        # Left out: the moment of the change.
        ("2026-03-08T09:30:00", "2026-03-08T07:00:00"),
        ("2026-03-08T10:00:00", "2026-03-08T07:00:00"),
        # Said twice: the first.
        ("2026-11-01T08:30:00", "2026-11-01T05:30:00"),
        ("2026-11-01T09:00:00", "2026-11-01T07:00:00"),
    ],
)
def test_what_the_clock_shows_is_one_moment(shown: str, utc: str) -> None:
    assert BrokerClock().to_utc_msc(msc(shown)) == msc(utc)
    assert BrokerClock("utc").to_utc_msc(msc(shown)) == msc(shown)


def test_europe_s_change_of_the_clock_is_not_the_broker_s() -> None:
    clock = BrokerClock()
    # Between the two changes of March, Berlin is one hour ahead of UTC and the broker three.
    assert clock.offset_ms(msc("2026-03-15T12:00:00")) == 3 * 3_600_000
    assert clock.offset_ms(msc("2026-03-01T12:00:00")) == 2 * 3_600_000
    assert clock.offset_ms(msc("2026-10-28T12:00:00")) == 3 * 3_600_000
