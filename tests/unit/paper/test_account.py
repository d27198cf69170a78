"""Money and trades, worked by hand."""

import math
from typing import Any

import pytest

from engine.paper import client as mt5
from engine.paper.account import PaperAccount
from engine.paper.conditions import Conditions
from engine.paper.market import Quote, instrument
from engine.paper.money import NoRate
from engine.paper.requests import TradeRequest
from tests.unit.paper.markets import deal, trade

FLAT = ("EURUSD", 1.10000, 1.10010)
OPEN_END = ("EURUSD", 1.0, 1.1)


def test_deposit_is_a_balance_deal() -> None:
    _, client = trade([FLAT, OPEN_END], balance=2500.0)
    (opening,) = client.history_deals_get(0, 2**33)
    assert (opening.type, opening.profit, opening.symbol) == (mt5.DEAL_TYPE_BALANCE, 2500.0, "")
    account = client.account_info()
    assert (account.balance, account.equity, account.margin, account.margin_level) == (2500.0, 2500.0, 0.0, 0.0)
    assert account.trade_mode == mt5.ACCOUNT_TRADE_MODE_DEMO
    assert account.margin_mode == mt5.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING


def test_buy_of_eurusd_in_a_dollar_account() -> None:
    terminal, client = trade([FLAT, ("EURUSD", 1.10250, 1.10260), OPEN_END], Conditions(commission_per_lot=3.5))
    sent = client.order_send(deal("buy", 0.5, comment="q1", magic=7, sl=1.09, tp=1.2))
    assert (sent.retcode, sent.price, sent.volume, sent.comment) == (10009, 1.10010, 0.5, "Request executed")
    assert (sent.bid, sent.ask, sent.request.magic) == (1.10000, 1.10010, 7)
    account = client.account_info()
    # 0.5 lots * 100,000 * 1.10010 / 100; commission 3.5 * 0.5; spread of one pip on half a lot.
    assert (account.margin, account.balance, account.profit) == (550.05, 9998.25, -5.0)
    assert account.margin_level == pytest.approx(9993.25 / 550.05 * 100)
    terminal.step()
    (position,) = client.positions_get()
    assert (position.ticket, position.identifier, position.magic, position.comment) == (sent.order, sent.order, 7, "q1")
    assert (position.price_open, position.price_current, position.profit) == (1.10010, 1.10250, 120.0)
    assert (position.sl, position.tp, position.type, position.reason) == (1.09, 1.2, 0, mt5.POSITION_REASON_EXPERT)
    closed = client.order_send(deal("sell", 0.5, position=position.ticket))
    assert (closed.retcode, closed.price) == (10009, 1.10250)
    # 9998.25 + 120 - 1.75
    account = client.account_info()
    assert (account.balance, account.equity, account.profit, account.margin) == (10116.50, 10116.50, 0.0, 0.0)
    opening, closing = client.history_deals_get(position=position.identifier)
    assert (opening.entry, closing.entry) == (mt5.DEAL_ENTRY_IN, mt5.DEAL_ENTRY_OUT)
    assert (opening.commission, closing.commission, closing.profit) == (-1.75, -1.75, 120.0)
    assert closing.position_id == position.identifier
    assert closing.order == closed.order
    assert client.history_deals_get(ticket=closed.order) == (closing,)


def test_sell_opens_on_the_bid_and_closes_on_the_ask() -> None:
    terminal, client = trade([FLAT, ("EURUSD", 1.09900, 1.09912), OPEN_END])
    ticket = client.order_send(deal("sell", 1.0)).order
    assert client.account_info().margin == 1100.0
    terminal.step()
    assert client.positions_get()[0].profit == 88.0
    assert client.order_send(deal("buy", 1.0, position=ticket)).price == 1.09912
    assert client.account_info().balance == 10_088.0


