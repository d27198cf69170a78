"""The order rate: how many openings may be sent within a minute, every try counted.

A limit on messages is among the pre-trade controls of RTS 6 (Delegated Regulation (EU) 2017/589) Article 15(1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from engine.guards import rehearsal
from engine.guards.base import Action, Drill, Entry, Facts, Finding, Guard, News, Sent
from engine.guards.findings import share
from engine.guards.settings import OrderRateRule
from engine.guards.stored import Stored, at_seconds, seconds

WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Sends:
    """When openings were sent: UTC epoch seconds of market time, oldest first."""

    times: tuple[float, ...] = ()


class OrderRateGuard(Guard[Sends]):
    """Breaks when as many were sent within the last minute as may be.

    A send that lies in the future, since the clock was set back, counts until the clock has passed it by a minute.
    """

    name = "order rate"
    action = Action.BLOCK

    def __init__(self, rule: OrderRateRule) -> None:
        self._most = rule.most_per_minute

    def fresh(self, facts: Facts) -> Sends:
        """Nothing was sent."""
        return Sends()

    def load(self, stored: Mapping[str, Any]) -> Sends:
        """The sends that were stored. Raises ValueError when they are not."""
        return Sends(Stored(self.name, stored, ("times",)).times("times"))

    def learn(self, memory: Sends, news: News) -> Sends:
        """Remember a send; forget those that were more than a minute before it."""
        if not isinstance(news, Sent):
            return memory
        at = seconds(news.at)
        return Sends(tuple(sorted((*_within(memory, at), at))))

    def judge(self, memory: Sends, facts: Facts) -> tuple[Sends, Finding]:
        """Count the sends of the last minute."""
        times = _within(memory, seconds(facts.moment.utc))
        count = len(times)
        breached = count >= self._most
        lifts_at = at_seconds(times[-self._most] + WINDOW_SECONDS) if breached else None
        said = f"{count} openings sent within a minute, of at most {self._most}"
        return memory, Finding(
            count, self._most, "count", share(count, self._most), said, breached=breached, lifts_at=lifts_at
        )

    def refuses(self, memory: Sends, facts: Facts, entry: Entry) -> str | None:
        """Whether it would be one too many."""
        count = len(_within(memory, seconds(facts.moment.utc)))
        if count + 1 > self._most:
            return f"{count} openings were sent within the last minute, of at most {self._most}"
        return None

    def drill(self) -> Drill[Sends]:
        """Nothing sent, then as many at once as may be sent in a minute."""
        now = rehearsal.facts()
        sent = Sent(rehearsal.entry(), now.moment.utc - timedelta(seconds=1))
        return Drill(Sends(), now, now, news=(sent,) * self._most)


def _within(memory: Sends, now: float) -> tuple[float, ...]:
    return tuple(at for at in memory.times if at > now - WINDOW_SECONDS)
