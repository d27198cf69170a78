"""Orders: every kind, every condition, and the return code of each refusal."""

import itertools
import math
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from engine.paper import market as mk
from engine.paper import requests as rq
from engine.paper.books import (
    REASON_CLIENT,
    STATE_CANCELED,
    STATE_EXPIRED,
    STATE_FILLED,
    STATE_PARTIAL,
    STATE_PLACED,
    STATE_REJECTED,
)
from engine.paper.conditions import NETTING, Conditions
from engine.paper.sessions import Sessions
from tests.unit.paper.desk import MONDAY, Desk, name

DAY, HOUR = 86_400, 3600
BID, ASK = 1.10000, 1.10010


def opened(**changed: Any) -> Desk:
    desk = Desk("EURUSD", balance=1e6, **changed)
    desk.quote(BID, ASK)
    return desk


PENDING = {
    # type: (a legal price, stop limit price, bid and ask that trigger it)
    rq.BUY_LIMIT: (1.09900, 0.0, (1.09890, 1.09900)),
    rq.SELL_LIMIT: (1.10100, 0.0, (1.10100, 1.10110)),
    rq.BUY_STOP: (1.10100, 0.0, (1.10090, 1.10100)),
    rq.SELL_STOP: (1.09900, 0.0, (1.09900, 1.09910)),
    rq.BUY_STOP_LIMIT: (1.10100, 1.10000, (1.10090, 1.10100)),
    rq.SELL_STOP_LIMIT: (1.09900, 1.10000, (1.09900, 1.09910)),
}


@pytest.mark.parametrize("kind", PENDING)
def test_pending_order_stands_and_is_triggered_on_its_own_side_of_the_quote(kind: int) -> None:
    price, stoplimit, (bid, ask) = PENDING[kind]
    desk = opened()
    done = desk.pend(kind, price, stoplimit=stoplimit, magic=9, comment="mine")
    assert (name(done), done.deal) == ("DONE", 0)
    (order,) = desk.orders
    assert (order.ticket, order.state, order.price_open, order.volume_current) == (done.order, STATE_PLACED, price, 1.0)
    rising = kind in (rq.BUY_STOP, rq.BUY_STOP_LIMIT, rq.SELL_LIMIT)
    step = -1e-5 if rising else 1e-5
    desk.quote(round(bid + step, 5), round(ask + step, 5))
    assert desk.positions == []
    desk.quote(bid, ask)
    if kind in rq.STOP_LIMITS:
        (limit,) = desk.orders
        assert (limit.type, limit.price_open) == (rq.BUY_LIMIT if rising else rq.SELL_LIMIT, stoplimit)
        desk.quote(stoplimit, stoplimit)
    position = desk.position
    assert (position.ticket, position.magic, position.comment) == (done.order, 9, "mine")
    assert position.sign == (1 if kind in rq.BUYS else -1)
    finished = desk.account.books.history.orders[-1]
    assert (finished.ticket, finished.state, finished.position_id) == (done.order, STATE_FILLED, done.order)
    assert desk.orders == []


@pytest.mark.parametrize(
    ("kind", "price", "stoplimit"),
    [
        (rq.BUY_LIMIT, 1.10001, 0.0),
        (rq.BUY_LIMIT, 1.10200, 0.0),
        (rq.SELL_LIMIT, 1.10009, 0.0),
        (rq.BUY_STOP, 1.10019, 0.0),
        (rq.BUY_STOP, 1.09000, 0.0),
        (rq.SELL_STOP, 1.09991, 0.0),
        (rq.SELL_STOP, 1.20000, 0.0),
        (rq.BUY_STOP_LIMIT, 1.10100, 1.10095),
        (rq.SELL_STOP_LIMIT, 1.09900, 1.09905),
        (rq.BUY_STOP_LIMIT, 1.10100, 0.0),
        (rq.BUY_LIMIT, 1.0900001, 0.0),
        (rq.BUY_LIMIT, -1.0, 0.0),
        (rq.BUY_LIMIT, math.nan, 0.0),
        (rq.BUY_LIMIT, math.inf, 0.0),
        (rq.BUY_STOP_LIMIT, 1.10100, math.nan),
    ],
)
def test_pending_price_on_the_wrong_side_too_near_or_off_tick_is_invalid(
    kind: int, price: float, stoplimit: float
) -> None:
    desk = opened()
    assert name(desk.pend(kind, price, stoplimit=stoplimit)) == "INVALID_PRICE"
    assert desk.orders == []


