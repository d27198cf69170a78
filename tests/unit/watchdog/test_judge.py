"""What a watchdog makes of what it sees, check by check."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from engine.processes import Known
from engine.runfile import Run, Stopped
from engine.watchdog.judge import REPEAT_CHECKS, RESTARTS, RESTARTS_WITHIN_CHECKS, Decision, Do, Judge, Pulse, Seen
from engine.watchdog.settings import Then, WatchdogSettings

ENGINE = Run("engine", Known(100, "born"), "5001@Paper", (Known(101, "born"),))
DIRECT = replace(ENGINE, role="direct flatten", process=Known(200, "born"))
HUNG = Seen(run=ENGINE, lives=True)
DEAD = Seen(run=ENGINE)
NOTHING = Seen()
CHECKS = 10
KILL = "kill file /state/KILL: fire"


def stopped(positions: int | None, orders: int | None = 0) -> Seen:
    return Seen(run=replace(ENGINE, stopped=Stopped("2026-11-25T10:00:00Z", "RUNNING", positions, orders)))


def beating(loop_id: str = "run-1", **changes: Any) -> Iterator[Seen]:
    cycles = 0
    while True:
        cycles += 10
        yield Seen(**{"pulse": Pulse(loop_id, cycles), "run": ENGINE, "lives": True, **changes})


class Watch:
    """A judge, and all that it has decided."""

    def __init__(self, then: Then = "alert", **settings: int) -> None:
        self.judge = Judge(WatchdogSettings(then=then, **{"checks": CHECKS, "kill_checks": 3, **settings}))
        self.lines: list[str] = []
        self.alerts: list[str] = []
        self.done: list[Do] = []
        self.last = Decision()

    def sees(self, seen: Seen, checks: int = 1) -> "Watch":
        for _ in range(checks):
            self.last = self.judge.check(seen)
            self.lines += self.last.lines
            self.alerts += [alert.text for alert in self.last.alerts]
            self.done += [self.last.do] if self.last.do is not None else []
        return self

    def sees_cycles(self, checks: int, beats: Iterator[Seen] | None = None) -> "Watch":
        source = beating() if beats is None else beats
        for _ in range(checks):
            self.sees(next(source))
        return self


def test_as_long_as_cycles_are_completed_one_line_is_all() -> None:
    watch = Watch("flatten").sees_cycles(5000)
    assert (watch.alerts, watch.done) == ([], [])
    assert watch.lines == ["guard cycles are completed by run run-1"]


def test_cycles_that_are_rare_are_cycles_all_the_same() -> None:
    watch, beats = Watch("flatten"), beating()
    for _ in range(20):
        watch.sees_cycles(1, beats).sees(HUNG, CHECKS - 1)
    assert (watch.alerts, watch.done) == ([], [])


def test_a_hung_engine_is_told_at_the_last_check_and_not_before() -> None:
    watch = Watch().sees_cycles(3).sees(HUNG, CHECKS - 1)
    assert watch.alerts == []
    assert watch.sees(HUNG).alerts == ["no further guard cycle in 10 checks (pid 100)"]
    assert watch.done == []


def test_an_engine_that_answers_without_completing_cycles_is_hung() -> None:
    stuck = Seen(pulse=Pulse("run-1", 7), run=ENGINE, lives=True)
    assert Watch("restart").sees(stuck, CHECKS + 1).done == [Do.RESTART]


def test_an_alert_is_repeated_while_the_trouble_lasts_and_its_end_is_told() -> None:
    watch = Watch().sees_cycles(1).sees(HUNG, CHECKS + 2 * REPEAT_CHECKS)
    assert len(watch.alerts) == 3
    watch.sees_cycles(5, beating("run-2"))
    assert watch.alerts[3:] == ["guard cycles are completed again: run run-2"]
    assert len(watch.sees(HUNG, CHECKS).alerts) == 5


@pytest.mark.parametrize(("then", "done"), [("alert", []), ("restart", [Do.RESTART]), ("flatten", [Do.FLATTEN])])
def test_what_follows_a_hang_is_what_the_profile_says(then: Then, done: list[Do]) -> None:
    watch = Watch(then).sees_cycles(3).sees(HUNG, CHECKS)
    assert watch.done == done
    assert len(watch.alerts) == 1


@pytest.mark.parametrize("seen", [HUNG, DEAD, Seen(unknown="run.json cannot be read")])
def test_a_dead_engine_a_hung_one_and_an_unreadable_run_file_are_trouble_alike(seen: Seen) -> None:
    assert Watch("restart").sees(seen, CHECKS).done == [Do.RESTART]


def test_it_counts_anew_after_a_restart() -> None:
    watch = Watch("restart").sees_cycles(1).sees(DEAD, CHECKS)
    started = Seen(run=replace(ENGINE, process=Known(300, "later")), lives=True)
    assert watch.sees(started, CHECKS - 1).done == [Do.RESTART]
    assert watch.sees(started).done == [Do.RESTART, Do.RESTART]


def test_restarts_are_given_up_within_an_hour_and_it_goes_on_saying_so() -> None:
    watch = Watch("restart").sees_cycles(1).sees(DEAD, RESTARTS_WITHIN_CHECKS - CHECKS)
    assert watch.done == [Do.RESTART] * RESTARTS
    given_up = [text for text in watch.alerts if "and not again" in text]
    assert len(given_up) == (RESTARTS_WITHIN_CHECKS - CHECKS - 4 * CHECKS) // REPEAT_CHECKS + 1
    assert watch.sees(DEAD, 2 * CHECKS).done == [Do.RESTART] * (RESTARTS + 1)


def test_restarts_in_between_which_it_works_for_a_while_are_counted_too() -> None:
    watch = Watch("restart")
    for run in range(RESTARTS + 2):
        watch.sees_cycles(5, beating(f"run-{run}")).sees(DEAD, CHECKS)
    assert watch.done == [Do.RESTART] * RESTARTS


def test_a_direct_flatten_is_begun_again_while_there_is_trouble() -> None:
    watch = Watch("flatten").sees(DEAD, CHECKS).sees(replace(DEAD, closing=True), 50)
    assert watch.done == [Do.FLATTEN]
    watch.sees(replace(DEAD, ended=3)).sees(DEAD, CHECKS)
    assert watch.done == [Do.FLATTEN] * 2
    assert "the direct flatten ended with exit code 3: the account may not be flat" in watch.alerts


def test_a_recorded_stop_is_honoured_and_what_it_left_is_told_once() -> None:
    watch = Watch("flatten").sees_cycles(3).sees(stopped(2), 1000)
    assert watch.done == []
    assert watch.alerts == [
        "stopped in order at 2026-11-25T10:00:00Z (RUNNING): 2 positions, 0 orders, and nothing guards the account"
    ]


@pytest.mark.parametrize(("positions", "orders", "told"), [(0, 0, 0), (0, 1, 1), (None, 0, 1), (0, None, 1)])
def test_what_is_not_known_to_be_nothing_is_told(positions: int | None, orders: int | None, told: int) -> None:
    assert len(Watch().sees(stopped(positions, orders), 20).alerts) == told


def test_a_stop_ends_the_trouble() -> None:
    watch = Watch("restart").sees_cycles(1).sees(HUNG, CHECKS - 1).sees(stopped(0), 500).sees(HUNG, CHECKS - 1)
    assert (watch.done, watch.alerts) == ([], [])


def test_before_an_engine_was_ever_started_it_waits() -> None:
    watch = Watch("flatten").sees(NOTHING, 1000)
    assert (watch.done, watch.alerts) == ([], [])
    assert watch.lines == ["no engine has been started for this profile yet"]


def test_an_engine_whose_run_file_has_vanished_is_missed() -> None:
    assert Watch("flatten").sees_cycles(1).sees(NOTHING, CHECKS).done == [Do.FLATTEN]


def test_a_starting_engine_gets_its_time() -> None:
    watch = Watch("restart").sees_cycles(1).sees(DEAD, CHECKS - 1)
    started = Seen(run=replace(ENGINE, process=Known(300, "later")), lives=True)
    assert watch.sees(started, CHECKS - 1).done == []
    assert watch.sees(replace(started, pulse=Pulse("run-2", 0))).done == [Do.RESTART]


def test_an_engine_that_dies_at_every_start_is_trouble_however_often_it_is_started() -> None:
    watch = Watch().sees_cycles(1)
    for number in range(2 * CHECKS):
        watch.sees(Seen(run=replace(ENGINE, process=Known(300 + number, "later"))))
    assert len(watch.alerts) == 1


@pytest.mark.parametrize("then", ["alert", "restart", "flatten"])
@pytest.mark.parametrize(
    "seen",
    [
        HUNG,
        DEAD,
        NOTHING,
        stopped(1),
        stopped(None),
        Seen(pulse=Pulse("run-1", 1), mode="RUNNING", run=ENGINE, lives=True),
    ],
)
def test_a_kill_file_that_nobody_obeys_is_obeyed_whatever_is_said(then: Then, seen: Seen) -> None:
    watch = Watch(then).sees(replace(seen, killed=KILL), 2)
    assert watch.done == []
    watch.sees(replace(seen, killed=KILL))
    assert watch.done == [Do.FLATTEN]
    assert "fire" in watch.last.reason


def test_cycles_that_go_on_do_not_obey_a_kill_file() -> None:
    assert Watch().sees_cycles(3, beating(killed=KILL, mode="PAUSED")).done == [Do.FLATTEN]


@pytest.mark.parametrize("mode", ["FLATTENING", "HALTED"])
def test_a_kill_file_that_is_obeyed_is_left_to_the_engine(mode: str) -> None:
    watch = Watch("flatten").sees_cycles(2, beating(killed=KILL, mode="RUNNING"))
    assert watch.sees_cycles(500, beating(killed=KILL, mode=mode)).done == []


@pytest.mark.parametrize("then", ["alert", "restart"])
def test_a_kill_file_that_an_engine_hangs_over_is_obeyed_directly(then: Then) -> None:
    hangs = Seen(pulse=Pulse("run-1", 20), mode="FLATTENING", run=ENGINE, lives=True, killed=KILL)
    watch = Watch(then).sees_cycles(2, beating(killed=KILL, mode="FLATTENING"))
    assert watch.sees(hangs, CHECKS - 1).done == []
    assert watch.sees(hangs).done == [Do.FLATTEN]
    # What is halted has been proven flat: a hang of it is a hang like another.
    halted = replace(hangs, mode="HALTED")
    watch = Watch(then).sees_cycles(2, beating(killed=KILL, mode="HALTED")).sees(halted, 5 * CHECKS)
    assert Do.FLATTEN not in watch.done


def test_a_kill_file_beside_an_account_that_was_left_flat_is_obeyed_already() -> None:
    assert Watch("flatten").sees(replace(stopped(0), killed=KILL), 1000).done == []


def test_a_short_look_at_a_kill_file_is_not_enough_for_it() -> None:
    watch = Watch()
    for _ in range(100):
        watch.sees(replace(HUNG, killed=KILL), 2).sees(HUNG)
        watch.sees_cycles(1, beating(f"run-{len(watch.lines)}"))
    assert watch.done == []


def test_a_direct_flatten_that_works_is_left_alone_whoever_started_it() -> None:
    watch = Watch("flatten")
    for touched in range(500):
        watch.sees(Seen(run=DIRECT, lives=True, touched=touched, killed=KILL))
        watch.sees(Seen(run=ENGINE, lives=True, touched=touched, killed=KILL, closing=True))
    assert (watch.done, watch.alerts) == ([], [])


def test_a_direct_flatten_that_hangs_is_told_and_no_second_is_begun() -> None:
    watch = Watch("flatten").sees(Seen(run=DIRECT, lives=True, touched=1, killed=KILL), 100)
    assert watch.done == []
    assert watch.alerts == [
        "the direct flatten has not gone on in 10 checks and lives: look at it, or end it and start another"
    ]


def test_a_direct_flatten_that_died_is_begun_again() -> None:
    assert Watch().sees(Seen(run=DIRECT, killed=KILL), 3).done == [Do.FLATTEN]


def test_a_direct_flatten_that_ends_at_once_is_begun_again_ever_more_rarely() -> None:
    watch = Watch(checks=60)
    for _ in range(3 + 6 + 12 + 24 + 48 + 60):
        watch.sees(replace(DEAD, killed=KILL))
        if watch.last.do is not None:
            watch.sees(replace(DEAD, killed=KILL, closing=True)).sees(replace(DEAD, killed=KILL, closing=True, ended=1))
    assert len(watch.done) == 6
    assert len([text for text in watch.alerts if "exit code 1" in text]) == 1


def test_a_flat_end_is_told() -> None:
    watch = Watch("flatten").sees(DEAD, CHECKS).sees(replace(stopped(0), ended=0))
    assert watch.alerts[-1] == "everything was closed directly: the account is flat"
    assert watch.sees(stopped(0), 500).done == [Do.FLATTEN]


def test_a_kill_file_is_named_beside_what_goes_on() -> None:
    watch = Watch().sees_cycles(3, beating(killed=KILL, mode="HALTED")).sees_cycles(3)
    assert watch.lines == [
        f"guard cycles are completed by run run-1; there is a {KILL}",
        "guard cycles are completed by run run-1",
    ]
