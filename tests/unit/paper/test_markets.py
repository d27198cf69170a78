"""The synthetic market and the replay of files."""

import itertools
import math
import statistics
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.paper.brokerclock import BrokerClock
from engine.paper.market import MarketError, Quote, instrument, pair_in_name, pair_name
from engine.paper.replay import ReplayMarket
from engine.paper.source import inspect
from engine.paper.synthetic import MINUTE_MS, News, SyntheticMarket, news_in
from engine.paper.tickfile import TickFileError

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "eurusd-ticks-2020-01-01.csv"
HISTDATA = "20200101 170000065,1.121200,1.121720,0\n20200101 170010447,1.121210,1.121920,0\n"
MT5_HEAD = "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\n"


def replay(path: Path, symbol: str | None = None) -> ReplayMarket:
    """One file on a broker's clock that is UTC."""
    return ReplayMarket([path], symbol, clock=BrokerClock("utc"))


def many(market: SyntheticMarket, count: int) -> list[Quote]:
    return [market.take() for _ in range(count)]


def hour(market: SyntheticMarket, number: int) -> list[Quote]:
    """The ticks of one hour of broker time, counted from the start at 08:00."""
    market.resume({"minute": number * 60, "taken": 0, "openings": market.position()["openings"]})
    quotes = []
    while market.due_ms() < (number + 1) * 60 * MINUTE_MS:
        quotes.append(market.take())
    return quotes


def test_synthetic_market_starts_on_monday_at_eight_with_every_symbol() -> None:
    first = many(SyntheticMarket(1), 3)
    assert {quote.symbol for quote in first} == {"EURUSD", "GBPUSD", "USDJPY"}
    assert {quote.time_msc for quote in first} == {int(datetime(2026, 1, 5, 8, tzinfo=UTC).timestamp() * 1000)}


def test_same_seed_gives_the_same_ticks_and_another_seed_others() -> None:
    assert many(SyntheticMarket(7), 2000) == many(SyntheticMarket(7), 2000)
    assert many(SyntheticMarket(7), 50) != many(SyntheticMarket(8), 50)


def test_ticks_of_a_seed_do_not_change_between_versions() -> None:
    quotes = many(SyntheticMarket(1), 1000)
    assert quotes[0] == Quote("EURUSD", 1767600000000, 1.17245, 1.17253)
    assert quotes[999] == Quote("GBPUSD", 1767600170334, 1.34922, 1.34935)


def test_synthetic_market_goes_on_bit_for_bit_from_its_position() -> None:
    market = SyntheticMarket(3)
    many(market, 1234)
    again = SyntheticMarket(3)
    again.resume(market.position())
    assert many(again, 1500) == many(market, 1500)
    assert again.position() == market.position()


def test_synthetic_quotes_are_believable() -> None:
    quotes = hour(SyntheticMarket(5), 8)
    times = [quote.time_msc for quote in quotes]
    assert times == sorted(times)
    assert len(quotes) / 3600 > 3, "several ticks a second in a busy hour"
    for quote in quotes:
        assert 0 < quote.bid < quote.ask < quote.bid * 1.002
        digits = instrument(quote.symbol).digits
        assert (quote.bid, quote.ask) == (round(quote.bid, digits), round(quote.ask, digits))


def test_night_is_quieter_and_rollover_wider_than_the_busy_afternoon() -> None:
    market = SyntheticMarket(5)
    afternoon, midnight = hour(market, 8), hour(market, 15)

    def mean_spread(quotes: list[Quote]) -> float:
        spreads = [quote.ask - quote.bid for quote in quotes if quote.symbol == "EURUSD"]
        return sum(spreads) / len(spreads)

    assert len(midnight) < len(afternoon) / 2
    late = [quote for quote in midnight if quote.time_msc % 3_600_000 > 55 * 60_000]
    assert mean_spread(late) > 3 * mean_spread(afternoon)


def test_market_jumps_now_and_then() -> None:
    market = SyntheticMarket(2)
    jumps = 0
    for number in range(6):
        bids = [quote.bid for quote in hour(market, number + 1) if quote.symbol == "EURUSD"]
        jumps += sum(abs(after - before) > 0.00015 for before, after in itertools.pairwise(bids))
    assert jumps > 0