def test_usdjpy_in_a_dollar_account_is_converted_at_its_own_price() -> None:
    end = ("USDJPY", 1.0, 1.1)
    terminal, client = trade([("USDJPY", 150.000, 150.010), ("USDJPY", 150.500, 150.510), end])
    ticket = client.order_send(deal("buy", 1.0, "USDJPY")).order
    # Margin is in the base currency, which is the account's: no price in it.
    assert client.account_info().margin == 1000.0
    terminal.step()
    # 0.490 yen * 100,000 = 49,000 yen; at 150.500.
    assert client.positions_get()[0].profit == 325.58
    client.order_send(deal("sell", 1.0, "USDJPY", position=ticket))
    assert client.account_info().balance == 10_325.58
    # A tick of 0.001 is 100 yen.
    assert client.symbol_info("USDJPY").trade_tick_value == pytest.approx(100 / 150.500)


def test_profit_of_usdjpy_agrees_with_the_vendors_example() -> None:
    # mql5.com, order_calc_profit: 1 lot, 300 points, buy closed at 108.483 and sell at 107.879.
    _, client = trade([("USDJPY", 108.179, 108.183), ("USDJPY", 1.0, 1.1)])
    assert client.order_calc_profit(mt5.ORDER_TYPE_BUY, "USDJPY", 1.0, 108.183, 108.483) == 276.54
    assert client.order_calc_profit(mt5.ORDER_TYPE_SELL, "USDJPY", 1.0, 108.179, 107.879) == 278.09


def test_eurusd_in_a_euro_account() -> None:
    terminal, client = trade([FLAT, ("EURUSD", 1.11000, 1.11010), OPEN_END], Conditions(currency="EUR", leverage=30))
    client.order_send(deal("buy", 0.3))
    # 30,000 EUR / 30.
    assert client.account_info().margin == 1000.0
    terminal.step()
    # 0.0099 * 30,000 = 297 USD at 1.11.
    assert client.account_info().profit == 267.57
    assert client.account_info().currency == "EUR"


def test_cross_pair_is_converted_by_the_pair_that_costs() -> None:
    quotes = [("EURGBP", 0.85000, 0.85010), ("GBPUSD", 1.30000, 1.30020), ("EURUSD", 1.10000, 1.10010)]
    more = [("EURGBP", 0.85110, 0.85120), ("EURGBP", 0.84910, 0.84920), OPEN_END]
    terminal, client = trade([*quotes, *more])
    client.order_send(deal("buy", 1.0, "EURGBP"))
    # 1,000 EUR of margin, bought at EURUSD's ask.
    assert client.account_info().margin == 1100.10
    terminal.step()
    # 100 GBP gained are sold at GBPUSD's bid.
    assert client.account_info().profit == 130.0
    terminal.step()
    # 100 GBP lost are bought at its ask.
    assert client.account_info().profit == -130.02


def test_conversion_by_an_inverse_pair() -> None:
    quotes = [("EURCHF", 0.95000, 0.95010), ("USDCHF", 0.88000, 0.88010), ("EURUSD", 1.10000, 1.10010)]
    terminal, client = trade([*quotes, ("EURCHF", 0.95110, 0.95120), ("EURCHF", 0.94910, 0.94920), OPEN_END])
    client.order_send(deal("buy", 1.0, "EURCHF"))
    terminal.step()
    assert client.account_info().profit == round(100 / 0.88010, 2)
    terminal.step()
    assert client.account_info().profit == round(-100 / 0.88000, 2)


def test_margin_by_an_inverse_pair() -> None:
    quotes = [("CHFJPY", 170.000, 170.020), ("USDCHF", 0.88000, 0.88010), ("USDJPY", 150.0, 150.01), OPEN_END]
    _, client = trade(quotes)
    assert client.order_calc_margin(mt5.ORDER_TYPE_BUY, "CHFJPY", 1.0, 170.02) == round(1000 / 0.88000, 2)
    assert client.order_calc_margin(mt5.ORDER_TYPE_SELL, "CHFJPY", 1.0, 170.0) == round(1000 / 0.88010, 2)