@pytest.mark.parametrize(
    ("kind", "levels", "retcode"),
    [
        (rq.BUY_LIMIT, {"sl": 1.09890, "tp": 1.09910}, "DONE"),
        (rq.BUY_LIMIT, {"sl": 1.09891}, "INVALID_STOPS"),
        (rq.BUY_LIMIT, {"tp": 1.09909}, "INVALID_STOPS"),
        (rq.SELL_STOP, {"sl": 1.09910, "tp": 1.09890}, "DONE"),
        (rq.SELL_STOP, {"sl": 1.09800}, "INVALID_STOPS"),
        (rq.BUY_STOP_LIMIT, {"sl": 1.09990}, "DONE"),
        (rq.BUY_STOP_LIMIT, {"sl": 1.10050}, "INVALID_STOPS"),
    ],
)
def test_stops_of_a_pending_order_are_judged_by_the_price_it_will_open_at(
    kind: int, levels: dict[str, float], retcode: str
) -> None:
    price, stoplimit, _ = PENDING[kind]
    assert name(opened().pend(kind, price, stoplimit=stoplimit, **levels)) == retcode


def test_gap_fills_a_stop_at_the_market_and_a_limit_no_worse_than_its_price() -> None:
    desk = opened()
    desk.pend(rq.BUY_STOP, 1.10100)
    desk.pend(rq.BUY_LIMIT, 1.09900)
    desk.quote(1.10500, 1.10510)
    desk.quote(1.09500, 1.09510)
    assert sorted(position.price_open for position in desk.positions) == [1.09510, 1.10510]
    instant = opened(execution_mode=mk.EXECUTION_INSTANT)
    instant.pend(rq.BUY_LIMIT, 1.09900)
    instant.quote(1.09500, 1.09510)
    assert instant.position.price_open == 1.09900


FILLINGS = {"FOK": rq.FOK, "IOC": rq.IOC, "RETURN": rq.RETURN, "BOC": rq.BOC}


@pytest.mark.parametrize("mask", range(8))
@pytest.mark.parametrize("execution", range(4))
@pytest.mark.parametrize("filling", FILLINGS)
@pytest.mark.parametrize("kind", ["market", "limit", "stop"])
def test_filling_by_execution_mode_and_mask(execution: int, mask: int, filling: str, kind: str) -> None:
    """The table of metatrader5.com's fill policy: masks count in market and exchange execution, BOC is of exchanges."""
    by_mask = execution in (mk.EXECUTION_MARKET, mk.EXECUTION_EXCHANGE)
    allowed = {
        "FOK": not by_mask or bool(mask & 1),
        "IOC": by_mask and bool(mask & 2),
        "RETURN": kind != "market" or execution == mk.EXECUTION_EXCHANGE,
        "BOC": kind == "limit" and execution == mk.EXECUTION_EXCHANGE and bool(mask & 4),
    }[filling]
    desk = opened(execution_mode=execution, filling_mode=mask)
    chosen = FILLINGS[filling]
    if kind == "market":
        done = desk.deal("buy", price=ASK, type_filling=chosen)
    else:
        done = desk.pend(rq.BUY_LIMIT if kind == "limit" else rq.SELL_STOP, 1.099, type_filling=chosen)
    assert name(done) == ("DONE" if allowed else "INVALID_FILL")


