"""Carries out what the guards say: tells every change, has everything closed at a limit, closes before a weekend.

In: the drawdown's states before and after a reading, the board's changes. Out: events, and a flatten or a close that is
started, never awaited. What a guard says is decided elsewhere; here it only happens.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from engine.approvals import Refused
from engine.events import Draft, EventType
from engine.guards.base import Verdict
from engine.guards.board import Change, ChangeKind, Standing, lock_words
from engine.guards.drawdown import DrawdownCapExceededError, DrawdownGuard, DrawdownState
from engine.readings import AccountReading
from engine.recorder import Recorder, Spawn
from engine.risk import DRAWDOWN, Risk, Trip

_log = logging.getLogger(__name__)
_CLOSE_AGAIN_SECONDS = 30.0
"""How long a close that could not begin, or left something, is waited with before the next."""
_KINDS = {
    ChangeKind.WARNED: EventType.GUARD_WARN,
    ChangeKind.BLOCKED: EventType.GUARD_BLOCK,
    ChangeKind.TRIPPED: EventType.GUARD_TRIPPED,
    ChangeKind.CLEARED: EventType.GUARD_CLEARED,
    ChangeKind.FAILED: EventType.GUARD_ERROR,
    ChangeKind.LOCKED: EventType.GUARD_LOCKED,
    ChangeKind.LIFTED: EventType.GUARD_LIFTED,
}


class Guarding:
    """Acts for the guards of one account.

    `flatten` starts closing everything for a reason (or joins what is under way), records its cause, and returns how
    many positions were closed. `close_all` closes what is open and leaves the mode. `stands_down` says that the account
    is being or has been flattened, so that a breach is not news.
    """

    def __init__(
        self,
        recorder: Recorder,
        risk: Risk,
        guard: DrawdownGuard,
        *,
        flatten: Callable[[str, Draft], Awaitable[int]],
        close_all: Callable[[str], Awaitable[None]],
        stands_down: Callable[[], bool],
        spawn: Spawn,
    ) -> None:
        self._recorder = recorder
        self._risk = risk
        self._guard = guard
        self._flatten = flatten
        self._close_all = close_all
        self._stands_down = stands_down
        self._spawn = spawn
        self._enforcing: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._close_due = 0.0
        self._error: str | None = None

    def act(
        self, reading: AccountReading, before: DrawdownState, after: DrawdownState, changes: list[Change], *, held: bool
    ) -> None:
        """Carry out what a reading led to. `held`: whether anything is open."""
        if after.verdict is not Verdict.FLATTEN and after.verdict is not before.verdict:
            kind = {Verdict.WARN: EventType.GUARD_WARN, Verdict.BLOCK: EventType.GUARD_BLOCK}
            self._recorder.urgent_soon(
                kind.get(after.verdict, EventType.GUARD_CLEARED),
                guard=DRAWDOWN,
                verdict=after.verdict,
                **drawdown_numbers(after),
            )
        for change in changes:
            if change.kind is not ChangeKind.TRIPPED or self._stands_down():
                self._tell(change)
        if not self._stands_down():
            self._enforce(reading, after)
        self._close(self._risk.board.closing() if held else None)

    def failed(self, said: str | None) -> None:
        """The drawdown guard raised instead of judging; None: it judges again."""
        if said is not None and said != self._error:
            self._recorder.urgent_soon(EventType.GUARD_ERROR, guard=DRAWDOWN, said=said)
        self._error = said

    def flatten_blind(self, said: str) -> None:
        """Close everything because the account has not been readable for too long: the profile says so."""
        if self._stands_down() or (self._enforcing is not None and not self._enforcing.done()):
            return
        self._risk.trip = Trip("blindness", self._recorder.clock.utc(), self._risk.drawdown.equity, None, said)
        cause = self._recorder.draft(EventType.GUARD_TRIPPED, guard="blindness", said=said)
        self._enforcing = self._spawn(self._enforce_other(said, cause))

    def _enforce(self, reading: AccountReading, drawdown: DrawdownState) -> None:
        if self._enforcing is not None and not self._enforcing.done():
            return
        if drawdown.verdict is Verdict.FLATTEN:
            self._tripped(DRAWDOWN, drawdown.equity, drawdown.floor, trip_reason(drawdown))
            self._enforcing = self._spawn(self._enforce_drawdown())
            return
        name = self._risk.board.tripped()
        if name is not None:
            standing = self._risk.board.standings[name]
            finding = standing.finding
            said = finding.said if finding is not None else "it says that everything is to be closed"
            self._tripped(name, reading.equity, finding.floor if finding is not None else None, said)
            cause = self._recorder.draft(
                EventType.GUARD_TRIPPED,
                guard=name,
                validity=reading.validity,
                equity=reading.equity,
                **_details(standing),
            )
            self._enforcing = self._spawn(self._enforce_other(f"{name}: {said}", cause))

    def _tripped(self, name: str, equity: float, floor: float | None, said: str) -> None:
        self._risk.trip = Trip(name, self._recorder.clock.utc(), equity, floor, said)

    async def _enforce_drawdown(self) -> None:
        try:
            await self._guard.enforce()
        except DrawdownCapExceededError as exceeded:
            _log.warning("%s", exceeded)

    async def _enforce_other(self, reason: str, cause: Draft) -> None:
        closed = await self._flatten(reason, cause)
        _log.warning("%s; %s positions closed", reason, closed)

    def _tell(self, change: Change) -> None:
        self._recorder.urgent_soon(
            _KINDS[change.kind],
            guard=change.guard,
            verdict=change.standing.verdict,
            **_details(change.standing),
        )

    def _close(self, reason: str | None) -> None:
        now = self._recorder.clock.monotonic()
        idle = self._closing is None or self._closing.done()
        if reason is None or not idle or now < self._close_due or self._stands_down():
            return
        self._close_due = now + _CLOSE_AGAIN_SECONDS
        self._closing = self._spawn(self._begin_close(reason))

    async def _begin_close(self, reason: str) -> None:
        try:
            await self._close_all(reason)
        except Refused as refusal:
            # Something is being closed already, or cannot be seen now: asked again shortly.
            _log.warning("%s: %s", reason, refusal)


def drawdown_numbers(state: DrawdownState) -> dict[str, float]:
    """What an event tells of the drawdown guard."""
    return {
        "equity": state.equity,
        "peak": state.peak,
        "floor": state.floor,
        "percent": round(state.percent, 6),
        "limit_percent": state.limit_percent,
    }


def trip_reason(state: DrawdownState) -> str:
    """Why everything is closed, for people."""
    return (
        f"drawdown {state.percent:.2f} % reached the limit of {state.limit_percent:g} %"
        f" (equity {state.equity:.2f}, peak {state.peak:.2f})"
    )


def _details(standing: Standing) -> dict[str, object]:
    finding = standing.finding
    details: dict[str, object] = {}
    if standing.failure:
        details["said"] = standing.failure
    elif finding is not None:
        details |= {"said": finding.said, "value": finding.value, "limit": finding.limit}
        if finding.floor is not None:
            details["floor"] = finding.floor
    if standing.lock is not None:
        details["locked"] = lock_words(standing.lock)
    return details
