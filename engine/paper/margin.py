"""The margin of a symbol's positions: by calculation mode, side, and what is hedged.

In: an instrument, its positions, the account's leverage. Out: money in account currency, not rounded. Pure. Formulas:
MQL5 reference, ENUM_SYMBOL_CALC_MODE; fixed and hedged margin: MetaTrader 5 help, "Margin calculation".
"""

from collections.abc import Iterable, Sequence

from engine.paper.books import Position
from engine.paper.market import Instrument
from engine.paper.money import AT_PRICE, BY_TICK_VALUE, CFD_INDEX, WITHOUT_LEVERAGE


def margin_of(
    instrument: Instrument, sign: int, volume: float, price: float, rate: float, leverage: int, *, held: bool = False
) -> float:
    """Margin of a volume alone, opened at a price; `rate` is account currency per unit of the margin currency.

    What is `held` needs the maintenance margin, where there is one; what is to be opened the initial one.
    """
    side = instrument.margin_buy if sign > 0 else instrument.margin_sell
    fixed = (instrument.margin_maintenance if held else 0.0) or instrument.margin_initial
    if fixed:
        per_lot = _fixed(instrument, fixed, leverage)
    else:
        per_lot = _per_lot(instrument, instrument.contract_size, price, leverage)
    return per_lot * volume * side * rate


def _fixed(instrument: Instrument, per_lot: float, leverage: int) -> float:
    """A margin given as money: the modes that know a leverage divide it too."""
    return per_lot if instrument.calc_mode in WITHOUT_LEVERAGE else per_lot / leverage


def _per_lot(instrument: Instrument, contract_size: float, price: float, leverage: int) -> float:
    amount = contract_size
    if instrument.calc_mode in AT_PRICE:
        amount *= price
    if instrument.calc_mode == CFD_INDEX:
        amount *= instrument.tick_value / instrument.tick
    elif instrument.calc_mode in BY_TICK_VALUE:
        # Futures have no formula: without an initial margin nothing is charged.
        return 0.0
    return amount if instrument.calc_mode in WITHOUT_LEVERAGE else amount / leverage


class _Leg:
    """All positions of one side: their volume, and averages by volume."""

    def __init__(self, positions: Iterable[Position]) -> None:
        self.volume = self.price = self.rate = 0.0
        for position in positions:
            self.volume += position.volume
            self.price += position.price_open * position.volume
            self.rate += position.margin_rate * position.volume
        if self.volume:
            self.price /= self.volume
            self.rate /= self.volume


def symbol_margin(instrument: Instrument, positions: Sequence[Position], leverage: int) -> float:
    """Margin of all positions of one symbol: the larger side alone, and what both sides share as hedged volume."""
    if len(positions) == 1:
        only = positions[0]
        return margin_of(instrument, only.sign, only.volume, only.price_open, only.margin_rate, leverage, held=True)
    buys = _Leg(position for position in positions if position.sign > 0)
    sells = _Leg(position for position in positions if position.sign < 0)
    legs = [
        margin_of(instrument, sign, leg.volume, leg.price, leg.rate, leverage, held=True)
        for sign, leg in ((1, buys), (-1, sells))
    ]
    if not (buys.volume and sells.volume):
        return sum(legs)
    if instrument.margin_hedged_use_leg:
        return max(legs)
    covered = min(buys.volume, sells.volume)
    sign, larger = (1, buys) if buys.volume >= sells.volume else (-1, sells)
    open_volume = round(larger.volume - covered, 8)
    alone = margin_of(instrument, sign, open_volume, larger.price, larger.rate, leverage, held=True)
    return alone + _hedged(instrument, covered, _Leg(positions), leverage)


def hedged_margin(instrument: Instrument) -> float:
    """What is charged for a hedged lot: money where the initial margin is given, else a contract size."""
    if instrument.margin_hedged is not None:
        return instrument.margin_hedged
    return instrument.margin_initial or instrument.contract_size


def _hedged(instrument: Instrument, covered: float, both: _Leg, leverage: int) -> float:
    side = (instrument.margin_buy + instrument.margin_sell) / 2
    per_lot = hedged_margin(instrument)
    if instrument.margin_initial:
        per_lot = _fixed(instrument, per_lot, leverage)
    else:
        per_lot = _per_lot(instrument, per_lot, both.price, leverage)
    return per_lot * covered * side * both.rate
