"""The journal beside bare sqlite3: `python -m tests.benchmarks.bench_journal [--seconds 10000000] [--events 1000000]`.

Prints ratios, measured side by side in one run on the disk of the temporary folder (TMPDIR moves it).
"""

import argparse
import asyncio
import hashlib
import json
import queue
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from engine import equity
from engine.events import Draft, Event, EventType
from engine.journal import Journal, Statement, verify

ROUNDS = 9
ACCOUNT = "5001@Paper"


def no_projection(event: Event) -> Sequence[Statement]:
    return []


def beat(number: int) -> Draft:
    metadata = {"signals_processed": number, "account_equity": 10_000.5, "loop_lag_ms": 0.25, "note": "x" * 120}
    return Draft(EventType.HEARTBEAT, datetime(2026, 3, 2, tzinfo=UTC), "L1", metadata, ACCOUNT)


def new_journal(path: Path) -> Journal:
    return Journal(path, schema="", project=no_projection)


async def journal_rate(path: Path, group: int, groups: int) -> float:
    """Durable events a second when `group` events are appended together."""
    journal = new_journal(path)
    await journal.open()
    drafts = [[beat(each * group + number) for number in range(group)] for each in range(groups)]
    started = time.perf_counter()
    for each in drafts:
        await journal.append(*each)
    taken = time.perf_counter() - started
    await journal.close()
    return group * groups / taken


