"""Processes known by pid and by when they were started, so that a later one of the same pid is never taken for it.

In: a pid. Out: its birth, or None when no such process lives (a zombie does not live). Killing is certain or says that
it was not: whoever fences an engine must know that it is dead.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from engine.clock import Clock

DEATH_SECONDS = 5.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Known:
    """One process. `birth` is only ever compared: what it says differs between systems."""

    pid: int
    birth: str

    @property
    def lives(self) -> bool:
        """Whether this very process is there still, stopped or hung ones too."""
        birth = birth_of(self.pid)
        return birth is not None and birth == self.birth


def birth_of(pid: int) -> str | None:
    """When a process was started; None when it has ended, reaped or not."""
    if sys.platform == "linux":
        # In ticks since the boot that the id names: a machine's clock that is set moves psutil's answer.
        try:
            status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return None
        return None if status[0] in "ZX" else f"{boot} {status[19]}"
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return None


def ourselves() -> Known:
    """This process."""
    return known(os.getpid())


def known(pid: int) -> Known:
    """A process that lives now; one that has ended meanwhile never lives again under this name."""
    return Known(pid, birth_of(pid) or "ended")


def kill(process: Known) -> bool:
    """End a process at once, stopped or hung ones too; whether it was there. Its death may take a moment.

    Raises PermissionError for another user's.
    """
    if not process.lives:
        return False
    try:
        os.kill(process.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


async def end(processes: Sequence[Known], clock: Clock, say: Callable[[str], None]) -> tuple[list[Known], list[Known]]:
    """Kill them in order and wait for their death, five seconds at most. Returns who was killed, and who lives on."""
    killed = []
    for process in processes:
        try:
            if kill(process):
                killed.append(process)
        except OSError as error:
            say(f"pid {process.pid} could not be killed: {error}")
    until = clock.monotonic() + DEATH_SECONDS
    left = living(processes)
    while left and clock.monotonic() < until:
        await asyncio.sleep(_POLL_SECONDS)
        left = living(processes)
    return killed, left


def living(processes: Iterable[Known]) -> list[Known]:
    """Those that are there still."""
    return [process for process in processes if process.lives]
