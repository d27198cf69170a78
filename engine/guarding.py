"""Carries out what the guards say: tells every change, has everything closed at a limit, closes before a weekend.

In: the drawdown's states before and after a reading, the board's changes. Out: events, and a flatten or a close that is
started, never awaited. What a guard says is decided elsewhere; here it only happens.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from engine.approvals import Refused
from engine.events import Draft, EventType
from engine.guards.base import Verdict
from engine.guards.board import VERDICT_KINDS, Change, ChangeKind, Standing, lock_words
from engine.guards.drawdown import DrawdownCapExceededError, DrawdownGuard, DrawdownState
from engine.readings import AccountReading
from engine.recorder import Recorder, Spawn
from engine.risk import DRAWDOWN, Risk, Trip

_log = logging.getLogger(__name__)
_CLOSE_AGAIN_SECONDS = 30.0
"""How long a close that could not begin, or left something, is waited with before the next."""
_BETTER_SECONDS = 5.0
"""What grows worse is told at once; that it is better, when so long nothing was told: equity flickers at a level."""
_FAILED_RANK = Verdict.BLOCK.rank + 0.5
_KINDS = {
    ChangeKind.WARNED: EventType.GUARD_WARN,
    ChangeKind.BLOCKED: EventType.GUARD_BLOCK,
    ChangeKind.TRIPPED: EventType.GUARD_TRIPPED,
    ChangeKind.CLEARED: EventType.GUARD_CLEARED,
    ChangeKind.FAILED: EventType.GUARD_ERROR,
    ChangeKind.LOCKED: EventType.GUARD_LOCKED,
    ChangeKind.LIFTED: EventType.GUARD_LIFTED,
}


@dataclass(frozen=True, slots=True)
class _Told:
    """What was last told of a guard, and when (monotonic seconds)."""

    rank: float
    failure: str
    at: float


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
        self._told: dict[str, _Told] = {}
        self._held: set[str] = set()
        """Guards of which something is still to be told."""

    def act(
        self, reading: AccountReading, before: DrawdownState, after: DrawdownState, changes: list[Change], *, held: bool
    ) -> None:
        """Carry out what a reading led to. `held`: whether anything is open."""
        if after.verdict is not before.verdict or DRAWDOWN in self._held:
            self._tell_drawdown(after)
        for change in changes:
            self._tell(change)
        for name in self._held & self._risk.board.guards.keys():
            standing = self._risk.board.standings[name]
            kind = ChangeKind.FAILED if standing.failure else VERDICT_KINDS[standing.verdict]
            self._tell(Change(name, kind, standing))
        self.enforce(reading, after)
        self._close(self._risk.board.closing() if held else None)

    def failed(self, said: str | None) -> None:
        """The drawdown guard raised instead of judging; None: it judges again."""
        if said is not None and said != self._error:
            self._recorder.urgent_soon(EventType.GUARD_ERROR, guard=DRAWDOWN, said=said)
        self._error = said

    def flatten_blind(self, said: str) -> None:
        """Close everything because the account has not been readable for too long: the profile says so."""
        if self._is_enforced():
            return
        self._risk.trip = Trip("blindness", self._recorder.clock.utc(), self._risk.drawdown.equity, None, said)
        cause = self._recorder.draft(EventType.GUARD_TRIPPED, guard="blindness", said=said)
        self._enforcing = self._spawn(self._enforce_other(said, cause))

    def _is_enforced(self) -> bool:
        """Whether the account is being, or has been, flattened."""
        return self._stands_down() or (self._enforcing is not None and not self._enforcing.done())

    def enforce_drawdown(self, drawdown: DrawdownState) -> bool:
        """Begin to close everything when the drawdown says so, and say whether that was begun now."""
        if drawdown.verdict is not Verdict.FLATTEN or self._is_enforced():
            return False
        self._tripped(DRAWDOWN, drawdown.equity, drawdown.floor, trip_reason(drawdown))
        self._enforcing = self._spawn(self._enforce_drawdown())
        return True

    def enforce(self, reading: AccountReading, drawdown: DrawdownState) -> None:
        """Begin to close everything when a guard says so, the drawdown guard first."""
        if self.enforce_drawdown(drawdown) or self._is_enforced():
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

    def _tell_drawdown(self, state: DrawdownState) -> None:
        # A trip is told with the flatten that it causes.
        if self._is_news(DRAWDOWN, state.verdict.rank) and state.verdict is not Verdict.FLATTEN:
            kind = {Verdict.WARN: EventType.GUARD_WARN, Verdict.BLOCK: EventType.GUARD_BLOCK}
            self._recorder.urgent_soon(
                kind.get(state.verdict, EventType.GUARD_CLEARED),
                guard=DRAWDOWN,
                verdict=state.verdict,
                **drawdown_numbers(state),
            )

    def _is_news(self, name: str, rank: float, failure: str = "") -> bool:
        """Whether it is to be told now; what is not is held until it may be, or is no news any longer."""
        now, told = self._recorder.clock.monotonic(), self._told.get(name)
        self._held.discard(name)
        if told is not None and (told.rank, told.failure) == (rank, failure):
            return False
        if told is not None and rank <= told.rank and now - told.at < _BETTER_SECONDS:
            self._held.add(name)
            return False
        self._told[name] = _Told(rank, failure, now)
        return True

    def _tell(self, change: Change) -> None:
        if change.kind not in (ChangeKind.LOCKED, ChangeKind.LIFTED):
            rank = _FAILED_RANK if change.standing.failure else change.standing.verdict.rank
            is_news = self._is_news(change.guard, rank, change.standing.failure)
            # A trip is told with the flatten that it causes, unless that is under way or over.
            if not is_news or (change.kind is ChangeKind.TRIPPED and not self._stands_down()):
                return
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
