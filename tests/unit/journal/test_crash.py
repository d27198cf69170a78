import asyncio
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.journal import verify
from tests.unit.journal.toy import SCHEMA, draft, opened, project, rows

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
    assert "new risk: journal" in output
    assert "full" in output.split("new risk: ")[1]
    check_nothing_lost(kept / "journal.sqlite", output)

    async def start_again() -> None:
        async with opened(kept / "journal.sqlite") as journal:
            assert journal.failure is None
            await journal.append(draft(what="new risk"))

    asyncio.run(start_again())
