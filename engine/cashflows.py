"""What deals and time make of an account's funds: cash flows, results, and steps that no deal explains.

    deals -> book -> flows, results          a step: waited for 1 s, then blocks, after 10 s provisional, until settled

In: the ledger of `funds.py`, looks at the deals, an operator's word. Out: shifts of the guards' baselines, for
`Guard.after_cash_flow`. A real terminal shows deals 300 to 800 ms late (reference/mt5.md 3.2). What is provisional is
held as a cash flow, so that the guards go on with unchanged headroom. At any moment, exactly:

    sum of all shifts = sum of the flows counted + what is held as provisional or as a cash flow

After each valid reading: `observe` it, `book` the deals that were looked at before it was asked for, `advance`; apply
the shifts in their order, then let the guards judge the reading: peaks by its equity less what is `unexplained`, where
that is more than nothing, limits by its equity and the `relief`. Pure.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from engine.broker.base import Deal
from engine.funds import OVERLAP_SECONDS, Counted, FundsState, Held, common, counted_as, dated, recent

BLOCKS_AFTER_SECONDS = 1.0
BLOCKS_WITHOUT_A_LOOK_SECONDS = 5.0
"""When the deals cannot be read, a step blocks after so long all the same."""
PROVISIONAL_AFTER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that a deal moved, or that a change of it moved. `time_msc` is of the broker's clock."""

    ticket: int
    time_msc: int
    amount: float


@dataclass(frozen=True, slots=True)
class Shift:
    """What the guards are to be told with `after_cash_flow(memory, amount, equity)`.

    `undone`: a step that had been taken for a cash flow was none. Its `equity` is the one before that step, so that a
    guard which scales by equity / (equity - amount) takes back just what it had multiplied by.
    """

    amount: float
    equity: float
    kind: Literal["flow", "provisional", "undone", "settled"]
    ticket: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Booking:
    """What a look at the deals brought. `problems`: deals whose money cannot be counted, each told once."""

    flows: tuple[Movement, ...] = ()
    results: tuple[Movement, ...] = ()
    shifts: tuple[Shift, ...] = ()
    problems: tuple[str, ...] = ()


