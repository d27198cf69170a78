"""The broker's file: every field arrives, everything wrong is named by its place."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.paper import market as mk
from engine.paper.brokerfile import BrokerFileError, BrokerRules, load_broker, week_of
from engine.paper.market import Instrument, instrument
from engine.paper.sessions import DAY, FIRST_SUNDAY, WEEK, Sessions

EVERYTHING = """
[server]
clock = "utc"
execution_delay_ms = 400
comments = "cut"
holidays = ["2026-12-25"]

[symbols."*"]
freeze_level = 3
stops_level = 20

[symbols.EURUSD]
stops_level = 0
volume_min = 0.1
volume_max = 50.0
volume_step = 0.1
volume_limit = 80.0
execution = "instant"
filling = ["FOK"]
orders = ["market", "limit", "sl"]
expirations = ["gtc", "day"]
trade_mode = "close only"
margin_initial = 900.0
margin_maintenance = 450.0
margin_hedged = 0.0
margin_hedged_use_leg = true
margin_buy = 1.5
margin_sell = 2.0
swap_mode = "points"
swap_long = -7.3
swap_short = 2.1
swap_triple_day = "friday"
depth = 25.0
sessions = { monday = ["00:05-12:00", "13:00-24:00"], tuesday = ["00:00-24:00"] }

[symbols."GER40.cash"]
base = "EUR"
profit = "EUR"
margin_currency = "EUR"
digits = 1
contract_size = 1.0
tick_size = 0.5
tick_value = 0.5
calc_mode = "cfd index"
"""


def rules(folder: Path, text: str) -> BrokerRules:
    path = folder / "broker.toml"
    path.write_text(text, encoding="utf-8")
    return load_broker(path)


def test_every_field_arrives(tmp_path: Path) -> None:
    broker = rules(tmp_path, EVERYTHING)
    server = broker.server
    assert (broker.clock.kind, server.execution_delay_ms, server.comments) == ("utc", 400, "cut")
    holidays = frozenset({date(2026, 12, 25)})
    monday = DAY
    assert broker.instrument("EURUSD") == Instrument(
        "EURUSD", "EUR", "USD",
        volume_min=0.1, volume_max=50.0, volume_step=0.1, volume_limit=80.0, stops_level=0, freeze_level=3,
        execution_mode=mk.EXECUTION_INSTANT, filling_mode=1, order_mode=1 | 2 | 16, expiration_mode=3, trade_mode=3,
        margin_initial=900.0, margin_maintenance=450.0, margin_hedged=0.0, margin_hedged_use_leg=True, margin_buy=1.5,
        margin_sell=2.0, swap_mode=1, swap_long=-7.3, swap_short=2.1, swap_rollover3days=5, depth=25.0,
        sessions=Sessions(
            (
                (monday + 300, monday + 12 * 3600), (monday + 13 * 3600, monday + DAY), (2 * DAY, 3 * DAY),
            ),
            holidays,
        ),
    )  # fmt: skip
    index = broker.instrument("GER40.cash")
    assert (index.base, index.digits, index.tick, index.calc_mode, index.stops_level) == ("EUR", 1, 0.5, 3, 20)
    assert index.sessions == Sessions(holidays=holidays)
    assert broker.instrument("GBPUSD").freeze_level == 3


def test_without_a_file_everything_is_as_usual() -> None:
    assert BrokerRules().instrument("USDJPY.raw") == instrument("USDJPY.raw")
    assert BrokerRules().clock.kind == "new-york-close"
    with pytest.raises(BrokerFileError, match="'US500' is no pair of known currencies: it also needs base, profit"):
        BrokerRules().instrument("US500")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[server]\nclock = 'gmt'\n", "server.clock"),
        ("[server]\nexecution_delay_ms = -1\n", "server.execution_delay_ms"),
        ("[server]\nholidays = ['soon']\n", "server.holidays.0"),
        ("[servers]\n", "servers"),
        ("[symbols.EURUSD]\nspread = 3\n", "symbols.EURUSD.spread"),
        ("[symbols.EURUSD]\nvolume_min = 0\n", "symbols.EURUSD.volume_min"),
        ("[symbols.EURUSD]\nswap_long = nan\n", "symbols.EURUSD.swap_long"),
        ("[symbols.EURUSD]\nvolume_min = 9.0\nvolume_max = 1.0\n", "volume_min 9.0 is above volume_max 1.0"),
        ("[symbols.EURUSD]\nfilling = []\n", "needs at least one filling"),
        ("[symbols.EURUSD]\nfilling = ['RETURN']\n", "symbols.EURUSD.filling.0"),
        ("[symbols.EURUSD]\nswap_mode = 'reopen'\n", "symbols.EURUSD.swap_mode"),
        ("[symbols.EURUSD]\ncalc_mode = 'futures'\n", "needs a tick_value"),
        ("[symbols.EURUSD]\nsessions = { monday = ['8-9'] }\n", "expected HH:MM"),
        ("[symbols.EURUSD]\nsessions = { monday = ['09:00-08:00'] }\n", "the end behind the beginning"),
        ("[symbols.EURUSD]\nsessions = { monday = ['08:00-10:00', '09:00-11:00'] }\n", "two sessions overlap"),
        ("[symbols.EURUSD]\nsessions = { someday = [] }\n", "symbols.EURUSD.sessions"),
        ("[symbols.US500]\ndigits = 1\n", "it also needs base, profit, contract_size"),
        ("[symbols\n", "broker.toml"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_place(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(BrokerFileError) as caught:
        rules(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "broker.toml"))
    assert place in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokerFileError, match=r"none\.toml: cannot be read"):
        load_broker(tmp_path / "none.toml")


def test_sessions_and_holidays_open_and_close() -> None:
    sessions = Sessions(
        week_of({"monday": ("08:00-12:00",), "friday": ("00:00-24:00",)}), frozenset({date(2026, 1, 9)})
    )
    monday = 1_767_571_200
    assert not sessions.open_at(monday + 8 * 3600 - 1)
    assert sessions.open_at(monday + 8 * 3600)
    assert not sessions.open_at(monday + 12 * 3600)
    friday = monday + 4 * DAY
    assert not sessions.open_at(friday)
    assert sessions.open_at(friday + WEEK)
    assert sessions.next_opening(monday) == monday + 8 * 3600
    assert sessions.next_opening(monday + 9 * 3600) == monday + 9 * 3600
    assert sessions.next_opening(monday + DAY) == monday + WEEK + 8 * 3600
    assert Sessions(()).next_opening(monday) is None


@given(st.integers(0, 2**33), st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1438)), max_size=5))
def test_next_opening_is_the_first_open_moment(now: int, spans: list[tuple[int, int]]) -> None:
    minutes = {day * 1440 + minute for day, minute in spans}
    sessions = Sessions(tuple((minute * 60, minute * 60 + 60) for minute in sorted(minutes)))
    found = sessions.next_opening(now)
    if not minutes:
        assert found is None
        return
    assert found is not None
    assert found >= now
    assert sessions.open_at(found)
    within = (now - FIRST_SUNDAY) % WEEK // 60
    if within not in minutes:
        ahead = min((minute - within) % (WEEK // 60) for minute in minutes)
        assert found == now - now % 60 + ahead * 60
