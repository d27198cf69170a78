"""What a market is to the paper terminal: instruments, and a stream of quotes in the order of time.

A market knows nothing of speed, real time or accounts. Its place in the stream is small and JSON-ready, so that a
terminal that was killed goes on with the same quotes, bit for bit.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from engine.paper.sessions import ALWAYS, Sessions
from engine.paper.structs import CONSTANTS

EXECUTION_REQUEST = CONSTANTS["SYMBOL_TRADE_EXECUTION_REQUEST"]
EXECUTION_INSTANT = CONSTANTS["SYMBOL_TRADE_EXECUTION_INSTANT"]
EXECUTION_MARKET = CONSTANTS["SYMBOL_TRADE_EXECUTION_MARKET"]
EXECUTION_EXCHANGE = CONSTANTS["SYMBOL_TRADE_EXECUTION_EXCHANGE"]
TRADE_MODE_FULL = CONSTANTS["SYMBOL_TRADE_MODE_FULL"]
CALC_FOREX = CONSTANTS["SYMBOL_CALC_MODE_FOREX"]
SWAP_DISABLED = CONSTANTS["SYMBOL_SWAP_MODE_DISABLED"]
WEDNESDAY = CONSTANTS["DAY_OF_WEEK_WEDNESDAY"]

# Bit masks that the wheel has no names for.
FILLING_MASK_FOK = 1
FILLING_MASK_IOC = 2
FILLING_MASK_BOC = 4
EXPIRATION_GTC, EXPIRATION_DAY, EXPIRATION_SPECIFIED, EXPIRATION_SPECIFIED_DAY = 1, 2, 4, 8
ORDERS_MARKET, ORDERS_LIMIT, ORDERS_STOP, ORDERS_STOP_LIMIT, ORDERS_SL, ORDERS_TP, ORDERS_CLOSE_BY = (
    1 << place for place in range(7)
)

CURRENCIES = (
    "EUR", "GBP", "AUD", "NZD", "USD", "CAD", "CHF", "NOK", "SEK", "DKK", "PLN", "CZK", "HUF", "TRY", "ZAR", "MXN",
    "SGD", "HKD", "CNH", "JPY",
)  # fmt: skip
"""Known currencies, in the order in which the market names a pair: the earlier one is the base."""

METALS = {"XAU": (100.0, 2), "XAG": (5000.0, 3)}
"""Known metals: contract size in ounces and digits of the price."""


class MarketError(Exception):
    """A market that cannot be opened: says what was asked for and what is possible."""


class Quote(NamedTuple):
    """One tick. `time_msc` is in milliseconds of the broker's clock; prices are in the profit currency."""

    symbol: str
    time_msc: int
    bid: float
    ask: float


@dataclass(frozen=True)
class Instrument:
    """The trading conditions of a symbol, with the names and numbers of MT5's SymbolInfo.

    Volumes are in lots; levels in points; `base`, `profit` and `margin_currency` are currencies (no margin currency:
    the base). `tick_size` 0 is one point; `tick_value` is money in the profit currency per tick and lot, for futures
    and indices. `margin_initial` and `margin_maintenance` are money in the margin currency per lot, 0: by formula.
    `margin_hedged` is the contract size (with `margin_initial`: the money) charged for a lot that is hedged, None: the
    same as one leg. `margin_buy`, `margin_sell` multiply the margin of a side. `depth` is how many lots one quote
    fills, 0: any. `volume_limit` 0: none.
    """

    name: str
    base: str
    profit: str
    margin_currency: str = ""
    digits: int = 5
    contract_size: float = 100_000.0
    tick_size: float = 0.0
    tick_value: float = 0.0
    calc_mode: int = CALC_FOREX
    volume_min: float = 0.01
    volume_max: float = 100.0
    volume_step: float = 0.01
    volume_limit: float = 0.0
    stops_level: int = 10
    freeze_level: int = 0
    execution_mode: int = EXECUTION_MARKET
    filling_mode: int = FILLING_MASK_FOK | FILLING_MASK_IOC
    order_mode: int = 127
    expiration_mode: int = 15
    trade_mode: int = TRADE_MODE_FULL
    margin_initial: float = 0.0
    margin_maintenance: float = 0.0
    margin_hedged: float | None = None
    margin_hedged_use_leg: bool = False
    margin_buy: float = 1.0
    margin_sell: float = 1.0
    swap_mode: int = SWAP_DISABLED
    swap_long: float = 0.0
    swap_short: float = 0.0
    swap_rollover3days: int = WEDNESDAY
    depth: float = 0.0
    sessions: Sessions = ALWAYS

    @cached_property
    def point(self) -> float:
        """The smallest step of the price's digits."""
        return float(f"1e-{self.digits}")

    @cached_property
    def tick(self) -> float:
        """The step of prices."""
        return self.tick_size or self.point

    def points(self, distance: float) -> int:
        """A difference of prices in whole points."""
        return round(distance / self.point)


class Market(Protocol):
    """A stream of quotes."""

    @property
    def identity(self) -> str:
        """What makes this market itself: an account belongs to it."""
        ...

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """The symbols, by name; the first is the main one."""
        ...

    def due_ms(self) -> int | None:
        """When the next quote comes, in milliseconds of running market since its start; None after the last one."""
        ...

    def take(self) -> Quote:
        """Return the next quote and move behind it. Only when `due_ms` is not None."""
        ...

    def position(self) -> dict[str, Any]:
        """The place behind the last quote taken, JSON-ready."""
        ...

    def resume(self, position: Mapping[str, Any]) -> None:
        """Go to a place that `position` returned."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


def instrument(symbol: str) -> Instrument:
    """The usual conditions of a currency or metal pair; a broker's suffix (EURUSD.raw) is kept in the name.

    Raises MarketError when the first six letters are no known pair.
    """
    base, profit = symbol[:3].upper(), symbol[3:6].upper()
    if profit not in CURRENCIES or base == profit or (base not in CURRENCIES and base not in METALS):
        raise MarketError(
            f"symbol {symbol!r}: expected a pair of known currencies first, as EURUSD or USDJPY.raw; "
            f"known are {', '.join((*CURRENCIES, *METALS))}"
        )
    if base in METALS:
        contract_size, digits = METALS[base]
        return Instrument(symbol, base, profit, digits=digits, contract_size=contract_size)
    return Instrument(symbol, base, profit, digits=3 if profit in ("JPY", "HUF") else 5)


def pair_in_name(name: str) -> str | None:
    """The first known pair in a file's name, in capitals, or None."""
    for found in re.finditer(r"(?=([A-Z]{3})[-_]?([A-Z]{3}))", name.upper()):
        base, profit = found.groups()
        if profit in CURRENCIES and base != profit and (base in CURRENCIES or base in METALS):
            return f"{base}{profit}"
    return None


def pair_name(one: str, other: str) -> str:
    """How the market names the pair of two currencies: EURUSD, never USDEUR."""
    order = (*METALS, *CURRENCIES)
    first, second = sorted((one, other), key=lambda currency: order.index(currency) if currency in order else -1)
    return f"{first}{second}"
