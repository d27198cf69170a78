"""The guard cycle: read the account, judge it, act on the verdict, record. Ten times a second, in every mode.

    sweep -> reading -> verdict -> (everything closed) -> equity, positions, heartbeat

It never waits for the journal, for a console or for a flatten. In a replay at `max` speed the market moves one tick per
completed cycle.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from engine import blindness
from engine.bookkeeping import GAP_SECONDS, Bookkeeper
from engine.broker.base import Broker, BrokerError, Order, Sweep, Tick
from engine.broker.conditions import is_price
from engine.clock import iso
from engine.config import Settings
from engine.events import Draft, EventType
from engine.guarding import Guarding, drawdown_numbers, trip_reason
from engine.guards.base import Facts
from engine.guards.board import Change, Standing
from engine.guards.drawdown import DrawdownGuard, DrawdownState
from engine.heartbeat import HeartbeatMetrics
from engine.keeper import Keeper
from engine.markettime import ClockStep, OffsetChange
from engine.observer import PositionObserver
from engine.readings import NO_READING, AccountReading, Validity, judge
from engine.recorder import Recorder, Spawn
from engine.risk import DRAWDOWN, Risk, Shown
from engine.specs import SpecBook
from engine.underway import Underway

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Quote:
    """The last quote of a symbol and when it last changed, in monotonic seconds."""

    tick: Tick
    changed_at: float


class _HeldDrawdownGuard(DrawdownGuard):
    """The drawdown guard, its state kept with those of all other guards."""

    def __init__(self, risk: Risk, **callables: Any) -> None:
        self._risk = risk
        super().__init__(risk.drawdown, **callables)

    @property
    def state(self) -> DrawdownState:
        """The state now: an operator's reset or a cash flow may have changed it since the last reading."""
        return self._risk.drawdown

    @state.setter
    def state(self, state: DrawdownState) -> None:
        self._risk.drawdown = state


