from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.guards.base import Sent, TradeOpened
from engine.guards.order_rate import OrderRateGuard, Sends
from engine.guards.settings import OrderRateRule
from tests.unit.guards.makers import moment, utc
from tests.unit.guards.market import market, opening

GUARD = OrderRateGuard(OrderRateRule(most_per_minute=2))


def sent(*times: str) -> Sends:
    memory = Sends()
    for at in times:
        memory = GUARD.learn(memory, Sent(opening(), utc(f"2026-01-05T{at}")))
    return memory


def breached(memory: Sends, at: str) -> bool:
    finding = GUARD.judge(memory, market(at=f"2026-01-05T{at}"))[1]
    assert finding.breached is (GUARD.refuses(memory, market(at=f"2026-01-05T{at}"), opening()) is not None)
    return finding.breached


def test_it_breaks_at_exactly_as_many_as_may_be() -> None:
    assert not breached(sent("12:00:00"), "12:00:01")
    assert breached(sent("12:00:00", "12:00:01"), "12:00:01")


@pytest.mark.parametrize(("at", "blocked"), [("12:00:59.999", True), ("12:01:00", False)])
def test_a_send_counts_for_a_minute(at: str, blocked: bool) -> None:
    assert breached(sent("12:00:00", "12:00:30"), at) is blocked


def test_it_says_when_the_next_may_be_sent() -> None:
    finding = GUARD.judge(sent("12:00:00", "12:00:10", "12:00:20"), market(at="2026-01-05T12:00:30"))[1]
    assert (finding.value, finding.lifts_at) == (3, utc("2026-01-05T12:01:10"))


def test_a_clock_that_is_set_back_frees_nothing_early() -> None:
    memory = sent("12:00:00", "12:00:01")
    assert breached(memory, "11:00:00")
    assert breached(GUARD.learn(memory, Sent(opening(), utc("2026-01-05T11:00:00"))), "11:59:00")


def test_only_sends_are_counted() -> None:
    assert GUARD.learn(Sends(), TradeOpened(1, "EURUSD", utc("2026-01-05T12:00:00"))) == Sends()


def test_what_the_window_no_longer_covers_is_forgotten() -> None:
    assert len(sent("12:00:00", "12:00:01", "12:02:00").times) == 1


@pytest.mark.parametrize(
    "stored", [{}, {"times": [float("nan")]}, {"times": "x"}, {"times": ["1"]}, {"times": [], "x": 1}]
)
def test_a_memory_that_is_none_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="order rate"):
        GUARD.load(stored)


@settings(deadline=None)
@given(st.integers(1, 5), st.lists(st.integers(0, 30), max_size=60))
def test_no_minute_ever_holds_more_than_may_be_sent(most: int, gaps: list[int]) -> None:
    guard, memory, admitted, now = OrderRateGuard(OrderRateRule(most_per_minute=most)), Sends(), [], moment().utc
    for gap in gaps:
        now += timedelta(seconds=gap)
        if guard.refuses(memory, market(at=moment(now.replace(tzinfo=None).isoformat())), opening()) is None:
            memory = guard.learn(memory, Sent(opening(), now))
            admitted.append(now)
    for first, after in zip(admitted, admitted[most:], strict=False):
        assert (after - first).total_seconds() >= 60
