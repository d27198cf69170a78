"""The MetaTrader5 interface: arguments as the real wheel judges them, None and (), sticky errors."""

import enum
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from engine.paper import client as module
from engine.paper.client import PaperClient
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.paper.transport import InProcess, SendFailed
from tests.unit.paper.markets import deal, trade


class Magic(enum.IntEnum):
    MINE = 5


@pytest.fixture
def client() -> Iterator[PaperClient]:
    terminal = PaperTerminal.open(TerminalConfig())
    connected = PaperClient.in_process(terminal)
    assert connected.initialize()
    yield connected
    connected.shutdown()
    terminal.shutdown()


@pytest.fixture
def offline() -> PaperClient:
    return PaperClient()


def refused(name: str) -> tuple[int, str]:
    return (-2, f'Invalid "{name}" argument')


REFUSED_FIELDS = [
    *(("volume", value) for value in (1, Decimal("0.1"), "0.1", None, np.float32(0.1))),
    *((field, value) for field in ("sl", "tp", "price", "stoplimit") for value in (1, None)),
    ("action", 1.0),
    ("deviation", 1.5),
    ("magic", "5"),
    ("magic", np.int64(5)),
    ("position", "1"),
    ("type_filling", None),
    ("expiration", datetime(2026, 1, 5, tzinfo=UTC)),
    ("comment", "x" * 30),
    ("comment", "\N{ROCKET}" * 15),
    ("comment", None),
    ("comment", 5),
    ("comment", "\ud800"),
    ("symbol", "x" * 30),
]


@pytest.mark.parametrize("function", ["order_send", "order_check"])
@pytest.mark.parametrize(("field", "value"), REFUSED_FIELDS)
def test_request_field_is_refused_before_anything_is_sent(
    client: PaperClient, function: str, field: str, value: Any
) -> None:
    request = {**deal("buy", 0.1), field: value}
    assert getattr(client, function)(request) is None
    assert client.last_error() == refused(field)
    assert client.positions_get() == ()


ACCEPTED_FIELDS = [
    ("volume", np.float64(0.1)),
    ("magic", Magic.MINE),
    ("magic", True),
    ("magic", 2**64 - 1),
    ("comment", "x" * 29),
    ("comment", "\N{ROCKET}" * 14 + "x"),
    ("comment", ""),
    ("stop_loss", 1.0),
    ("expiration", 1767600000),
]


@pytest.mark.parametrize(("field", "value"), ACCEPTED_FIELDS)
def test_request_field_is_accepted(client: PaperClient, field: str, value: Any) -> None:
    result = client.order_send({**deal("buy", 0.1), field: value})
    assert result.retcode == module.TRADE_RETCODE_DONE
    assert client.last_error() == (1, "Success")


def test_unknown_request_key_is_ignored_so_the_order_has_no_stop(client: PaperClient) -> None:
    client.order_send({**deal("buy", 0.1), "stop_loss": 1.0})
    assert client.positions_get()[0].sl == 0.0


@pytest.mark.parametrize("field", ["magic", "deviation", "type"])
def test_negative_number_raises_system_error(client: PaperClient, field: str) -> None:
    with pytest.raises(SystemError, match="<built-in function order_send> returned a result with an exception set"):
        client.order_send({**deal("buy", 0.1), field: -1})


def test_number_beyond_64_bits_raises_as_a_negative_one_does(client: PaperClient) -> None:
    with pytest.raises(SystemError, match="returned a result with an exception set"):
        client.order_send({**deal("buy", 0.1), "magic": 2**64})


def test_nan_price_and_negative_volume_pass_the_client_and_are_refused_by_the_broker(client: PaperClient) -> None:
    assert client.order_send(deal("buy", 0.1, price=float("nan"))).retcode == module.TRADE_RETCODE_INVALID_PRICE
    assert client.order_send(deal("buy", -0.1)).retcode == module.TRADE_RETCODE_INVALID_VOLUME


def test_request_is_one_dict_by_place_or_by_name(client: PaperClient) -> None:
    assert client.order_check(request=deal("buy", 0.1)).retcode == 0
    assert client.order_send([1]) is None
    assert client.last_error() == refused("request")
    for args, kwargs in (((), {}), (({}, {}), {}), (({},), {"request": {}})):
        assert client.order_send(*args, **kwargs) is None
        assert client.last_error() == (-2, "Invalid arguments")


