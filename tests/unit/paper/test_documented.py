"""Worked examples and rules of MetaQuotes' documentation, each by its page, and of brokers who print its rules.

Numbers that the pages leave open (prices, the account's currency) are chosen here and said.
"""

import pytest

from engine.paper import requests as rq
from engine.paper.books import ENTRY_IN, ENTRY_INOUT, ENTRY_OUT, ENTRY_OUT_BY
from engine.paper.conditions import EXCHANGE, NETTING, Conditions
from engine.paper.market import Instrument
from engine.paper.structs import CONSTANTS
from tests.unit.paper.desk import MONDAY, Desk, name

MODES = {mode: CONSTANTS[f"SYMBOL_CALC_MODE_{mode}"] for mode in (
    "FOREX", "FOREX_NO_LEVERAGE", "FUTURES", "CFD", "CFDINDEX", "CFDLEVERAGE", "EXCH_STOCKS",
)}  # fmt: skip
DAY, HOUR = 86_400, 3600


@pytest.mark.parametrize(
    ("mode", "margin", "profit"),
    [
        # mql5.com/en/docs/constants/environment_state/marketinfoconstants, ENUM_SYMBOL_CALC_MODE: the page's formulas
        # with Lots 2, ContractSize 50, price 1,200, Leverage 20, InitialMargin 300, Margin_Rate 1.5, TickPrice 5,
        # TickSize 0.25, close_price - open_price 3.
        ("FOREX", 2 * 50 / 20 * 1.5, 3 * 50 * 2),
        ("FOREX_NO_LEVERAGE", 2 * 50 * 1.5, 3 * 50 * 2),
        ("FUTURES", 2 * 300 * 1.5, 3 * 5 / 0.25 * 2),
        ("CFD", 2 * 50 * 1200 * 1.5, 3 * 50 * 2),
        ("CFDINDEX", 2 * 50 * 1200 * 5 / 0.25 * 1.5, 3 * 50 * 2),
        ("CFDLEVERAGE", 2 * 50 * 1200 / 20 * 1.5, 3 * 50 * 2),
        ("EXCH_STOCKS", 2 * 50 * 1200 * 1.5, 3 * 50 * 2),
    ],
)
def test_margin_and_profit_by_calculation_mode(mode: str, margin: float, profit: float) -> None:
    index = Instrument(
        "INDEX", "USD", "USD", digits=2, contract_size=50.0, tick_size=0.25, tick_value=5.0, calc_mode=MODES[mode],
        margin_initial=300.0 if mode == "FUTURES" else 0.0, margin_buy=1.5,
    )  # fmt: skip
    desk = Desk(index, conditions=Conditions(leverage=20), balance=1e8)
    desk.quote(1200.0)
    assert name(desk.deal("buy", 2.0)) == "DONE"
    assert desk.account.totals().margin == margin
    desk.quote(1203.0)
    assert desk.account.totals().profit == profit


@pytest.mark.parametrize(
    ("mode", "to_open", "to_hold"),
    [
        # metatrader5.com/en/terminal/help/trading_advanced/margin_forex, "Fixed margin": with an initial margin no
        # formula counts but Volume in lots * Initial margin (or Maintenance margin), in the types Forex and CFD
        # Leverage / Leverage. 2 lots, initial 300, maintenance 200, leverage 20, rate of buys 1.5.
        ("FOREX", 2 * 300 / 20 * 1.5, 2 * 200 / 20 * 1.5),
        ("CFDLEVERAGE", 2 * 300 / 20 * 1.5, 2 * 200 / 20 * 1.5),
        ("FOREX_NO_LEVERAGE", 2 * 300 * 1.5, 2 * 200 * 1.5),
        ("CFD", 2 * 300 * 1.5, 2 * 200 * 1.5),
        ("CFDINDEX", 2 * 300 * 1.5, 2 * 200 * 1.5),
        ("FUTURES", 2 * 300 * 1.5, 2 * 200 * 1.5),
        ("EXCH_STOCKS", 2 * 300 * 1.5, 2 * 200 * 1.5),
    ],
)
def test_fixed_margin(mode: str, to_open: float, to_hold: float) -> None:
    index = Instrument(
        "INDEX", "USD", "USD", digits=2, contract_size=50.0, tick_size=0.25, tick_value=5.0, calc_mode=MODES[mode],
        margin_initial=300.0, margin_maintenance=200.0, margin_buy=1.5,
    )  # fmt: skip
    for balance, retcode in ((to_open - 0.01, "NO_MONEY"), (to_open, "DONE")):
        desk = Desk(index, conditions=Conditions(leverage=20), balance=balance)
        desk.quote(1200.0)
        assert name(desk.deal("buy", 2.0)) == retcode
    assert desk.account.totals().margin == to_hold


