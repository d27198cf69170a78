"""The losing streak: so many losing trades in a row, then a pause. A trader's own rule against trading on tilt.

A trade is lost when all its deals together, with commission, swap and fee, come to less than 0. One that comes to
nothing neither counts nor breaks the streak.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from engine.guards import rehearsal
from engine.guards.base import Action, Drill, Entry, Facts, Finding, Guard, News, TradeClosed
from engine.guards.findings import share
from engine.guards.settings import LosingStreakRule
from engine.guards.stored import Stored, at_seconds, seconds


@dataclass(frozen=True, slots=True)
class Streak:
    """How many trades were lost in a row, and when the last of them was (UTC epoch seconds of market time)."""

    losses: int = 0
    last: float | None = None


class LosingStreakGuard(Guard[Streak]):
    """Blocks from the last loss of a whole streak until the cool-down is over; then the count begins again.

    During the cool-down a further loss prolongs it, and a win does not end it.
    """

    name = "losing streak"
    action = Action.BLOCK

    def __init__(self, rule: LosingStreakRule) -> None:
        self._losses, self._cooldown = rule.losses, rule.cooldown_seconds

    def fresh(self, facts: Facts) -> Streak:
        """No trade was lost yet."""
        return Streak()

    def load(self, stored: Mapping[str, Any]) -> Streak:
        """The streak that was stored. Raises ValueError when it is not one."""
        read = Stored(self.name, stored, ("losses", "last"))
        streak = Streak(read.count("losses"), read.time("last"))
        if (streak.losses > 0) != (streak.last is not None):
            raise ValueError(
                f"the stored memory of {self.name!r} has {streak.losses} losses, the last at {streak.last}"
            )
        return streak

    def learn(self, memory: Streak, news: News) -> Streak:
        """Take in a closed trade."""
        if not isinstance(news, TradeClosed):
            return memory
        at = seconds(news.at)
        memory = self._rested(memory, at)
        if news.result == 0:
            return memory
        if news.result > 0:
            return memory if self._ends(memory) is not None else Streak()
        return replace(memory, losses=memory.losses + 1, last=at if memory.last is None else max(at, memory.last))

    def judge(self, memory: Streak, facts: Facts) -> tuple[Streak, Finding]:
        """Whether the cool-down lasts."""
        memory = self._rested(memory, seconds(facts.moment.utc))
        ends = self._ends(memory)
        lifts_at = None if ends is None else at_seconds(ends)
        said = f"{memory.losses} trades lost in a row, of {self._losses}"
        if lifts_at is not None:
            said += f"; cooling down until {lifts_at:%Y-%m-%d %H:%M:%S} UTC"
        used = share(memory.losses, self._losses)
        return memory, Finding(
            memory.losses, self._losses, "count", used, said, breached=ends is not None, lifts_at=lifts_at
        )

    def refuses(self, memory: Streak, facts: Facts, entry: Entry) -> str | None:
        """Whether the cool-down lasts."""
        _, finding = self.judge(memory, facts)
        return finding.said if finding.breached else None

    def drill(self) -> Drill[Streak]:
        """No trade, then as many losses as make a streak, just now."""
        now = rehearsal.facts()
        lost = TradeClosed(1, rehearsal.SPEC.name, -1.0, now.moment.utc - timedelta(seconds=self._cooldown / 2))
        return Drill(Streak(), now, now, news=(lost,) * self._losses)

    def _ends(self, memory: Streak) -> float | None:
        """When the cool-down of a whole streak ends; None when there is none."""
        if memory.last is None or memory.losses < self._losses:
            return None
        return memory.last + self._cooldown

    def _rested(self, memory: Streak, now: float) -> Streak:
        ends = self._ends(memory)
        return Streak() if ends is not None and now >= ends else memory
