"""The profit target: a profit that wins the day, or the whole challenge, and is not to be lost again.

A loss limit in a mirror: the target is the basis plus an amount. Prop firms' challenges are won at such a profit; going
on can only lose it. What may turn out to be a deposit wins nothing, and a profit that the positions do not show must be
seen again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.guards import rehearsal
from engine.guards.base import Bases, Drill, Facts, Finding, Guard, Moment, Unit
from engine.guards.days import next_reset
from engine.guards.findings import share
from engine.guards.loss import LossLimit, LossMemory
from engine.guards.settings import BROKER, LossRule, ProfitTargetRule
from engine.readings import AccountReading


@dataclass(frozen=True, slots=True)
class _Target:
    """The equity at which it is won, and how far that is above the basis. Account currency."""

    basis: float
    amount: float
    equity: float


class ProfitTargetGuard(Guard[LossMemory]):
    """Breaks when the equity is at or above the target.

    Its basis is that of a loss limit: a day begins, a cash flow moves it (scaled for a target in percent, shifted for
    one in money) and an operator says it in the same way. A reset that begins again sets the next target.
    """

    name = "profit target"

    def __init__(self, rule: ProfitTargetRule) -> None:
        self._rule = rule
        self.action = rule.action
        self.locks = None if rule.action.verdict.rank < 2 else rule.lock
        # Of this limit only the basis is asked. Whether it is in percent says how a cash flow moves it.
        percent = None if rule.percent is None else 50.0
        self._basis = LossLimit(
            LossRule(name=self.name, basis=rule.basis, percent=percent, money=rule.money, reset=rule.reset)
        )

    def fresh(self, facts: Facts) -> LossMemory:
        """Measured from the first reading, until an operator says otherwise."""
        return self._basis.fresh(facts)

    def load(self, stored: Mapping[str, Any]) -> LossMemory:
        """The memory from its stored form. Raises ValueError when it is not one."""
        return self._basis.load(stored)

    def judge(self, memory: LossMemory, facts: Facts) -> tuple[LossMemory, Finding]:
        """Begin the day if it is a new one, then hold the equity against the target."""
        memory, _ = self._basis.judge(memory, facts)
        target, reading = self._target(memory), facts.reading
        profit = reading.equity_for_peak - target.basis
        breached = reading.equity_for_peak >= target.equity
        unit: Unit = "money" if self._rule.percent is None else "percent"
        factor = self._rule.percent / target.amount if self._rule.percent is not None and target.amount > 0 else 1.0
        finding = Finding(
            value=profit * factor,
            limit=target.amount * factor,
            unit=unit,
            used=max(0.0, share(profit, target.amount)),
            said=f"profit {profit:.2f} of {target.amount:.2f}, from {target.basis:.2f}",
            breached=breached,
            borne_out=not breached or _borne_out(reading, target.equity),
        )
        return memory, finding

    def after_cash_flow(self, memory: LossMemory, amount: float, equity: float) -> LossMemory:
        """The basis follows the money. Raises ValueError for what is not finite."""
        return self._basis.after_cash_flow(memory, amount, equity)

    def with_bases(self, memory: LossMemory, bases: Bases) -> LossMemory:
        """Take over what the operator says. Raises ValueError for what is not finite."""
        return self._basis.with_bases(memory, bases)

    def began_again(self, memory: LossMemory, facts: Facts) -> LossMemory:
        """Measure from the present reading: the next target."""
        return self._basis.began_again(memory, facts)

    def next_reset(self, moment: Moment) -> datetime | None:
        """When its day ends; None when it neither has a day nor is locked until the next."""
        return next_reset(self._rule.reset, moment) if self._has_day else None

    @property
    def by_brokers_clock(self) -> bool:
        """Whether its day ends by the broker's clock."""
        return self._has_day and self._rule.reset.zone == BROKER

    @property
    def _has_day(self) -> bool:
        return self._rule.basis != "initial" or self.locks == "reset"

    def drill(self) -> Drill[LossMemory]:
        """At the basis, then at the target."""
        start = rehearsal.facts()
        memory = self.fresh(start)
        return Drill(memory, start, rehearsal.facts(self._target(memory).equity))

    def _target(self, memory: LossMemory) -> _Target:
        basis = self._basis.limit(memory).basis
        money, percent = self._rule.money, self._rule.percent
        amount = money if money is not None else basis * (percent or 0.0) / 100
        # Rounded beyond any currency's digits, so that >= is decided by money.
        return _Target(basis, amount, round(basis + amount, 8))


def _borne_out(reading: AccountReading, target: float) -> bool:
    """Whether the positions too say that the equity is at or above the target."""
    witness = reading.equity_by_positions
    return witness is not None and min(witness, witness - reading.unexplained) >= target