def book(state: FundsState, deals: Iterable[Deal], looked_at: float) -> tuple[FundsState, Booking]:
    """Count the deals of a look that was asked for at `looked_at` (monotonic seconds); each is counted once.

    Look from `state.look_from` on. Where the money of a deal is not in the last reading yet, `unexplained` is the
    negative of it for a moment: that raises no peak and trips nothing. A deal that the broker has changed is counted
    by the difference. Raises ValueError when no reading has been observed in this run.
    """
    seen = state.reading
    counted = dict(state.counted)
    flows: list[Movement] = []
    results: list[Movement] = []
    problems: list[str] = []
    for deal in sorted(deals, key=lambda deal: (deal.time_msc, deal.ticket)):
        known = counted.get(deal.ticket)
        if known is None and deal.time_msc // 1000 < state.look_from:
            continue
        made, problem = counted_as(state, deal)
        if problem and known is not None:
            continue
        if problem:
            problems.append(problem)
        counted[deal.ticket] = made
        for flow, movements in ((True, flows), (False, results)):
            if moved := state.money(_part(made, flow) - _part(known, flow)):
                movements.append(Movement(deal.ticket, deal.time_msc, moved))
    seen = replace(seen, looked_at=max(seen.looked_at, looked_at))
    if counted != state.counted:
        newest = max(made.time_msc // 1000 for made in counted.values())
        newest = max(newest, state.newest)
        state = replace(state, newest=newest, counted=recent(counted, newest - OVERLAP_SECONDS))
    if not flows and not results:
        return dated(replace(state, seen=seen)), Booking(problems=tuple(problems))
    explained = state.money(state.explained + sum(item.amount for item in (*flows, *results)))
    state = replace(state, explained=explained, seen=replace(seen, deals_since=True))
    state, released = _release(state, [*flows, *results])
    shifts = _shifts(state, flows, released)
    return _shifted(state, shifts), Booking(tuple(flows), tuple(results), tuple(shifts), tuple(problems))


def blocks(state: FundsState, now: float) -> bool:
    """Whether entries are blocked and the operator is called: a step is explained provisionally, or not in time."""
    return any(item.kind == "provisional" for item in state.held) or _overdue(state, now)


def advance(state: FundsState, now: float) -> tuple[FundsState, tuple[Shift, ...]]:
    """Let time take effect: a step that was looked for in vain for 10 s becomes provisional, without what came since.

    When the deals alone explain the funds, nothing is held any longer.
    """
    if state.held and not state.undealt and (not state.unexplained or _overdue(state, now)):
        shifts = [_undone(item.amount, item) for item in state.held if item.shifted]
        return _shifted(replace(state, held=()), shifts), tuple(shifts)
    if not state.unexplained or _looked_for(state) < PROVISIONAL_AFTER_SECONDS:
        return state, ()
    amount = _lasting(state)
    if not amount:
        return state, ()
    item = Held("provisional", amount, state.money(state.equity + amount))
    shift = Shift(item.amount, item.equity, "provisional", None, "no deal explains this step of the balance")
    return _shifted(replace(state, held=(*state.held, item)), [shift]), (shift,)


def settle(state: FundsState, what: Literal["cash flow", "result"], now: float) -> tuple[FundsState, tuple[Shift, ...]]:
    """Take an operator's word for what is provisional, and for a step that blocks and is not provisional yet.

    Should its deal come after all, the deal is believed. Raises ValueError when there is nothing to settle.
    """
    if not blocks(state, now):
        raise ValueError("there is nothing to settle: the deals explain the balance")
    shifts = []
    if what == "result":
        shifts = [_undone(item.amount, item) for item in state.held if item.kind == "provisional"]
    held = [replace(item, kind=what) if item.kind == "provisional" else item for item in state.held]
    if _overdue(state, now):
        item = _step(state, what)
        held.append(item)
        if item.shifted:
            shifts.append(Shift(item.amount, item.equity, "settled", None, "a cash flow, by the operator's word"))
    return _shifted(replace(state, held=tuple(held)), shifts), tuple(shifts)


def _shifted(state: FundsState, shifts: list[Shift]) -> FundsState:
    """The state after the baselines have been shifted: the equity that goes with them has moved by as much."""
    expected = state.reading.expected + sum(shift.amount for shift in shifts)
    return dated(replace(state, seen=replace(state.reading, expected=expected)))


def _part(made: Counted | None, flow: bool) -> float:
    return made.amount if made is not None and made.flow is flow else 0.0


def _looked_for(state: FundsState) -> float:
    """For how long the deals of the step were looked for; a look counts from when it was asked for."""
    seen = state.reading
    return -math.inf if seen.since is None else seen.looked_at - seen.since


def _overdue(state: FundsState, now: float) -> bool:
    if not state.unexplained:
        return False
    since = state.reading.since
    unread = since is not None and now - since >= BLOCKS_WITHOUT_A_LOOK_SECONDS
    return unread or _looked_for(state) >= BLOCKS_AFTER_SECONDS


def _step(state: FundsState, kind: Literal["provisional", "cash flow", "result"]) -> Held:
    """The step that nothing accounts for, to be held."""
    return Held(kind, state.unexplained, state.money(state.equity + state.unexplained))


def _lasting(state: FundsState) -> float:
    """What of the step has been there since it began: money that moved later has its own deals to be waited for."""
    seen = state.reading
    amount = state.unexplained
    for level, first_seen in seen.levels:
        if seen.since is not None and first_seen >= seen.since:
            amount = common(amount, state.money(level - state.settled))
    return amount


Part = tuple[float, Held]
"""An amount that is not held any longer, and what it was held as."""


def _release(state: FundsState, movements: list[Movement]) -> tuple[FundsState, list[Part]]:
    """Let go of what was held and is now explained by the deals that were just counted.

    All of it when deals explain the funds. Else each step that is as large as one of the deals. Else of what is
    provisional, the newest first, so much as they are too much; an operator's word stands until its deal disproves it.
    """
    if not state.undealt:
        return replace(state, held=()), [(item.amount, item) for item in state.held]
    released: list[Part] = []
    rest = sum(movement.amount for movement in movements)
    for movement in movements:
        for item in state.held:
            nearer = abs(state.unexplained + item.amount) < abs(state.unexplained)
            if nearer and state.same(item.amount, movement.amount):
                held = list(state.held)
                held.remove(item)
                state = replace(state, held=tuple(held))
                released.append((item.amount, item))
                rest -= movement.amount
                break
    excess = common(-state.unexplained, state.money(rest))
    kept: list[Held] = []
    for item in reversed(state.held):
        part = common(excess, item.amount) if item.kind == "provisional" else 0.0
        if part:
            released.append((part, item))
            excess = state.money(excess - part)
        if left := state.money(item.amount - part):
            kept.insert(0, replace(item, amount=left))
    return replace(state, held=tuple(kept)), released


def _undone(part: float, item: Held) -> Shift:
    return Shift(-part, item.equity - item.amount, "undone", None, "a step that was taken for a cash flow was none")


def _shifts(state: FundsState, flows: list[Movement], released: list[Part]) -> list[Shift]:
    """The flows, less what the baselines were shifted for them before, and the undoing of what was shifted wrongly."""
    shifted = [(part, item) for part, item in released if item.shifted]
    equity = state.equity
    shifts: list[Shift] = []
    for flow in reversed(flows):
        left = flow.amount
        for place, (part, item) in enumerate(shifted):
            covered = common(left, part)
            left = state.money(left - covered)
            shifted[place] = (state.money(part - covered), item)
        if left:
            shifts.insert(0, Shift(left, equity, "flow", flow.ticket, f"deal {flow.ticket} is a cash flow"))
        equity = state.money(equity - left)
    return [_undone(part, item) for part, item in shifted if part] + shifts
