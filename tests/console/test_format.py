from datetime import UTC, datetime

import pytest

from console import format as fmt


@pytest.mark.parametrize(
    ("said", "right"),
    [
        (fmt.number(-0.001, 2), "0.00"),
        (fmt.number(1234567.891, 2), "1,234,567.89"),
        (fmt.number(-12.5, 2), "-12.50"),
        (fmt.signed(12.5, 2), "+12.50"),
        (fmt.signed(0.001, 2), "0.00"),
        (fmt.signed(-3, 0), "-3"),
        (fmt.money(None, 2), "-"),
        (fmt.money(5, 2, "USD"), "5.00 USD"),
        (fmt.price(0.00001234, 8), "0.00001234"),
        (fmt.price(0.0, 5), "-"),
        (fmt.volume(0.1), "0.10"),
        (fmt.volume(0.015), "0.015"),
        (fmt.volume(1e-8), "0.00000001"),
        (fmt.volume(100), "100.00"),
        (fmt.percent(2.5), "2.50 %"),
        (fmt.limit(20.0), "20 %"),
        (fmt.limit(4.5), "4.5 %"),
        (fmt.ratio(None), "-"),
        (fmt.ratio(2), "2.00"),
        (fmt.points(None), "-"),
        (fmt.points(3.0), "+3"),
        (fmt.points(-2.5), "-2.5"),
        (fmt.points(7.9999999998), "+8"),
        (fmt.age(0.9), "<1 s"),
        (fmt.age(59.9), "59 s"),
        (fmt.age(250), "4 m 10 s"),
        (fmt.age(7_380), "2 h 03 m"),
        (fmt.age(270_000), "3 d 3 h"),
        (fmt.countdown(-4), "0:00"),
        (fmt.countdown(248), "4:08"),
        (fmt.countdown(3_723), "1:02:03"),
        (fmt.clock(datetime(2026, 1, 5, 8, 1, 2, tzinfo=UTC)), "08:01:02"),
        (fmt.stamp(datetime(2026, 1, 5, 8, 1, 2, tzinfo=UTC)), "01-05 08:01:02"),
    ],
)
def test_figures_read_the_same_everywhere(said: str, right: str) -> None:
    assert said == right
