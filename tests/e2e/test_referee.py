"""The referee of the kills finds what it is there for: without that a raid without problems would say nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.paper.books import BUY, ENTRY_IN, REASON_EXPERT, STATE_PLACED, Deal, Order, Position
from engine.paper.ledger import DEAL, ORDER, POSITION, Record
from engine.paper.requests import BUY_LIMIT
from engine.signals import magic_of
from tests.e2e.referee import Kill, Referee, Row, in_flight

SIGNAL = "K3V9X2QD"
MAGIC = magic_of(SIGNAL)
START = datetime(2026, 1, 5, 8, tzinfo=UTC)
STOP = 1.1


def deal(order: int, volume: float = 0.1, *, seconds: float = 3.0) -> Record:
    at = int((START.timestamp() + seconds) * 1000)
    row = Deal(
        order + 100, order, at // 1000, at, BUY, ENTRY_IN, MAGIC, order, REASON_EXPERT, volume, 1.2, 0.0, 0.0, 0.0, 0.0,
        "EURUSD", "", "",
    )  # fmt: skip
    return Record(order, at, DEAL, list(row))


def standing(ticket: int) -> Record:
    row = Order(
        ticket, 0, 0, 0, 0, 0, BUY_LIMIT, 0, 0, STATE_PLACED, MAGIC, 0, 0, REASON_EXPERT, 0.1, 0.1, 1.2, STOP, 1.4,
        1.2, 0.0, "EURUSD", "", "",
    )  # fmt: skip
    return Record(ticket, 0, ORDER, list(row))


def held(sl: float = STOP) -> Record:
    row = Position(1, 1, "EURUSD", BUY, 0.1, 1.2, sl, 1.4, MAGIC, "", REASON_EXPERT, 0, 0, 1.0, 0.0)
    return Record(1, 0, POSITION, list(row))


def journal(*steps: tuple[str, dict[str, Any]], run: str = "T-7") -> list[Row]:
    """A journal of one event a second."""
    received = ("signal_received", {"symbol": "EURUSD", "volume": 0.1, "sl": STOP})
    return [
        Row(place, START + timedelta(seconds=place), kind, run, {"signal": SIGNAL, **data})
        for place, (kind, data) in enumerate((received, *steps))
    ]


APPROVED = ("signal_approved", {"state": "APPROVED"})
CLAIMED = ("signal_executing", {"state": "EXECUTING", "intent": {"volume": 0.1, "sent_at": "2026-01-05T08:00:02Z"}})
EXECUTED = ("trade_executed", {"state": "EXECUTED", "volume": 0.1})
FAILED = ("trade_failed", {"state": "FAILED", "reason": "10006 REJECT"})


def referee(rows: list[Row], *records: Record) -> Referee:
    one = Referee()
    one.compare_clocks(int(START.timestamp() * 1000), START)
    one.see(records)
    one.hear(rows)
    return one


def test_signal_opened_once_and_known_is_no_problem() -> None:
    one = referee(journal(APPROVED, CLAIMED, EXECUTED), deal(1), held())
    assert one.doubles() == one.orphans() == []


@pytest.mark.parametrize(
    ("rows", "records", "said"),
    [
        (journal(APPROVED, CLAIMED, EXECUTED), (deal(1), deal(2)), "took 2 orders"),
        (journal(APPROVED, CLAIMED, EXECUTED), (standing(1), standing(2)), "took 2 orders"),
        (journal(APPROVED, CLAIMED, EXECUTED), (deal(1, 0.2),), "0.2 lots were opened of 0.1"),
        (journal(APPROVED), (deal(1),), "0 journalled intents"),
        (journal(APPROVED, CLAIMED, FAILED, CLAIMED), (deal(1),), "2 journalled intents"),
        (journal(APPROVED, CLAIMED, FAILED, EXECUTED), (deal(1),), "was said to have failed (10006 REJECT)"),
        (journal(CLAIMED), (deal(1),), "never approved"),
        (journal(APPROVED, CLAIMED), (deal(1, seconds=-4.0),), "its intent is of"),
        ([], (deal(1),), "nobody proposed"),
    ],
)
def test_order_that_is_doubled_or_was_sent_without_leave_is_found(
    rows: list[Row], records: tuple[Record, ...], said: str
) -> None:
    assert any(said in problem for problem in referee(rows, *records).doubles())


@pytest.mark.parametrize(
    ("rows", "records", "said"),
    [
        (journal(APPROVED, CLAIMED), (), "still EXECUTING"),
        (journal(APPROVED, CLAIMED, FAILED), (deal(1),), "the journal has 0.0, FAILED"),
        (journal(APPROVED, CLAIMED, FAILED), (standing(1),), "order 1 stands, and its signal is FAILED"),
        ([], (held(),), "belongs to no signal"),
        (journal(APPROVED, CLAIMED, EXECUTED), (deal(1), held(sl=0.0)), "has its stop at 0.0"),
    ],
)
def test_what_the_engine_does_not_know_it_has_is_found(rows: list[Row], records: tuple[Record, ...], said: str) -> None:
    assert any(said in problem for problem in referee(rows, *records).orphans())


def test_order_on_a_symbol_whose_last_outcome_is_not_known_is_found() -> None:
    unknown = journal(APPROVED, CLAIMED, ("trade_unknown", {"state": "UNKNOWN"}))
    other = [row._replace(data={**row.data, "signal": "ZZZZZZZZ"}) for row in journal(APPROVED, CLAIMED)]
    assert any(
        "while the outcome of K3V9X2QD on EURUSD" in problem for problem in referee([*unknown, *other]).doubles()
    )
    elsewhere = [row._replace(data={**row.data, "symbol": "USDJPY"}) for row in other]
    assert referee([*unknown, *elsewhere]).doubles() == []


def test_account_that_is_halted_as_flat_with_something_open_is_found() -> None:
    halted = Row(9, START, "mode_changed", "T-7", {"to": "HALTED"})
    one = referee([*journal(APPROVED, CLAIMED, EXECUTED), halted], deal(1), held())
    assert one.unproven(("HALTED", 9)) == ["halted as flat with 1 positions and 0 orders"]
    # It was flat, and was reset, between two looks at the journal.
    assert one.unproven(("FLATTENING", 8)) == one.unproven(("HALTED", 7)) == []
    assert referee([halted]).unproven(("HALTED", 9)) == []


def test_kill_between_claim_and_outcome_had_an_order_in_flight() -> None:
    rows = journal(APPROVED, CLAIMED, EXECUTED)
    claimed, ended = rows[2].time, rows[3].time
    lives = referee(rows).lives
    between = claimed + timedelta(seconds=0.5)
    assert in_flight(lives, Kill("order gateway", 8, between)) == [SIGNAL]
    assert in_flight(lives, Kill("order gateway", 8, ended + timedelta(seconds=0.5))) == []
    # What the same run wrote later it was not killed before.
    assert in_flight(lives, Kill("engine", 7, between)) == []
    by_another = [*rows[:3], rows[3]._replace(run="T-9")]
    assert in_flight(referee(by_another).lives, Kill("engine", 7, between)) == [SIGNAL]
