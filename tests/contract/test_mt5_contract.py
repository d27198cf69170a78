"""The paper client against the contract of the real wheel: names, values, calling rules, struct fields.

With a network the wheel itself is read again, so that a drift of the packaged contract is seen.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.paper import books, history, requests, structs
from engine.paper import client as mt5
from engine.paper.client import PaperClient
from engine.paper.terminal import PaperTerminal, TerminalConfig
from tests.contract.mt5_contract_extract import extract

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "mt5_contract.json"
WHEEL = "MetaTrader5==5.0.6231"
METH_VARARGS, METH_KEYWORDS, METH_NOARGS = 1, 2, 4
CONTRACT: dict[str, Any] = dict(structs.CONTRACT)


def test_constants_are_the_wheel_s_and_no_others() -> None:
    ours = {name: value for name, value in vars(mt5).items() if name in CONTRACT["constants"]}
    assert ours == CONTRACT["constants"]
    assert len(ours) == 223


def test_functions_are_the_wheel_s() -> None:
    expected = {name for name in CONTRACT["methods"] if not name.startswith("_")}
    assert expected == {name for name in expected if callable(getattr(mt5, name, None))}
    public = {name for name, value in vars(PaperClient).items() if callable(value) and not name.startswith("_")}
    assert public - {"in_process"} == expected


@pytest.mark.parametrize("name", [name for name in CONTRACT["methods"] if not name.startswith("_")])
def test_keywords_are_accepted_where_the_wheel_accepts_them(name: str) -> None:
    flags = CONTRACT["methods"][name]["flags"]
    function = getattr(PaperClient(), name)
    if flags & METH_KEYWORDS:
        function(an_unknown_keyword=1)
    else:
        assert flags in (METH_VARARGS, METH_NOARGS)
        with pytest.raises(TypeError, match="takes no keyword arguments"):
            function(an_unknown_keyword=1)


@pytest.mark.parametrize("name", CONTRACT["structs"])
def test_struct_has_the_wheel_s_fields_in_its_order(name: str) -> None:
    kind = getattr(structs, name)
    fields = CONTRACT["structs"][name]["fields"]
    assert (kind.__name__, list(kind.__match_args__), kind.n_fields) == (name, fields, len(fields))
    assert kind.n_sequence_fields == CONTRACT["structs"][name]["n_in_sequence"]
    values = kind(range(len(fields)))
    assert [getattr(values, field) for field in fields] == list(range(len(fields)))


@pytest.mark.parametrize(
    ("ours", "name"),
    [
        (books.Deal, "TradeDeal"),
        (books.Order, "TradeOrder"),
        (requests.TradeRequest, "TradeRequest"),
        (history.TickRow, "Tick"),
    ],
)
def test_rows_are_written_in_the_contract_s_order(ours: Any, name: str) -> None:
    assert list(ours._fields) == CONTRACT["structs"][name]["fields"]


def test_every_answer_has_the_field_types_of_its_struct() -> None:
    terminal = PaperTerminal.open(TerminalConfig())
    client = PaperClient.in_process(terminal)
    assert client.initialize()
    sent = client.order_send(
        {"action": mt5.TRADE_ACTION_DEAL, "symbol": "EURUSD", "volume": 0.1, "type": mt5.ORDER_TYPE_BUY}
    )
    answers = {
        "Tick": client.symbol_info_tick("EURUSD"),
        "OrderSendResult": sent,
        "TradePosition": client.positions_get()[0],
        "AccountInfo": client.account_info(),
        "TradeOrder": client.history_orders_get(ticket=sent.order)[0],
        "OrderCheckResult": client.order_check(sent.request._asdict()),
        "SymbolInfo": client.symbol_info("EURUSD"),
        "TerminalInfo": client.terminal_info(),
        "TradeDeal": client.history_deals_get(ticket=sent.order)[0],
        "TradeRequest": sent.request,
    }
    assert answers.keys() == CONTRACT["structs"].keys() - {"BookInfo"}
    for name, answer in answers.items():
        assert type(answer) is getattr(structs, name)
        for field, value in answer._asdict().items():
            assert type(value) is kind_of(name, field), f"{name}.{field}"
    terminal.shutdown()


FLAGS = {
    "custom", "select", "visible", "spread_float", "margin_hedged_use_leg", "trade_allowed", "trade_expert",
    "fifo_close", "community_account", "community_connection", "connected", "dlls_allowed", "tradeapi_disabled",
    "email_enabled", "ftp_enabled", "notifications_enabled", "mqid",
}  # fmt: skip
TEXTS = {
    "symbol", "comment", "external_id", "name", "server", "currency", "company", "language", "path", "data_path",
    "commondata_path", "basis", "category", "currency_base", "currency_profit", "currency_margin", "bank",
    "description", "exchange", "formula", "isin", "page",
}  # fmt: skip
WHOLE = {
    "ticket", "order", "deal", "type", "magic", "identifier", "reason", "flags", "login", "trade_mode", "leverage",
    "limit_orders", "margin_so_mode", "margin_mode", "currency_digits", "state", "position", "position_by",
    "position_id", "position_by_id", "entry", "action", "deviation", "expiration", "type_time", "type_filling",
    "retcode", "retcode_external", "request_id", "build", "maxbars", "codepage", "ping_last",
}  # fmt: skip


def kind_of(name: str, field: str) -> type:
    if field == "request":
        return structs.TradeRequest
    if field in FLAGS:
        return bool
    if field in TEXTS:
        return str
    if field in WHOLE or field.startswith("time"):
        return int
    if name == "Tick" and field == "volume":
        return int
    before_prices = CONTRACT["structs"]["SymbolInfo"]["fields"][:31]
    return int if name == "SymbolInfo" and field in before_prices else float


def test_packaged_contract_is_the_reference() -> None:
    if not REFERENCE.exists():
        pytest.skip(f"{REFERENCE} is not on this machine")
    assert json.loads(REFERENCE.read_text(encoding="utf-8")) == CONTRACT


def pip() -> list[str] | None:
    """A pip that can be run: this environment's, the interpreter's below it, or one that uv brings."""
    uv = os.environ.get("UV") or shutil.which("uv")
    candidates = [
        [sys.executable, "-m", "pip"],
        [str(getattr(sys, "_base_executable", sys.executable)), "-m", "pip"],
        *([[uv, "tool", "run", "pip"]] if uv else []),
    ]
    for command in candidates:
        if subprocess.run([*command, "--version"], capture_output=True, check=False, timeout=60).returncode == 0:
            return command
    return None


def download(folder: Path) -> Path | str:
    """The wheel in `folder`, or why it could not be had."""
    command = pip()
    if command is None:
        return "there is no pip here"
    command += [
        "download", WHEEL, "--platform", "win_amd64", "--python-version", "3.11", "--only-binary=:all:", "--no-deps",
        "--dest", str(folder), "--quiet", "--retries", "0", "--timeout", "10",
    ]  # fmt: skip
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        return "the download took too long"
    return next(folder.glob("*.whl"), ran.stderr.strip()[-300:])


def test_packaged_contract_is_what_the_wheel_says(tmp_path: Path) -> None:
    wheel = download(tmp_path)
    if isinstance(wheel, str):
        reason = f"the wheel {WHEEL} could not be had: {wheel}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    assert extract(wheel) == CONTRACT
