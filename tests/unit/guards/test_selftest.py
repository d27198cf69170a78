from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from engine.guards.base import Drill, Entry, Facts, Finding, News, Nothing
from engine.guards.equity_floor import EquityFloorGuard
from engine.guards.order_rate import OrderRateGuard, Sends
from engine.guards.selftest import self_test
from engine.guards.settings import EquityFloorRule, OrderRateRule, SpreadRule
from engine.guards.spread import SpreadGuard

FLOOR = EquityFloorRule(money=9_000.0)
RATE = OrderRateRule(most_per_minute=2)


class NeverBreaks(EquityFloorGuard):
    def judge(self, memory: Nothing, facts: Facts) -> tuple[Nothing, Finding]:
        memory, finding = super().judge(memory, facts)
        return memory, replace(finding, breached=False)


class AlwaysBreaks(EquityFloorGuard):
    def judge(self, memory: Nothing, facts: Facts) -> tuple[Nothing, Finding]:
        memory, finding = super().judge(memory, facts)
        return memory, replace(finding, breached=True)


class ComparesGreater(EquityFloorGuard):
    def judge(self, memory: Nothing, facts: Facts) -> tuple[Nothing, Finding]:
        memory, finding = super().judge(memory, facts)
        return memory, replace(finding, breached=finding.value < finding.limit)


class NeverRefuses(SpreadGuard):
    def refuses(self, memory: Nothing, facts: Facts, entry: Entry) -> str | None:
        return None


class AlwaysRefuses(SpreadGuard):
    def refuses(self, memory: Nothing, facts: Facts, entry: Entry) -> str | None:
        return "no"


class Deaf(OrderRateGuard):
    def learn(self, memory: Sends, news: News) -> Sends:
        return memory


class Forgetful(OrderRateGuard):
    def load(self, stored: Mapping[str, Any]) -> Sends:
        return Sends()


class Raising(OrderRateGuard):
    def judge(self, memory: Sends, facts: Facts) -> tuple[Sends, Finding]:
        raise ZeroDivisionError("a limit of nothing")


class WithoutDrill(OrderRateGuard):
    def drill(self) -> Drill[Sends]:
        raise RuntimeError("no drill")


@dataclass(frozen=True)
class Unstorable(Sends):
    times: tuple[float, ...] = (float("nan"),)


class NotStorable(OrderRateGuard):
    def drill(self) -> Drill[Sends]:
        return replace(super().drill(), memory=Unstorable())


@pytest.mark.parametrize(
    ("guard", "said"),
    [
        (NeverBreaks(FLOOR), "does not break"),
        (AlwaysBreaks(FLOOR), "harmless reading"),
        (ComparesGreater(FLOOR), "does not break"),
        (NeverRefuses(SpreadRule(points={"EURUSD": 1.0})), "does not refuse"),
        (AlwaysRefuses(SpreadRule(points={"EURUSD": 1.0})), "harmless opening"),
        (Deaf(RATE), "does not break"),
        (Forgetful(RATE), "read back"),
        (Raising(RATE), "ZeroDivisionError: a limit of nothing"),
        (WithoutDrill(RATE), "no drill"),
        (NotStorable(RATE), "ValueError"),
    ],
)
def test_a_guard_that_would_fail_is_found(guard: Any, said: str) -> None:
    found = self_test(guard)
    assert found is not None
    assert said in found


@pytest.mark.parametrize("guard", [EquityFloorGuard(FLOOR), OrderRateGuard(RATE)])
def test_one_that_works_passes(guard: Any) -> None:
    assert self_test(guard) is None
