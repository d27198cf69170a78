"""Finds out what became of orders whose outcome is not known, of orders that stand, and of deals that nobody expected.

    UNKNOWN  -> searched for by its magic number; found: adopted; unseen for the settle time: presumed absent
    WORKING  -> looked for in each reading's orders; filled, ended or expired: followed up by its deals
    a deal of ours that no open signal explains -> its finished signal is reopened by it, and its stop read back

In: the journal's signals, the broker's lists. Out: events and the signals' next states. The broker is the truth. Asked
at the start, on every reconnect and every few seconds; an opening order is never sent from here.
"""

import json
import logging
from collections.abc import Callable, Collection
from datetime import timedelta

from engine.approvals import SignalBook
from engine.broker.base import Broker, BrokerError, Deal, Order
from engine.events import EventType
from engine.evidence import Evidence, Trace, deals_of, search
from engine.execution import Executor, intent_in, place
from engine.journal import JournalError
from engine.orders import cancelling_request
from engine.outcomes import of_error, of_retcode
from engine.protection import Protector
from engine.recorder import Recorder
from engine.signals import Signal, SignalState, id_of, is_ours

_log = logging.getLogger(__name__)
_DAY = 86_400
_OVERLAP_SECONDS = 7200
"""How far each look at the deals reaches back behind the newest one seen: deals may be shown out of order, and the
broker's clock goes back by an hour in autumn."""
_CANCEL_PAUSE_SECONDS = 2.0


