"""Carries out what operators decide about guards: reset, unlock, bases, and what an unexplained step of funds was.

In: one action and who sent it. Out: a sentence, or Refused with the reason. Every decision is tried on a copy of the
guards first: what would trip again at once, or loosen a limit while money is at stake, is refused.
"""

from engine.account import AccountEngine
from engine.approvals import Refused
from engine.control.messages import Reset, SetBases, SettleFunds, Unlock
from engine.control.target import Operator
from engine.events import EventType
from engine.guards.base import Bases, Facts
from engine.guards.board import lock_words
from engine.readings import Validity
from engine.risk import rules_of
from engine.starting import UnsupportedAccount, check_guards
from engine.state import EngineMode

_NOISE = 1e-6


async def reset(engine: AccountEngine, action: Reset, reason: str, operator: Operator) -> str:
    """Lift the halt of an account that is flat, with baselines that begin again or are kept."""
    if engine.modes.mode is not EngineMode.HALTED:
        raise Refused(f"the engine is {engine.modes.mode}; only a HALTED one is reset")
    _needs(reason, "a reset")
    killed = engine.killing.lift_refusal()
    if killed is not None:
        raise Refused(f"no reset: {killed}")
    if engine.is_live and action.account != engine.account.login:
        raise Refused(f"this is a live account: a reset needs its number, {engine.account.login}")
    facts = _flat(engine)
    if action.baseline == "present":
        _explained(engine, facts)
    try:
        again = engine.risk.copy(rules_of(engine.settings.drawdown, engine.settings.guards))
        check_guards(again)
    except (UnsupportedAccount, ValueError) as problem:
        raise Refused(f"the profile's guards cannot be taken over: {problem}") from problem
    again.begin_again(facts, keep=action.baseline == "keep")
    breached = again.breaches(facts)
    if breached:
        hint = "" if action.baseline == "present" else " (baseline 'present' begins again where a limit may)"
        raise Refused(f"it would be halted again at once: {'; '.join(breached)}{hint}")
    equity = facts.reading.equity
    who = await engine.four_eyes.reset(engine.modes.state, action, operator)
    if not await engine.reset(again, equity, reason, baseline_kept=action.baseline == "keep", **who):
        raise Refused(f"reset, but a flatten that came meanwhile stands: {engine.modes.state.halt_reason}")
    did = "stays" if action.baseline == "keep" else "restarts"
    said = f"reset: PAUSED, the peak {did} at {again.drawdown.peak:.2f}"
    waits = [f"{name} stays locked {lock_words(lock)}" for name, lock in again.locks.items()]
    return "; ".join([said, *waits, "resume lets entries through"])


def _flat(engine: AccountEngine) -> Facts:
    """The facts of a reading that shows the account flat for certain. Raises Refused."""
    reading, sweep, facts = engine.cycle.reading, engine.cycle.sweep, engine.cycle.facts_now()
    readable = sweep is not None and sweep.positions is not None and sweep.orders is not None
    if reading.validity is not Validity.VALID or not readable or sweep is None or facts is None:
        raise Refused(
            f"the account cannot be read now ({reading.validity}: {reading.reason}); a reset needs to see it flat"
        )
    if sweep.positions or sweep.orders:
        raise Refused(f"not flat: {len(sweep.positions or ())} positions and {len(sweep.orders or ())} orders are open")
    unresolved = engine.book.unresolved()
    if unresolved:
        raise Refused(f"not flat for certain: {len(unresolved)} orders have an unknown outcome")
    return facts


def _explained(engine: AccountEngine, facts: Facts) -> None:
    """Raises Refused while part of the balance may yet turn out to be a cash flow: it would move the new bases too."""
    amount = facts.reading.unexplained or (engine.risk.funds.provisional if engine.risk.funds is not None else 0.0)
    if amount:
        raise Refused(
            f"the balance has moved by {amount:+.2f} and no deal explains it yet: what begins from it now would move"
            " with that deal; wait for it, or settle the step first"
        )


async def unlock(engine: AccountEngine, action: Unlock, reason: str, who: dict[str, str]) -> str:
    """Lift a lock that waits for an operator."""
    _needs(reason, "unlocking a guard")
    board = engine.risk.board
    if action.guard not in board.guards:
        raise Refused(f"no guard {action.guard!r}; there are {', '.join(board.guards) or 'none'}")
    lock = board.standings[action.guard].lock
    if lock is None:
        raise Refused(f"{action.guard} is not locked")
    if lock.until is not None:
        raise Refused(f"{action.guard} is locked {lock_words(lock)}: that is waited for")
    # What raises risk waits for its record.
    await engine.recorder.record(EventType.GUARD_UNLOCKED, guard=action.guard, reason=reason, why=lock.reason, **who)
    board.unlock(action.guard)
    engine.keeper.changed()
    return f"{action.guard} is unlocked"


async def set_bases(engine: AccountEngine, action: SetBases, reason: str, who: dict[str, str]) -> str:
    """Take over what the operator says the limits are measured from."""
    _needs(reason, "setting what guards measure from")
    if engine.modes.mode not in (EngineMode.PAUSED, EngineMode.HALTED):
        raise Refused(f"the engine is {engine.modes.mode}: pause it before what its guards measure from is changed")
    facts = engine.cycle.facts_now()
    if facts is None or engine.cycle.reading.validity is not Validity.VALID:
        raise Refused(f"the account cannot be read now: {engine.cycle.reading.reason or 'no reading yet'}")
    _explained(engine, facts)
    said = {name: value for name, value in action.model_dump(exclude={"kind"}).items() if value is not None}
    tried = engine.risk.copy()
    tried.with_bases(Bases(**said))
    before, after = engine.risk.floors(facts), tried.floors(facts)
    lower = [name for name, floor in before.items() if after.get(name, floor) < floor - _NOISE]
    # Unlocked while its breach lasts, a guard is without its lock until the next reading, and no longer.
    locked = engine.risk.locks or engine.risk.locks_again(facts)
    at_stake = locked or facts.reading.positions is None or facts.reading.positions
    if lower and at_stake and not engine.risk.wants_bases:
        raise Refused(
            f"that would lower the floor of {', '.join(lower)} while positions are open or a guard is locked:"
            " possible once the account is flat and was reset"
        )
    breached = tried.breaches(facts)
    if breached and not engine.risk.breaches(facts):
        raise Refused(f"that would close everything at once: {'; '.join(breached)}")
    await engine.recorder.record(EventType.BASES_SET, **said, floors=after, reason=reason, **who)
    engine.risk.with_bases(Bases(**said))
    engine.keeper.changed()
    # What is answered for is what a restart finds again.
    await engine.keeper.kept()
    return "; ".join([*(f"{name} floor {floor:.2f}" for name, floor in after.items()), "kept"])


async def settle_funds(engine: AccountEngine, action: SettleFunds, reason: str, who: dict[str, str]) -> str:
    """Say what a step of the balance was that no deal explains."""
    _needs(reason, "settling an unexplained step of the balance")
    return await engine.books.settle(action.what, reason, who)


def _needs(reason: str, what: str) -> None:
    if not reason:
        raise Refused(f"{what} needs a reason: it goes into the journal")
