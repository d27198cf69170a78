"""The journal's file: created with owner-only rights, opened with settings that are checked, kept with some ballast.

In: a path. Out: connections whose PRAGMAs were read back. SQLite hides a failed PRAGMA whose row is not fetched, so
every one is fetched and compared.
"""

import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

from engine.equity import SCHEMA as EQUITY_SCHEMA

VERSION = 1
"""Of the journal's own tables."""

BALLAST_BYTES = 8 * 1024 * 1024
BUSY_SECONDS = 30.0
"""How long a commit waits for another process's lock before that counts as an error."""

SCHEMA = f"""
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    time TEXT NOT NULL,
    event_type TEXT NOT NULL,
    loop_id TEXT NOT NULL,
    account TEXT NOT NULL,
    metadata TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE TABLE journal_head (seq INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE TABLE journal_value (
    account TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (account, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE journal_urgent (id TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE journal_projection (schema TEXT NOT NULL) STRICT;
{EQUITY_SCHEMA}
"""


class SettingRefused(sqlite3.OperationalError):
    """SQLite answered a PRAGMA with another value than the one that was asked for."""


def _create_private(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if os.name == "posix":
        path.chmod(0o600)


def sync_folder(folder: Path) -> None:
    """Make new and removed names in a folder durable. Windows does this by itself and offers no call for it."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _set(connection: sqlite3.Connection, pragma: str, value: str, expected: Any) -> None:
    connection.execute(f"PRAGMA {pragma} = {value}").fetchall()
    rows = connection.execute(f"PRAGMA {pragma}").fetchall()
    if rows != [(expected,)]:
        raise SettingRefused(f"PRAGMA {pragma} = {value} was asked for, {rows} is in force")


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the file for the one writer, creating it when there is none. Raises sqlite3.Error or OSError."""
    _create_private(path)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _set(connection, "journal_mode", "wal", "wal")
        _set(connection, "synchronous", "FULL", 2)
        _set(connection, "wal_autocheckpoint", "0", 0)
        if sys.platform == "darwin":
            _set(connection, "fullfsync", "1", 1)
            _set(connection, "checkpoint_fullfsync", "1", 1)
        sync_folder(path.parent)  # the names of the file and of its log; SQLite ignores an error of its own attempt
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the file for reading only, beside a writer or without one."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _set(connection, "query_only", "1", 1)
    except BaseException:
        connection.close()
        raise
    return connection


def objects_of(schema: str) -> list[tuple[str, str]]:
    """The (type, name) of everything that a schema creates."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.executescript(schema)
        return connection.execute(
            "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid"
        ).fetchall()
    finally:
        connection.close()


OWN_TABLES = frozenset(name for kind, name in objects_of(SCHEMA))


class Ballast:
    """A file that only takes room, given up when the disk is full so that a flatten can still be recorded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def allocate(self) -> None:
        """Take the room, really allocated and not sparse. Raises OSError when there is none."""
        if self._path.exists() and self._path.stat().st_size == BALLAST_BYTES:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, BALLAST_BYTES)
            else:
                for _ in range(BALLAST_BYTES // 65536):
                    os.write(descriptor, b"\xa5" * 65536)
            os.fsync(descriptor)
        except OSError:
            self._path.unlink()
            raise
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Give the room up."""
        self._path.unlink(missing_ok=True)
