"""One account's engine: its parts put together, its mode, its flatten, and the order in which it starts and stops.

In: a broker, a journal, settings. Out: a running guard cycle and trading loop, and what the control API needs. It knows
no process, no socket and no paper terminal: those are `app.py`'s.
"""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from engine.alerts.delivery import Courier
from engine.alerts.desk import AlertDesk
from engine.approvals import SignalBook
from engine.attendance import NOBODY, Attendance
from engine.bookkeeping import Bookkeeper
from engine.broker.base import Account, Broker, MarginMode, Tick
from engine.clock import Clock
from engine.closedown import Closedown
from engine.config import Settings
from engine.control import messages as wire
from engine.cycle import GuardCycle
from engine.events import Draft, EventType
from engine.execution import Executor
from engine.flatten import FlattenReport
from engine.four_eyes import FourEyes
from engine.gate import EntryGate
from engine.guards.base import Entry, Sent
from engine.intake.proposals import Proposal, Proposals
from engine.journal import Journal, JournalError
from engine.keeper import Keeper
from engine.killswitch import Killing, KillSwitch
from engine.loop import TradingLoop
from engine.markettime import MarketClock
from engine.modes import Modes
from engine.observer import PositionObserver
from engine.protection import Protector
from engine.reconcile import Reconciler
from engine.recorder import Recorder
from engine.risk import DRAWDOWN, Risk, Shown
from engine.scope import NOTHING_LEFT, LeftOpen
from engine.specs import SpecBook
from engine.starting import (
    at_stake,
    baseline_key,
    first_reading,
    first_server_time,
    guards_of,
    lifetime,
    open_account,
    remembered,
    stored_state,
)
from engine.state import AccountState, EngineMode
from engine.underway import Underway
from engine.upkeep import Upkeep

_log = logging.getLogger(__name__)
_DEMO = 0


