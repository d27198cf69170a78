"""Bars, several files at once, gaps, and files that are too long to be read first."""

import tracemalloc
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.paper.barfile import Bar
from engine.paper.brokerclock import BrokerClock
from engine.paper.market import MarketError, Quote
from engine.paper.replay import LONG_GAP_MS, SHORT_GAP_MS, ReplayMarket
from engine.paper.source import CHECKED_TICKS
from engine.paper.tickfile import TickFileError

HEAD = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
DAILY = "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"


def written(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content)
    return path


def all_of(market: ReplayMarket) -> list[Quote]:
    quotes = []
    while market.due_ms() is not None:
        quotes.append(market.take())
    return quotes


def msc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_bar_gives_its_four_prices_a_quarter_apart_with_its_spread(tmp_path: Path) -> None:
    body = (
        "2026.01.05\t10:00:00\t1.10000\t1.10040\t1.09990\t1.10020\t55\t0\t7\n"
        "2026.01.05\t10:05:00\t1.10020\t1.10025\t1.09950\t1.09960\t41\t0\t12\r\n"
    )
    market = ReplayMarket([written(tmp_path, "EURUSD_M5.csv", HEAD + body)])
    start = msc("2026-01-05T10:00:00")
    assert all_of(market) == [
        Quote("EURUSD", start, 1.1, 1.10007),
        Quote("EURUSD", start + 75_000, 1.0999, 1.09997),
        Quote("EURUSD", start + 150_000, 1.1004, 1.10047),
        Quote("EURUSD", start + 225_000, 1.1002, 1.10027),
        Quote("EURUSD", start + 300_000, 1.1002, 1.10032),
        Quote("EURUSD", start + 375_000, 1.10025, 1.10037),
        Quote("EURUSD", start + 450_000, 1.0995, 1.09962),
        Quote("EURUSD", start + 525_000, 1.0996, 1.09972),
    ]


def test_daily_bars_have_no_time(tmp_path: Path) -> None:
    body = "2026.01.05\t156.1\t157.2\t155.9\t156.8\t9\t0\t11\n2026.01.06\t156.8\t156.9\t156.0\t156.2\t9\t0\t11\n"
    quotes = all_of(ReplayMarket([written(tmp_path, "USDJPY_Daily.csv", DAILY + body)]))
    assert quotes[0] == Quote("USDJPY", msc("2026-01-05T00:00:00"), 156.1, 156.111)
    assert quotes[1].bid == 155.9
    assert quotes[3].time_msc == msc("2026-01-05T18:00:00")


def test_the_nearer_of_high_and_low_comes_first() -> None:
    assert Bar(0, 10.0, 12.0, 9.0, 11.0, 1).path() == (10.0, 9.0, 12.0, 11.0)
    assert Bar(0, 10.0, 11.0, 8.0, 9.0, 1).path() == (10.0, 11.0, 8.0, 9.0)


GOOD = "2026.01.05\t10:00:00\t1.1\t1.2\t1.0\t1.1\t5\t0\t7\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2026.01.05\t10:01:00\t1.1\t1.05\t1.0\t1.02\t5\t0\t7", "between low and high"),
        ("2026.01.05\t10:01:00\t1.1\t1.2\t1.15\t1.17\t5\t0\t7", "between low and high"),
        ("2026.01.05\t10:01:00\t1.1\t1.2\t1.0\t1.1\t5\t0\t-7", "spread in points"),
        ("2026.01.05\t10:01:00\t1.1\t1.2\t1.0\t1.1\t5\t0", "spread in points"),
        ("2026.01.05\t10:01:30\t1.1\t1.2\t1.0\t1.1\t5\t0\t7", "spread in points"),
        ("2026.02.31\t10:01:00\t1.1\t1.2\t1.0\t1.1\t5\t0\t7", "a day and a time of day that exist"),
        ("2026.01.05\t10:00:00\t1.1\t1.2\t1.0\t1.1\t5\t0\t7", "a time after the line above"),
        ("2026.01.05\t10:01:00\t0\t1.2\t0\t1.1\t5\t0\t7", "above 0"),
        ("x" * 600, "shorter than"),
    ],
)
def test_malformed_bar_names_file_line_finding_and_expectation(tmp_path: Path, line: str, expected: str) -> None:
    path = written(tmp_path, "EURUSD.csv", HEAD + GOOD + line + "\n")
    with pytest.raises(TickFileError) as caught:
        ReplayMarket([path])
    assert str(caught.value).startswith(f"{path}, line 3: found ")
    assert expected in str(caught.value)


