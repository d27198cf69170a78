"""The kill file is a level: whatever has its name counts, and what cannot be seen is never taken for absent."""

import os
import stat
import sys
from pathlib import Path

import pytest

from engine import killswitch
from engine.killswitch import KillFile, Killing, Level


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    made.mkdir()
    return made


def test_without_a_kill_file_nothing_is_ordered(folder: Path) -> None:
    assert KillFile(folder).look() == Level()


def test_the_first_line_says_why(folder: Path) -> None:
    (folder / "KILL").write_text("the news at 14:30\nmore", encoding="utf-8")
    assert KillFile(folder).look().killed == f"kill file {folder / 'KILL'}: the news at 14:30"


def test_it_is_found_however_it_came_there_and_gone_when_it_is_removed(folder: Path) -> None:
    kill_file = KillFile(folder)
    (folder / "KILL").touch()
    assert kill_file.look().killed
    (folder / "KILL").unlink()
    assert kill_file.look() == Level()


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes need rights there")
def test_a_folder_a_broken_link_and_a_pipe_count_and_hold_nobody_up(folder: Path) -> None:
    kill_file = KillFile(folder)
    place = folder / "KILL"
    place.mkdir()
    assert kill_file.look().killed
    place.rmdir()
    place.symlink_to(folder / "nowhere")
    assert kill_file.look().killed
    place.unlink()
    os.mkfifo(place)
    assert kill_file.look().killed


@pytest.mark.skipif(sys.platform == "win32", reason="pipes need rights there")
def test_a_pipe_that_takes_its_place_between_the_two_looks_holds_nobody_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(folder / "KILL")
    monkeypatch.setattr(stat, "S_ISREG", lambda mode: True)
    assert KillFile(folder).look().killed


def test_what_it_says_cannot_steer_a_terminal(folder: Path) -> None:
    (folder / "KILL").write_bytes(b"\x1b]0;title\x07 stop \xff")
    said = KillFile(folder).look().killed
    assert "\x1b" not in said
    assert "\x07" not in said


def test_a_folder_that_is_gone_blocks(folder: Path) -> None:
    kill_file = KillFile(folder)
    folder.rename(folder.with_name("moved"))
    level = kill_file.look()
    assert not level.killed
    assert "cannot be read" in level.blocked


def test_another_folder_in_its_place_blocks(folder: Path) -> None:
    kill_file = KillFile(folder)
    folder.rename(folder.with_name("moved"))
    folder.mkdir()
    assert "another folder" in kill_file.look().blocked


def test_a_folder_that_may_not_be_searched_blocks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_file = KillFile(folder)

    def refused(path: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "lstat", refused)
    assert "Permission denied" in kill_file.look().blocked


def test_writing_it_twice_keeps_the_first_reason(folder: Path) -> None:
    assert killswitch.write(folder, "first")
    assert not killswitch.write(folder, "second")
    assert (folder / "KILL").read_text(encoding="utf-8") == "first\n"


class _Account:
    def __init__(self, kill_file: KillFile) -> None:
        self.latched = False
        self.flattened: list[tuple[str, str]] = []
        self.killing = Killing(kill_file, flatten=self._flatten, latched=lambda: self.latched)

    def _flatten(self, reason: str, by: str) -> None:
        self.flattened.append((reason, by))
        self.latched = True


def test_it_is_obeyed_once_while_it_is_latched_and_again_when_it_is_not(folder: Path) -> None:
    account = _Account(KillFile(folder))
    account.killing.obey()
    assert account.flattened == []
    (folder / "KILL").touch()
    account.killing.obey()
    account.killing.obey()
    assert len(account.flattened) == 1
    account.latched = False
    account.killing.obey()
    assert len(account.flattened) == 2


def test_a_signal_is_obeyed_once_and_leaves_no_level(folder: Path) -> None:
    kill_file = KillFile(folder)
    account = _Account(kill_file)
    kill_file.ask("SIGUSR1")
    account.killing.obey()
    account.killing.obey()
    assert account.flattened == [("SIGUSR1", "signal")]
    assert account.killing.entry_refusal() is None


def test_it_refuses_entries_and_resets_and_says_so(folder: Path) -> None:
    killing = _Account(KillFile(folder)).killing
    assert (killing.entry_refusal(), killing.lift_refusal(), killing.notice()) == (None, None, None)
    (folder / "KILL").touch()
    for said in (killing.entry_refusal(), killing.lift_refusal(), killing.notice()):
        assert said is not None
        assert "KILL" in said
    folder.rename(folder.with_name("moved"))
    for said in (killing.entry_refusal(), killing.lift_refusal(), killing.notice()):
        assert said is not None
        assert "cannot be read" in said