def test_missing_conversion_is_refused_by_the_pair_s_name() -> None:
    quotes = [("USDJPY", 150.0, 150.01), FLAT, OPEN_END]
    _, client = trade(quotes, Conditions(currency="EUR"))
    for answer in (client.order_check(deal("buy", 0.1, "USDJPY")), client.order_send(deal("buy", 0.1, "USDJPY"))):
        assert answer.retcode == mt5.TRADE_RETCODE_REJECT
        assert answer.comment == "No rate EURJPY for USDJPY"
    assert client.order_calc_profit(mt5.ORDER_TYPE_BUY, "USDJPY", 0.1, 150.0, 151.0) is None
    assert client.last_error() == (-4, "Terminal: Not found: No rate EURJPY for USDJPY")
    assert client.symbol_info("USDJPY").trade_tick_value == 0.0
    # The margin's currency is euro by EURUSD, so this one works.
    assert client.order_calc_margin(mt5.ORDER_TYPE_BUY, "USDJPY", 0.1, 150.0) is not None
    assert client.order_send(deal("buy", 0.1)).retcode == mt5.TRADE_RETCODE_DONE


def test_missing_conversion_of_the_margin_is_refused_by_name() -> None:
    _, client = trade([("GBPUSD", 1.3, 1.3001), FLAT, OPEN_END], Conditions(currency="EUR"))
    assert client.order_send(deal("buy", 0.1, "GBPUSD")).comment == "No rate EURGBP for GBPUSD"
    assert client.order_calc_margin(mt5.ORDER_TYPE_BUY, "GBPUSD", 0.1, 1.3) is None
    assert client.last_error() == (-4, "Terminal: Not found: No rate EURGBP for GBPUSD")


def test_yen_account_has_no_decimals() -> None:
    end = ("USDJPY", 1.0, 1.1)
    conditions = Conditions(currency="JPY", commission_per_lot=333.0)
    terminal, client = trade([("USDJPY", 150.0, 150.013), ("USDJPY", 150.1, 150.11), end], conditions, balance=1e6)
    client.order_send(deal("buy", 0.01, "USDJPY"))
    terminal.step()
    account = client.account_info()
    assert (account.currency_digits, account.margin, account.profit, account.balance) == (0, 1500.0, 87.0, 999_997.0)


def test_partial_close_keeps_the_rest_open_with_its_share_of_margin() -> None:
    terminal, client = trade([FLAT, ("EURUSD", 1.10110, 1.10120), OPEN_END])
    ticket = client.order_send(deal("buy", 1.0)).order
    terminal.step()
    assert client.order_send(deal("sell", 0.3, position=ticket)).volume == 0.3
    (position,) = client.positions_get(ticket=ticket)
    assert (position.volume, position.profit, position.price_open) == (0.7, 70.0, 1.10010)
    assert position.time_update_msc > position.time_msc
    account = client.account_info()
    assert (account.balance, account.margin) == (10_030.0, 770.07)


def test_opposite_market_order_opens_a_second_position_on_a_hedging_account() -> None:
    _, client = trade([FLAT, OPEN_END])
    client.order_send(deal("buy", 0.1))
    client.order_send(deal("sell", 0.1))
    assert [position.type for position in client.positions_get()] == [0, 1]
    # A hedged lot is charged once, at the average price of both sides.
    assert client.account_info().margin == 110.01


SIDES = [
    # side, stop, target, tick, price of the closing, reason, comment
    ("buy", 1.09900, 1.10300, (1.09900, 1.09910), 1.09900, mt5.DEAL_REASON_SL, "[sl 1.09900]"),
    ("buy", 1.09900, 1.10300, (1.09850, 1.09860), 1.09850, mt5.DEAL_REASON_SL, "[sl 1.09900]"),
    ("buy", 1.09900, 1.10300, (1.10310, 1.10320), 1.10310, mt5.DEAL_REASON_TP, "[tp 1.10300]"),
    ("sell", 1.10200, 1.09700, (1.10190, 1.10200), 1.10200, mt5.DEAL_REASON_SL, "[sl 1.10200]"),
    ("sell", 1.10200, 1.09700, (1.10400, 1.10410), 1.10410, mt5.DEAL_REASON_SL, "[sl 1.10200]"),
    ("sell", 1.10200, 1.09700, (1.09680, 1.09700), 1.09700, mt5.DEAL_REASON_TP, "[tp 1.09700]"),
]


