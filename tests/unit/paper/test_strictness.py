"""Where a kinder broker would say yes: rules that are easily forgotten, each with what the request would have won."""

from dataclasses import replace
from typing import Any

import pytest

from engine.paper import market as mk
from engine.paper import requests as rq
from engine.paper.books import ENTRY_OUT, REASON_SL, STATE_EXPIRED
from engine.paper.conditions import NETTING, Conditions
from engine.paper.market import Instrument
from tests.unit.paper.desk import MONDAY, Desk, name

DAY, HOUR = 86_400, 3600
BID, ASK = 1.10000, 1.10010
NETS = Conditions(margin_mode=NETTING)


def opened(conditions: Conditions | None = None, balance: float = 1e6, **changed: Any) -> Desk:
    desk = Desk("EURUSD", conditions=conditions, balance=balance, **changed)
    desk.quote(BID, ASK)
    return desk


def change(desk: Desk, symbol: str = "EURUSD", **changed: Any) -> None:
    """The broker changes a symbol's conditions under way."""
    desk.instruments[symbol] = replace(desk.instruments[symbol], **changed)


def test_no_order_is_larger_than_the_largest_volume_not_even_a_closing() -> None:
    desk = opened(NETS, volume_max=1.0)
    for _ in range(2):
        desk.deal("buy", 1.0)
    assert name(desk.deal("sell", 2.0)) == "INVALID_VOLUME"
    assert name(desk.close(desk.position)) == "INVALID_VOLUME"
    assert [name(desk.deal("sell", 1.0)) for _ in range(2)] == ["DONE", "DONE"]
    assert desk.positions == []


def test_only_the_whole_rest_may_be_below_the_smallest_volume() -> None:
    desk = opened(volume_step=0.05)
    desk.deal("buy", 0.2)
    desk.deal("buy", 0.05)
    change(desk, volume_min=0.1)
    larger, rest = desk.positions
    assert name(desk.close(larger, 0.05)) == "INVALID_VOLUME"
    assert name(desk.deal("buy", 0.05)) == "INVALID_VOLUME"
    assert name(desk.close(rest)) == "DONE"
    netting = opened(NETS, volume_min=0.1, volume_step=0.05)
    netting.deal("buy", 0.2)
    assert name(netting.deal("sell", 0.15)) == "INVALID_CLOSE_VOLUME"


def test_opposite_position_makes_no_room_for_pending_orders_above_the_limit() -> None:
    # mql5.com/en/docs/constants/environment_state/marketinfoconstants, SYMBOL_VOLUME_LIMIT: with a limit of 5 lots and
    # an open buy position of 5 lots a Sell Limit of 5 lots is placed; a Buy Limit, or a Sell Limit of more, is not.
    desk = opened(NETS, volume_limit=5.0)
    assert name(desk.deal("buy", 5.0)) == "DONE"
    assert name(desk.pend(rq.BUY_LIMIT, 1.09, 0.1)) == "LIMIT_VOLUME"
    assert name(desk.pend(rq.SELL_LIMIT, 1.11, 5.1)) == "LIMIT_VOLUME"
    assert name(desk.pend(rq.SELL_LIMIT, 1.11, 5.0)) == "DONE"
    assert name(desk.pend(rq.SELL_LIMIT, 1.12, 0.1)) == "LIMIT_VOLUME"
    # A deal of now turns the position round: 3 lots are left, with the 5 that wait above the limit.
    assert name(desk.deal("sell", 8.0)) == "LIMIT_VOLUME"
    desk.send(rq.ACTION_REMOVE, order=desk.orders[0].ticket)
    assert name(desk.deal("sell", 10.1)) == "LIMIT_VOLUME"
    assert name(desk.deal("sell", 8.0)) == "DONE"
    assert desk.position.volume == 3.0


def test_frozen_holds_for_the_target_for_close_by_and_for_a_netting_deal() -> None:
    desk = opened(freeze_level=30, stops_level=0)
    near, other = (desk.deal(side, 0.1).order for side in ("buy", "sell"))
    change(desk, freeze_level=0)
    assert name(desk.send(rq.ACTION_SLTP, position=near, tp=1.10020)) == "DONE"
    change(desk, freeze_level=30)
    assert name(desk.close(desk.account.books.positions[near])) == "FROZEN"
    assert name(desk.send(rq.ACTION_CLOSE_BY, position=other, position_by=near)) == "FROZEN"
    assert name(desk.send(rq.ACTION_CLOSE_BY, position=near, position_by=other)) == "FROZEN"
    netting = opened(NETS, freeze_level=30, stops_level=0)
    netting.deal("buy", 0.1, sl=1.09975)
    for volume in (0.05, 0.1, 0.3):
        assert name(netting.deal("sell", volume)) == "FROZEN"
    assert name(netting.deal("buy", 0.1)) == "DONE"