def test_files_are_merged_in_the_order_of_time_on_one_clock(tmp_path: Path) -> None:
    euro = "2026-01-05T08:00:00Z,1.1,1.1001\n2026-01-05T08:00:02Z,1.2,1.2001\n"
    yen = "".join(f"2026.01.05\t10:0{minute}:00\t156.1\t156.3\t156.0\t156.2\t5\t0\t7\n" for minute in range(2))
    files = [written(tmp_path, "EURUSD.csv", euro), written(tmp_path, "USDJPY.csv", HEAD + yen)]
    market = ReplayMarket(files, "USDJPY")
    assert list(market.instruments) == ["USDJPY", "EURUSD"]
    quotes = all_of(market)
    # UTC 08:00 is 10:00 at the broker's in winter: the plain file is shifted, the export is not.
    ten = msc("2026-01-05T10:00:00")
    assert [(quote.symbol, quote.time_msc - ten) for quote in quotes[:4]] == [
        ("EURUSD", 0), ("USDJPY", 0), ("EURUSD", 2000), ("USDJPY", 15_000),
    ]  # fmt: skip
    assert len(quotes) == 10


def test_two_files_of_one_symbol_and_a_main_symbol_that_is_not_there_are_refused(tmp_path: Path) -> None:
    line = "2026-01-05T08:00:00Z,1.1,1.1001\n"
    files = [written(tmp_path, name, line) for name in ("EURUSD-a.csv", "EURUSD-b.csv", "GBPUSD.csv")]
    with pytest.raises(MarketError, match="expected one file a symbol"):
        ReplayMarket(files)
    with pytest.raises(MarketError, match="'USDJPY': the files hold EURUSD, GBPUSD"):
        ReplayMarket(files[1:], "USDJPY")


def test_long_gap_is_a_minute_of_running_market_and_all_of_the_broker_s_clock(tmp_path: Path) -> None:
    friday, monday = "2026-01-09T21:59:59Z", "2026-01-11T22:00:00Z"
    path = written(tmp_path, "EURUSD.csv", f"{friday},1.1,1.1001\n{monday},1.2,1.2001\n")
    market = ReplayMarket([path])
    market.take()
    assert market.due_ms() == SHORT_GAP_MS
    assert market.take().time_msc == msc("2026-01-12T00:00:00")
    short = written(tmp_path, "GBPUSD.csv", f"{friday},1.1,1.1001\n2026-01-09T22:04:59Z,1.2,1.2001\n")
    market = ReplayMarket([short])
    market.take()
    assert market.due_ms() == LONG_GAP_MS
    longer = written(tmp_path, "USDJPY.csv", f"{friday},150,150.1\n2026-01-09T22:05:00Z,150,150.1\n")
    market = ReplayMarket([longer])
    market.take()
    assert market.due_ms() == SHORT_GAP_MS


def test_hour_that_is_said_twice_does_not_go_back(tmp_path: Path) -> None:
    body = "".join(f"2026-11-01T0{hour}:{minute}:00Z,1.1,1.1001\n" for hour in (5, 6, 7) for minute in (10, 50))
    times = [quote.time_msc for quote in all_of(ReplayMarket([written(tmp_path, "EURUSD.csv", body)]))]
    assert all(before <= after for before, after in pairwise(times))
    assert times[-1] == msc("2026-11-01T09:50:00")


