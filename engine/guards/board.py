"""All guards of one account: each is asked about every VALID reading, and their words are made into verdicts.

    Finding -> breached? -> confirmed? -> the guard's action -> its lock -> Verdict

A guard that raises is a BLOCK until it judges again. A breach whose action closes everything must be borne out by the
positions, or be seen in 3 readings over at least 300 ms; until then it blocks. Knows no broker, no journal, no clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from engine.guards.base import Bases, Entry, Facts, Finding, Guard, News, Verdict
from engine.guards.drawdown import CONFIRMING_READINGS, CONFIRMING_SECONDS
from engine.readings import Validity

NO_BASES = Bases()


@dataclass(frozen=True, slots=True)
class Lock:
    """Entries stay blocked after a breach: until a moment (UTC), or until an operator says so (None)."""

    since: datetime
    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How one guard stands. `memory` is None before its first reading; `evaluated_at` is monotonic seconds.

    `failure` is what it raised instead of judging. `breaches` counts readings in a row whose breach nothing bore out.
    """

    memory: Any = None
    finding: Finding | None = None
    verdict: Verdict = Verdict.CLEAR
    evaluated_at: float | None = None
    lock: Lock | None = None
    failure: str = ""
    breaches: int = 0
    breach_since: float = 0.0


class ChangeKind(StrEnum):
    """What is worth telling of a guard."""

    WARNED = "warned"
    BLOCKED = "blocked"
    TRIPPED = "tripped"
    CLEARED = "cleared"
    FAILED = "failed"
    LOCKED = "locked"
    LIFTED = "lifted"


@dataclass(frozen=True, slots=True)
class Change:
    """One guard stands otherwise than before."""

    guard: str
    kind: ChangeKind
    standing: Standing


VERDICT_KINDS = {
    Verdict.CLEAR: ChangeKind.CLEARED,
    Verdict.WARN: ChangeKind.WARNED,
    Verdict.BLOCK: ChangeKind.BLOCKED,
    Verdict.FLATTEN: ChangeKind.TRIPPED,
}


def judged(guard: Guard[Any], before: Standing, facts: Facts, bases: Bases = NO_BASES) -> Standing:
    """How a guard stands after one VALID reading. Pure, and raises nothing: what the guard raises is in the result.

    `bases` are what a guard that begins afresh measures from, where a profile says so.
    """
    lock = before.lock
    now = facts.moment.utc
    if lock is not None and lock.until is not None and now >= lock.until:
        lock = None
    try:
        memory = before.memory
        if memory is None:
            memory = guard.with_bases(guard.fresh(facts), bases)
        memory, finding = guard.judge(memory, facts)
        ends = _ends(guard, facts) if finding.breached else None
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        return replace(before, lock=lock, verdict=Verdict.BLOCK, failure=said, breaches=0)
    verdict = Verdict.WARN if finding.warned else Verdict.CLEAR
    breaches, since = 0, 0.0
    if finding.breached:
        verdict = guard.action.verdict
        if verdict is Verdict.FLATTEN and not finding.borne_out:
            breaches = before.breaches + 1
            since = before.breach_since if before.breaches else facts.reading.at
            confirmed = breaches >= CONFIRMING_READINGS and facts.reading.at - since >= CONFIRMING_SECONDS
            verdict = Verdict.FLATTEN if confirmed else Verdict.BLOCK
        if lock is None and guard.locks is not None and verdict is guard.action.verdict:
            lock = Lock(now, ends, finding.said)
    if lock is not None and verdict.rank < Verdict.BLOCK.rank:
        verdict = Verdict.BLOCK
    return Standing(memory, finding, verdict, facts.reading.at, lock, "", breaches, since)


def _ends(guard: Guard[Any], facts: Facts) -> datetime | None:
    if guard.locks == "reset":
        return guard.next_reset(facts.moment)
    return (
        None
        if isinstance(guard.locks, str) or guard.locks is None
        else facts.moment.utc + timedelta(seconds=guard.locks)
    )