def test_depth_fills_a_part_by_the_filling_mode() -> None:
    desk = opened(depth=3.0, execution_mode=mk.EXECUTION_EXCHANGE)
    assert name(desk.deal("buy", 5.0, type_filling=rq.FOK)) == "REJECT"
    assert desk.account.books.history.orders == []
    part = desk.deal("buy", 5.0, type_filling=rq.IOC)
    assert (name(part), part.volume) == ("DONE_PARTIAL", 3.0)
    order = desk.account.books.history.orders[-1]
    assert (order.state, order.volume_initial, order.volume_current) == (STATE_CANCELED, 5.0, 2.0)
    assert name(desk.deal("buy", 1.0, type_filling=rq.IOC)) == "REJECT"
    desk.quote(BID, ASK)
    rest = desk.deal("sell", 5.0, type_filling=rq.RETURN)
    assert (name(rest), rest.volume) == ("DONE_PARTIAL", 3.0)
    (standing,) = desk.orders
    assert (standing.state, standing.volume_current, standing.type) == (STATE_PARTIAL, 2.0, rq.SELL)
    desk.quote(1.09900, 1.09910)
    desk.account.settle(1e9)
    sold = desk.account.books.positions[rest.order]
    assert (sold.volume, desk.orders) == (5.0, [])
    assert sold.price_open == pytest.approx((3 * 1.1 + 2 * 1.099) / 5)
    assert desk.account.books.history.orders[-1].state == STATE_FILLED


def test_share_that_is_filled_is_a_whole_number_of_steps() -> None:
    desk = opened()
    desk.account.interference.fill_share = 0.5
    done = desk.deal("buy", 0.05, type_filling=rq.IOC)
    assert (name(done), done.volume) == ("DONE_PARTIAL", 0.02)


@pytest.mark.parametrize(
    ("price", "deviation", "retcode"),
    [
        (ASK, 0, "DONE"),
        (1.10000, 10, "DONE"),
        (1.10000, 9, "REQUOTE"),
        (1.10020, 9, "REQUOTE"),
        (0.0, 9, "INVALID_PRICE"),
    ],
)
def test_instant_execution_keeps_within_the_deviation(price: float, deviation: int, retcode: str) -> None:
    desk = opened(execution_mode=mk.EXECUTION_INSTANT)
    assert name(desk.deal("buy", price=price, deviation=deviation)) == retcode


def test_requote_by_plan_is_of_instant_execution_alone() -> None:
    for execution, retcode in ((mk.EXECUTION_INSTANT, "REQUOTE"), (mk.EXECUTION_MARKET, "DONE")):
        desk = opened(execution_mode=execution)
        desk.account.interference.requote = True
        assert name(desk.deal("buy", price=ASK, deviation=10)) == retcode


@pytest.mark.parametrize(
    ("mode", "buy", "sell", "close"),
    [
        (0, "TRADE_DISABLED", "TRADE_DISABLED", "TRADE_DISABLED"),
        (1, "DONE", "LONG_ONLY", "DONE"),
        (2, "SHORT_ONLY", "DONE", "DONE"),
        (3, "CLOSE_ONLY", "CLOSE_ONLY", "DONE"),
        (4, "DONE", "DONE", "DONE"),
    ],
)
def test_trade_mode(mode: int, buy: str, sell: str, close: str) -> None:
    desk = opened()
    for side in ("buy", "sell"):
        desk.deal(side)
    held = desk.positions
    desk.instruments["EURUSD"] = replace(desk.instruments["EURUSD"], trade_mode=mode)
    assert name(desk.deal("buy")) == buy
    assert name(desk.deal("sell")) == sell
    assert name(desk.pend(rq.BUY_LIMIT, 1.09)) == buy
    assert [name(desk.close(position)) for position in held] == [close, close]


def test_nothing_is_touched_where_trade_is_disabled() -> None:
    desk = opened()
    bought, sold = (desk.deal(side, 0.1).order for side in ("buy", "sell"))
    order = desk.pend(rq.BUY_LIMIT, 1.09, 0.1).order
    desk.instruments["EURUSD"] = replace(desk.instruments["EURUSD"], trade_mode=0)
    requests = [
        desk.send(rq.ACTION_SLTP, position=bought, sl=1.09),
        desk.send(rq.ACTION_CLOSE_BY, position=bought, position_by=sold),
        desk.send(rq.ACTION_MODIFY, order=order, price=1.08),
        desk.send(rq.ACTION_REMOVE, order=order),
    ]
    assert [name(done) for done in requests] == ["TRADE_DISABLED"] * 4
    assert (len(desk.positions), len(desk.orders)) == (2, 1)


