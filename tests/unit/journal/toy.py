"""A small projection for the journal's tests: counters that start at 1 and may only be raised from a known count."""

import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.events import Draft, Event, EventType
from engine.journal import Journal, Statement

SCHEMA = """
CREATE TABLE counter (name TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT;
CREATE INDEX counter_by_count ON counter (count);
"""
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ACCOUNT = "5001@Paper"


class FixedClock:
    """A clock that stands still."""

    def monotonic(self) -> float:
        return 0.0

    def utc(self) -> datetime:
        return START


def project(event: Event) -> Sequence[Statement]:
    details = event.metadata
    if event.event_type is EventType.SIGNAL_RECEIVED:
        return [Statement("INSERT INTO counter VALUES (?, 1)", (details["name"],), expect=1)]
    if event.event_type is EventType.SIGNAL_APPROVED:
        return [
            Statement(
                "UPDATE counter SET count = count + 1 WHERE name = ? AND count = ?",
                (details["name"], details["count"]),
                expect=1,
            )
        ]
    return []


def draft(event_type: EventType = EventType.HEARTBEAT, *, second: float = 0, **metadata: Any) -> Draft:
    return Draft(event_type, START + timedelta(seconds=second), "L1", metadata, ACCOUNT)


def new(name: str) -> Draft:
    return draft(EventType.SIGNAL_RECEIVED, name=name)


def raised(name: str, count: int) -> Draft:
    return draft(EventType.SIGNAL_APPROVED, name=name, count=count)


def make(path: Path, *, threaded: bool = True, schema: str = SCHEMA) -> Journal:
    return Journal(path, schema=schema, project=project, threaded=threaded, clock=FixedClock())


@contextlib.asynccontextmanager
async def opened(path: Path, *, threaded: bool = True, schema: str = SCHEMA) -> AsyncIterator[Journal]:
    journal = make(path, threaded=threaded, schema=schema)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


def rows(path: Path, sql: str) -> list[Any]:
    """Read with a connection of one's own, as any other program would."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def change(path: Path, *statements: str) -> None:
    """Tamper with the file."""
    connection = sqlite3.connect(path)
    try:
        with connection:
            for statement in statements:
                connection.execute(statement)
    finally:
        connection.close()


def open_to_all(path: Path) -> None:
    """Leave an empty file there that anybody may read."""
    path.write_bytes(b"")
    path.chmod(0o644)


@contextlib.contextmanager
def held_up(path: Path) -> Iterator[None]:
    """Another program holds the write lock: no commit gets through."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


async def fallback_written(journal: Journal) -> None:
    await journal._beside.submit(lambda: None)


def crashed(path: Path, folder: Path) -> Path:
    """What a power cut would leave: the files as they are at this moment, elsewhere."""
    folder.mkdir()
    for name in ("journal.sqlite", "journal.sqlite-wal", "journal.fallback"):
        if (source := path.with_name(name)).exists():
            shutil.copy(source, folder / name)
    return folder / path.name


def fallback(path: Path) -> Path:
    return path.with_suffix(".fallback")


def in_fallback(path: Path) -> int:
    return fallback(path).read_bytes().count(b"\n\n") + 1


def texts(path: Path) -> list[tuple[str, str]]:
    return rows(path, "SELECT event_type, metadata FROM event ORDER BY seq")


async def merges(journal: Journal) -> list[dict[str, Any]]:
    return [dict(e.metadata) for e in await journal.events(0, 100) if e.event_type is EventType.FALLBACK_MERGED]
