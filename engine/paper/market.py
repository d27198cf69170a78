"""What a market is to the paper terminal: instruments, and a stream of quotes in the order of time.

A market knows nothing of speed, real time or accounts. Its place in the stream is small and JSON-ready, so that a
terminal that was killed goes on with the same quotes, bit for bit.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

EXECUTION_INSTANT = 1
EXECUTION_MARKET = 2
EXECUTION_EXCHANGE = 3
FILLING_MASK_FOK = 1
FILLING_MASK_IOC = 2
TRADE_MODE_FULL = 4

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
    """The trading conditions of a symbol. Volumes are in lots; levels in points; `profit` and `base` are currencies."""

    name: str
    base: str
    profit: str
    digits: int = 5
    contract_size: float = 100_000.0
    volume_min: float = 0.01
    volume_max: float = 100.0
    volume_step: float = 0.01
    stops_level: int = 10
    execution_mode: int = EXECUTION_MARKET
    filling_mode: int = FILLING_MASK_FOK | FILLING_MASK_IOC
    trade_mode: int = TRADE_MODE_FULL

    @cached_property
    def point(self) -> float:
        """The smallest step of the price."""
        return float(f"1e-{self.digits}")

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
