"""A hedging account: balance, positions, orders, deals; what a request does to them and what a quote does.

Pure and deterministic: no I/O, no clock but the market's. In: quotes in the order of time, trade requests. Out: MT5
return codes, and the changes to commit. Money is rounded to the currency's digits at every deal, as a broker does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from engine.paper import requests as rq
from engine.paper.books import (
    BUY,
    DEAL_BALANCE,
    ENTRY_IN,
    ENTRY_OUT,
    REASON_CLIENT,
    REASON_EXPERT,
    REASON_SL,
    REASON_SO,
    SELL,
    STATE_FILLED,
    Changes,
    Deal,
    History,
    Ledger,
    Order,
    Position,
)
from engine.paper.market import Instrument, Quote
from engine.paper.money import NoRate, Valuation


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the broker grants: account currency, leverage, commission per lot and side in it, levels in percent."""

    currency: str = "USD"
    leverage: int = 100
    commission_per_lot: float = 0.0
    margin_call_percent: float = 100.0
    stop_out_percent: float = 50.0


class Opening(NamedTuple):
    """A request that will open a position."""

    instrument: Instrument
    sign: int
    price: float
    margin_rate: float
    margin: float


class Closing(NamedTuple):
    """A request that will close a position, or a part of it."""

    position: Position
    price: float


class Change(NamedTuple):
    """A request that will set stop loss and take profit."""

    position: Position


class Totals(NamedTuple):
    """The money of the account. `margin_level` is percent, 0 without margin."""

    balance: float
    profit: float
    equity: float
    margin: float
    margin_free: float
    margin_level: float


class Execution(NamedTuple):
    """The answer to a request: return code, tickets (0: none), volume and price of the deal."""

    retcode: int
    comment: str
    deal: int = 0
    order: int = 0
    volume: float = 0.0
    price: float = 0.0


