"""The guard cycle: read the account, judge it, act on the verdict, record. Ten times a second, in every mode.

    sweep -> reading -> verdict -> (everything closed) -> equity, positions, heartbeat

It never waits for the journal, for a console or for a flatten. In a replay at `max` speed the market moves one tick per
completed cycle.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from engine.broker.base import Broker, BrokerError, Order, Sweep, Tick
from engine.clock import iso
from engine.config import Settings
from engine.events import Draft, EventType
from engine.guards.base import Verdict
from engine.guards.drawdown import DrawdownCapExceededError, DrawdownGuard, DrawdownState
from engine.heartbeat import HeartbeatMetrics
from engine.journal import JournalError
from engine.observer import PositionObserver
from engine.readings import NO_READING, AccountReading, Validity, judge
from engine.recorder import Recorder, Spawn

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Quote:
    """The last quote of a symbol and when it last changed, in monotonic seconds."""

    tick: Tick
    changed_at: float


class GuardCycle:
    """Looks at one account and has its guard enforced.

    `symbols` returns which ticks to read. `flatten` starts closing everything for a reason (or joins what is under
    way), records its cause, and returns how many positions were closed. `stands_down` says that the account is being or
    has been flattened, so that a breach is not news; `step` moves a replayed market one tick.
    """

    def __init__(
        self,
        broker: Broker,
        recorder: Recorder,
        observer: PositionObserver,
        settings: Settings,
        *,
        account: tuple[int, str],
        state: DrawdownState,
        symbols: Callable[[], Sequence[str]],
        flatten: Callable[[str, Draft], Awaitable[int]],
        stands_down: Callable[[], bool],
        counts: Callable[[], dict[str, int]],
        spawn: Spawn,
        step: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._broker = broker
        self._recorder = recorder
        self._clock = recorder.clock
        self.observer = observer
        self._settings = settings
        self._account = account
        self._symbols = symbols
        self._stands_down = stands_down
        self._counts = counts
        self._spawn = spawn
        self._step = step
        self.guard = DrawdownGuard(
            state, read=self._read, flatten=lambda tripped: flatten(_trip_reason(tripped), self._tripped(tripped))
        )
        self.reading: AccountReading = NO_READING
        self.last_valid: AccountReading = NO_READING
        """The last reading that may be believed: what consoles show, with its age."""
        self.last_valid_at = self._clock.monotonic()
        self.sweep: Sweep | None = None
        self.orders: tuple[Order, ...] = ()
        """The standing orders of the last reading that could read them."""
        self.quotes: dict[str, Quote] = {}
        self.blind = False
        self.guard_error: str | None = None
        self.committed_peak = state.peak
        self.peak_key = ""
        self.heartbeat: HeartbeatMetrics | None = None
        self.heartbeat_at: float | None = None
        self.completed_at: float | None = None
        self.loop_lag_ms = 0.0
        self._evaluated_utc: datetime | None = None
        self._due = self._clock.monotonic()
        self._next_heartbeat = self._clock.monotonic()
        self._enforcing: asyncio.Task[None] | None = None
        self._peak_writing: asyncio.Task[None] | None = None

    @property
    def known_positions(self) -> frozenset[int]:
        """The identifiers of the positions last seen."""
        return self.observer.known

    async def run_once_and_wait(self) -> None:
        """One cycle, then the rest of its interval (or, in a replay at `max` speed, one tick of the market)."""
        started = self._clock.monotonic()
        self.loop_lag_ms = max(0.0, started - self._due) * 1000
        await self.once()
        if self._step is not None:
            await self._step()
            self._due = self._clock.monotonic()
            return
        self._due = max(self._due + self._settings.reading.interval_seconds, self._clock.monotonic())
        await asyncio.sleep(self._due - self._clock.monotonic())

    async def once(self) -> None:
        """One whole cycle. A cycle completes with any verdict, and with a broker that does not answer."""
        started = self._clock.monotonic()
        before = self.guard.state
        try:
            state = await self.guard.check()
        except Exception as error:
            _log.exception("the drawdown guard failed")
            self._guard_failed(f"{type(error).__name__}: {error}")
            state = self.guard.state
        else:
            self.guard_error = None
        if self.reading.validity is Validity.VALID:
            self._valid(state)
        self.watch_blindness()
        self._act_on(before, state)
        self.completed_at = self._clock.monotonic()
        if self.completed_at >= self._next_heartbeat:
            self._beat((self.completed_at - started) * 1000)

    async def stop(self) -> None:
        """Let what is being recorded be recorded."""
        if self._peak_writing is not None:
            await self._peak_writing
        await self.observer.finished()

    async def _read(self) -> AccountReading:
        at = self._clock.monotonic()
        login, server = self._account
        try:
            sweep = await self._broker.sweep(self._symbols())
        except BrokerError as error:
            sweep = Sweep(None, None, None, None, {}, (error,))
        self.sweep = sweep
        self.reading = judge(sweep, login=login, server=server, at=at)
        for symbol, tick in sweep.ticks.items():
            known = self.quotes.get(symbol)
            usable = math.isfinite(tick.bid) and math.isfinite(tick.ask) and tick.bid > 0 and tick.ask > 0
            if usable and (known is None or known.tick != tick):
                self.quotes[symbol] = Quote(tick, at)
        return self.reading

    def _valid(self, state: DrawdownState) -> None:
        shown = self.last_valid.positions if self.reading.positions is None else self.reading.positions
        self.last_valid = replace(self.reading, positions=shown)
        self.last_valid_at = self.reading.at
        self._evaluated_utc = self._clock.utc()
        equity = self.reading.equity
        self._recorder.journal.record_equity(
            self._recorder.account, int(self._evaluated_utc.timestamp()), equity, equity, equity
        )
        if self.reading.positions is not None:
            self.observer.observe(self.reading.positions)
        if self.sweep is not None and self.sweep.orders is not None:
            self.orders = self.sweep.orders
            self.observer.observe_orders(self.orders)
        if state.peak > self.committed_peak and (self._peak_writing is None or self._peak_writing.done()):
            self._peak_writing = self._spawn(self._commit_peak(state.peak))

    async def _commit_peak(self, peak: float) -> None:
        """A peak is shown only when a restart would find it again."""
        key = self.peak_key
        try:
            await self._recorder.journal.set_value(self._recorder.account, key, repr(peak))
        except JournalError as error:
            _log.error("the peak %s is not durable: %s", peak, error)
            return
        if key == self.peak_key:
            self.committed_peak = peak

    def rebase(self, peak: float, key: str) -> None:
        """Begin again from a new baseline, as an operator's reset does. `key` names it in the journal's values."""
        self.guard.state = replace(
            self.guard.state, peak=peak, equity=peak, verdict=Verdict.CLEAR, breaches=0, breach_since=0.0
        )
        self.peak_key = key
        self.committed_peak = peak

    def watch_blindness(self) -> None:
        """Say so when no reading has been valid for too long. Asked from outside too: a hung read holds up a cycle."""
        age = self._clock.monotonic() - self.last_valid_at
        blind = age > self._settings.reading.blind_after_seconds
        if blind and not self.blind:
            self._recorder.urgent_soon(EventType.READING_BLIND, age_seconds=round(age, 3), reason=self.reading.reason)
        elif self.blind and not blind:
            self._recorder.urgent_soon(EventType.READING_RESTORED)
        self.blind = blind

    def _guard_failed(self, said: str) -> None:
        if self.guard_error != said:
            self._recorder.urgent_soon(EventType.GUARD_ERROR, guard="drawdown", said=said)
        self.guard_error = said

    def _act_on(self, before: DrawdownState, state: DrawdownState) -> None:
        if state.verdict is Verdict.FLATTEN:
            if not self._stands_down():
                self._trip()
        elif state.verdict is not before.verdict:
            kind = {Verdict.WARN: EventType.GUARD_WARN, Verdict.BLOCK: EventType.GUARD_WARN}.get(
                state.verdict, EventType.GUARD_CLEARED
            )
            self._recorder.urgent_soon(kind, guard="drawdown", verdict=state.verdict, **_numbers(state))

    def _trip(self) -> None:
        if self._enforcing is not None and not self._enforcing.done():
            return
        self._enforcing = self._spawn(self._enforce())

    def _tripped(self, state: DrawdownState) -> Draft:
        return self._recorder.draft(
            EventType.GUARD_TRIPPED, guard="drawdown", validity=self.reading.validity, **_numbers(state)
        )

    async def _enforce(self) -> None:
        try:
            await self.guard.enforce()
        except DrawdownCapExceededError as exceeded:
            _log.warning("%s", exceeded)

    def _beat(self, duration_ms: float) -> None:
        self._next_heartbeat = self._clock.monotonic() + self._settings.loop.heartbeat_seconds
        self.heartbeat_at = self._clock.monotonic()
        counts = self._counts()
        self.heartbeat = HeartbeatMetrics(
            timestamp=self._clock.utc(),
            loop_id=self._recorder.loop_id,
            signals_processed=counts["signals_processed"],
            trades_executed=counts["trades_executed"],
            error_count=counts["error_count"],
            loop_duration_ms=round(duration_ms, 3),
            positions_open=len(self.reading.positions or ()),
            account_equity=self.guard.state.equity,
            total_signals_lifetime=counts["total_signals_lifetime"],
            total_trades_lifetime=counts["total_trades_lifetime"],
            guard_evaluated_at=self._evaluated_utc,
            reading_validity=self.reading.validity,
            loop_lag_ms=round(self.loop_lag_ms, 3),
        )
        beat = self.heartbeat
        self._recorder.urgent_soon(
            EventType.HEARTBEAT,
            **{
                name: getattr(beat, name)
                for name in HeartbeatMetrics.__dataclass_fields__
                if name not in ("timestamp", "loop_id", "guard_evaluated_at")
            },
            guard_evaluated_at=iso(beat.guard_evaluated_at) if beat.guard_evaluated_at else None,
        )


def _numbers(state: DrawdownState) -> dict[str, float]:
    return {
        "equity": state.equity,
        "peak": state.peak,
        "floor": state.floor,
        "percent": round(state.percent, 6),
        "limit_percent": state.limit_percent,
    }


def _trip_reason(state: DrawdownState) -> str:
    return (
        f"drawdown {state.percent:.2f} % reached the limit of {state.limit_percent:g} %"
        f" (equity {state.equity:.2f}, peak {state.peak:.2f})"
    )
