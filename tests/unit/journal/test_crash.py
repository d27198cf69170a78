import asyncio
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.journal import verify
from tests.unit.journal.toy import SCHEMA, opened, project, rows

ROOT = Path(__file__).parents[3]
CHILD = [sys.executable, "-m", "tests.unit.journal.child"]


def acknowledged(output: str) -> list[int]:
    """The events that the child was told are durable. A torn last line was never said."""
    lines = output.split("\n")[:-1]
    return [int(line.split()[1]) for line in lines if line.startswith(("ok ", "urgent "))]


def check_nothing_lost(path: Path, output: str) -> None:
    report = verify(path, schema=SCHEMA, project=project)
    assert report.ok, report.problem
    stored = {seq for (seq,) in rows(path, "SELECT seq FROM event")}
    assert set(acknowledged(output)) <= stored


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is of POSIX")
async def test_kill_9_loses_no_acknowledged_event(path: Path) -> None:
    draws = random.Random(3)
    in_flight = 0
    for _ in range(20):
        child = subprocess.Popen([*CHILD, str(path), "loop", "1000000"], stdout=subprocess.PIPE, text=True, cwd=ROOT)  # noqa: ASYNC220
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(draws.randrange(2, 200))]
        child.kill()
        output = "".join(said) + child.stdout.read()
        child.wait()
        child.stdout.close()
        assert child.returncode == -9
        assert len(acknowledged(output)) >= 2
        check_nothing_lost(path, output)
        in_flight += rows(path, "SELECT max(seq) FROM event")[0][0] > max(acknowledged(output))
        async with opened(path) as journal:
            assert journal.last_seq >= max(acknowledged(output))
    assert in_flight > 0, "no kill ever met a commit that was not acknowledged: this run proved nothing"


def require_strace() -> str:
    strace = shutil.which("strace")
    if strace is None:
        if os.environ.get("CI") == "true":
            pytest.fail("strace is not installed")
        pytest.skip("strace is not installed")
    return strace


def run_with_fault(path: Path, on: str, fault: str, kind: str, count: int) -> str:
    """Run the child with a system call failing on one file of the journal, and see that the fault did hit."""
    log = path.with_name("strace.log")
    call = fault.partition(":")[0]
    done = subprocess.run(
        [
            *(require_strace(), "-f", "-qq", "-o", str(log), "-P", str(path.with_name(on))),
            *("-e", f"trace={call}", "-e", f"inject={fault}"),
            *(*CHILD, str(path), kind, str(count)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "INJECTED" in log.read_text(), "the fault did not hit: this run proved nothing"
    assert done.returncode == 0, done.stderr
    return done.stdout


def prepare(path: Path) -> None:
    """Create the file beforehand, so that the child's only writes are those of its appends."""

    async def create() -> None:
        async with opened(path):
            pass

    asyncio.run(create())


@pytest.mark.parametrize("when", [1, 2, 3, 20])
def test_a_failing_sync_of_the_log_stops_appends_and_loses_nothing(path: Path, when: int) -> None:
    prepare(path)
    said = run_with_fault(path, "journal.sqlite-wal", f"fdatasync:error=EIO:when={when}", "steps", 30)
    assert "refused" in said
    assert "commit failed: disk I/O error" in said
    check_nothing_lost(path, said)


@pytest.mark.parametrize("when", [1, 15, 60])
def test_a_failing_write_of_the_log_stops_appends_and_loses_nothing(path: Path, when: int) -> None:
    prepare(path)
    said = run_with_fault(path, "journal.sqlite-wal", f"pwrite64:error=EIO:when={when}", "steps", 30)
    assert "refused" in said
    check_nothing_lost(path, said)


def test_a_failing_sync_of_the_main_file_in_a_checkpoint_is_not_hidden(path: Path) -> None:
    prepare(path)
    said = run_with_fault(path, "journal.sqlite", "fdatasync:error=EIO:when=1", "steps", 600)
    assert "checkpoint failed: disk I/O error" in said
    assert len(acknowledged(said)) < 1200
    check_nothing_lost(path, said)


@pytest.mark.parametrize("when", [1, 15, 60])
def test_on_enospc_the_ballast_goes_and_closings_are_still_journalled(path: Path, when: int) -> None:
    prepare(path)
    said = run_with_fault(path, "journal.sqlite-wal", f"pwrite64:error=ENOSPC:when={when}", "urgent", 30)
    assert "refused" in said
    assert "commit failed: database or disk is full" in said
    assert said.count("urgent ") == 30
    assert not path.with_suffix(".ballast").exists()
    assert not path.with_suffix(".fallback").exists()
    check_nothing_lost(path, said)


def test_a_disk_that_stays_full_leaves_the_closings_in_the_fallback_file(path: Path) -> None:
    prepare(path)
    said = run_with_fault(path, "journal.sqlite-wal", "pwrite64:error=ENOSPC:when=15+", "urgent", 5)
    assert said.count("urgent ") == 0
    assert len(path.with_suffix(".fallback").read_bytes().splitlines()) == 5
    check_nothing_lost(path, said)

    async def merge() -> int:
        async with opened(path) as journal:
            return len(await journal.matches("close", 100))

    assert asyncio.run(merge()) == 5


FULL_DISK = """
set -e
mount -t tmpfs -o size=14m none "$1"
"$2" -m tests.unit.journal.child "$1/journal.sqlite" urgent 1000 > "$3"
cp "$1"/journal.sqlite* "$4"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a mount namespace")
def test_on_a_really_full_disk_a_thousand_closings_are_journalled(tmp_path: Path) -> None:
    disk, kept, said = tmp_path / "disk", tmp_path / "kept", tmp_path / "said"
    disk.mkdir()
    kept.mkdir()
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody have a mount namespace")
    done = subprocess.run(
        [unshare, "-rm", "sh", "-c", FULL_DISK, "sh", str(disk), sys.executable, str(said), str(kept)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    output = said.read_text()
    assert "disk is full" in output
    assert output.count("urgent ") == 1000
    check_nothing_lost(kept / "journal.sqlite", output)