class Reconciler:
    """Holds the signals of one account against what the broker shows."""

    KEY = "deals"
    """The journal's value that holds up to where the deals were looked at: what happened meanwhile is found later."""

    def __init__(
        self,
        broker: Broker,
        book: SignalBook,
        executor: Executor,
        protector: Protector,
        recorder: Recorder,
        *,
        settle_seconds: float,
        note_deals: Callable[[Collection[Deal]], None],
    ) -> None:
        self._broker = broker
        self._book = book
        self._executor = executor
        self._protector = protector
        self._recorder = recorder
        self._clock = recorder.clock
        self._settle_seconds = settle_seconds
        self._note_deals = note_deals
        self._absent_since: dict[str, float] = {}
        self._cancel_due: dict[str, float] = {}
        self._seen_filled: dict[str, float] = {}
        self._ends: dict[str, float] = {}
        self.compared = False
        """Whether the broker's deals have been held against the journal since the start."""
        self._deals_from = 0
        self._all_known = False
        self._deals_seen: set[int] = set()

    def blocks(self, symbol: str) -> str | None:
        """Why an unknown outcome blocks new risk on a symbol; None when none does."""
        for signal in self._book.unresolved():
            if signal.symbol == symbol and signal.state is SignalState.UNKNOWN:
                return f"the outcome of signal {signal.id} on {symbol} is not known"
        return None

    async def adopt_interrupted(self) -> None:
        """After a restart: what was being executed when the engine died has an unknown outcome."""
        for signal in self._book.unresolved():
            if signal.state is SignalState.EXECUTING:
                reason = "the engine stopped while this order was in flight"
                await self._book.step(signal, SignalState.UNKNOWN, EventType.TRADE_UNKNOWN, reason=reason)

    async def reconcile(self, *, connected: bool) -> None:
        """Look for each unknown and each standing order once; `connected`: whether absence would mean anything now."""
        for signal in self._book.unresolved():
            if signal.state is SignalState.UNKNOWN:
                await self._resolve(signal, connected=connected)
        for signal in self._book.working():
            await self._follow(signal, connected=connected)

    async def _look(self, signal: Signal) -> Evidence | None:
        try:
            return await search(self._broker, intent_in(signal), self._clock.utc())
        except BrokerError:
            return None

    async def _resolve(self, signal: Signal, *, connected: bool) -> None:
        evidence = await self._look(signal)
        match evidence.trace if evidence is not None else None:
            case Trace.FILLED if evidence is not None:
                self._absent_since.pop(signal.id, None)
                await self._executor.filled(signal, evidence.order, evidence.deals)
            case Trace.STANDING if evidence is not None:
                self._absent_since.pop(signal.id, None)
                await place(self._book, signal, evidence.order)
            case Trace.NOTHING | Trace.DEAD if evidence is not None and connected:
                # A dead order is not enough at once: it may be one try's, and another's answer was lost.
                if self._has_been_absent(signal) and not signal.presumed_absent:
                    await self._give_up(signal, evidence)
            case _:
                self._absent_since.pop(signal.id, None)

    def _has_been_absent(self, signal: Signal) -> bool:
        now = self._clock.monotonic()
        return now - self._absent_since.setdefault(signal.id, now) >= self._settle_seconds

    async def _give_up(self, signal: Signal, evidence: Evidence) -> None:
        if evidence.trace is Trace.DEAD:
            await self._book.step(signal, SignalState.FAILED, EventType.TRADE_FAILED, reason=evidence.said)
            return
        await self._book.step(
            signal,
            SignalState.UNKNOWN,
            EventType.TRADE_PRESUMED_ABSENT,
            reason=f"not seen at the connected broker for {self._settle_seconds:.0f} s: presumed absent",
        )

    # orders that stand

    def missing(self, orders: Collection[Order]) -> bool:
        """Whether an order of ours that stood has changed in a reading's list: then `reconcile` is due now."""
        volumes = {order.ticket: order.volume_initial - order.volume_current for order in orders}
        for signal in self._book.working():
            filled = volumes.get(intent_in(signal).order)
            if filled is None or filled > self._seen_filled.get(signal.id, 0.0) + 1e-9:
                return True
        return False

    async def _follow(self, signal: Signal, *, connected: bool) -> None:
        evidence = await self._look(signal)
        if evidence is None:
            return
        match evidence.trace:
            case Trace.FILLED:
                await self._executor.filled(signal, evidence.order, evidence.deals)
            case Trace.DEAD:
                await self._book.step(signal, SignalState.FAILED, EventType.TRADE_FAILED, reason=evidence.said)
            case Trace.STANDING:
                await self._protect_part(signal, evidence)
                await self._end_overdue(signal)
                return
            case Trace.NOTHING if connected:
                # An order that stood does not vanish: a terminal that has just connected may not show it yet.
                reason = f"order {intent_in(signal).order} stood at the broker and is in no list of it"
                await self._book.step(signal, SignalState.UNKNOWN, EventType.TRADE_UNKNOWN, reason=reason)
            case _:
                return
        self._forget(signal)

    async def _protect_part(self, signal: Signal, evidence: Evidence) -> None:
        """What a standing order has opened so far has its stop read back now, not when the rest is filled."""
        if evidence.volume <= self._seen_filled.get(signal.id, 0.0) + 1e-9:
            return
        intent = intent_in(signal)
        positions = dict.fromkeys(deal.position_id for deal in evidence.deals)
        if all([await self._protector.protect(identifier, intent) for identifier in positions]):
            self._seen_filled[signal.id] = evidence.volume

    async def _end_overdue(self, signal: Signal) -> None:
        """End an order at its time: the broker may do it too, where the symbol lets it."""
        left = intent_in(signal).sent_at + timedelta(seconds=signal.order_seconds) - self._clock.utc()
        # Reckoned once: somebody may set the machine's clock while it stands.
        end = self._ends.setdefault(signal.id, self._clock.monotonic() + left.total_seconds())
        if self._clock.monotonic() >= end:
            await self.cancel(signal, "its time ran out")

    async def cancel(self, signal: Signal, reason: str, **who: str) -> str:
        """Ask the broker to take a standing order out and return its answer; what became of it is found by evidence."""
        now = self._clock.monotonic()
        if not who and now < self._cancel_due.get(signal.id, now):
            return "asked a moment ago"
        self._cancel_due[signal.id] = now + _CANCEL_PAUSE_SECONDS
        order = intent_in(signal).order
        try:
            reply = await self._broker.send(cancelling_request(order), epoch=None)
        except BrokerError as error:
            said = f"{of_error(error)}: {error}"
        else:
            said = f"{reply.retcode} {of_retcode(reply.retcode).name}"
        self._recorder.urgent_soon(
            EventType.ORDER_CANCELLING,
            signal=signal.id,
            order=order,
            symbol=signal.symbol,
            reason=reason,
            said=said,
            **who,
        )
        return said

    def _forget(self, signal: Signal) -> None:
        for kept in (self._absent_since, self._cancel_due, self._seen_filled, self._ends):
            kept.pop(signal.id, None)

    # deals that nobody expected

    def restore(self, stored: str | None, server_time: int) -> None:
        """Take up from where the deals were last looked at; on a new account, with those up to now taken as known.

        `server_time` is now on the broker's clock, in seconds.
        """
        if stored is not None:
            values = json.loads(stored)
            self._deals_from, self._deals_seen = values["from"], set(values["seen"])
            return
        self._deals_from = max(0, server_time - _DAY)
        self._all_known = True

    async def look_at_deals(self) -> None:
        """Take up every deal since the last look: of ours without an open signal, and of positions never seen."""
        # The broker's clock is less than a day from UTC; a replayed one is behind it.
        end = max(self._deals_from, int(self._clock.utc().timestamp())) + 2 * _DAY
        try:
            deals = await self._broker.deals_between(max(0, self._deals_from - _OVERLAP_SECONDS), end)
        except BrokerError as error:
            _log.warning("the deals cannot be read: %s", error)
            return
        new = [deal for deal in deals if deal.ticket not in self._deals_seen]
        if not new and not self._all_known:
            self.compared = True
            return
        if self._all_known:
            self._all_known = False
            new = []
        for magic in dict.fromkeys(deal.magic for deal in new if is_ours(deal.magic)):
            if not await self._explained(magic, new):
                # Looked at again: the signal that sent it may be about to take it up.
                return
        self.compared = True
        self._note_deals(new)
        self._deals_from = max(self._deals_from, *(deal.time_msc // 1000 for deal in deals), 0)
        self._deals_seen = {
            deal.ticket for deal in deals if deal.time_msc // 1000 >= self._deals_from - _OVERLAP_SECONDS
        }
        stored = json.dumps({"from": self._deals_from, "seen": sorted(self._deals_seen)})
        try:
            await self._recorder.journal.set_value(self._recorder.account, self.KEY, stored)
        except JournalError as error:
            _log.error("how far the deals were looked at is not durable: %s", error)

    async def _explained(self, magic: int, new: list[Deal]) -> bool:
        """Whether a signal knows of the deals of a magic number of ours, or has now been told of them."""
        signal_id = id_of(magic)
        for signal in self._book.all():
            if signal.id == signal_id:
                # What is unknown or stands is searched for as a whole; what is just being executed is looked at again.
                return signal.state is not SignalState.EXECUTING
        finished = await self._book.finished(signal_id)
        if finished is None or finished.intent is None:
            self._recorder.urgent_soon(EventType.DEAL_UNEXPLAINED, signal=signal_id, magic=str(magic))
            return True
        if not deals_of(finished.intent, tuple(new)):
            # They close what it opened.
            return True
        evidence = await self._look(finished)
        if evidence is None or evidence.trace is Trace.UNDER_WAY:
            return False
        if evidence.volume > finished.filled + 1e-9:
            if finished.state in (SignalState.FAILED, SignalState.PARTIAL):
                taken = await self._executor.filled(finished, evidence.order, evidence.deals)
                return taken.version > finished.version
            self._recorder.urgent_soon(
                EventType.DEAL_UNEXPLAINED, signal=signal_id, magic=str(magic), volume=evidence.volume
            )
        return True
