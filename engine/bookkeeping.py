"""Reads the account's deals for its guards: what explains the balance, which trades were opened and closed.

    reading -> a step, or other positions -> look at the deals -> booked with the next reading -> shifts, news

In: valid readings and the broker's deals. Out: readings that say what of the balance is not explained, shifts of the
guards' baselines, news for the guards, events. The arithmetic is in `funds.py`; nothing here waits for the journal.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from engine import cashflows, funds
from engine.approvals import Refused
from engine.broker.base import Account, Broker, BrokerError, Deal
from engine.broker.mt5 import DealEntry, DealType
from engine.events import EventType
from engine.evidence import net_volume
from engine.guards.base import Booked, BookedKind, News, TradeClosed, TradeOpened
from engine.markettime import MarketClock
from engine.readings import AccountReading
from engine.recorder import Recorder, Spawn
from engine.risk import Risk

_log = logging.getLogger(__name__)
_DAY = 86_400
_LOOK_SECONDS = 30.0
"""How often the deals are read when nothing asks for it."""
_AGAIN_SECONDS = 0.25
"""How soon they are read again while a step is not explained: a real terminal shows them 300 to 800 ms late."""
GAP_SECONDS = 5.0
"""After so long without a reading the deals are read before the next one: a day may have begun meanwhile."""
_BEGIN_TRIES = 3
_KEPT = timedelta(days=8)
_TRADES = (DealType.BUY, DealType.SELL)
_CLOSING = (DealEntry.OUT, DealEntry.INOUT, DealEntry.OUT_BY)


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at the deals; times in monotonic seconds. `closed` are all deals of the positions it shows closed."""

    asked_at: float
    answered_at: float
    deals: tuple[Deal, ...]
    closed: Mapping[int, tuple[Deal, ...]]


