"""How an engine starts and ends, and what is said when it cannot start."""

import signal
import sqlite3
from pathlib import Path

import pytest

from tests.e2e.conftest import OpenHouse, OpenScreen
from tests.e2e.house import House, gone, until

BAD_LINES = {
    "no number": ("1700000003,1.10000,dear", "timestamp,bid,ask"),
    "time goes back": ("1600000000,1.10000,1.10001", "a time not before the line above"),
}


def bad_file(folder: Path, line: str) -> Path:
    path = folder / "EURUSD-bad.csv"
    path.write_text(f"timestamp,bid,ask\n1700000001,1.10000,1.10001\n1700000002,1.10000,1.10001\n{line}\n")
    return path


@pytest.mark.parametrize("fault", BAD_LINES)
def test_malformed_replay_file_is_named_with_line_and_expectation_and_nothing_starts(house: House, fault: str) -> None:
    line, expected = BAD_LINES[fault]
    path = bad_file(house.home, line)
    result = house.run("engine", "--replay", str(path))
    assert result.returncode == 1
    for part in (str(path), "line 4", line, f"expected {expected}"):
        assert part in result.stderr
    assert "Traceback" not in result.stderr
    house.nothing_left()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60)])
def test_console_shows_why_the_engine_does_not_start(
    house: House, open_screen: OpenScreen, width: int, height: int
) -> None:
    line, expected = BAD_LINES["no number"]
    path = bad_file(house.home, line)
    (house.home / "profiles").mkdir()
    (house.home / "profiles" / "paper.toml").write_text(f'[paper]\nreplay = "{path}"\n')
    screen = open_screen(house, width, height)
    screen.shows("DISCONNECTED", path.name, "line 4", f"expected {expected}")
    screen.press("q")
    screen.shows("QUIT THE CONSOLE?")
    screen.press("Up", "Up", "Up", "Enter")
    assert screen.exit_code() == 0
    house.nothing_left()


def test_profile_that_is_not_understood_is_refused_by_its_path(house: House) -> None:
    (house.home / "profiles").mkdir()
    (house.home / "profiles" / "paper.toml").write_text("[drawdown]\nlimit_procent = 20\n")
    result = house.run("engine")
    assert result.returncode == 2
    assert "drawdown.limit_procent" in result.stderr
    assert "paper.toml" in result.stderr
    house.nothing_left()


def test_second_engine_of_a_profile_ends_with_75_and_leaves_the_first_alone(house: House) -> None:
    first = house.engine()
    second = house.run("engine")
    assert second.returncode == 75
    assert "runs already" in second.stderr
    assert house.look()["engine"]["pid"] == first.pid
    assert house.look()["gateway"]["restarts"] == 0
    assert len(house.processes()) == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signalled_engine_stops_in_order(house: House, number: signal.Signals) -> None:
    engine = house.engine()
    house.open_position()
    engine.send_signal(number)
    assert engine.wait(20) == 0
    house.nothing_left()
    with sqlite3.connect(house.state / "journal.db") as journal:
        (last,) = journal.execute("SELECT event_type FROM event ORDER BY seq DESC LIMIT 1").fetchone()
    journal.close()
    assert last == "engine_stopped"
    assert not (house.state / "control.sock").exists()
    assert "events: ok" in house.done("journal", "verify")


def test_home_with_a_path_too_long_for_a_socket_works_alike(open_house: OpenHouse) -> None:
    house = open_house(QUARTERDECK_PAPER__DEMO_STRATEGY="false")
    house.move_to(house.home / ("deep" * 20) / ("deeper" * 10))
    house.engine()
    assert not (house.state / "control.sock").exists()
    assert "RUNNING" in house.done("status")
    house.command("stop")
    house.nothing_left()


def test_five_consoles_at_once_on_an_empty_home_share_one_engine(house: House, open_screen: OpenScreen) -> None:
    screens = [open_screen(house) for _ in range(5)]
    for screen in screens:
        screen.shows("RUNNING CONNECTED")
    until(lambda: len(house.pids("engine")) == 1, "one engine")
    assert len(house.pids("paper terminal")) == 1
    assert len(house.pids("gateway")) == 2
    assert len(house.pids("console")) == 5
    assert [event["event_type"] for event in house.events("engine_started")] == ["engine_started"]
    # What one of them does, all of them show.
    screens[0].press("p")
    for screen in screens:
        screen.shows("PAUSED")
    engine = house.engine_pid()
    for screen in screens:
        screen.close()
    until(lambda: not house.pids("console"), "the end of the consoles")
    assert house.look()["engine"]["pid"] == engine
    assert not gone(engine)
