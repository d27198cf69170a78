"""Executes one approved signal, once, and says what became of it.

    gate -> price and rules -> order_check -> claim (journalled with what will be sent) -> send -> outcome

Nothing is sent before the claim is durable. A send whose outcome is not known is never repeated: the reconciler looks
for it at the broker. A fill is believed only when the order's deals say so; then the position's stop loss is read back.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from engine.approvals import Refused, SignalBook, intent_to_json
from engine.broker.base import Broker, BrokerError, Deal, SendReply, StaleEpoch, SymbolSpec, Tick
from engine.config import EntrySettings
from engine.entry import send_problem, volume_for_risk
from engine.events import EventType
from engine.evidence import Trace, deals_of, is_whole, opened_volume, search
from engine.orders import drift_points, entry_price, intent_of, opening_request
from engine.outcomes import Outcome, of_error, of_retcode
from engine.protection import Protector
from engine.recorder import Recorder
from engine.signals import TRANSITIONS, EntryType, Intent, Signal, SignalState
from engine.specs import SpecBook
from engine.underway import Underway

MAX_TRIES = 3
_DEALS_SECONDS = 3.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is ready to be sent for a signal, and the quote it was made on."""

    intent: Intent
    request: Mapping[str, Any]
    spec: SymbolSpec
    tick: Tick


