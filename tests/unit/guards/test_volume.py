from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.broker.base import Side
from engine.guards.base import Facts, Nothing
from engine.guards.settings import VolumeRule
from engine.guards.volume import VolumeGuard
from tests.unit.guards.market import held, market, opening, order, unread

TOTAL = VolumeGuard(VolumeRule(most=0.3))
EACH = VolumeGuard(VolumeRule(most_per_symbol=0.3))
HUNDREDTHS = st.integers(1, 500).map(lambda number: number / 100)


@pytest.mark.parametrize(("volume", "breached"), [(0.29, False), (0.3, True), (0.31, True)])
def test_it_breaks_when_the_total_is_reached(volume: float, breached: bool) -> None:
    assert TOTAL.judge(Nothing(), market(held(volume=volume)))[1].breached is breached


def test_binary_noise_reaches_no_limit_and_misses_none() -> None:
    facts = market(held(1, volume=0.1))
    assert TOTAL.refuses(Nothing(), facts, opening(0.2)) is None
    assert TOTAL.judge(Nothing(), market(held(1, volume=0.1), held(2, volume=0.2)))[1].breached
    assert EACH.judge(Nothing(), market(held(1, volume=0.1), held(2, volume=0.2)))[1].warned


@pytest.mark.parametrize("guard", [TOTAL, EACH])
@pytest.mark.parametrize(("volume", "refused"), [(0.1, False), (0.11, True)])
def test_it_refuses_what_would_exceed_a_limit(guard: VolumeGuard, volume: float, refused: bool) -> None:
    assert (guard.refuses(Nothing(), market(held(volume=0.2)), opening(volume)) is not None) is refused


def test_both_sides_are_counted() -> None:
    facts = market(held(1, volume=0.2), held(2, volume=0.1, side=Side.SELL))
    assert TOTAL.judge(Nothing(), facts)[1].value == 0.3


def test_another_symbol_counts_in_total_and_not_for_the_symbol() -> None:
    facts = market(held(volume=0.3, symbol="GBPUSD"))
    assert TOTAL.refuses(Nothing(), facts, opening(0.01)) is not None
    assert EACH.refuses(Nothing(), facts, opening(0.3)) is None


@pytest.mark.parametrize(("volume", "warned"), [(0.29, False), (0.3, True), (0.5, True)])
def test_a_symbol_at_its_limit_warns_and_blocks_no_other(volume: float, warned: bool) -> None:
    finding = EACH.judge(Nothing(), market(held(volume=volume)))[1]
    assert (finding.breached, finding.warned) == (False, warned)


def test_the_limit_that_is_used_up_most_is_shown() -> None:
    guard = VolumeGuard(VolumeRule(most=1.0, most_per_symbol=0.5))
    one = guard.judge(Nothing(), market(held(volume=0.4)))[1]
    spread = guard.judge(Nothing(), market(held(1, volume=0.4), held(2, volume=0.45, symbol="GBPUSD")))[1]
    assert (one.value, one.limit, one.used) == (0.4, 0.5, 0.8)
    assert (spread.value, spread.limit, spread.used) == (0.45, 0.5, 0.9)


def test_what_is_ordered_and_on_its_way_counts() -> None:
    facts = market(orders=(order(volume_initial=0.1, volume_current=0.1),), sent=(opening(0.1),))
    assert TOTAL.refuses(Nothing(), facts, opening(0.1, magic=5)) is None
    assert TOTAL.refuses(Nothing(), facts, opening(0.11, magic=5)) is not None


@pytest.mark.parametrize("guard", [TOTAL, EACH])
@pytest.mark.parametrize("facts", [unread(market()), market(orders=None)])
def test_what_cannot_be_read_does_not_pass(guard: VolumeGuard, facts: Facts) -> None:
    assert guard.judge(Nothing(), facts)[1].breached
    assert guard.refuses(Nothing(), facts, opening(0.01)) is not None


@pytest.mark.parametrize("volume", [float("nan"), 0.0, -1.0])
def test_an_opening_of_no_volume_is_refused(volume: float) -> None:
    assert TOTAL.refuses(Nothing(), market(), opening(volume)) is not None


@settings(deadline=None)
@given(HUNDREDTHS, HUNDREDTHS, st.lists(st.tuples(HUNDREDTHS, st.sampled_from(["EURUSD", "GBPUSD"])), max_size=5))
def test_exactly_what_keeps_both_limits_is_admitted(
    most: float, each: float, holdings: list[tuple[float, str]]
) -> None:
    guard = VolumeGuard(VolumeRule(most=most, most_per_symbol=each))
    facts = market(*(held(number, volume=lots, symbol=name) for number, (lots, name) in enumerate(holdings, 1)))
    cents = [(round(lots * 100), name) for lots, name in holdings]
    for volume in (0.01, 0.5, 2.0):
        total = sum(lots for lots, _ in cents) + round(volume * 100)
        same = sum(lots for lots, name in cents if name == "EURUSD") + round(volume * 100)
        keeps = total <= round(most * 100) and same <= round(each * 100)
        assert (guard.refuses(Nothing(), facts, opening(volume)) is None) is keeps


@settings(deadline=None)
@given(HUNDREDTHS, HUNDREDTHS, HUNDREDTHS)
def test_more_volume_is_never_admitted_where_less_is_refused(held_: float, less: float, more: float) -> None:
    less, more = sorted((less, more))
    guard, facts = VolumeGuard(VolumeRule(most=3.0)), market(held(volume=held_))
    if guard.refuses(Nothing(), facts, opening(less)) is not None:
        assert guard.refuses(Nothing(), facts, opening(more)) is not None


@settings(deadline=None)
@given(st.lists(HUNDREDTHS, min_size=1, max_size=20))
def test_the_total_is_exact(volumes: list[float]) -> None:
    facts = market(*(held(number, volume=volume) for number, volume in enumerate(volumes, 1)))
    exact = sum((Decimal(str(volume)) for volume in volumes), Decimal(0))
    assert TOTAL.judge(Nothing(), facts)[1].value == float(exact)
