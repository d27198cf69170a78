"""The margin level: equity over the margin in use, in percent, before the broker's own margin call decides.

A broker calls and closes out at levels of its own (ACCOUNT_MARGIN_SO_CALL and _SO_SO of MetaTrader 5); this guard acts
earlier. An account that uses no margin has no level: MetaTrader 5 then shows 0, which is harmless.
"""

import math

from engine.guards import rehearsal
from engine.guards.base import Drill, Facts, Finding, Nothing
from engine.guards.findings import StatelessGuard, share
from engine.guards.settings import MarginLevelRule

_WARN_ABOVE = 1.25


class MarginLevelGuard(StatelessGuard):
    """Breaks when the margin level is at or below the least one, or is no number.

    Raises ValueError when the level at which it is to warn is not above the one at which it acts.
    """

    name = "margin level"

    def __init__(self, rule: MarginLevelRule) -> None:
        self.action = rule.action
        self._least = rule.percent
        self._warn = rule.percent * _WARN_ABOVE if rule.warn_percent is None else rule.warn_percent
        if self._warn <= self._least:
            raise ValueError(f"warn_percent {self._warn:g} must be above percent {self._least:g}")

    def judge(self, memory: Nothing, facts: Facts) -> tuple[Nothing, Finding]:
        """Hold the account's margin level against the least one."""
        account, least = facts.reading.account, self._least
        if account is None or account.margin == 0:
            none = account is not None
            said = "no margin is in use" if none else "it cannot be known: the account could not be read"
            return memory, Finding(0.0, least, "percent", 0.0 if none else 1.0, said, breached=not none)
        level = account.margin_level
        if not math.isfinite(level):
            said = f"a margin level of {level} with a margin of {account.margin:.2f}"
            return memory, Finding(0.0, least, "percent", 1.0, said, breached=True, borne_out=False)
        floor = account.margin * least / 100
        finding = Finding(
            value=level,
            limit=least,
            unit="percent",
            used=share(least, level),
            said=f"margin level {level:.1f} %, at least {least:g} %",
            breached=level <= least,
            warned=level <= self._warn,
            floor=floor,
            headroom=facts.reading.equity - floor,
            borne_out=facts.reading.bears_out(floor),
        )
        return memory, finding

    def drill(self) -> Drill[Nothing]:
        """No margin in use, then the least level."""
        margin = rehearsal.EQUITY * 100 / self._least
        return Drill(Nothing(), rehearsal.facts(), rehearsal.facts(margin=margin, margin_level=self._least))