def test_malformed_line_beyond_the_checked_ones_ends_the_replay_by_name(tmp_path: Path) -> None:
    good = "".join(f"{1_767_600_000 + second},1.1,1.1001\n" for second in range(CHECKED_TICKS + 5))
    path = written(tmp_path, "EURUSD.csv", good + "garbage\n")
    market = ReplayMarket([path])
    with pytest.raises(TickFileError, match=f"line {CHECKED_TICKS + 6}: found 'garbage'"):
        all_of(market)


def test_malformed_line_among_the_checked_ones_lets_nothing_start(tmp_path: Path) -> None:
    good = "".join(f"{1_767_600_000 + second},1.1,1.1001\n" for second in range(99_000))
    path = written(tmp_path, "EURUSD.csv", good + "garbage\n")
    with pytest.raises(TickFileError, match="line 99001: found 'garbage'"):
        ReplayMarket([path])


def test_bar_inside_the_one_before_it_ends_the_replay_by_name(tmp_path: Path) -> None:
    prices = "\t1.1\t1.2\t1.0\t1.1\t5\t0\t7\n"
    begin = datetime(2026, 1, 5, tzinfo=UTC)
    opens = [begin + timedelta(minutes=5 * bar) for bar in range(1100)]
    opens.append(opens[-1] + timedelta(minutes=1))
    body = "".join(f"{moment:%Y.%m.%d}\t{moment:%H:%M}:00{prices}" for moment in opens)
    with pytest.raises(TickFileError, match=r"line 1102: .* expected a bar that opens 5 minutes or more"):
        ReplayMarket([written(tmp_path, "EURUSD.csv", HEAD + body)])


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path, "EURUSD.csv", "".join(f"{1_767_600_000 + n // 9},1.1,1.1{n % 9}1\n" for n in range(30_000))
    )
    market = ReplayMarket([path])
    tracemalloc.start()
    try:
        for _ in range(1000):
            market.take()
        early = tracemalloc.get_traced_memory()[0]
        for _ in range(28_000):
            market.take()
        assert tracemalloc.get_traced_memory()[0] - early < 20_000
    finally:
        tracemalloc.stop()


moves = st.lists(st.tuples(st.integers(0, 400_000), st.integers(1, 300)), min_size=1, max_size=12)


@given(euro=moves, yen=moves, sterling=moves, cut=st.integers(0, 50))
def test_replay_goes_on_bit_for_bit_from_any_place(
    tmp_path_factory: pytest.TempPathFactory,
    euro: list[tuple[int, int]],
    yen: list[tuple[int, int]],
    sterling: list[tuple[int, int]],
    cut: int,
) -> None:
    folder = tmp_path_factory.mktemp("files")
    begin = msc("2026-01-05T08:00:00")

    def plain(rows: list[tuple[int, int]]) -> str:
        time, lines = begin, []
        for gap, points in rows:
            time += gap
            lines.append(f"{time},{1 + points / 1000:.5f},{1 + points / 1000 + 0.0001:.5f}\n")
        return "".join(lines)

    def bars(rows: list[tuple[int, int]]) -> str:
        lines = [HEAD]
        for minute, (_, points) in enumerate(rows):
            opened = 1 + points / 1000
            shown = "\t".join(f"{price:.5f}" for price in (opened, opened + 0.01, opened - 0.005, opened + 0.002))
            lines.append(f"2026.01.05\t10:{minute:02}:00\t{shown}\t9\t0\t5\n")
        return "".join(lines)

    files = [
        written(folder, "EURUSD.csv", plain(euro)),
        written(folder, "USDJPY.csv", plain(yen)),
        written(folder, "GBPUSD.csv", bars(sterling)),
    ]
    clock = BrokerClock()
    market = ReplayMarket(files, clock=clock)
    before = []
    for _ in range(cut):
        if market.due_ms() is None:
            break
        before.append(market.take())
    other = ReplayMarket(files, clock=clock)
    other.resume(market.position())
    assert other.due_ms() == market.due_ms()
    rest = all_of(market)
    assert all_of(other) == rest
    whole = before + rest
    assert len(whole) == len(euro) + len(yen) + 4 * len(sterling)
    assert all(one.time_msc <= two.time_msc for one, two in pairwise(whole))
    assert all(0 < quote.bid <= quote.ask for quote in whole)
