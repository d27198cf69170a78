"""Loss limits against a reference written from the rules' text, on every real tick and over years made up by a seed.

The reference reckons in decimals, knows the account's whole ledger instead of remembering, and has its own calendar:
it shares nothing with what it checks but a rule's values.
"""

import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args

import pytest

from engine.guards.base import Booked, Facts, Moment, Neighbour
from engine.guards.loss import LossLimit, LossMemory
from engine.guards.presets import preset_rules
from engine.guards.settings import LossBasis, LossRule, PresetName
from tests.unit.core.makers import reading

TICKS = Path(__file__).resolve().parents[3] / "shared" / "data" / "eurusd-ticks-2020-01-01.csv"
HOUR = timedelta(hours=1)
D = Decimal


def last_sunday(year: int, month: int) -> date:
    day = date(year, month, 31)
    return day - timedelta(days=(day.weekday() + 1) % 7)


def first_sunday(year: int, month: int) -> date:
    day = date(year, month, 1)
    return day + timedelta(days=(6 - day.weekday()) % 7)


def start_of_day(zone: str, day: date) -> datetime:
    """When a day begins, UTC: midnight in Prague or at a broker two hours ahead, five in the afternoon in New York."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if zone == "Europe/Prague":
        summer = last_sunday(day.year, 3) < day <= last_sunday(day.year, 10)
        return midnight - HOUR * (2 if summer else 1)
    if zone == "America/New_York":
        summer = first_sunday(day.year, 3) + timedelta(days=7) <= day < first_sunday(day.year, 11)
        return midnight + HOUR * (21 if summer else 22)
    return midnight - 2 * HOUR


@dataclass
class Entry:
    """One line of the account's ledger. A flow is money that came or went without a trade."""

    at: datetime
    amount: Decimal
    flow: bool


@dataclass
class Seen:
    """What an account showed at one moment."""

    at: datetime
    balance: Decimal
    equity: Decimal


@dataclass
class Reference:
    """One rule, reckoned from the beginning of the account on. `starts`: the starts of all days, UTC."""

    rule: dict[str, Any]
    starts: list[datetime]
    seen: list[Seen] = field(default_factory=list)
    bases: dict[str, Decimal] = field(default_factory=dict)
    stop: Decimal | None = None

    def follow(self, now: Seen, news: list[Entry]) -> tuple[Decimal, Decimal, bool]:
        """The firm's floor, the acting floor, and whether the equity has reached it. `news`: booked since the last."""
        if not self.seen:
            names = ("initial", "day-start balance", "highest day-end balance")
            self.bases = dict.fromkeys(names, now.balance)
            self.bases |= {"day-start equity": now.equity, "highest equity": now.equity}
            stop = self.rule["stops_trailing_at"]
            self.stop = None if stop in (None, "initial") else D(str(stop))
        else:
            flowed = sum((item.amount for item in news if item.flow), D(0))
            if flowed and self.rule["cash_flows"] == "adjust":
                self._flow(flowed, now.equity)
            self._days(self.seen[-1], now, news)
        self.bases["highest equity"] = max(self.bases["highest equity"], now.equity)
        self.seen = [now]
        return self._floors(now.equity)

    def _flow(self, amount: Decimal, equity: Decimal) -> None:
        """In percent nothing changes for who looks at percent; in money nothing for who looks at the distance."""

        def moved(value: Decimal) -> Decimal:
            if self.rule["money"] is not None or equity <= amount or equity <= 0:
                return value + amount
            return value * equity / (equity - amount)

        self.bases = {name: moved(value) for name, value in self.bases.items()}
        self.stop = None if self.stop is None else moved(self.stop)

    def _days(self, before: Seen, now: Seen, news: list[Entry]) -> None:
        first, end = bisect_right(self.starts, before.at), bisect_right(self.starts, now.at)
        adjusts = self.rule["cash_flows"] == "adjust"
        flows = sum((item.amount for item in news if item.flow), D(0)) if adjusts else D(0)
        for start in self.starts[first:end]:
            # The ledger at that instant; a flow that is followed counts as if it had come before.
            balance = before.balance + flows
            balance += sum(item.amount for item in news if item.at < start and not (item.flow and adjusts))
            if now.at - before.at <= timedelta(seconds=5):
                balance = max(before.balance + flows, now.balance)
            self.bases["day-start balance"] = balance
            self.bases["day-start equity"] = max(before.equity + flows, now.equity)
            self.bases["highest day-end balance"] = max(self.bases["highest day-end balance"], balance)

    def _floors(self, equity: Decimal) -> tuple[Decimal, Decimal, bool]:
        rule, bases = self.rule, self.bases
        if rule["basis"] == "day-start higher":
            basis = max(bases["day-start balance"], bases["day-start equity"])
        elif rule["basis"] == "highest day-end balance":
            basis = max(bases["initial"], bases["highest day-end balance"])
        else:
            basis = bases[rule["basis"]]
        if rule["money"] is not None:
            amount = D(str(rule["money"]))
        else:
            amount = D(str(rule["percent"])) * (bases["initial"] if rule["of"] == "initial" else basis) / 100
        firm = basis - amount
        if rule["stops_trailing_at"] is not None:
            firm = min(firm, bases["initial"] if self.stop is None else self.stop)
        acting = (firm + (1 - D(str(rule["act_at"]))) * amount).quantize(D("1e-8"))
        return firm, acting, equity <= acting


