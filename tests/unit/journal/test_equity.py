import asyncio
import itertools
import math
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import equity
from engine.equity import LEVELS, EquityPoint, ReadingBuffer
from tests.unit.journal.toy import draft, opened, rows

A = "5001@Paper"

readings = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 500), st.integers(0, 400_000)),
        st.floats(-1e9, 1e9),
        st.floats(0, 1e6),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=60,
)
Reading = tuple[int, float, float, float]


def memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(equity.SCHEMA)
    return connection


def expected(taken: list[Reading], stretch: int, first: int, last: int) -> list[EquityPoint]:
    """The curve by definition, from every reading."""
    stretches: dict[int, list[Reading]] = {}
    for reading in taken:
        start = reading[0] // stretch * stretch
        if first // stretch * stretch <= start <= last:
            stretches.setdefault(start, []).append(reading)
    points = []
    for start, inside in sorted(stretches.items()):
        newest = max(second for second, *_ in inside)
        final = [last for second, _, _, last in inside if second == newest][-1]
        points.append(
            EquityPoint(
                start, stretch, min(low for _, low, _, _ in inside), max(high for _, _, high, _ in inside), final
            )
        )
    return points


@given(taken=readings, points=st.integers(1, 50), flush=st.integers(1, 7), data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_thinned_curve_is_what_recomputation_from_every_reading_gives(
    taken: list[tuple[int, float, float, float]], points: int, flush: int, data: st.DataObject
) -> None:
    exact = [(second, low, low + width, low + width * share) for second, low, width, share in taken]
    start = data.draw(st.none() | st.integers(0, 400_000))
    end = data.draw(st.none() | st.integers(0, 400_000))
    connection = memory()
    buffer = ReadingBuffer()
    for count, (second, low, high, last) in enumerate(exact):
        buffer.add(A, second, low, high, last)
        if count % flush == 0:
            equity.store(connection, buffer.take())
    equity.store(connection, buffer.take())
    curve = equity.read(connection, A, start, end, points)
    connection.close()

    seconds = [second for second, *_ in exact]
    first = max(start, min(seconds)) if start is not None else min(seconds)
    last = min(end, max(seconds)) if end is not None else max(seconds)
    if first > last:
        assert curve == []
        return
    assert len(curve) <= points
    stretch, _ = equity.plan(first, last, points)
    assert curve == expected(exact, stretch, first, last)


@given(start=st.integers(0, 2**33), span=st.integers(0, 10**9), points=st.integers(1, 2000))
def test_a_plan_fits_the_points_and_reads_few_rows_for_each(start: int, span: int, points: int) -> None:
    stretch, level = equity.plan(start, start + span, points)
    assert stretch % level == 0
    assert (start + span) // stretch - start // stretch + 1 <= points
    assert stretch // level <= 8 or level == LEVELS[-1]


@pytest.mark.parametrize("second", [0, 1, 59, 60, 4321, 86_399, 99_999])
def test_a_spike_of_one_second_is_never_lost(second: int) -> None:
    connection = memory()
    buffer = ReadingBuffer()
    for each in range(0, 100_000, 7):
        buffer.add(A, each, 100, 101, 100)
    buffer.add(A, second, 3, 100, 100)
    buffer.add(A, second, 100, 900, 100)
    equity.store(connection, buffer.take())
    for points in (1, 2, 3, 80, 400, 5000):
        curve = equity.read(connection, A, None, None, points)
        assert (min(point.low for point in curve), max(point.high for point in curve)) == (3, 900)
        hit = [point for point in curve if point.start <= second < point.start + point.seconds]
        assert (hit[0].low, hit[0].high) == (3, 900)
    connection.close()


def test_stretches_without_readings_are_absent() -> None:
    connection = memory()
    equity.store(connection, {(A, second): (1.0, 1.0, 1.0) for second in (*range(100), *range(9000, 9100))})
    curve = equity.read(connection, A, None, None, 100)
    assert {point.seconds for point in curve} == {120}
    assert [point.start for point in curve] == [0, 9000]
    assert equity.read(connection, A, 200, 8000, 100) == []
    assert equity.read(connection, A, 5, 3, 100) == []
    connection.close()


def test_an_unknown_account_has_no_curve_and_no_points_are_refused() -> None:
    connection = memory()
    assert equity.read(connection, "nobody", None, None, 10) == []
    with pytest.raises(ValueError, match="0 points"):
        equity.read(connection, A, None, None, 0)
    connection.close()


def test_each_level_divides_the_next() -> None:
    assert all(longer % shorter == 0 for shorter, longer in itertools.pairwise(LEVELS))


async def test_readings_are_merged_and_share_the_next_commit(path: Path, threaded: bool) -> None:
    async with opened(path, threaded=threaded) as journal:
        journal.record_equity(A, 60, 5, 6, 6)
        journal.record_equity(A, 60, 4, 5, 5)
        journal.record_equity(A, 61, 7, 9, 8)
        await journal.append(draft())
        assert await journal.equity(A, None, None, 10) == [
            EquityPoint(60, 1, 4, 6, 5),
            EquityPoint(61, 1, 7, 9, 8),
        ]
        journal.record_equity(A, 60, 1, 5, 2)
        await journal.append(draft())
        assert await journal.equity(A, 60, 60, 10) == [EquityPoint(60, 1, 1, 6, 2)]
        assert await journal.equity(A, None, None, 1) == [EquityPoint(60, 2, 1, 9, 8)]


async def test_readings_are_committed_without_any_event_too(
    path: Path, threaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.journal.journal.EQUITY_SECONDS", 0.02)
    async with opened(path, threaded=threaded) as journal:
        journal.record_equity(A, 60, 5, 6, 6)
        await asyncio.sleep(0.02)
        await journal.set_value(A, "behind the readings in the queue", "")
        assert rows(path, "SELECT count(*) FROM equity WHERE seconds = 1") == [(1,)]
        journal.record_equity(A, 61, 5, 6, 6)
    assert rows(path, "SELECT count(*) FROM equity WHERE seconds = 1") == [(2,)]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
async def test_a_reading_that_is_not_finite_is_not_kept(path: Path, bad: float) -> None:
    async with opened(path) as journal:
        journal.record_equity(A, 60, bad, 1, 1)
        journal.record_equity(A, 60, 1, bad, 1)
        journal.record_equity(A, 60, 1, 1, bad)
        await journal.append(draft())
        assert await journal.equity(A, None, None, 10) == []
        assert journal.failure is None
