"""The whole proof that the journal keeps what it promised: `python -m tests.unit.journal.proof [--jobs 2]`.

Breaks the scripted session at every write and sync that it makes: by kill -9, by an error of the disk, by a full
disk; and cuts the power after each of them. The test suite runs a sample of the same. Prints figures; raises at the
first promise that was not kept.
"""

import argparse
import asyncio
import contextlib
import functools
import itertools
import json
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from engine.journal import database, verify
from tests.unit.journal.powercut import WAYS, Disk
from tests.unit.journal.session import NEVER, held
from tests.unit.journal.toy import ACCOUNT, SCHEMA, draft, make, opened, project, rows
from tests.unit.journal.trace import Call, Point, points_of, record, run_broken

COUNT = 60
"""Groups of events in the script: about 270 events, 75 commits, 3 checkpoints."""

KILL, EIO, FULL, FULL_ON = "signal=SIGKILL", "error=EIO", "error=ENOSPC", "error=ENOSPC+"
_REPORTED = ("pwrite64", "fdatasync")


def prepared(path: Path) -> Path:
    """A journal with a history in it, so that a session's only writes are those of its own appends."""

    async def create() -> None:
        async with opened(path) as journal:
            await journal.append(draft(before="all this"))

    asyncio.run(create())
    return path


def orphaned(path: Path) -> Path:
    """A journal beside a fallback file with two groups whose late commit did succeed and two whose commit was lost."""
    prepared(path)
    asyncio.run(_held(path, (0, 1)))
    fallback, kept = path.with_suffix(".fallback"), path.with_name("kept")
    late = fallback.read_bytes()
    fallback.unlink()
    shutil.copy(path, kept)
    asyncio.run(_held(path, (2, 3)))
    fallback.write_bytes(late + fallback.read_bytes())
    shutil.move(kept, path)
    return path


async def _held(path: Path, numbers: Sequence[int]) -> None:
    async with opened(path) as journal:
        await held(journal, path, numbers, lambda words: None)


def check(path: Path, said: str) -> None:
    """Open what a fault left with the real journal and hold it to every promise. Raises AssertionError."""
    promised = [line.split() for line in said.split("\n")[:-1]]
    asyncio.run(_open_and_append(path))
    report = verify(path, schema=SCHEMA, project=project)
    assert report.ok, report.problem
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    stored = rows(path, "SELECT seq, hash, metadata FROM event ORDER BY seq")
    acknowledged = {(int(words[1]), words[2]) for words in promised if words[0] == "ok"}
    lost = acknowledged - {row[:2] for row in stored}
    assert not lost, f"acknowledged and lost: {lost}"
    assert not any(NEVER in row[2] for row in stored), "what was refused is there"
    details = [json.loads(row[2]) for row in stored]
    for group, members in groupby((each for each in details if "group" in each), key=lambda each: each["group"]):
        found = list(members)
        assert len(found) == found[0]["size"], f"{group} is torn"
    groups = [each["group"] for each in details if each.get("place", 0) == 0 and "group" in each]
    assert len(groups) == len(set(groups)), "a group is there twice"
    seconds = {row[0] for row in rows(path, "SELECT start FROM equity WHERE seconds = 1")}
    with_reading = [json.loads(row[2])["group"] for row in stored if row[:2] in acknowledged]
    missing = {int(group.rpartition("-")[2]) for group in with_reading} - seconds
    assert not missing, f"readings committed before an acknowledged group and lost: {missing}"
    values = [int(words[1]) for words in promised if words[0] == "value"]
    peak = [int(row[0]) for row in rows(path, f"SELECT value FROM journal_value WHERE account = '{ACCOUNT}'")]
    assert (peak or [0]) >= (values[-1:] or [0]), "a value is lost"
    closings = Counter(each["closing"] for each in details if "closing" in each)
    assert max(closings.values(), default=1) == 1, "what was urgent is there twice"
    assert {int(words[1]) for words in promised if words[0] == "urgent"} <= set(closings), "what was urgent is lost"


async def _open_and_append(path: Path) -> None:
    journal = make(path, threaded=False)
    await journal.open()
    try:
        assert journal.failure is None
        await journal.append(draft(after="all this"))
    finally:
        await journal.close()


@dataclass(frozen=True, slots=True)
class Campaign:
    """A session, the state that it starts from, and what was promised before it."""

    name: str
    kind: str
    start: Callable[[Path], Path]
    count: int = 0
    promised: str = ""

    def run(self, folder: Path, point: Point, effect: str) -> None:
        """Break the session at a point and check what is left. Raises AssertionError."""
        home = folder / f"{self.name}-{point.name}-{point.file}-{point.when}-{effect.partition('=')[2]}"
        home.mkdir()
        path = self.start(home / "journal.sqlite")
        broken = run_broken(path, point, effect, self.kind, self.count)
        try:
            assert broken.hit, f"the fault did not hit: this run proved nothing{broken.trouble}"
            if effect != KILL:
                check_reported(broken.said)
            check(path, self.promised + broken.said)
        except Exception as error:
            raise AssertionError(f"{self.name} broken at {point} by {effect}: {error!r}") from error
        shutil.rmtree(home)

    def record(self, folder: Path) -> "Recording":
        """Run it whole and keep what it wrote."""
        home, before = folder / self.name, folder / f"{self.name}-before"
        home.mkdir()
        path = self.start(home / "journal.sqlite")
        shutil.copytree(home, before)
        return Recording(home, before, record(path, self.kind, self.count))


