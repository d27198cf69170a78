"""Over a real sshd: a line that is cut in the middle of a flatten, scripts, and a key that can only flatten."""

import os
import re
import shlex
import signal
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from engine.paper.books import Books
from tests.e2e.conftest import OpenHouse, OpenScreen, OpenSshd
from tests.e2e.house import House, gone, quarterdeck, until
from tests.e2e.sshd import Sshd, make_key

FLAT = re.compile(r"flat, confirmed by the broker at \d\d:\d\d:\d\d")
POSITIONS = 8
_CLOSE_SECONDS = 0.6
_LONGEST_GAP_SECONDS = 5.0
"""Between two heartbeats that are due every half second, on a machine that has other work."""


SETTINGS = {
    "QUARTERDECK_PAPER__DEMO_STRATEGY": "false",
    "QUARTERDECK_LOOP__HEARTBEAT_SECONDS": "0.5",
    "QUARTERDECK_FLATTEN__HOLD_SECONDS": "1",
}


def left(house: House) -> int:
    """How many positions the broker has."""
    books = Books(2)
    for record in house.ledger():
        books.apply(record)
    return len(books.positions)


def clients(house: House) -> list[int]:
    return [pid for pid, words in house.processes().items() if words[0] == "ssh"]


def cut_by_the_server(house: House, server: Sshd) -> list[int]:
    return server.sessions()


def cut_by_the_client(house: House, server: Sshd) -> list[int]:
    return clients(house)


@pytest.mark.parametrize("cut", [cut_by_the_server, cut_by_the_client])
def test_flatten_begun_over_ssh_goes_on_when_the_line_is_cut_in_the_middle_of_it(
    open_house: OpenHouse,
    open_sshd: OpenSshd,
    open_screen: OpenScreen,
    cut: Callable[[House, Sshd], list[int]],
) -> None:
    house = open_house(**SETTINGS)
    server = open_sshd(house)
    screen = open_screen(house, 100, 30, *server.client("exec", *quarterdeck(), options=("-tt",)))
    screen.shows("RUNNING CONNECTED")
    # The console on the other side has started it: the hardest case for a process that is to outlive the line.
    engine = house.engine_pid()
    house.open_positions(POSITIONS, volume=0.01)
    house.fault(kind="delay", call="order_send", seconds=_CLOSE_SECONDS, count=POSITIONS)
    screen.press("F")
    screen.shows("FLATTEN THE WHOLE ACCOUNT?")
    screen.press("Down")
    screen.shows("> Flatten now")
    screen.press("Enter")
    # By the broker's books: closes go before readings, and a snapshot may show no flatten half done.
    until(lambda: 0 < left(house) < POSITIONS, "a flatten under way")

    (console,) = house.pids("console")
    victims = cut(house, server)
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    struck = house.look()
    assert struck["engine"]["mode"] == "FLATTENING"
    assert struck["flatten"]["state"] == "RUNNING"
    assert struck["positions"]
    until(lambda: not server.sessions() and not clients(house), "the end of the line on both sides", 5)
    until(lambda: gone(console), "the end of the console", 5)

    seen = house.see(lambda seen: seen["engine"]["mode"] == "HALTED", "a halt")
    assert FLAT.match(seen["flatten"]["statement"])
    assert (seen["positions"], seen["flatten"]["positions_closed"]) == ([], POSITIONS)
    assert seen["engine"]["pid"] == engine == house.engine_pid()
    assert len(house.events("engine_started")) == 1
    beats = [datetime.fromisoformat(event["timestamp"]) for event in house.events("heartbeat")]
    gaps = [(after - before).total_seconds() for before, after in pairwise(beats)]
    assert beats[-1] > datetime.fromisoformat(struck["time"])
    assert max(gaps) < _LONGEST_GAP_SECONDS, gaps

    again = open_screen(house, 100, 30, *server.client("exec", *quarterdeck(), options=("-tt",)))
    again.shows("HALTED CONNECTED", "2 Positions (0)")


