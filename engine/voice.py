"""Prints what a process without a screen does, one line at a time, each with its UTC time."""

import os
import sys

from engine.clock import Clock
from engine.text import plain


class Voice:
    """Prints lines. Once nobody hears, as after a dropped line, it is silent and work goes on."""

    def __init__(self, clock: Clock, stamp: str = "%H:%M:%S") -> None:
        self._clock = clock
        self._stamp = stamp
        self._heard = True

    def tell(self, line: str) -> None:
        """Print one line."""
        if not self._heard:
            return
        try:
            print(f"{self._clock.utc():{self._stamp}} {plain(line, 1000)}", flush=True)  # noqa: T201
        except OSError:
            self._heard = False
            # What is left in the buffer must not raise again when the interpreter ends.
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
