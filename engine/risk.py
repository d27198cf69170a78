"""Everything that one account's guards remember and are asked: drawdown, board, what tripped, what may be decided.

In: facts, news, cash flows, an operator's decisions. Out: verdicts, refusals, and one JSON value that a restart begins
from. Pure but for its own memory: nothing here reads a broker, writes a journal or knows the time.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from engine.config import DrawdownSettings
from engine.funds import FundsState
from engine.guards.base import Bases, Facts, Neighbour, Verdict
from engine.guards.board import Board, Change, Lock, Standing, judged
from engine.guards.build import build
from engine.guards.drawdown import DrawdownState, after_cash_flow, evaluate
from engine.guards.settings import GuardSettings

DRAWDOWN = "drawdown"
_KEEP_SECONDS = 2.0
"""How often the last reading is kept: what a day's start that is missed is measured from."""


@dataclass(frozen=True, slots=True)
class Trip:
    """What last closed everything. Money in account currency, time UTC."""

    guard: str
    at: datetime
    equity: float
    floor: float | None
    said: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What consoles may see: it is durable, so that a restart would find no other floor."""

    peak: float
    standings: Mapping[str, Standing]


Rules = Mapping[str, Any]
"""The drawdown guard's table under its name, and those of GuardSettings, as plain values."""


def rules_of(drawdown: DrawdownSettings, guards: GuardSettings) -> dict[str, Any]:
    """A profile's rules as plain values."""
    return {DRAWDOWN: drawdown.model_dump(mode="json"), **guards.model_dump(mode="json")}