def test_hedged_lot_of_a_fixed_margin_is_one_leg_where_nothing_else_is_said() -> None:
    # The same page, "Hedged margin": with an initial margin the value is money, not a contract size.
    for hedged, margin in ((None, 300.0), (100.0, 100.0)):
        index = Instrument("INDEX", "USD", "USD", digits=2, calc_mode=MODES["CFD"], margin_initial=300.0,
                           margin_hedged=hedged)  # fmt: skip
        desk = Desk(index)
        desk.quote(1200.0)
        assert [name(desk.deal(side, 1.0)) for side in ("buy", "sell")] == ["DONE", "DONE"]
        assert desk.account.totals().margin == margin


@pytest.mark.parametrize(
    ("hedged", "margin"),
    [
        # metatrader5.com/en/terminal/help/trading_advanced/margin_forex: contract size 100,000, buy and sell 1 lot
        # each; 100,000 in "Hedged": charged as for 1 lot; 0: nothing for the hedged volume. EUR account, 1:100.
        (100_000.0, 1000.0),
        (50_000.0, 500.0),
        (0.0, 0.0),
    ],
)
def test_hedged_volume_is_charged_by_the_hedged_contract_size(hedged: float, margin: float) -> None:
    desk = Desk("EURUSD", conditions=Conditions(currency="EUR"), margin_hedged=hedged)
    desk.quote(1.1, 1.1001)
    desk.deal("buy", 1.0)
    desk.deal("sell", 1.0)
    assert desk.account.totals().margin == margin


def test_hedged_margin_of_three_positions() -> None:
    # alpari.com/en/faq/trading_terms/calculating_hedged_margin: sell 0.5 at 1.70450, buy 0.8 at 1.70200, sell 1.4 at
    # 1.70610, leverage 1:500; the 1.6 lots that are hedged at half: 272.7344 USD at the average price of all three
    # (rounded to 1.70459). There the rest is charged at that average too; MetaTrader 5 takes the larger side's own.
    desk = Desk("GBPUSD", conditions=Conditions(leverage=500), margin_hedged=100_000.0)
    for side, volume, price in (("sell", 0.5, 1.70450), ("buy", 0.8, 1.70200), ("sell", 1.4, 1.70610)):
        desk.quote(price)
        assert name(desk.deal(side, volume)) == "DONE"
    larger_side = (0.5 * 1.7045 + 1.4 * 1.7061) / 1.9
    assert desk.account.totals().margin == round(272.7342 + 1.1 * larger_side * 100_000 / 500, 2)


def test_larger_leg_alone_is_charged_when_the_symbol_says_so() -> None:
    # metatrader5.com/en/terminal/help/trading_advanced/margin_forex, "Calculate using larger leg".
    desk = Desk("EURUSD", conditions=Conditions(currency="EUR"), margin_hedged_use_leg=True)
    desk.quote(1.1)
    desk.deal("buy", 0.3)
    desk.deal("sell", 0.8)
    assert desk.account.totals().margin == 800.0


def test_stop_out_is_at_half_the_margin() -> None:
    # mql5.com/en/forum/2271: 5 lots of GBPUSD, balance 10,000, margin 7,938.6 (leverage 1:100): the stop out of 50 %
    # comes when the equity is 3,969.3.
    desk = Desk("GBPUSD", conditions=Conditions(stop_out=50.0))
    desk.quote(1.58772)
    desk.deal("buy", 5.0)
    assert desk.account.totals().margin == 7938.6
    # A point is worth 5 USD: the equity is 3,970 at 1.57566, and one point lower it is below.
    desk.quote(1.57566)
    assert len(desk.positions) == 1
    assert desk.account.totals().equity == 3970.0
    desk.quote(1.57565)
    assert desk.positions == []
    assert desk.deals[-1].comment == "[so 49.95%]"


def test_swap_in_points() -> None:
    # fxce.zendesk.com/hc/en-us/articles/4404347272089 (MetaQuotes' text): buy 2 EURUSD, swap 7: 14 USD.
    desk = Desk("EURUSD", swap_mode=1, swap_long=7.0, at=MONDAY + 23 * HOUR)
    desk.quote(1.1)
    desk.deal("buy", 2.0)
    desk.quote(1.1, at=MONDAY + DAY)
    assert desk.position.swap == 14.0


def test_triple_swap_of_wednesday() -> None:
    # help.fnmarkets.com/en/articles/10255563: buy 1 EURUSD on Tuesday 15:00, close on Thursday; rate -13.472 points,
    # three nights for Wednesday. The page multiplies by 5 days; one night of Tuesday and three of Wednesday are 4.
    desk = Desk("EURUSD", swap_mode=1, swap_long=-13.472, at=MONDAY + DAY + 15 * HOUR)
    desk.quote(1.1)
    desk.deal("buy", 1.0)
    desk.quote(1.1, at=MONDAY + 2 * DAY + 10 * HOUR)
    assert desk.position.swap == -13.47
    desk.quote(1.1, at=MONDAY + 3 * DAY + 10 * HOUR)
    assert desk.position.swap == round(-13.47 - 3 * 13.472, 2)


