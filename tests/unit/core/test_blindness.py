import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.blindness import level


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (0.0, 0),
        (5.0, 0),
        (5.01, 1),
        (30.0, 1),
        (30.1, 2),
        (120.0, 2),
        (120.1, 3),
        (600.0, 3),
        (600.1, 4),
        (1_200.0, 4),
        (1_200.1, 5),
        (1_800.1, 6),
        (86_400.0, 146),
    ],
)
def test_it_escalates_at_5_s_30_s_2_min_10_min_and_every_10_min(age: float, expected: int) -> None:
    assert level(age, 5.0) == expected


@pytest.mark.parametrize(
    ("blind_after", "age", "expected"),
    [(30.0, 30.1, 1), (60.0, 31.0, 0), (60.0, 61.0, 1), (60.0, 121.0, 2), (600.0, 601.0, 1), (600.0, 1_200.1, 2)],
)
def test_times_before_it_is_blind_are_no_levels(blind_after: float, age: float, expected: int) -> None:
    assert level(age, blind_after) == expected


def test_a_reading_that_never_was_is_blind() -> None:
    assert level(math.inf, 5.0) > 146


@given(st.floats(0, 1e6), st.floats(0.001, 600))
def test_the_level_never_falls_with_age_and_is_0_exactly_while_not_blind(age: float, blind_after: float) -> None:
    now = level(age, blind_after)
    assert (now == 0) == (age <= blind_after)
    assert now <= level(age + 1.0, blind_after) <= now + 3


@given(st.floats(0.001, 600))
def test_an_event_at_each_rise_is_at_most_ten_minutes_after_the_last(blind_after: float) -> None:
    ages = [blind_after + 0.5 * step for step in range(8_000)]
    levels = [level(age, blind_after) for age in ages]
    rises = [age for (before, after), age in zip(pairwise(levels), ages[1:], strict=True) if after > before]
    assert rises[0] == blind_after + 0.5
    assert all(later - earlier <= 600.5 for earlier, later in pairwise(rises))
