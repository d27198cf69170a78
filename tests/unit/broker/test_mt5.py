"""What the engine reads out of the broker module's answers, and how each failure is told."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.broker.base import BrokerError, MarginMode, SendReply, Side, StaleEpoch, Tick
from engine.broker.connection import Connection
from engine.broker.gateway import Gateways
from engine.broker.inprocess import connect_in_process
from engine.broker.mt5 import Mt5Broker, NotSent
from engine.clock import SystemClock
from engine.config import GatewaySettings

STRUCTS = json.loads((Path(engine.__file__).parent / "paper" / "mt5_contract.json").read_text())["structs"]
TEXT = {"name", "server", "currency", "company", "symbol", "comment", "external_id", "path"}
TEXT |= {"currency_base", "currency_profit"}


def row(struct: str, **values: Any) -> dict[str, Any]:
    """A full row of one of the module's structs."""
    filled = {name: "" if name in TEXT else 0 for name in STRUCTS[struct]["fields"]}
    assert set(values) <= set(filled)
    return filled | values


ACCOUNT = row("AccountInfo", login=7, server="Demo", margin_mode=2, equity=1000, balance=999.5, trade_allowed=True)
TERMINAL = row("TerminalInfo", connected=True, name="MetaTrader 5", build=5000)
POSITION = row("TradePosition", ticket=5, identifier=4, symbol="EURUSD", type=1, volume=0.1, comment="q\ud83d")
ORDER = row("TradeOrder", ticket=9, symbol="EURUSD", type=2, time_setup_msc=12)
DEAL = row("TradeDeal", ticket=11, order=9, position_id=4, entry=1, profit=-3.5)
TICK = row("Tick", bid=1.1, ask=1.2, time_msc=99)
SYMBOL = row(
    "SymbolInfo", name="EURUSD", digits=5, trade_tick_size=1e-05, trade_exemode=2, select=True, trade_stops_level=10
)
SENT = row("OrderSendResult", retcode=10009, order=9, volume=0.1, price=1.2) | {"request": row("TradeRequest")}

Answer = Callable[..., Any]