class Pair:
    """A limit and the reference, fed with the same account."""

    def __init__(self, rule: LossRule) -> None:
        first = date(2019, 12, 30)
        starts = [start_of_day(rule.reset.zone, first + timedelta(days=count)) for count in range(366 * 9)]
        self.rule, self.guard, self.reference = rule, LossLimit(rule), Reference(rule.model_dump(), starts)
        self.memory: LossMemory | None = None
        self.breaches = 0
        self.floors: set[Decimal] = set()

    def follow(self, now: Seen, news: list[Entry], facts: Facts) -> None:
        firm, floor, breached = self.reference.follow(now, news)
        memory = self.memory or self.guard.fresh(facts)
        flowed = sum((item.amount for item in news if item.flow), D(0))
        if flowed:
            memory = self.guard.after_cash_flow(memory, float(flowed), float(now.equity))
        self.memory, found = self.guard.judge(memory, facts)
        assert found.floor is not None
        assert abs(D(found.floor) - floor) < D("1e-6"), f"{self.rule.name} at {now}: not {floor} but {found}"
        assert abs(D(self.guard.limit(self.memory).firm_floor) - firm) < D("1e-6"), f"{self.rule.name} at {now}"
        assert found.breached == breached, f"{self.rule.name} at {now}: not {breached} but {found}"
        self.breaches += breached
        self.floors.add(floor)


def follow(pairs: list[Pair], course: Iterator[tuple[Seen, list[Entry]]]) -> int:
    """Feed an account's course to all; how many readings it had."""
    before: Neighbour | None = None
    count = 0
    for count, (now, news) in enumerate(course, start=1):  # noqa: B007  # the last one is returned
        booked = tuple(Booked(item.at, float(item.amount), "cash flow" if item.flow else "result") for item in news)
        moment = Moment(now.at, (now.at + 2 * HOUR).replace(tzinfo=None), now.at.timestamp())
        seen = reading(float(now.equity), balance=float(now.balance))
        facts = Facts(moment, seen, before=before, booked=booked)
        for pair in pairs:
            pair.follow(now, news, facts)
        before = Neighbour(now.at, float(now.balance), float(now.equity))
    return count


def own_rules(flows: Literal["adjust", "keep"]) -> list[LossRule]:
    """All six bases in percent and in money, some in percent of the initial balance, some that stop trailing."""
    six: list[dict[str, Any]] = [{"basis": basis} for basis in get_args(LossBasis)]
    tables = [
        *({**basis, "percent": 6.5, "reset": {"zone": "Europe/Prague"}} for basis in six),
        *({**basis, "money": 5_000} for basis in six),
        {"basis": "day-start higher", "percent": 4, "of": "initial", "act_at": 0.8},
        {"basis": "highest equity", "percent": 7, "of": "initial", "act_at": 0.8},
        {"basis": "highest equity", "percent": 9, "stops_trailing_at": 97_000},
        {"basis": "highest day-end balance", "money": 6_000, "stops_trailing_at": "initial"},
    ]
    named = ({"name": f"limit {count}", "cash_flows": flows, **table} for count, table in enumerate(tables))
    return [LossRule.model_validate(table) for table in named]