class AccountEngine:
    """The engine of one account.

    `to_utc_msc` turns what a replayed or made-up market's clock shows into UTC; None: the market is live. `strategy` is
    asked for proposals on every new quote; `step` moves a replayed market one tick per guard cycle;
    `market_finished` says that a replay has ended. `courier` takes alerts away; None: none are raised.
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
        kill_switch: KillSwitch,
        watched: tuple[str, ...] = (),
        strategy: Callable[["AccountEngine"], list[Proposal]] | None = None,
        step: Callable[[], Awaitable[None]] | None = None,
        market_finished: Callable[[], bool] = lambda: False,
        to_utc_msc: Callable[[int], int] | None = None,
        courier: Courier | None = None,
    ) -> None:
        self.settings = settings
        self.broker = broker
        self.journal = journal
        self.clock = clock
        self._to_utc_msc = to_utc_msc
        self.randomness = randomness
        self.account = account
        self.key = f"{account.login}@{account.server}"
        self.recorder = Recorder(journal, clock, loop_id, self.key)
        self.alerts = AlertDesk(self.recorder, settings.alerts, randomness)
        self._courier = courier
        self.specs = SpecBook(broker)
        self.book = SignalBook(self.recorder)
        self.proposals = Proposals(
            self.book, self.specs, broker, self.recorder, randomness, settings.entry, self.believed_equity
        )
        self.modes = Modes(AccountState(self.key, EngineMode.STARTING, 0, "", 0, {}), broker, self.recorder)
        self.underway = Underway(clock, tell=self._tell_guards, open_signals=self.book.all)
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
        self.killing = Killing(
            kill_switch,
            flatten=lambda reason, by: self.flatten(reason, operator=by, origin="kill switch"),
            latched=lambda: self.modes.mode in (EngineMode.FLATTENING, EngineMode.HALTED) and not self.left_open,
        )
        protector = Protector(broker, self.specs, self.recorder, deviation_points=settings.loop.deviation_points)
        self.executor = Executor(
            broker,
            self.specs,
            self.book,
            self.recorder,
            protector,
            settings.entry,
            self.underway,
            gate=lambda signal: self.gate.signal_refusal(signal),
            killed=self.killing.entry_refusal,
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
            killed=self.killing.entry_refusal,
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
        self.attendance = Attendance(
            self.recorder, self.modes, settings.control, spawn=self.spawn, flatten=self._flatten_unattended
        )
        self.upkeep = Upkeep(
            clock,
            self.book,
            self.specs,
            self.reconciler,
            self.closedown,
            self.killing,
            self.attendance,
            deals_seconds=settings.loop.reconcile_seconds,
            cycle=lambda: self.cycle,
            symbols=self.symbols,
            ask_strategy=self._ask_strategy,
        )
        self.four_eyes = FourEyes(self.recorder, settings.control)
        self.cycle: GuardCycle
        self.market: MarketClock
        self.risk: Risk
        self.books: Bookkeeper
        self.keeper: Keeper[Shown]
        self.market_finished = market_finished
        self.stop_requested = asyncio.Event()
        self._watched = watched
        self._strategy = strategy
        self._step = step
        self._lifetime = (0, 0)
        self._group: asyncio.TaskGroup

    # starting and stopping

    async def run(self, *, ready: Callable[[], Awaitable[None]] | None = None) -> None:
        """Start, go round until `stop_requested`, stop. A bug in any part ends this with that bug."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            if self._courier is not None:
                await self.alerts.start(self._courier, self.spawn)
            await self._restore()
            cycling = group.create_task(self._cycle_forever(), name="guard cycle")
            rounds = self.upkeep.begin(group)
            await self.loop.start()
            self.attendance.begin()
            if ready is not None:
                await ready()
            await self.stop_requested.wait()
            await self.loop.stop()
            self.attendance.stop()
            for endless in (*rounds, cycling):
                endless.cancel()
            self.closedown.stop()
            await self.cycle.stop()
            await self.recorder.urgent(self.recorder.draft(EventType.ENGINE_STOPPED))
            await self.recorder.drained()
            await self.alerts.stop()

    async def _restore(self) -> None:
        """Take up the account's state from the journal, compare with the broker, and go on where it was left."""
        state = await stored_state(self.recorder)
        if state is None:
            interval = self.settings.reading.interval_seconds
            first = await first_reading(self.broker, self.clock, self.account, interval)
            state = await open_account(self.recorder, first.equity, paper=self.settings.is_paper and not self.is_live)
        await self.broker.raise_epoch(state.epoch)
        self.modes.reconciling(state)
        await self.book.load()
        await self.closedown.restore()
        self._lifetime = await lifetime(self.recorder)
        values = await self.journal.get_values(self.key)
        await self._take_up_guards(state, values)
        await self.attendance.restore(values)
        self.underway.restore(self.book.all())
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
            self.risk,
            self.books,
            self.keeper,
            self.underway,
            self.specs,
            account=(self.account.login, self.account.server),
            symbols=self.symbols,
            flatten=self._flatten_for_guard,
            close_all=self._close_for_guard,
            stands_down=lambda: self.modes.mode in (EngineMode.FLATTENING, EngineMode.HALTED),
            counts=self._counts,
            spawn=self.spawn,
            step=self._step,
        )
        self.recorder.urgent_soon(
            EventType.ENGINE_STARTED,
            mode=state.mode,
            epoch=state.epoch,
            peak=self.risk.drawdown.peak,
            open_signals=len(self.book.all()),
        )
        try:
            await self.reconciler.adopt_interrupted()
            looked_at = values.get(Reconciler.KEY)
            self.reconciler.restore(looked_at, await first_server_time(self.broker, self.clock, self._watched))
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
        self.killing.obey()

    async def _take_up_guards(self, state: AccountState, values: Mapping[str, str]) -> None:
        """Build the guards that are in force, with what they remember, and test each before anything is sent."""
        stored = remembered(state, values)
        stake = bool(self.book.unresolved()) or await at_stake(self.broker, state)
        self.risk = guards_of(self.settings, stored, equity=self.account.equity, live=self.is_live, at_stake=stake)
        self.market = MarketClock(self.clock, offset=self.risk.offset, to_utc_msc=self._to_utc_msc)
        self.recorder.urgent_soon(EventType.GUARDS_TESTED, guards=[DRAWDOWN, *self.risk.board.guards])
        if stored.get("rules") != self.risk.rules or self.risk.loosened:
            self.recorder.urgent_soon(
                EventType.GUARDS_CONFIGURED, rules=self.risk.rules, refused_until_reset=self.risk.loosened
            )
        self.keeper = Keeper(self.recorder, self.spawn, baseline_key(state.baseline_seq), self._kept)
        self.books = Bookkeeper(
            self.broker, self.recorder, self.risk, self.market, changed=self.keeper.changed, spawn=self.spawn
        )
        await self.books.begin(self.account, await first_server_time(self.broker, self.clock, self._watched))

    def _kept(self) -> tuple[str, Shown]:
        return json.dumps(self.risk.to_json()), self.risk.shown

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
            self.killing.obey()
            if self.modes.mode is EngineMode.HALTED and self.closedown.something_is_open():
                why = f"positions or orders appeared while halted: {self.modes.state.halt_reason}"
                self.flatten(why, leave=self.closedown.left_open)

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

    def _tell_guards(self, entry: Entry) -> None:
        self.risk.board.learn(Sent(entry, self.market.moment().utc))
        self.keeper.changed()

    @property
    def is_live(self) -> bool:
        """Whether real money is at stake: everything that is not certainly a demo."""
        return self.account.trade_mode != _DEMO

    def symbols(self) -> tuple[str, ...]:
        """The symbols whose quotes are read: the profile's, and those of positions and open signals."""
        names = dict.fromkeys(self._watched)
        names |= dict.fromkeys(signal.symbol for signal in self.book.all())
        cycle = getattr(self, "cycle", None)
        if cycle is not None:
            names |= dict.fromkeys(position.symbol for position in cycle.reading.positions or ())
        return tuple(names)

    def _counts(self) -> dict[str, int]:
        signals, trades = self._lifetime
        return {
            "signals_processed": self.loop.signals_processed,
            "trades_executed": self.loop.trades_executed,
            "error_count": self.loop.error_count,
            "total_signals_lifetime": signals + self.proposals.taken,
            "total_trades_lifetime": trades + self.loop.trades_executed,
        }

    # what may be opened, and how everything is closed

    @property
    def left_open(self) -> LeftOpen:
        """What is not closed although everything is to be: an operator left it open, or a running flatten leaves it."""
        report = self.flattener.report
        running = self.modes.mode is EngineMode.FLATTENING and report is not None
        return report.leave if running and report is not None else self.closedown.left_open

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

    async def _flatten_unattended(self, reason: str) -> None:
        await asyncio.shield(self.flatten(reason, operator=NOBODY, origin="engine"))

    async def _close_for_guard(self, reason: str) -> None:
        await self.closings.start(wire.AllScope(), reason, operator="sessions guard", origin="engine")

    async def reset(self, risk: Risk, equity: float, reason: str, **details: Any) -> bool:
        """Lift the halt and go on with these guards; False when a flatten that came meanwhile stands.

        Raises Conflict or JournalError; then nothing has changed.
        """
        lifted = await self.modes.reset(equity, risk.to_json(), reason, **details)
        self.risk.take_over(risk)
        self.keeper.begin_again(baseline_key(self.modes.state.baseline_seq))
        return lifted
