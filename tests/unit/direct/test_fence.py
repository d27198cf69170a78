"""The profile's lock on a disk that takes no writes."""

import errno
import sys
from pathlib import Path

import filelock
import pytest

from engine.app import LOCK_NAME
from engine.clock import SystemClock
from engine.direct import fence as fencing
from engine.direct.fence import fence

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="flock")


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> filelock.BaseFileLock:
    """The lock as an engine takes it, in a folder that the disk has made read-only since."""
    lock = filelock.FileLock(tmp_path / LOCK_NAME)
    lock.acquire()

    class ReadOnly(filelock.FileLock):
        def _acquire(self) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(filelock, "FileLock", ReadOnly)
    monkeypatch.setattr(fencing, "_LOCK_SECONDS", 0.1)
    return lock


async def test_a_disk_that_is_read_only_by_now_keeps_nobody_from_the_lock(
    held: filelock.BaseFileLock, tmp_path: Path
) -> None:
    held.release()
    lock = await fence(tmp_path, SystemClock(), print)
    assert lock is not None
    lock.release()
    held.acquire(timeout=0)
    held.release()


async def test_there_too_whoever_has_it_keeps_it(held: filelock.BaseFileLock, tmp_path: Path) -> None:
    said: list[str] = []
    assert await fence(tmp_path, SystemClock(), said.append) is None
    assert "another process holds" in said[0]
    held.release()
