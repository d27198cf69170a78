"""How many trades may be opened in a day: a trader's own rule against overtrading.

A trade is an order that opened a position or added to one, whoever sent it. What is ordered or on its way counts as a
trade already. The broker tells of deals late, so a position that was opened today counts by its own time as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.guards import rehearsal
from engine.guards.base import Action, Drill, Entry, Facts, Finding, Guard, Moment, News, TradeOpened
from engine.guards.days import day_key, next_reset
from engine.guards.findings import Unknown, not_known, share
from engine.guards.holdings import held
from engine.guards.settings import BROKER, TradesADayRule
from engine.guards.stored import Stored


@dataclass(frozen=True, slots=True)
class DayOfTrades:
    """The present day, the orders that opened trades (each with its day), and the broker's clock less UTC, seconds."""

    day: str
    offset: float
    opened: tuple[tuple[str, int], ...] = ()


class TradesADayGuard(Guard[DayOfTrades]):
    """Breaks when as many trades were opened today as may be. A day that has begun does not go back."""

    name = "trades a day"
    action = Action.BLOCK

    def __init__(self, rule: TradesADayRule) -> None:
        self._most, self._reset = rule.most, rule.reset

    def fresh(self, facts: Facts) -> DayOfTrades:
        """No trade is known yet; those of today that are still open are counted all the same."""
        return DayOfTrades(day_key(self._reset, facts.moment), _offset(facts.moment))

    def load(self, stored: Mapping[str, Any]) -> DayOfTrades:
        """The day that was stored. Raises ValueError when it is not one."""
        read = Stored(self.name, stored, ("day", "offset", "opened"))
        opened = tuple(self._opened(row) for row in read.rows("opened"))
        return DayOfTrades(read.day("day"), read.number("offset"), opened)

    def _opened(self, row: Any) -> tuple[str, int]:
        if not isinstance(row, (list, tuple)) or len(row) != 2:
            raise ValueError(f"a trade in the stored memory of {self.name!r} is {row!r}; it must be a day and an order")
        read = Stored(self.name, {"day": row[0], "order": row[1]}, ("day", "order"))
        return read.day("day"), read.count("order")

    def learn(self, memory: DayOfTrades, news: News) -> DayOfTrades:
        """Remember a trade, unless it was opened before the present day or is known."""
        if not isinstance(news, TradeOpened):
            return memory
        day = self._day(news.at, memory.offset)
        if day < memory.day or any(order == news.order for _, order in memory.opened):
            return memory
        return replace(memory, opened=(*memory.opened, (day, news.order)))

    def judge(self, memory: DayOfTrades, facts: Facts) -> tuple[DayOfTrades, Finding]:
        """Count today's trades."""
        memory = self._today(memory, facts)
        try:
            opened, coming = self._count(memory, facts)
        except Unknown as unknown:
            return memory, not_known(unknown, self._most, "count")
        count = opened + coming
        said = f"{count} trades today, of at most {self._most}" + (f"; {coming} of them are ordered" if coming else "")
        finding = Finding(
            count,
            self._most,
            "count",
            share(count, self._most),
            said,
            breached=count >= self._most,
            lifts_at=self.next_reset(facts.moment) if opened >= self._most else None,
        )
        return memory, finding

    def refuses(self, memory: DayOfTrades, facts: Facts, entry: Entry) -> str | None:
        """Whether it would be one too many."""
        try:
            count = sum(self._count(self._today(memory, facts), facts))
        except Unknown as unknown:
            return f"today's trades cannot be known: {unknown}"
        if count + 1 > self._most:
            return f"{count} trades were opened or ordered today, of at most {self._most}"
        return None

    def next_reset(self, moment: Moment) -> datetime:
        """When the day ends."""
        return next_reset(self._reset, moment)

    @property
    def by_brokers_clock(self) -> bool:
        """Whether the day ends by the broker's clock."""
        return self._reset.zone == BROKER

    def drill(self) -> Drill[DayOfTrades]:
        """No trade, then as many as may be."""
        now = rehearsal.facts()
        news = tuple(TradeOpened(order, rehearsal.SPEC.name, now.moment.utc) for order in range(1, self._most + 1))
        return Drill(self.fresh(now), now, now, news=news)

    def _day(self, utc: datetime, offset: float) -> str:
        return day_key(self._reset, Moment(utc, utc.replace(tzinfo=None) + timedelta(seconds=offset), 0.0))

    def _today(self, memory: DayOfTrades, facts: Facts) -> DayOfTrades:
        day = max(memory.day, day_key(self._reset, facts.moment))
        opened = memory.opened
        if day != memory.day:
            opened = tuple(trade for trade in opened if trade[0] >= day)
        return DayOfTrades(day, _offset(facts.moment), opened)

    def _count(self, memory: DayOfTrades, facts: Facts) -> tuple[int, int]:
        """How many were opened today, and how many may still come of what is ordered."""
        holdings = held(facts)
        orders = {order for _, order in memory.opened}
        for position in facts.reading.positions or ():
            if position.identifier in orders:
                continue
            broker = datetime.fromtimestamp(position.time_msc / 1000, UTC)
            if self._day(broker - timedelta(seconds=memory.offset), memory.offset) >= memory.day:
                # A position bears the number of the order that opened it.
                orders.add(position.identifier)
        coming = sum(
            holding.kind != "position" and not holding.adds and holding.number not in orders for holding in holdings
        )
        return len(orders), coming


def _offset(moment: Moment) -> float:
    return (moment.broker - moment.utc.replace(tzinfo=None)).total_seconds()
