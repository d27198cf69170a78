"""How guards are shown: the drawdown guard and the board's, as the control API tells them. Reads only."""

from datetime import timedelta

from engine.account import AccountEngine
from engine.cashflows import blocks
from engine.control import messages as wire
from engine.guards.base import Action, Guard, Verdict
from engine.guards.board import Standing, lock_words
from engine.risk import DRAWDOWN
from engine.text import plain


def risk_view(engine: AccountEngine, now: float, drawdown: wire.DrawdownView) -> wire.RiskView:
    """Every guard as far as a restart would find it again, what tripped, and what an operator must decide.

    `drawdown` is the drawdown guard as the snapshot shows it.
    """
    risk, cycle = engine.risk, engine.cycle
    shown = cycle.standings
    guards = [_drawdown(engine, drawdown)]
    guards += [
        _guard(guard, shown[name], now, risk.drawdown.equity)
        for name, guard in risk.board.guards.items()
        if name in shown
    ]
    return wire.RiskView(
        guards=guards,
        market_time=engine.market.moment().utc if engine.market.has_time else None,
        trip=_trip(engine),
        funds=_funds(engine, now),
        loosened=[plain(said) for said in risk.loosened],
        bases_wanted=["this live account is new here: what its guards measure from must be said or confirmed"]
        if risk.wants_bases
        else [],
    )


def guard_notices(engine: AccountEngine) -> list[str]:
    """What the operator must know of the guards on every screen, in words."""
    risk, notices = engine.risk, []
    for name, standing in risk.board.standings.items():
        if standing.failure:
            notices.append(f"GUARD FAILED: {name}: entries are blocked ({plain(standing.failure)})")
        elif standing.lock is not None:
            notices.append(f"LOCKED by {name} {lock_words(standing.lock)}: {plain(standing.lock.reason)}")
        elif standing.verdict is Verdict.BLOCK and standing.finding is not None:
            notices.append(f"ENTRIES BLOCKED by {name}: {plain(standing.finding.said)}")
    clock = engine.gate.clock_refusal()
    if clock is not None:
        notices.append(f"BROKER'S CLOCK NOT KNOWN: {plain(clock)}; entries are blocked")
    unexplained = engine.books.refusal()
    if unexplained is not None:
        notices.append(f"UNEXPLAINED BALANCE: {unexplained}; entries are blocked")
    if risk.loosened:
        loosened = "; ".join(map(plain, risk.loosened))
        notices.append(f"LOOSER RULES REFUSED until a reset, or a start with nothing open or locked: {loosened}")
    if risk.wants_bases:
        notices.append("NEW LIVE ACCOUNT: say what its guards measure from before it resumes (quarterdeck bases)")
    return notices


def _drawdown(engine: AccountEngine, shown: wire.DrawdownView) -> wire.GuardView:
    cycle = engine.cycle
    state = cycle.guard.state
    return wire.GuardView(
        name=DRAWDOWN,
        action=Action.FLATTEN.value,
        verdict=shown.verdict,
        unit="percent",
        value=shown.percent,
        limit=shown.limit_percent,
        used=shown.percent / shown.limit_percent,
        warn_at=state.warn_at,
        floor=shown.floor,
        headroom=shown.headroom,
        headroom_percent=_percent(shown.headroom, state.equity),
        said=plain(cycle.guard_error or f"{shown.percent:.2f} % below the highest equity, {shown.peak:.2f}"),
        evaluated_age_seconds=shown.evaluated_age_seconds,
        failed=cycle.guard_error is not None,
    )


def _guard(guard: Guard[object], standing: Standing, now: float, equity: float) -> wire.GuardView:
    finding, lock = standing.finding, standing.lock
    headroom = finding.headroom if finding is not None else None
    said = standing.failure or (finding.said if finding is not None else "it has not judged a reading yet")
    return wire.GuardView(
        name=plain(guard.name, 64),
        action=guard.action.value,
        verdict=standing.verdict.value,
        unit=finding.unit if finding is not None else "count",
        value=finding.value if finding is not None else 0.0,
        limit=finding.limit if finding is not None else 0.0,
        used=finding.used if finding is not None else 0.0,
        warn_at=guard.warns_at,
        floor=finding.floor if finding is not None else None,
        headroom=headroom,
        headroom_percent=None if headroom is None else _percent(headroom, equity),
        said=plain(said),
        evaluated_age_seconds=None if standing.evaluated_at is None else max(0.0, now - standing.evaluated_at),
        lock=None if lock is None else wire.LockView(since=lock.since, until=lock.until, reason=plain(lock.reason)),
        lifts_at=finding.lifts_at if finding is not None else None,
        failed=bool(standing.failure),
    )


def _percent(part: float, whole: float) -> float | None:
    return part / whole * 100 if whole > 0 else None


def _trip(engine: AccountEngine) -> wire.TripView | None:
    trip = engine.risk.trip
    if trip is None:
        return None
    standing = engine.risk.board.standings.get(trip.guard)
    verdict = standing.verdict if standing is not None else Verdict.CLEAR
    if trip.guard == DRAWDOWN:
        verdict = engine.risk.drawdown.verdict
    return wire.TripView(
        guard=plain(trip.guard, 64),
        at=trip.at,
        equity=trip.equity,
        floor=trip.floor,
        said=plain(trip.said),
        breached=verdict is Verdict.FLATTEN,
    )


def _funds(engine: AccountEngine, now: float) -> wire.FundsView | None:
    state = engine.risk.funds
    if state is None or not blocks(state, now):
        return None
    since = state.seen.since if state.seen is not None and state.seen.since is not None else now
    return wire.FundsView(
        amount=state.to_settle,
        since=engine.clock.utc() - timedelta(seconds=max(0.0, now - since)),
        provisional=bool(state.provisional),
    )