def test_what_is_not_traded_refuses_everything_and_fires_nothing() -> None:
    for closing in ("session", "holiday", "plan"):
        night = Sessions(((DAY, DAY + 12 * HOUR),)) if closing == "session" else Sessions(
            holidays=frozenset({date(2026, 1, 6)} if closing == "holiday" else ())
        )  # fmt: skip
        desk = Desk("EURUSD", sessions=night)
        desk.quote(BID, ASK)
        desk.deal("buy", 0.1, sl=1.09)
        desk.pend(rq.BUY_STOP, 1.2, 0.1)
        (order,), position = desk.orders, desk.position
        if closing == "plan":
            desk.account.interference.closed = {"EURUSD"}
        desk.quote(1.08, 1.25, at=MONDAY + (DAY if closing == "holiday" else 13 * HOUR))
        requests = [
            desk.deal("buy", 0.1),
            desk.close(position),
            desk.pend(rq.BUY_LIMIT, 1.0, 0.1),
            desk.send(rq.ACTION_SLTP, position=position.ticket, sl=1.01),
            desk.send(rq.ACTION_MODIFY, order=order.ticket, price=1.3),
            desk.send(rq.ACTION_REMOVE, order=order.ticket),
        ]
        assert [name(done) for done in requests] == ["MARKET_CLOSED"] * 6, closing
        assert (desk.positions, desk.orders) == ([position], [order])
        desk.account.interference.closed = set()
        desk.quote(1.08, 1.25, at=MONDAY + 7 * DAY + 6 * HOUR)
        assert [deal.comment for deal in desk.deals if deal.position_id == position.ticket][-1] == "[sl 1.09000]"
        assert desk.position.ticket == order.ticket


@pytest.mark.parametrize(
    ("volume", "retcode"),
    [(0.01, "INVALID_VOLUME"), (0.1, "DONE"), (0.15, "INVALID_VOLUME"), (5.0, "DONE"), (5.1, "INVALID_VOLUME"),
     (0.0, "INVALID_VOLUME"), (-1.0, "INVALID_VOLUME"), (math.nan, "INVALID_VOLUME"), (math.inf, "INVALID_VOLUME")],
)  # fmt: skip
def test_volume_is_within_its_limits_and_steps(volume: float, retcode: str) -> None:
    changed: dict[str, Any] = {"volume_min": 0.1, "volume_step": 0.1, "volume_max": 5.0}
    assert name(opened(**changed).deal("buy", volume)) == retcode
    assert name(opened(**changed).pend(rq.BUY_LIMIT, 1.09, volume)) == retcode


def test_volume_limit_sums_positions_and_orders_of_one_direction() -> None:
    desk = opened(volume_limit=2.0)
    desk.deal("buy", 1.0)
    desk.pend(rq.BUY_LIMIT, 1.09, 0.5)
    assert name(desk.deal("buy", 0.6)) == "LIMIT_VOLUME"
    assert name(desk.pend(rq.BUY_STOP, 1.2, 0.6)) == "LIMIT_VOLUME"
    assert name(desk.deal("sell", 2.0)) == "DONE"
    assert name(desk.deal("buy", 0.5)) == "DONE"


def test_account_s_number_of_pending_orders_is_limited() -> None:
    desk = opened(conditions=Conditions(limit_orders=2))
    prices = [1.09, 1.08, 1.07]
    assert [name(desk.pend(rq.BUY_LIMIT, price, 0.1)) for price in prices] == ["DONE", "DONE", "LIMIT_ORDERS"]
    assert name(desk.deal("buy", 0.1)) == "DONE"


def test_closing_what_is_more_than_there_or_gone() -> None:
    desk = opened()
    desk.deal("buy", 0.5)
    position = desk.position
    assert name(desk.close(position, 0.6)) == "INVALID_CLOSE_VOLUME"
    assert name(desk.deal("buy", 0.1, position=position.ticket)) == "INVALID"
    assert name(desk.close(position._replace(symbol="GBPUSD"))) == "INVALID"
    assert name(desk.close(position)) == "DONE"
    assert name(desk.close(position)) == "POSITION_CLOSED"