@pytest.mark.parametrize("function", ["positions_get", "orders_get"])
@pytest.mark.parametrize(
    ("args", "kwargs", "error"),
    [
        (("EURUSD",), {}, (-2, "Unnamed arguments not allowed")),
        ((), {"symbol": None}, refused("symbol")),
        ((), {"ticket": "1"}, refused("ticket")),
        ((), {"ticket": 1.0}, refused("ticket")),
        ((), {"group": 1}, refused("group")),
    ],
)
def test_selection_is_refused(
    client: PaperClient, function: str, args: Any, kwargs: Any, error: tuple[int, str]
) -> None:
    assert getattr(client, function)(*args, **kwargs) is None
    assert client.last_error() == error


def test_unknown_keyword_of_positions_get_returns_all_positions(client: PaperClient) -> None:
    client.order_send(deal("buy", 0.1))
    client.order_send(deal("buy", 0.1, "USDJPY"))
    assert len(client.positions_get(bogus=1)) == 2


def test_positions_are_selected_by_symbol_group_and_ticket(client: PaperClient) -> None:
    first = client.order_send(deal("buy", 0.1)).order
    client.order_send(deal("buy", 0.1, "USDJPY"))
    assert [position.ticket for position in client.positions_get(symbol="EURUSD")] == [first]
    assert [position.symbol for position in client.positions_get(group="*JPY*")] == ["USDJPY"]
    assert [position.ticket for position in client.positions_get(ticket=first)] == [first]
    assert client.positions_get(symbol="GBPUSD") == client.positions_get(ticket=99) == ()
    assert client.positions_total() == 2


@pytest.mark.parametrize("function", ["history_deals_get", "history_orders_get"])
@pytest.mark.parametrize(
    ("args", "kwargs", "error"),
    [
        ((), {}, (-2, "Invalid arguments")),
        ((), {"group": "*"}, (-2, "Invalid arguments")),
        ((0,), {}, (-2, "Invalid arguments")),
        (("0", 1), {}, refused("date_from")),
        ((0, None), {}, refused("date_to")),
        ((), {"ticket": 1.0}, refused("ticket")),
        ((), {"position": "1"}, refused("position")),
        ((0, 1), {"group": 5}, refused("group")),
    ],
)
def test_history_is_refused(client: PaperClient, function: str, args: Any, kwargs: Any, error: tuple[int, str]) -> None:
    assert getattr(client, function)(*args, **kwargs) is None
    assert client.last_error() == error


@pytest.mark.parametrize("end", [2**33, 1.9e9, datetime(2030, 1, 1, tzinfo=UTC)])
def test_dates_are_int_float_or_datetime(client: PaperClient, end: Any) -> None:
    assert len(client.history_deals_get(0, end)) == 1
    assert client.history_deals_total(0, end) == 1
    assert client.history_orders_total(0, end) == 0


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system keeps one time zone for a process")
def test_naive_date_goes_through_this_machine_s_zone(client: PaperClient, monkeypatch: pytest.MonkeyPatch) -> None:
    (deposit,) = client.history_deals_get(0, 2**33)
    shown = datetime.fromtimestamp(deposit.time, UTC).replace(tzinfo=None)
    try:
        for zone, found in (("UTC", 1), ("Asia/Tokyo", 0)):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            assert client.history_deals_total(0, shown) == found
    finally:
        monkeypatch.undo()
        time.tzset()


POSITIONAL = [name for name, method in module.METHODS.items() if method["flags"] == 1]
NO_ARGUMENTS = [name for name, method in module.METHODS.items() if method["flags"] == 4]


@pytest.mark.parametrize("name", POSITIONAL)
def test_positional_function_takes_no_keyword(client: PaperClient, name: str) -> None:
    with pytest.raises(TypeError, match=re.escape(f"{name}() takes no keyword arguments")):
        getattr(client, name)(symbol="EURUSD")


@pytest.mark.parametrize("name", NO_ARGUMENTS)
def test_function_without_arguments_takes_none(client: PaperClient, name: str) -> None:
    with pytest.raises(TypeError, match=re.escape(f"{name}() takes no arguments (1 given)")):
        getattr(client, name)(1)


