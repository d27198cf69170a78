"""The mode and the entry epoch of one account, changed by the table of `state.py` and kept in the journal.

Blocking is immediate: memory and gateways first, the record within 50 ms. Unblocking waits for its record.
"""

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from engine.broker.base import Broker
from engine.events import Draft, EventType
from engine.recorder import Recorder
from engine.state import AccountState, EngineMode, check_transition


class Modes:
    """Holds an account's mode. Every change says who or what made it and why."""

    def __init__(self, state: AccountState, broker: Broker, recorder: Recorder) -> None:
        self.state = state
        self._broker = broker
        self._recorder = recorder
        self._stored = state.mode

    @property
    def mode(self) -> EngineMode:
        """The mode now."""
        return self.state.mode

    @property
    def epoch(self) -> int:
        """The entry epoch now: openings prepared in an older one are void."""
        return self.state.epoch

    def reconciled(self) -> None:
        """End of starting: go on in the stored mode. Nothing is recorded, since nothing was decided."""
        check_transition(self.state.mode, self._stored)
        self.state = replace(self.state, mode=self._stored)

    def reconciling(self, state: AccountState) -> None:
        """Begin with a stored state: its mode is kept aside until the broker has been compared."""
        self._stored = state.mode
        self.state = replace(state, mode=EngineMode.RECONCILING)

    def block(self, mode: EngineMode, reason: str, **who: str) -> Coroutine[Any, Any, None]:
        """Go to PAUSED or FLATTENING: here and now in memory. Await the result for the gateways and the record."""
        change = self._change(mode, reason, self.state.epoch + 1, **who)
        return self._announce(change)

    async def _announce(self, change: Draft) -> None:
        await self._broker.raise_epoch(self.state.epoch)
        await self._recorder.urgent(change)

    async def halt(self) -> None:
        """The flatten has reported: FLATTENING to HALTED, for the reason that the flatten had."""
        await self._recorder.urgent(self._change(EngineMode.HALTED, self.state.halt_reason, self.state.epoch))

    async def resume(self, reason: str, **who: str) -> None:
        """PAUSED to RUNNING, once the journal has it. Raises Conflict or JournalError; then nothing has changed."""
        before = self.state
        change = self._change(EngineMode.RUNNING, reason, before.epoch + 1, **who)
        self.state = before
        await self._recorder.journal.append(change)
        self.state = replace(before, mode=EngineMode.RUNNING, epoch=before.epoch + 1)
        await self._broker.raise_epoch(self.state.epoch)

    async def reset(self, equity: float, reason: str, **who: str) -> None:
        """HALTED to PAUSED with the peak restarting at `equity`, in one record. Raises Conflict or JournalError."""
        before = self.state
        change = self._change(EngineMode.PAUSED, reason, before.epoch + 1, **who)
        after, self.state = self.state, before
        baseline = self._recorder.draft(EventType.PEAK_RESET, equity=equity, reason=reason, **who)
        events = await self._recorder.journal.append(change, baseline)
        self.state = replace(after, baseline_seq=events[1].seq, baseline_equity=equity)
        await self._broker.raise_epoch(self.state.epoch)

    def _change(self, mode: EngineMode, reason: str, epoch: int, **who: str) -> Draft:
        before = self.state
        check_transition(before.mode, mode)
        halted = mode in (EngineMode.FLATTENING, EngineMode.HALTED)
        self.state = replace(before, mode=mode, epoch=epoch, halt_reason=reason if halted else "")
        details: dict[str, Any] = {"from": before.mode, "to": mode, "epoch": epoch, "reason": reason}
        return self._recorder.draft(EventType.MODE_CHANGED, halt_reason=self.state.halt_reason, **details, **who)