def test_order_that_is_partly_filled_stays_so_when_it_is_modified() -> None:
    desk = opened(depth=0.4)
    ticket = desk.pend(rq.BUY_LIMIT, 1.099, 1.0).order
    desk.quote(1.0989, 1.099)
    desk.quote(1.1, 1.1001)
    assert name(desk.send(rq.ACTION_MODIFY, order=ticket, price=1.098)) == "DONE"
    (order,) = desk.orders
    assert (order.state, order.volume_current, order.price_open) == (STATE_PARTIAL, 0.6, 1.098)


def test_near_the_price_nothing_is_touched() -> None:
    desk = opened(freeze_level=30, stops_level=0)
    desk.deal("buy", 0.1, sl=1.09975)
    near = desk.position
    order = desk.pend(rq.BUY_LIMIT, 1.09990, 0.1).order
    assert name(desk.send(rq.ACTION_SLTP, position=near.ticket, sl=1.09)) == "FROZEN"
    assert name(desk.close(near)) == "FROZEN"
    assert name(desk.send(rq.ACTION_MODIFY, order=order, price=1.09)) == "FROZEN"
    assert name(desk.send(rq.ACTION_REMOVE, order=order)) == "FROZEN"
    desk.quote(1.10500, 1.10510)
    assert name(desk.send(rq.ACTION_SLTP, position=near.ticket, sl=1.09)) == "DONE"
    assert name(desk.send(rq.ACTION_MODIFY, order=order, price=1.09)) == "DONE"
    assert name(desk.send(rq.ACTION_REMOVE, order=order)) == "DONE"
    assert name(desk.close(near)) == "DONE"


def test_pending_order_is_modified_and_removed() -> None:
    desk = opened()
    ticket = desk.pend(rq.BUY_LIMIT, 1.09, 0.3).order
    assert name(desk.send(rq.ACTION_MODIFY, order=ticket, price=1.09)) == "NO_CHANGES"
    assert name(desk.send(rq.ACTION_MODIFY, order=ticket, price=1.2)) == "INVALID_PRICE"
    assert name(desk.send(rq.ACTION_MODIFY, order=ticket, price=math.nan)) == "INVALID_PRICE"
    assert name(desk.send(rq.ACTION_MODIFY, order=ticket, price=1.08, sl=1.07, tp=1.3)) == "DONE"
    (order,) = desk.orders
    assert (order.price_open, order.sl, order.tp, order.volume_current) == (1.08, 1.07, 1.3, 0.3)
    assert name(desk.send(rq.ACTION_REMOVE, order=ticket)) == "DONE"
    assert desk.account.books.history.orders[-1].state == STATE_CANCELED
    assert name(desk.send(rq.ACTION_REMOVE, order=ticket)) == "INVALID"
    assert name(desk.send(rq.ACTION_MODIFY, order=ticket, price=1.0)) == "INVALID"


@pytest.mark.parametrize(
    ("how", "expiration", "retcode", "lives_until"),
    [
        (rq.TIME_GTC, 0, "DONE", math.inf),
        (rq.TIME_DAY, 0, "DONE", MONDAY + DAY),
        (rq.TIME_SPECIFIED, MONDAY + 15 * HOUR, "DONE", MONDAY + 15 * HOUR),
        (rq.TIME_SPECIFIED, MONDAY + 9 * HOUR, "INVALID_EXPIRATION", 0),
        (rq.TIME_SPECIFIED, 0, "INVALID_EXPIRATION", 0),
        (rq.TIME_SPECIFIED_DAY, MONDAY + DAY + 5 * HOUR, "DONE", MONDAY + 2 * DAY),
        (rq.TIME_SPECIFIED_DAY, MONDAY - 1, "INVALID_EXPIRATION", 0),
        (9, 0, "INVALID_EXPIRATION", 0),
    ],
)
def test_time_types(how: int, expiration: int, retcode: str, lives_until: float) -> None:
    desk = opened()
    assert name(desk.pend(rq.BUY_LIMIT, 1.05, type_time=how, expiration=expiration)) == retcode
    if retcode != "DONE":
        return
    if lives_until < math.inf:
        desk.quote(BID, ASK, at=int(lives_until) - 1)
        assert len(desk.orders) == 1
        desk.quote(BID, ASK, at=int(lives_until))
        assert desk.orders == []
        assert desk.account.books.history.orders[-1].state == STATE_EXPIRED
    else:
        desk.quote(BID, ASK, at=MONDAY + 90 * DAY)
        assert len(desk.orders) == 1