@pytest.mark.parametrize("name", POSITIONAL)
def test_wrong_number_of_arguments_is_refused(client: PaperClient, name: str) -> None:
    failure = False if name in module.FALSE_ON_FAILURE else None
    assert getattr(client, name)() is failure
    assert client.last_error() == (-2, "Invalid arguments")


@pytest.mark.parametrize(
    ("function", "kwargs", "field"),
    [
        ("initialize", {"login": "5"}, "login"),
        ("initialize", {"timeout": 1.5}, "timeout"),
        ("initialize", {"server": 5}, "server"),
        ("initialize", {"password": 5}, "password"),
        ("initialize", {"path": 5}, "path"),
        ("login", {"login": "5"}, "login"),
    ],
)
def test_connection_arguments_are_refused_with_false(
    client: PaperClient, function: str, kwargs: dict[str, Any], field: str
) -> None:
    assert getattr(client, function)(**kwargs) is False
    assert client.last_error() == refused(field)
    assert client.account_info() is not None, "a refused initialize leaves the connection as it was"


def test_login_by_place_must_be_an_int(client: PaperClient) -> None:
    assert client.login("5") is False
    assert client.last_error() == refused("login")
    assert client.login() is False
    assert client.last_error() == (-2, "Invalid arguments")


def test_login_and_server_must_be_the_account_s(client: PaperClient) -> None:
    account = client.account_info()
    assert client.login(account.login, server=account.server, password="any") is True
    assert client.login(account.login + 1) is False
    assert client.last_error() == (-6, "Terminal: Authorization failed")
    assert client.initialize(login=account.login, unheard_of=1) is True
    assert client.initialize("path", server="Elsewhere") is False
    assert client.last_error() == (-6, "Terminal: Authorization failed")
    assert client.account_info() is None
    assert client.initialize("one", "two") is False
    assert client.last_error() == (-2, "Invalid arguments")


def test_before_initialize_everything_fails_with_no_connection(offline: PaperClient) -> None:
    assert offline.last_error() == (0, "")
    none: list[Any] = [
        offline.account_info(),
        offline.terminal_info(),
        offline.positions_get(),
        offline.orders_get(),
        offline.positions_total(),
        offline.orders_total(),
        offline.symbols_get(),
        offline.symbols_total(),
        offline.symbol_info("EURUSD"),
        offline.symbol_info_tick("EURUSD"),
        offline.order_send(deal("buy")),
        offline.order_check(deal("buy")),
        offline.order_calc_margin(0, "EURUSD", 1.0, 1.1),
        offline.order_calc_profit(0, "EURUSD", 1.0, 1.1, 1.2),
        offline.history_deals_get(0, 1),
        offline.history_orders_get(0, 1),
        offline.copy_ticks_from("EURUSD", 0, 1, -1),
        offline.copy_rates_from_pos("EURUSD", 1, 0, 1),
        offline.market_book_get("EURUSD"),
    ]
    assert none == [None] * len(none)
    assert offline.last_error() == (-10004, "No IPC connection")
    assert offline.symbol_select("EURUSD") is False
    assert offline.login(5) is False
    assert offline.market_book_add("EURUSD") is False
    assert offline.version() == (0, 0, "")
    assert offline.shutdown() is True


def test_arguments_are_judged_even_without_a_connection(offline: PaperClient) -> None:
    assert offline.order_send(deal("buy", 1)) is None
    assert offline.last_error() == refused("volume")


def test_initialize_without_a_terminal_says_so(offline: PaperClient, tmp_path: Any) -> None:
    assert offline.initialize() is False
    assert offline.last_error()[0] == -10003
    assert offline.initialize(path=str(tmp_path / "none.json")) is False
    code, text = offline.last_error()
    assert code == -10003
    assert text.startswith("IPC initialize failed, no terminal at '")


def test_error_stays_until_the_next_call_and_reading_it_changes_nothing(client: PaperClient) -> None:
    client.symbol_info("NOSUCH")
    assert client.last_error() == client.last_error() == (-4, "Terminal: Not found")
    client.account_info()
    assert client.last_error() == (1, "Success")


