"""Swap: what holding a position over the end of a trading day costs or earns.

In: a position, its instrument, the day that ends, prices. Out: money in account currency, rounded. Pure. Formulas and
the triple day: MetaTrader 5 help, "Swap calculation" and the symbol specification.
"""

from engine.paper.books import Position
from engine.paper.market import Instrument, Quote
from engine.paper.money import Valuation, lot_value
from engine.paper.sessions import DAY, FIRST_SUNDAY
from engine.paper.structs import CONSTANTS

(
    DISABLED, POINTS, CURRENCY_SYMBOL, CURRENCY_MARGIN, CURRENCY_DEPOSIT, INTEREST_CURRENT, INTEREST_OPEN,
) = (
    CONSTANTS[f"SYMBOL_SWAP_MODE_{name}"]
    for name in (
        "DISABLED", "POINTS", "CURRENCY_SYMBOL", "CURRENCY_MARGIN", "CURRENCY_DEPOSIT", "INTEREST_CURRENT",
        "INTEREST_OPEN",
    )
)  # fmt: skip
SATURDAY, SUNDAY = CONSTANTS["DAY_OF_WEEK_SATURDAY"], CONSTANTS["DAY_OF_WEEK_SUNDAY"]
BANKING_YEAR = 360


def nights(instrument: Instrument, ending_day: int) -> int:
    """How many nights' swap are charged when a day ends: three on the triple day, none on Saturday and Sunday.

    `ending_day` is a number of days since 1970-01-01.
    """
    weekday = (ending_day * DAY - FIRST_SUNDAY) // DAY % 7
    if weekday == instrument.swap_rollover3days:
        return 3
    return 0 if weekday in (SATURDAY, SUNDAY) else 1


def swap_of(position: Position, instrument: Instrument, quote: Quote, valuation: Valuation, count: int) -> float:
    """Swap of `count` nights. Raises NoRate."""
    rate = instrument.swap_long if position.sign > 0 else instrument.swap_short
    amount = rate * position.volume * count
    mode = instrument.swap_mode
    if mode == DISABLED or not amount:
        return 0.0
    if mode == CURRENCY_DEPOSIT:
        return valuation.money(amount)
    currency = instrument.profit
    if mode == POINTS:
        amount *= instrument.point * lot_value(instrument)
    elif mode == CURRENCY_SYMBOL:
        currency = instrument.base
    elif mode == CURRENCY_MARGIN:
        currency = instrument.margin_currency or instrument.base
    else:
        now = quote.bid if position.sign > 0 else quote.ask
        price = now if mode == INTEREST_CURRENT else position.price_open
        amount *= price * lot_value(instrument) / 100 / BANKING_YEAR
    return valuation.money(valuation.amount(amount, currency, instrument))
