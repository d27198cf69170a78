"""What guards say in the same way: what cannot be known, the share of a limit, and the guard that remembers nothing."""

from collections.abc import Mapping
from typing import Any

from engine.guards.base import Facts, Finding, Guard, Nothing, Unit
from engine.guards.stored import Stored


class Unknown(Exception):
    """What a guard must know and does not, in words for people. A money decision fails closed: the guard blocks."""


def not_known(unknown: Unknown, limit: float, unit: Unit) -> Finding:
    """The breach of a guard that cannot measure: the limit counts as used up."""
    return Finding(limit, limit, unit, 1.0, f"it cannot be known: {unknown}", breached=True)


def share(value: float, limit: float) -> float:
    """How much of a limit is used up, 1 at the limit; a limit of nothing is used up."""
    return value / limit if limit > 0 else 1.0


class StatelessGuard(Guard[Nothing]):
    """A guard that judges each reading by itself."""

    def fresh(self, facts: Facts) -> Nothing:
        """Nothing is remembered."""
        return Nothing()

    def load(self, stored: Mapping[str, Any]) -> Nothing:
        """Nothing is remembered. Raises ValueError when something is stored."""
        Stored(self.name, stored, ())
        return Nothing()
