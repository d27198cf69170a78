"""The spread: the widest at which a symbol may be traded, in points. Around news and at the day's end it widens.

A limit for each symbol beside the profile's general one (`entry.max_spread_points`).
"""

import math
from decimal import Decimal

from engine.broker.conditions import exact
from engine.guards import rehearsal
from engine.guards.base import Action, Drill, Entry, Facts, Finding, Nothing
from engine.guards.findings import StatelessGuard, Unknown, share
from engine.guards.holdings import spec_of
from engine.guards.settings import SpreadRule


class SpreadGuard(StatelessGuard):
    """Refuses an opening on a named symbol whose spread is wider than its limit or is not known.

    It warns instead of breaking: other symbols may be opened.
    """

    name = "spread"
    action = Action.BLOCK

    def __init__(self, rule: SpreadRule) -> None:
        self._limits = dict(rule.points)

    def judge(self, memory: Nothing, facts: Facts) -> tuple[Nothing, Finding]:
        """Find the symbol whose spread uses up most of its limit."""
        worst, warned = (0.0, 0.0, max(self._limits.values()), ""), False
        unknown: list[str] = []
        for symbol, limit in self._limits.items():
            try:
                spread = _points(facts, symbol)
            except Unknown:
                unknown.append(symbol)
                continue
            warned = warned or spread > exact(limit)
            used = share(float(spread), limit)
            if used >= worst[0]:
                worst = (used, float(spread), limit, f"{symbol}: spread {spread:.1f} of at most {limit:g} points")
        used, value, limit, said = worst
        if unknown:
            # Not quoted yet, or misspelt: such a limit holds for nothing.
            said = "; ".join(filter(None, (said, f"no spread is known of {', '.join(unknown)}")))
        return memory, Finding(value, limit, "points", used, said, breached=False, warned=warned)

    def refuses(self, memory: Nothing, facts: Facts, entry: Entry) -> str | None:
        """Whether its symbol's spread is too wide."""
        limit = self._limits.get(entry.symbol)
        if limit is None:
            return None
        try:
            spread = _points(facts, entry.symbol)
        except Unknown as unknown:
            return f"the spread cannot be known: {unknown}"
        if spread > exact(limit):
            return f"the spread of {entry.symbol} is {spread:.1f} points; at most {limit:g}"
        return None

    def drill(self) -> Drill[Nothing]:
        """No spread, then twice the limit: the opening is to be refused."""
        symbol, limit = next(iter(self._limits.items()))
        wide = rehearsal.facts(symbol=symbol, spread_points=limit * 2)
        return Drill(Nothing(), rehearsal.facts(symbol=symbol), wide, entry=rehearsal.entry(symbol=symbol))


def _points(facts: Facts, symbol: str) -> Decimal:
    spec, quote = spec_of(facts, symbol), facts.quotes.get(symbol)
    if quote is None:
        raise Unknown(f"{symbol} has no quote")
    if not all(0 < value < math.inf for value in (quote.bid, quote.ask, spec.point)) or quote.ask < quote.bid:
        raise Unknown(f"{symbol} is quoted {quote.bid} to {quote.ask}, in points of {spec.point}")
    return (exact(quote.ask) - exact(quote.bid)) / exact(spec.point)