def test_scripts_read_and_act_over_ssh(open_house: OpenHouse, open_sshd: OpenSshd) -> None:
    house = open_house(**SETTINGS)
    server = open_sshd(house)
    absent = server.run("quarterdeck", "status")
    assert absent.returncode == 4
    assert "no engine answers" in absent.stderr

    house.engine()
    status = server.run("quarterdeck", "status")
    assert (status.returncode, status.stderr) == (0, "")
    assert "RUNNING" in status.stdout
    house.open_position()
    flattened = server.run("quarterdeck", "flatten", "--yes", "--reason", "from a script")
    assert flattened.returncode == 0
    assert FLAT.search(flattened.stdout)
    assert house.look()["positions"] == []
    (asked,) = [event for event in house.events("command") if event["metadata"]["kind"] == "flatten"]
    assert (asked["metadata"]["origin"], asked["metadata"]["reason"]) == ("cli", "from a script")


def test_kill_key_flattens_whatever_it_is_told_and_can_do_nothing_else(
    open_house: OpenHouse, open_sshd: OpenSshd, tmp_path: Path
) -> None:
    house = open_house(**SETTINGS)
    server = open_sshd(house)
    kill_key = make_key(tmp_path / "kill_key")
    flatten = ("--profile", "paper", "flatten", "--direct", "--yes", "--reason", "ssh kill")
    words = shlex.join((*quarterdeck(), *flatten)).replace('"', r"\"")
    server.authorize(kill_key, f'restrict,command="{words}"')
    house.engine()
    mark = tmp_path / "mark"

    house.open_position()
    bare = server.run(key=kill_key)
    assert (bare.returncode, bool(FLAT.search(bare.stdout))) == (0, True), bare
    assert (house.look()["positions"], house.look()["engine"]["mode"]) == ([], "HALTED")
    # Once more: harmless, and confirmed afresh.
    twice = server.run(key=kill_key)
    assert (twice.returncode, bool(FLAT.search(twice.stdout))) == (0, True), twice
    assert house.look()["engine"]["mode"] == "HALTED"

    house.flat_and_running()
    house.open_position()
    other = server.run("touch", str(mark), key=kill_key)
    assert (other.returncode, bool(FLAT.search(other.stdout))) == (0, True), other
    assert house.look()["positions"] == []
    assert not mark.exists()

    refused = server.run(key=kill_key, options=("-tt",))
    assert (refused.returncode, refused.stdout) == (255, "")
    assert "PTY allocation request failed" in refused.stderr
    forward = ("-W", f"127.0.0.1:{server.port}")
    backward = ("-N", "-R", f"0:127.0.0.1:{server.port}", "-o", "ExitOnForwardFailure=yes")
    refused = server.run(key=kill_key, options=forward)
    assert refused.returncode != 0
    assert "administratively prohibited" in refused.stderr
    refused = server.run(key=kill_key, options=backward)
    assert refused.returncode != 0
    assert "remote port forwarding failed" in refused.stderr
    # It is the key that may not: the operator's may.
    assert "SSH-2.0" in server.run(options=forward).stdout
    assert server.run("touch", str(mark)).returncode == 0
    assert mark.exists()
    # The one that got no terminal may still have been carried out: not awaited by its client, but by us.
    until(lambda: not house.pids("other command"), "the end of every kill", 60)
    reasons = [
        event["metadata"]["reason"] for event in house.events("command") if event["metadata"]["kind"] == "flatten"
    ]
    assert set(reasons) == {"ssh kill"}

    house.flat_and_running()
    house.open_position()
    os.kill(house.engine_pid(), signal.SIGSTOP)
    hung = server.run(key=kill_key)
    assert (hung.returncode, bool(FLAT.search(hung.stdout))) == (0, True), hung
    assert "killed the engine and its gateways" in hung.stdout
    assert not house.pids("engine")