class Board:
    """Holds the guards of one account and how each stands."""

    def __init__(
        self, guards: Iterable[Guard[Any]], stored: Mapping[str, Any] | None = None, bases: Bases = NO_BASES
    ) -> None:
        """`stored` is what `to_json` gave; guards unknown to it begin afresh, from `bases`. Raises ValueError."""
        self.bases = bases
        self.guards = {guard.name: guard for guard in guards}
        kept = stored or {}
        self._left_out = {name: dict(one) for name, one in kept.items() if name not in self.guards and _lasts(one)}
        """What guards that are not there remember, where it lasts, and the cash flows since."""
        self.standings = {name: _loaded(guard, kept.get(name)) for name, guard in self.guards.items()}

    def step(self, facts: Facts) -> list[Change]:
        """Ask every guard about a reading and say what changed. One that is not VALID changes nothing."""
        if facts.reading.validity is not Validity.VALID:
            return []
        changes: list[Change] = []
        for name, guard in self.guards.items():
            before = self.standings[name]
            after = self.standings[name] = judged(guard, before, facts, self.bases)
            changes += _changes(name, before, after)
        return changes

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        return max(
            (standing.verdict for standing in self.standings.values()), key=lambda one: one.rank, default=Verdict.CLEAR
        )

    def tripped(self) -> str | None:
        """The first guard that says FLATTEN."""
        return next((name for name, standing in self.standings.items() if standing.verdict is Verdict.FLATTEN), None)

    def by_brokers_clock(self) -> list[str]:
        """The guards that go by the broker's clock."""
        return [name for name, guard in self.guards.items() if guard.by_brokers_clock]

    def closing(self) -> str | None:
        """Why what is open is to be closed without halting, as before a weekend; None when it is not."""
        for standing in self.standings.values():
            if standing.finding is not None and standing.finding.closes:
                return standing.finding.said
        return None

    def refusal(self, facts: Facts, entry: Entry) -> str | None:
        """Why an opening is refused; None when it is not. A guard that cannot say is a reason."""
        # A further try of the same opening is judged as if the one before were not there.
        facts = replace(facts, sent=tuple(one for one in facts.sent if one.magic != entry.magic))
        for name, guard in self.guards.items():
            standing = self.standings[name]
            if standing.failure:
                return f"the guard {name!r} failed: {standing.failure}"
            if standing.lock is not None and standing.verdict is not Verdict.FLATTEN:
                return f"{name} is locked {lock_words(standing.lock)}: {standing.lock.reason}"
            if standing.verdict.rank >= Verdict.BLOCK.rank:
                return standing.finding.said if standing.finding is not None else f"the guard {name!r} blocks"
            if standing.evaluated_at is None:
                # Neither in this run nor since a reset: what it said before is not known any more.
                return f"the guard {name!r} has not judged a reading yet"
            try:
                refused = guard.refuses(standing.memory, facts, entry)
            except Exception as error:
                return f"the guard {name!r} failed: {type(error).__name__}: {error}"
            if refused is not None:
                return refused
        return None

    def learn(self, news: News) -> None:
        """Tell every guard what happened."""
        self._each(lambda guard, memory: guard.learn(memory, news))

    def after_cash_flow(self, amount: float, equity: float) -> None:
        """Money came or went without a trade; `equity` is the one after it."""
        self._each(lambda guard, memory: guard.after_cash_flow(memory, amount, equity))
        for one in self._left_out.values():
            one["flows"] = [*one.get("flows", ()), [amount, equity]]

    def with_bases(self, bases: Bases) -> None:
        """Take over what the operator says."""
        self._each(lambda guard, memory: guard.with_bases(memory, bases))

    def begin_again(self, facts: Facts) -> None:
        """What a reset does: baselines begin again where they may, and locks that wait for an operator lift."""
        self._each(lambda guard, memory: guard.began_again(memory, facts))
        for name in self.standings:
            self.unlock(name)

    def unlock(self, name: str) -> bool:
        """Lift a lock that waits for an operator; False when there is none."""
        standing = self.standings[name]
        if standing.lock is None or standing.lock.until is not None:
            return False
        memory = standing.memory if standing.memory is None else self.guards[name].unlocked(standing.memory)
        self.standings[name] = replace(standing, lock=None, memory=memory)
        return True

    def _each(self, change: Any) -> None:
        for name, guard in self.guards.items():
            standing = self.standings[name]
            if standing.memory is None:
                continue
            try:
                memory = change(guard, standing.memory)
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                self.standings[name] = replace(standing, verdict=Verdict.BLOCK, failure=said)
            else:
                self.standings[name] = replace(standing, memory=memory)

    def to_json(self) -> dict[str, Any]:
        """What a restart must find again."""
        present = {
            name: {"memory": asdict(standing.memory), "lock": _lock_to_json(standing.lock)}
            | ({"lasts": True} if self.guards[name].lasts else {})
            for name, standing in self.standings.items()
            if standing.memory is not None
        }
        return {**self._left_out, **present}


def lock_words(lock: Lock) -> str:
    """How long, for people."""
    return "until an operator unlocks it" if lock.until is None else f"until {lock.until:%Y-%m-%d %H:%M:%S} UTC"


def _changes(name: str, before: Standing, after: Standing) -> Iterable[Change]:
    if after.failure:
        if after.failure != before.failure:
            yield Change(name, ChangeKind.FAILED, after)
        return
    if after.verdict is not before.verdict or before.failure:
        yield Change(name, VERDICT_KINDS[after.verdict], after)
    if after.lock is not None and before.lock != after.lock:
        yield Change(name, ChangeKind.LOCKED, after)
    elif after.lock is None and before.lock is not None:
        yield Change(name, ChangeKind.LIFTED, after)


def _lasts(stored: Any) -> bool:
    return isinstance(stored, Mapping) and stored.get("lasts") is True


def _loaded(guard: Guard[Any], stored: Any) -> Standing:
    if stored is None:
        return Standing()
    try:
        lock, memory = stored["lock"], guard.load(stored["memory"])
        for amount, equity in stored.get("flows", ()):
            memory = guard.after_cash_flow(memory, amount, equity)
        return Standing(
            memory=memory,
            lock=None
            if lock is None
            else Lock(
                datetime.fromisoformat(lock["since"]),
                datetime.fromisoformat(lock["until"]) if lock["until"] else None,
                lock["reason"],
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the stored memory of the guard {guard.name!r} cannot be read: {error!r}") from error


def _lock_to_json(lock: Lock | None) -> dict[str, Any] | None:
    if lock is None:
        return None
    until = lock.until.isoformat() if lock.until is not None else None
    return {"since": lock.since.isoformat(), "until": until, "reason": lock.reason}
