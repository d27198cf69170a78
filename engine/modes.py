"""The mode and the entry epoch of one account, changed by the table of `state.py` and kept in the journal.

Blocking is immediate: memory and gateways first, the record within 50 ms. Unblocking waits for its record.
"""

from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any

from engine.broker.base import Broker
from engine.events import Draft, EventType
from engine.recorder import Recorder
from engine.state import AccountState, EngineMode, IllegalTransition, check_transition


class Modes:
    """Holds an account's mode. Every change says who or what made it and why."""

    def __init__(self, state: AccountState, broker: Broker, recorder: Recorder) -> None:
        self.state = state
        self._broker = broker
        self._recorder = recorder
        self._stored = state.mode
        self._resuming = False

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

    def block(self, mode: EngineMode, reason: str, *causes: Draft, **who: str) -> Coroutine[Any, Any, None]:
        """Go to PAUSED or FLATTENING: here and now in memory. Await the result for the gateways and the record.

        `causes` are recorded before it in the same commit. Raises IllegalTransition: a pause lifts no halt.
        """
        if self.mode is EngineMode.HALTED and mode is EngineMode.PAUSED:
            raise IllegalTransition(
                "the account is HALTED: entries are blocked already, and only a reset lifts the halt"
            )
        change, self.state = self._change(self.state, mode, reason, **who)
        return self._announce(*causes, change)

    async def _announce(self, *drafts: Draft) -> None:
        await self._broker.raise_epoch(self.state.epoch)
        await self._recorder.urgent(*drafts)

    async def halt(self, *causes: Draft) -> None:
        """The flatten has reported: FLATTENING to HALTED, for the reason that the flatten had.

        `causes` are recorded before it in the same commit.
        """
        change, self.state = self._change(self.state, EngineMode.HALTED, self.state.halt_reason)
        await self._recorder.urgent(*causes, change)

    async def resume(self, reason: str, **who: str) -> bool:
        """PAUSED to RUNNING, once the journal has it; False when what came meanwhile stands.

        Raises Conflict, JournalError, or IllegalTransition while another resume is being written; then nothing has
        changed.
        """
        if self._resuming:
            raise IllegalTransition("another resume is being written: look again")
        before = self.state
        change, after = self._change(before, EngineMode.RUNNING, reason, **who)
        self._resuming = True
        try:
            await self._recorder.journal.append(change)
        finally:
            self._resuming = False
        return await self._unblocked(before, after)

    async def reset(self, equity: float, baseline: Mapping[str, Any], reason: str, **details: Any) -> bool:
        """HALTED to PAUSED with the guards' memory from which they go on, in one record.

        False when a flatten that came meanwhile stands. Raises Conflict or JournalError; then nothing has changed.
        """
        before = self.state
        change, after = self._change(before, EngineMode.PAUSED, reason, **details)
        began = self._recorder.draft(EventType.PEAK_RESET, equity=equity, baseline=baseline, reason=reason, **details)
        events = await self._recorder.journal.append(change, began)
        return await self._unblocked(before, replace(after, baseline_seq=events[1].seq, baseline=baseline))

    async def insist_on_pause(self, reason: str, **who: str) -> None:
        """Pause a PAUSED engine: a resume that is just being written does not win over it, nor in the journal."""
        if self._resuming:
            resumed = replace(self.state, mode=EngineMode.RUNNING)
            change, self.state = self._change(resumed, EngineMode.PAUSED, reason, **who)
            await self._announce(change)

    async def _unblocked(self, before: AccountState, after: AccountState) -> bool:
        """Take over what the journal now has; what blocked while it was being written stands: False then."""
        if self.state is before:
            self.state = after
            await self._broker.raise_epoch(after.epoch)
            return True
        self.state = replace(self.state, baseline_seq=after.baseline_seq, baseline=after.baseline)
        return False

    def _change(self, before: AccountState, mode: EngineMode, reason: str, **who: Any) -> tuple[Draft, AccountState]:
        """The record of a change from a state to `mode`, and the state after it. Every change begins a new epoch."""
        check_transition(before.mode, mode)
        halted = mode in (EngineMode.FLATTENING, EngineMode.HALTED)
        after = replace(before, mode=mode, epoch=before.epoch + 1, halt_reason=reason if halted else "")
        details: dict[str, Any] = {"from": before.mode, "to": mode, "epoch": after.epoch, "reason": reason}
        return self._recorder.draft(EventType.MODE_CHANGED, halt_reason=after.halt_reason, **details, **who), after