class Module:
    """A broker module made of canned answers; the calls it got are in `calls`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.answers: dict[str, Any] = {
            "initialize": True,
            "version": (500, 1, ""),
            "account_info": ACCOUNT,
            "terminal_info": TERMINAL,
            "positions_get": (POSITION,),
            "orders_get": (ORDER,),
            "symbol_info_tick": TICK,
            "symbol_info": SYMBOL,
            "symbol_select": True,
            "history_deals_get": (DEAL,),
            "history_orders_get": (),
            "order_check": row("OrderCheckResult", margin=10.0) | {"request": {}},
            "order_send": SENT,
        }
        self.error = (1, "Success")

    def last_error(self) -> tuple[int, str]:
        return self.error

    def __getattr__(self, function: str) -> Answer:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((function, args, kwargs))
            answer = self.answers[function]
            if isinstance(answer, tuple) and answer and answer[0] == "error":
                self.error = answer[1:]
                return None
            self.error = (1, "Success")
            return answer(*args, **kwargs) if callable(answer) else answer

        return call


class Desk:
    """An Mt5Broker over one module, its gateways up."""

    def __init__(self) -> None:
        self.module = Module()
        self.slots: dict[str, list[str]] = {"orders": [], "reads": []}
        settings = GatewaySettings()
        self.gateways = Gateways(self._spawn, SystemClock(), settings, lambda change: None)
        self.broker = Mt5Broker(self.gateways, settings)

    async def _spawn(self, slot: str) -> Connection:
        async def note(frame: Mapping[str, Any]) -> None:
            self.slots[slot].extend(call[0] for call in frame["calls"])

        return connect_in_process(self.module, before=note)

    async def __aenter__(self) -> "Desk":
        await self.gateways.start()
        self.module.calls.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gateways.stop()


async def test_sweep_reads_everything_in_one_round_trip() -> None:
    async with Desk() as desk:
        sweep = await desk.broker.sweep(["EURUSD", "USDJPY"])
        assert sweep.errors == ()
        assert sweep.account is not None
        assert sweep.terminal is not None
        assert sweep.positions is not None
        assert sweep.orders is not None
        assert (sweep.account.login, sweep.account.margin_mode, sweep.account.equity) == (7, MarginMode.HEDGING, 1000.0)
        assert sweep.terminal.connected
        assert sweep.positions[0].side is Side.SELL
        assert sweep.positions[0].identifier == 4
        assert sweep.positions[0].comment == "q?"
        assert sweep.orders[0].time_setup_msc == 12
        assert sweep.ticks == {
            "EURUSD": Tick("EURUSD", 1.1, 1.2, 99),
            "USDJPY": Tick("USDJPY", 1.1, 1.2, 99),
        }
        assert desk.slots["orders"] == []


async def test_none_is_never_read_as_empty() -> None:
    async with Desk() as desk:
        desk.module.answers["positions_get"] = ("error", -10004, "No IPC connection")
        desk.module.answers["orders_get"] = ()
        sweep = await desk.broker.sweep([])
        assert sweep.positions is None
        assert sweep.orders == ()
        assert [str(error) for error in sweep.errors] == ["positions_get: (-10004) No IPC connection"]
        with pytest.raises(BrokerError, match="No IPC connection") as caught:
            await desk.broker.positions()
        assert caught.value.code == -10004
        assert await desk.broker.orders() == ()


async def test_every_failed_part_of_a_sweep_is_told_and_the_rest_is_read() -> None:
    async with Desk() as desk:
        for function in ("account_info", "terminal_info", "orders_get", "symbol_info_tick"):
            desk.module.answers[function] = ("error", -1, "Fail")
        sweep = await desk.broker.sweep(["EURUSD"])
        assert (sweep.account, sweep.terminal, sweep.orders, sweep.ticks) == (None, None, None, {})
        assert len(sweep.positions or ()) == 1
        assert {error.function for error in sweep.errors} == {
            "account_info",
            "terminal_info",
            "orders_get",
            "symbol_info_tick",
        }


async def test_order_send_alone_uses_the_order_gateway() -> None:
    async with Desk() as desk:
        request = {"action": 1, "volume": 0.1}
        assert await desk.broker.send(request, epoch=0) == SendReply(10009, 0, 9, 0.1, 1.2, "")
        assert (await desk.broker.check(request)).margin == 10.0
        assert (await desk.broker.tick("EURUSD")).ask == 1.2
        assert desk.slots == {"orders": ["order_send"], "reads": ["order_check", "symbol_info_tick"]}
        assert desk.module.calls[0] == ("order_send", (request,), {})


async def test_opening_of_an_older_epoch_is_refused_and_a_closing_is_not() -> None:
    async with Desk() as desk:
        await desk.broker.raise_epoch(3)
        with pytest.raises(StaleEpoch):
            await desk.broker.send({}, epoch=2)
        assert desk.module.calls == []
        await desk.broker.send({}, epoch=None)


async def test_a_close_of_a_position_without_a_ticket_never_leaves_since_it_would_open_one() -> None:
    async with Desk() as desk:
        with pytest.raises(NotSent, match="ticket"):
            await desk.broker.send({"action": 1, "position": 0, "volume": 0.1}, epoch=None)
        assert desk.module.calls == []


async def test_history_is_asked_by_what_the_module_takes() -> None:
    async with Desk() as desk:
        assert (await desk.broker.deals_of_order(9))[0].profit == -3.5
        assert (await desk.broker.deals_of_position(4))[0].position_id == 4
        assert len(await desk.broker.deals_between(1, 2)) == 1
        assert await desk.broker.history_orders_between(3, 4) == ()
        assert desk.module.calls == [
            ("history_deals_get", (), {"ticket": 9}),
            ("history_deals_get", (), {"position": 4}),
            ("history_deals_get", (1, 2), {}),
            ("history_orders_get", (3, 4), {}),
        ]


async def test_symbol_is_selected_only_when_it_is_not_yet() -> None:
    async with Desk() as desk:
        spec = await desk.broker.symbol("EURUSD")
        assert (spec.tick_size, spec.execution_mode, spec.stops_level, spec.digits) == (1e-05, 2, 10, 5)
        assert [call[0] for call in desk.module.calls] == ["symbol_info"]
        desk.module.answers["symbol_info"] = SYMBOL | {"select": False}
        await desk.broker.symbol("EURUSD")
        assert [call[0] for call in desk.module.calls[1:]] == ["symbol_info", "symbol_select", "symbol_info"]


async def test_symbol_that_cannot_be_selected_or_read_is_an_error() -> None:
    async with Desk() as desk:
        desk.module.answers["symbol_info"] = SYMBOL | {"select": False}
        desk.module.answers["symbol_select"] = False
        with pytest.raises(BrokerError, match="symbol_select"):
            await desk.broker.symbol("EURUSD")
        desk.module.answers["symbol_info"] = ("error", -4, "Terminal: Not found")
        with pytest.raises(BrokerError, match=r"symbol_info: \(-4\) Terminal: Not found"):
            await desk.broker.symbol("EURUSDm")
        desk.module.answers["symbol_info"] = 5
        with pytest.raises(BrokerError, match="answered int where a SymbolSpec was expected"):
            await desk.broker.symbol("EURUSD")


def raising(error: Exception) -> Answer:
    def call(*_: Any, **__: Any) -> Any:
        raise error

    return call


async def test_arguments_refused_by_the_module_were_not_sent() -> None:
    async with Desk() as desk:
        for error in (SystemError("exception set"), TypeError("takes no keyword arguments")):
            desk.module.answers["order_send"] = raising(error)
            with pytest.raises(NotSent) as caught:
                await desk.broker.send({}, epoch=None)
            assert caught.value.code == -2
            assert type(error).__name__ in caught.value.text


async def test_exception_that_proves_nothing_leaves_the_outcome_open() -> None:
    async with Desk() as desk:
        desk.module.answers["order_send"] = raising(OSError("the pipe broke"))
        with pytest.raises(BrokerError, match="OSError: the pipe broke") as caught:
            await desk.broker.send({}, epoch=None)
        assert not isinstance(caught.value, NotSent)
        assert caught.value.code == -10000


@pytest.mark.parametrize(
    ("function", "answer", "message"),
    [
        ("positions_get", ({k: v for k, v in POSITION.items() if k != "identifier"},), "has no field 'identifier'"),
        ("positions_get", (POSITION | {"type": 2},), r"field 'type' .* is 2; expected 0 \(buy\) or 1 \(sell\)"),
        ("positions_get", (POSITION | {"volume": "0.1"},), "field 'volume' .* expected a number"),
        ("positions_get", (POSITION | {"profit": True},), "field 'profit' .* expected a number"),
        ("positions_get", (POSITION | {"ticket": 1.5},), "field 'ticket' .* expected a whole number"),
        ("positions_get", (POSITION | {"symbol": None},), "field 'symbol' .* expected text"),
        ("positions_get", {"ticket": 1}, "answered dict where a list was expected"),
        ("account_info", ACCOUNT | {"margin_mode": 3}, "field 'margin_mode' .* expected 0, 1 or 2"),
        ("account_info", ACCOUNT | {"trade_allowed": "yes"}, "field 'trade_allowed' .* expected true or false"),
    ],
)
async def test_misshapen_answer_is_named(function: str, answer: Any, message: str) -> None:
    async with Desk() as desk:
        desk.module.answers[function] = answer
        sweep = await desk.broker.sweep([])
        assert len(sweep.errors) == 1
        with pytest.raises(BrokerError, match=message):
            raise sweep.errors[0]


async def test_unknown_fields_are_left_alone() -> None:
    async with Desk() as desk:
        desk.module.answers["account_info"] = ACCOUNT | {"margin_of_the_future": 1}
        assert (await desk.broker.sweep([])).errors == ()