class Executor:
    """Executes approved signals on one account.

    `gate` returns why a signal may not be opened now, or None; it is asked before the claim and before each further
    try. `killed` returns why nothing may be opened at all; it is asked immediately before every send. `epoch` returns
    the entry epoch, `equity` the account's equity, `server_time` the broker's clock in seconds by a quote.
    """

    def __init__(
        self,
        broker: Broker,
        specs: SpecBook,
        book: SignalBook,
        recorder: Recorder,
        protector: Protector,
        rules: EntrySettings,
        underway: Underway,
        *,
        gate: Callable[[Signal], str | None],
        killed: Callable[[], str | None],
        epoch: Callable[[], int],
        equity: Callable[[], float],
        server_time: Callable[[Tick], int],
        deviation_points: int,
    ) -> None:
        self._broker = broker
        self._specs = specs
        self._book = book
        self._recorder = recorder
        self._clock = recorder.clock
        self._protector = protector
        self._rules = rules
        self._underway = underway
        self._gate = gate
        self._killed = killed
        self._epoch = epoch
        self._equity = equity
        self._server_time = server_time
        self._deviation = deviation_points

    async def execute(self, signal: Signal) -> Signal:
        """Execute an approved signal and return it as it then stands. Raises BrokerError only before the claim."""
        refusal = self._gate(signal)
        if refusal:
            return await self._block(signal, refusal)
        prepared = await self._prepare(signal, self._epoch())
        if isinstance(prepared, str):
            return await self._block(signal, prepared)
        check = await self._broker.check(prepared.request)
        if check.retcode != 0:
            said = f"order_check: {check.retcode} {of_retcode(check.retcode).name} ({check.comment})"
            return await self._block(signal, said)
        try:
            claimed = await self._book.claim(signal, replace(prepared.intent, sent_at=self._clock.utc()))
        except Refused as refused:
            return await self._block(signal, str(refused))
        done = await self._send(claimed, prepared)
        self._underway.ended(done)
        return done

    async def _prepare(self, signal: Signal, epoch: int) -> Prepared | str:
        """Make what is to be sent from the price now, or say why it may not be. Raises BrokerError."""
        spec = await self._specs.refresh(signal.symbol)
        tick = await self._broker.tick(signal.symbol)
        problem = send_problem(spec, self._rules, signal, tick)
        if problem:
            return problem
        try:
            volume = self._volume(signal, spec, tick)
        except ValueError as unknown:
            return str(unknown)
        if volume <= 0:
            return f"{signal.risk_percent:g} % of the equity at the stop is below the least volume, {spec.volume_min:g}"
        intent = intent_of(
            signal, spec, volume=volume, epoch=epoch, clock=self._clock, server_time=self._server_time(tick)
        )
        request = opening_request(intent, spec, tick, self._deviation, order_seconds=signal.order_seconds)
        if request is None:
            return f"{spec.name} names no filling mode (mask {spec.filling_mode})"
        return Prepared(intent, request, spec, tick)

    def _volume(self, signal: Signal, spec: SymbolSpec, tick: Tick) -> float:
        """What was approved; less when the risk that was asked for is reached earlier at the price and equity now."""
        if signal.risk_percent is None:
            return signal.volume
        entry = entry_price(signal.side, tick) if signal.type is EntryType.MARKET else signal.entry
        return min(signal.volume, volume_for_risk(spec, self._equity(), signal.risk_percent, entry, signal.sl))

    async def _block(self, signal: Signal, reason: str) -> Signal:
        return await self._book.step(signal, SignalState.BLOCKED, EventType.SIGNAL_BLOCKED, reason=reason)

    async def _send(self, signal: Signal, prepared: Prepared) -> Signal:
        for attempt in range(1, MAX_TRIES + 1):
            killed = self._killed()
            if killed is not None:
                return await self._fail(signal, f"not sent: {killed}")
            self._underway.sent(prepared.intent, prepared.intent.price or entry_price(signal.side, prepared.tick))
            try:
                reply = await self._broker.send(prepared.request, epoch=prepared.intent.epoch)
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
                    return await self._confirm(signal, prepared, reply, said)
                case Outcome.UNKNOWN:
                    return await self._unknown(signal, said)
                case Outcome.RETRY if attempt < MAX_TRIES:
                    await asyncio.sleep(meaning.pause * 2 ** (attempt - 1))
                    again = await self._prepare_again(signal, prepared.intent)
                    if isinstance(again, Signal):
                        return again
                    if isinstance(again, str):
                        return await self._fail(signal, f"{said}; not tried again: {again}")
                    prepared = again
                    await self._recorder.record(
                        EventType.ORDER_RETRIED, signal=signal.id, symbol=signal.symbol, attempt=attempt, said=said
                    )
                case _:
                    return await self._fail(signal, said)
        raise AssertionError("the last try always returns")

    async def _prepare_again(self, signal: Signal, intent: Intent) -> Prepared | Signal | str:
        """Make a claimed signal's next try; or say why there is none; or return it with an unknown outcome."""
        try:
            evidence = await search(self._broker, intent, self._clock.utc())
        except BrokerError as error:
            return await self._unknown(signal, f"whether the last try left something cannot be known: {error}")
        if evidence.trace not in (Trace.NOTHING, Trace.DEAD):
            return await self._unknown(
                signal, f"the broker refused it, and yet shows it: {evidence.said or evidence.trace}"
            )
        refusal = self._gate(signal)
        if refusal is None and self._book.seconds_left(signal) <= 0:
            refusal = "its time ran out"
        if refusal:
            return refusal
        try:
            again = await self._prepare(signal, intent.epoch)
        except BrokerError as error:
            return f"the price cannot be read: {error}"
        if isinstance(again, Prepared) and again.intent.volume > intent.volume:
            # The journal holds what may be opened at most.
            volume = intent.volume
            return replace(
                again, intent=replace(again.intent, volume=volume), request={**again.request, "volume": volume}
            )
        return again

    async def _confirm(self, signal: Signal, prepared: Prepared, reply: SendReply, said: str) -> Signal:
        """Believe a fill only when the order's deals say so, and a standing order only when the broker lists it."""
        deadline = self._clock.monotonic() + _DEALS_SECONDS
        pending = prepared.intent.type is not EntryType.MARKET
        while True:
            try:
                if pending:
                    evidence = await search(self._broker, prepared.intent, self._clock.utc())
                    if evidence.trace is Trace.STANDING:
                        return await place(self._book, signal, evidence.order)
                    if evidence.trace is Trace.FILLED:
                        return await self.filled(signal, evidence.order, evidence.deals, prepared)
                elif reply.order:
                    deals = deals_of(prepared.intent, await self._broker.deals_of_order(reply.order))
                    if deals and opened_volume(deals) >= reply.volume - 1e-9:
                        return await self.filled(signal, reply.order, deals, prepared)
            except BrokerError as error:
                said = f"{said}; {error}" if str(error) not in said else said
            if self._clock.monotonic() >= deadline:
                missing = "neither the order nor a deal of it" if pending else f"not all deals of order {reply.order}"
                return await self._unknown(signal, f"{said}, but {missing} appeared within {_DEALS_SECONDS:g} s")
            await asyncio.sleep(_POLL_SECONDS)

    async def filled(
        self, signal: Signal, order: int, deals: tuple[Deal, ...], prepared: Prepared | None = None
    ) -> Signal:
        """Take up what the order's deals say: the stop is read back first, then the fill is recorded.

        A position that the terminal does not list has its stop not read back: the outcome is not known until it does.
        `prepared` is known right after a send; an order found later has no quote to measure its slippage by.
        """
        intent = intent_in(signal)
        now = self._clock.utc()
        volume = opened_volume(deals)
        price = sum(deal.price * deal.volume for deal in deals) / volume
        approved = signal.approved_at or intent.sent_at
        spec = self._specs.known(signal.symbol)
        # Before the record: neither a slow journal nor a crash in between may leave a position without its stop.
        positions = dict.fromkeys(deal.position_id for deal in deals)
        if not all([await self._protector.protect(identifier, intent) for identifier in positions]):
            if SignalState.UNKNOWN not in TRANSITIONS[signal.state]:
                return signal
            said = f"order {order} was filled, but its position is not listed: its stop cannot be read back"
            return await self._unknown(signal, said)
        wanted = intent.price
        if intent.type is EntryType.MARKET:
            wanted = entry_price(intent.side, prepared.tick) if prepared is not None else 0.0
        return await self._book.step(
            signal,
            SignalState.EXECUTED if is_whole(volume, intent) else SignalState.PARTIAL,
            EventType.TRADE_EXECUTED,
            order=order,
            deals=[deal.ticket for deal in deals],
            position=deals[0].position_id,
            side=intent.side,
            volume=volume,
            price=round(price, spec.digits if spec else 8),
            commission=round(sum(deal.commission for deal in deals), 8),
            fee=round(sum(deal.fee for deal in deals), 8),
            slippage_points=round((price - wanted) * intent.side.sign / spec.point, 1) if spec and wanted else None,
            drift_points=round(drift_points(spec, signal, prepared.tick), 1) if spec and prepared else None,
            signal_to_approval_ms=_milliseconds(approved - signal.created_at),
            approval_to_send_ms=_milliseconds(intent.sent_at - approved),
            send_to_fill_ms=_milliseconds(now - intent.sent_at),
        )

    async def _fail(self, signal: Signal, reason: str) -> Signal:
        return await self._book.step(signal, SignalState.FAILED, EventType.TRADE_FAILED, reason=reason)

    async def _unknown(self, signal: Signal, reason: str) -> Signal:
        return await self._book.step(signal, SignalState.UNKNOWN, EventType.TRADE_UNKNOWN, reason=reason)


async def place(book: SignalBook, signal: Signal, order: int) -> Signal:
    """Record that a signal's limit or stop order stands at the broker."""
    intent = replace(intent_in(signal), order=order)
    return await book.step(
        signal, SignalState.WORKING, EventType.ORDER_PLACED, order=order, intent=intent_to_json(intent)
    )


def intent_in(signal: Signal) -> Intent:
    """The intent of a signal that has been claimed."""
    if signal.intent is None:
        raise AssertionError(f"signal {signal.id} is {signal.state} without an intent")
    return signal.intent


def _milliseconds(span: timedelta) -> float:
    return round(span.total_seconds() * 1000, 3)