def test_weekend_is_skipped_with_a_gap() -> None:
    market = SyntheticMarket(1)
    last_of_friday = (4 * 24 + 16) * 60 - 1
    market.resume({"minute": last_of_friday, "taken": 0, "openings": market.position()["openings"]})
    quotes = []
    while market.due_ms() < (last_of_friday + 2) * MINUTE_MS:
        quotes.append(market.take())
    moments = [datetime.fromtimestamp(quote.time_msc / 1000, UTC) for quote in quotes]
    assert {(moment.strftime("%a %H:%M")) for moment in moments} == {"Fri 23:59", "Mon 00:00"}
    assert moments == sorted(moments)


def test_monday_opens_elsewhere_than_friday_closed() -> None:
    last_of_friday = (4 * 24 + 16) * 60 - 1
    gaps = []
    for seed in range(12):
        market = SyntheticMarket(seed)
        market.resume({"minute": last_of_friday, "taken": 0, "openings": market.position()["openings"]})
        week: dict[str, float] = {}
        while market.due_ms() < (last_of_friday + 2) * MINUTE_MS:
            quote = market.take()
            if quote.symbol == "EURUSD":
                day = datetime.fromtimestamp(quote.time_msc / 1000, UTC).strftime("%a")
                middle = (quote.bid + quote.ask) / 2
                week = week | {"Fri": middle} if day == "Fri" else {"Mon": middle} | week
        gaps.append(abs(week["Mon"] - week["Fri"]))
    # A quiet minute moves by about a pip; a weekend by several.
    assert sorted(gaps)[len(gaps) // 2] > 0.0003


def test_prices_stay_near_their_anchor_for_years() -> None:
    market = SyntheticMarket(9)
    openings = market.position()["openings"]
    market.resume({"minute": 300 * 1440, "taken": 0, "openings": [openings[0] * 1.05, *openings[1:]]})
    before = market.position()["openings"][0]
    while market.position()["minute"] < 300 * 1440 + 600:
        market.take()
    assert market.position()["openings"][0] < before


def test_synthetic_main_symbol_comes_first_and_an_unknown_one_is_refused() -> None:
    assert next(iter(SyntheticMarket(1, "USDJPY").instruments)) == "USDJPY"
    assert many(SyntheticMarket(1, "USDJPY"), 40) == many(SyntheticMarket(1), 40)
    with pytest.raises(MarketError, match="EURUSD, GBPUSD, USDJPY"):
        SyntheticMarket(1, "AUDUSD")


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("eurusd-ticks-2020-01-01.csv", "EURUSD"),
        ("DAT_ASCII_USDJPY_T_202001.csv", "USDJPY"),
        ("GBP_USD.csv", "GBPUSD"),
        ("myEURUSD.csv", "EURUSD"),
        ("xauusd.csv", "XAUUSD"),
        ("ticks.csv", None),
        ("EUREUR.csv", None),
    ],
)
def test_symbol_is_found_in_the_file_s_name(name: str, pair: str | None) -> None:
    assert pair_in_name(name) == pair


def test_pair_is_named_as_the_market_names_it() -> None:
    assert pair_name("JPY", "EUR") == "EURJPY"
    assert pair_name("USD", "GBP") == "GBPUSD"
    assert pair_name("USD", "XAU") == "XAUUSD"
    assert pair_name("USD", "ZZZ") == "ZZZUSD"


def test_instrument_of_a_name_with_a_suffix_and_of_a_metal() -> None:
    assert instrument("USDJPY.raw").digits == 3
    assert (instrument("XAUUSD").digits, instrument("XAUUSD").contract_size) == (2, 100.0)
    for unknown in ("US500", "EURXXX", "USDXAU", "EUREUR"):
        with pytest.raises(MarketError, match="known currencies"):
            instrument(unknown)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def replayed(market: ReplayMarket) -> list[tuple[int, float, float]]:
    quotes = []
    while market.due_ms() is not None:
        quotes.append(market.take()[1:])
    market.close()
    return quotes