def a_year(seed: int, year: int) -> Iterator[tuple[Seen, list[Entry]]]:
    """Readings, two or three an hour on weekdays: an account that trades, sleeps for hours or days, and is paid out."""
    chance = random.Random(seed)
    now = datetime(year, 1, 2, 8, tzinfo=UTC)
    balance, floating = D(100_000), D(0)
    yield Seen(now, balance, balance), []
    while now.year == year:
        pause = timedelta(minutes=chance.randint(5, 45))
        if now.weekday() == 4 and now.hour >= 21:
            pause = timedelta(hours=49)
        elif chance.random() < 0.004:
            pause = timedelta(hours=chance.randint(3, 80))
        elif chance.random() < 0.05:
            pause = timedelta(seconds=chance.randint(1, 5))
        news: list[Entry] = []
        for _ in range(chance.choice((0, 0, 0, 1, 3))):
            amount = D(chance.randint(-90_000, 90_000)) / 100
            amount += ((100_000 - balance) * D("0.002")).quantize(D("0.01"))
            news.append(Entry(now + pause * chance.random(), amount, False))
        if chance.random() < 0.003:
            share = D(chance.choice((-40, -5, -2, 3, 30, 80))) / 100
            news.append(Entry(now + pause * chance.random(), (balance * share).quantize(D("0.01")), True))
        news.sort(key=lambda item: item.at)
        now += pause
        balance += sum((item.amount for item in news), D(0))
        floating = (floating * D("0.9") + D(chance.randint(-150_000, 150_000)) / 100).quantize(D("0.01"))
        yield Seen(now, balance, balance + floating), news


@pytest.mark.parametrize(("seed", "act_at"), [(1, 0.9), (2, 1.0)])
def test_every_preset_agrees_with_its_text_over_a_year(seed: int, act_at: float) -> None:
    pairs = [Pair(rule) for name in get_args(PresetName) for rule in preset_rules(name, act_at)]
    assert follow(pairs, a_year(seed, 2024 + seed)) > 9_000
    for pair in pairs:
        assert pair.breaches > 0, "no breach was met: the test proves less than it says"
        assert (len(pair.floors) > 1) == (pair.rule.basis != "initial")


@pytest.mark.parametrize("flows", ["adjust", "keep"])
@pytest.mark.parametrize("part", range(4))
def test_every_basis_agrees_with_its_text_over_a_year(part: int, flows: Literal["adjust", "keep"]) -> None:
    pairs = [Pair(rule) for rule in own_rules(flows)[part::4]]
    assert follow(pairs, a_year(part, 2026)) > 9_000
    assert all(pair.breaches for pair in pairs), "no breach was met: the test proves less than it says"


def real_ticks() -> Iterator[tuple[datetime, Decimal, Decimal]]:
    """The file's ticks; its clock is New York's, five hours behind UTC."""
    for line in TICKS.read_text().splitlines():
        stamp, bid, ask, _ = line.split(",")
        at = datetime.strptime(f"{stamp}000", "%Y%m%d %H%M%S%f").replace(tzinfo=UTC)
        yield at + 5 * HOUR, D(bid), D(ask)


def a_day_of_trades(lots: Decimal) -> Iterator[tuple[Seen, list[Entry]]]:
    """A position from the first tick on, long and short by turns, that is turned around after every 1,000 ticks."""
    balance, side, opened = D(100_000), 1, D(0)

    def profit(bid: Decimal, ask: Decimal) -> Decimal:
        gain = bid - opened if side > 0 else opened - ask
        return (gain * lots * 100_000).quantize(D("0.01"))

    for count, (at, bid, ask) in enumerate(real_ticks()):
        news: list[Entry] = []
        if count % 1_000 == 0:
            if count:
                news.append(Entry(at, profit(bid, ask), False))
                balance += profit(bid, ask)
                side = -side
            opened = ask if side > 0 else bid
        yield Seen(at, balance, balance + profit(bid, ask)), news


@pytest.mark.skipif(not TICKS.exists(), reason=f"the real tick file is not at {TICKS}")
def test_every_limit_agrees_with_its_text_on_every_real_tick() -> None:
    rules = [rule for name in get_args(PresetName) for rule in preset_rules(name, 0.9)] + own_rules("adjust")
    pairs = [Pair(rule) for rule in rules]
    assert follow(pairs, a_day_of_trades(D(100))) == 9_500
    assert all(0 < pair.breaches < 9_500 for pair in pairs), {pair.rule.name: pair.breaches for pair in pairs}
