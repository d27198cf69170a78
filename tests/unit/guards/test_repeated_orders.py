from dataclasses import replace

import pytest

from engine.broker.base import Side
from engine.guards.base import Entry, Sent, TradeOpened
from engine.guards.repeated_orders import RepeatedOrdersGuard, Repeats
from engine.guards.settings import RepeatedOrdersRule
from tests.unit.guards.makers import utc
from tests.unit.guards.market import market, opening

GUARD = RepeatedOrdersGuard(RepeatedOrdersRule(most=3, window_seconds=300.0))


def sent(*times: str, entry: Entry | None = None, memory: Repeats | None = None) -> Repeats:
    memory = memory or Repeats()
    for at in times:
        memory = GUARD.learn(memory, Sent(entry or opening(), utc(f"2026-01-05T{at}")))
    return memory


def breached(memory: Repeats, at: str = "12:00:10") -> bool:
    return GUARD.judge(memory, market(at=f"2026-01-05T{at}"))[1].breached


def refused(memory: Repeats, entry: Entry, at: str = "12:00:10") -> bool:
    return GUARD.refuses(memory, market(at=f"2026-01-05T{at}"), entry) is not None


def test_it_breaks_at_exactly_as_many_repetitions_as_may_be() -> None:
    assert not breached(sent("12:00:00", "12:00:01"))
    assert breached(sent("12:00:00", "12:00:01", "12:00:02"))


def test_it_refuses_one_too_many_before_the_next_reading() -> None:
    assert not refused(sent("12:00:00", "12:00:01"), opening())
    assert refused(sent("12:00:00", "12:00:01", "12:00:02"), opening())


@pytest.mark.parametrize("changes", [{"symbol": "GBPUSD"}, {"side": Side.SELL}, {"volume": 1.01}])
def test_another_symbol_side_or_volume_is_another_opening(changes: dict[str, object]) -> None:
    other = replace(opening(), **changes)  # type: ignore[arg-type]
    memory = sent("12:00:02", entry=other, memory=sent("12:00:00", "12:00:01"))
    assert not breached(memory)
    assert not refused(sent("12:00:00", "12:00:01", "12:00:02"), other)


def test_price_stop_and_number_do_not_make_it_another() -> None:
    memory = sent("12:00:02", entry=opening(price=1.2, sl=1.0, magic=5), memory=sent("12:00:00", "12:00:01"))
    assert breached(memory)


@pytest.mark.parametrize(("at", "counts"), [("12:04:59.9", True), ("12:05:00", False)])
def test_a_send_counts_as_long_as_the_window(at: str, counts: bool) -> None:
    assert breached(sent("12:00:00", "12:00:01", "12:00:02"), at) is counts


def test_a_clock_that_is_set_back_frees_nothing() -> None:
    assert breached(sent("12:00:00", "12:00:01", "12:00:02"), "11:00:00")
    assert breached(sent("11:30:00", memory=sent("12:00:00", "12:00:01")), "11:30:00")


def test_its_lock_waits_for_an_operator_and_then_it_counts_from_nothing() -> None:
    memory = sent("12:00:00", "12:00:01", "12:00:02")
    assert GUARD.locks == "operator"
    assert not breached(GUARD.unlocked(memory))
    assert not refused(GUARD.unlocked(memory), opening())


def test_only_sends_are_counted() -> None:
    assert GUARD.learn(Repeats(), TradeOpened(1, "EURUSD", utc("2026-01-05T12:00:00"))) == Repeats()


@pytest.mark.parametrize(
    "stored",
    [{}, {"sends": [["buy 1 EURUSD"]]}, {"sends": [[1, 1.0]]}, {"sends": [["buy", float("inf")]]}, {"sends": ["xy"]}],
)
def test_a_memory_that_is_none_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="repeated orders"):
        GUARD.load(stored)
