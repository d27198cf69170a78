"""Accounts: currencies, cent accounts, cash, credit, commission, swap of every kind, stop out, identifiers."""

from decimal import Decimal
from typing import Any

import pytest

from engine.paper.books import ENTRY_OUT, REASON_SO
from engine.paper.conditions import HEDGING, MONEY, NETTING, Conditions
from engine.paper.holdings import CASH_DEALS
from engine.paper.structs import CONSTANTS
from tests.unit.paper.desk import MONDAY, Desk, name

DAY, HOUR = 86_400, 3600
RATES = {"EURUSD": 1.25, "GBPUSD": 1.5, "USDJPY": 150.0, "EURGBP": 0.8, "EURJPY": 187.5, "USDCHF": 0.9}


def desk_in(currency: str, traded: str, *others: str, balance: float = 1e7) -> Desk:
    desk = Desk(traded, *others, conditions=Conditions(currency=currency), balance=balance)
    for symbol in (traded, *others):
        desk.quote(RATES[symbol], symbol=symbol)
    return desk


@pytest.mark.parametrize(
    ("currency", "traded", "others", "margin", "profit"),
    [
        # One lot at 1:100, then a gain of 100 points of the traded symbol.
        ("USD", "EURUSD", (), 1250.0, 100.0),
        ("EUR", "EURUSD", (), 1000.0, round(100 / 1.251, 2)),
        ("USC", "EURUSD", (), 125_000.0, 10_000.0),
        ("EUC", "EURUSD", (), 100_000.0, round(100 / 1.251 * 100, 2)),
        ("GBP", "EURUSD", ("GBPUSD", "EURGBP"), 800.0, round(100 / 1.5, 2)),
        ("GBC", "EURUSD", ("GBPUSD", "EURGBP"), 80_000.0, round(100 / 1.5 * 100, 2)),
        ("CHF", "EURGBP", ("USDCHF",), None, None),
        ("JPY", "USDJPY", (), 150_000.0, 10_000.0),
        ("USD", "USDJPY", (), 1000.0, round(10_000 / 150.1, 2)),
        ("JPY", "EURUSD", ("USDJPY", "EURJPY"), 187_500.0, 15_000.0),
    ],
)
def test_margin_and_profit_are_in_the_account_s_currency(
    currency: str, traded: str, others: tuple[str, ...], margin: float | None, profit: float | None
) -> None:
    desk = desk_in(currency, traded, *others)
    done = desk.deal("buy", 1.0)
    if margin is None:
        assert (name(done), done.comment) == ("REJECT", "No rate GBPCHF for EURGBP")
        return
    assert desk.account.totals().margin == margin
    digits = desk.instruments[traded].digits
    desk.quote(round(RATES[traded] + 100 / 10**digits, digits))
    assert desk.account.totals().profit == profit
    assert desk.account.valuation.digits == (0 if currency == "JPY" else 2)


def test_trade_is_converted_at_its_own_price_whatever_else_is_quoted() -> None:
    rates = {"USDJPY.other": 100.0, "USDJPY": 150.0}
    desk = Desk(*rates, balance=1e6)
    for symbol, rate in rates.items():
        desk.quote(rate, symbol=symbol)
    desk.deal("buy", 1.0, symbol="USDJPY")
    desk.quote(151.0, symbol="USDJPY")
    assert desk.account.totals().profit == round(100_000 / 151.0, 2)


def test_margin_rate_is_that_of_the_opening() -> None:
    desk = desk_in("USD", "EURUSD")
    desk.deal("buy", 1.0)
    desk.quote(1.5)
    assert desk.account.totals().margin == 1250.0


@pytest.mark.parametrize(
    ("kind", "balance", "credit"),
    [
        ("DEAL_TYPE_BALANCE", 900.0, 0.0),
        ("DEAL_TYPE_CREDIT", 1000.0, -100.0),
        ("DEAL_TYPE_BONUS", 1000.0, -100.0),
        ("DEAL_TYPE_CHARGE", 900.0, 0.0),
        ("DEAL_TYPE_CORRECTION", 900.0, 0.0),
        ("DEAL_TYPE_COMMISSION", 900.0, 0.0),
        ("DEAL_TYPE_COMMISSION_DAILY", 900.0, 0.0),
        ("DEAL_TYPE_COMMISSION_MONTHLY", 900.0, 0.0),
        ("DEAL_TYPE_COMMISSION_AGENT_DAILY", 900.0, 0.0),
        ("DEAL_TYPE_COMMISSION_AGENT_MONTHLY", 900.0, 0.0),
        ("DEAL_TYPE_INTEREST", 900.0, 0.0),
        ("DEAL_DIVIDEND", 900.0, 0.0),
        ("DEAL_DIVIDEND_FRANKED", 900.0, 0.0),
        ("DEAL_TAX", 900.0, 0.0),
    ],
)
def test_cash_deal_goes_to_balance_or_credit(kind: str, balance: float, credit: float) -> None:
    desk = Desk(balance=1000.0)
    desk.quote(1.1)
    ticket = desk.account.cash(CONSTANTS[kind], -100.0, "why")
    totals = desk.account.totals()
    assert (totals.balance, totals.credit, totals.equity) == (balance, credit, 900.0)
    deal = desk.account.books.history.deals[-1]
    assert (deal.ticket, deal.order, deal.position_id, deal.symbol, deal.comment) == (ticket, 0, 0, "", "why")
    assert desk.replayed().balance == balance


