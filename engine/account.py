"""One account's engine: its parts put together, its mode, its flatten, and the order in which it starts and stops.

In: a broker, a journal, settings. Out: a running guard cycle and trading loop, and what the control API needs. It knows
no process, no socket and no paper terminal: those are `app.py`'s.
"""

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from engine.approvals import Refused, SignalBook
from engine.broker.base import Account, Broker, BrokerError, MarginMode, Sweep, Tick
from engine.clock import Clock
from engine.closedown import Closedown
from engine.config import Settings
from engine.cycle import GuardCycle
from engine.events import Draft, EventType
from engine.execution import Executor
from engine.flatten import FlattenReport
from engine.gate import EntryGate
from engine.guards.drawdown import DrawdownState
from engine.intake.proposals import Proposal, Proposals
from engine.journal import Journal, JournalError
from engine.loop import TradingLoop
from engine.modes import Modes
from engine.observer import PositionObserver
from engine.protection import Protector
from engine.readings import Validity, judge
from engine.reconcile import Reconciler
from engine.recorder import Recorder
from engine.scope import NOTHING_LEFT, LeftOpen
from engine.specs import SpecBook
from engine.state import AccountState, EngineMode

_log = logging.getLogger(__name__)
HOUSEKEEPING_SECONDS = 0.25
_SPECS_SECONDS = 10.0
_RECONCILE_SECONDS = 2.0
_FIRST_READING_SECONDS = 30.0


class UnsupportedAccount(Exception):
    """An account that this engine will not trade, and why."""


