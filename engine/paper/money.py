"""What prices are worth: profit, margin and tick value of an instrument in the account's currency.

In: instruments, quotes, an account currency. Out: rounded money. An amount is turned into the account's currency at
the price of the deal itself where the instrument joins the two currencies (USDJPY in a USD account), as MT5 does;
otherwise by the pair of the two, direct or inverse, on the side that costs. A missing pair is named, never guessed.
A cent account counts in hundredths of its currency. Formulas: MQL5 reference, "Symbol Properties",
ENUM_SYMBOL_CALC_MODE; documented examples are tests.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from engine.paper.books import BUY, Position
from engine.paper.market import Instrument, Quote, pair_name
from engine.paper.structs import CONSTANTS

FOREX_NO_LEVERAGE = CONSTANTS["SYMBOL_CALC_MODE_FOREX_NO_LEVERAGE"]
FUTURES = CONSTANTS["SYMBOL_CALC_MODE_FUTURES"]
CFD = CONSTANTS["SYMBOL_CALC_MODE_CFD"]
CFD_INDEX = CONSTANTS["SYMBOL_CALC_MODE_CFDINDEX"]
CFD_LEVERAGE = CONSTANTS["SYMBOL_CALC_MODE_CFDLEVERAGE"]
EXCHANGE_STOCKS = CONSTANTS["SYMBOL_CALC_MODE_EXCH_STOCKS"]
EXCHANGE_FUTURES = CONSTANTS["SYMBOL_CALC_MODE_EXCH_FUTURES"]
BY_TICK_VALUE = frozenset({FUTURES, EXCHANGE_FUTURES})
WITHOUT_LEVERAGE = frozenset({FOREX_NO_LEVERAGE, CFD, CFD_INDEX, EXCHANGE_STOCKS, FUTURES, EXCHANGE_FUTURES})
AT_PRICE = frozenset({CFD, CFD_INDEX, CFD_LEVERAGE, EXCHANGE_STOCKS})

CENT_CURRENCIES = {"USC": "USD", "EUC": "EUR", "GBC": "GBP"}
"""Account currencies that are a hundredth of another."""


class NoRate(Exception):
    """No quote turns one currency into the other. `pair` is what is missing, `symbol` what needs it."""

    def __init__(self, pair: str, symbol: str) -> None:
        super().__init__(f"No rate {pair} for {symbol}")
        self.pair = pair
        self.symbol = symbol


@dataclass(frozen=True, slots=True)
class Conversion:
    """How to turn a currency into the account's: by a symbol's price, or not at all when they are the same."""

    symbol: str | None
    inverse: bool


SAME = Conversion(None, False)


def currency_digits(currency: str) -> int:
    """How many decimals the account's money has."""
    return 0 if currency in ("JPY", "HUF") else 2


def lot_value(instrument: Instrument) -> float:
    """What a lot gains, in the profit currency, when the price rises by 1."""
    if instrument.calc_mode in BY_TICK_VALUE:
        return instrument.tick_value / instrument.tick
    return instrument.contract_size