def test_after_the_terminal_died_one_call_fails_to_receive_and_the_next_find_no_connection() -> None:
    terminal, client = trade([("EURUSD", 1.1, 1.2), ("EURUSD", 1.1, 1.2)])
    terminal.shutdown()
    assert client.positions_get() is None
    assert client.last_error() == (-10002, "IPC recv failed")
    assert client.positions_get() is None
    assert client.last_error() == (-10004, "No IPC connection")
    assert client.initialize() is False
    assert client.last_error() == (-10003, "IPC initialize failed, the terminal has been shut down")


def test_request_that_cannot_be_sent_is_told_apart() -> None:
    terminal, _ = trade([("EURUSD", 1.1, 1.2), ("EURUSD", 1.1, 1.2)])

    class Broken(InProcess):
        def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
            if name == "order_send":
                raise SendFailed
            return super().call(name, args, kwargs)

    client = PaperClient(lambda _path: Broken(terminal))
    assert client.initialize()
    assert client.order_send(deal("buy")) is None
    assert client.last_error() == (-10001, "IPC send failed")


def test_shapes_of_the_answers(client: PaperClient) -> None:
    assert client.version() == (500, 6231, "1 Sep 2026")
    assert client.orders_get() == ()
    assert client.orders_total() == 0
    terminal = client.terminal_info()
    assert (terminal.connected, terminal.trade_allowed, terminal.tradeapi_disabled) == (True, True, False)
    account = client.account_info()
    assert (account.trade_allowed, account.trade_expert, account.server) == (True, True, "Quarterdeck-Paper")
    assert 10_000_000 <= account.login <= 99_999_999
    assert client.symbols_total() == len(client.symbols_get()) == 3
    assert [symbol.name for symbol in client.symbols_get(group="*USD,!GBP*")] == ["EURUSD"]
    assert client.symbols_get("EURUSD") is None
    assert client.symbols_get(group=1) is None
    sent = client.order_send(deal("buy", 0.1))
    assert sent._asdict()["request"]._asdict()["symbol"] == "EURUSD"
    assert sent.request_id == 1


def test_symbols_are_selected_and_taken_out(client: PaperClient) -> None:
    assert client.symbol_select("GBPUSD", False) is True
    assert client.symbol_info_tick("GBPUSD") is None
    assert client.symbol_info("GBPUSD").select is False
    assert client.symbol_select("GBPUSD") is True
    assert client.symbol_info_tick("GBPUSD").bid > 0
    client.order_send(deal("buy", 0.1))
    assert client.symbol_select("EURUSD", False) is False
    assert client.symbol_select("NOSUCH", True) is False
    assert client.last_error() == (-4, "Terminal: Not found")
    assert client.symbol_info_tick("NOSUCH") is None


def test_depth_of_market_fails_honestly(client: PaperClient) -> None:
    assert client.market_book_add("EURUSD") is False
    assert client.market_book_get("EURUSD") is None
    assert client.market_book_release("EURUSD") is None
    assert client.last_error() == (-1, "Terminal: Call failed")


def test_calculations_refuse_what_makes_no_sense(client: PaperClient) -> None:
    assert client.order_calc_margin(module.ORDER_TYPE_BUY_LIMIT, "EURUSD", 1.0, 1.1) is None
    assert client.last_error()[0] == -2
    assert client.order_calc_profit(module.ORDER_TYPE_BUY, "EURUSD", 1.0, 1.1, 0.0) is None
    assert client.order_calc_profit(module.ORDER_TYPE_BUY, "NOSUCH", 1.0, 1.1, 1.2) is None
    assert client.last_error()[0] == -4
    assert client.order_calc_profit(module.ORDER_TYPE_BUY, "EURUSD", 1, 1.1, 1.2) == 10_000.0
    assert client.order_calc_profit(module.ORDER_TYPE_BUY, "EURUSD", "1", 1.1, 1.2) is None
    assert client.last_error() == refused("volume")
    assert client.order_calc_margin("0", "EURUSD", 1.0, 1.1) is None