def test_every_deal_type_but_those_of_trades_is_cash() -> None:
    types = {value for name, value in CONSTANTS.items() if name.startswith(("DEAL_TYPE_", "DEAL_DIVIDEND", "DEAL_TAX"))}
    trades = {CONSTANTS[f"DEAL_TYPE_{name}"] for name in ("BUY", "SELL", "BUY_CANCELED", "SELL_CANCELED")}
    assert types - trades == CASH_DEALS
    for kind in trades:
        with pytest.raises(ValueError, match=f"deal type {kind}: expected one of"):
            Desk().account.cash(kind, 5.0, "")


def test_credit_carries_positions() -> None:
    desk = Desk(balance=100.0, conditions=Conditions(margin_mode=HEDGING))
    desk.quote(1.1)
    assert name(desk.deal("buy", 1.0)) == "NO_MONEY"
    desk.account.cash(CONSTANTS["DEAL_TYPE_CREDIT"], 1100.0, "Bonus")
    assert name(desk.deal("buy", 1.0)) == "DONE"
    totals = desk.account.totals()
    assert (totals.balance, totals.credit, totals.equity, totals.margin_free) == (100.0, 1100.0, 1200.0, 100.0)


def test_commission_is_charged_per_lot_and_side() -> None:
    desk = Desk(conditions=Conditions(commission_per_lot=3.5))
    desk.quote(1.1)
    desk.deal("buy", 0.5)
    desk.close(desk.position, 0.3)
    desk.close(desk.position)
    assert [deal.commission for deal in desk.deals] == [-1.75, -1.05, -0.7]
    assert desk.account.totals().balance == 10_000 - 3.5


def nights_from(at: int, until: int, **swap: Any) -> float:
    desk = Desk("EURUSD", at=at, balance=1e6, **swap)
    desk.quote(1.1, 1.1002)
    desk.deal("buy", 1.0)
    desk.quote(1.1, 1.1002, at=until)
    return desk.position.swap


@pytest.mark.parametrize(
    ("begin", "end", "nights"),
    [
        (MONDAY + HOUR, MONDAY + DAY - 1, 0),
        (MONDAY + HOUR, MONDAY + DAY, 1),
        (MONDAY + 2 * DAY, MONDAY + 3 * DAY, 3),
        (MONDAY + 3 * DAY, MONDAY + 4 * DAY, 1),
        (MONDAY + 4 * DAY, MONDAY + 7 * DAY + HOUR, 1),
        (MONDAY, MONDAY + 7 * DAY, 7),
        (MONDAY, MONDAY + 28 * DAY, 28),
    ],
)
def test_a_week_has_seven_nights_of_swap_with_three_on_wednesday(begin: int, end: int, nights: int) -> None:
    assert nights_from(begin, end, swap_mode=4, swap_long=-2.0) == -2.0 * nights


@pytest.mark.parametrize(
    ("mode", "rate", "swap"),
    [
        (0, -5.0, 0.0),
        (1, -5.0, -5.0),
        (2, -5.0, -5 * 1.1002),
        (3, -5.0, -5 * 1.1002),
        (4, -5.0, -5.0),
        (5, -3.6, -3.6 / 100 / 360 * 1.1 * 100_000),
        (6, -3.6, -3.6 / 100 / 360 * 1.1002 * 100_000),
        (2, 5.0, 5 * 1.1),
    ],
)
def test_swap_by_its_mode(mode: int, rate: float, swap: float) -> None:
    assert nights_from(MONDAY, MONDAY + DAY, swap_mode=mode, swap_long=rate) == round(swap, 2)