@pytest.mark.parametrize(("side", "sl", "tp", "tick", "price", "reason", "comment"), SIDES)
def test_stop_and_target_fire_on_the_tick_at_its_price(
    side: str, sl: float, tp: float, tick: tuple[float, float], price: float, reason: int, comment: str
) -> None:
    terminal, client = trade([FLAT, ("EURUSD", *tick), OPEN_END])
    sent = client.order_send(deal(side, 0.1, sl=sl, tp=tp, magic=11))
    terminal.step()
    assert client.positions_get() == ()
    closing = client.history_deals_get(position=sent.order)[-1]
    assert (closing.price, closing.reason, closing.comment, closing.magic) == (price, reason, comment, 11)
    order = client.history_orders_get(ticket=closing.order)[0]
    assert (order.reason, order.state, order.position_id) == (reason, mt5.ORDER_STATE_FILLED, sent.order)


@pytest.mark.parametrize(
    ("side", "tick"), [("buy", (1.09901, 1.10500)), ("sell", (1.09701, 1.10199)), ("buy", (1.10299, 1.10310))]
)
def test_stop_and_target_wait_for_their_own_side_of_the_quote(side: str, tick: tuple[float, float]) -> None:
    terminal, client = trade([FLAT, ("EURUSD", *tick), OPEN_END])
    levels: dict[str, Any] = {"sl": 1.09900, "tp": 1.10300} if side == "buy" else {"sl": 1.10200, "tp": 1.09700}
    client.order_send(deal(side, 0.1, **levels))
    terminal.step()
    assert len(client.positions_get()) == 1


def test_tick_of_another_symbol_fires_no_stop() -> None:
    terminal, client = trade([FLAT, ("GBPUSD", 1.3, 1.3001), ("GBPUSD", 1.0, 1.0001), OPEN_END])
    client.order_send(deal("buy", 0.1, sl=1.099))
    terminal.step()
    assert len(client.positions_get()) == 1


def test_stop_out_closes_the_largest_loss_first_and_stops_when_the_level_is_back() -> None:
    # Margin 440.04: the level falls to 50 % at an equity of 220.02, and at 1.089 the equity is 156.
    quotes = [FLAT, ("EURUSD", 1.09500, 1.09510), ("EURUSD", 1.08900, 1.08910), OPEN_END]
    terminal, client = trade(quotes, Conditions(stop_out=50.0), balance=600.0)
    tickets = [client.order_send(deal("buy", volume)).order for volume in (0.05, 0.2, 0.1, 0.05)]
    terminal.step()
    assert client.account_info().margin_level > 50
    terminal.step()
    closings = [done for done in client.history_deals_get(0, 2**33) if done.entry == mt5.DEAL_ENTRY_OUT]
    assert [done.position_id for done in closings] == [tickets[1]]
    assert closings[0].reason == mt5.DEAL_REASON_SO
    assert closings[0].comment.startswith("[so 35.")
    assert client.account_info().margin_level > 50


def test_stop_out_at_a_gap_closes_everything_and_the_balance_may_be_negative() -> None:
    terminal, client = trade([FLAT, ("EURUSD", 1.05000, 1.05010), OPEN_END], balance=300.0)
    client.order_send(deal("buy", 0.1))
    client.order_send(deal("buy", 0.1))
    terminal.step()
    assert client.positions_get() == ()
    assert client.account_info().balance == round(300 - 2 * 501.0, 2)


def test_margin_call_is_told_and_closes_nothing() -> None:
    terminal, client = trade([FLAT, ("EURUSD", 1.09500, 1.09510), OPEN_END], balance=150.0)
    client.order_send(deal("buy", 0.1))
    assert terminal.status()["margin_call"] is False
    terminal.step()
    assert terminal.status()["margin_call"] is True
    assert len(client.positions_get()) == 1


