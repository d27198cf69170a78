"""The queue of signals: taken in once, decided once, expired in time, claimed once for execution.

In: proposals, an operator's decisions, the outcomes of execution. Out: events; the signals as they stand. A step is
shown only after the journal has it, so a refused step leaves no trace here either.
"""

import json
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from engine.broker.base import Side
from engine.clock import iso
from engine.events import EventType
from engine.journal import Conflict
from engine.recorder import Recorder
from engine.signals import OPEN_STATES, TRANSITIONS, UNRESOLVED_STATES, EntryType, Intent, Signal, SignalState

_SELECT = (
    "SELECT id, version, state, proposal, approved_at, intent, reason, presumed_absent, filled FROM signals"
    " WHERE account = ?1 AND (id = ?2 OR state IN (SELECT value FROM json_each(?3))) ORDER BY rowid"
)
"""One signal by its id, or all in some states."""


class Refused(Exception):
    """A request that the engine will not carry out; the message says which rule, and what is right."""


class SignalBook:
    """The open signals of one account.

    Expiry runs on the monotonic clock: a signal taken in by this run cannot live longer because somebody set the
    machine's clock back. After a restart the remaining time comes from UTC.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._signals: dict[str, Signal] = {}
        self._deadlines: dict[str, float] = {}

    async def load(self) -> None:
        """Take up the account's open signals from the journal's tables."""
        rows = await self._recorder.journal.query(
            _SELECT, (self._recorder.account, "", json.dumps(sorted(OPEN_STATES)))
        )
        for row in rows:
            self._keep(_from_row(self._recorder.account, row))

    def all(self) -> list[Signal]:
        """Every open signal, oldest first."""
        return list(self._signals.values())

    def pending(self) -> list[Signal]:
        """Those that wait for a decision, oldest first."""
        return [signal for signal in self._signals.values() if signal.state is SignalState.PENDING]

    def approved(self, limit: int) -> list[Signal]:
        """The oldest approved ones, at most `limit`."""
        waiting = (signal for signal in self._signals.values() if signal.state is SignalState.APPROVED)
        return [signal for signal, _ in zip(waiting, range(limit), strict=False)]

    def working(self) -> list[Signal]:
        """Those whose limit or stop order stands at the broker."""
        return [signal for signal in self._signals.values() if signal.state is SignalState.WORKING]

    async def finished(self, signal_id: str) -> Signal | None:
        """A signal that is not open any more, from the journal; None when there is none by that id."""
        rows = await self._recorder.journal.query(_SELECT, (self._recorder.account, signal_id, "[]"))
        return _from_row(self._recorder.account, rows[0]) if rows and signal_id not in self._signals else None

    def unresolved(self) -> list[Signal]:
        """Those whose order may be at the broker without our knowing."""
        return [signal for signal in self._signals.values() if signal.state in UNRESOLVED_STATES]

    def get(self, signal_id: str) -> Signal:
        """One open signal. Raises Refused when there is none by that id."""
        try:
            return self._signals[signal_id]
        except KeyError:
            raise Refused(f"no open signal {signal_id!r}: it was never there, or it is finished") from None

    def seconds_left(self, signal: Signal) -> float:
        """Seconds until it expires; 0 when it has, or when it is no longer open."""
        deadline = self._deadlines.get(signal.id)
        return 0.0 if deadline is None else max(0.0, deadline - self._recorder.clock.monotonic())

    async def add(self, signal: Signal) -> Signal:
        """Take in a new PENDING signal."""
        await self._recorder.record(
            EventType.SIGNAL_RECEIVED,
            signal=signal.id,
            symbol=signal.symbol,
            side=signal.side,
            volume=signal.volume,
            entry=signal.entry,
            sl=signal.sl,
            tp=signal.tp,
            source=signal.source,
            note=signal.note,
            created_at=iso(signal.created_at),
            expires_at=iso(signal.expires_at),
            order_type=signal.type,
            risk_percent=signal.risk_percent,
            order_seconds=signal.order_seconds,
        )
        return self._keep(signal)

    async def approve(self, signal_id: str, version: int, **who: str) -> Signal:
        """Approve a pending signal at the version the operator saw. Raises Refused."""
        signal = self._decidable(signal_id, version, SignalState.PENDING)
        if self.seconds_left(signal) <= 0:
            raise Refused(f"signal {signal_id} has expired")
        return await self.step(signal, SignalState.APPROVED, EventType.SIGNAL_APPROVED, **who)

    async def reject(self, signal_id: str, version: int, reason: str, **who: str) -> Signal:
        """Reject a pending signal, or settle an unknown outcome that is presumed absent. Raises Refused."""
        signal = self.get(signal_id)
        if signal.state is SignalState.UNKNOWN:
            signal = self._decidable(signal_id, version, SignalState.UNKNOWN)
            if not signal.presumed_absent:
                raise Refused(f"signal {signal_id}: its order may still appear at the broker; wait until it is settled")
            why = f"the operator settled it as absent: {reason}"
            return await self.step(signal, SignalState.FAILED, EventType.TRADE_FAILED, reason=why, **who)
        signal = self._decidable(signal_id, version, SignalState.PENDING)
        return await self.step(signal, SignalState.REJECTED, EventType.SIGNAL_REJECTED, reason=reason, **who)

    async def expire_due(self) -> None:
        """Expire what has run out of time."""
        for signal in self.all():
            if signal.state in (SignalState.PENDING, SignalState.APPROVED) and self.seconds_left(signal) <= 0:
                await self.step(signal, SignalState.EXPIRED, EventType.SIGNAL_EXPIRED, reason="its time ran out")

    async def claim(self, signal: Signal, intent: Intent) -> Signal:
        """Claim an approved signal for execution, with what will be sent. Raises Refused; then nothing may be sent."""
        if self.seconds_left(signal) <= 0:
            raise Refused(f"signal {signal.id} has expired")
        return await self.step(signal, SignalState.EXECUTING, EventType.SIGNAL_EXECUTING, intent=intent_to_json(intent))

    async def step(self, signal: Signal, state: SignalState, event_type: EventType, **metadata: Any) -> Signal:
        """Move a signal on, by one conditional update in the journal. Raises Refused when it has moved meanwhile."""
        presumed = event_type is EventType.TRADE_PRESUMED_ABSENT
        if state not in TRANSITIONS[signal.state] and not presumed:
            raise Refused(f"signal {signal.id} is {signal.state} and cannot become {state}")
        try:
            event = await self._recorder.record(
                event_type,
                signal=signal.id,
                symbol=signal.symbol,
                state=state,
                version=signal.version,
                **{"from": signal.state},
                **metadata,
            )
        except Conflict as conflict:
            raise Refused(
                f"signal {signal.id} was not {signal.state} at version {signal.version} any more, had expired, or the"
                " engine was not RUNNING"
            ) from conflict
        intent = metadata.get("intent")
        return self._keep(
            replace(
                signal,
                state=state,
                version=signal.version + 1,
                reason=str(metadata.get("reason", "")),
                approved_at=event.timestamp if state is SignalState.APPROVED else signal.approved_at,
                intent=intent_from_json(intent) if intent else signal.intent,
                presumed_absent=presumed or signal.presumed_absent,
                filled=metadata["volume"] if event_type is EventType.TRADE_EXECUTED else signal.filled,
            )
        )

    def _decidable(self, signal_id: str, version: int, state: SignalState) -> Signal:
        signal = self.get(signal_id)
        if signal.state is not state:
            raise Refused(f"signal {signal_id} is {signal.state}, not {state}")
        if signal.version != version:
            raise Refused(f"signal {signal_id} is at version {signal.version}, you saw {version}: look again")
        return signal

    def _keep(self, signal: Signal) -> Signal:
        if signal.state in OPEN_STATES:
            self._signals[signal.id] = signal
            if signal.id not in self._deadlines:
                clock = self._recorder.clock
                left = (signal.expires_at - clock.utc()).total_seconds()
                self._deadlines[signal.id] = clock.monotonic() + left
        else:
            self._signals.pop(signal.id, None)
            self._deadlines.pop(signal.id, None)
        return signal


def expiry(now: datetime, seconds: float) -> datetime:
    """When a signal of `seconds` of life expires."""
    return now + timedelta(seconds=seconds)


def intent_to_json(intent: Intent) -> dict[str, Any]:
    """An intent as the journal keeps it."""
    return {**asdict(intent), "sent_at": iso(intent.sent_at), "magic": str(intent.magic)}


def intent_from_json(stored: dict[str, Any]) -> Intent:
    """The intent that `intent_to_json` wrote."""
    return Intent(
        **{
            **stored,
            "sent_at": datetime.fromisoformat(stored["sent_at"]),
            "magic": int(stored["magic"]),
            "side": Side(stored["side"]),
            "type": EntryType(stored.get("type", EntryType.MARKET)),
        }
    )


def _from_row(account: str, row: tuple[Any, ...]) -> Signal:
    signal_id, version, state, proposal_json, approved_at, intent, reason, presumed_absent, filled = row
    proposal = json.loads(proposal_json)
    return Signal(
        id=signal_id,
        account=account,
        version=version,
        state=SignalState(state),
        symbol=proposal["symbol"],
        side=Side(proposal["side"]),
        volume=proposal["volume"],
        entry=proposal["entry"],
        sl=proposal["sl"],
        tp=proposal["tp"],
        source=proposal["source"],
        note=proposal["note"],
        created_at=datetime.fromisoformat(proposal["created_at"]),
        expires_at=datetime.fromisoformat(proposal["expires_at"]),
        type=EntryType(proposal.get("order_type", EntryType.MARKET)),
        risk_percent=proposal.get("risk_percent"),
        order_seconds=proposal.get("order_seconds", 0.0),
        approved_at=datetime.fromisoformat(approved_at) if approved_at else None,
        intent=intent_from_json(json.loads(intent)) if intent else None,
        reason=reason,
        presumed_absent=bool(presumed_absent),
        filled=filled,
    )