def test_ticks_and_bars_are_numpy_records() -> None:
    quotes = [("EURUSD", round(1.10 + place / 100_000, 5), round(1.1001 + place / 100_000, 5)) for place in range(200)]
    terminal, client = trade(quotes)
    for _ in range(150):
        terminal.step()
    start = 1_767_600_000
    ticks = client.copy_ticks_from("EURUSD", start + 10, 3, module.COPY_TICKS_ALL)
    assert ticks.dtype.names == ("time", "bid", "ask", "last", "volume", "time_msc", "flags", "volume_real")
    assert ticks["time"].tolist() == [start + 10, start + 11, start + 12]
    assert ticks["flags"].tolist() == [6, 6, 6]
    between = client.copy_ticks_range("EURUSD", start + 10, start + 11, module.COPY_TICKS_INFO)
    assert between["bid"].tolist() == [1.1001, 1.10011]
    assert len(client.copy_ticks_range("EURUSD", start, start + 11, module.COPY_TICKS_TRADE)) == 0
    bars = client.copy_rates_from_pos("EURUSD", module.TIMEFRAME_M1, 0, 2)
    assert bars.dtype.names == ("time", "open", "high", "low", "close", "tick_volume", "spread", "real_volume")
    assert bars["time"].tolist() == [start + 60, start + 120]
    assert bars[0].tolist() == (start + 60, 1.1006, 1.10119, 1.1006, 1.10119, 60, 10, 0)
    assert client.copy_rates_from_pos("EURUSD", module.TIMEFRAME_M1, 1, 1)["time"].tolist() == [start + 60]
    assert client.copy_rates_from("EURUSD", module.TIMEFRAME_M1, start + 70, 5)["time"].tolist() == [start, start + 60]
    assert client.copy_rates_range("EURUSD", module.TIMEFRAME_M1, start + 1, start + 60)["time"].tolist() == [
        start + 60
    ]
    assert client.copy_rates_from_pos("EURUSD", 7, 0, 1) is None
    assert client.last_error()[0] == -2
    assert client.copy_ticks_from("NOSUCH", 0, 1, -1) is None
    assert client.copy_ticks_from("EURUSD", 0, "1", -1) is None
    assert client.last_error() == refused("count")


@pytest.mark.parametrize(
    ("timeframe", "starts"),
    [
        (module.TIMEFRAME_M5, "2026-01-05T08:00"),
        (module.TIMEFRAME_H1, "2026-01-05T08:00"),
        (module.TIMEFRAME_H12, "2026-01-05T00:00"),
        (module.TIMEFRAME_D1, "2026-01-05T00:00"),
        (module.TIMEFRAME_W1, "2026-01-04T00:00"),
        (module.TIMEFRAME_MN1, "2026-01-01T00:00"),
    ],
)
def test_bars_of_longer_timeframes_begin_where_mt5_begins_them(timeframe: int, starts: str) -> None:
    terminal, client = trade([("EURUSD", 1.1, 1.2), ("EURUSD", 1.3, 1.4)] * 60)
    for _ in range(100):
        terminal.step()
    (bar,) = client.copy_rates_from_pos("EURUSD", timeframe, 0, 5)
    assert bar["time"] == datetime.fromisoformat(starts + "+00:00").timestamp()
    assert (bar["open"], bar["high"], bar["low"], bar["close"], bar["tick_volume"]) == (1.1, 1.3, 1.1, 1.1, 101)


def test_symbol_info_carries_the_day_s_extremes() -> None:
    terminal, client = trade(
        [("EURUSD", 1.10, 1.11), ("EURUSD", 1.05, 1.06), ("EURUSD", 1.20, 1.21), ("EURUSD", 1.0, 2.0)]
    )
    terminal.step()
    terminal.step()
    info = client.symbol_info("EURUSD")
    assert (info.bidhigh, info.bidlow, info.askhigh, info.asklow, info.session_open) == (1.20, 1.05, 1.21, 1.06, 1.10)
    assert (info.digits, info.point, info.spread, info.trade_contract_size) == (5, 1e-5, 1000, 100_000.0)
    assert (info.trade_mode, info.trade_exemode, info.filling_mode) == (4, module.SYMBOL_TRADE_EXECUTION_MARKET, 3)
    assert (info.currency_base, info.currency_profit, info.currency_margin) == ("EUR", "USD", "EUR")


def test_module_has_no_helper_that_sends_again() -> None:
    for helper in ("Buy", "Sell", "Close", "_RawOrder"):
        assert not hasattr(module, helper)
    with pytest.raises(AttributeError, match="no attribute 'NO_SUCH'"):
        _ = module.NO_SUCH
