"""The command line's words for orders that wait at the broker, and for volumes by risk."""

import json

import pytest

from engine.control.messages import AddSignal, Cancel, OrderView
from tests.unit.console.conftest import Run
from tests.unit.control.fake import START, FakeEngine
from tests.unit.control.fake import signal as proposed


def standing(ticket: int = 5001, **changes: object) -> OrderView:
    values = {
        "ticket": ticket,
        "symbol": "EURUSD",
        "digits": 5,
        "type": "buy limit",
        "volume": 0.1,
        "price": 1.07,
        "sl": 1.06,
        "tp": 1.09,
        "comment": "qd\x1b[2J",
        "placed_at": START,
        "signal": "K3V9X2QD",
        **changes,
    }
    return OrderView.model_validate(values)


def test_an_order_that_waits_is_proposed_with_its_price_and_life(run: Run, engine: FakeEngine) -> None:
    engine.data = {"signal": "K3V9X2QD"}
    words = "signal add --symbol EURUSD --side buy --type limit --risk 0.5 --entry 1.05 --sl 1 --tp 2 --good-for 900"
    assert run(*words.split()).exit_code == 0
    assert engine.executed[0][0].action == AddSignal(
        symbol="EURUSD", side="buy", type="limit", risk_percent=0.5, entry=1.05, sl=1.0, tp=2.0, order_seconds=900
    )


def test_a_signal_without_stop_and_target_is_for_the_engine_to_refuse(run: Run, engine: FakeEngine) -> None:
    engine.refusal = "it has no stop loss"
    assert run(*["signal", "add", "--symbol", "EURUSD", "--side", "buy", "--volume", "1"]).exit_code == 1
    action = engine.executed[0][0].action
    assert isinstance(action, AddSignal)
    assert (action.sl, action.tp) == (None, None)


@pytest.mark.parametrize(
    ("more", "option"),
    [("--type iceberg", "--type"), ("--risk 0", "--risk"), ("--risk 101", "--risk"), ("--good-for 0", "--good-for")],
)
def test_bad_usage_names_the_option_as_it_is_typed(run: Run, engine: FakeEngine, more: str, option: str) -> None:
    result = run(*f"signal add --symbol EURUSD --side buy --sl 1 --tp 2 {more}".split())
    assert result.exit_code == 2
    assert option in result.stderr
    assert engine.executed == []


def test_a_standing_order_is_cancelled_at_the_version_that_is_seen(run: Run, engine: FakeEngine) -> None:
    engine.signals = [proposed(version=4, state="WORKING", order_type="stop")]
    result = run("cancel", "K3V9X2QD", "--reason", "news")
    assert result.exit_code == 0
    assert "K3V9X2QD@4  WORKING  buy stop" in result.stdout
    command, _ = engine.executed[0]
    assert (command.action, command.reason) == (Cancel(signal="K3V9X2QD", version=4), "news")


def test_standing_orders_are_listed_whoever_placed_them(run: Run, engine: FakeEngine) -> None:
    assert run("orders").stdout == "no standing orders\n"
    engine.orders = [standing(), standing(5002, owner="foreign", signal="")]
    shown = run("orders").stdout
    assert "5001   EURUSD  buy limit" in shown
    assert "foreign" in shown
    assert "\x1b" not in shown
    assert [order["ticket"] for order in json.loads(run("orders", "--json").stdout)] == [5001, 5002]