def test_expirations_and_kinds_are_those_of_the_symbol() -> None:
    desk = opened(expiration_mode=mk.EXPIRATION_GTC, order_mode=mk.ORDERS_MARKET | mk.ORDERS_STOP)
    assert name(desk.pend(rq.BUY_STOP, 1.2, type_time=rq.TIME_DAY)) == "INVALID_EXPIRATION"
    assert name(desk.pend(rq.BUY_LIMIT, 1.05)) == "INVALID_ORDER"
    assert name(desk.pend(rq.BUY_STOP_LIMIT, 1.2, stoplimit=1.1)) == "INVALID_ORDER"
    assert name(desk.deal("buy", sl=1.0)) == "INVALID_STOPS"
    assert name(desk.pend(rq.BUY, 1.2)) == "INVALID_ORDER"
    assert name(opened(order_mode=mk.ORDERS_LIMIT).deal("buy")) == "INVALID_ORDER"


def test_autotrading_off_is_for_programs() -> None:
    desk = opened()
    person = rq.TradeRequest(action=rq.ACTION_DEAL, symbol="EURUSD", volume=0.1)
    for field, retcode in (
        ("terminal_autotrading", "CLIENT_DISABLES_AT"),
        ("server_autotrading", "SERVER_DISABLES_AT"),
    ):
        setattr(desk.account.interference, field, False)
        assert name(desk.deal("buy", 0.1)) == retcode
        assert name(desk.account.send(person, REASON_CLIENT)) == "DONE"
        setattr(desk.account.interference, field, True)


def test_deal_comes_after_the_reply() -> None:
    desk = opened(conditions=Conditions(execution_delay_ms=500))
    desk.account.settle(1000.0)
    done = desk.deal("buy", 0.5, sl=1.09, comment="late")
    assert (name(done), done.deal, done.volume) == ("DONE", 0, 0.0)
    assert (desk.positions, [order.ticket for order in desk.orders]) == ([], [done.order])
    assert name(desk.send(rq.ACTION_REMOVE, order=done.order)) == "LOCKED"
    desk.account.settle(1499.0)
    assert desk.positions == []
    desk.quote(1.10100, 1.10110)
    desk.account.settle(1500.0)
    position = desk.position
    assert (position.price_open, position.sl, position.comment) == (1.10110, 1.09, "late")
    assert name(desk.close(position)) == "DONE"
    assert name(desk.close(position)) == "CLOSE_ORDER_EXIST"
    assert desk.position == position
    desk.account.settle(2500.0)
    assert (desk.positions, desk.orders) == ([], [])


def test_closing_that_comes_too_late_closes_nothing_else() -> None:
    desk = opened(conditions=Conditions(execution_delay_ms=500))
    desk.account.settle(0.0)
    desk.deal("buy", 0.5, sl=1.09)
    desk.account.settle(600.0)
    desk.close(desk.position)
    desk.quote(1.08, 1.0801)
    assert desk.positions == []
    desk.account.settle(9000.0)
    assert desk.positions == []
    assert desk.account.books.history.orders[-1].state == STATE_CANCELED


def test_triggered_order_without_money_is_rejected() -> None:
    desk = Desk("EURUSD", balance=1500.0)
    desk.quote(BID, ASK)
    desk.pend(rq.BUY_STOP, 1.101, 1.0)
    desk.deal("buy", 1.0)
    desk.quote(1.102, 1.1021)
    assert len(desk.positions) == 1
    assert desk.account.books.history.orders[-1].state == STATE_REJECTED


@pytest.mark.parametrize(
    ("way", "comment"), [("keep", "0123456789abcdefXYZ"), ("cut", "0123456789abcdef"), ("replace", "server")]
)
def test_server_may_rewrite_comments(way: str, comment: str) -> None:
    desk = opened(conditions=Conditions(comments=way))
    desk.deal("buy", 0.1, comment="0123456789abcdefXYZ", magic=77)
    assert (desk.position.comment, desk.position.magic, desk.deals[-1].comment) == (comment, 77, comment)