@dataclass(frozen=True, slots=True)
class Recording:
    """The calls of one whole session, and its folder from before."""

    folder: Path
    before: Path
    calls: Sequence[Call]

    def points(self) -> list[Point]:
        """Where a fault can be put. The shared memory file is no promise of the disk."""
        return [each for each in points_of(self.calls, self.folder) if not each.file.endswith("-shm")]

    def faults(self) -> list[Point]:
        """Where SQLite must report an error of the disk; it ignores one of unlink."""
        files = ("journal.sqlite", "journal.sqlite-wal")
        return [each for each in self.points() if each.name in _REPORTED and each.file in files]

    def cuts(self, into: Path, promised: str = "") -> Iterator[Callable[[], bool]]:
        """Every power cut, in every way: each is a check that is to be run before the next is taken.

        It returns whether the cut lost any write, and raises AssertionError when it lost a promise.
        """
        disk = Disk(self.folder, self.before)
        said = promised
        for number, call in enumerate(self.calls):
            if call.file.startswith("pipe:"):
                said += call.data.decode()
            elif not disk.do(call):
                continue
            for way in WAYS if disk.has_pending else WAYS[:1]:
                yield functools.partial(check_cut, disk, way, number, said, into)


def check_cut(disk: Disk, way: str, number: int, said: str, into: Path) -> bool:
    """Cut the power now, in one way, and check what is left."""
    is_loss = disk.cut(way, random.Random(f"{number} {way}"), into)
    try:
        check(into / "journal.sqlite", said)
    except Exception as error:
        raise AssertionError(f"a power cut after call {number} that left {way}: {error!r}") from error
    return is_loss


@contextlib.contextmanager
def small_ballast() -> Iterator[None]:
    """Cuts are checked by the thousand and none is about the ballast."""
    whole = database.BALLAST_BYTES
    database.BALLAST_BYTES = 4096
    try:
        yield
    finally:
        database.BALLAST_BYTES = whole


def check_reported(said: str) -> None:
    """After a disk error the journal says so to the end, acknowledges nothing more, and goes on taking closings."""
    lines = said.splitlines()
    assert lines[-1].startswith("failure journal "), lines[-1]
    refused = [place for place, line in enumerate(lines) if line.startswith("refused")]
    if refused:  # otherwise it came while closing
        after = [line.split()[0] for line in lines[refused[0] :]]
        assert after == ["refused", *("urgent", "refused") * 3, "failure"], after


SCRIPT = Campaign("script", "script", prepared, COUNT)
CREATION = Campaign("creation", "script", lambda path: path, 2)
FALLBACK = Campaign("fallback", "held", prepared, 3)
MERGE = Campaign("merge", "open", orphaned, promised="".join(f"urgent {number}\n" for number in range(4)))


def break_all(campaign: Campaign, folder: Path, points: Sequence[Point], effect: str, jobs: int) -> None:
    """Break a session at each of the points and print how many they were."""
    started = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda point: campaign.run(folder, point, effect), points))
    print(
        f"{campaign.name}, {effect}: {len(points)} points, {time.monotonic() - started:.0f} s, no promise lost",
        flush=True,
    )


def cut_some(campaign: Campaign, recording: Recording, into: Path, step: int) -> tuple[int, int]:
    """Make every `step`-th power cut of a session. Returns how many they were and how many lost a write."""
    made = hurt = 0
    with small_ballast():
        for cut in itertools.islice(recording.cuts(into, campaign.promised), 0, None, step):
            made += 1
            hurt += cut()
    return made, hurt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    jobs = parser.parse_args().jobs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        recordings = {each: each.record(folder) for each in (SCRIPT, CREATION, FALLBACK, MERGE)}
        for campaign, recording in recordings.items():
            started = time.monotonic()
            made, hurt = cut_some(campaign, recording, folder / "cut", 1)
            seconds = time.monotonic() - started
            print(
                f"{campaign.name}: {made} power cuts, {hurt} lost a write, {seconds:.0f} s, no promise lost", flush=True
            )
        for campaign, recording in recordings.items():
            break_all(campaign, folder, recording.points(), KILL, jobs)
        faults = recordings[SCRIPT].faults()
        break_all(SCRIPT, folder, faults, EIO, jobs)
        writes = [each for each in faults if each.name == "pwrite64"][::4]
        for effect in (FULL, FULL_ON):
            break_all(SCRIPT, folder, writes, effect, jobs)


if __name__ == "__main__":
    main()
