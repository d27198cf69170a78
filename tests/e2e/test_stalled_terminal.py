"""A terminal that nobody reads, and one that goes away: neither can delay the engine nor end it."""

import array
import fcntl
import os
import pty
import signal
import struct
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import pytest

from tests.e2e.conftest import OpenHouse
from tests.e2e.house import House, gone, until

_STALLED_SECONDS = 1.5


def _own_terminal(inner: int, hang_up_ignored: bool) -> Callable[[], None]:
    def prepare() -> None:
        fcntl.ioctl(inner, termios.TIOCSCTTY, 0)
        if hang_up_ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    return prepare


@dataclass
class Unread:
    """A console in a terminal of 200 by 60 whose far end nobody reads."""

    house: House
    console: int
    outer: BinaryIO

    def stalled(self) -> None:
        """Wait until the console has not got a byte out for some time, although there is something to say."""
        waiting, since = -1, time.monotonic()

        def stands() -> bool:
            nonlocal waiting, since
            size = array.array("i", [0])
            fcntl.ioctl(self.outer, termios.FIONREAD, size)
            if size[0] != waiting:
                waiting, since = size[0], time.monotonic()
            return waiting > 0 and time.monotonic() - since >= _STALLED_SECONDS

        until(stands, "a console that gets nothing out")

    def hang_up(self) -> None:
        """Close the far end, as a dropped line does."""
        self.outer.close()


@pytest.fixture(params=["at the desk", "under nohup"])
def unread(request: pytest.FixtureRequest, open_house: OpenHouse) -> Iterator[Unread]:
    house = open_house(QUARTERDECK_PAPER__DEMO_STRATEGY="false", QUARTERDECK_LOOP__HEARTBEAT_SECONDS="0.2")
    descriptor, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 200, 0, 0))
    prepare = _own_terminal(inner, request.param == "under nohup")
    console = house.start(stdin=inner, stdout=inner, stderr=inner, preexec_fn=prepare)
    os.close(inner)
    with os.fdopen(descriptor, "rb", buffering=0) as outer:
        yield Unread(house, console.pid, outer)


def test_field_01_engine_works_on_behind_a_stalled_terminal_and_outlives_its_end(unread: Unread) -> None:
    house = unread.house
    engine = house.see(lambda seen: seen["reading"]["validity"] == "VALID", "an engine")["engine"]["pid"]
    house.open_position()
    unread.stalled()
    assert not gone(unread.console)

    printed = house.done("flatten", "--yes", "--reason", "from another terminal")
    assert "flat, confirmed by the broker at" in printed
    seen = house.look()
    assert (seen["engine"]["pid"], seen["engine"]["mode"], seen["positions"]) == (engine, "HALTED", [])
    assert seen["engine"]["heartbeat_age_seconds"] < 1
    assert seen["reading"]["age_seconds"] < 1

    unread.hang_up()
    until(lambda: gone(unread.console), "the end of the console", 5)
    later = house.see(lambda now: now["seq"] > seen["seq"], "the next heartbeat", 5)
    assert later["engine"]["pid"] == engine == house.engine_pid()
    assert later["reading"]["validity"] == "VALID"
    assert not house.events("engine_stopped")