def test_no_money_is_refused_by_check_and_send_alike() -> None:
    _, client = trade([FLAT, OPEN_END], balance=1000.0)
    assert client.order_check(deal("buy", 1.0)).retcode == mt5.TRADE_RETCODE_NO_MONEY
    assert client.order_send(deal("buy", 1.0)).retcode == mt5.TRADE_RETCODE_NO_MONEY
    assert client.order_check(deal("buy", 0.9)).retcode == 0
    assert client.positions_total() == 0


def test_check_foresees_the_account_after_the_trade() -> None:
    _, client = trade([FLAT, OPEN_END], Conditions(commission_per_lot=2.0))
    check = client.order_check(deal("buy", 1.0))
    assert (check.retcode, check.comment, check.balance, check.margin) == (0, "Done", 9998.0, 1100.10)
    assert check.margin_free == round(check.equity - check.margin, 2)
    ticket = client.order_send(deal("buy", 1.0)).order
    check = client.order_check(deal("sell", 0.5, position=ticket))
    # Half of the ten dollars of spread is realised, half of the margin comes back.
    assert (check.retcode, check.balance, check.profit, check.margin) == (0, 9992.0, -5.0, 550.05)


REFUSALS: list[tuple[dict[str, Any], int]] = [
    (deal("buy", 0.0), mt5.TRADE_RETCODE_INVALID_VOLUME),
    (deal("buy", -1.0), mt5.TRADE_RETCODE_INVALID_VOLUME),
    (deal("buy", math.nan), mt5.TRADE_RETCODE_INVALID_VOLUME),
    (deal("buy", 0.005), mt5.TRADE_RETCODE_INVALID_VOLUME),
    (deal("buy", 0.015), mt5.TRADE_RETCODE_INVALID_VOLUME),
    (deal("buy", 100.01), mt5.TRADE_RETCODE_INVALID_VOLUME),
    (deal("buy", 0.1, "NOSUCH"), mt5.TRADE_RETCODE_INVALID),
    (deal("buy", 0.1, price=math.nan), mt5.TRADE_RETCODE_INVALID_PRICE),
    (deal("buy", 0.1, sl=1.09991), mt5.TRADE_RETCODE_INVALID_STOPS),
    (deal("buy", 0.1, tp=1.10009), mt5.TRADE_RETCODE_INVALID_STOPS),
    (deal("buy", 0.1, sl=1.2), mt5.TRADE_RETCODE_INVALID_STOPS),
    (deal("buy", 0.1, sl=-1.0), mt5.TRADE_RETCODE_INVALID_STOPS),
    (deal("buy", 0.1, sl=math.inf), mt5.TRADE_RETCODE_INVALID_STOPS),
    (deal("buy", 0.1, tp=1.2000001), mt5.TRADE_RETCODE_INVALID_STOPS),
    (deal("sell", 0.1, sl=1.10019), mt5.TRADE_RETCODE_INVALID_STOPS),
    (deal("sell", 0.1, tp=1.10001), mt5.TRADE_RETCODE_INVALID_STOPS),
    (deal("buy", 0.1, type_filling=mt5.ORDER_FILLING_RETURN), mt5.TRADE_RETCODE_INVALID_FILL),
    (deal("buy", 0.1, type_filling=mt5.ORDER_FILLING_BOC), mt5.TRADE_RETCODE_INVALID_FILL),
    (deal("sell", 0.1, position=999), mt5.TRADE_RETCODE_POSITION_CLOSED),
    ({"action": mt5.TRADE_ACTION_SLTP, "position": 999, "sl": 1.0}, mt5.TRADE_RETCODE_POSITION_CLOSED),
    ({**deal("buy"), "type": mt5.ORDER_TYPE_BUY_LIMIT}, mt5.TRADE_RETCODE_INVALID),
    ({**deal("buy"), "action": mt5.TRADE_ACTION_PENDING}, mt5.TRADE_RETCODE_INVALID_ORDER),
    ({**deal("buy"), "action": mt5.TRADE_ACTION_CLOSE_BY}, mt5.TRADE_RETCODE_POSITION_CLOSED),
    ({**deal("buy"), "action": mt5.TRADE_ACTION_REMOVE}, mt5.TRADE_RETCODE_INVALID),
    ({**deal("buy"), "action": mt5.TRADE_ACTION_MODIFY}, mt5.TRADE_RETCODE_INVALID),
    ({}, mt5.TRADE_RETCODE_INVALID),
]


