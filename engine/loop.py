"""The trading loop: approved signals in, executions out, each executed once.

It wakes when a signal is approved, takes a batch, executes one after the other, goes on after an error, and tells what
it did by events. It never closes positions when it stops, unless it is told to.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from engine.approvals import Refused, SignalBook
from engine.broker.base import BrokerError
from engine.events import EventType
from engine.execution import Executor
from engine.journal import JournalError
from engine.recorder import Recorder, Spawn
from engine.signals import SignalState

_log = logging.getLogger(__name__)
_STOP_SECONDS = 20.0
"""Longer than an order may take; a broker that answers nothing must not keep the engine from ending."""
_LOOK_SECONDS = 1.0
"""Without a wake-up, approved signals are looked for this often: one left behind by an error is tried again."""


class TradingLoop:
    """Executes what the operator approved."""

    def __init__(
        self,
        book: SignalBook,
        executor: Executor,
        recorder: Recorder,
        *,
        spawn: Spawn,
        batch_size: int = 10,
        flatten: Callable[[str], Awaitable[object]] | None = None,
    ) -> None:
        self._book = book
        self._executor = executor
        self._recorder = recorder
        self._spawn = spawn
        self._batch_size = batch_size
        self._flatten = flatten
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self.signals_processed = 0
        self.trades_executed = 0
        self.error_count = 0

    def wake(self) -> None:
        """A signal was approved: look now."""
        self._wake.set()

    async def start(self) -> None:
        """Begin to execute approved signals."""
        self._recorder.urgent_soon(EventType.LOOP_STARTED, batch_size=self._batch_size)
        self._stopping = False
        self._task = self._spawn(self._run())

    async def stop(self, *, close_positions: bool = False) -> None:
        """Stop once the order under way has its outcome, or has had long enough: the next start then finds it out.

        Positions stay open unless `close_positions` is given.
        """
        if self._task is None:
            return
        self._stopping = True
        self._wake.set()
        await asyncio.wait({self._task}, timeout=_STOP_SECONDS)
        self._task.cancel()
        await asyncio.wait({self._task})
        self._task = None
        if close_positions and self._flatten is not None:
            await self._flatten("the trading loop was stopped and told to close its positions")
        await self._recorder.urgent(
            self._recorder.draft(
                EventType.LOOP_STOPPED,
                signals_processed=self.signals_processed,
                trades_executed=self.trades_executed,
                error_count=self.error_count,
                positions_closed_on_stop=close_positions,
            )
        )

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            await self.run_batch()
            if not self._wake.is_set():
                await self._until_woken()

    async def _until_woken(self) -> None:
        # Not wait_for: on Python 3.11 it can swallow a cancellation that comes together with the wake-up.
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._wake.wait()

    async def run_batch(self) -> int:
        """Execute the oldest approved signals, at most a batch, and return how many were taken up."""
        batch = self._book.approved(self._batch_size)
        finished = 0
        for signal in batch:
            try:
                done = await self._executor.execute(signal)
            except Refused as refused:
                # The signal moved on by itself: it expired, or the operator was faster.
                _log.info("signal %s: %s", signal.id, refused)
                continue
            except BrokerError as error:
                self.error_count += 1
                await self._tell(signal.id, str(error))
                continue
            except JournalError as error:
                self.error_count += 1
                _log.error("signal %s: %s", signal.id, error)
                continue
            finished += 1
            self.signals_processed += 1
            if done.state in (SignalState.EXECUTED, SignalState.PARTIAL):
                self.trades_executed += 1
            elif done.state in (SignalState.FAILED, SignalState.UNKNOWN):
                self.error_count += 1
        if finished == self._batch_size:
            self._wake.set()
        return len(batch)

    async def _tell(self, signal_id: str, said: str) -> None:
        _log.warning("signal %s is tried again: %s", signal_id, said)
        await self._recorder.urgent(self._recorder.draft(EventType.LOOP_ERROR, signal=signal_id, said=said))