def test_swap_is_in_the_account_s_profit_and_realised_with_its_share() -> None:
    desk = Desk("EURUSD", swap_mode=4, swap_short=-1.01, at=MONDAY)
    desk.quote(1.1)
    desk.deal("sell", 0.3)
    desk.quote(1.1, at=MONDAY + DAY)
    assert desk.position.swap == -0.3
    totals = desk.account.totals()
    assert (totals.profit, desk.account.profit(desk.position), totals.equity) == (-0.3, 0.0, 9999.7)
    desk.close(desk.position, 0.1)
    desk.close(desk.position)
    assert [deal.swap for deal in desk.deals] == [0.0, -0.1, -0.2]
    assert desk.account.totals().balance == 9999.7


def test_stop_out_in_money_looks_at_the_equity() -> None:
    conditions = Conditions(stop_out_mode=MONEY, stop_out=500.0, margin_call=800.0)
    desk = Desk("EURUSD", conditions=conditions, balance=1000.0)
    desk.quote(1.1)
    desk.deal("buy", 0.5)
    desk.quote(1.0960)
    assert desk.account.below(conditions.margin_call)
    assert len(desk.positions) == 1
    desk.quote(1.0900)
    assert desk.positions == []
    assert (desk.deals[-1].reason, desk.deals[-1].comment) == (REASON_SO, "[so 500.00]")


def test_stop_out_takes_the_worst_first_counts_swap_and_leaves_what_is_closed() -> None:
    desk = Desk(
        "EURUSD", "GBPUSD", conditions=Conditions(stop_out=105.0), balance=3000.0, swap_mode=4, swap_short=-400.0
    )
    desk.quote(1.1)
    desk.quote(1.3, symbol="GBPUSD")
    desk.deal("buy", 1.0)
    desk.deal("sell", 0.5, symbol="GBPUSD")
    desk.account.interference.closed = {"EURUSD"}
    desk.quote(1.0900, at=MONDAY + DAY + HOUR)
    # EURUSD has lost 1,000 and is not traded; GBPUSD has swap to pay, and goes.
    assert [position.symbol for position in desk.positions] == ["EURUSD"]
    desk.account.interference.closed = set()
    desk.quote(1.0820)
    assert [deal.symbol for deal in desk.deals if deal.entry == ENTRY_OUT] == ["GBPUSD", "EURUSD"]


def test_netting_closes_no_more_than_the_position_by_its_ticket() -> None:
    desk = Desk("EURUSD", conditions=Conditions(margin_mode=NETTING))
    desk.quote(1.1)
    desk.deal("buy", 1.0)
    before = desk.position
    assert name(desk.close(before, 1.5)) == "INVALID_CLOSE_VOLUME"
    assert name(desk.close(before, 0.4)) == "DONE"
    desk.deal("sell", 2.0)
    assert desk.position.sign == -1
    # The ticket has changed with the reversal: whoever closes by the old one is told so.
    assert name(desk.close(before, 0.1)) == "POSITION_CLOSED"


def test_swap_and_profit_of_a_reversal_are_those_of_the_closed_part() -> None:
    desk = Desk(
        "EURUSD", conditions=Conditions(margin_mode=NETTING, commission_per_lot=2.0), swap_mode=4, swap_long=-3.0
    )
    desk.quote(1.1, at=MONDAY)
    desk.deal("buy", 1.0)
    desk.quote(1.101, at=MONDAY + DAY)
    desk.deal("sell", 3.0)
    deal = desk.deals[-1]
    assert (deal.volume, deal.profit, deal.swap, deal.commission) == (3.0, 100.0, -3.0, -6.0)
    assert desk.position.swap == 0.0
    assert desk.account.totals().balance == 10_000 - 2 + 100 - 3 - 6


def test_sums_in_cents_agree() -> None:
    desk = Desk(
        "EURUSD", conditions=Conditions(commission_per_lot=0.07), swap_mode=1, swap_long=-1.37, swap_short=-0.11
    )
    for step in range(60):
        desk.quote(round(1.1 + (step * 37 % 50) / 1e5, 5), at=MONDAY + step * 8 * HOUR)
        desk.deal("buy" if step % 3 else "sell", 0.01 + step % 7 / 100)
        if step % 4 == 3:
            desk.close(desk.positions[0])
    booked = sum(
        Decimal(str(part))
        for deal in desk.account.books.history.deals
        for part in (deal.profit, deal.commission, deal.swap, deal.fee)
    )
    assert Decimal(str(desk.account.totals().balance)) == booked


def test_profit_moves_with_the_pair_that_converts_it() -> None:
    desk = desk_in("JPY", "EURUSD", "USDJPY", "EURJPY")
    desk.deal("buy", 1.0)
    desk.quote(1.251)
    assert desk.account.totals().profit == 15_000.0
    desk.quote(160.0, symbol="USDJPY")
    assert desk.account.totals().profit == 16_000.0
