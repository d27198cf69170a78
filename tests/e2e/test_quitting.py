"""Ways out of the console, and what each leaves behind."""

import os
import signal
from pathlib import Path

from tests.e2e.conftest import OpenScreen
from tests.e2e.house import House, quarterdeck, until

ASKED = "QUIT THE CONSOLE?"


def test_engine_left_running_is_found_by_the_next_console_and_stopped_from_it(
    house: House, open_screen: OpenScreen
) -> None:
    first = open_screen(house)
    first.shows("RUNNING CONNECTED")
    engine = house.engine_pid()
    ticket = house.open_position()["ticket"]

    first.press("q")
    first.shows(ASKED, "> Cancel: stay here")
    first.press("Enter")
    first.lacks(ASKED)
    first.press("q")
    first.shows(ASKED, "1 position open")
    first.press("Home", "Up", "Up", "Up", "Enter")
    assert first.exit_code() == 0
    assert house.look()["engine"]["pid"] == engine

    second = open_screen(house)
    second.shows("RUNNING CONNECTED", "2 Positions (1)")
    seen = house.look()
    assert seen["engine"]["pid"] == engine
    assert [position["ticket"] for position in seen["positions"]] == [ticket]
    second.press("q")
    second.shows(ASKED)
    second.press("Up", "Up", "Enter")
    assert second.exit_code() == 0
    house.nothing_left()
    assert "ok" in house.done("journal", "verify")


def test_flatten_and_quit_leaves_a_flat_account_and_no_process(house: House, open_screen: OpenScreen) -> None:
    screen = open_screen(house)
    screen.shows("RUNNING CONNECTED")
    house.open_position()
    screen.shows("2 Positions (1)")
    screen.press("q")
    screen.shows(ASKED)
    screen.press("Up", "Enter")
    assert screen.exit_code() == 0
    house.nothing_left()
    house.engine()
    seen = house.look()
    assert seen["engine"]["mode"] == "HALTED"
    assert seen["positions"] == []
    assert house.events("flatten_finished")[0]["metadata"]["positions_closed"] == 1


def test_ctrl_c_asks_and_kills_nothing(house: House, open_screen: OpenScreen) -> None:
    screen = open_screen(house)
    screen.shows("RUNNING CONNECTED")
    before = house.processes().keys()
    screen.press("C-c")
    screen.shows(ASKED)
    screen.press("C-c")
    screen.press("Escape")
    screen.lacks(ASKED)
    screen.shows("RUNNING CONNECTED")
    assert house.processes().keys() == before


def test_console_does_not_start_again_what_was_told_to_stop_until_it_is_asked_to(
    house: House, open_screen: OpenScreen
) -> None:
    screen = open_screen(house)
    screen.shows("RUNNING CONNECTED")
    stopped = house.engine_pid()
    house.command("stop", reason="from elsewhere")
    screen.shows("DISCONNECTED", "the engine was told to stop; press s to start it")
    until(lambda: len(house.processes()) == 1, "a console alone")
    screen.press("s")
    screen.shows("RUNNING CONNECTED")
    assert house.look()["engine"]["pid"] != stopped
    assert house.look()["account"]["balance"] == 10_000


def test_nothing_is_typed_into_the_shell_that_the_console_was_started_from(
    house: House, open_screen: OpenScreen
) -> None:
    told = '"$@"; read -r typed; echo "then [$typed]"'
    screen = open_screen(house, 80, 24, "sh", "-c", told, "sh", *quarterdeck())
    screen.shows("RUNNING CONNECTED")
    screen.press("d")
    screen.lacks("CONNECTED")
    screen.type("quarterdeck flatten")
    screen.press("Enter")
    screen.shows("then [quarterdeck flatten]")


def test_a_console_that_was_suspended_shows_everything_again(house: House, open_screen: OpenScreen) -> None:
    screen = open_screen(house, 80, 24, "bash", "--norc", "-i")
    screen.type(" ".join(quarterdeck()))
    screen.press("Enter")
    screen.shows("RUNNING CONNECTED", "Flatten")
    (console,) = house.pids("console")
    os.kill(console, signal.SIGTSTP)
    screen.shows("Stopped")
    screen.type("fg")
    screen.press("Enter")
    screen.shows("RUNNING CONNECTED", "1 Approvals", "p Pause F Flatten")


def test_a_console_that_was_stopped_and_goes_on_leaves_a_sane_terminal(house: House, open_screen: OpenScreen) -> None:
    screen = open_screen(house, 80, 24, "sh", "-c", '"$@"; stty -a', "sh", *quarterdeck())
    screen.shows("RUNNING CONNECTED", "Flatten")
    (console,) = house.pids("console")
    os.kill(console, signal.SIGSTOP)
    until(lambda: Path(f"/proc/{console}/stat").read_text().split()[2] == "T", "a stopped console")
    os.kill(console, signal.SIGCONT)
    screen.shows("RUNNING CONNECTED", "p Pause F Flatten")
    screen.press("d")
    screen.shows(" icanon", " echo ")
