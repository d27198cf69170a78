"""Money at risk: what is lost, from the equity now, if every stop is hit.

Counted from the present price, so that profit given back by a trailing stop is risk too. Orders count as if they were
filled at their price. Without commission, slippage and gaps: the limit needs room for these.
"""

from decimal import Decimal

from engine.guards import rehearsal
from engine.guards.base import Action, Drill, Entry, Facts, Finding, Nothing
from engine.guards.findings import StatelessGuard, Unknown, not_known, share
from engine.guards.holdings import held, limit_of, money_at_stop, of_entry
from engine.guards.settings import RiskAtStopsRule


class RiskAtStopsGuard(StatelessGuard):
    """Breaks when the money at risk is at its limit, and while anything has no stop: its risk is unlimited."""

    name = "money at risk"
    action = Action.BLOCK

    def __init__(self, rule: RiskAtStopsRule) -> None:
        self._rule = rule

    def judge(self, memory: Nothing, facts: Facts) -> tuple[Nothing, Finding]:
        """Add up what the stops would cost."""
        limit = self._limit(facts)
        try:
            risk = _at_risk(facts)
        except Unknown as unknown:
            return memory, not_known(unknown, float(limit), "money")
        used = share(float(risk), float(limit))
        said = f"{risk:.2f} of {limit:.2f} would be lost if every stop were hit"
        return memory, Finding(float(risk), float(limit), "money", used, said, breached=risk >= limit)

    def refuses(self, memory: Nothing, facts: Facts, entry: Entry) -> str | None:
        """Whether the money at risk would exceed the limit with it."""
        limit = self._limit(facts)
        try:
            after = _at_risk(facts) + money_at_stop(of_entry(entry), facts)
        except Unknown as unknown:
            return f"the money at risk cannot be known: {unknown}"
        if after > limit:
            return f"{after:.2f} would be lost if every stop were hit; at most {limit:.2f}"
        return None

    def drill(self) -> Drill[Nothing]:
        """Nothing at risk, then a position that risks the whole limit (and a little, for the rounding of its stop)."""
        limit = self._limit(rehearsal.facts())
        # The stop is 0.01 away: 1,000 for each lot.
        volume = float(limit) / 1000 * 1.01
        return Drill(Nothing(), rehearsal.facts(), rehearsal.facts(positions=(rehearsal.position(volume=volume),)))

    def _limit(self, facts: Facts) -> Decimal:
        return limit_of(facts, self._rule.percent, self._rule.money)


def _at_risk(facts: Facts) -> Decimal:
    return sum((money_at_stop(holding, facts) for holding in held(facts)), Decimal(0))
