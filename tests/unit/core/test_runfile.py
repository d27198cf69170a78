"""What is known of a process from outside: a pid alone is never enough."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.processes import Known, birth_of, kill, known, living, ourselves
from engine.runfile import RunFile, Stopped, read_run, run_path


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_a_killed_process_does_not_live_even_before_it_is_reaped(child: "subprocess.Popen[bytes]") -> None:
    one = known(child.pid)
    assert one.lives
    assert living([one, ourselves()]) == [one, ourselves()]
    assert kill(one)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not one.lives
    assert not kill(one)
    child.wait()
    assert birth_of(child.pid) is None


def test_another_process_of_the_same_pid_is_not_killed(child: "subprocess.Popen[bytes]") -> None:
    assert not kill(Known(child.pid, "an earlier one"))
    assert known(child.pid).lives


def test_a_process_that_had_ended_when_it_was_noted_never_lives(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    child.wait()
    assert not known(child.pid).lives


def test_a_process_without_a_birth_does_not_live(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    child.wait()
    damaged: Any = None
    assert not Known(child.pid, damaged).lives


def test_the_run_file_says_who_has_the_account_in_hand(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path)
    run_file.begin("engine")
    run_file.gateway("orders", 4)
    run_file.gateway("reads", os.getpid())
    run_file.account("5001@Broker")
    run_file.gateway("orders", None)
    run = read_run(tmp_path)
    assert run is not None
    assert (run.role, run.account, run.stopped) == ("engine", "5001@Broker", None)
    assert run.processes() == (ourselves(), ourselves())


def test_only_an_orderly_stop_is_one(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path)
    run_file.begin("engine")
    run_file.stopped(Stopped("2026-11-25T10:00:00.000Z", "RUNNING", 2, None))
    run = read_run(tmp_path)
    assert run is not None
    assert run.stopped == Stopped("2026-11-25T10:00:00.000Z", "RUNNING", 2, None)
    RunFile(tmp_path).begin("engine")
    again = read_run(tmp_path)
    assert again is not None
    assert again.stopped is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"role": "engine"}'])
def test_a_run_file_that_makes_no_sense_says_nothing(tmp_path: Path, content: str) -> None:
    assert read_run(tmp_path) is None
    run_path(tmp_path).write_text(content, encoding="utf-8")
    assert read_run(tmp_path) is None


def test_a_disk_that_takes_nothing_ends_nobody_and_leaves_no_record_of_an_earlier_one(tmp_path: Path) -> None:
    """A stop recorded by an earlier engine would be taken for that of this one."""
    earlier = RunFile(tmp_path)
    earlier.begin("engine")
    earlier.stopped(Stopped("2026-11-25T10:00:00.000Z", "HALTED", 0, 0))
    (tmp_path / "run.new").mkdir()  # writing it fails, as on a full disk, for root too
    run_file = RunFile(tmp_path)
    run_file.begin("engine")
    assert not run_path(tmp_path).exists()
    run_file.account("5001@Broker")
    run_file.gateway("orders", os.getpid())
    run_file.touch()
    (tmp_path / "run.new").rmdir()
    run_file.account("5001@Broker")
    run = read_run(tmp_path)
    assert run is not None
    assert (run.account, run.stopped, run.processes()) == ("5001@Broker", None, (ourselves(), ourselves()))


def test_a_run_file_that_was_taken_away_is_written_again(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path)
    run_file.begin("direct flatten")
    run_path(tmp_path).unlink()
    run_file.touch()
    assert read_run(tmp_path) is not None
