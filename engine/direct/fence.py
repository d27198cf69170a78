"""Makes sure that nobody else has an account in hand: kills its engine and gateways, and takes the profile's lock.

In: a state folder. Out: the lock, held, or None when somebody's death is not certain. Whoever is killed is named by
pid and birth in the run file; a pid alone may be another's by now.
"""

import asyncio
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import filelock

from engine.app import LOCK_NAME
from engine.clock import Clock
from engine.processes import DEATH_SECONDS, end, ourselves
from engine.runfile import Run, read_run, run_path

_LOCK_SECONDS = 5.0
_POLL_SECONDS = 0.02
_STILL_SECONDS = 5.0
"""A direct flatten that has not said for so long that it works is hung."""

Tell = Callable[[str], None]


class Lock(Protocol):
    """A lock that is held."""

    def release(self) -> object:
        """Let it go."""
        ...


class _ReadOnlyLock:
    """The same lock on the same file where the disk takes no writes: the file is opened for reading only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def acquire(self) -> None:
        """Take it. Raises filelock.Timeout when another process has it."""
        if sys.platform == "win32":
            raise OSError(errno.EROFS, "a disk that takes no writes", str(self._path))
        import fcntl

        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise filelock.Timeout(str(self._path)) from error
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Let it go."""
        os.close(self._descriptor)


async def fence(folder: Path, clock: Clock, tell: Tell) -> Lock | None:
    """Kill whoever has the account in hand and take the lock. None: it may still be in hand."""
    run = read_run(folder)
    if run is not None:
        await _let_work(folder, run, clock, tell)
        if not await _dead(run, clock, tell):
            return None
    return await _lock(folder, clock, tell)


async def _let_work(folder: Path, run: Run, clock: Clock, tell: Tell) -> None:
    """While another direct flatten works, wait for its end: two of them would only stand in each other's way."""
    if run.role != "direct flatten" or not run.process.lives or run.process == ourselves():
        return
    tell(f"a direct flatten works already (pid {run.process.pid}): it is waited for")
    seen, since = _touched(folder), clock.monotonic()
    while run.process.lives and clock.monotonic() - since < _STILL_SECONDS:
        await asyncio.sleep(_POLL_SECONDS)
        now = _touched(folder)
        if now != seen:
            seen, since = now, clock.monotonic()


def _touched(folder: Path) -> int:
    try:
        return run_path(folder).stat().st_mtime_ns
    except OSError:
        return 0


async def _dead(run: Run, clock: Clock, tell: Tell) -> bool:
    """Kill what the run file names, the engine first, so that it starts no further gateway. Whether all are dead."""
    killed, left = await end(run.processes(), clock, tell)
    if killed:
        tell(f"killed the {run.role} and its gateways (pid {', '.join(str(each.pid) for each in killed)})")
    if left:
        tell(f"still alive after {DEATH_SECONDS:.0f} s: pid {', '.join(str(each.pid) for each in left)}")
    return not left


async def _lock(folder: Path, clock: Clock, tell: Tell) -> Lock | None:
    lock: filelock.BaseFileLock | _ReadOnlyLock = filelock.FileLock(folder / LOCK_NAME, timeout=0)
    until = clock.monotonic() + _LOCK_SECONDS
    while True:
        try:
            lock.acquire()
        except filelock.Timeout:
            if clock.monotonic() >= until:
                tell(f"another process holds {folder / LOCK_NAME} and cannot be told by {run_path(folder)}")
                return None
            await asyncio.sleep(_POLL_SECONDS)
        except OSError as error:
            if error.errno == errno.EROFS and not isinstance(lock, _ReadOnlyLock):
                lock = _ReadOnlyLock(folder / LOCK_NAME)
                continue
            tell(f"the lock cannot be taken: {error}")
            return None
        else:
            return lock
