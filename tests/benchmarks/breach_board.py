"""A broker's whole state in one small mapped file: the driver of a benchmark and both gateway processes see it at once.

In: 64-bit integers at fixed places. Out: the same. Times are `time.monotonic_ns`, which every process of a Linux
system shares. One process writes each field at a time; nothing is locked.
"""

import mmap
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SLOTS = 256
VOLUME = 0.1
"""Lots of every position."""
PRICE = 1.10000
POINT = 0.00001
_FIELDS = ("breached", "read_at", "first_close_at", "closes", "last_close_at", "delay_us", "next_ticket")
_SLOT_FIELDS = 4
_BYTES = 8 * (len(_FIELDS) + SLOTS * _SLOT_FIELDS)


@dataclass(frozen=True, slots=True)
class Holding:
    """One open position. Stop and target in points, 0 for none."""

    slot: int
    ticket: int
    magic: int
    sl: int
    tp: int


class Board:
    """The mapped file. `read_at` and `first_close_at` are 0 until they happened."""

    breached: int
    """Whether every position stands 60 below its opening instead of about nothing."""
    read_at: int
    """When the first account_info that says so was answered."""
    first_close_at: int
    """When the first close reached the broker module."""
    closes: int
    last_close_at: int
    """When the last close was answered by the broker module."""
    delay_us: int
    """How long order_send takes."""
    next_ticket: int

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _BYTES)
        self._numbers = memoryview(self._map).cast("q")

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make the file, with no position in it."""
        path.write_bytes(bytes(_BYTES))
        board = cls(path)
        board.next_ticket = 1000
        return board

    def close(self) -> None:
        """Let the file go."""
        self._numbers.release()
        self._map.close()

    def __getattr__(self, name: str) -> int:
        if name not in _FIELDS:
            raise AttributeError(name)
        return self._numbers[_FIELDS.index(name)]

    def __setattr__(self, name: str, value: int) -> None:
        if name in _FIELDS:
            self._numbers[_FIELDS.index(name)] = value
        else:
            super().__setattr__(name, value)

    def holdings(self) -> Iterator[Holding]:
        """The open positions."""
        for slot in range(SLOTS):
            place = _place(slot)
            ticket, magic, sl, tp = self._numbers[place : place + _SLOT_FIELDS].tolist()
            if ticket:
                yield Holding(slot, ticket, magic, sl, tp)

    def open(self, magic: int = 0, sl: int = 0, tp: int = 0) -> int:
        """Put a position into the first free slot and return its ticket."""
        taken = {holding.slot for holding in self.holdings()}
        place = _place(next(slot for slot in range(SLOTS) if slot not in taken))
        ticket = self.next_ticket
        self.next_ticket = ticket + 1
        # The ticket last: it makes the slot count.
        self._numbers[place + 1], self._numbers[place + 2], self._numbers[place + 3] = magic, sl, tp
        self._numbers[place] = ticket
        return ticket

    def take_out(self, ticket: int) -> bool:
        """Close a position. False when there is none by that ticket."""
        for holding in self.holdings():
            if holding.ticket == ticket:
                self._numbers[_place(holding.slot)] = 0
                return True
        return False

    def restore(self, positions: int) -> None:
        """Forget the last breach and hold this many positions, new ones where some are missing."""
        self.breached = self.read_at = self.first_close_at = self.closes = self.last_close_at = 0
        for _ in range(positions - len(list(self.holdings()))):
            self.open()

    def breach(self) -> int:
        """Let the loss happen, and return when that was."""
        moment = time.monotonic_ns()
        self.breached = 1
        return moment


def _place(slot: int) -> int:
    return len(_FIELDS) + slot * _SLOT_FIELDS


def named(variable: str) -> Board:
    """The board whose path an environment variable holds."""
    return Board(Path(os.environ[variable]))