def raw_connection(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = wal").fetchall()
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE event (seq INTEGER PRIMARY KEY, time TEXT, event_type TEXT, loop_id TEXT, account TEXT,"
        " metadata TEXT, hash TEXT)"
    )
    return connection


def raw_commit(connection: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    connection.execute("COMMIT")


def raw_rate(path: Path, group: int, groups: int, *, encode: bool) -> float:
    """The same rows through bare sqlite3, one commit for each group.

    `encode`: the loop also makes the JSON and the hash, as any program must that stores these rows; otherwise they
    were made before.
    """
    connection = raw_connection(path)
    drafts = [[beat(each * group + number) for number in range(group)] for each in range(groups)]
    ready = [] if encode else [list(encoded(each, number * group)) for number, each in enumerate(drafts)]
    started = time.perf_counter()
    for number in range(groups):
        raw_commit(connection, encoded(drafts[number], number * group) if encode else ready[number])
    taken = time.perf_counter() - started
    connection.close()
    return group * groups / taken


async def raw_thread_rate(path: Path, group: int, groups: int) -> float:
    """The same from an event loop that must not wait for the disk: bare sqlite3 in one bare thread."""
    loop = asyncio.get_running_loop()
    connection = raw_connection(path)
    jobs: queue.SimpleQueue[tuple[asyncio.Future[None], int] | None] = queue.SimpleQueue()
    drafts = [[beat(each * group + number) for number in range(group)] for each in range(groups)]

    def work() -> None:
        while (job := jobs.get()) is not None:
            future, number = job
            raw_commit(connection, encoded(drafts[number], number * group))
            loop.call_soon_threadsafe(future.set_result, None)

    thread = threading.Thread(target=work)
    thread.start()
    started = time.perf_counter()
    for number in range(groups):
        future: asyncio.Future[None] = loop.create_future()
        jobs.put((future, number))
        await future
    taken = time.perf_counter() - started
    jobs.put(None)
    thread.join()
    connection.close()
    return group * groups / taken


def encoded(drafts: Sequence[Draft], after: int) -> Iterator[tuple[object, ...]]:
    """The rows of the drafts, chained, as plainly as it can be written."""
    digest = ""
    for seq, draft in enumerate(drafts, after + 1):
        stamp, kind = draft.timestamp.isoformat(), draft.event_type.value
        metadata = json.dumps(draft.metadata, sort_keys=True, separators=(",", ":"))
        row = (seq, stamp, kind, draft.loop_id, draft.account, metadata)
        digest = hashlib.sha256((digest + json.dumps(row)).encode()).hexdigest()
        yield (*row, digest)


async def appends(folder: Path) -> None:
    for group, groups in ((1, 1000), (10, 300), (100, 100)):
        rates: dict[str, list[float]] = {"journal": [], "bare": [], "in a bare thread": [], "given finished text": []}
        for number in range(ROUNDS):
            at = folder / f"{group}-{number}"
            rates["journal"].append(await journal_rate(at / "journal.sqlite", group, groups))
            rates["bare"].append(raw_rate(at / "bare.sqlite", group, groups, encode=True))
            rates["in a bare thread"].append(await raw_thread_rate(at / "thread.sqlite", group, groups))
            rates["given finished text"].append(raw_rate(at / "text.sqlite", group, groups, encode=False))
        ours = rates.pop("journal")
        print(f"durable events, {group} a commit: {statistics.median(ours):,.0f}/s (budget >= 0.8 of bare sqlite3)")
        for name, others in rates.items():
            ratio = statistics.median(mine / other for mine, other in zip(ours, others, strict=True))
            print(f"    sqlite3 {name}: {statistics.median(others):,.0f}/s, ratio {ratio:.2f}")


async def medians_ms(
    first: Callable[[], Awaitable[object]], second: Callable[[], Awaitable[object]], times: int = 60
) -> tuple[float, float]:
    """How long each takes, in turns, so that the machine's moods meet both."""
    taken: tuple[list[float], list[float]] = [], []
    for _ in range(times):
        for work, times_of_work in zip((first, second), taken, strict=True):
            started = time.perf_counter()
            await work()
            times_of_work.append(time.perf_counter() - started)
    return statistics.median(taken[0]) * 1000, statistics.median(taken[1]) * 1000


def fill_equity(path: Path, account: str, seconds: int) -> None:
    """What `seconds` readings leave behind, written level by level."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO equity_account (account) VALUES (?)", (account,))
    (known,) = connection.execute("SELECT id FROM equity_account WHERE account = ?", (account,)).fetchone()
    for level in equity.LEVELS:
        connection.executemany(
            "INSERT INTO equity VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (known, level, start, 9990.0, 10_010.0, 10_000.0, min(start + level, seconds) - 1)
                for start in range(0, seconds, level)
            ),
        )
    connection.execute("COMMIT")
    connection.close()


async def redraws(folder: Path, seconds: int) -> None:
    path = folder / "equity" / "journal.sqlite"
    journal = new_journal(path)
    await journal.open()
    sizes = {"short": 1000, "long": seconds}
    for name, size in sizes.items():
        await asyncio.to_thread(fill_equity, path, name, size)
    for points in (80, 200, 400):

        def redraw(name: str, points: int = points) -> Awaitable[object]:
            return journal.equity(name, None, None, points)

        long, short = await medians_ms(lambda: redraw("long"), lambda: redraw("short"))
        print(
            f"equity to {points} points: {seconds:,} s {long:.2f} ms, 1,000 s {short:.2f} ms,"
            f" ratio {long / short:.2f} (budget <= 1.5)"
        )
    await journal.close()


async def fill_events(path: Path, size: int) -> None:
    journal = new_journal(path)
    await journal.open()
    for first in range(0, size, 5000):
        await journal.append(*(beat(number) for number in range(first, first + 5000)))
    await journal.close()


async def open_and_close(path: Path) -> None:
    journal = new_journal(path)
    await journal.open()
    await journal.close()


async def pages(folder: Path, events: int) -> None:
    large, small = (folder / f"events{size}" / "journal.sqlite" for size in (events, 10_000))
    await fill_events(large, events)
    await fill_events(small, 10_000)
    opened = await medians_ms(lambda: open_and_close(large), lambda: open_and_close(small), 20)
    of_large, of_small = new_journal(large), new_journal(small)
    await of_large.open()
    await of_small.open()
    paged = await medians_ms(lambda: of_large.events(events // 2, 100), lambda: of_small.events(5000, 100))
    for what, (long, short) in (("open and close", opened), ("page of 100", paged)):
        print(
            f"event log, {what}: {events:,} events {long:.2f} ms, 10,000 events {short:.2f} ms,"
            f" ratio {long / short:.2f} (budget <= 1.5)"
        )
    started = time.perf_counter()
    await of_large.matches("nowhere to be found", 100)
    print(f"search of {events:,} events for what is not there: {(time.perf_counter() - started) * 1000:,.0f} ms")
    started = time.perf_counter()
    report = await asyncio.to_thread(verify, large, schema="", project=no_projection)
    print(f"verify of {report.events:,} events: {time.perf_counter() - started:.1f} s, ok: {report.ok}")
    await of_large.close()
    await of_small.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10_000_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await appends(folder)
        await redraws(folder, chosen.seconds)
        await pages(folder, chosen.events)


if __name__ == "__main__":
    asyncio.run(main())