def test_swap_in_percent_of_the_current_price() -> None:
    # apac.vantagehelpcenter.com/hc/en-us/articles/11622077883535: swap / 100 / 360 x close price x contract x lots;
    # globalprime.zendesk.com/hc/en-us/articles/900000799163: 0.5 lots, price 10,000, -30.98 %: -4.30 USD.
    coin = Instrument("COIN", "USD", "USD", digits=2, contract_size=1.0, swap_mode=5, swap_long=-30.98)
    desk = Desk(coin, balance=100_000.0, at=MONDAY + 23 * HOUR)
    desk.quote(9000.0)
    desk.deal("buy", 0.5)
    desk.quote(10_000.0)
    desk.quote(10_000.0, at=MONDAY + DAY)
    assert desk.position.swap == -4.3


def test_netting_adds_reduces_and_turns_round() -> None:
    # metatrader5.com/en/terminal/help/trading/general_concept, "Netting system": one position a symbol; the same
    # direction adds to it, the other reduces it, closes it, or, when it is larger, turns it round.
    desk = Desk("EURUSD", conditions=Conditions(margin_mode=NETTING))
    desk.quote(1.10)
    first = desk.deal("buy", 1.0)
    desk.quote(1.12)
    desk.deal("buy", 3.0)
    assert (desk.position.volume, desk.position.price_open) == (4.0, 1.115)
    desk.deal("sell", 1.0)
    assert (desk.position.volume, desk.position.price_open, desk.position.ticket) == (3.0, 1.115, first.order)
    turned = desk.deal("sell", 5.0)
    position = desk.position
    assert (position.sign, position.volume, position.price_open) == (-1, 2.0, 1.12)
    # mql5.com/en/docs/constants/tradingconstants/positionproperties: on a reversal POSITION_TICKET becomes the ticket
    # of the order that did it, POSITION_IDENTIFIER stays.
    assert (position.ticket, position.identifier) == (turned.order, first.order)
    assert [deal.entry for deal in desk.deals] == [ENTRY_IN, ENTRY_IN, ENTRY_OUT, ENTRY_INOUT]
    assert {deal.position_id for deal in desk.deals} == {first.order}
    assert [deal.profit for deal in desk.deals] == [0.0, 0.0, 500.0, 1500.0]
    desk.deal("buy", 2.0)
    assert desk.positions == []


def test_netting_passes_on_stop_loss_and_take_profit() -> None:
    # help.gt247.com/support/solutions/articles/13000054838 (MetaQuotes' text), "Rules of Stop Loss and Take Profit
    # inheritance (netting)": an increase or reversal sets what its order says, zero removes; a reduction does nothing.
    desk = Desk("EURUSD", conditions=Conditions(margin_mode=NETTING))
    desk.quote(1.10)
    desk.deal("buy", 1.0, sl=1.09, tp=1.12)
    desk.deal("buy", 1.0, sl=1.08)
    assert (desk.position.sl, desk.position.tp) == (1.08, 0.0)
    desk.deal("sell", 0.5, sl=1.13)
    assert (desk.position.sl, desk.position.tp) == (1.08, 0.0)
    desk.deal("sell", 2.0, sl=1.13, tp=1.05)
    assert (desk.position.sl, desk.position.tp) == (1.13, 1.05)
    desk.deal("sell", 0.5)
    assert (desk.position.sl, desk.position.tp) == (0.0, 0.0)


@pytest.mark.parametrize(("mode", "kept"), [(NETTING, 1.09), (EXCHANGE, 0.0)])
def test_levels_outlive_the_day_over_the_counter_and_not_on_an_exchange(mode: int, kept: float) -> None:
    # The same page: on the OTC markets the levels stay when a position is moved to the next day, on an exchange they
    # are reset.
    desk = Desk("EURUSD", conditions=Conditions(margin_mode=mode))
    desk.quote(1.10)
    desk.deal("buy", 1.0, sl=1.09)
    desk.quote(1.10, at=MONDAY + DAY + HOUR)
    assert desk.position.sl == kept


def test_close_by_leaves_the_difference_and_books_the_profit_once() -> None:
    # metatrader5.com/en/mobile-trading/android/help/trade/closeby: two deals "out by", the profit in one of them; the
    # larger position keeps its side and price; an order of the type "close by" with both tickets in its comment.
    desk = Desk("EURUSD")
    desk.quote(1.10)
    bought = desk.deal("buy", 1.0)
    desk.quote(1.11)
    sold = desk.deal("sell", 0.4)
    done = desk.send(rq.ACTION_CLOSE_BY, position=bought.order, position_by=sold.order)
    assert name(done) == "DONE"
    rest = desk.position
    assert (rest.ticket, rest.volume, rest.price_open, rest.sign) == (bought.order, 0.6, 1.10, 1)
    closings = [deal for deal in desk.deals if deal.entry == ENTRY_OUT_BY]
    assert [(deal.position_id, deal.volume, deal.price, deal.profit) for deal in closings] == [
        (bought.order, 0.4, 1.11, 400.0),
        (sold.order, 0.4, 1.10, 0.0),
    ]
    order = desk.account.books.history.orders[-1]
    assert (order.type, order.position_id, order.position_by_id) == (rq.CLOSE_BY, bought.order, sold.order)
    assert f"#{bought.order}" in order.comment
    assert f"#{sold.order}" in order.comment