class Bookkeeper:
    """Keeps the books of one account.

    `changed` is called when the guards' memory is another one, with the drafts of what is to be recorded with it.
    """

    def __init__(
        self,
        broker: Broker,
        recorder: Recorder,
        risk: Risk,
        market: MarketClock,
        *,
        changed: Callable[..., None],
        spawn: Spawn,
    ) -> None:
        self._broker = broker
        self._recorder = recorder
        self._clock = recorder.clock
        self._risk = risk
        self.market = market
        self._changed = changed
        self._spawn = spawn
        self._look: _Look | None = None
        self._looking: asyncio.Task[None] | None = None
        self._asked_at = -math.inf
        self._held: Mapping[int, float] | None = None
        self._told: dict[int, int] = {}
        """Deals whose trades were told, with their orders: the rest of a partial fill is no further trade."""
        self._alarmed = False
        self.booked: tuple[Booked, ...] = ()
        """What was booked lately: longer than a weekend, so that no missed start of a day is without it."""

    async def begin(self, account: Account, server_time: int) -> None:
        """Take up the books where they were left, or open them with what is there. `server_time`: broker seconds.

        Raises BrokerError when a new account's deals cannot be read.
        """
        if self._risk.funds is None:
            self._risk.funds = await self._opened(account, server_time)
        self._told = dict.fromkeys(self._risk.funds.counted, 0)
        await self.look()

    async def _opened(self, account: Account, server_time: int) -> funds.FundsState:
        end = self._end(server_time)
        start = max(0, server_time - _DAY)
        for _ in range(_BEGIN_TRIES):
            deals = await self._broker.deals_between(start, end)
            now = (await self._broker.sweep(())).account or account
            if deals == await self._broker.deals_between(start, end):
                break
        return funds.begin(
            now.balance, now.credit, deals, server_time=server_time, currency_digits=account.currency_digits
        )

    def _end(self, server_time: int) -> int:
        # The broker's clock is less than a day from UTC; a replayed one is behind it.
        return max(server_time, int(self._clock.utc().timestamp())) + 2 * _DAY

    async def look(self) -> None:
        """Read the deals now; they are booked with the next reading."""
        state = self._risk.funds
        if state is None:
            return
        self._asked_at = asked_at = self._clock.monotonic()
        try:
            deals = await self._broker.deals_between(state.look_from, self._end(state.newest))
            closed = {
                position: await self._broker.deals_of_position(position)
                for position in {deal.position_id for deal in deals if deal.ticket not in self._told and _closes(deal)}
            }
        except BrokerError as error:
            _log.warning("the deals cannot be read: %s", error)
            return
        self._look = _Look(asked_at, self._clock.monotonic(), deals, closed)

    def explained(self, reading: AccountReading) -> AccountReading:
        """Book what was read before this VALID reading was asked for, and say what of it is not explained."""
        state, account = self._risk.funds, reading.account
        if state is None or account is None:
            return reading
        now = self._clock.monotonic()
        before = state.explained, state.held, state.counted
        state = funds.observe(state, account.balance, account.credit, account.equity, reading.at)
        look = self._look
        if look is not None and look.answered_at <= reading.at:
            self._look = None
            state, booking = cashflows.book(state, look.deals, look.asked_at)
            self._keep(booking, look)
            self._apply(booking.shifts)
            self._tell_trades(look)
            for problem in booking.problems:
                _log.error("%s", problem)
        state, shifts = cashflows.advance(state, now)
        self._apply(shifts)
        self._risk.funds = state
        if before != (state.explained, state.held, state.counted):
            self._changed()
        self._alarm(state, now)
        self._ask(state, reading, now)
        return replace(reading, unexplained=state.unexplained, relief=state.relief)

    def refusal(self) -> str | None:
        """Why nothing may be opened while a step of the balance is not explained; None when all is."""
        state = self._risk.funds
        if state is None:
            return "the account's deals have not been read yet"
        if cashflows.blocks(state, self._clock.monotonic()):
            amount = state.to_settle
            return f"the balance has moved by {amount:+.2f} and no deal explains it"
        return None

    async def settle(self, what: Literal["cash flow", "result"], reason: str, who: dict[str, str]) -> str:
        """Take an operator's word for a step that no deal explains. Raises Refused when there is none."""
        state = self._risk.funds
        if state is None:
            raise Refused("the account's deals have not been read yet")
        amount = state.to_settle
        try:
            cashflows.settle(state, what, self._clock.monotonic())
            await self._recorder.record(EventType.FUNDS_SETTLED, amount=amount, what=what, reason=reason, **who)
            # Tried once more: readings, and deals perhaps, have come in while it was recorded.
            after, shifts = cashflows.settle(self._risk.funds or state, what, self._clock.monotonic())
        except ValueError as nothing:
            raise Refused(str(nothing)) from nothing
        self._risk.funds = after
        self._apply(shifts)
        self._changed()
        return f"{amount:+.2f} is taken as a {what}"

    def _apply(self, shifts: Sequence[cashflows.Shift]) -> None:
        for shift in shifts:
            self._risk.shift(shift.amount, shift.equity)
            # A flow that is counted and not recorded, or recorded and counted again, is what a kill must not leave.
            self._changed(
                self._recorder.draft(
                    EventType.CASH_FLOW,
                    amount=shift.amount,
                    kind=shift.kind,
                    deal=shift.ticket,
                    reason=shift.why,
                    equity=shift.equity,
                    peak=self._risk.drawdown.peak,
                )
            )

    def _keep(self, booking: cashflows.Booking, look: _Look) -> None:
        types = {deal.ticket: deal.type for deal in look.deals}
        moved: list[tuple[cashflows.Movement, BookedKind]] = [(movement, "result") for movement in booking.results]
        moved += [
            (movement, "credit" if types.get(movement.ticket) == DealType.CREDIT else "cash flow")
            for movement in booking.flows
        ]
        new = [Booked(self.market.utc_of(one.time_msc), one.amount, kind) for one, kind in moved]
        if new:
            oldest = self.market.moment().utc - _KEPT
            self.booked = (*(one for one in self.booked if one.at >= oldest), *new)

    def _tell_trades(self, look: _Look) -> None:
        news: list[News] = []
        opened: dict[int, Deal] = {}
        for deal in look.deals:
            if deal.ticket in self._told or deal.type not in _TRADES or deal.volume <= 0:
                continue
            if deal.entry in (DealEntry.IN, DealEntry.INOUT) and deal.order not in self._told.values():
                opened.setdefault(deal.order, deal)
        news += [TradeOpened(order, deal.symbol, self.market.utc_of(deal.time_msc)) for order, deal in opened.items()]
        for position, deals in look.closed.items():
            if deals and abs(net_volume(deals)) < 1e-9:
                result = round(sum(deal.profit + deal.commission + deal.swap + deal.fee for deal in deals), 8)
                last = max(deals, key=lambda deal: deal.time_msc)
                news.append(TradeClosed(position, last.symbol, result, self.market.utc_of(last.time_msc)))
        self._told = {deal.ticket: deal.order for deal in look.deals}
        for one in sorted(news, key=lambda item: item.at):
            self._risk.board.learn(one)
        if news:
            self._changed()

    def _alarm(self, state: funds.FundsState, now: float) -> None:
        blocks = cashflows.blocks(state, now)
        if blocks and not self._alarmed:
            self._recorder.urgent_soon(EventType.FUNDS_UNEXPLAINED, amount=state.to_settle)
        elif self._alarmed and not blocks:
            self._recorder.urgent_soon(EventType.FUNDS_EXPLAINED)
        self._alarmed = blocks

    def _ask(self, state: funds.FundsState, reading: AccountReading, now: float) -> None:
        """Have the deals read when a step is not explained, when other positions are held, and every now and then."""
        held = None if reading.positions is None else {item.identifier: item.volume for item in reading.positions}
        moved = held is not None and held != self._held
        if held is not None:
            self._held = held
        seen = state.seen
        new_step = seen is not None and seen.since is not None and seen.looked_at < seen.since
        pause = _AGAIN_SECONDS if state.unexplained else _LOOK_SECONDS
        due = moved or new_step or now - self._asked_at >= pause
        idle = self._looking is None or self._looking.done()
        if due and idle and self._look is None:
            self._looking = self._spawn(self.look())


def _closes(deal: Deal) -> bool:
    return deal.type in _TRADES and deal.entry in _CLOSING and deal.volume > 0
