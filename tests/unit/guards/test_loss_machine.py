"""Any course of an account: readings, results, cash flows, nights, restarts, an operator; and what may never happen."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.guards.base import Bases, Booked, Facts, Finding, Moment, Neighbour
from engine.guards.loss import LossLimit, LossMemory
from engine.guards.settings import LossRule
from engine.readings import Validity
from tests.unit.core.makers import reading

BEGIN = datetime(2026, 3, 27, 12, tzinfo=UTC)
"""Two days before Prague's clocks go forward."""
CENTS = st.integers(-200_000, 200_000).map(lambda cents: cents / 100)
BASES = ["initial", "day-start balance", "day-start equity", "day-start higher"]
HIGHS = ["highest day-end balance", "highest equity"]


@st.composite
def loss_rules(draw: st.DrawFn) -> LossRule:
    """Any basis, in percent or money, that follows cash flows or keeps its floor."""
    amounts: list[dict[str, Any]] = [{"percent": 10}, {"percent": 4, "of": "initial"}, {"money": 1_500}]
    amount = draw(st.sampled_from(amounts))
    return LossRule.model_validate(
        {
            "name": "loss",
            "basis": draw(st.sampled_from(BASES + HIGHS)),
            "reset": {"zone": "Europe/Prague", "time": draw(st.sampled_from(["00:00", "02:30"]))},
            "stops_trailing_at": draw(st.sampled_from([None, "initial", 10_500])),
            "cash_flows": draw(st.sampled_from(["adjust", "keep"])),
            "act_at": draw(st.sampled_from([1.0, 0.9])),
            **amount,
        }
    )