@pytest.mark.parametrize(("request_", "retcode"), REFUSALS)
def test_check_and_send_refuse_with_the_same_code_and_change_nothing(request_: dict[str, Any], retcode: int) -> None:
    _, client = trade([FLAT, OPEN_END])
    before = client.account_info()
    assert client.order_check(request_).retcode == retcode
    sent = client.order_send(request_)
    assert (sent.retcode, sent.deal, sent.order) == (retcode, 0, 0)
    assert client.account_info() == before
    assert client.history_deals_total(0, 2**33) == 1


def test_levels_at_exactly_the_stops_level_are_taken() -> None:
    _, client = trade([FLAT, OPEN_END])
    assert client.order_send(deal("buy", 0.1, sl=1.09990, tp=1.10010)).retcode == mt5.TRADE_RETCODE_DONE
    assert client.order_send(deal("sell", 0.1, sl=1.10020, tp=1.10000)).retcode == mt5.TRADE_RETCODE_DONE


def test_a_level_may_not_stand_on_the_price_even_without_a_stops_level() -> None:
    _, client = trade([FLAT, OPEN_END], stops_level=0)
    assert client.order_send(deal("buy", 0.1, sl=1.10000)).retcode == mt5.TRADE_RETCODE_INVALID_STOPS
    assert client.order_send(deal("buy", 0.1, sl=1.09999)).retcode == mt5.TRADE_RETCODE_DONE


def closing_refusals() -> list[tuple[dict[str, Any], int]]:
    return [
        ({"volume": 1.1}, mt5.TRADE_RETCODE_INVALID_CLOSE_VOLUME),
        ({"volume": 0.0}, mt5.TRADE_RETCODE_INVALID_VOLUME),
        ({"volume": 0.005}, mt5.TRADE_RETCODE_INVALID_VOLUME),
        ({"symbol": "GBPUSD"}, mt5.TRADE_RETCODE_INVALID),
        ({"type": mt5.ORDER_TYPE_BUY}, mt5.TRADE_RETCODE_INVALID),
        ({"type_filling": mt5.ORDER_FILLING_RETURN}, mt5.TRADE_RETCODE_INVALID_FILL),
        ({"price": -1.0}, mt5.TRADE_RETCODE_INVALID_PRICE),
    ]


@pytest.mark.parametrize(("changes", "retcode"), closing_refusals())
def test_closing_is_refused(changes: dict[str, Any], retcode: int) -> None:
    _, client = trade([FLAT, ("GBPUSD", 1.3, 1.3001), OPEN_END])
    ticket = client.order_send(deal("buy", 1.0)).order
    request = {**deal("sell", 1.0, position=ticket), **changes}
    assert client.order_check(request).retcode == retcode
    assert client.order_send(request).retcode == retcode
    assert client.positions_get()[0].volume == 1.0


def test_rest_below_the_smallest_volume_is_an_invalid_close_volume() -> None:
    _, client = trade([FLAT, OPEN_END], volume_min=0.1, volume_step=0.05)
    ticket = client.order_send(deal("buy", 0.2)).order
    sent = client.order_send(deal("sell", 0.15, position=ticket))
    assert sent.retcode == mt5.TRADE_RETCODE_INVALID_CLOSE_VOLUME


def test_second_close_of_a_position_finds_it_closed() -> None:
    _, client = trade([FLAT, OPEN_END])
    ticket = client.order_send(deal("buy", 1.0)).order
    assert client.order_send(deal("sell", 1.0, position=ticket)).retcode == mt5.TRADE_RETCODE_DONE
    assert client.order_send(deal("sell", 1.0, position=ticket)).retcode == mt5.TRADE_RETCODE_POSITION_CLOSED


