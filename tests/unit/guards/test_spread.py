from dataclasses import replace

import pytest

from engine.broker.base import SymbolSpec, Tick
from engine.guards.base import Facts, Nothing
from engine.guards.settings import SpreadRule
from engine.guards.spread import SpreadGuard
from tests.unit.core.makers import EURUSD
from tests.unit.guards.market import SPECS, market, opening

GUARD = SpreadGuard(SpreadRule(points={"EURUSD": 10.0, "GBPUSD": 20.0}))


def quoted(bid: float = 1.1, ask: float = 1.1001, spec: SymbolSpec = EURUSD) -> Facts:
    return market(quotes={"EURUSD": Tick("EURUSD", bid, ask, 1)}, specs=SPECS | {"EURUSD": spec})


def refused(facts: Facts) -> bool:
    return GUARD.refuses(Nothing(), facts, opening()) is not None


@pytest.mark.parametrize(("ask", "no"), [(1.1, False), (1.1001, False), (1.10011, True), (1.2, True)])
def test_the_widest_spread_is_allowed_and_no_wider(ask: float, no: bool) -> None:
    assert refused(quoted(ask=ask)) is no


@pytest.mark.parametrize(("ask", "warned"), [(1.1001, False), (1.10011, True)])
def test_a_wide_spread_warns_and_blocks_no_other_symbol(ask: float, warned: bool) -> None:
    finding = GUARD.judge(Nothing(), quoted(ask=ask))[1]
    assert (finding.breached, finding.warned) == (False, warned)


def test_the_symbol_that_uses_up_most_is_shown() -> None:
    facts = market(quotes={"EURUSD": Tick("EURUSD", 1.1, 1.10005, 1), "GBPUSD": Tick("GBPUSD", 1.3, 1.30018, 1)})
    finding = GUARD.judge(Nothing(), facts)[1]
    assert (finding.value, finding.limit, finding.used, finding.unit) == (18.0, 20.0, 0.9, "points")
    assert "GBPUSD" in finding.said


@pytest.mark.parametrize(
    "facts",
    [
        market(quotes={}),
        market(specs={}),
        quoted(bid=1.1002),
        quoted(ask=float("nan")),
        quoted(bid=0.0),
        quoted(bid=float("inf"), ask=float("inf")),
        quoted(ask=float("inf")),
        quoted(spec=replace(EURUSD, point=0.0)),
    ],
)
def test_a_spread_that_cannot_be_known_is_refused(facts: Facts) -> None:
    assert refused(facts)
    assert not GUARD.judge(Nothing(), facts)[1].breached


def test_a_symbol_that_is_not_named_is_not_limited() -> None:
    assert GUARD.refuses(Nothing(), market(quotes={}), opening(symbol="USDJPY")) is None


def test_a_symbol_of_which_no_spread_is_known_is_named() -> None:
    guard = SpreadGuard(SpreadRule(points={"EURUSD": 10.0, "EURUSDD": 20.0}))
    said = guard.judge(Nothing(), quoted())[1].said
    assert said == "EURUSD: spread 10.0 of at most 10 points; no spread is known of EURUSDD"
    assert guard.judge(Nothing(), market(quotes={}))[1].said == "no spread is known of EURUSD, EURUSDD"
