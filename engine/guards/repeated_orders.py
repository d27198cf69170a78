"""The repeated execution throttle: the same opening, by symbol, side and volume, again and again.

RTS 6 (Delegated Regulation (EU) 2017/589) Article 15(3): after a predetermined number of repeated executions the system
is disabled until a designated person enables it again. So the breach locks until an operator lifts it, and the count
begins again then. The signature of a strategy that runs in a circle.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from engine.guards import rehearsal
from engine.guards.base import Action, Drill, Entry, Facts, Finding, Guard, News, Sent
from engine.guards.findings import share
from engine.guards.settings import RepeatedOrdersRule
from engine.guards.stored import Stored, seconds


@dataclass(frozen=True, slots=True)
class Repeats:
    """The openings sent within the window: what each was, and when (UTC epoch seconds of market time)."""

    sends: tuple[tuple[str, float], ...] = ()


class RepeatedOrdersGuard(Guard[Repeats]):
    """Breaks when the same opening was sent as often as may be within the window.

    A send that lies in the future, since the clock was set back, counts too.
    """

    name = "repeated orders"
    action = Action.BLOCK
    locks = "operator"

    def __init__(self, rule: RepeatedOrdersRule) -> None:
        self._most, self._window = rule.most, rule.window_seconds

    def fresh(self, facts: Facts) -> Repeats:
        """Nothing was sent."""
        return Repeats()

    def load(self, stored: Mapping[str, Any]) -> Repeats:
        """The sends that were stored. Raises ValueError when they are not."""
        rows = Stored(self.name, stored, ("sends",)).rows("sends")
        return Repeats(tuple(self._send(row) for row in rows))

    def _send(self, row: Any) -> tuple[str, float]:
        if not isinstance(row, (list, tuple)) or len(row) != 2 or not isinstance(row[0], str):
            raise ValueError(f"a send in the stored memory of {self.name!r} is {row!r}; it must be a text and a time")
        return row[0], Stored(self.name, {"at": row[1]}, ("at",)).number("at")

    def learn(self, memory: Repeats, news: News) -> Repeats:
        """Remember a send; forget those that the window no longer covers."""
        if not isinstance(news, Sent):
            return memory
        at = seconds(news.at)
        return Repeats((*self._within(memory, at), (_what(news.entry), at)))

    def judge(self, memory: Repeats, facts: Facts) -> tuple[Repeats, Finding]:
        """Find the opening that was repeated most."""
        counts = Counter(what for what, _ in self._within(memory, seconds(facts.moment.utc)))
        what, count = max(counts.items(), key=lambda item: item[1], default=("", 0))
        said = f"{what} was sent {count} times" if what else "nothing was sent"
        said += f" within {self._window:g} s, of at most {self._most}"
        return memory, Finding(count, self._most, "count", share(count, self._most), said, breached=count >= self._most)

    def refuses(self, memory: Repeats, facts: Facts, entry: Entry) -> str | None:
        """Whether it would be one repetition too many."""
        what = _what(entry)
        count = sum(sent == what for sent, _ in self._within(memory, seconds(facts.moment.utc)))
        if count + 1 > self._most:
            return f"{what} was sent {count} times within {self._window:g} s, of at most {self._most}"
        return None

    def unlocked(self, memory: Repeats) -> Repeats:
        """Count from nothing: an operator has looked at what was repeated."""
        return Repeats()

    def drill(self) -> Drill[Repeats]:
        """Nothing sent, then the same opening as often as may be."""
        now = rehearsal.facts()
        sent = Sent(rehearsal.entry(), now.moment.utc - timedelta(seconds=self._window / 2))
        return Drill(Repeats(), now, now, news=(sent,) * self._most)

    def _within(self, memory: Repeats, now: float) -> tuple[tuple[str, float], ...]:
        return tuple(send for send in memory.sends if send[1] > now - self._window)


def _what(entry: Entry) -> str:
    return f"{entry.side} {round(entry.volume, 8):g} {entry.symbol}"