class GuardCycle:
    """Looks at one account and has its guards asked and obeyed.

    `symbols` returns which ticks to read. `flatten` starts closing everything for a reason (or joins what is under
    way), records its cause, and returns how many positions were closed; `close_all` closes what is open and leaves the
    mode. `stands_down` says that the account is being or has been flattened, so that a breach is not news; `step` moves
    a replayed market one tick.
    """

    def __init__(
        self,
        broker: Broker,
        recorder: Recorder,
        observer: PositionObserver,
        settings: Settings,
        risk: Risk,
        books: Bookkeeper,
        keeper: Keeper[Shown],
        underway: Underway,
        specs: SpecBook,
        *,
        account: tuple[int, str],
        symbols: Callable[[], Sequence[str]],
        flatten: Callable[[str, Draft], Awaitable[int]],
        close_all: Callable[[str], Awaitable[None]],
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
        self.risk = risk
        self.books = books
        self._keeper = keeper
        self._underway = underway
        self._specs = specs
        self._account = account
        self._symbols = symbols
        self._counts = counts
        self._step = step
        self.guard = _HeldDrawdownGuard(
            risk,
            read=self._read,
            flatten=lambda tripped: flatten(trip_reason(tripped), self._tripped(tripped)),
        )
        self.guarding = Guarding(
            recorder,
            risk,
            self.guard,
            flatten=flatten,
            close_all=close_all,
            stands_down=stands_down,
            spawn=spawn,
        )
        self.reading: AccountReading = NO_READING
        self.last_valid: AccountReading = NO_READING
        """The last reading that may be believed: what consoles show, with its age."""
        self.last_valid_at = self._clock.monotonic()
        self.sweep: Sweep | None = None
        self.orders: tuple[Order, ...] = ()
        """The standing orders of the last reading that could read them."""
        self.quotes: dict[str, Quote] = {}
        self.facts: Facts | None = None
        """What the guards were last asked about."""
        self._blind_level = 0
        self.guard_error: str | None = None
        self._books_error: str | None = None
        self.heartbeat: HeartbeatMetrics | None = None
        self.heartbeat_at: float | None = None
        self.completed = 0
        """How many cycles this run has completed."""
        self.completed_at: float | None = None
        self.loop_lag_ms = 0.0
        self._evaluated_utc: datetime | None = None
        self._due = self._clock.monotonic()
        self._next_heartbeat = self._clock.monotonic()

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
        self._books_error = None
        try:
            state = await self.guard.check()
        except Exception as error:
            _log.exception("the drawdown guard failed")
            self.guard_error = f"{type(error).__name__}: {error}"
            state = self.guard.state
        else:
            self.guard_error = self._books_error
        changes: list[Change] = []
        if self.guarding.enforce_drawdown(state):
            # The flatten begins before the other guards are asked: they may take some milliseconds.
            await asyncio.sleep(0)
        if self.reading.validity is Validity.VALID:
            try:
                changes = self._valid()
            except Exception as error:
                # Whatever goes wrong beside it, the drawdown guard closes at its limit; entries are blocked.
                _log.exception("a valid reading could not be taken up")
                self.guard_error = self.guard_error or f"{type(error).__name__}: {error}"
        self.guarding.failed(self.guard_error)
        self.watch_blindness()
        self.guarding.act(self.reading, before, state, changes, held=self._something_is_open())
        self.completed += 1
        self.completed_at = self._clock.monotonic()
        if self.completed_at >= self._next_heartbeat:
            self._beat((self.completed_at - started) * 1000)

    async def stop(self) -> None:
        """Let what is being recorded be recorded."""
        await self._keeper.finished()
        await self.observer.finished()

    async def _read(self) -> AccountReading:
        reading, sweep = await self._sweep()
        if reading.validity is Validity.VALID and reading.at - self.last_valid_at > GAP_SECONDS:
            # A day may have begun, and money moved, while nothing was read.
            await self.books.look()
            reading, sweep = await self._sweep()
        self.sweep = sweep
        at = reading.at
        for symbol, tick in sweep.ticks.items():
            known = self.quotes.get(symbol)
            usable = is_price(tick.bid) and is_price(tick.ask)
            if usable and (known is None or known.tick != tick):
                self.quotes[symbol] = Quote(tick, at)
        for change in self.books.market.see(self.quotes):
            self._tell_clock(change)
        if reading.validity is Validity.VALID:
            try:
                reading = self.books.explained(reading)
            except Exception as error:
                # The reading is judged as it is: the drawdown guard closes at its limit; entries are blocked.
                _log.exception("the books failed")
                self._books_error = f"the books: {type(error).__name__}: {error}"
        self.reading = reading
        return reading

    async def _sweep(self) -> tuple[AccountReading, Sweep]:
        at = self._clock.monotonic()
        login, server = self._account
        try:
            sweep = await self._broker.sweep(self._symbols())
        except BrokerError as error:
            sweep = Sweep(None, None, None, None, {}, (error,))
        took = self._clock.monotonic() - at
        stale_after = self._settings.reading.stale_after_seconds
        return judge(sweep, login=login, server=server, at=at, took=took, stale_after=stale_after), sweep

    def _valid(self) -> list[Change]:
        """Take up a VALID reading, ask the board, and return what is otherwise now."""
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
        orders = self.sweep.orders if self.sweep is not None else None
        if orders is not None:
            self.orders = orders
            self.observer.observe_orders(orders)
        if not self.books.market.has_time:
            return []
        self.facts = Facts(
            moment=self.books.market.moment(),
            reading=self.reading,
            before=self.risk.before,
            booked=self.books.booked,
            specs=self._specs.all(),
            quotes={symbol: quote.tick for symbol, quote in self.quotes.items()},
            orders=orders,
            sent=self._underway.look(self.reading.positions, orders, self.reading.at),
        )
        changes = self.risk.step(self.facts)
        if self.risk.has_changed():
            self._keeper.changed()
        return changes

    def _tell_clock(self, change: OffsetChange | ClockStep) -> None:
        """A broker's clock, or this machine's, that was set moves the days of every limit: the operator must know."""
        if isinstance(change, ClockStep):
            self._recorder.urgent_soon(EventType.CLOCK_SET, seconds=change.seconds)
        else:
            self.risk.offset = change.after
            self._keeper.changed()
            self._recorder.urgent_soon(EventType.BROKER_CLOCK_CHANGED, before=change.before, after=change.after)

    def facts_now(self) -> Facts | None:
        """The facts of the last reading, with the time now and what was sent since; None before the first."""
        if self.facts is None:
            return None
        return replace(
            self.facts,
            moment=self.books.market.moment(),
            sent=self._underway.look(self.reading.positions, self.facts.orders, self.facts.reading.at),
        )

    def _something_is_open(self) -> bool:
        return bool(self.reading.positions) or bool(self.orders)

    @property
    def committed_peak(self) -> float:
        """The highest equity that a restart would find again: no other is shown."""
        return self._keeper.durable.peak

    @property
    def standings(self) -> Mapping[str, Standing]:
        """How the guards stand, as far as a restart would find it again."""
        return self._keeper.durable.standings

    @property
    def blind(self) -> bool:
        """Whether no reading has been valid for too long."""
        return self._blind_level > 0

    def watch_blindness(self) -> None:
        """Say so when no reading has been valid for too long, and again as it lasts.

        Asked from outside too: a hung read holds up a cycle.
        """
        age = self._clock.monotonic() - self.last_valid_at
        level = blindness.level(age, self._settings.reading.blind_after_seconds)
        if level > self._blind_level:
            self._recorder.urgent_soon(
                EventType.READING_BLIND, age_seconds=round(age, 3), level=level, reason=self.reading.reason
            )
        elif self._blind_level and not level:
            self._recorder.urgent_soon(EventType.READING_RESTORED)
        self._blind_level = level
        if level and self._settings.reading.blind_action == "flatten" and self._answers():
            self.guarding.flatten_blind(f"no valid reading for {age:.0f} s: {self.reading.reason}")

    def _answers(self) -> bool:
        """Whether the broker answers for this very account, though what it says cannot be believed."""
        sweep = self.sweep
        if sweep is None or sweep.account is None or sweep.terminal is None or sweep.positions is None:
            return False
        same = (sweep.account.login, sweep.account.server) == self._account
        return same and sweep.terminal.connected and bool(sweep.positions or sweep.orders)

    def _tripped(self, state: DrawdownState) -> Draft:
        return self._recorder.draft(
            EventType.GUARD_TRIPPED, guard=DRAWDOWN, validity=self.reading.validity, **drawdown_numbers(state)
        )

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