def test_fifo_closes_the_oldest_of_the_symbol_first_whatever_its_side() -> None:
    # mql5.com/en/docs/constants/environment_state/accountinformation, ACCOUNT_FIFO_CLOSE: "each symbol positions will
    # be closed in the same order, in which they are opened, starting with the oldest one".
    desk = opened(conditions=Conditions(fifo_close=True))
    for side in ("buy", "buy", "sell"):
        desk.deal(side, 0.1)
        desk.quote(BID, ASK)
    first, second, sold = desk.positions
    assert name(desk.close(second)) == "FIFO_CLOSE"
    assert name(desk.close(sold)) == "FIFO_CLOSE"
    by = {"position": first.ticket, "position_by": sold.ticket}
    assert name(desk.send(rq.ACTION_CLOSE_BY, **by)) == "FIFO_CLOSE"
    assert name(desk.close(first, 0.05)) == "DONE"
    assert name(desk.close(second)) == "FIFO_CLOSE"
    assert name(desk.close(desk.positions[0])) == "DONE"
    assert name(desk.send(rq.ACTION_CLOSE_BY, position=sold.ticket, position_by=second.ticket)) == "DONE"
    assert desk.positions == []


def test_fifo_is_never_on_a_netting_account() -> None:
    # The same page: for accounts with non-hedging position accounting "the property value is always false".
    assert not Conditions(fifo_close=True, margin_mode=NETTING).closes_by_fifo
    assert Conditions(fifo_close=True).closes_by_fifo


def test_close_by_refusals() -> None:
    desk = opened()
    one, two, sold = (desk.deal(side, 0.2).order for side in ("buy", "buy", "sell"))

    def pair(position: int, other: int) -> str:
        return name(desk.send(rq.ACTION_CLOSE_BY, position=position, position_by=other))

    assert pair(one, two) == "INVALID"
    assert pair(one, 999) == "POSITION_CLOSED"
    assert pair(one, one) == "INVALID"
    assert pair(one, sold) == "DONE"
    assert pair(one, sold) == "POSITION_CLOSED"
    netting = Desk("EURUSD", conditions=Conditions(margin_mode=NETTING))
    netting.quote(BID, ASK)
    held = netting.deal("buy", 0.2).order
    assert name(netting.send(rq.ACTION_CLOSE_BY, position=held, position_by=held)) == "INVALID_ORDER"


def test_netting_pending_order_reduces_and_turns_the_position() -> None:
    desk = opened(conditions=Conditions(margin_mode=NETTING))
    desk.deal("buy", 1.0)
    desk.pend(rq.SELL_LIMIT, 1.101, 0.4)
    desk.pend(rq.SELL_LIMIT, 1.102, 1.0)
    desk.quote(1.101, 1.1011)
    assert (desk.position.volume, desk.position.sign) == (0.6, 1)
    desk.quote(1.102, 1.1021)
    assert (desk.position.volume, desk.position.sign) == (0.4, -1)


def test_netting_stops_are_set_by_the_symbol_alone() -> None:
    desk = opened(conditions=Conditions(margin_mode=NETTING))
    desk.deal("buy", 1.0)
    assert name(desk.send(rq.ACTION_SLTP, symbol="EURUSD", sl=1.09)) == "DONE"
    assert desk.position.sl == 1.09
    assert name(desk.send(rq.ACTION_SLTP, symbol="GBPUSD", sl=1.09)) == "POSITION_CLOSED"


def test_refused_request_leaves_nothing_but_itself_in_the_ledger() -> None:
    desk = opened()
    before = len(desk.account.ledger.records)
    refused = [desk.deal("buy", 1e9), desk.pend(rq.BUY_LIMIT, 9.0), desk.send(99), desk.deal("buy", symbol="NOPE")]
    records = desk.account.ledger.records[before:]
    assert [record.kind for record in records] == ["request"] * len(refused)
    assert [record.row[1] for record in records] == [done.retcode for done in refused]