class PaperAccount:
    """One account on the instruments of one market."""

    def __init__(self, conditions: Conditions, instruments: Mapping[str, Instrument]) -> None:
        self.conditions = conditions
        self.instruments = instruments
        self.quotes: dict[str, Quote] = {}
        self.valuation = Valuation(conditions.currency, instruments, self.quotes)
        self.time_msc = 0
        self.entries_open = True
        self.balance = 0.0
        self.positions: dict[int, Position] = {}
        self.history = History()
        self.next_ticket = 1
        self._changes = Changes()
        self._profits: dict[int, float] = {}
        self._totals: Totals | None = None

    def deposit(self, amount: float) -> None:
        """Credit money as a balance deal, at the market's time."""
        amount = self.valuation.money(amount)
        self._record_deal(
            Deal(
                self._ticket(), 0, self.time_msc // 1000, self.time_msc, DEAL_BALANCE, ENTRY_IN, 0, 0, REASON_CLIENT,
                0.0, 0.0, 0.0, 0.0, amount, 0.0, "", "Deposit", "",
            )
        )  # fmt: skip

    def restore(self, ledger: Ledger) -> None:
        """Take over what a state file held."""
        self.balance = ledger.balance
        self.next_ticket = ledger.next_ticket
        self.positions = {position.ticket: position for position in ledger.positions}
        self.history = History(ledger.deals, ledger.orders)
        self._totals = None

    def take_changes(self) -> Changes:
        """Return what has changed since the last call."""
        changes, self._changes = self._changes, Changes()
        return changes

    @property
    def changed(self) -> bool:
        """Whether there is something to commit."""
        return bool(self._changes)

    def on_quote(self, quote: Quote) -> None:
        """Take a tick: stops fire at its price, then the stop-out looks at the margin level."""
        self.quotes[quote.symbol] = quote
        self.time_msc = quote.time_msc
        if not self.positions:
            return
        self._totals = None
        for position in list(self.positions.values()):
            if position.symbol == quote.symbol:
                reason = position.stop_hit(quote.bid, quote.ask)
                if reason is not None:
                    level = position.sl if reason == REASON_SL else position.tp
                    digits = self.instruments[position.symbol].digits
                    comment = f"[{'sl' if reason == REASON_SL else 'tp'} {level:.{digits}f}]"
                    self._close(position, position.volume, self.closing_price(position), reason, comment)
        self._stop_out()

    def _stop_out(self) -> None:
        while self.positions:
            totals = self.totals()
            if totals.margin <= 0 or totals.margin_level > self.conditions.stop_out_percent:
                return
            worst = min(self.positions.values(), key=lambda position: (self.profit(position), position.ticket))
            comment = f"[so {totals.margin_level:.2f}%]"
            self._close(worst, worst.volume, self.closing_price(worst), REASON_SO, comment)

    def closing_price(self, position: Position) -> float:
        """The price at which a position would be closed now."""
        quote = self.quotes[position.symbol]
        return quote.bid if position.type == BUY else quote.ask

    def totals(self) -> Totals:
        """Balance, floating profit, equity and margin at the last quotes."""
        if self._totals is None:
            money = self.valuation.money
            self._profits = {
                ticket: self.valuation.profit(
                    self.instruments[position.symbol],
                    position.sign,
                    position.volume,
                    position.price_open,
                    self.closing_price(position),
                )
                for ticket, position in self.positions.items()
            }
            profit = money(sum(self._profits.values(), 0.0))
            margin = money(sum((position.margin for position in self.positions.values()), 0.0))
            self._totals = self._sum(self.balance, profit, margin)
        return self._totals

    def _sum(self, balance: float, profit: float, margin: float) -> Totals:
        money = self.valuation.money
        equity = money(balance + profit)
        level = equity / margin * 100 if margin > 0 else 0.0
        return Totals(balance, profit, equity, margin, money(equity - margin), level)

    def profit(self, position: Position) -> float:
        """Floating profit of a position."""
        self.totals()
        return self._profits[position.ticket]

    def check(self, request: rq.TradeRequest) -> tuple[rq.Refusal, Totals | None]:
        """Judge a request: return code 0 when it would be carried out, and the account's money after it."""
        plan = self._plan(request)
        match plan:
            case rq.Refusal():
                return plan, None
            case Change():
                return rq.refusal(rq.CHECKED), self.totals()
        after = self._after(plan, request.volume)
        no_money = isinstance(plan, Opening) and after.margin_free < 0
        return rq.refusal(rq.NO_MONEY if no_money else rq.CHECKED), after

    def _after(self, plan: Opening | Closing, volume: float) -> Totals:
        now = self.totals()
        money = self.valuation.money
        balance = now.balance + self._commission(volume)
        if isinstance(plan, Opening):
            return self._sum(money(balance), now.profit, money(now.margin + plan.margin))
        position = plan.position
        instrument = self.instruments[position.symbol]
        realised = self.valuation.profit(instrument, position.sign, volume, position.price_open, plan.price)
        released = self.valuation.margin(instrument, volume, position.margin_rate, self.conditions.leverage)
        return self._sum(
            money(balance + realised), money(now.profit - realised), max(0.0, money(now.margin - released))
        )

    def send(self, request: rq.TradeRequest) -> Execution:
        """Carry out a request, or refuse it."""
        plan = self._plan(request)
        match plan:
            case rq.Refusal(retcode, comment):
                return Execution(retcode, comment)
            case Opening():
                if self._after(plan, request.volume).margin_free < 0:
                    return Execution(*rq.refusal(rq.NO_MONEY))
                return self._open(plan, request)
            case Closing(position, price):
                return self._close(
                    position, request.volume, price, REASON_EXPERT, request.comment, request.magic, request.type_filling
                )
            case Change(position):
                position.sl, position.tp = request.sl, request.tp
                position.time_update_msc = self.time_msc
                self._changes.positions[position.ticket] = position
                return Execution(*rq.refusal(rq.DONE))

    def _plan(self, request: rq.TradeRequest) -> Opening | Closing | Change | rq.Refusal:
        if request.action == rq.ACTION_SLTP:
            return self._plan_change(request)
        if request.action in rq.ORDER_KINDS:
            return rq.refusal(rq.INVALID_ORDER)
        if request.action != rq.ACTION_DEAL or request.type not in (rq.BUY, rq.SELL):
            return rq.refusal(rq.INVALID)
        instrument = self.instruments.get(request.symbol)
        if instrument is None:
            return rq.refusal(rq.INVALID)
        quote = self.quotes.get(request.symbol)
        if quote is None:
            return rq.refusal(rq.PRICE_OFF)
        price = quote.ask if request.type == rq.BUY else quote.bid
        if not rq.filling_allowed(instrument, request.type_filling):
            return rq.refusal(rq.INVALID_FILL)
        if request.position:
            return self._plan_closing(request, instrument, price)
        return self._plan_opening(request, instrument, quote, price)

    def _plan_change(self, request: rq.TradeRequest) -> Change | rq.Refusal:
        position = self.positions.get(request.position)
        if position is None:
            return rq.refusal(rq.POSITION_CLOSED)
        if request.symbol not in ("", position.symbol):
            return rq.refusal(rq.INVALID)
        quote, instrument = self.quotes[position.symbol], self.instruments[position.symbol]
        # A level that stays is not judged again: the price may have come near it.
        sl = request.sl if request.sl != position.sl else 0.0
        tp = request.tp if request.tp != position.tp else 0.0
        if (request.sl, request.tp) == (position.sl, position.tp):
            return rq.refusal(rq.NO_CHANGES)
        return rq.stops_problem(instrument, quote, position.sign, sl, tp) or Change(position)

    def _plan_closing(self, request: rq.TradeRequest, instrument: Instrument, price: float) -> Closing | rq.Refusal:
        position = self.positions.get(request.position)
        if position is None:
            return rq.refusal(rq.POSITION_CLOSED)
        if position.symbol != request.symbol or position.type == request.type:
            return rq.refusal(rq.INVALID)
        if not rq.volume_steps(instrument, request.volume):
            return rq.refusal(rq.INVALID_VOLUME)
        left = round(position.volume - request.volume, 8)
        if left < 0 or 0 < left < instrument.volume_min:
            return rq.refusal(rq.INVALID_CLOSE_VOLUME)
        return rq.price_problem(instrument, request, price) or Closing(position, price)

    def _plan_opening(
        self, request: rq.TradeRequest, instrument: Instrument, quote: Quote, price: float
    ) -> Opening | rq.Refusal:
        sign = 1 if request.type == rq.BUY else -1
        if not rq.volume_allowed(instrument, request.volume):
            return rq.refusal(rq.INVALID_VOLUME)
        if not self.entries_open:
            return rq.refusal(rq.MARKET_CLOSED)
        problem = rq.price_problem(instrument, request, price) or rq.stops_problem(
            instrument, quote, sign, request.sl, request.tp
        )
        if problem:
            return problem
        try:
            self.valuation.tick_values(instrument)
            rate = self.valuation.margin_rate(instrument, sign, price)
        except NoRate as missing:
            return rq.Refusal(rq.REJECT, str(missing))
        margin = self.valuation.margin(instrument, request.volume, rate, self.conditions.leverage)
        return Opening(instrument, sign, price, rate, margin)

    def _commission(self, volume: float) -> float:
        return -self.valuation.money(self.conditions.commission_per_lot * volume) + 0.0

    def _open(self, plan: Opening, request: rq.TradeRequest) -> Execution:
        ticket = self._ticket()
        self._record_order(ticket, ticket, request.type, request.volume, plan.price, REASON_EXPERT, request)
        position = Position(
            ticket, request.symbol, BUY if plan.sign > 0 else SELL, request.volume, plan.price, request.sl, request.tp,
            request.magic, request.comment, REASON_EXPERT, self.time_msc, self.time_msc, plan.margin_rate, plan.margin,
        )  # fmt: skip
        deal = self._record_trade(
            ticket, position, position.type, ENTRY_IN, request.volume, plan.price, 0.0, REASON_EXPERT, request.magic,
            request.comment,
        )  # fmt: skip
        self.positions[ticket] = position
        self._changes.positions[ticket] = position
        return Execution(*rq.refusal(rq.DONE), deal.ticket, ticket, request.volume, plan.price)

    def _close(
        self,
        position: Position,
        volume: float,
        price: float,
        reason: int,
        comment: str,
        magic: int | None = None,
        filling: int = rq.FOK,
    ) -> Execution:
        instrument = self.instruments[position.symbol]
        profit = self.valuation.profit(instrument, position.sign, volume, position.price_open, price)
        closing_type = SELL if position.type == BUY else BUY
        by = position.magic if magic is None else magic
        ticket = self._ticket()
        request = rq.TradeRequest(symbol=position.symbol, magic=by, comment=comment, type_filling=filling)
        self._record_order(ticket, position.ticket, closing_type, volume, price, reason, request)
        deal = self._record_trade(ticket, position, closing_type, ENTRY_OUT, volume, price, profit, reason, by, comment)
        left = round(position.volume - volume, 8)
        if left <= 0:
            del self.positions[position.ticket]
            self._changes.positions[position.ticket] = None
        else:
            position.volume = left
            position.margin = self.valuation.margin(instrument, left, position.margin_rate, self.conditions.leverage)
            position.time_update_msc = self.time_msc
            self._changes.positions[position.ticket] = position
        return Execution(*rq.refusal(rq.DONE), deal.ticket, ticket, volume, price)

    def _ticket(self) -> int:
        ticket = self.next_ticket
        self.next_ticket += 1
        return ticket

    def _record_order(
        self,
        ticket: int,
        position_id: int,
        kind: int,
        volume: float,
        price: float,
        reason: int,
        request: rq.TradeRequest,
    ) -> None:
        seconds = self.time_msc // 1000
        order = Order(
            ticket, seconds, self.time_msc, seconds, self.time_msc, 0, kind, request.type_time, request.type_filling,
            STATE_FILLED, request.magic, position_id, 0, reason, volume, 0.0, price, request.sl, request.tp, price, 0.0,
            request.symbol, request.comment, "",
        )  # fmt: skip
        self.history.add_order(order)
        self._changes.orders.append(order)

    def _record_trade(
        self, order: int, position: Position, kind: int, entry: int, volume: float, price: float, profit: float,
        reason: int, magic: int, comment: str,
    ) -> Deal:  # fmt: skip
        deal = Deal(
            self._ticket(), order, self.time_msc // 1000, self.time_msc, kind, entry, magic, position.ticket, reason,
            volume, price, self._commission(volume), 0.0, profit, 0.0, position.symbol, comment, "",
        )  # fmt: skip
        self._record_deal(deal)
        return deal

    def _record_deal(self, deal: Deal) -> None:
        self.balance = self.valuation.money(self.balance + deal.profit + deal.commission + deal.swap + deal.fee)
        self.history.add_deal(deal)
        self._changes.deals.append(deal)
        self._totals = None