def utc_msc(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def test_histdata_is_eastern_standard_time(tmp_path: Path) -> None:
    market = replay(write(tmp_path, "eurusd.csv", HISTDATA))
    assert market.sources[0].format == "histdata"
    assert market.due_ms() == 0
    assert replayed(market) == [
        (utc_msc("2020-01-01T22:00:00.065Z"), 1.1212, 1.12172),
        (utc_msc("2020-01-01T22:00:10.447Z"), 1.12121, 1.12192),
    ]


def test_mt5_export_keeps_a_price_that_is_left_out(tmp_path: Path) -> None:
    body = (
        "2026.01.05\t00:00:00.100\t1.10000\t\t\t\t2\n"
        "2026.01.05\t00:00:00.123\t1.10000\t1.10010\t\t\t6\n"
        "2026.01.05\t00:00:01\t1.10001\t\t\t\t2\r\n\r\n"
        "2026.01.05\t00:00:02.000\t\t1.10012\t0.00000\t0\t4"
    )
    market = replay(write(tmp_path, "EURUSD_ticks.csv", "\ufeff" + MT5_HEAD + body))
    assert market.sources[0].format == "mt5"
    base = utc_msc("2026-01-05T00:00:00Z")
    assert replayed(market) == [
        (base + 123, 1.1, 1.1001),
        (base + 1000, 1.10001, 1.1001),
        (base + 2000, 1.10001, 1.10012),
    ]


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-01-05T10:00:00.250Z",
        "2026-01-05 10:00:00.250",
        "2026-01-05T12:00:00.250+02:00",
        "1767607200.25",
        "1767607200250",
    ],
)
@pytest.mark.parametrize("head", ["", "timestamp,bid,ask\n", "Time, Bid, Ask\n"])
def test_plain_file_knows_iso_and_epoch(tmp_path: Path, stamp: str, head: str) -> None:
    market = replay(write(tmp_path, "GBPUSD.csv", f"{head}{stamp},1.3,1.3001\n"))
    assert market.sources[0].format == "plain"
    assert replayed(market) == [(1767607200250, 1.3, 1.3001)]


GOOD = "2026-01-05T10:00:00Z,1.1,1.2\n"
MALFORMED = [
    ("plain", GOOD + "2026-01-05T10:00:01Z,1.1\n", 2, "timestamp,bid,ask"),
    ("plain", GOOD + "yesterday,1.1,1.2\n", 2, "ISO 8601"),
    ("plain", GOOD + GOOD + "2026-01-05T09:59:59Z,1.1,1.2\n", 3, "not before the line above"),
    ("plain", GOOD + "2026-01-05T10:00:01Z,0,1.2\n", 2, "above 0"),
    ("plain", GOOD + "2026-01-05T10:00:01Z,1.3,1.2\n", 2, "the bid not above the ask"),
    ("plain", GOOD + "2026-01-05T10:00:01Z,nan,1.2\n", 2, "timestamp,bid,ask"),
    ("plain", GOOD + f"2026-01-05T10:00:01Z,1.1,{'9' * 400}\n", 2, "finite"),
    ("plain", GOOD + "x" * 2000, 2, "shorter than"),
    ("histdata", HISTDATA + "20200231 170000065,1.1,1.2,0\n", 3, "a day and a time of day"),
    ("histdata", HISTDATA + "20200102 250000065,1.1,1.2,0\n", 3, "a day and a time of day"),
    ("histdata", HISTDATA + "20200102 176000065,1.1,1.2,0\n", 3, "a day and a time of day"),
    ("histdata", HISTDATA + "20200102 170060065,1.1,1.2,0\n", 3, "YYYYMMDD HHMMSSmmm"),
    ("histdata", HISTDATA + "20200102 170000065;1.1;1.2;0\n", 3, "YYYYMMDD HHMMSSmmm,bid,ask,volume"),
    ("mt5", MT5_HEAD + "2026.01.05\t00:00:00.1\t1.1\t1.2\t\t\t6\n", 2, "tab separated"),
    ("mt5", MT5_HEAD + "2026.01.05\t00:00:00.100\t.\t1.2\t\t\t6\n", 2, "a price"),
    ("mt5", MT5_HEAD + "2026.01.05\t00:00:00.100\t0.0\t1.2\t\t\t6\n", 2, "above 0"),
    ("none", "hello\n", 1, "HistData"),
    ("none", "", 1, "HistData"),
]


@pytest.mark.parametrize(("form", "content", "line", "expected"), MALFORMED)
def test_malformed_file_names_file_line_finding_and_expectation(
    tmp_path: Path, form: str, content: str, line: int, expected: str
) -> None:
    path = write(tmp_path, "EURUSD.csv", content)
    with pytest.raises(TickFileError) as caught:
        replay(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, line {line}: found ")
    assert expected in message.partition("expected")[2]


def test_file_that_is_missing_empty_of_ticks_or_without_a_symbol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TickFileError, match="cannot be read"):
        replay(tmp_path / "EURUSD.csv")
    with pytest.raises(TickFileError, match="holds no tick"):
        replay(write(tmp_path, "EURUSD.csv", "timestamp,bid,ask\n"))
    with pytest.raises(MarketError, match="name the symbol"):
        replay(write(tmp_path, "ticks.csv", HISTDATA))
    assert list(replay(write(tmp_path, "ticks.csv", HISTDATA), "EURUSD").instruments) == ["EURUSD"]