def test_close_by_is_of_symbols_that_allow_it() -> None:
    desk = opened(order_mode=127 - mk.ORDERS_CLOSE_BY)
    bought, sold = (desk.deal(side, 0.1).order for side in ("buy", "sell"))
    assert name(desk.send(rq.ACTION_CLOSE_BY, position=bought, position_by=sold)) == "INVALID_ORDER"


def test_behind_the_last_quote_nothing_is_pending_any_more() -> None:
    desk = opened()
    desk.account.entries_open = False
    assert name(desk.pend(rq.BUY_LIMIT, 1.09)) == "MARKET_CLOSED"


def test_pending_order_that_names_a_position_opens_another_one() -> None:
    desk = opened()
    held = desk.deal("buy", 0.1).order
    pending = desk.pend(rq.SELL_LIMIT, 1.101, 0.1, position=held).order
    desk.quote(1.101, 1.1011)
    assert [position.ticket for position in desk.positions] == [held, pending]


def test_rest_of_an_order_is_not_bounded_by_the_part_that_was_filled() -> None:
    desk = opened(depth=1.0, execution_mode=mk.EXECUTION_EXCHANGE)
    part = desk.deal("buy", 5.0, type_filling=rq.RETURN)
    assert (name(part), part.volume) == ("DONE_PARTIAL", 1.0)
    change(desk, depth=10.0)
    desk.quote(BID, ASK)
    desk.account.settle(1e9)
    assert (desk.position.volume, desk.orders) == (5.0, [])


def test_market_order_with_a_life_is_judged_and_stands_no_longer() -> None:
    exchange: dict[str, Any] = {"depth": 1.0, "execution_mode": mk.EXECUTION_EXCHANGE}
    assert name(opened(**exchange).deal("buy", type_time=rq.TIME_SPECIFIED, expiration=MONDAY)) == "INVALID_EXPIRATION"
    gtc_only = opened(expiration_mode=mk.EXPIRATION_GTC, **exchange)
    assert name(gtc_only.deal("buy", type_time=rq.TIME_DAY)) == "INVALID_EXPIRATION"
    for life, expiration, ends in ((rq.TIME_DAY, 0, DAY), (rq.TIME_SPECIFIED, MONDAY + 11 * HOUR, 11 * HOUR)):
        desk = opened(**exchange)
        desk.deal("buy", 3.0, type_filling=rq.RETURN, type_time=life, expiration=expiration)
        change(desk, depth=0.001)
        desk.quote(BID, ASK, at=MONDAY + ends - 1)
        assert [order.volume_current for order in desk.orders] == [2.0]
        desk.quote(BID, ASK, at=MONDAY + ends)
        assert desk.orders == []
        assert desk.account.books.history.orders[-1].state == STATE_EXPIRED
        assert desk.position.volume == 1.0


def test_deal_that_is_late_waits_for_the_market_to_open() -> None:
    desk = opened(Conditions(execution_delay_ms=500))
    desk.account.settle(0.0)
    desk.deal("buy", 0.1)
    desk.account.interference.closed = {"EURUSD"}
    desk.account.settle(600.0)
    assert (desk.positions, len(desk.orders)) == ([], 1)
    desk.account.interference.closed = set()
    desk.quote(1.2, 1.2001)
    desk.account.settle(700.0)
    assert desk.position.price_open == 1.2001


def test_stop_loss_fires_before_the_stop_out_of_the_same_tick() -> None:
    desk = opened(Conditions(stop_out=50.0), balance=2400.0)
    stopped, kept = (desk.deal("buy", 1.0, sl=sl).order for sl in (1.09, 0.0))
    desk.quote(1.0899, 1.09)
    # Both have lost 1,020: equity 360 of 2,200 margin. With the first one's loss taken the level is 33 % of one lot.
    closings = [(deal.position_id, deal.reason) for deal in desk.deals if deal.entry == ENTRY_OUT]
    assert closings[0] == (stopped, REASON_SL)
    assert closings[1][0] == kept


