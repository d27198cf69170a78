"""What a terminal shows is what the broker holds a client to: symbols, account, positions, orders, field by field."""

from typing import Any

import pytest

from engine.paper import client as mt5
from engine.paper.conditions import EXCHANGE, HEDGING, MONEY, NETTING, Conditions
from tests.unit.paper.markets import deal, trade

FLAT = ("EURUSD", 1.10000, 1.10010)
SHOWN: dict[str, tuple[str, Any]] = {
    # field of symbol_info: the instrument's field and a value that is not the usual one
    "digits": ("digits", 4),
    "trade_calc_mode": ("calc_mode", mt5.SYMBOL_CALC_MODE_CFDLEVERAGE),
    "trade_mode": ("trade_mode", mt5.SYMBOL_TRADE_MODE_CLOSEONLY),
    "trade_stops_level": ("stops_level", 33),
    "trade_freeze_level": ("freeze_level", 7),
    "trade_exemode": ("execution_mode", mt5.SYMBOL_TRADE_EXECUTION_INSTANT),
    "swap_mode": ("swap_mode", mt5.SYMBOL_SWAP_MODE_INTEREST_OPEN),
    "swap_rollover3days": ("swap_rollover3days", mt5.DAY_OF_WEEK_FRIDAY),
    "swap_long": ("swap_long", -7.3),
    "swap_short": ("swap_short", 1.1),
    "expiration_mode": ("expiration_mode", 5),
    "filling_mode": ("filling_mode", 1),
    "order_mode": ("order_mode", 63),
    "trade_tick_size": ("tick_size", 0.0005),
    "trade_contract_size": ("contract_size", 10.0),
    "volume_min": ("volume_min", 0.1),
    "volume_max": ("volume_max", 9.0),
    "volume_step": ("volume_step", 0.1),
    "volume_limit": ("volume_limit", 30.0),
    "margin_initial": ("margin_initial", 900.0),
    "margin_maintenance": ("margin_maintenance", 450.0),
    "margin_hedged": ("margin_hedged", 50.0),
    "margin_hedged_use_leg": ("margin_hedged_use_leg", True),
    "currency_margin": ("margin_currency", "USD"),
}


@pytest.mark.parametrize("field", SHOWN)
def test_symbol_shows_the_condition_it_is_held_to(field: str) -> None:
    instrument_field, value = SHOWN[field]
    _, usual = trade([FLAT, FLAT])
    assert getattr(usual.symbol_info("EURUSD"), field) != value
    _, changed = trade([FLAT, FLAT], **{instrument_field: value})
    assert getattr(changed.symbol_info("EURUSD"), field) == value


def test_tick_values_of_gain_and_loss_are_converted_on_the_side_that_costs() -> None:
    rates = [("EURGBP", 0.85, 0.8501), ("GBPUSD", 1.3, 1.31), ("EURUSD", 1.1, 1.1001), ("EURGBP", 0.85, 0.8501)]
    _, client = trade(rates)
    info = client.symbol_info("EURGBP")
    assert (info.trade_tick_value, info.trade_tick_value_profit, info.trade_tick_value_loss) == (1.3, 1.3, 1.31)


@pytest.mark.parametrize("mode", [HEDGING, NETTING, EXCHANGE])
def test_account_shows_its_conditions(mode: int) -> None:
    conditions = Conditions(
        currency="USC", leverage=30, margin_mode=mode, fifo_close=True, stop_out_mode=MONEY, margin_call=700.0,
        stop_out=300.0, limit_orders=4,
    )  # fmt: skip
    _, client = trade([FLAT, FLAT], conditions)
    shown = client.account_info()
    assert (shown.currency, shown.leverage, shown.margin_mode, shown.limit_orders) == ("USC", 30, mode, 4)
    assert (shown.margin_so_mode, shown.margin_so_call, shown.margin_so_so) == (MONEY, 700.0, 300.0)
    assert shown.fifo_close is (mode == HEDGING)
    _, yen = trade([("USDJPY", 150.000, 150.010)] * 2, Conditions(currency="JPY"))
    assert (client.account_info().currency_digits, yen.account_info().currency_digits) == (2, 0)


def test_position_shows_its_identifier_and_its_new_ticket_after_a_reversal() -> None:
    _, client = trade([FLAT, FLAT], Conditions(margin_mode=NETTING), swap_mode=0)
    first = client.order_send(deal("buy", 0.1)).order
    turned = client.order_send(deal("sell", 0.3)).order
    (position,) = client.positions_get()
    assert (position.ticket, position.identifier) == (turned, first)
    assert client.positions_get(ticket=first) == ()
    assert {done.order for done in client.history_deals_get(position=first)} == {first, turned}
    assert [order.ticket for order in client.history_orders_get(position=first)] == [first, turned]
    assert client.history_orders_get(position=turned) == ()


def test_standing_order_is_not_done() -> None:
    terminal, client = trade([FLAT, FLAT, FLAT])
    pending = {
        "action": mt5.TRADE_ACTION_PENDING, "type": mt5.ORDER_TYPE_BUY_LIMIT, "symbol": "EURUSD", "volume": 0.1,
        "price": 1.09, "type_filling": mt5.ORDER_FILLING_RETURN,
    }  # fmt: skip
    ticket = client.order_send(pending).order
    terminal.step()
    (order,) = client.orders_get()
    assert (order.ticket, order.time_done, order.time_done_msc, order.price_current) == (ticket, 0, 0, 1.1001)
    assert (order.state, order.position_id) == (mt5.ORDER_STATE_PLACED, 0)
    assert client.history_orders_get(ticket=ticket) == ()
    client.order_send({"action": mt5.TRADE_ACTION_REMOVE, "order": ticket})
    (done,) = client.history_orders_get(ticket=ticket)
    assert done.time_done == done.time_setup + 1
