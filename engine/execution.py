"""Executes one approved signal, once, and finds out what became of it.

    conditions and price -> refusals -> order_check -> claim (journalled with what will be sent) -> send -> outcome

Nothing is sent before the claim is durable. A send whose outcome is not known is never repeated: `reconcile` looks
for it at the broker by its magic number until it is found, or has stayed unseen for the settle time; then the operator
decides. After a fill the position's stop loss is read back, set if it is missing, and the position is closed if it
cannot be set.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.approvals import Refused, SignalBook
from engine.broker.base import Broker, BrokerError, Deal, Position, SendReply, StaleEpoch, SymbolSpec, Tick
from engine.broker.mt5 import DealType
from engine.events import EventType
from engine.orders import closing_request, drift_points, entry_price, intent_of, opening_request, protection_request
from engine.outcomes import Outcome, of_error, of_retcode
from engine.recorder import Recorder
from engine.signals import Intent, Signal, SignalState
from engine.specs import SpecBook

MAX_TRIES = 3
_DEALS_SECONDS = 3.0
_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 5.0
"""Between two tries to protect a position that the broker lets neither be protected nor closed."""
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the broker holds of an intent: its order and its deals, oldest first; nothing when nothing is there."""

    order: int
    deals: tuple[Deal, ...]
    working: bool