class Risk:
    """The guards of one account. `drawdown` is the drawdown guard's state; the others are on the `board`.

    `rules` are those in force; `loosened` is what the profile says less strictly, refused until a reset.
    """

    def __init__(self, rules: Rules, stored: Mapping[str, Any], *, equity: float, wants_bases: bool) -> None:
        """`stored` is an earlier `to_json`, or empty. Raises ValueError when it, or a rule, cannot be used."""
        self.rules = dict(rules)
        self.loosened: list[str] = []
        known = stored.get(DRAWDOWN, {})
        peak = float(known.get("peak", equity))
        self.drawdown = DrawdownState(
            **DrawdownSettings(**rules[DRAWDOWN]).model_dump(),
            peak=peak,
            equity=equity if math.isfinite(equity) else peak,
        )
        guards = _guard_settings(rules)
        self.board = Board(build(guards), stored.get("guards"), Bases(initial=guards.initial_balance))
        self.funds = _funds_from(stored.get("funds"))
        self.before = _neighbour_from(stored.get("before"))
        self.trip = _trip_from(stored.get("trip"))
        self.wants_bases = bool(stored.get("wants_bases", wants_bases))
        self.offset: int | None = stored.get("offset")
        """Seconds that the broker's clock is ahead of UTC; None while it is not known."""
        self._kept: tuple[float, int, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """What a restart must find again."""
        return {
            "rules": self.rules,
            DRAWDOWN: {"peak": self.drawdown.peak},
            "guards": self.board.to_json(),
            "funds": None if self.funds is None else json.loads(self.funds.to_json()),
            "before": None if self.before is None else _timed(asdict(self.before), "utc"),
            "trip": None if self.trip is None else _timed(asdict(self.trip), "at"),
            "wants_bases": self.wants_bases,
            "offset": self.offset,
        }

    def copy(self, rules: Rules | None = None) -> "Risk":
        """The same memory again, perhaps under other rules: to try a decision before it is made."""
        stored = json.loads(json.dumps(self.to_json()))
        other = Risk(rules or self.rules, stored, equity=self.drawdown.equity, wants_bases=self.wants_bases)
        other.drawdown = replace(
            self.drawdown, limit_percent=other.drawdown.limit_percent, warn_at=other.drawdown.warn_at
        )
        # With what its last readings showed: since when a step has been unexplained is not forgotten by a decision.
        other.funds = self.funds
        return other

    # what happened

    def step(self, facts: Facts) -> list[Change]:
        """Ask the board about a reading that the drawdown guard has judged, and say what is otherwise now."""
        changes = self.board.step(facts)
        account = facts.reading.account
        if account is not None:
            unexplained = facts.reading.unexplained
            self.before = Neighbour(facts.moment.utc, account.balance - unexplained, account.equity - unexplained)
        return changes

    def has_changed(self) -> bool:
        """Whether there is more to keep than at the last call."""
        kept = self._to_keep()
        is_other = kept != self._kept
        self._kept = kept
        return is_other

    def _to_keep(self) -> tuple[float, int, Any]:
        standings = self.board.standings.values()
        # Who has no guard with a day needs no neighbour of its start.
        seen = int(self.before.utc.timestamp() / _KEEP_SECONDS) if self.before is not None and standings else 0
        return self.drawdown.peak, seen, [(standing.memory, standing.lock) for standing in standings]

    def shift(self, amount: float, equity: float) -> None:
        """Money came (amount > 0) or went without a trade; `equity` is the one after it. Account currency."""
        self.drawdown = after_cash_flow(self.drawdown, amount, equity)
        self.board.after_cash_flow(amount, equity)

    # what an operator decides

    def with_bases(self, bases: Bases) -> None:
        """Take over what the operator says the limits are measured from."""
        if bases.highest_equity is not None:
            peak = max(bases.highest_equity, self.drawdown.equity)
            self.drawdown = replace(self.drawdown, peak=peak)
        self.board.with_bases(bases)
        self.wants_bases = False

    def begin_again(self, facts: Facts, *, keep: bool) -> None:
        """What a reset does: locks that wait for an operator lift, and peaks begin again unless they are kept."""
        if not keep:
            equity = facts.reading.equity
            self.drawdown = replace(self.drawdown, peak=equity, equity=equity)
            self.board.begin_again(facts)
        for name in self.board.guards:
            self.board.unlock(name)
        self.drawdown = replace(self.drawdown, verdict=Verdict.CLEAR, breaches=0, breach_since=0.0)
        self.loosened = []

    def breaches(self, facts: Facts) -> list[str]:
        """The guards that would close everything at this reading, in words. Asks them; nothing is remembered."""
        said = []
        state = evaluate(facts.reading, self.drawdown)
        if facts.reading.equity_for_limit <= state.floor:
            said.append(f"{DRAWDOWN}: equity {facts.reading.equity:.2f} is at or below its floor {state.floor:.2f}")
        for name, guard in self.board.guards.items():
            finding = judged(guard, self.board.standings[name], facts, self.board.bases).finding
            if finding is not None and finding.breached and guard.action.verdict is Verdict.FLATTEN:
                said.append(f"{name}: {finding.said}")
        return said

    def locks_again(self, facts: Facts) -> bool:
        """Whether a guard will lock at this reading: one that was unlocked since the last. Nothing is remembered."""
        for name, guard in self.board.guards.items():
            finding = judged(guard, self.board.standings[name], facts, self.board.bases).finding
            if guard.locks is not None and finding is not None and finding.breached:
                return True
        return False

    def floors(self, facts: Facts) -> dict[str, float]:
        """The equity at which each guard that measures equity trips. Asks them; nothing is remembered."""
        floors = {DRAWDOWN: evaluate(facts.reading, self.drawdown).floor}
        for name, guard in self.board.guards.items():
            finding = judged(guard, self.board.standings[name], facts, self.board.bases).finding
            if finding is not None and finding.floor is not None:
                floors[name] = finding.floor
        return floors

    @property
    def locks(self) -> dict[str, Lock]:
        """The locks that hold, by guard."""
        return {name: standing.lock for name, standing in self.board.standings.items() if standing.lock is not None}

    def take_over(self, other: "Risk") -> None:
        """Become another one: a decision that was tried on it has been recorded."""
        self.__dict__.update(other.__dict__)

    @property
    def shown(self) -> Shown:
        """What may be shown once the memory as it is now is durable."""
        return Shown(self.drawdown.peak, dict(self.board.standings))


def _guard_settings(rules: Rules) -> GuardSettings:
    return GuardSettings(**{key: value for key, value in rules.items() if key != DRAWDOWN})


def _timed(values: dict[str, Any], key: str) -> dict[str, Any]:
    return {**values, key: values[key].isoformat()}


def _neighbour_from(stored: Mapping[str, Any] | None) -> Neighbour | None:
    if stored is None:
        return None
    return Neighbour(datetime.fromisoformat(stored["utc"]), float(stored["balance"]), float(stored["equity"]))


def _funds_from(stored: Any) -> FundsState | None:
    """The ledger; earlier versions kept it as text, which a record of a reset cuts off as it does any long text."""
    if stored is None:
        return None
    return FundsState.from_json(stored if isinstance(stored, str) else json.dumps(stored))


def _trip_from(stored: Mapping[str, Any] | None) -> Trip | None:
    return None if stored is None else Trip(**{**stored, "at": datetime.fromisoformat(stored["at"])})
