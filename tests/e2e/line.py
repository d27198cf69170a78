"""A terminal at the end of a line of some speed: it reads so many bytes a second, and answers what it is asked."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Callable

from tests.e2e.house import PATIENCE_SECONDS, House

_ASKED = re.compile(rb"\x1b\[(\d+);(\d+)H\x1b\[6n")


class Line:
    """A console in a terminal of 120 by 32, whose far end is read only when a test reads."""

    def __init__(self, house: House, *arguments: str, bytes_per_second: float = 1e9) -> None:
        self.received = b""
        self._rate = bytes_per_second
        self._answered = 0
        self._outer, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 32, 120, 0, 0))
        house.start(
            *arguments,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(inner)

    def press(self, keys: str) -> None:
        """Type keys."""
        os.write(self._outer, keys.encode())

    def read_until(self, ready: Callable[[bytes], object], seconds: float = PATIENCE_SECONDS) -> float:
        """Read at the line's speed until what has come since now satisfies. Returns the seconds it took."""
        began, start = time.monotonic(), len(self.received)
        while not ready(self.received[start:]):
            took = time.monotonic() - began
            assert took < seconds, self.received[-2000:]
            self._read()
        return time.monotonic() - began

    def read_for(self, seconds: float) -> int:
        """Read for so long, and return how many bytes came."""
        start, until = len(self.received), time.monotonic() + seconds
        while time.monotonic() < until:
            self._read()
        return len(self.received) - start

    def _read(self) -> None:
        if not select.select([self._outer], [], [], 0.05)[0]:
            return
        got = os.read(self._outer, int(min(65536, max(1, self._rate * 0.05))))
        self.received += got
        for asked in _ASKED.finditer(self.received, self._answered):
            os.write(self._outer, b"\x1b[%s;%sR" % (asked[1], asked[2]))
            self._answered = asked.end()
        # The speed of the line is what is emulated.
        time.sleep(len(got) / self._rate)

    def close(self) -> None:
        """Hang up."""
        os.close(self._outer)
