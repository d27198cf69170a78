"""The installed units under a real systemd: it starts again what was killed or hangs, and leaves what was stopped."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from engine.killswitch import NAME
from tests.e2e.conftest import OpenHouse
from tests.e2e.house import QUICK, House, gone, quarterdeck, until
from tests.e2e.usermanager import UserManager, lacking, managing

ENGINE = "quarterdeck-engine-paper.service"
WATCHDOG = "quarterdeck-watchdog-paper.service"
pytestmark = pytest.mark.timeout(180)


class Served:
    """A house whose engine and watchdog are services, with a position."""

    def __init__(self, house: House, manager: UserManager) -> None:
        self.house = house
        self.manager = manager
        installed = manager.run(*quarterdeck(), "service", "install", "--user", "--yes")
        assert installed.returncode == 0, installed

    def started(self, *units: str) -> int:
        """Start the engine's unit and these; the engine's pid, once it holds a position."""
        self.manager.systemctl("start", ENGINE, *units)
        assert self.manager.shows(ENGINE, "StatusText").endswith("RUNNING, 0 positions")
        self.position = self.house.open_position()
        return self.manager.main_pid(ENGINE)

    def holds(self, another_than: int) -> int:
        """The pid of the engine that has come in the place of one, and holds the position."""

        def found(seen: Any) -> bool:
            tickets = [position["ticket"] for position in seen["positions"]]
            return seen["engine"]["pid"] != another_than and tickets == [self.position["ticket"]]

        seen = self.house.see(found, "the position in another engine", 60)
        assert seen["engine"]["mode"] == "RUNNING"
        until(lambda: self.manager.main_pid(ENGINE) == seen["engine"]["pid"], "systemd's word for it")
        return int(seen["engine"]["pid"])


@pytest.fixture
def served(open_house: OpenHouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if reason := lacking():
        pytest.skip(reason)
    house = open_house(**QUICK, QUARTERDECK_FLATTEN__HOLD_SECONDS="1")
    with managing(house, tmp_path_factory.mktemp("r")) as manager:
        yield Served(house, manager)


def test_an_engine_that_was_killed_is_started_again_and_one_that_was_stopped_is_not(served: Served) -> None:
    engine = served.started()
    terminal = served.house.pids("paper terminal")
    os.kill(engine, signal.SIGKILL)
    second = served.holds(another_than=engine)
    assert served.house.pids("paper terminal") == terminal
    assert served.manager.shows(ENGINE, "NRestarts") == "1"

    served.house.done("stop")
    until(lambda: gone(second), "the engine's end")
    # "auto-restart" would say that it is about to be started.
    until(lambda: served.manager.shows(ENGINE, "SubState") == "dead", "a unit that is down")
    assert served.manager.shows(ENGINE, "Result") == "success"


def test_an_engine_that_hangs_is_killed_for_the_pulse_that_it_does_not_send(served: Served) -> None:
    quick = served.manager.units / f"{ENGINE}.d" / "quick.conf"
    quick.parent.mkdir()
    quick.write_text("[Service]\nWatchdogSec=4\n")
    served.manager.systemctl("daemon-reload")
    engine = served.started()
    os.kill(engine, signal.SIGSTOP)
    served.holds(another_than=engine)
    assert gone(engine)
    assert served.manager.shows(ENGINE, "NRestarts") == "1"


def test_a_kill_file_beside_an_engine_that_hangs_is_obeyed_by_the_watchdog_service(served: Served) -> None:
    engine = served.started(WATCHDOG)
    os.kill(engine, signal.SIGSTOP)
    (served.house.state / NAME).write_text("by hand")
    # Closed by the watchdog's direct flatten; the engine that systemd starts behind it finds it recorded.
    served.house.see(lambda seen: seen["engine"]["pid"] != engine, "another engine", 60)
    seen = served.house.see(lambda seen: seen["reading"]["validity"] == "VALID", "a valid reading")
    assert seen["engine"]["mode"] == "HALTED"
    assert seen["positions"] == []
    (finished,) = served.house.events("direct_flatten_finished")
    assert finished["metadata"]["statement"].startswith("flat, confirmed by the broker at ")
    assert "watchdog: kill file" in finished["metadata"]["reason"]
    assert served.manager.main_pid(WATCHDOG) != 0