def test_stop_out_counts_swap_when_it_looks_for_the_worst() -> None:
    desk = Desk("EURUSD", "GBPUSD", conditions=Conditions(stop_out=100.0), balance=2000.0, swap_mode=4)
    change(desk, "GBPUSD", swap_long=-300.0)
    desk.quote(1.1)
    desk.quote(1.3, symbol="GBPUSD")
    desk.deal("buy", 1.0)
    desk.deal("buy", 0.5, symbol="GBPUSD")
    desk.quote(1.1, at=MONDAY + DAY)
    assert len(desk.positions) == 2
    desk.quote(1.099)
    # EURUSD has lost 100, GBPUSD only its swap of 150.
    assert [position.symbol for position in desk.positions] == ["EURUSD"]


def test_stop_out_closes_what_needs_margin() -> None:
    desk = Desk("EURUSD", "GBPUSD", conditions=Conditions(stop_out=100.0), balance=1000.0)
    change(desk, "EURUSD", margin_hedged=0.0)
    desk.quote(1.1)
    desk.quote(1.3, symbol="GBPUSD")
    desk.deal("sell", 0.5, symbol="GBPUSD")
    for side in ("buy", "sell"):
        desk.deal(side, 0.3)
    desk.quote(1.08)
    assert len(desk.positions) == 3
    desk.quote(1.3072, symbol="GBPUSD")
    # The worst position is hedged and needs no margin: to close it would help nothing.
    assert [position.symbol for position in desk.positions] == ["EURUSD", "EURUSD"]


def test_lost_stops_are_those_of_what_is_opened() -> None:
    desk = opened(NETS)
    desk.deal("buy", 1.0, sl=1.09)
    desk.account.interference.drop_stops = True
    desk.deal("sell", 0.4)
    assert desk.position.sl == 1.09
    desk.deal("sell", 1.0, sl=1.2)
    assert (desk.position.sign, desk.position.sl) == (-1, 0.0)


@pytest.mark.parametrize(("triple", "nights"), [(3, (1, 1, 3, 1, 1)), (5, (1, 1, 1, 1, 3))])
def test_triple_day_is_the_symbol_s(triple: int, nights: tuple[int, ...]) -> None:
    desk = opened(swap_mode=4, swap_long=-1.0, swap_rollover3days=triple)
    desk.deal("buy", 1.0)
    seen = []
    for day in range(1, 6):
        before = desk.position.swap
        desk.quote(BID, ASK, at=MONDAY + day * DAY)
        seen.append(round(before - desk.position.swap))
    assert tuple(seen) == nights


def test_netting_margin_is_at_the_average_of_what_was_bought() -> None:
    desk = opened(NETS)
    desk.quote(1.10)
    desk.deal("buy", 1.0)
    desk.quote(1.20)
    desk.deal("buy", 3.0)
    # (1.10 + 3 * 1.20) * 100,000 / 100
    assert desk.account.totals().margin == 4700.0


def test_hedged_volume_is_charged_at_the_average_of_both_sides_rates() -> None:
    desk = Desk("EURUSD", conditions=Conditions(currency="EUR"), margin_buy=2.0, margin_sell=1.0)
    desk.quote(1.1)
    desk.deal("buy", 1.0)
    assert desk.account.totals().margin == 2000.0
    desk.deal("sell", 1.0)
    assert desk.account.totals().margin == 1500.0


def test_money_for_opening_is_the_initial_margin_although_holding_needs_less() -> None:
    future = Instrument(
        "FUT", "USD", "USD", digits=2, contract_size=1.0, tick_size=0.25, tick_value=5.0, calc_mode=1,
        margin_initial=1000.0, margin_maintenance=400.0,
    )  # fmt: skip
    for conditions in (Conditions(), NETS):
        desk = Desk(future, conditions=conditions, balance=2000.0)
        desk.quote(100.0)
        assert name(desk.deal("buy", 2.0)) == "DONE"
        assert desk.account.totals().margin == 800.0
        # 1,200 free: enough to hold three more, to open one.
        assert name(desk.deal("buy", 2.0)) == "NO_MONEY"
        assert name(desk.deal("buy", 1.0)) == "DONE"
        assert desk.account.totals().margin == 1200.0
