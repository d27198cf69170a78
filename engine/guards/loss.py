"""Limits on losses: how far equity is below a basis, and the floor at which that is enough.

    firm's floor  = basis - amount, no higher than where it stops trailing
    acting floor  = firm's floor + (1 - act_at) * amount

The basis is what a rule says: the initial balance, balance or equity at the start of the day, or a high. Facts and the
memory come in, a Finding and the memory go out; nothing is closed and nothing is locked here.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from engine.guards.base import Bases, Drill, Facts, Finding, Guard, Moment, Unit
from engine.guards.days import day_key, next_reset, starts_between
from engine.guards.drawdown import flow_effect
from engine.guards.rehearsal import facts as rehearsed
from engine.guards.settings import BROKER, LossRule
from engine.guards.stored import Stored
from engine.readings import AccountReading, Validity

RECENT = timedelta(seconds=5)
"""How old the reading before may be for a day's start between the two to count as seen."""
DEALS_WITHIN = timedelta(seconds=15)
"""How long after its start a day waits for the deal that explains a step of the balance: its time says in which day
the step was. A terminal shows deals up to a second late; after 10 s a step is taken for a cash flow."""


@dataclass(frozen=True, slots=True)
class LossMemory:
    """What a loss limit is measured from. Money in account currency.

    `highest_close` is the highest balance at the start of a day; `day` names the last day that has begun, with what
    the account stood at then. An equity that the rule names in money is now, after all cash flows, worth
    `flow_factor` times as much plus `flow_shift`.
    """

    initial: float
    highest_equity: float
    highest_close: float
    day: str
    day_balance: float
    day_equity: float
    flow_factor: float = 1.0
    flow_shift: float = 0.0


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit in money at one moment: `firm_floor` is the rule's, `floor` where this guard acts."""

    basis: float
    firm_floor: float
    floor: float
    warn_floor: float

    @property
    def room(self) -> float:
        """What may be lost, from the basis to the acting floor."""
        return self.basis - self.floor


