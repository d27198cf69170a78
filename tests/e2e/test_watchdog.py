"""A real watchdog beside a real engine: what hangs or dies is put right; what is stopped or blind is left alone."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import OpenHouse
from tests.e2e.house import QUICK, House, until
from tests.unit.alerts.services import CANARY, service

CHECKS = 8


class Watched:
    """A house with an engine, a position, and a watchdog that is told to make few checks."""

    def __init__(self, open_house: OpenHouse, then: str, **settings: str) -> None:
        few = {"QUARTERDECK_WATCHDOG__CHECKS": str(CHECKS), "QUARTERDECK_WATCHDOG__KILL_CHECKS": "3"}
        self.house: House = open_house(**QUICK, **{"QUARTERDECK_FLATTEN__HOLD_SECONDS": "1", **few, **settings})
        self.engine = self.house.engine()
        self.position = self.house.open_position()
        self._printed = self.house.home / "watchdog.txt"
        with self._printed.open("w") as output:
            self.process = self.house.start("watchdog", "--then", then, stdout=output, stderr=subprocess.STDOUT)
        self.says("guard cycles are completed by run")

    def said(self) -> str:
        return self._printed.read_text()

    def says(self, words: str, times: int = 1) -> None:
        until(lambda: self.said().count(words) >= times, f"{words!r} in: {self._printed}", 60)

    def quiet_for(self, checks: int) -> str:
        """What it has said after so many further checks, by the time that they take."""
        time.sleep(checks)
        assert self.process.poll() is None
        return self.said()

    def holds_its_position(self, mode: str = "RUNNING") -> None:
        seen = self.house.see(lambda seen: seen["reading"]["validity"] == "VALID", "a valid reading")
        assert seen["engine"]["mode"] == mode
        assert [position["ticket"] for position in seen["positions"]] == [self.position["ticket"]]


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_an_engine_that_hangs_or_has_died_is_started_again_with_its_position_and_mode(
    open_house: OpenHouse, number: signal.Signals
) -> None:
    watched = Watched(open_house, "restart")
    house, engine = watched.house, watched.engine
    house.command("pause")
    gateways = house.pids("gateway")
    os.kill(engine.pid, number)
    watched.says("restart 1 of at most 3 an hour")
    watched.says("guard cycles are completed again")
    assert engine.wait(10) == -signal.SIGKILL
    assert house.engine_pid() != engine.pid
    assert not set(gateways) & set(house.pids("gateway"))
    watched.holds_its_position("PAUSED")
    assert watched.said().count("started an engine") == 1
    # It is nobody's child that would end with it.
    watched.process.send_signal(signal.SIGTERM)
    assert watched.process.wait(20) == 0
    assert "told to end" in watched.said()
    watched.holds_its_position("PAUSED")


def test_what_was_stopped_stays_stopped_and_its_position_is_told_once(open_house: OpenHouse) -> None:
    with service() as phone:
        watched = Watched(
            open_house,
            "restart",
            QUARTERDECK_ALERTS__TARGETS='["phone"]',
            QUARTERDECK_ALERT_URL_PHONE=phone.address,
        )
        watched.house.done("stop")
        watched.says("1 positions, 0 orders, and nothing guards the account")
        watched.says("phone was told")
        said = watched.quiet_for(CHECKS + 4)
        assert said.count("ALERT") == 1
        assert "started" not in said
        assert watched.house.pids("engine") == []
        assert phone.texts().count("nothing guards the account") == 1
        assert CANARY not in said


def test_a_watchdog_that_was_stopped_itself_takes_that_for_no_hang(open_house: OpenHouse) -> None:
    watched = Watched(open_house, "flatten")
    os.kill(watched.process.pid, signal.SIGSTOP)
    time.sleep(2 * CHECKS)
    os.kill(watched.process.pid, signal.SIGCONT)
    assert "ALERT" not in watched.quiet_for(CHECKS)
    watched.holds_its_position()


def test_a_blind_engine_is_not_a_hung_one(open_house: OpenHouse, tmp_path: Path) -> None:
    faults = tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nkind = "disconnect"\nat = 15\nseconds = 600\n')
    watched = Watched(
        open_house,
        "flatten",
        QUARTERDECK_PAPER__FAULTS=str(faults),
        QUARTERDECK_READING__BLIND_AFTER_SECONDS="1",
    )
    house = watched.house
    house.see(lambda seen: any("BLIND" in notice for notice in seen["engine"]["notices"]), "a blind engine", 60)
    assert "ALERT" not in watched.quiet_for(CHECKS + 4)
    assert house.look()["engine"]["pid"] == watched.engine.pid


def test_a_kill_file_beside_a_stopped_engine_closes_everything(open_house: OpenHouse) -> None:
    watched = Watched(open_house, "alert")
    house = watched.house
    os.kill(watched.engine.pid, signal.SIGSTOP)
    (house.state / "KILL").write_text("nobody at the desk\n")
    watched.says("no engine has obeyed it in 3 checks; everything is closed directly")
    watched.says("everything was closed directly: the account is flat")
    assert watched.engine.wait(10) == -signal.SIGKILL
    assert "flat, confirmed by the broker" in (house.state / "flatten.log").read_text()
    assert watched.said().count("started a direct flatten") == 1
    assert watched.quiet_for(CHECKS + 4).count("started a direct flatten") == 1
    house.engine()
    seen = house.look()
    assert (seen["engine"]["mode"], seen["positions"]) == ("HALTED", [])
    (started,) = house.events("direct_flatten_started")
    assert "nobody at the desk" in started["metadata"]["reason"]


def test_a_hung_engine_is_flattened_if_that_is_what_the_profile_says(open_house: OpenHouse) -> None:
    watched = Watched(open_house, "flatten")
    os.kill(watched.engine.pid, signal.SIGSTOP)
    watched.says("everything was closed directly: the account is flat")
    assert (watched.house.state / "KILL").exists()
    assert watched.said().count("started a direct flatten") == 1
    assert watched.house.pids("engine") == []


def test_a_second_watchdog_of_a_profile_says_so(open_house: OpenHouse) -> None:
    watched = Watched(open_house, "alert")
    second = watched.house.run("watchdog")
    assert second.returncode == 75
    assert "a watchdog runs already" in second.stderr
    assert watched.process.poll() is None
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ watching profile 'paper'", watched.said())
