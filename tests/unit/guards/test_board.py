"""The board makes verdicts of findings: actions, confirmation, locks, failures, and what a restart finds again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.guards.base import Action, Drill, Entry, Facts, Finding, Guard, Moment, News, Sent, Verdict
from engine.guards.board import Board, ChangeKind
from engine.guards.rehearsal import entry, facts, moment
from engine.readings import Validity

START = datetime(2026, 1, 5, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Count:
    sends: int = 0
    readings: int = 0


class Below(Guard[Count]):
    """Breached at or below an equity of 9,000; counts what it is told."""

    def __init__(
        self,
        action: Action = Action.FLATTEN,
        locks: Literal["reset", "operator"] | float | None = None,
        name: str = "below",
    ) -> None:
        self.name, self.action, self.locks = name, action, locks
        self.raises = False

    def fresh(self, facts: Facts) -> Count:
        return Count()

    def load(self, stored: Mapping[str, Any]) -> Count:
        return Count(**stored)

    def judge(self, memory: Count, facts: Facts) -> tuple[Count, Finding]:
        if self.raises:
            raise ZeroDivisionError("as drawn")
        equity = facts.reading.equity_for_limit
        found = Finding(
            value=equity,
            limit=9_000.0,
            unit="money",
            used=0.0,
            said=f"equity {equity:.2f}",
            breached=equity <= 9_000.0,
            warned=equity <= 9_500.0,
            borne_out=facts.reading.bears_out(9_000.0),
        )
        return replace(memory, readings=memory.readings + 1), found

    def drill(self) -> Drill[Count]:
        return Drill(Count(), facts(), facts(9_000.0))

    def learn(self, memory: Count, news: News) -> Count:
        return replace(memory, sends=memory.sends + 1)

    def refuses(self, memory: Count, facts: Facts, entry: Entry) -> str | None:
        return f"{len(facts.sent)} on their way" if facts.sent else None

    def next_reset(self, moment: Moment) -> datetime | None:
        return START + timedelta(days=1)


def looked(equity: float, *, at: float = 0.0, seconds: float = 0.0, borne_out: bool = True) -> Facts:
    """Facts of a reading `at` monotonic seconds, `seconds` of market time after the start."""
    made = facts(equity, at=moment(START + timedelta(seconds=seconds)))
    by_positions = equity if borne_out else 10_000.0
    return replace(made, reading=replace(made.reading, at=at, equity_by_positions=by_positions))


def verdicts(board: Board, *readings: Facts) -> list[Verdict]:
    said = []
    for one in readings:
        board.step(one)
        said.append(board.verdict)
    return said


@pytest.mark.parametrize(
    ("action", "verdict"),
    [
        (Action.WARN, Verdict.WARN),
        (Action.BLOCK, Verdict.BLOCK),
        (Action.FLATTEN, Verdict.FLATTEN),
        (Action.LOCK, Verdict.FLATTEN),
    ],
)
def test_a_breach_leads_to_its_guards_action(action: Action, verdict: Verdict) -> None:
    assert verdicts(Board([Below(action)]), looked(9_600.0), looked(9_500.0), looked(9_000.0)) == [
        Verdict.CLEAR,
        Verdict.WARN,
        verdict,
    ]


def test_a_breach_that_positions_do_not_bear_out_needs_three_readings_over_300_ms() -> None:
    board = Board([Below()])
    assert verdicts(board, *(looked(8_000.0, at=at, borne_out=False) for at in (0.0, 0.1, 0.2, 0.29, 0.3))) == [
        Verdict.BLOCK,
        Verdict.BLOCK,
        Verdict.BLOCK,
        Verdict.BLOCK,
        Verdict.FLATTEN,
    ]
    slow = Board([Below()])
    assert verdicts(slow, *(looked(8_000.0, at=at, borne_out=False) for at in (0.0, 5.0, 5.1)))[-2:] == [
        Verdict.BLOCK,
        Verdict.FLATTEN,
    ]


def test_a_breach_that_is_gone_meanwhile_is_confirmed_anew() -> None:
    board = Board([Below()])
    steps = [(8_000.0, 0.0), (8_000.0, 0.2), (9_900.0, 0.3), (8_000.0, 0.4), (8_000.0, 0.5)]
    assert Verdict.FLATTEN not in verdicts(board, *(looked(e, at=at, borne_out=False) for e, at in steps))


@pytest.mark.parametrize("validity", [Validity.STALE, Validity.INVALID, Validity.NONE])
def test_a_reading_that_is_not_valid_changes_nothing(validity: Validity) -> None:
    board = Board([Below()])
    board.step(looked(9_900.0))
    before = dict(board.standings)
    broken = looked(1.0)
    assert board.step(replace(broken, reading=replace(broken.reading, validity=validity))) == []
    assert board.standings == before


def test_a_lock_until_the_reset_holds_after_the_breach_is_over_and_lifts_at_the_moment() -> None:
    board = Board([Below(Action.BLOCK, "reset")])
    day = 86_400.0
    assert verdicts(
        board,
        looked(9_000.0),
        looked(9_900.0, seconds=1),
        looked(9_900.0, seconds=day - 1),
        looked(9_900.0, seconds=day),
    ) == [Verdict.BLOCK, Verdict.BLOCK, Verdict.BLOCK, Verdict.CLEAR]


def test_a_lock_for_some_seconds_lifts_by_itself_and_an_operators_does_not() -> None:
    timed, endless = Board([Below(Action.BLOCK, 60.0)]), Board([Below(Action.BLOCK, "operator")])
    readings = looked(9_000.0), looked(9_900.0, seconds=59), looked(9_900.0, seconds=60), looked(9_900.0, seconds=1e7)
    assert verdicts(timed, *readings)[1:3] == [Verdict.BLOCK, Verdict.CLEAR]
    assert verdicts(endless, *readings)[-1] is Verdict.BLOCK
    assert endless.unlock("below")
    assert verdicts(endless, looked(9_900.0))[-1] is Verdict.CLEAR


def test_a_lock_with_an_end_is_not_lifted_by_an_operator() -> None:
    board = Board([Below(Action.BLOCK, 60.0)])
    board.step(looked(9_000.0))
    assert not board.unlock("below")
    assert board.standings["below"].lock is not None


def test_a_breach_that_is_not_confirmed_locks_nothing() -> None:
    board = Board([Below(Action.LOCK, "operator")])
    board.step(looked(8_000.0, borne_out=False))
    assert board.standings["below"].lock is None


def test_invariant_7_a_guard_that_raises_blocks_until_it_judges_again_and_the_others_go_on() -> None:
    broken, sound = Below(name="broken"), Below(Action.WARN, name="sound")
    board = Board([broken, sound])
    board.step(looked(9_900.0))
    broken.raises = True
    changes = board.step(looked(9_900.0))
    assert [(change.guard, change.kind) for change in changes] == [("broken", ChangeKind.FAILED)]
    assert board.verdict is Verdict.BLOCK
    assert board.standings["sound"].memory.readings == 2
    assert "ZeroDivisionError" in (board.refusal(looked(9_900.0), entry()) or "")
    assert board.step(looked(9_900.0)) == []
    broken.raises = False
    assert [change.kind for change in board.step(looked(9_900.0))] == [ChangeKind.CLEARED]


def test_a_guard_that_has_judged_nothing_yet_refuses_an_opening() -> None:
    assert "not judged" in (Board([Below()]).refusal(looked(9_900.0), entry()) or "")


def test_what_a_guard_said_before_a_restart_or_a_reset_is_not_known_so_that_it_refuses_until_it_judges() -> None:
    board = Board([Below()])
    board.step(looked(9_900.0))
    again = Board([Below()], json.loads(json.dumps(board.to_json())))
    assert "not judged" in (again.refusal(looked(9_900.0), entry()) or "")
    again.step(looked(9_900.0))
    assert again.refusal(looked(9_900.0), entry()) is None


def test_a_further_try_of_an_opening_is_not_counted_beside_itself() -> None:
    board = Board([Below()])
    board.step(looked(9_900.0))
    mine = entry()
    assert board.refusal(replace(looked(9_900.0), sent=(mine,)), mine) is None
    assert board.refusal(replace(looked(9_900.0), sent=(replace(mine, magic=2),)), mine) == "1 on their way"


def test_field_03_a_restart_finds_memory_and_lock_again_and_unlocks_nothing() -> None:
    board = Board([Below(Action.LOCK, "operator"), Below(Action.BLOCK, 600.0, name="timed")])
    board.step(looked(9_000.0))
    board.learn(Sent(entry(), START))
    again = Board(list(board.guards.values()), json.loads(json.dumps(board.to_json())))
    assert again.to_json() == board.to_json()
    again.step(looked(9_900.0, seconds=1))
    assert again.verdict is Verdict.BLOCK
    assert again.standings["below"].memory == Count(sends=1, readings=2)
    assert "locked until an operator" in (again.refusal(looked(9_900.0), entry()) or "")


@pytest.mark.parametrize("broken", [{"memory": {"nonsense": 1}, "lock": None}, {"memory": {}}, [], 5])
def test_a_memory_that_cannot_be_read_is_refused_by_the_guards_name(broken: Any) -> None:
    with pytest.raises(ValueError, match="'below'"):
        Board([Below()], {"below": broken})


def test_a_change_is_told_once() -> None:
    board = Board([Below(Action.LOCK, "operator")])
    kinds = [
        [change.kind for change in board.step(looked(equity))]
        for equity in (9_900.0, 9_500.0, 9_500.0, 9_000.0, 9_000.0)
    ]
    assert kinds == [[], [ChangeKind.WARNED], [], [ChangeKind.TRIPPED, ChangeKind.LOCKED], []]


@given(st.lists(st.tuples(st.floats(8_000, 10_000), st.booleans(), st.sampled_from([0, 0, 0, 1, 2])), max_size=30))
def test_whatever_happens_a_locked_guard_blocks_and_only_a_breach_locks(steps: list[tuple[float, bool, int]]) -> None:
    guard = Below(Action.LOCK, "operator")
    board = Board([guard])
    locked, at = False, 0.0
    for equity, borne_out, what in steps:
        at += 0.1
        if what == 1:
            locked = locked and not board.unlock("below")
        if what == 2:
            board = Board([guard], json.loads(json.dumps(board.to_json())))
        board.step(looked(equity, at=at, seconds=at, borne_out=borne_out))
        if equity <= 9_000.0 and borne_out:
            locked = True
        if locked:
            assert board.verdict.rank >= Verdict.BLOCK.rank
        if equity > 9_000.0 and not locked and board.standings["below"].lock is None:
            assert board.verdict.rank < Verdict.BLOCK.rank
        assert board.standings["below"].lock is not None or not locked
