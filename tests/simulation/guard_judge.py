"""The judge of the guards' campaign: what was really on the account, and what each guard may and must make of it.

In: the broker's own money and deals, and whether what account_info answered was the truth. Out: problems, in words.
Nothing of the engine is believed here. Where it may know a thing a moment later than the broker, a base lies between
two bounds: nothing may trip above the higher floor, and whatever stays below the lower one must.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

TOLERANCE = 0.05
"""How far money that was scaled and rounded may be from money that was not."""
EXPLAINED_SECONDS = 2.5
"""For so long the deals must have been visible to an engine that reads before it has to have booked them."""
UNSEEN_SECONDS = 3.0
"""For so long after a deal its result may not have been booked: a real terminal shows deals late."""
BOOKED_AFTER_READINGS = 12
"""With so many readings after a deal was shown it has been booked: it may have been shown to another part first."""
BREACH_SECONDS = 5.0
"""A breach that lasts so long while everything is readable must have tripped."""
TRIP_SECONDS = 1.5
"""How old the look may be that a trip is the consequence of."""

BasisKind = Literal["peak", "initial", "floor", "day balance", "day equity"]


@dataclass
class Bounds:
    """Where a sum of money lies for certain."""

    low: float
    high: float

    def widen(self, *values: float) -> None:
        self.low, self.high = min(self.low, *values), max(self.high, *values)

    def set(self, low: float, high: float) -> None:
        self.low, self.high = low, high


@dataclass
class Flow:
    """Money that came or went without a trade and that the engine may not have explained yet.

    What the engine scales by is between `low` and `high`. `shown`: its deal was in an answer to the engine; `settled`:
    an operator has said what it was, and `word`: that it was a result.
    """

    ticket: int
    amount: float
    low: float = math.inf
    high: float = -math.inf
    shown: bool = False
    settled: bool = False
    word: bool = False


@dataclass
class Result:
    """A result, whether its deal was in an answer to the engine, and how many readings may have booked it since."""

    ticket: int
    amount: float
    shown: bool = False
    readings: int = 0


@dataclass
class Limit:
    """One limit as its rule says it, with what it is measured from as far as the judge knows."""

    name: str
    kind: BasisKind
    percent: float = 0.0
    money: float = 0.0
    of_initial: bool = False
    act_at: float = 1.0
    follows: Literal["scale", "shift", "keep"] = "scale"
    begins_again: bool = True
    closes: bool = True
    blind: bool = False
    """It raises instead of judging: what it does not see it cannot remember."""
    basis: Bounds = field(default_factory=lambda: Bounds(math.nan, math.nan))
    initial: Bounds = field(default_factory=lambda: Bounds(math.nan, math.nan))

    def floor(self, basis: float, initial: float) -> float:
        """The equity at which it acts."""
        if self.kind == "floor":
            return self.money
        amount = self.money or self.percent / 100 * (initial if self.of_initial else basis)
        return round(basis - amount + (1 - self.act_at) * amount, 8)

    @property
    def floors(self) -> Bounds:
        """The lowest and the highest that its floor can be."""
        return Bounds(
            self.floor(self.basis.low, self.initial.high), self.floor(self.basis.high, self.initial.low)
        )  # fmt: skip

    def after(self, flows: tuple[Flow, ...]) -> "Limit":
        """The same limit once these flows are booked."""
        if self.kind == "floor" or self.follows == "keep":
            return self
        low = high = 1.0
        shift = 0.0
        for flow in flows:
            if self.follows == "scale":
                low, high = low * flow.low, high * flow.high
            else:
                shift += flow.amount
        other = Limit(self.name, self.kind, self.percent, self.money, self.of_initial, self.act_at, self.follows)
        for ours, theirs in ((self.basis, other.basis), (self.initial, other.initial)):
            theirs.set(ours.low * low + shift, ours.high * high + shift)
        return other


@dataclass(frozen=True)
class Look:
    """One answer of account_info: the true equity at that moment, and whether that is what was answered."""

    at: float
    equity: float
    honest: bool
    flows: tuple[Flow, ...]


class Judge:
    """Follows one account. `problem` is told what is wrong."""

    def __init__(self, limits: list[Limit], reset_at: float, problem: Callable[[str], None]) -> None:
        self.limits = {limit.name: limit for limit in limits}
        self._reset_at = reset_at
        self._problem = problem
        self.flows: list[Flow] = []
        self.results: list[Result] = []
        """What was won or lost and the engine may not have booked yet."""
        self.money = self.equity = math.nan
        self._looks: deque[Look] = deque(maxlen=40)
        self._sure: deque[tuple[float, float]] = deque()
        self._breach: dict[str, float] = {}
        self._last: Look | None = None
        """The last answer, when it is surely a reading that the guards have judged."""
        self._day: dict[str, Bounds] = {}
        self._day_is_plain = True
        """No money came or went without a trade around the day's start."""
        self._readable_since = math.inf
        self._visible = True
        self._unexplained_since: float | None = None
        self.moved_at = -math.inf
        """When the bounds were last moved by something else than the equity."""
        self.deal_at = self._flowed_at = -math.inf
        self.exact_hits = 0

    # what happens on the account

    def sample(self, now: float, balance: float, equity: float, flows: list[Flow], *, visible: bool) -> None:
        """The broker's money now, the flows since the last sample, and whether all deals can be read."""
        self.money, self.equity = balance, equity
        if flows:
            self.flows += flows
            self.moved_at = self.deal_at = self._flowed_at = now
            self._day_is_plain = self._day_is_plain and not self._in_day(now)
        for flow in self.flows:
            others = [other.amount for other in self.flows if other is not flow]
            others += [other.amount for other in self.results]
            for after in (
                equity - sum(amount for amount in others if amount > 0),
                equity - sum(amount for amount in others if amount < 0),
                equity,
            ):
                before = after - flow.amount
                factor = after / before if before > 0 and after > 0 else 1.0
                flow.low, flow.high = min(flow.low, factor), max(flow.high, factor)
        if not visible:
            self._readable_since = math.inf
        self._visible = visible
        self._follow_day(now)

    def _in_day(self, now: float) -> bool:
        return self._reset_at - 3 <= now < math.inf and self._reset_at < math.inf

    def _follow_day(self, now: float) -> None:
        """What the day began with: something that was on the account around its start, until it must be known."""
        if not self._in_day(now):
            return
        over = now > self._reset_at + 30 and now - self._readable_since > UNSEEN_SECONDS and not self.flows
        gone = sum(flow.amount for flow in self.flows)
        for limit in self.limits.values():
            if not limit.kind.startswith("day") or limit.follows == "keep":
                continue
            value = self._present(limit)
            around = self._day.setdefault(limit.name, Bounds(value, value))
            around.widen(value, value - gone)
            limit.basis.widen(around.low, around.high)
            if over and self._day_is_plain:
                limit.basis.set(around.low, around.high)
        self.moved_at = now
        if over:
            self._reset_at = math.inf

    def _present(self, limit: Limit) -> float:
        return self.money if limit.kind in ("initial", "day balance") else self.equity

    @property
    def _net(self) -> float:
        """The equity without what may not have been booked yet."""
        return self.equity - sum(flow.amount for flow in self.flows)

    # what the engine was answered

    def look(self, now: float, *, honest: bool, late: bool, cycle: bool) -> None:
        """The engine was answered. `late`: too late to be believed for certain; `cycle`: it is a guard's reading."""
        self._looks.append(Look(now, self.equity, honest, tuple(self.flows)))
        self._last = None
        if not honest or late:
            self._readable_since = math.inf
            self._breach.clear()
            return
        for limit in self.limits.values():
            if math.isnan(limit.basis.low):
                limit.basis.set(self._present(limit), self._present(limit))
                limit.initial.set(self.money, self.money)
            elif limit.kind == "peak":
                limit.basis.high = max(limit.basis.high, self._net, *((self.equity,) * (limit.follows == "keep")))
        self._watch_unexplained(now)
        if not cycle:
            return
        if self._visible:
            self._readable_since = min(self._readable_since, now)
        if self.flows and now - max(self._readable_since, self._flowed_at) > EXPLAINED_SECONDS:
            self._book(now)
        clean = not self.flows and now - self.deal_at > UNSEEN_SECONDS and now - self._readable_since > UNSEEN_SECONDS
        while self._sure and self._sure[0][0] < now - 1.0:
            self._raise(self._sure.popleft()[1])
        if clean:
            self._sure.append((now, self.equity))
        self._must_trip(now, clean=clean)
        for result in self.results:
            # Shown to another part, and then nothing could be read: who books it may not have seen it.
            result.readings += result.shown and self._visible
        self.results = [result for result in self.results if result.readings < BOOKED_AFTER_READINGS]
        self._last = Look(now, self.equity, honest, tuple(self.flows))

    def _raise(self, equity: float) -> None:
        for limit in self.limits.values():
            if limit.kind == "peak" and not limit.blind:
                limit.basis.low = max(limit.basis.low, equity)

    def _book(self, now: float) -> None:
        """What has been visible for so long has been booked."""
        flows = tuple(self.flows)
        for limit in self.limits.values():
            after = limit.after(flows)
            limit.basis.set(after.basis.low, after.basis.high)
            limit.initial.set(after.initial.low, after.initial.high)
            if limit.kind == "peak" and limit.follows == "keep":
                limit.basis.high = max(limit.basis.high, self.equity)
        self.flows.clear()
        self._sure.clear()
        self._looks = deque((replace(look, flows=()) for look in self._looks), self._looks.maxlen)
        self.moved_at = now

    def stopped(self) -> None:
        """The engine was killed: what it had just seen it may have forgotten."""
        self._sure.clear()
        self._breach.clear()
        self._last = None
        self._readable_since = math.inf
        self._unexplained_since = None

    def _must_trip(self, now: float, *, clean: bool) -> None:
        """Invariant 4: a true breach that lasts trips."""
        for limit in self.limits.values():
            if not clean or not limit.closes or limit.blind or self.equity > limit.floors.low:
                self._breach.pop(limit.name, None)
                continue
            since = self._breach.setdefault(limit.name, now)
            if since < math.inf and now - since > BREACH_SECONDS:
                self._problem(
                    f"{limit.name} has not tripped: equity {self.equity:.2f}, floor {limit.floors.low:.2f},"
                    f" for {now - since:.1f} s"
                )
                self._breach[limit.name] = math.inf

    def stands_down(self) -> None:
        """The account is being flattened: a breach is not news."""
        self._breach.clear()

    # what the engine says

    def tripped(self, name: str, at: float) -> None:
        """Invariant 4: at a trip the true equity really was at or below the floor at a look that could be believed."""
        limit = self.limits.get(name)
        if limit is None:
            self._problem(f"{name} tripped, which measures no equity")
            return
        said = []
        for look in self._looks:
            if not at - TRIP_SECONDS <= look.at <= at + 0.01 or not look.honest:
                continue
            for booked, held in _ways(look.flows):
                hidden = sum(flow.amount for flow in held if flow.amount < 0 and not flow.word)
                floor = limit.after(booked).floors.high
                if look.equity - hidden <= floor + TOLERANCE:
                    self.exact_hits += abs(look.equity - floor) < 0.001
                    return
                said.append(f"{look.equity - hidden:.2f} > {floor:.2f}")
        self._problem(f"{name} tripped and no look shows it: {', '.join(said[-3:]) or 'none could be believed'}")

    def shown(self, name: str, floor: float, now: float) -> None:
        """Invariants 4, 5 and 8: the floor that is shown follows from the true equity and the true flows."""
        limit = self.limits.get(name)
        if limit is None or math.isnan(limit.basis.low) or now - self.moved_at < UNSEEN_SECONDS:
            return
        bounds = [limit.after(booked).floors for booked, _ in _ways(tuple(self.flows))]
        low, high = min(one.low for one in bounds), max(one.high for one in bounds)
        if not low - TOLERANCE <= floor <= high + TOLERANCE:
            self._problem(f"{name} shows the floor {floor:.2f}: it lies between {low:.2f} and {high:.2f}")
        elif not self.flows and limit.kind in ("peak", "initial"):
            # What was shown must not be forgotten.
            limit.basis.low = max(limit.basis.low, _basis_of(limit, floor) - TOLERANCE)

    def shown_drawdown(self, percent: float, headroom: float, at_equity: float, now: float) -> None:
        """Invariant 8: percent and headroom are those by the true flows, whether or not a deal explains them yet."""
        limit = self.limits["drawdown"]
        if now - self.moved_at < UNSEEN_SECONDS or math.isnan(limit.basis.low):
            return
        if self._last is not None and not self.results and not any(flow.word for flow in self._last.flows):
            rooms = [
                self._last.equity - sum(min(0.0, flow.amount) for flow in held) - floor
                for booked, held in _ways(self._last.flows)
                for floor in (limit.after(booked).floors.low, limit.after(booked).floors.high)
            ]
            if not min(rooms) - TOLERANCE <= headroom <= max(rooms) + TOLERANCE:
                between = f"{min(rooms):.2f} and {max(rooms):.2f}"
                self._problem(f"a headroom of {headroom:.2f} is shown: it lies between {between}")
        ways = [limit.after(booked).basis for booked, _ in _ways(tuple(self.flows))]
        percents = [max(0.0, (peak - at_equity) / peak * 100) for one in ways for peak in (one.low, one.high)]
        if not min(percents) - 0.01 <= percent <= max(percents) + 0.01:
            between = f"{min(percents):.3f} and {max(percents):.3f} %"
            self._problem(f"a drawdown of {percent:.3f} % is shown: it lies between {between}")

    def unexplained(self, now: float) -> float:
        """For how long money has been seen to have come or gone that no deal explains and no operator has settled."""
        return 0.0 if self._unexplained_since is None else now - self._unexplained_since

    def _watch_unexplained(self, now: float) -> None:
        hidden = sum(flow.amount for flow in self.flows if not flow.settled and not flow.shown)
        if abs(hidden) < 0.02:
            self._unexplained_since = None
        elif self._unexplained_since is None:
            self._unexplained_since = now

    # what operators decide

    def settled(self, what: str) -> None:
        """An operator has said what the unexplained money was."""
        for flow in self.flows:
            flow.settled = True
            flow.word = flow.word or what == "result"

    def began_again(self, now: float, *, keep: bool) -> None:
        """A reset: bases begin again from the present, where they may and unless they are kept."""
        self.moved_at = now
        self._sure.clear()
        if keep:
            return
        gone = sum(flow.amount for flow in self.flows if flow.amount < 0)
        came = sum(flow.amount for flow in self.flows if flow.amount > 0)
        for limit in self.limits.values():
            if limit.begins_again:
                limit.basis.set(self._present(limit) - came, self._present(limit) - gone)
                limit.initial.set(self.money - came, self.money - gone)

    def bases_set(self, now: float, *, initial: float | None, highest: float | None) -> None:
        """An operator has said what is measured from."""
        self.moved_at = now
        self._sure.clear()
        for limit in self.limits.values():
            if initial is not None and limit.name != "drawdown":
                limit.initial.set(initial, initial)
                if limit.kind == "initial":
                    limit.basis.set(initial, initial)
                elif limit.kind == "peak":
                    limit.basis.set(max(limit.basis.low, initial), max(limit.basis.high, initial))
            if highest is not None and limit.kind == "peak":
                low = max(highest, self.equity) if limit.name == "drawdown" else highest
                gone = sum(flow.amount for flow in self.flows if flow.amount < 0)
                limit.basis.set(low, max(low, self.equity - gone) if limit.name == "drawdown" else low)


def _ways(flows: tuple[Flow, ...]) -> Iterator[tuple[tuple[Flow, ...], tuple[Flow, ...]]]:
    """Each way in which some flows are booked and the others are held."""
    for chosen in itertools.product((True, False), repeat=len(flows)):
        booked = tuple(flow for flow, taken in zip(flows, chosen, strict=True) if taken)
        yield booked, tuple(flow for flow, taken in zip(flows, chosen, strict=True) if not taken)


def _basis_of(limit: Limit, floor: float) -> float:
    """The basis that a floor follows from, at least."""
    if limit.money:
        return floor + limit.act_at * limit.money
    if limit.of_initial and limit.kind != "initial":
        return floor + limit.act_at * limit.percent / 100 * limit.initial.low
    return floor / (1 - limit.act_at * limit.percent / 100)