class LossLimit(Guard[LossMemory]):
    """One LossRule. Peaks move by what is surely no deposit, breaches are held against what is surely no loss."""

    def __init__(self, rule: LossRule) -> None:
        self.rule = rule
        self.name = rule.name
        self.action = rule.action
        self.locks = rule.lock
        self.warns_at = rule.warn_at

    def fresh(self, facts: Facts) -> LossMemory:
        """Everything is measured from the first reading, until an operator says otherwise."""
        reading = _valid(facts.reading)
        balance = _balance(reading)
        return LossMemory(
            initial=balance,
            highest_equity=reading.equity_for_peak,
            highest_close=balance,
            day=day_key(self.rule.reset, facts.moment),
            day_balance=balance,
            day_equity=reading.equity - reading.unexplained,
        )

    def load(self, stored: Mapping[str, Any]) -> LossMemory:
        """The memory from its stored form. Raises ValueError when it is not one."""
        read = Stored(self.name, stored, [field.name for field in fields(LossMemory)])
        return LossMemory(
            initial=read.number("initial"),
            highest_equity=read.number("highest_equity"),
            highest_close=read.number("highest_close"),
            day=read.day("day"),
            day_balance=read.number("day_balance"),
            day_equity=read.number("day_equity"),
            flow_factor=read.number("flow_factor"),
            flow_shift=read.number("flow_shift"),
        )

    def judge(self, memory: LossMemory, facts: Facts) -> tuple[LossMemory, Finding]:
        """Begin the day if it is a new one, raise the high, then hold the equity against the floor.

        Raises ValueError for a reading that is not VALID.
        """
        reading = _valid(facts.reading)
        memory = self._with_day(memory, facts)
        if reading.equity_for_peak > memory.highest_equity:
            memory = replace(memory, highest_equity=reading.equity_for_peak)
        return memory, self._finding(memory, reading)

    def limit(self, memory: LossMemory) -> Limit:
        """The limit as it stands. Rounded beyond any currency's digits, so that >= is decided by money."""
        rule, basis = self.rule, self._basis(memory)
        amount = rule.money if rule.percent is None else rule.percent / 100 * self._reference(memory)
        assert amount is not None  # noqa: S101  # a rule has either
        firm_floor = basis - amount
        if rule.stops_trailing_at is not None:
            firm_floor = min(firm_floor, self._stop(memory, rule.stops_trailing_at))
        floor = firm_floor + (1 - rule.act_at) * amount
        warn_floor = basis - rule.warn_at * (basis - floor)
        return Limit(basis, round(firm_floor, 8), round(floor, 8), round(warn_floor, 8))

    def drill(self) -> Drill[LossMemory]:
        """Far up, where a floor that stops trailing has stopped: harmless at the basis, a breach at the floor."""
        rule = self.rule
        initial = max(10_000.0, 2 * (rule.money or 0.0))
        stop = initial if rule.stops_trailing_at == "initial" else rule.stops_trailing_at or 0.0
        high = max(initial, 2 * (stop + (rule.money or 0.0)) / (1 - (rule.percent or 0.0) / 100))
        memory = LossMemory(initial, high, high, day_key(rule.reset, rehearsed().moment), high, high)
        limit = self.limit(memory)
        return Drill(memory, harmless=rehearsed(limit.basis), breach=rehearsed(limit.floor))

    def after_cash_flow(self, memory: LossMemory, amount: float, equity: float) -> LossMemory:
        """The basis follows, unless the rule keeps it: in percent it is scaled, in money it is shifted.

        Raises ValueError for what is not finite.
        """
        factor, shift = flow_effect(amount, equity)
        if self.rule.cash_flows == "keep":
            return memory
        if self.rule.money is not None:
            factor, shift = 1.0, amount

        def moved(value: float) -> float:
            return value * factor + shift

        return replace(
            memory,
            initial=moved(memory.initial),
            highest_equity=moved(memory.highest_equity),
            highest_close=moved(memory.highest_close),
            day_balance=moved(memory.day_balance),
            day_equity=moved(memory.day_equity),
            flow_factor=memory.flow_factor * factor,
            flow_shift=moved(memory.flow_shift),
        )

    def with_bases(self, memory: LossMemory, bases: Bases) -> LossMemory:
        """Take over what the operator says. An account that began with `initial` once had that much equity too.

        Raises ValueError for what is not finite.
        """
        for name, value in asdict(bases).items():
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{self.name}: {name} of {value}: it must be finite")
        highest = bases.highest_equity
        if highest is None and bases.initial is not None:
            highest = max(memory.highest_equity, bases.initial)
        return LossMemory(
            initial=_told(bases.initial, memory.initial),
            highest_equity=_told(highest, memory.highest_equity),
            highest_close=_told(bases.highest_close, memory.highest_close),
            day=memory.day,
            day_balance=_told(bases.day_start_balance, memory.day_balance),
            day_equity=_told(bases.day_start_equity, memory.day_equity),
            flow_factor=memory.flow_factor,
            flow_shift=memory.flow_shift,
        )

    def began_again(self, memory: LossMemory, facts: Facts) -> LossMemory:
        """Measure from the present reading, unless it is a firm's own rule. The day stays the one that has begun."""
        if not self.rule.begins_again:
            return memory
        again = self.fresh(facts)
        return replace(
            again, day=max(again.day, memory.day), flow_factor=memory.flow_factor, flow_shift=memory.flow_shift
        )

    def next_reset(self, moment: Moment) -> datetime | None:
        """When its day ends, UTC; None for a limit that has no day."""
        return next_reset(self.rule.reset, moment) if self._has_day else None

    @property
    def lasts(self) -> bool:
        """Whether it is a firm's own rule."""
        return not self.rule.begins_again

    @property
    def by_brokers_clock(self) -> bool:
        """Whether its day ends by the broker's clock."""
        return self._has_day and self.rule.reset.zone == BROKER

    @property
    def _has_day(self) -> bool:
        return self.rule.basis not in ("initial", "highest equity") or self.rule.lock == "reset"

    def _basis(self, memory: LossMemory) -> float:
        match self.rule.basis:
            case "initial":
                return memory.initial
            case "day-start balance":
                return memory.day_balance
            case "day-start equity":
                return memory.day_equity
            case "day-start higher":
                return max(memory.day_balance, memory.day_equity)
            case "highest day-end balance":
                return max(memory.initial, memory.highest_close)
            case "highest equity":
                return memory.highest_equity

    def _reference(self, memory: LossMemory) -> float:
        """What the rule's percent is a percentage of."""
        return memory.initial if self.rule.of == "initial" else self._basis(memory)

    def _stop(self, memory: LossMemory, level: Any) -> float:
        return memory.initial if level == "initial" else level * memory.flow_factor + memory.flow_shift

    def _with_day(self, memory: LossMemory, facts: Facts) -> LossMemory:
        """Set the bases of a day that has begun since. A clock that was set back begins none again."""
        day = day_key(self.rule.reset, facts.moment)
        if day <= memory.day:
            return memory
        reading, before = facts.reading, facts.before
        starts = starts_between(self.rule.reset, memory.day, facts.moment)
        if reading.unexplained and facts.moment.utc - starts[-1] < DEALS_WITHIN:
            return memory
        closes = [self._balance_at(start, facts) for start in starts]
        balance, equity = closes[-1], reading.equity - reading.unexplained
        if before is not None:
            # What came or went since then has moved the bases already, where they follow it.
            flows = [one for one in facts.booked if one.at > before.utc and one.kind != "result" and self._follows]
            equity = max(equity, before.equity + sum(one.amount for one in flows))
            if before.utc < starts[-1] and facts.moment.utc - before.utc <= RECENT:
                came = sum(one.amount for one in flows if one.kind == "cash flow")
                balance = closes[-1] = max(_balance(reading), before.balance + came)
        return replace(
            memory,
            day=day,
            day_balance=balance,
            day_equity=equity,
            highest_close=max(memory.highest_close, *closes),
        )

    def _balance_at(self, start: datetime, facts: Facts) -> float:
        """The balance at a day's start, from what was booked since: as if a cash flow that is followed came before."""
        kinds = ("result",) if self._follows else ("result", "cash flow")
        return _balance(facts.reading) - sum(
            one.amount for one in facts.booked if one.at >= start and one.kind in kinds
        )

    @property
    def _follows(self) -> bool:
        return self.rule.cash_flows == "adjust"

    def _finding(self, memory: LossMemory, reading: AccountReading) -> Finding:
        limit, equity = self.limit(memory), reading.equity_for_limit
        breached = equity <= limit.floor
        used = max(0.0, (limit.basis - equity) / limit.room) if limit.room > 0 else 1.0
        unit: Unit = "money"
        acting, firm = limit.room, limit.basis - limit.firm_floor
        reference = self._reference(memory)
        if self.rule.percent is not None and reference > 0:
            unit, acting, firm = "percent", acting / reference * 100, firm / reference * 100
        digits = reading.account.currency_digits if reading.account is not None else 2
        return Finding(
            value=round(used * acting, 8),
            limit=round(acting, 8),
            unit=unit,
            used=used,
            said=_said(unit, used * acting, acting, firm, limit, equity, digits),
            breached=breached,
            warned=equity <= limit.warn_floor,
            floor=limit.floor,
            headroom=round(equity - limit.floor, 8),
            borne_out=not breached or reading.bears_out(limit.floor),
        )


def _valid(reading: AccountReading) -> AccountReading:
    if reading.validity is not Validity.VALID:
        raise ValueError(f"a reading that is {reading.validity} moves no limit: only a VALID one may be judged")
    return reading


def _balance(reading: AccountReading) -> float:
    """The balance without what no deal explains: it may be money that came or went without a trade."""
    assert reading.account is not None  # noqa: S101  # a VALID reading has one
    return reading.account.balance - reading.unexplained


def _told(told: float | None, known: float) -> float:
    return known if told is None else told


def _said(unit: Unit, lost: float, acting: float, firm: float, limit: Limit, equity: float, digits: int) -> str:
    def money(value: float) -> str:
        return f"{value:.{digits}f}"

    def amount(value: float) -> str:
        return f"{round(value, 2):g} %" if unit == "percent" else money(value)

    acts = "" if math.isclose(acting, firm) else f", acts at {amount(acting)}"
    left = equity - limit.floor
    where = f"{money(left)} above" if left > 0 else "at" if left == 0 else f"{money(-left)} below"
    lost_of = f"{amount(lost)} of {amount(firm)} lost from {money(limit.basis)}"
    return f"{lost_of}{acts}; equity is {where} {money(limit.floor)}"
