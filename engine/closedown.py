"""Everything that closes, put together for one account: the mechanism, the scoped jobs, the flatten and what it left.

In: a reason to flatten. Out: the mode FLATTENING at once and everywhere, then the flatten's report, then HALTED. What
an operator left open by cancelling a flatten is kept here and in the journal.
"""

import asyncio
import json
import random
from collections.abc import Callable, Coroutine
from typing import Any

from engine.approvals import SignalBook
from engine.broker.base import Account, Broker, MarginMode, Sweep
from engine.closejobs import CloseJobs
from engine.closework import WorkState
from engine.closing import Closer
from engine.config import Settings
from engine.cycle import GuardCycle
from engine.events import Draft, EventType
from engine.flatten import Flattener, FlattenReport
from engine.modes import Modes
from engine.readings import Validity
from engine.recorder import Recorder, Spawn
from engine.scope import NOTHING_LEFT, LeftOpen
from engine.signals import Signal, new_id
from engine.specs import SpecBook
from engine.state import EngineMode


class Closedown:
    """What closes on one account. `cycle` is its guard cycle, once there is one."""

    def __init__(
        self,
        broker: Broker,
        specs: SpecBook,
        book: SignalBook,
        modes: Modes,
        recorder: Recorder,
        randomness: random.Random,
        settings: Settings,
        *,
        account: Account,
        cycle: Callable[[], GuardCycle],
        spawn: Spawn,
    ) -> None:
        self._book = book
        self._modes = modes
        self._recorder = recorder
        self._randomness = randomness
        self._cycle = cycle
        self._flattening: asyncio.Task[FlattenReport] | None = None
        self._latching: asyncio.Task[None] | None = None
        self.left_open: LeftOpen = NOTHING_LEFT
        """What an operator left open by cancelling a flatten: not flattened again while halted."""
        self.closer = Closer(
            broker,
            specs,
            recorder,
            randomness,
            account=(account.login, account.server),
            netting=account.margin_mode is not MarginMode.HEDGING,
            fifo=account.fifo_close,
            settle_seconds=settings.flatten.settle_seconds,
            part_settle_seconds=settings.loop.settle_seconds,
            server_time=self._server_time,
            spawn=spawn,
        )
        self.jobs = CloseJobs(
            broker,
            specs,
            self.closer,
            recorder,
            randomness,
            last_look=self.last_look,
            flattening=lambda: modes.mode is EngineMode.FLATTENING,
            unresolved=self._not_ended,
            spawn=spawn,
        )
        self.flattener = Flattener(
            broker,
            self.closer,
            recorder,
            hold_seconds=settings.flatten.hold_seconds,
            unresolved=lambda: self._unknown_orders(presumed_absent=False),
            presumed_absent=lambda: self._unknown_orders(presumed_absent=True),
        )

    async def restore(self) -> None:
        """Take up from the journal what was being closed, and what an operator left open."""
        rows = await self._recorder.journal.query(
            "SELECT what FROM left_open WHERE account = ?", (self._recorder.account,)
        )
        if rows:
            self.left_open = LeftOpen.from_json(json.loads(rows[0][0]))
        await self.closer.settling.load()
        await self.jobs.load()

    def stop(self) -> None:
        """Stop working, as at the engine's end: the next start goes on."""
        if self._flattening is not None:
            self._flattening.cancel()
        self.jobs.stop()
        self.closer.stop()

    def last_look(self) -> Sweep | None:
        """The last look at the account, if it may be believed."""
        cycle = self._cycle()
        return cycle.sweep if cycle.reading.validity is Validity.VALID else None

    def something_is_open(self) -> bool:
        """Whether there is anything that an operator did not leave open."""
        look, left = self.last_look(), self.left_open
        if look is None:
            return False
        return bool(left.beside_positions(look.positions or ())) or bool(left.beside_orders(look.orders or ()))

    async def look_after(self) -> None:
        """What goes on beside every close: find out what became of those that are not settled, and learn sources.

        Raises JournalError when the journal cannot be read.
        """
        look = self.last_look()
        await self.closer.settle(look)
        if look is not None:
            await self.jobs.sources.learn([item.magic for item in look.positions or ()])

    def flatten(
        self,
        group: asyncio.TaskGroup,
        reason: str,
        causes: tuple[Draft, ...],
        leave: LeftOpen,
        who: dict[str, str],
    ) -> "asyncio.Task[FlattenReport]":
        """Close everything but `leave` and halt; joins the flatten under way if there is one."""
        if self.left_open and not leave:
            self.left_open = NOTHING_LEFT
            causes = (*causes, self._recorder.draft(EventType.LEFT_OPEN, **NOTHING_LEFT.to_json()))
        under_way = self._modes.mode is EngineMode.FLATTENING and self.flattener.report is not None
        if not under_way or self._flattening is None or self._flattening.done():
            latching = self._modes.block(EngineMode.FLATTENING, reason, *causes, **who)
            return self.start(group, reason, latching, leave)
        if self.flattener.report is not None and not leave:
            self.flattener.report.leave = NOTHING_LEFT
            self.flattener.report.cancelled_by = ""
        if causes:
            group.create_task(self._recorder.urgent(*causes))
        return self._flattening

    def start(
        self, group: asyncio.TaskGroup, reason: str, latching: Coroutine[Any, Any, None] | None, leave: LeftOpen
    ) -> "asyncio.Task[FlattenReport]":
        """Begin the flatten once its latch has been announced; None: it was latched before a restart."""
        cycle = self._cycle()
        orders = {order.ticket for order in cycle.orders} | cycle.observer.known_orders
        report = self.flattener.begin(new_id(self._randomness), reason, cycle.known_positions, orders, leave)
        self.jobs.supersede(report.id)
        # A task of its own: an engine that ends gives the flatten up until its next start, but never the latch.
        self._latching = group.create_task(latching, name="latch") if latching is not None else None
        flattening = self._flattening = group.create_task(self._run(report), name="flatten")
        return flattening

    async def latched(self) -> None:
        """Wait for the latch of the flatten under way to be recorded, which takes 50 ms at most."""
        if self._latching is not None:
            await asyncio.shield(self._latching)

    async def _run(self, report: FlattenReport) -> FlattenReport:
        await self.latched()
        await self.flattener.run(report, self.last_look())
        if report.state is WorkState.CANCELLED:
            self.left_open = self.flattener.left()
            await self._modes.halt(*self.flattener.cancellation(report))
        else:
            await self._modes.halt()
        return report

    def _not_ended(self) -> list[Signal]:
        """The signals whose order may be at the broker: unknown, or standing until the broker shows how it ended."""
        return [*self._book.unresolved(), *self._book.working()]

    def _unknown_orders(self, *, presumed_absent: bool) -> list[str]:
        unknown = self._not_ended()
        return [f"signal {signal.id}" for signal in unknown if signal.presumed_absent is presumed_absent]

    def _server_time(self, symbol: str) -> int | None:
        quote = self._cycle().quotes.get(symbol)
        return quote.tick.time_msc // 1000 if quote is not None else None