def test_replay_goes_on_behind_its_position(tmp_path: Path) -> None:
    body = "".join(f"2026.01.05\t00:00:{second:02}.000\t1.1{second:02}\t\t\t\t2\n" for second in range(1, 60))
    content = MT5_HEAD + "2026.01.05\t00:00:00.000\t1.1\t1.9\t\t\t6\n" + body
    market = replay(write(tmp_path, "EURUSD.csv", content))
    for _ in range(30):
        market.take()
    other = replay(tmp_path / "EURUSD.csv")
    other.resume(market.position())
    assert other.due_ms() == market.due_ms() == 30_000
    assert replayed(other) == replayed(market)
    with pytest.raises(ValueError, match="ended"):
        market.take()


def test_identity_is_the_content_and_the_symbol_not_the_name(tmp_path: Path) -> None:
    one = replay(write(tmp_path, "EURUSD-a.csv", HISTDATA))
    same = replay(write(tmp_path, "EURUSD-b.csv", HISTDATA))
    other = replay(write(tmp_path, "GBPUSD.csv", HISTDATA))
    assert one.identity == same.identity != other.identity
    assert SyntheticMarket(1).identity == SyntheticMarket(1, "USDJPY").identity != SyntheticMarket(2).identity


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not on this machine")
def test_real_histdata_file_is_replayed_tick_by_tick() -> None:
    market = replay(REAL)
    expected = []
    for line in REAL.read_text().splitlines():
        stamp, bid, ask, _ = line.split(",")
        moment = datetime.strptime(stamp + "000+0000", "%Y%m%d %H%M%S%f%z").timestamp() + 5 * 3600
        expected.append((round(moment * 1000), float(bid), float(ask)))
    assert len(expected) == 9500
    assert replayed(market) == expected
    assert all(math.isclose(point, round(point, 5)) for _, point, _ in expected)
    assert inspect(REAL, 1e-5).digest == market.sources[0].digest


def test_symbols_move_together_through_the_dollar() -> None:
    market = SyntheticMarket(11)
    closes: dict[int, dict[str, float]] = {}
    last: dict[str, float] = {}
    while market.due_ms() < 24 * 60 * MINUTE_MS:
        quote = market.take()
        last[quote.symbol] = quote.bid + quote.ask
        closes.setdefault(quote.time_msc // MINUTE_MS, {}).update(last)
    rows = list(closes.values())

    def moves(symbol: str) -> list[float]:
        return [after[symbol] - before[symbol] for before, after in itertools.pairwise(rows)]

    assert 0.4 < statistics.correlation(moves("EURUSD"), moves("GBPUSD")) < 0.9
    assert -0.9 < statistics.correlation(moves("EURUSD"), moves("USDJPY")) < -0.3
    assert -0.9 < statistics.correlation(moves("GBPUSD"), moves("USDJPY")) < -0.3


def test_news_blows_up_every_symbol_s_spread_at_once_and_it_comes_back() -> None:
    market = SyntheticMarket(2)
    minute = next(minute for minute in range(1, 3000) if (news_in(2, minute) or News(59, 0, 0)).second < 30)
    news = news_in(2, minute)
    assert news is not None
    market.resume({"minute": minute - 1, "taken": 0, "openings": market.position()["openings"]})
    spreads: dict[tuple[str, str], list[float]] = {}
    while market.due_ms() < (minute + 3) * MINUTE_MS:
        due = market.due_ms() - minute * MINUTE_MS - news.second * 1000
        quote = market.take()
        when = "before" if due < 0 else "at" if due < 5000 else "after" if due > 150_000 else ""
        spreads.setdefault((quote.symbol, when), []).append(quote.ask - quote.bid)
    for symbol in ("EURUSD", "GBPUSD", "USDJPY"):
        usual = statistics.median(spreads[symbol, "before"])
        assert statistics.median(spreads[symbol, "at"]) > 5 * usual
        assert statistics.median(spreads[symbol, "after"]) < 3 * usual


def test_news_comes_a_few_times_a_day() -> None:
    days = [sum(news_in(seed, minute) is not None for minute in range(1440)) for seed in range(20)]
    assert 1 < sum(days) / len(days) < 8