class LossMachine(RuleBasedStateMachine):
    """One account and one limit on its losses."""

    @initialize(of=loss_rules())
    def begin(self, of: LossRule) -> None:
        self.guard = LossLimit(of)
        self.now = BEGIN
        self.balance, self.floating, self.unexplained = 100_000.0, 0.0, 0.0
        self.booked: list[Booked] = []
        self.before: Neighbour | None = None
        self.memory = self.guard.fresh(self.facts())
        self.finding: Finding | None = None
        self.judge()

    @property
    def equity(self) -> float:
        return round(self.balance + self.floating, 2)

    def facts(self) -> Facts:
        at = Moment(self.now, (self.now + timedelta(hours=2)).replace(tzinfo=None), 0.0)
        made = reading(self.equity, balance=self.balance)
        seen = replace(made, unexplained=self.unexplained, relief=max(0.0, -self.unexplained))
        return Facts(at, seen, before=self.before, booked=tuple(self.booked))

    def judge(self) -> tuple[LossMemory, LossMemory]:
        """Take a reading; the memory before and after it."""
        was, facts = self.memory, self.facts()
        self.memory, self.finding = self.guard.judge(was, facts)
        self.before = Neighbour(self.now, self.balance - self.unexplained, self.equity - self.unexplained)
        return was, self.memory

    @rule(seconds=st.integers(1, 50_000), moved=CENTS)
    def time_passes(self, seconds: int, moved: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.floating = round(max(self.floating + moved, 100 - self.balance), 2)
        was, after = self.judge()
        assert after.highest_equity == max(was.highest_equity, self.facts().reading.equity_for_peak)
        assert after.highest_close >= was.highest_close
        assert after.day >= was.day
        if after.day == was.day:
            assert after == replace(was, highest_equity=after.highest_equity)
        if after == was:
            assert self.guard.limit(after) == self.guard.limit(was)

    @rule()
    def it_falls_to_the_floor(self) -> None:
        floor = self.guard.limit(self.memory).floor
        if self.unexplained or floor != round(floor, 2) or floor < 100 or floor > self.equity:
            return
        self.now += timedelta(milliseconds=1)
        self.floating = round(floor - self.balance, 2)
        was, after = self.judge()
        assert self.finding is not None
        assert self.finding.breached or after.day != was.day

    @rule(hours=st.integers(1, 90), moved=CENTS)
    def a_night(self, hours: int, moved: float) -> None:
        end = self.now + timedelta(hours=hours)
        ledger = [(self.now + timedelta(hours=hour), moved) for hour in range(0, hours, 7)]
        ledger = [(at, amount) for at, amount in ledger if self.balance + amount * len(ledger) > 100]
        self.booked += [Booked(at, amount) for at, amount in ledger]
        asleep = self.balance
        self.balance = round(self.balance + sum(amount for _, amount in ledger), 2)
        self.now, self.floating = end, max(self.floating, round(100 - self.balance, 2))
        was, after = self.judge()
        if after.day != was.day and not self.unexplained:
            possible = [asleep + sum(amount for _, amount in ledger[:count]) for count in range(len(ledger) + 1)]
            assert any(after.day_balance == pytest.approx(one) for one in possible)

    @rule(share=st.floats(-0.9, 3.0))
    def a_cash_flow(self, share: float) -> None:
        amount = round(self.equity * share, 2)
        if not amount or self.balance + amount < 100 or self.unexplained:
            return
        before, was = self.finding, self.memory
        self.now += timedelta(milliseconds=1)
        self.balance = round(self.balance + amount, 2)
        self.booked.append(Booked(self.now, amount, "cash flow"))
        self.memory = self.guard.after_cash_flow(self.memory, amount, self.equity)
        if self.guard.rule.cash_flows == "keep":
            assert self.memory == was
        self.judge()
        same_day = self.memory.day == was.day
        if self.guard.rule.cash_flows == "adjust" and same_day and before is not None and self.finding is not None:
            if self.guard.rule.percent is not None:
                assert self.finding.value == pytest.approx(before.value, rel=1e-6, abs=1e-6)
            else:
                assert self.finding.headroom == pytest.approx(before.headroom, abs=1e-6)

    @precondition(lambda self: not self.unexplained)
    @rule(amount=st.sampled_from([5_000.0, -5_000.0]))
    def a_step_that_nothing_explains(self, amount: float) -> None:
        if self.balance + amount < 10_000 or self.equity + amount < 100:
            return
        self.unexplained, self.balance = amount, round(self.balance + amount, 2)
        breached = self.finding is not None and self.finding.breached
        was, after = self.judge()
        assert after.highest_equity == was.highest_equity
        assert self.finding is not None
        assert breached or not self.finding.breached

    @precondition(lambda self: self.unexplained)
    @rule()
    def a_deal_explains_it(self) -> None:
        amount, self.unexplained = self.unexplained, 0.0
        self.booked.append(Booked(self.now, amount, "cash flow"))
        self.memory = self.guard.after_cash_flow(self.memory, amount, self.equity)
        self.judge()

    @rule(seconds=st.integers(1, 20_000))
    def the_clock_is_set_back(self, seconds: int) -> None:
        self.now -= timedelta(seconds=seconds)
        was, after = self.judge()
        assert replace(after, highest_equity=was.highest_equity) == was

    @rule()
    def it_is_restarted(self) -> None:
        self.memory = self.guard.load(json.loads(json.dumps(asdict(self.memory))))
        self.guard = LossLimit(LossRule.model_validate(self.guard.rule.model_dump(mode="json")))
        was, finding = self.memory, self.finding
        self.judge()
        assert (self.memory, self.finding) == (was, finding)

    @rule(validity=st.sampled_from([Validity.STALE, Validity.INVALID]))
    def a_reading_is_not_valid(self, validity: Validity) -> None:
        facts = self.facts()
        with pytest.raises(ValueError, match="VALID"):
            self.guard.judge(self.memory, replace(facts, reading=replace(facts.reading, validity=validity)))

    @rule(initial=st.integers(50_000, 150_000))
    def an_operator_says_what_it_began_with(self, initial: int) -> None:
        self.memory = self.guard.with_bases(self.memory, Bases(initial=float(initial)))
        self.judge()
        assert self.memory.initial == initial

    @invariant()
    def the_finding_says_what_the_memory_says(self) -> None:
        if self.finding is None or self.finding.floor is None or self.finding.headroom is None:
            return
        equity = self.facts().reading.equity_for_limit
        assert self.finding.floor == self.guard.limit(self.memory).floor
        assert self.finding.breached == (equity <= self.finding.floor)
        assert self.finding.breached == (self.finding.headroom <= 0)
        assert (self.finding.used >= 1 - 1e-9) or not self.finding.breached
        assert self.finding.warned or not self.finding.breached


TestLossMachine = LossMachine.TestCase
TestLossMachine.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