class Executor:
    """Executes approved signals on one account.

    `gate` returns why nothing may be opened now, or None; it is asked before the claim and before each further try.
    `epoch` returns the entry epoch.
    """

    def __init__(
        self,
        broker: Broker,
        specs: SpecBook,
        book: SignalBook,
        recorder: Recorder,
        *,
        gate: Callable[[], str | None],
        epoch: Callable[[], int],
        deviation_points: int,
        settle_seconds: float,
    ) -> None:
        self._broker = broker
        self._specs = specs
        self._book = book
        self._recorder = recorder
        self._clock = recorder.clock
        self._gate = gate
        self._epoch = epoch
        self._deviation = deviation_points
        self._settle_seconds = settle_seconds
        self._absent_since: dict[str, float] = {}

    def blocks(self, symbol: str) -> str | None:
        """Why an unresolved outcome blocks new risk on a symbol; None when none does."""
        for signal in self._book.unresolved():
            if signal.symbol == symbol:
                return f"the outcome of signal {signal.id} on {symbol} is not known"
        return None

    async def execute(self, signal: Signal) -> Signal:
        """Execute an approved signal and return it as it then stands. Raises BrokerError only before the claim."""
        refusal = self._gate() or self.blocks(signal.symbol)
        if refusal:
            return await self._block(signal, refusal)
        epoch = self._epoch()
        spec = await self._specs.refresh(signal.symbol)
        tick = await self._broker.tick(signal.symbol)
        intent = intent_of(signal, spec, tick, epoch=epoch, clock=self._clock)
        request = opening_request(intent, spec, tick, self._deviation)
        if request is None:
            return await self._block(signal, f"{spec.name} names no filling mode (mask {spec.filling_mode})")
        check = await self._broker.check(request)
        if check.retcode != 0:
            said = f"order_check: {check.retcode} {of_retcode(check.retcode).name} ({check.comment})"
            return await self._block(signal, said)
        try:
            claimed = await self._book.claim(signal, replace(intent, sent_at=self._clock.utc()))
        except Refused as refused:
            return await self._block(signal, str(refused))
        return await self._send(claimed, spec, tick, request)

    async def _block(self, signal: Signal, reason: str) -> Signal:
        return await self._book.step(signal, SignalState.BLOCKED, EventType.SIGNAL_BLOCKED, reason=reason)

    async def _send(self, signal: Signal, spec: SymbolSpec, tick: Tick, request: Mapping[str, Any]) -> Signal:
        intent = _intent(signal)
        for attempt in range(1, MAX_TRIES + 1):
            try:
                reply = await self._broker.send(request, epoch=intent.epoch)
            except StaleEpoch:
                return await self._fail(signal, "not sent: entries were stopped before it went out")
            except BrokerError as error:
                if of_error(error) is Outcome.NOT_SENT:
                    return await self._fail(signal, f"not sent: {error}")
                return await self._unknown(signal, str(error))
            meaning = of_retcode(reply.retcode)
            said = f"{reply.retcode} {meaning.name}" + (f" ({reply.comment})" if reply.comment else "")
            match meaning.outcome:
                case Outcome.DONE | Outcome.PARTIAL | Outcome.IN_FLIGHT:
                    return await self._confirm(signal, spec, tick, reply, said)
                case Outcome.UNKNOWN:
                    return await self._unknown(signal, said)
                case Outcome.RETRY if attempt < MAX_TRIES:
                    if not await self._absent(intent):
                        return await self._unknown(signal, f"{said}, but the order is there, or it cannot be known")
                    refusal = self._gate()
                    if refusal:
                        return await self._fail(signal, f"{said}; not tried again: {refusal}")
                    await self._recorder.record(
                        EventType.ORDER_RETRIED, signal=signal.id, symbol=signal.symbol, attempt=attempt, said=said
                    )
                    tick = await self._fresh(signal.symbol, tick)
                    request = {**request, "price": entry_price(intent.side, tick)}
                case _:
                    return await self._fail(signal, said)
        raise AssertionError("the last try always returns")

    async def _absent(self, intent: Intent) -> bool:
        """Whether the broker shows nothing of an order that it says it did not take: only then is it sent again."""
        try:
            return await self._search(intent) is None
        except BrokerError:
            return False

    async def _fresh(self, symbol: str, tick: Tick) -> Tick:
        try:
            return await self._broker.tick(symbol)
        except BrokerError:
            return tick

    async def _confirm(self, signal: Signal, spec: SymbolSpec, tick: Tick, reply: SendReply, said: str) -> Signal:
        """Believe a fill only when the order's deals say so."""
        deadline = self._clock.monotonic() + _DEALS_SECONDS
        while True:
            try:
                deals = _trades(await self._broker.deals_of_order(reply.order)) if reply.order else ()
            except BrokerError:
                deals = ()
            late = self._clock.monotonic() >= deadline
            if deals and (late or sum(deal.volume for deal in deals) >= reply.volume - 1e-9):
                return await self._filled(signal, spec, tick, reply.order, deals)
            if late:
                return await self._unknown(signal, f"{said}, but no deal of order {reply.order} has appeared")
            await asyncio.sleep(_POLL_SECONDS)

    async def _filled(
        self, signal: Signal, spec: SymbolSpec | None, tick: Tick | None, order: int, deals: tuple[Deal, ...]
    ) -> Signal:
        intent = _intent(signal)
        now = self._clock.utc()
        volume = round(sum(deal.volume for deal in deals), 8)
        price = sum(deal.price * deal.volume for deal in deals) / volume
        partial = volume < intent.volume - 1e-9
        approved = signal.approved_at or intent.sent_at
        slippage = None
        if spec is not None and tick is not None:
            slippage = round((price - entry_price(intent.side, tick)) * intent.side.sign / spec.point, 1)
        # Before the record: neither a slow journal nor a crash in between may leave a position without its stop.
        await self._protect(deals[0].position_id, intent)
        return await self._book.step(
            signal,
            SignalState.PARTIAL if partial else SignalState.EXECUTED,
            EventType.TRADE_EXECUTED,
            order=order,
            deals=[deal.ticket for deal in deals],
            position=deals[0].position_id,
            side=intent.side,
            volume=volume,
            price=round(price, spec.digits if spec else 8),
            commission=round(sum(deal.commission for deal in deals), 8),
            fee=round(sum(deal.fee for deal in deals), 8),
            slippage_points=slippage,
            drift_points=round(drift_points(spec, signal, tick), 1) if spec and tick else None,
            signal_to_approval_ms=_milliseconds(approved - signal.created_at),
            approval_to_send_ms=_milliseconds(intent.sent_at - approved),
            send_to_fill_ms=_milliseconds(now - intent.sent_at),
        )

    async def _fail(self, signal: Signal, reason: str) -> Signal:
        return await self._book.step(signal, SignalState.FAILED, EventType.TRADE_FAILED, reason=reason)

    async def _unknown(self, signal: Signal, reason: str) -> Signal:
        return await self._book.step(signal, SignalState.UNKNOWN, EventType.TRADE_UNKNOWN, reason=reason)

    async def _protect(self, identifier: int, intent: Intent) -> None:
        """Read the position's stop loss back; set it if it is not there; close the position if it cannot be set."""
        deadline = self._clock.monotonic() + _STOP_SECONDS
        pause, closes, said = _POLL_SECONDS, 0, ""
        while True:
            position = await self._position(identifier)
            late = self._clock.monotonic() >= deadline
            if position is None:
                # A fill may be seen in the deals before the position list has it.
                if await self._is_closed(identifier) or late:
                    return
                await asyncio.sleep(_POLL_SECONDS)
                continue
            if abs(position.sl - intent.sl) < 1e-9:
                return
            if not said:
                self._recorder.urgent_soon(
                    EventType.STOP_MISSING, position=identifier, symbol=intent.symbol, sl=position.sl, right=intent.sl
                )
            if late:
                spec = self._specs.known(position.symbol)
                answer = await self._order_quietly(closing_request(position, spec, self._deviation, closes))
                closes += 1
            else:
                answer = await self._order_quietly(protection_request(position, intent.sl, intent.tp))
            if answer != said:
                self._recorder.urgent_soon(EventType.STOP_MISSING, position=position.ticket, said=answer)
            said = answer
            left = deadline - self._clock.monotonic()
            await asyncio.sleep(min(pause, left) if left > 0 else pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _position(self, identifier: int) -> Position | None:
        """The position, or None when it is provably not there; waits while the broker does not answer."""
        while True:
            try:
                positions = await self._broker.positions()
            except BrokerError:
                await asyncio.sleep(_POLL_SECONDS)
                continue
            return next((item for item in positions if item.identifier == identifier), None)

    async def _is_closed(self, identifier: int) -> bool:
        try:
            deals = await self._broker.deals_of_position(identifier)
        except BrokerError:
            return False
        opened = sum(deal.volume for deal in deals if deal.entry == 0)
        return opened > 0 and sum(deal.volume for deal in deals if deal.entry != 0) >= opened - 1e-9

    async def _order_quietly(self, request: Mapping[str, Any]) -> str:
        """Send what lowers risk and return what was answered; the position is looked at again in any case."""
        try:
            reply = await self._broker.send(request, epoch=None)
        except BrokerError as error:
            return str(error)
        return f"{reply.retcode} {of_retcode(reply.retcode).name}"

    async def adopt_interrupted(self) -> None:
        """After a restart: what was being executed when the engine died has an unknown outcome."""
        for signal in self._book.unresolved():
            if signal.state is SignalState.EXECUTING:
                await self._unknown(signal, "the engine stopped while this order was in flight")

    async def reconcile(self, *, connected: bool) -> None:
        """Look for each unknown order at the broker once; `connected`: whether its absence would mean anything now."""
        for signal in self._book.unresolved():
            if signal.state is SignalState.UNKNOWN:
                await self._reconcile(signal, connected=connected)

    async def _reconcile(self, signal: Signal, *, connected: bool) -> None:
        try:
            evidence = await self._search(_intent(signal))
        except BrokerError:
            self._absent_since.pop(signal.id, None)
            return
        if evidence is not None and evidence.deals:
            self._absent_since.pop(signal.id, None)
            spec = self._specs.known(signal.symbol)
            await self._filled(signal, spec, None, evidence.order, evidence.deals)
            return
        if evidence is not None and evidence.working:
            self._absent_since.pop(signal.id, None)
            return
        if not connected:
            self._absent_since.pop(signal.id, None)
            return
        now = self._clock.monotonic()
        since = self._absent_since.setdefault(signal.id, now)
        if now - since >= self._settle_seconds and not signal.presumed_absent:
            await self._book.step(
                signal,
                SignalState.UNKNOWN,
                EventType.TRADE_PRESUMED_ABSENT,
                reason=f"not seen at the connected broker for {self._settle_seconds:.0f} s: presumed absent",
            )

    async def _search(self, intent: Intent) -> Evidence | None:
        """Look among orders, positions, finished orders and deals. Raises BrokerError when one cannot be read."""
        start, end = max(0, intent.server_time - _DAY), max(0, intent.server_time) + 2 * _DAY
        orders = await self._broker.orders()
        positions = await self._broker.positions()
        finished = await self._broker.history_orders_between(start, end)
        deals = await self._broker.deals_between(start, end)
        held = next((item.identifier for item in positions if item.magic == intent.magic), None)
        if held is not None:
            # Found whatever the quote's time was, from which the window of the history was reckoned.
            deals = await self._broker.deals_of_position(held)
        ours = tuple(deal for deal in _trades(deals) if deal.magic == intent.magic and deal.entry == 0)
        if ours:
            return Evidence(ours[0].order, ours, working=False)
        working = any(order.magic == intent.magic for order in orders)
        working = working or held is not None
        seen = [order.ticket for order in finished if order.magic == intent.magic]
        if working or seen:
            return Evidence(seen[0] if seen else 0, (), working=working)
        return None


def _trades(deals: tuple[Deal, ...]) -> tuple[Deal, ...]:
    """Without what is booked beside a trade: a charge is a deal of its own at some brokers, of no volume."""
    return tuple(deal for deal in deals if deal.type in (DealType.BUY, DealType.SELL) and deal.volume > 0)


def _intent(signal: Signal) -> Intent:
    if signal.intent is None:
        raise AssertionError(f"signal {signal.id} is {signal.state} without an intent")
    return signal.intent


def _milliseconds(span: Any) -> float:
    return round(float(span.total_seconds()) * 1000, 3)
