"""What an account holds and is worth: books, quotes, profit and margin, and the elementary entries in the ledger.

Pure and deterministic: no I/O, no clock but the market's. Money is rounded to the currency's digits at every deal, as
a broker does. What a request or a quote does to it is decided in dealing.py, working.py and account.py.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.paper.books import (
    BUY,
    DEAL_BALANCE,
    DEAL_BONUS,
    DEAL_CREDIT,
    ENTRY_IN,
    ENTRY_INOUT,
    ENTRY_OUT,
    REASON_CLIENT,
    REASON_EXPERT,
    SELL,
    Books,
    Deal,
    Order,
    Position,
)
from engine.paper.conditions import PERCENT, Conditions, Interference
from engine.paper.fills import Filler, Trade, met_position, side_of
from engine.paper.ledger import CLOSED, DEAL, ORDER, POSITION, Ledger, Record
from engine.paper.margin import margin_of
from engine.paper.market import Instrument, Quote
from engine.paper.money import Valuation
from engine.paper.structs import CONSTANTS
from engine.paper.worth import Worth

CASH_DEALS = frozenset(
    {DEAL_BALANCE, DEAL_CREDIT, DEAL_BONUS}
    | {
        CONSTANTS[name]
        for name in (
            "DEAL_TYPE_CHARGE", "DEAL_TYPE_CORRECTION", "DEAL_TYPE_COMMISSION", "DEAL_TYPE_COMMISSION_DAILY",
            "DEAL_TYPE_COMMISSION_MONTHLY", "DEAL_TYPE_COMMISSION_AGENT_DAILY", "DEAL_TYPE_COMMISSION_AGENT_MONTHLY",
            "DEAL_TYPE_INTEREST", "DEAL_DIVIDEND", "DEAL_DIVIDEND_FRANKED", "DEAL_TAX",
        )
    }
)  # fmt: skip
"""Deal types that move money without a trade."""


class Totals(NamedTuple):
    """The money of the account. `profit` is of the open positions with their swap; `margin_level` is percent, 0
    without margin.
    """

    balance: float
    credit: float
    profit: float
    equity: float
    margin: float
    margin_free: float
    margin_level: float


class Holdings:
    """One account on the instruments of one market."""

    def __init__(self, conditions: Conditions, instruments: Mapping[str, Instrument]) -> None:
        self.conditions = conditions
        self.instruments = instruments
        self.interference = Interference()
        self.quotes: dict[str, Quote] = {}
        self.valuation = Valuation(conditions.currency, instruments, self.quotes)
        self.time_msc = 0
        self.ledger = Ledger()
        self.books = Books(self.valuation.digits)
        self._filler = Filler(self.valuation)
        self._worth = Worth(self.books, instruments, self.quotes, self.valuation, conditions.leverage)
        self._totals: Totals | None = None
        self.depth_used: dict[str, float] = {}
        """Lots that have been filled at the last quote of a symbol."""

    def restore(self, records: list[Record]) -> None:
        """Take over what a state file held."""
        self.ledger.restore(records)
        for record in records:
            self.books.apply(record)
        self._worth.forget()
        self._totals = None

    def write(self, kind: str, row: list[Any]) -> None:
        """Enter what has happened; the books follow."""
        self.books.apply(self.ledger.append(self.time_msc, kind, row))
        self._totals = None

    def put_order(self, order: Order) -> None:
        """Enter an order in the state it now has."""
        self.write(ORDER, list(order))

    def put_position(self, position: Position) -> None:
        """Enter a position as it now stands."""
        self.write(POSITION, list(position))
        self._worth.changed(position)

    def drop_position(self, position: Position) -> None:
        """Enter that a position is gone."""
        self.write(CLOSED, [position.ticket])
        self._worth.changed(position)

    def cash(self, deal_type: int, amount: float, comment: str) -> int:
        """Money that comes or goes without a trade, as a deal of one of CASH_DEALS. Returns its ticket."""
        if deal_type not in CASH_DEALS:
            raise ValueError(f"deal type {deal_type}: expected one of {sorted(CASH_DEALS)}")
        deal = Deal(
            self.books.next_ticket, 0, self.time_msc // 1000, self.time_msc, deal_type, ENTRY_IN, 0, 0, REASON_CLIENT,
            0.0, 0.0, 0.0, 0.0, self.valuation.money(amount), 0.0, "", comment, "",
        )  # fmt: skip
        self.write(DEAL, list(deal))
        return deal.ticket

    def deposit(self, amount: float) -> int:
        """Credit money as a balance deal."""
        return self.cash(DEAL_BALANCE, amount, "Deposit")

    def commission(self, volume: float) -> float:
        """What a deal of a volume costs: zero or negative."""
        return -self.valuation.money(self.conditions.commission_per_lot * volume) + 0.0

    def met(self, order: Order) -> Position | None:
        """The position that an order acts on."""
        ticket = order.position_id if order.position_id in self.books.positions else 0
        return met_position(self.books.positions, self.conditions.hedging, order.symbol, ticket, order.ticket)

    def trade(self, order: Order, volume: float, price: float, met: Position | None) -> Trade:
        """What filling an order does to the position it meets. Raises NoRate."""
        return self._filler.trade(self.instruments[order.symbol], met, order, volume, price)

    def book(self, order: Order, trade: Trade, volume: float, price: float, comment: str = "") -> Deal:
        """Enter a fill: the deal, and what becomes of the position."""
        deal = Deal(
            self.books.next_ticket, order.ticket, self.time_msc // 1000, self.time_msc, side_of(order.type),
            trade.entry, order.magic, trade.identifier, order.reason, volume, price, self.commission(volume),
            trade.swap, trade.profit, 0.0, order.symbol, comment or order.comment, "",
        )  # fmt: skip
        self.write(DEAL, list(deal))
        before, after = trade.before, trade.after
        if before is not None and (after is None or after.ticket != before.ticket):
            self.drop_position(before)
        if after is not None:
            if self.interference.drop_stops and trade.entry in (ENTRY_IN, ENTRY_INOUT):
                after = after._replace(sl=0.0, tp=0.0)
            self.put_position(after)
        return deal

    def new_order(self, order_type: int, symbol: str, volume: float, price: float, state: int, **more: Any) -> Order:
        """A new order with the next ticket, not entered yet. `more` are further fields of TradeOrder."""
        seconds = self.time_msc // 1000
        order = Order(
            self.books.next_ticket, seconds, self.time_msc, seconds, self.time_msc, 0, order_type, 0, 0, state, 0, 0, 0,
            REASON_EXPERT, volume, volume, price, 0.0, 0.0, price, 0.0, symbol, "", "",
        )  # fmt: skip
        return order._replace(**more)

    def closing_price(self, position: Position) -> float:
        """The price at which a position would be closed now."""
        quote = self.quotes[position.symbol]
        return quote.bid if position.type == BUY else quote.ask

    def price_for(self, order_type: int, symbol: str) -> float:
        """The price at which an order of this type would be filled now."""
        quote = self.quotes[symbol]
        return quote.ask if side_of(order_type) == BUY else quote.bid

    def fillable(self, symbol: str, volume: float) -> float:
        """How much of a volume the market takes now: all of it, unless the symbol has a depth or a fault is on."""
        instrument = self.instruments[symbol]
        most = volume * self.interference.fill_share
        if instrument.depth:
            most = min(most, instrument.depth - self.depth_used.get(symbol, 0.0))
        if most >= volume:
            return volume
        return max(0.0, round(math.floor(most / instrument.volume_step + 1e-9) * instrument.volume_step, 8))

    def trading(self, symbol: str) -> bool:
        """Whether the symbol is traded at the market's time."""
        closed = self.interference.closed
        return not (closed and (None in closed or symbol in closed)) and self.instruments[symbol].sessions.open_at(
            self.time_msc // 1000
        )

    def moved(self, symbol: str) -> None:
        """A quote of this symbol has come: what depends on it is worth something else now."""
        self._worth.moved(symbol)
        self._totals = None

    def totals(self) -> Totals:
        """Balance, credit, floating profit, equity and margin at the last quotes."""
        if self._totals is None:
            self._totals = self.summed(self.books.balance, *self._worth.totals())
        return self._totals

    def margin(self, symbol: str) -> float:
        """Margin of a symbol's positions."""
        return self._worth.margin(symbol)

    def reached(self, quote: Quote) -> list[Position]:
        """The positions whose stop loss or take profit a quote reaches."""
        return self._worth.reached(quote)

    def summed(self, balance: float, profit: float, margin: float) -> Totals:
        """The totals of a balance, a floating profit and a margin."""
        money = self.valuation.money
        credit = self.books.credit
        equity = money(balance + credit + profit)
        level = equity / margin * 100 if margin > 0 else 0.0
        return Totals(balance, credit, profit, equity, margin, money(equity - margin), level)

    def profit(self, position: Position) -> float:
        """Floating profit of a position, without its swap."""
        return self._worth.profit(position)

    def after(self, order: Order, trade: Trade, volume: float) -> Totals:
        """The totals behind a trade, at the quotes of now; what it opens is charged with the initial margin."""
        now, money = self.totals(), self.valuation.money
        balance = money(now.balance + self.commission(volume) + trade.profit + trade.swap)
        profit = money(now.profit - trade.profit - trade.swap)
        others = [
            position
            for position in self.books.positions.values()
            if position.symbol == order.symbol and position is not trade.before
        ]
        held = others + ([trade.after] if trade.after else [])
        margin = now.margin - self.margin(order.symbol) + self._worth.margin_of(order.symbol, held)
        return self.summed(balance, profit, money(margin + self._entering(trade)))

    def _entering(self, trade: Trade) -> float:
        """By how much the initial margin of what a trade opens is above what it needs while it is held."""
        after = trade.after
        if after is None or trade.entry == ENTRY_OUT:
            return 0.0
        instrument, leverage = self.instruments[after.symbol], self.conditions.leverage
        if not instrument.margin_maintenance:
            return 0.0
        held_before = trade.before.volume if trade.before and trade.entry == ENTRY_IN else 0.0
        opened = after.volume - held_before
        initial, kept = (
            margin_of(instrument, after.sign, opened, after.price_open, after.margin_rate, leverage, held=held)
            for held in (False, True)
        )
        return max(0.0, initial - kept)

    def below(self, level: float) -> bool:
        """Whether the account is at or below a margin call or stop-out level (percent, or equity in money)."""
        totals = self.totals()
        if totals.margin <= 0:
            return False
        measured = totals.margin_level if self.conditions.stop_out_mode == PERCENT else totals.equity
        return measured <= level


def opposite(position_type: int) -> int:
    """The order type that closes a position: a market order of the other side."""
    return SELL if position_type == BUY else BUY
