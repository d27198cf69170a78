"""What a fill does to the positions: opens, adds to, reduces, closes or turns round. Hedging and netting.

In: the order that is filled, a volume and a price, the positions. Out: a Trade, which says everything and changes
nothing. Netting: MetaTrader 5 help, "Position accounting systems" and the inheritance of Stop Loss and Take Profit.
"""

from collections.abc import Mapping
from typing import NamedTuple

from engine.paper.books import (
    BUY,
    ENTRY_IN,
    ENTRY_INOUT,
    ENTRY_OUT,
    SELL,
    Order,
    Position,
)
from engine.paper.market import Instrument
from engine.paper.money import Valuation
from engine.paper.structs import CONSTANTS

BUYING = frozenset(CONSTANTS[f"ORDER_TYPE_BUY{kind}"] for kind in ("", "_LIMIT", "_STOP", "_STOP_LIMIT"))
PRICE_DIGITS = 8
"""An average price keeps more digits than a quote has."""


class Trade(NamedTuple):
    """One fill. `before` is the position it meets (None: none), `after` what is left of it (None: nothing).

    `profit` and `swap` are what the fill realises, in account currency.
    """

    entry: int
    identifier: int
    before: Position | None
    after: Position | None
    profit: float
    swap: float


def side_of(order_type: int) -> int:
    """POSITION_TYPE_BUY or POSITION_TYPE_SELL: what an order of this type buys or sells."""
    return BUY if order_type in BUYING else SELL


def met_position(
    positions: Mapping[int, Position], hedging: bool, symbol: str, ticket: int, order_ticket: int
) -> Position | None:
    """The position that an order acts on: the named one, or on a netting account the symbol's.

    An order that is filled in parts meets, on a hedging account, the position its first part opened.
    """
    if hedging:
        return positions.get(ticket or order_ticket)
    return next((position for position in positions.values() if position.symbol == symbol), None)


class Filler:
    """Fills on one account; `valuation` has its currency."""

    def __init__(self, valuation: Valuation) -> None:
        self._valuation = valuation

    def trade(self, instrument: Instrument, met: Position | None, order: Order, volume: float, price: float) -> Trade:
        """What filling `volume` lots of an order at `price` does. Raises NoRate."""
        if met is None:
            opened = self._opened(instrument, order, order.ticket, volume, price)
            return Trade(ENTRY_IN, order.ticket, None, opened, 0.0, 0.0)
        if met.type == side_of(order.type):
            return Trade(
                ENTRY_IN, met.identifier, met, self._increased(instrument, met, order, volume, price), 0.0, 0.0
            )
        return self._against(instrument, met, order, volume, price)

    def _opened(self, instrument: Instrument, order: Order, identifier: int, volume: float, price: float) -> Position:
        kind = side_of(order.type)
        rate = self._valuation.margin_rate(instrument, 1 if kind == BUY else -1, price)
        now = order.time_done_msc
        return Position(
            order.ticket, identifier, order.symbol, kind, volume, price, order.sl, order.tp, order.magic,
            order.comment, order.reason, now, now, rate, 0.0,
        )  # fmt: skip

    def _increased(self, instrument: Instrument, met: Position, order: Order, volume: float, price: float) -> Position:
        added = self._opened(instrument, order, met.identifier, volume, price)
        whole = round(met.volume + volume, 8)

        def average(old: float, new: float) -> float:
            return (old * met.volume + new * volume) / whole

        return met._replace(
            volume=whole,
            price_open=round(average(met.price_open, price), PRICE_DIGITS),
            margin_rate=average(met.margin_rate, added.margin_rate),
            sl=order.sl,
            tp=order.tp,
            time_update_msc=order.time_done_msc,
        )

    def _against(self, instrument: Instrument, met: Position, order: Order, volume: float, price: float) -> Trade:
        closed = min(volume, met.volume)
        left = round(met.volume - closed, 8)
        over = round(volume - closed, 8)
        profit = self._valuation.profit(instrument, met.sign, closed, met.price_open, price)
        swap = self._valuation.money(met.swap * closed / met.volume)
        if over:
            turned = self._opened(instrument, order, met.identifier, over, price)._replace(time_msc=met.time_msc)
            return Trade(ENTRY_INOUT, met.identifier, met, turned, profit, swap)
        if not left:
            return Trade(ENTRY_OUT, met.identifier, met, None, profit, met.swap)
        kept = self._valuation.money(met.swap - swap)
        after = met._replace(volume=left, swap=kept, time_update_msc=order.time_done_msc)
        return Trade(ENTRY_OUT, met.identifier, met, after, profit, swap)