def test_ledger_gives_the_same_books_after_everything() -> None:
    desk = opened(conditions=Conditions(margin_mode=NETTING), depth=2.0, swap_mode=1, swap_long=-7.0)
    for step, kind in enumerate(itertools.islice(itertools.cycle(PENDING), 40)):
        price, stoplimit, _ = PENDING[kind]
        desk.pend(kind, price, 0.3, stoplimit=stoplimit)
        desk.deal("buy" if step % 3 else "sell", 2.5, type_filling=rq.IOC)
        desk.quote(round(BID + (step * 61 % 300 - 150) / 1e5, 5), round(ASK + (step * 61 % 300 - 150) / 1e5, 5))
    live, again = desk.account.books, desk.replayed()
    assert (live.balance, live.credit, live.positions, live.orders, live.next_ticket) == (
        again.balance, again.credit, again.positions, again.orders, again.next_ticket,
    )  # fmt: skip
    assert (live.history.deals, live.history.orders) == (again.history.deals, again.history.orders)
    assert len(live.history.deals) > 40


def test_closing_that_is_late_closes_no_more_than_what_is_left() -> None:
    desk = opened(conditions=Conditions(execution_delay_ms=500))
    desk.account.settle(0.0)
    desk.deal("buy", 1.0)
    desk.deal("sell", 0.4)
    desk.account.settle(500.0)
    bought, sold = desk.positions
    desk.close(bought)
    desk.send(rq.ACTION_CLOSE_BY, position=bought.ticket, position_by=sold.ticket)
    assert desk.position.volume == 0.6
    desk.account.settle(1000.0)
    assert desk.positions == []
    assert desk.deals[-1].volume == 0.6


@pytest.mark.parametrize("execution", range(4))
def test_limit_beyond_the_market_is_filled_on_an_exchange_no_worse_than_its_price(execution: int) -> None:
    # metatrader5.com/en/terminal/help/trading/general_concept, "Pending order": in exchange execution the price of a
    # limit order is not verified; it triggers almost immediately, and is executed at no worse a price.
    for kind, price, better in ((rq.BUY_LIMIT, 1.2, 1.10020), (rq.SELL_LIMIT, 1.0, 1.10010)):
        desk = opened(execution_mode=execution)
        done = desk.pend(kind, price, 0.1)
        if execution != mk.EXECUTION_EXCHANGE:
            assert name(done) == "INVALID_PRICE"
            continue
        assert name(done) == "DONE"
        desk.quote(1.10010, 1.10020)
        assert (desk.position.price_open, desk.orders) == (better, [])
        assert name(desk.pend(rq.BUY_STOP, 1.0, 0.1)) == "INVALID_PRICE"
        assert name(desk.pend(kind, 1.2000001, 0.1)) == "INVALID_PRICE"


def test_book_or_cancel_rests_or_goes() -> None:
    exchange: dict[str, Any] = {"execution_mode": mk.EXECUTION_EXCHANGE, "filling_mode": 7}
    desk = opened(depth=0.4, **exchange)
    desk.pend(rq.BUY_LIMIT, 1.099, 1.0, type_filling=rq.BOC)
    taking = desk.pend(rq.BUY_STOP_LIMIT, 1.101, 1.0, stoplimit=1.1005, type_filling=rq.BOC).order
    desk.quote(1.1009, 1.101)
    (resting, limit) = desk.orders
    assert (limit.ticket, limit.type, limit.price_open) == (taking, rq.BUY_LIMIT, 1.1005)
    desk.send(rq.ACTION_REMOVE, order=taking)
    desk.quote(1.0989, 1.099)
    assert (desk.position.volume, desk.orders[0].state, desk.orders[0].volume_current) == (0.4, STATE_PARTIAL, 0.6)
    assert desk.position.ticket == resting.ticket
    for kind, price in ((rq.BUY_LIMIT, 1.2), (rq.SELL_LIMIT, 1.0)):
        crossing = opened(**exchange)
        assert name(crossing.pend(kind, price, 0.1, type_filling=rq.BOC)) == "DONE"
        assert (crossing.orders, crossing.account.books.history.orders[-1].state) == ([], STATE_CANCELED)
    level = opened(stops_level=0, **exchange)
    level.pend(rq.BUY_STOP_LIMIT, 1.101, 1.0, stoplimit=1.101, type_filling=rq.BOC)
    level.quote(1.1009, 1.101)
    assert level.orders == []
    assert level.account.books.history.orders[-1].state == STATE_CANCELED
