"""One row of the journal: how a draft becomes text, how rows are chained, and what can go wrong with them.

A row's hash is SHA-256 over the previous row's hash and the canonical JSON of the row's own fields: sorted keys, no
spaces, UTF-8. Pure: no database and no file is touched here.
"""

import functools
import hashlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from engine.clock import iso
from engine.events import Draft, Event, EventType

GENESIS = "0" * 64
"""The hash before the first event."""

SELECT_AFTER = (
    "SELECT seq, time, event_type, loop_id, account, metadata, hash FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
)
"""Rows after a sequence number, oldest first; a limit of -1 is none."""

Row = tuple[int, str, str, str, str, str, str]
"""A stored event, in the order of SELECT_AFTER."""

_DECODER = json.JSONDecoder()
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_STATEMENT_FAULTS = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_INTERRUPT,
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One change of a projection table. `expect` is the required row count; another one is a Conflict."""

    sql: str
    parameters: tuple[Any, ...] = ()
    expect: int | None = None


Project = Callable[[Event], Sequence[Statement]]
"""What an event means for the state tables. Pure: the same event always gives the same statements."""


class Conflict(Exception):
    """A projection refused an event: its expected row count was not met. Nothing of that append was written."""

    def __init__(self, draft: Draft, statement: Statement, words: str) -> None:
        super().__init__(f"{draft.event_type} conflicts with the stored state: {words} in {statement.sql!r}")
        self.draft = draft
        self.statement = statement
        self.words = words


class JournalError(Exception):
    """The journal cannot be written or read: which file, which operation, and the words of SQLite or the system."""

    def __init__(self, path: Path, operation: str, words: str) -> None:
        super().__init__(path, operation, words)
        self.path = path
        self.operation = operation
        self.words = words

    def __str__(self) -> str:
        return f"journal {self.path}: {self.operation} failed: {self.words}"

    def copy(self) -> "JournalError":
        """The same error once more, without the traceback of its earlier raises."""
        return JournalError(self.path, self.operation, self.words)


def is_statement_fault(error: sqlite3.Error) -> bool:
    """Whether SQLite blames the statement (a bug or a constraint) and not the disk, the file or a lock."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or (code & 0xFF) in _STATEMENT_FAULTS


def is_file_fault(error: sqlite3.Error) -> bool:
    """Whether the disk or the file itself is at fault: it cannot be read, or not what was written is read."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_disk_full(error: Exception) -> bool:
    """Whether SQLite found no room on the disk."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def canonical(value: Any) -> str:
    """The one JSON text of a value. Raises ValueError for NaN and Infinity, TypeError for what JSON cannot hold."""
    return _ENCODER.encode(value)


class Prepared(NamedTuple):
    """A draft turned into text, ready for a sequence number. `before` is the hashed row's text up to that number.

    A tuple, since one is made for every event and a frozen dataclass takes more than twice as long to make.
    """

    draft: Draft
    timestamp: datetime
    time: str
    metadata: str
    before: bytes

    def digest(self, previous: str, seq: int) -> str:
        """The hash of this draft as event `seq` after the event whose hash is `previous`."""
        return _digest(previous, self.before, seq, self.time)

    def row(self, seq: int, digest: str) -> Row:
        """The row to store."""
        draft = self.draft
        return seq, self.time, draft.event_type.value, draft.loop_id, draft.account, self.metadata, digest

    def event(self, seq: int, digest: str) -> Event:
        """The event exactly as it will be read back, so that a replay sees what the first run saw."""
        draft = self.draft
        metadata = _DECODER.raw_decode(self.metadata)[0]  # the text is ours: no spaces around it to look for
        return Event(seq, draft.event_type, self.timestamp, draft.loop_id, metadata, draft.account, digest)


@functools.lru_cache(maxsize=256)
def _head(account: str, event_type: str, loop_id: str) -> str:
    """The start of a row's text: few differ, so that few are made."""
    return (
        f'{{"account":{canonical(account)},"event_type":{canonical(event_type)},'
        f'"loop_id":{canonical(loop_id)},"metadata":'
    )


def prepare(draft: Draft) -> Prepared:
    """Turn a draft into text. Raises ValueError or TypeError for what cannot be recorded exactly."""
    if draft.timestamp.tzinfo is None:
        raise ValueError(f"the timestamp of {draft.event_type} has no time zone: give it in UTC")
    stamp = draft.timestamp.astimezone(UTC)
    time = iso(stamp)
    metadata = canonical(dict(draft.metadata))
    before = f'{_head(draft.account, draft.event_type.value, draft.loop_id)}{metadata},"seq":'.encode()
    return Prepared(draft, stamp, time, metadata, before)


def restore(time: str, event_type: str, loop_id: str, account: str, metadata: str) -> Prepared:
    """Prepare what `prepare` made earlier, from its texts."""
    stamp = datetime.fromisoformat(time)
    return prepare(Draft(EventType(event_type), stamp, loop_id, json.loads(metadata), account))


def _digest(previous: str, before: bytes, seq: int, time: str) -> str:
    return hashlib.sha256(b'%s%s%d,"time":"%s"}' % (previous.encode(), before, seq, time.encode())).hexdigest()


def row_digest(previous: str, row: Row) -> str:
    """Recompute the hash of a stored row."""
    seq, time, event_type, loop_id, account, metadata, _ = row
    return _digest(previous, f'{_head(account, event_type, loop_id)}{metadata},"seq":'.encode(), seq, time)


def row_fault(previous_seq: int, previous: str, row: Row) -> str:
    """What is wrong with a row that should follow `previous_seq`: its place or its hash. Empty when nothing is."""
    if row[0] != previous_seq + 1:
        return f"event {previous_seq + 1} is missing: {row[0]} follows {previous_seq}"
    if any(type(field) is not str for field in row[1:]):
        return f"event {row[0]} was changed: a field of it is not text"
    if row_digest(previous, row) != row[6]:
        return f"event {row[0]} was changed: its hash does not match its fields and the event before"
    return ""


def row_event(row: Row) -> Event:
    """The event that a row holds. Raises ValueError for a type that this version does not know."""
    seq, time, event_type, loop_id, account, metadata, digest = row
    try:
        kind = EventType(event_type)
    except ValueError:
        raise ValueError(f"event {seq} has the unknown type {event_type!r}") from None
    return Event(seq, kind, datetime.fromisoformat(time), loop_id, json.loads(metadata), account, digest)