class Valuation:
    """Money in one account currency. `quotes` is the live table of last quotes, owned by the caller."""

    def __init__(self, currency: str, instruments: Mapping[str, Instrument], quotes: Mapping[str, Quote]) -> None:
        self.currency = currency
        self.digits = currency_digits(currency)
        self._main = CENT_CURRENCIES.get(currency, currency)
        self._units = 100.0 if currency in CENT_CURRENCIES else 1.0
        self._instruments = instruments
        self._quotes = quotes
        self._conversions: dict[tuple[str, str], Conversion | NoRate] = {}

    def _conversion(self, currency: str, wanted_by: Instrument) -> Conversion:
        key = currency, wanted_by.name
        found = self._conversions.get(key)
        if found is None:
            found = self._conversions[key] = self._find(currency, wanted_by)
        if isinstance(found, NoRate):
            raise NoRate(found.pair, found.symbol)
        return found

    def _find(self, currency: str, wanted_by: Instrument) -> Conversion | NoRate:
        if currency == self._main:
            return SAME
        # The instrument itself first, so that a trade is converted at its own price.
        for instrument in (wanted_by, *self._instruments.values()):
            if (instrument.base, instrument.profit) == (currency, self._main):
                return Conversion(instrument.name, inverse=False)
            if (instrument.base, instrument.profit) == (self._main, currency):
                return Conversion(instrument.name, inverse=True)
        return NoRate(pair_name(currency, self._main), wanted_by.name)

    def missing(self, symbol: str) -> NoRate | None:
        """What keeps a symbol from being traded in this currency, or None."""
        instrument = self._instruments[symbol]
        try:
            self._conversion(instrument.profit, instrument)
            self._conversion(instrument.margin_currency or instrument.base, instrument)
        except NoRate as missing:
            return missing
        return None

    def depends_on(self, instrument: Instrument) -> frozenset[str]:
        """The symbols whose quotes move the profit of a position in this instrument. Raises NoRate."""
        conversion = self._conversion(instrument.profit, instrument)
        return frozenset(name for name in (instrument.name, conversion.symbol) if name is not None)

    def money(self, amount: float) -> float:
        """Round to the currency's digits."""
        return round(amount, self.digits)

    def profit(self, instrument: Instrument, sign: int, volume: float, opened: float, closed: float) -> float:
        """Profit of `volume` lots from one price to the other; `sign` +1 for a buy, -1 for a sell. Raises NoRate."""
        return round(self._raw_profit(instrument, sign, volume, opened, closed), self.digits)

    def profits(
        self, instrument: Instrument, positions: Iterable[Position], bid: float, ask: float
    ) -> Iterator[tuple[int, float]]:
        """Ticket and floating profit of each of an instrument's positions, as `profit` gives them. Raises NoRate."""
        if self._conversion(instrument.profit, instrument).symbol is not None:
            for position in positions:
                closed = bid if position.sign > 0 else ask
                yield (
                    position.ticket,
                    self.profit(instrument, position.sign, position.volume, position.price_open, closed),
                )
            return
        lot, digits, units = lot_value(instrument), self.digits, self._units
        for position in positions:
            if position.type == BUY:
                raw = (bid - position.price_open) * position.volume * lot
            else:
                raw = (position.price_open - ask) * position.volume * lot
            yield position.ticket, round(raw * units, digits)

    def _raw_profit(self, instrument: Instrument, sign: int, volume: float, opened: float, closed: float) -> float:
        raw = (closed - opened) * sign * volume * lot_value(instrument)
        conversion = self._conversion(instrument.profit, instrument)
        if conversion.symbol == instrument.name and conversion.inverse:
            return raw / closed * self._units
        return self._converted(raw, conversion, instrument)

    def amount(self, amount: float, currency: str, wanted_by: Instrument) -> float:
        """An amount of a currency in the account's, at the side that costs; not rounded. Raises NoRate."""
        return self._converted(amount, self._conversion(currency, wanted_by), wanted_by)

    def _converted(self, amount: float, conversion: Conversion, wanted_by: Instrument) -> float:
        if conversion.symbol is None:
            return amount * self._units
        quote = self._quote(conversion, wanted_by)
        gain = amount > 0
        if conversion.inverse:
            return amount / (quote.ask if gain else quote.bid) * self._units
        return amount * (quote.bid if gain else quote.ask) * self._units

    def _quote(self, conversion: Conversion, instrument: Instrument) -> Quote:
        quote = self._quotes.get(conversion.symbol or "")
        if quote is None:
            raise NoRate(conversion.symbol or "", instrument.name)
        return quote

    def margin_rate(self, instrument: Instrument, sign: int, price: float) -> float:
        """Account currency per unit of the margin currency, for a trade at `price`. Raises NoRate."""
        conversion = self._conversion(instrument.margin_currency or instrument.base, instrument)
        if conversion.symbol is None:
            return self._units
        if conversion.symbol == instrument.name:
            return (1.0 / price if conversion.inverse else price) * self._units
        quote = self._quote(conversion, instrument)
        if conversion.inverse:
            return 1.0 / (quote.bid if sign > 0 else quote.ask) * self._units
        return (quote.ask if sign > 0 else quote.bid) * self._units

    def tick_values(self, instrument: Instrument) -> tuple[float, float]:
        """Account currency per lot and tick at the bid, of a gain and of a loss. Raises NoRate."""
        quote = self._quotes.get(instrument.name)
        if quote is None:
            raise NoRate(instrument.name, instrument.name)
        gain = self._raw_profit(instrument, 1, 1.0, quote.bid - instrument.tick, quote.bid)
        loss = self._raw_profit(instrument, 1, 1.0, quote.bid + instrument.tick, quote.bid)
        return round(gain, 8), round(-loss, 8)
