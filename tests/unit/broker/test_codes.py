"""The engine's numbers against those of the MetaTrader5 module, as its wheel holds them."""

import json
from enum import IntEnum
from pathlib import Path

import pytest

import engine
from engine.broker import codes
from engine.broker.base import MarginMode

CONTRACT = Path(engine.__file__).parent / "paper" / "mt5_contract.json"
NOT_IN_THE_MODULE = {"TRADE_RETCODE_HEDGE_PROHIBITED": 10046}
WITHOUT_TYPE = {"DEAL_TYPE_DIVIDEND", "DEAL_TYPE_DIVIDEND_FRANKED", "DEAL_TYPE_TAX"}


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        (codes.TradeAction, "TRADE_ACTION_"),
        (codes.OrderType, "ORDER_TYPE_"),
        (codes.OrderFilling, "ORDER_FILLING_"),
        (codes.OrderTime, "ORDER_TIME_"),
        (codes.OrderState, "ORDER_STATE_"),
        (codes.DealType, "DEAL_TYPE_"),
        (codes.DealEntry, "DEAL_ENTRY_"),
        (codes.DealReason, "DEAL_REASON_"),
        (codes.AccountTradeMode, "ACCOUNT_TRADE_MODE_"),
        (codes.SymbolTradeMode, "SYMBOL_TRADE_MODE_"),
        (codes.Execution, "SYMBOL_TRADE_EXECUTION_"),
        (codes.Retcode, "TRADE_RETCODE_"),
        (codes.LastError, "RES_"),
    ],
)
def test_numbers_are_those_of_the_module(kind: type[IntEnum], prefix: str) -> None:
    constants: dict[str, int] = json.loads(CONTRACT.read_text(encoding="utf-8"))["constants"]
    ours = {prefix + member.name: member.value for member in kind}
    ours = {name.replace("TYPE_", "") if name in WITHOUT_TYPE else name: value for name, value in ours.items()}
    theirs = {name: value for name, value in constants.items() if name.startswith(prefix)}
    theirs |= {name: value for name, value in constants.items() if name in ours}
    theirs |= {name: value for name, value in NOT_IN_THE_MODULE.items() if name.startswith(prefix)}
    assert ours == theirs


def test_margin_modes_are_those_of_the_module() -> None:
    constants = json.loads(CONTRACT.read_text(encoding="utf-8"))["constants"]
    assert constants["ACCOUNT_MARGIN_MODE_RETAIL_NETTING"] == MarginMode.NETTING
    assert constants["ACCOUNT_MARGIN_MODE_EXCHANGE"] == MarginMode.EXCHANGE
    assert constants["ACCOUNT_MARGIN_MODE_RETAIL_HEDGING"] == MarginMode.HEDGING


def test_filling_bits_are_not_filling_modes() -> None:
    assert [bit.value for bit in codes.Filling] == [1, 2, 4]