class AccountEngine:
    """The engine of one account.

    `strategy` is asked for proposals on every new quote; `step` moves a replayed market one tick per guard cycle;
    `market_finished` says that a replay has ended.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        broker: Broker,
        journal: Journal,
        clock: Clock,
        randomness: random.Random,
        loop_id: str,
        account: Account,
        watched: tuple[str, ...] = (),
        strategy: Callable[["AccountEngine"], list[Proposal]] | None = None,
        step: Callable[[], Awaitable[None]] | None = None,
        market_finished: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings = settings
        self.broker = broker
        self.journal = journal
        self.clock = clock
        self.randomness = randomness
        self.account = account
        self.key = f"{account.login}@{account.server}"
        self.recorder = Recorder(journal, clock, loop_id, self.key)
        self.specs = SpecBook(broker)
        self.book = SignalBook(self.recorder)
        self.proposals = Proposals(
            self.book, self.specs, broker, self.recorder, randomness, settings.entry, self.believed_equity
        )
        self.modes = Modes(AccountState(self.key, EngineMode.STARTING, 0, "", 0, account.equity), broker, self.recorder)
        self.closedown = Closedown(
            broker,
            self.specs,
            self.book,
            self.modes,
            self.recorder,
            randomness,
            settings,
            account=account,
            cycle=lambda: self.cycle,
            spawn=self.spawn,
        )
        self.closer = self.closedown.closer
        self.closings = self.closedown.jobs
        self.flattener = self.closedown.flattener
        protector = Protector(broker, self.specs, self.recorder, deviation_points=settings.loop.deviation_points)
        self.executor = Executor(
            broker,
            self.specs,
            self.book,
            self.recorder,
            protector,
            settings.entry,
            gate=lambda signal: self.gate.signal_refusal(signal),
            epoch=lambda: self.modes.epoch,
            equity=self.believed_equity,
            server_time=self.server_time,
            deviation_points=settings.loop.deviation_points,
        )
        self.reconciler = Reconciler(
            broker,
            self.book,
            self.executor,
            protector,
            self.recorder,
            settle_seconds=settings.loop.settle_seconds,
            note_deals=lambda deals: self.cycle.observer.note_deals(deals),
        )
        self.gate = EntryGate(
            self.modes,
            journal,
            clock,
            settings,
            self.specs,
            self.reconciler,
            lambda: self.cycle,
            nets=account.margin_mode is not MarginMode.HEDGING,
            closing=self.closings.blocks_entry,
            market_finished=market_finished,
        )
        self.loop = TradingLoop(
            self.book,
            self.executor,
            self.recorder,
            spawn=self.spawn,
            batch_size=settings.loop.batch_size,
            flatten=lambda reason: self.flatten(reason),
        )
        self.cycle: GuardCycle
        self.market_finished = market_finished
        self.stop_requested = asyncio.Event()
        self._watched = watched
        self._strategy = strategy
        self._step = step
        self._lifetime = {"total_signals_lifetime": 0, "total_trades_lifetime": 0}
        self._group: asyncio.TaskGroup

    # starting and stopping

    async def run(self, *, ready: Callable[[], Awaitable[None]] | None = None) -> None:
        """Start, go round until `stop_requested`, stop. A bug in any part ends this with that bug."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await self._restore()
            cycling = group.create_task(self._cycle_forever(), name="guard cycle")
            housekeeping = group.create_task(self._housekeep(), name="housekeeping")
            watching = group.create_task(self._watch(), name="blindness")
            comparing = group.create_task(self._compare(), name="reconciliation")
            await self.loop.start()
            if ready is not None:
                await ready()
            await self.stop_requested.wait()
            await self.loop.stop()
            housekeeping.cancel()
            watching.cancel()
            comparing.cancel()
            cycling.cancel()
            self.closedown.stop()
            await self.cycle.stop()
            await self.recorder.urgent(self.recorder.draft(EventType.ENGINE_STOPPED))
            await self.recorder.drained()

    async def _restore(self) -> None:
        """Take up the account's state from the journal, compare with the broker, and go on where it was left."""
        state = await self._stored_state()
        if state is None:
            # Another account than the one this journal knows is no fresh start: the terminal may be on the wrong one.
            fresh = self.settings.is_paper and not await self.journal.query("SELECT 1 FROM account_state LIMIT 1")
            mode = EngineMode.RUNNING if fresh else EngineMode.PAUSED
            equity = await self._first_equity()
            await self.recorder.record(EventType.ACCOUNT_OPENED, mode=mode, equity=equity)
            state = await self._stored_state()
            if state is None:
                raise AssertionError("the account that was just opened is not in the journal")
        await self.broker.raise_epoch(state.epoch)
        self.modes.reconciling(state)
        await self.book.load()
        await self.closedown.restore()
        await self._count_lifetime()
        values = await self.journal.get_values(self.key)
        key = _peak_key(state.baseline_seq)
        peak = max(state.baseline_equity, float(values.get(key, "0")))
        self.cycle = GuardCycle(
            self.broker,
            self.recorder,
            PositionObserver(
                self.broker,
                self.recorder,
                self.spawn,
                values.get(PositionObserver.KEY),
                "adopt" if self.settings.account.foreign == "adopt" else "watch",
            ),
            self.settings,
            account=(self.account.login, self.account.server),
            state=DrawdownState(
                limit_percent=self.settings.drawdown.limit_percent,
                warn_at=self.settings.drawdown.warn_at,
                peak=peak,
                equity=self.account.equity if math.isfinite(self.account.equity) else peak,
            ),
            symbols=self.symbols,
            flatten=self._flatten_for_guard,
            stands_down=lambda: self.modes.mode in (EngineMode.FLATTENING, EngineMode.HALTED),
            counts=self._counts,
            spawn=self.spawn,
            step=self._step,
        )
        self.cycle.rebase(peak, key)
        self.recorder.urgent_soon(
            EventType.ENGINE_STARTED, mode=state.mode, epoch=state.epoch, peak=peak, open_signals=len(self.book.all())
        )
        try:
            await self.reconciler.adopt_interrupted()
            looked_at = values.get(Reconciler.KEY)
            self.reconciler.restore(looked_at, await self._first_server_time())
            if looked_at is None:
                await self.reconciler.look_at_deals()
        except JournalError as error:
            # A full disk blocks entries; it must not keep the guard and a flatten from going on.
            _log.error("%s", error)
        await self.specs.refresh_all(list(self.symbols()))
        self.modes.reconciled()
        if state.mode is EngineMode.FLATTENING:
            self.closedown.start(self._group, state.halt_reason, None, self.closedown.left_open)
        self.closings.resume()

    async def _first_equity(self) -> float:
        """The equity from which a new account's peak is measured: from a reading that may be believed, no other."""
        deadline = self.clock.monotonic() + _FIRST_READING_SECONDS
        while True:
            at = self.clock.monotonic()
            try:
                sweep = await self.broker.sweep(())
            except BrokerError as error:
                sweep = Sweep(None, None, None, None, {}, (error,))
            reading = judge(sweep, login=self.account.login, server=self.account.server, at=at)
            if reading.validity is Validity.VALID:
                return reading.equity
            if at >= deadline:
                raise UnsupportedAccount(f"account {self.key} is new here and cannot be believed: {reading.reason}")
            await asyncio.sleep(self.settings.reading.interval_seconds)

    async def _stored_state(self) -> AccountState | None:
        rows = await self.journal.query(
            "SELECT mode, epoch, halt_reason, baseline_seq, baseline_equity FROM account_state WHERE account = ?",
            (self.key,),
        )
        return AccountState(self.key, EngineMode(rows[0][0]), *rows[0][1:]) if rows else None

    async def _count_lifetime(self) -> None:
        rows = await self.journal.query(
            "SELECT count(*), coalesce(sum(state IN ('EXECUTED', 'PARTIAL')), 0) FROM signals WHERE account = ?",
            (self.key,),
        )
        signals, trades = rows[0]
        self._lifetime = {"total_signals_lifetime": signals, "total_trades_lifetime": trades}

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start a task whose failure ends the engine."""
        try:
            return self._group.create_task(work)
        except RuntimeError:
            # The engine is ending: what it would still begin is not begun.
            work.close()
            raise

    # what goes on all the time

    async def _cycle_forever(self) -> None:
        while True:
            await self.cycle.run_once_and_wait()
            if self.modes.mode is EngineMode.HALTED and self.closedown.something_is_open():
                why = f"positions or orders appeared while halted: {self.modes.state.halt_reason}"
                self.flatten(why, leave=self.closedown.left_open)

    async def _watch(self) -> None:
        """Looks for blindness while a read hangs: whatever else is done here may wait for that read."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            self.cycle.watch_blindness()

    async def _housekeep(self) -> None:
        while True:
            try:
                await self.book.expire_due()
                await self._ask_strategy()
            except (Refused, JournalError) as refusal:
                # Refused: a signal moved on by itself. A failed journal is shown and blocks entries; guards go on.
                _log.warning("%s", refusal)
            await asyncio.sleep(HOUSEKEEPING_SECONDS)

    async def _compare(self) -> None:
        """Hold the journal against the broker: on every reconnect, when an order of ours changes, and all the time."""
        specs_due = reconcile_due = deals_due = 0.0
        was_connected = False
        while True:
            now = self.clock.monotonic()
            connected = self.cycle.reading.validity is Validity.VALID
            reconnected = connected and not was_connected
            was_connected = connected
            try:
                if now >= reconcile_due or reconnected or self._order_of_ours_changed():
                    reconcile_due = now + _RECONCILE_SECONDS
                    await self.reconciler.reconcile(connected=connected)
                    await self.closedown.look_after()
                if connected and (now >= deals_due or reconnected):
                    deals_due = now + self.settings.loop.reconcile_seconds
                    await self.reconciler.look_at_deals()
            except (Refused, JournalError) as refusal:
                _log.warning("%s", refusal)
            missing = [name for name in self.symbols() if self.specs.known(name) is None]
            if now >= specs_due:
                specs_due = now + _SPECS_SECONDS
                missing = list(self.symbols())
            for error in await self.specs.refresh_all(missing):
                _log.warning("%s", error)
            await asyncio.sleep(HOUSEKEEPING_SECONDS)

    def _order_of_ours_changed(self) -> bool:
        sweep = self.cycle.sweep
        readable = sweep is not None and self.cycle.reading.validity is Validity.VALID and sweep.orders is not None
        return readable and sweep is not None and self.reconciler.missing(sweep.orders or ())

    async def _first_server_time(self) -> int:
        """The broker's clock now, in seconds, by the newest quote of what is watched; this machine's where none is."""
        quoted = []
        for symbol in self._watched:
            try:
                quoted.append((await self.broker.tick(symbol)).time_msc // 1000)
            except BrokerError as error:
                _log.warning("%s", error)
        return max(quoted, default=int(self.clock.utc().timestamp()))

    def server_time(self, tick: Tick) -> int:
        """The broker's clock now, in seconds: the quote's own time and how long it has not changed."""
        quote = self.cycle.quotes.get(tick.symbol)
        unchanged = quote is not None and quote.tick.time_msc == tick.time_msc
        age = self.clock.monotonic() - quote.changed_at if quote is not None and unchanged else 0.0
        return int(tick.time_msc / 1000 + age)

    def believed_equity(self) -> float:
        """The equity by the last reading that may be believed, in account currency."""
        return self.cycle.guard.state.equity

    async def _ask_strategy(self) -> None:
        if self._strategy is None or self.modes.mode is not EngineMode.RUNNING:
            return
        for proposal in self._strategy(self):
            await self.proposals.take(proposal)

    def symbols(self) -> tuple[str, ...]:
        """The symbols whose quotes are read: the profile's, and those of positions and open signals."""
        names = dict.fromkeys(self._watched)
        names |= dict.fromkeys(signal.symbol for signal in self.book.all())
        cycle = getattr(self, "cycle", None)
        if cycle is not None:
            names |= dict.fromkeys(position.symbol for position in cycle.reading.positions or ())
        return tuple(names)

    def _counts(self) -> dict[str, int]:
        return {
            "signals_processed": self.loop.signals_processed,
            "trades_executed": self.loop.trades_executed,
            "error_count": self.loop.error_count,
            "total_signals_lifetime": self._lifetime["total_signals_lifetime"] + self.proposals.taken,
            "total_trades_lifetime": self._lifetime["total_trades_lifetime"] + self.loop.trades_executed,
        }

    # what may be opened, and how everything is closed

    def flatten(
        self, reason: str, *causes: Draft, leave: LeftOpen = NOTHING_LEFT, **who: str
    ) -> "asyncio.Task[FlattenReport]":
        """Close everything and halt; joins the flatten under way if there is one. `causes` are recorded with it.

        `leave` is what an operator left open before and is to stay so.
        """
        return self.closedown.flatten(self._group, reason, causes, leave, who)

    async def _flatten_for_guard(self, reason: str, cause: Draft) -> int:
        report = await asyncio.shield(self.flatten(reason, cause, operator="drawdown guard", origin="engine"))
        return report.positions_closed

    def rebase(self) -> None:
        """Take up the baseline that a reset has set."""
        state = self.modes.state
        self.cycle.rebase(state.baseline_equity, _peak_key(state.baseline_seq))


def _peak_key(baseline_seq: int) -> str:
    """A peak belongs to its baseline: one from before a reset is never read after it."""
    return f"peak@{baseline_seq}"
