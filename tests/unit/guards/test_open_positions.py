import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.guards.base import Facts, Nothing
from engine.guards.open_positions import OpenPositionsGuard
from engine.guards.settings import OpenPositionsRule
from tests.unit.guards.market import held, market, opening, order, unread

GUARD = OpenPositionsGuard(OpenPositionsRule(most=3))


def holding(positions: int, orders: int = 0, sent: int = 0) -> Facts:
    return market(
        *(held(number) for number in range(1, positions + 1)),
        orders=tuple(order(ticket=100 + number) for number in range(orders)),
        sent=tuple(opening(magic=200 + number) for number in range(sent)),
    )


@pytest.mark.parametrize(("count", "breached"), [(0, False), (2, False), (3, True), (4, True)])
def test_it_breaks_when_as_many_are_open_as_may_be(count: int, breached: bool) -> None:
    finding = GUARD.judge(Nothing(), holding(count))[1]
    assert (finding.breached, finding.value, finding.used) == (breached, count, count / 3)


@pytest.mark.parametrize(("facts", "refused"), [(holding(2), False), (holding(3), True), (holding(1, 1, 1), True)])
def test_it_refuses_one_too_many(facts: Facts, refused: bool) -> None:
    assert (GUARD.refuses(Nothing(), facts, opening()) is not None) is refused


@pytest.mark.parametrize("facts", [unread(market()), market(orders=None), market(orders=(order(type=99),))])
def test_what_cannot_be_counted_does_not_pass(facts: Facts) -> None:
    assert GUARD.judge(Nothing(), facts)[1].breached
    assert GUARD.refuses(Nothing(), facts, opening()) is not None


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))
def test_what_it_admits_never_exceeds_the_limit(most: int, positions: int, orders: int, sent: int) -> None:
    guard, facts = OpenPositionsGuard(OpenPositionsRule(most=most)), holding(positions, orders, sent)
    admitted = guard.refuses(Nothing(), facts, opening()) is None
    assert admitted is (positions + orders + sent + 1 <= most)
    assert admitted is not guard.judge(Nothing(), facts)[1].breached
