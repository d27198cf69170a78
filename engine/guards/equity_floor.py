"""The equity floor: an equity, in account currency, below which nothing is risked.

The plainest hard stop: a fixed sum that moves with nothing, neither with the peak nor with money paid in or out. An
equity at the floor breaks it, as the drawdown guard does at its own.
"""

from engine.guards import rehearsal
from engine.guards.base import Drill, Facts, Finding, Nothing
from engine.guards.findings import StatelessGuard, share
from engine.guards.settings import EquityFloorRule


class EquityFloorGuard(StatelessGuard):
    """Breaks when the equity is at or below the floor. What may be a withdrawal is left out until it is explained."""

    name = "equity floor"

    def __init__(self, rule: EquityFloorRule) -> None:
        self._rule = rule
        self.action = rule.action

    def judge(self, memory: Nothing, facts: Facts) -> tuple[Nothing, Finding]:
        """Hold the equity against the floor."""
        floor, equity = self._rule.money, facts.reading.equity_for_limit
        finding = Finding(
            value=equity,
            limit=floor,
            unit="money",
            used=share(floor, equity),
            said=f"equity {equity:.2f}, floor {floor:.2f}",
            breached=equity <= floor,
            warned=equity <= floor + self._rule.warn_money,
            floor=floor,
            headroom=equity - floor,
            borne_out=facts.reading.bears_out(floor),
        )
        return memory, finding

    def drill(self) -> Drill[Nothing]:
        """Well above the floor, then at it."""
        floor = self._rule.money
        return Drill(Nothing(), rehearsal.facts((floor + self._rule.warn_money) * 2), rehearsal.facts(floor))