@pytest.mark.parametrize(
    ("mode", "mask", "filling", "good"),
    [
        (mt5.SYMBOL_TRADE_EXECUTION_MARKET, 1, mt5.ORDER_FILLING_FOK, True),
        (mt5.SYMBOL_TRADE_EXECUTION_MARKET, 1, mt5.ORDER_FILLING_IOC, False),
        (mt5.SYMBOL_TRADE_EXECUTION_MARKET, 2, mt5.ORDER_FILLING_FOK, False),
        (mt5.SYMBOL_TRADE_EXECUTION_MARKET, 2, mt5.ORDER_FILLING_IOC, True),
        (mt5.SYMBOL_TRADE_EXECUTION_MARKET, 3, mt5.ORDER_FILLING_RETURN, False),
        (mt5.SYMBOL_TRADE_EXECUTION_EXCHANGE, 0, mt5.ORDER_FILLING_RETURN, True),
        (mt5.SYMBOL_TRADE_EXECUTION_EXCHANGE, 0, mt5.ORDER_FILLING_FOK, False),
        (mt5.SYMBOL_TRADE_EXECUTION_INSTANT, 0, mt5.ORDER_FILLING_FOK, True),
        (mt5.SYMBOL_TRADE_EXECUTION_INSTANT, 3, mt5.ORDER_FILLING_IOC, False),
    ],
)
def test_filling_is_judged_by_execution_mode_and_mask(mode: int, mask: int, filling: int, good: bool) -> None:
    _, client = trade([FLAT, OPEN_END], execution_mode=mode, filling_mode=mask)
    assert client.symbol_info("EURUSD").filling_mode == mask
    sent = client.order_send(deal("buy", 0.1, type_filling=filling, price=1.10010))
    assert sent.retcode == (mt5.TRADE_RETCODE_DONE if good else mt5.TRADE_RETCODE_INVALID_FILL)


def test_instant_execution_requotes_beyond_the_deviation() -> None:
    _, client = trade([FLAT, OPEN_END], execution_mode=mt5.SYMBOL_TRADE_EXECUTION_INSTANT)
    assert client.order_send(deal("buy", 0.1, price=1.10000, deviation=9)).retcode == mt5.TRADE_RETCODE_REQUOTE
    assert client.order_send(deal("buy", 0.1, price=1.10000, deviation=10)).retcode == mt5.TRADE_RETCODE_DONE
    assert client.order_send(deal("buy", 0.1)).retcode == mt5.TRADE_RETCODE_INVALID_PRICE


def sltp(ticket: int, sl: float, tp: float, **more: Any) -> dict[str, Any]:
    return {"action": mt5.TRADE_ACTION_SLTP, "position": ticket, "sl": sl, "tp": tp, **more}


def test_stops_are_changed_and_removed() -> None:
    terminal, client = trade([FLAT, FLAT, OPEN_END])
    ticket = client.order_send(deal("buy", 0.1)).order
    terminal.step()
    assert client.order_check(sltp(ticket, 1.09, 1.2)).retcode == 0
    assert client.order_send(sltp(ticket, 1.09, 1.2)).retcode == mt5.TRADE_RETCODE_DONE
    (position,) = client.positions_get()
    assert (position.sl, position.tp) == (1.09, 1.2)
    assert position.time_update_msc == position.time_msc + 1000
    assert client.order_send(sltp(ticket, 1.09, 1.2)).retcode == mt5.TRADE_RETCODE_NO_CHANGES
    assert client.order_send(sltp(ticket, 1.09, 1.2, symbol="GBPUSD")).retcode == mt5.TRADE_RETCODE_INVALID
    assert client.order_send(sltp(ticket, 1.2, 1.2)).retcode == mt5.TRADE_RETCODE_INVALID_STOPS
    assert client.order_send(sltp(ticket, 0.0, 0.0)).retcode == mt5.TRADE_RETCODE_DONE
    assert client.positions_get()[0].sl == 0.0


