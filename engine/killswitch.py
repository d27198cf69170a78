"""The kill file: its presence in the state folder is an order to close everything and to stay closed.

A level, not an event: it is looked at again and again, on start, in each guard cycle and before every opening. It is
never deleted here, and a reset is refused while it is there. Whoever can write into the folder can stop the account
with `touch KILL`, whatever else does not work. A folder that cannot be read blocks entries: no file that is not seen
may count as no file.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.text import plain

NAME = "KILL"
_READ_BYTES = 400


@dataclass(frozen=True, slots=True)
class Level:
    """What the kill file orders now. Both empty: nothing.

    `killed` is why everything must be closed, `blocked` why nothing may be opened although no kill file is seen.
    """

    killed: str = ""
    blocked: str = ""


class KillSwitch(Protocol):
    """What the engine asks, often: an answer takes microseconds."""

    def look(self) -> Level:
        """How it stands at this moment."""
        ...

    def take(self) -> str:
        """What was asked for once since this was last called, as by a signal of the system; "" for nothing."""
        ...


class KillFile:
    """The kill file of one state folder, which must exist."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._folder = folder
        self._identity = _identity(os.stat(folder))
        self._asked = ""

    def ask(self, reason: str) -> None:
        """Have everything closed once, for this reason: for a signal handler, which may run at any moment."""
        self._asked = reason

    def take(self) -> str:
        """What was asked for since this was last called."""
        asked, self._asked = self._asked, ""
        return asked

    def look(self) -> Level:
        """How it stands at this moment. Anything of that name counts: a folder, a broken link, a file of another's."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return self._absent()
        except OSError as error:
            return Level(blocked=f"whether the kill file is there cannot be known: {error}")
        return Level(killed=_order(self.path, found))

    def _absent(self) -> Level:
        """No file is seen: in the very folder that was there at the start, and one that can be searched?"""
        try:
            identity = _identity(os.stat(self._folder))
        except OSError as error:
            return Level(blocked=f"the state folder cannot be read: {error}")
        if identity != self._identity:
            return Level(blocked=f"{self._folder} is another folder than at the start (moved, or a disk is gone)")
        return Level()


def write(folder: Path, reason: str) -> bool:
    """Put the kill file there, durable on return; whether it was not there before. Raises OSError."""
    path = folder / NAME
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{reason}\n")
        file.flush()
        os.fsync(file.fileno())
    return True


def stands(folder: Path) -> bool:
    """Whether a kill file is seen there."""
    return os.path.lexists(folder / NAME)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _order(path: Path, found: os.stat_result) -> str:
    """What the file orders, in words: its first line, if it is a plain file that can be read."""
    said = ""
    if stat.S_ISREG(found.st_mode):
        try:
            # Never waits, should a pipe have taken its place meanwhile.
            with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
                lines = file.read(_READ_BYTES).decode("utf-8", "replace").splitlines()
        except OSError:
            # It counts all the same: what it says is for the reader only.
            lines = []
        said = plain(lines[0], 200).strip() if lines else ""
    return f"kill file {path}: {said}" if said else f"kill file {path}"


class Killing:
    """Has an engine obey its kill switch.

    `flatten` closes everything, what was left open too, for a reason and on whose behalf; `latched` says that all of
    the account is being or has been closed.
    """

    def __init__(
        self, switch: KillSwitch, *, flatten: Callable[[str, str], object], latched: Callable[[], bool]
    ) -> None:
        self._switch = switch
        self._flatten = flatten
        self._latched = latched

    def obey(self) -> None:
        """Flatten if it is ordered: once for each signal, and for the kill file unless it is so already."""
        asked = self._switch.take()
        if asked:
            self._flatten(asked, "signal")
        level = self._switch.look()
        if level.killed and not self._latched():
            self._flatten(level.killed, "kill file")

    def entry_refusal(self) -> str | None:
        """Why nothing may be opened; None when the kill switch has nothing against it."""
        level = self._switch.look()
        return level.killed or level.blocked or None

    def lift_refusal(self) -> str | None:
        """Why a halt may not be lifted, nor a flatten be cancelled; None when they may."""
        level = self._switch.look()
        if level.killed:
            return f"there is a {level.killed}; remove it by hand first: nothing here ever does"
        return level.blocked or None

    def notice(self) -> str | None:
        """What the operator must know of it."""
        level = self._switch.look()
        if level.killed:
            return f"KILLED: everything is closed and stays so until a hand removes the {level.killed}"
        return f"KILL FILE UNKNOWN: entries are blocked ({level.blocked})" if level.blocked else None
