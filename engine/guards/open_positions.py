"""How many positions and orders there may be at once: standing orders and what was just sent count like positions."""

from engine.guards import rehearsal
from engine.guards.base import Action, Drill, Entry, Facts, Finding, Nothing
from engine.guards.findings import StatelessGuard, Unknown, not_known, share
from engine.guards.holdings import held
from engine.guards.settings import OpenPositionsRule


class OpenPositionsGuard(StatelessGuard):
    """Breaks when as many are open as there may be: one more is refused."""

    name = "open positions"
    action = Action.BLOCK

    def __init__(self, rule: OpenPositionsRule) -> None:
        self._most = rule.most

    def judge(self, memory: Nothing, facts: Facts) -> tuple[Nothing, Finding]:
        """Count what is open and ordered."""
        try:
            count = _count(facts)
        except Unknown as unknown:
            return memory, not_known(unknown, self._most, "count")
        said = f"{count} of {self._most} positions and orders"
        return memory, Finding(count, self._most, "count", share(count, self._most), said, breached=count >= self._most)

    def refuses(self, memory: Nothing, facts: Facts, entry: Entry) -> str | None:
        """Whether it would be one too many."""
        try:
            count = _count(facts)
        except Unknown as unknown:
            return f"how much is open cannot be known: {unknown}"
        if count + 1 > self._most:
            return f"{count} positions and orders are open, of at most {self._most}"
        return None

    def drill(self) -> Drill[Nothing]:
        """Nothing open, then as much as there may be."""
        full = tuple(rehearsal.position(number) for number in range(1, self._most + 1))
        return Drill(Nothing(), rehearsal.facts(), rehearsal.facts(positions=full))


def _count(facts: Facts) -> int:
    return sum(not holding.adds for holding in held(facts))
