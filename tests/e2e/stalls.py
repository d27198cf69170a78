"""`python -m tests.e2e.stalls --seconds 60`: a drawdown trips behind an ssh line that nobody reads.

A console over a real ssh is stalled by stopping the client, until not a byte more fits into its terminal; then the
market falls through the limit. What is measured is asserted by whoever asked; the command prints it, and ends with 1
unless the account was flat before the line was read again.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.house import House, quarterdeck, until
from tests.e2e.screen import Screen
from tests.e2e.sshd import Sshd, serving, sshd_program
from tests.e2e.ticks import falling

LIMIT_PERCENT = 1
SETTINGS = {
    "QUARTERDECK_PAPER__DEMO_STRATEGY": "false",
    "QUARTERDECK_LOOP__HEARTBEAT_SECONDS": "0.5",
    "QUARTERDECK_FLATTEN__HOLD_SECONDS": "1",
    "QUARTERDECK_DRAWDOWN__LIMIT_PERCENT": str(LIMIT_PERCENT),
}
_VOLUME = 4.0
"""A tick costs 4 USD of 10,000: the limit is passed after 25 of them."""
_BALLAST = b"\x00" * 4096
"""What a terminal shows nothing for."""
_FULL_SECONDS = 1.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stall:
    """What came of it. Seconds since the line was full; `seen` is the engine's snapshot just before it was read again.

    `ballast`: the bytes that went into the terminal until it was full. `console_busy`: the seconds of processor time
    that the console used while it was. `full`: whether still nothing fitted in at the end.
    """

    ballast: int
    tripped: float
    flat: float
    seconds: float
    full: bool
    console_busy: float
    seen: Any


def busy(pid: int) -> float:
    """The processor time that a process has used, in seconds."""
    status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(status[11]) + int(status[12])) / _TICKS


class Terminal:
    """The far side of a console's own terminal, written to beside it."""

    def __init__(self, console: int) -> None:
        path = os.readlink(f"/proc/{console}/fd/0")
        self._end = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        self.taken = 0

    def fits(self) -> bool:
        """Whether it takes another byte now; as many as there is room for are written."""
        try:
            self.taken += os.write(self._end, _BALLAST)
        except BlockingIOError:
            return False
        return True

    def fill(self) -> None:
        """Write until nothing has fitted in for a second."""
        since = time.monotonic()

        def full() -> bool:
            nonlocal since
            while self.fits():
                since = time.monotonic()
            return time.monotonic() - since >= _FULL_SECONDS

        until(full, "a terminal into which nothing fits")

    def close(self) -> None:
        """Let it go."""
        os.close(self._end)


def engine_on_a_falling_market(house: House) -> Any:
    """Start the engine on a market that only falls, a tick a guard cycle."""
    ticks = falling(house.home / "EURUSD-falling.csv", 100_000)
    return house.engine("--replay", str(ticks), "--speed", "max")


def stall(house: House, screen: Screen, seconds: float) -> Stall:
    """Stop the client of the one console over ssh for so long, or until the flatten is over if that takes longer."""
    screen.shows("RUNNING CONNECTED")
    (console,) = house.pids("console")
    (client,) = [pid for pid, words in house.processes().items() if words[0] == "ssh"]
    terminal = Terminal(console)
    os.kill(client, signal.SIGSTOP)
    try:
        terminal.fill()
        began = time.monotonic()
        busy_before = busy(console)
        until(lambda: time.monotonic() - began >= seconds / 2, "the middle of the stall", seconds)
        # Not waited for: on this market it may be closed again before anybody has seen it.
        house.command("approve", signal=house.propose(volume=_VOLUME), version=1)
        house.see(lambda seen: seen["engine"]["mode"] in ("FLATTENING", "HALTED"), "a breach")
        tripped = time.monotonic() - began
        house.see(lambda seen: seen["engine"]["mode"] == "HALTED", "a halt")
        flat = time.monotonic() - began
        until(lambda: time.monotonic() - began >= seconds, "the end of the stall", seconds + 1)
        seen = house.look()
        return Stall(
            ballast=terminal.taken,
            tripped=tripped,
            flat=flat,
            seconds=time.monotonic() - began,
            full=not terminal.fits(),
            console_busy=busy(console) - busy_before,
            seen=seen,
        )
    finally:
        terminal.close()
        os.kill(client, signal.SIGCONT)


def over_ssh(house: House, server: Sshd) -> Screen:
    """A console over ssh, in a terminal of its own."""
    return Screen(house, 160, 45, *server.client("exec", *quarterdeck(), options=("-tt",)))


def main() -> int:
    """Run one stall, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.stalls")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    program = sshd_program()
    if program is None:
        parser.error("openssh-server is not installed")
    # A short path, as a socket's must be.
    folder = Path(tempfile.mkdtemp(prefix="qd-stalls-"))
    (folder / "h").mkdir()
    (folder / "sshd").mkdir()
    house = House(folder / "h", SETTINGS)
    try:
        engine_on_a_falling_market(house)
        with serving(house, folder / "sshd", program) as server:
            screen = over_ssh(house, server)
            try:
                found = stall(house, screen, options.seconds)
                screen.shows("HALTED CONNECTED")
            finally:
                screen.close()
    finally:
        house.clear()
    seen, engine = found.seen, found.seen["engine"]
    print(
        f"full after {found.ballast} bytes beside the console's own, for {found.seconds:.1f} s; still so: {found.full}"
    )
    print(f"processor time of the console meanwhile: {found.console_busy:.2f} s")
    print(f"limit passed after {found.tripped:.1f} s, flat after {found.flat:.1f} s: {seen['flatten']['statement']}")
    print(f"heartbeat {engine['heartbeat_age_seconds']:.2f} s old, reading {seen['reading']['age_seconds']:.2f} s old")
    shutil.rmtree(folder)
    return 0 if found.full and found.flat < found.seconds and not seen["positions"] else 1


if __name__ == "__main__":
    sys.exit(main())
