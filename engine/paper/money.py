"""What prices are worth: profit, margin and tick value of an instrument in the account's currency.

In: instruments, quotes, an account currency. Out: rounded money. An amount is turned into the account's currency at
the price of the deal itself where the instrument joins the two currencies (USDJPY in a USD account), as MT5 does;
otherwise by the pair of the two, direct or inverse, on the side that costs. A missing pair is named, never guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.paper.market import Instrument, Quote, pair_name


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


class Valuation:
    """Money in one account currency. `quotes` is the live table of last quotes, owned by the caller."""

    def __init__(self, currency: str, instruments: Mapping[str, Instrument], quotes: Mapping[str, Quote]) -> None:
        self.currency = currency
        self.digits = currency_digits(currency)
        self._instruments = instruments
        self._quotes = quotes
        self._of_profit: dict[str, Conversion | NoRate] = {}
        self._of_margin: dict[str, Conversion | NoRate] = {}
        for name, instrument in instruments.items():
            self._of_profit[name] = self._conversion(instrument.profit, instrument)
            self._of_margin[name] = self._conversion(instrument.base, instrument)

    def _conversion(self, currency: str, wanted_by: Instrument) -> Conversion | NoRate:
        if currency == self.currency:
            return SAME
        # The instrument itself first, so that a trade is converted at its own price.
        for instrument in (wanted_by, *self._instruments.values()):
            if (instrument.base, instrument.profit) == (currency, self.currency):
                return Conversion(instrument.name, inverse=False)
            if (instrument.base, instrument.profit) == (self.currency, currency):
                return Conversion(instrument.name, inverse=True)
        return NoRate(pair_name(currency, self.currency), wanted_by.name)

    def missing(self, symbol: str) -> NoRate | None:
        """What keeps a symbol from being traded in this currency, or None."""
        for conversion in (self._of_profit[symbol], self._of_margin[symbol]):
            if isinstance(conversion, NoRate):
                return conversion
        return None

    def money(self, amount: float) -> float:
        """Round to the currency's digits."""
        return round(amount, self.digits)

    def profit(self, instrument: Instrument, sign: int, volume: float, opened: float, closed: float) -> float:
        """Profit of `volume` lots from one price to the other; `sign` +1 for a buy, -1 for a sell. Raises NoRate."""
        return round(self._raw_profit(instrument, sign, volume, opened, closed), self.digits)

    def _raw_profit(self, instrument: Instrument, sign: int, volume: float, opened: float, closed: float) -> float:
        raw = (closed - opened) * sign * volume * instrument.contract_size
        conversion = self._of_profit[instrument.name]
        if conversion is SAME:
            return raw
        if isinstance(conversion, NoRate):
            raise NoRate(conversion.pair, conversion.symbol)
        if conversion.symbol == instrument.name:
            return raw / closed
        quote = self._quote(conversion, instrument)
        if conversion.inverse:
            return raw / (quote.ask if raw > 0 else quote.bid)
        return raw * (quote.bid if raw > 0 else quote.ask)

    def _quote(self, conversion: Conversion, instrument: Instrument) -> Quote:
        quote = self._quotes.get(conversion.symbol or "")
        if quote is None:
            raise NoRate(conversion.symbol or "", instrument.name)
        return quote

    def margin_rate(self, instrument: Instrument, sign: int, price: float) -> float:
        """Account currency per unit of the base currency, for a trade at `price`. Raises NoRate."""
        conversion = self._of_margin[instrument.name]
        if conversion is SAME:
            return 1.0
        if isinstance(conversion, NoRate):
            raise NoRate(conversion.pair, conversion.symbol)
        if conversion.symbol == instrument.name:
            return price
        quote = self._quote(conversion, instrument)
        if conversion.inverse:
            return 1.0 / (quote.bid if sign > 0 else quote.ask)
        return quote.ask if sign > 0 else quote.bid

    def margin(self, instrument: Instrument, volume: float, rate: float, leverage: int) -> float:
        """Margin of `volume` lots at a rate of `margin_rate`."""
        return round(volume * instrument.contract_size * rate / leverage, self.digits)

    def tick_values(self, instrument: Instrument) -> tuple[float, float]:
        """Account currency per lot and tick at the bid, of a gain and of a loss. Raises NoRate."""
        quote = self._quotes.get(instrument.name)
        if quote is None:
            raise NoRate(instrument.name, instrument.name)
        gain = self._raw_profit(instrument, 1, 1.0, quote.bid - instrument.point, quote.bid)
        loss = self._raw_profit(instrument, 1, 1.0, quote.bid + instrument.point, quote.bid)
        return round(gain, 8), round(-loss, 8)
