"""What a flatten and a scoped close have in common: how each stands, and the round that both make until it is proven.

    RUNNING <-> DEFERRED -> DONE         everything is closed, and the broker has confirmed it
            any of both  -> CANCELLED    by the operator, or because a flatten of the whole account takes over

    look at the broker -> act -> look again, until nothing is left -> still nothing after the hold -> the proof holds
    -> the last word is a look

What is to be closed, what makes an empty look doubtful and what counts as proof is flatten.py's and closejobs.py's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from engine.broker.base import Order, Position, Sweep
from engine.clock import Clock
from engine.closing import LOOK_AGAIN_SECONDS, Closer
from engine.tickets import Purpose


class WorkState(StrEnum):
    """How a flatten or a scoped close stands."""

    RUNNING = "RUNNING"
    DEFERRED = "DEFERRED"
    """Nothing of it can be closed now (market closed, trading not allowed): it is tried again."""
    DONE = "DONE"
    CANCELLED = "CANCELLED"
    """What was left stays open."""


TRANSITIONS: dict[WorkState, frozenset[WorkState]] = {
    WorkState.RUNNING: frozenset({WorkState.DEFERRED, WorkState.DONE, WorkState.CANCELLED}),
    WorkState.DEFERRED: frozenset({WorkState.RUNNING, WorkState.DONE, WorkState.CANCELLED}),
    WorkState.DONE: frozenset(),
    WorkState.CANCELLED: frozenset(),
}
"""A flatten's cancel is taken while DEFERRED; the market may have opened before it is carried out."""


@dataclass(slots=True)
class CloseWork:
    """One flatten or scoped close, for the snapshot and the journal.

    Times in UTC, but `empty_since` in monotonic seconds.
    """

    id: str
    reason: str
    started_at: datetime
    state: WorkState = WorkState.RUNNING
    finished_at: datetime | None = None
    positions_closed: int = 0
    orders_cancelled: int = 0
    remaining: list[str] = field(default_factory=list)
    statement: str = ""
    empty_since: float | None = None
    """Since when every look has shown, beyond doubt, that nothing is left."""

    @property
    def is_active(self) -> bool:
        """Whether it still closes."""
        return bool(TRANSITIONS[self.state])

    def become(self, state: WorkState) -> bool:
        """Take a state; whether it is another one. Raises AssertionError for a change that the table does not have."""
        if state is self.state:
            return False
        if state not in TRANSITIONS[self.state]:
            raise AssertionError(f"{self.id}: {self.state} does not become {state}")
        self.state = state
        return True


async def act(
    work: CloseWork, closer: Closer, purpose: Purpose, orders: Sequence[Order], positions: Sequence[Position]
) -> bool:
    """Close and cancel what is left, and say of each what was answered. Whether the work has become DEFERRED by it."""
    work.remaining, _ = closer.remaining(orders, positions)
    await closer.act(orders, positions, purpose)
    if not work.is_active:
        return False
    work.remaining, deferred = closer.remaining(orders, positions)
    return work.become(WorkState.DEFERRED if deferred else WorkState.RUNNING) and deferred


async def go_round(
    work: CloseWork,
    closer: Closer,
    clock: Clock,
    purpose: Purpose,
    *,
    first_look: Sweep | None,
    hold_seconds: float,
    once: Callable[[Sweep | None], Awaitable[bool]],
    proven: Callable[[Sweep | None], Awaitable[bool]],
) -> Sweep | None:
    """Go round until it is proven, and return the look that was the last word; None: the purpose has ended before.

    `once` acts on a look and says whether it shows, beyond doubt, that nothing is left; `hold_seconds` is how long
    that must be so before `proven` is asked. Goes on for as long as it takes.
    """
    look = first_look or await closer.look()
    while purpose.proceed():
        empty = await once(look)
        now = clock.monotonic()
        work.empty_since = None if not empty else now if work.empty_since is None else work.empty_since
        held = work.empty_since is not None and now - work.empty_since >= hold_seconds
        if held and await proven(look):
            # Reading the deals took its time: what came meanwhile is in this one.
            look = await closer.look()
            if await once(look):
                return look
            work.empty_since = None
        if not purpose.proceed():
            break
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
        look = await closer.look()
        await closer.settle(look)
    return None
