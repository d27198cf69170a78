"""How many lots may be open and ordered, in total and on one symbol: the gross sum of both sides.

A limit on volume is among the pre-trade controls of RTS 6 (Delegated Regulation (EU) 2017/589) Article 15(1).
"""

from collections.abc import Iterable
from decimal import Decimal

from engine.broker.conditions import exact
from engine.guards import rehearsal
from engine.guards.base import Action, Drill, Entry, Facts, Finding, Nothing
from engine.guards.findings import StatelessGuard, Unknown, not_known, share
from engine.guards.holdings import Holding, held, lots, of_entry
from engine.guards.settings import VolumeRule


class VolumeGuard(StatelessGuard):
    """Breaks when the total is reached. A symbol that has reached its own limit warns: others may still be opened."""

    name = "volume"
    action = Action.BLOCK

    def __init__(self, rule: VolumeRule) -> None:
        self._most = None if rule.most is None else exact(rule.most)
        self._per_symbol = None if rule.most_per_symbol is None else exact(rule.most_per_symbol)

    def judge(self, memory: Nothing, facts: Facts) -> tuple[Nothing, Finding]:
        """Add up what is open and ordered; shown is the limit that is used up most."""
        try:
            holdings = held(facts)
        except Unknown as unknown:
            return memory, not_known(unknown, float(self._most or self._per_symbol or 0), "lots")
        measures: list[tuple[float, Decimal, Decimal, str]] = []
        breached = warned = False
        if self._most is not None:
            total = lots(holdings)
            breached = total >= self._most
            measures.append((share(float(total), float(self._most)), total, self._most, "lots in total"))
        if self._per_symbol is not None:
            symbol, volume = _largest(holdings)
            warned = volume >= self._per_symbol
            said = f"lots on {symbol}" if symbol else "lots on one symbol"
            measures.append((share(float(volume), float(self._per_symbol)), volume, self._per_symbol, said))
        used, value, limit, of = max(measures, key=lambda measure: measure[0])
        said = f"{value:f} of {limit:f} {of}"
        return memory, Finding(float(value), float(limit), "lots", used, said, breached=breached, warned=warned)

    def refuses(self, memory: Nothing, facts: Facts, entry: Entry) -> str | None:
        """Whether a limit would be exceeded with it."""
        try:
            after = (*held(facts), of_entry(entry))
        except Unknown as unknown:
            return f"the volume cannot be known: {unknown}"
        total = lots(after)
        if self._most is not None and total > self._most:
            return f"it would be {total:f} lots in total; at most {self._most:f}"
        on_symbol = lots(_on(entry.symbol, after))
        if self._per_symbol is not None and on_symbol > self._per_symbol:
            return f"it would be {on_symbol:f} lots on {entry.symbol}; at most {self._per_symbol:f}"
        return None

    def drill(self) -> Drill[Nothing]:
        """Nothing held, then the whole limit: a further lot is to be refused."""
        least = float(min(limit for limit in (self._most, self._per_symbol) if limit is not None))
        full = rehearsal.facts(positions=(rehearsal.position(volume=least),))
        return Drill(Nothing(), rehearsal.facts(), full, entry=rehearsal.entry(volume=least))


def _on(symbol: str, holdings: Iterable[Holding]) -> list[Holding]:
    return [holding for holding in holdings if holding.symbol == symbol]


def _largest(holdings: tuple[Holding, ...]) -> tuple[str, Decimal]:
    """The symbol of which most is held, and how much."""
    sums = {symbol: lots(_on(symbol, holdings)) for symbol in {holding.symbol for holding in holdings}}
    return max(sums.items(), key=lambda item: item[1], default=("", Decimal(0)))