def test_a_stop_that_stays_is_not_judged_again_when_the_target_moves() -> None:
    terminal, client = trade([FLAT, ("EURUSD", 1.09905, 1.09915), OPEN_END])
    ticket = client.order_send(deal("buy", 0.1, sl=1.09900)).order
    terminal.step()
    assert client.order_send(sltp(ticket, 1.09900, 1.2)).retcode == mt5.TRADE_RETCODE_DONE


def test_at_the_end_of_the_market_entries_are_refused_and_closing_works() -> None:
    terminal, client = trade([FLAT, FLAT])
    ticket = client.order_send(deal("buy", 0.1)).order
    assert terminal.step() is True
    assert client.order_check(deal("buy", 0.1)).retcode == mt5.TRADE_RETCODE_MARKET_CLOSED
    assert client.order_send(deal("buy", 0.1)).retcode == mt5.TRADE_RETCODE_MARKET_CLOSED
    assert client.symbol_info_tick("EURUSD").bid == 1.10000
    assert client.order_send(deal("sell", 0.1, position=ticket)).retcode == mt5.TRADE_RETCODE_DONE


def test_tickets_are_unique_and_grow() -> None:
    _, client = trade([FLAT, OPEN_END])
    for _ in range(3):
        ticket = client.order_send(deal("buy", 0.1)).order
        client.order_send(deal("sell", 0.1, position=ticket))
    deals = [done.ticket for done in client.history_deals_get(0, 2**33)]
    orders = [done.ticket for done in client.history_orders_get(0, 2**33)]
    assert deals == sorted(set(deals))
    assert orders == sorted(set(orders))
    assert not set(deals) & set(orders)


def test_history_is_found_by_date_order_position_and_group() -> None:
    terminal, client = trade([FLAT, ("USDJPY", 150.0, 150.01), FLAT, FLAT, OPEN_END])
    first = client.order_send(deal("buy", 0.1)).order
    terminal.step()
    second = client.order_send(deal("buy", 0.1, "USDJPY")).order
    now = terminal.account.time_msc // 1000
    assert [done.order for done in client.history_deals_get(now, now)] == [second]
    assert client.history_deals_total(now, now) == client.history_orders_total(now, now) == 1
    assert [done.order for done in client.history_deals_get(0, now, group="EUR*")] == [first]
    assert [done.ticket for done in client.history_orders_get(0, now, group="*,!EUR*")] == [second]
    assert [done.ticket for done in client.history_orders_get(position=first)] == [first]
    assert [done.order for done in client.history_deals_get(ticket=second)] == [second]
    assert client.history_deals_get(ticket=12345) == client.history_orders_get(ticket=12345) == ()
    assert client.history_deals_get(position=12345) == client.history_orders_get(position=12345) == ()
    assert client.history_orders_get(now + 10, now + 20) == ()


def test_float_noise_is_no_part_of_a_volume_or_a_level() -> None:
    _, client = trade([FLAT, OPEN_END])
    assert client.order_send(deal("buy", 0.1 + 0.2, sl=1.1 - 0.001 * 3)).retcode == mt5.TRADE_RETCODE_DONE
    (position,) = client.positions_get()
    assert (position.volume, position.sl) == (0.3, 1.097)


def test_account_without_quotes_says_what_it_misses() -> None:
    instruments = {name: instrument(name) for name in ("EURGBP", "EURUSD", "GBPUSD")}
    account = PaperAccount(Conditions(), instruments)
    request = TradeRequest(action=mt5.TRADE_ACTION_DEAL, symbol="EURGBP", volume=0.1)
    assert account.send(request).retcode == mt5.TRADE_RETCODE_PRICE_OFF
    with pytest.raises(NoRate, match="No rate EURGBP"):
        account.valuation.tick_values(instruments["EURGBP"])
    account.on_quote(Quote("EURGBP", 0, 0.85, 0.8501))
    assert account.send(request).comment == "No rate GBPUSD for EURGBP"
    account.on_quote(Quote("GBPUSD", 0, 1.3, 1.3001))
    assert account.send(request).comment == "No rate EURUSD for EURGBP"
