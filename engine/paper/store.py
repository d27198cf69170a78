"""The state file of one paper account: SQLite, one transaction for everything that changed together.

In: records of the ledger and the place of the market. Out: the same after any kill. Records are appended, so the cost
of a commit does not grow with the history.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.paper.ledger import Record

FORMAT = 2
_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger (
    sequence INTEGER PRIMARY KEY, time_msc INTEGER NOT NULL, kind TEXT NOT NULL, row TEXT NOT NULL
);
"""


class StateError(Exception):
    """A state file that belongs to another account, or cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a state file holds: the account's ledger, and the terminal's place in the market (JSON)."""

    records: list[Record]
    terminal: dict[str, Any]


class StateStore:
    """An open state file. `identity` names the account's market and currency; another one is refused."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"{path}: {error}") from error
        try:
            self._connection.execute("PRAGMA journal_mode=WAL").fetchall()
            self._connection.execute("PRAGMA synchronous=FULL").fetchall()
            self._connection.executescript(_TABLES)
            self._own(identity)
        except sqlite3.Error as error:
            self._connection.close()
            raise StateError(f"{path}: {error}") from error
        except StateError:
            self._connection.close()
            raise

    def _own(self, identity: str) -> None:
        mark = f"{FORMAT} {identity}"
        self._connection.execute("INSERT OR IGNORE INTO facts VALUES ('identity', ?)", (mark,))
        found = self._fact("identity")
        if found != mark:
            raise StateError(f"{self._path}: holds the account {found!r}, not {mark!r}; give another folder")

    def _fact(self, name: str) -> str | None:
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def load(self) -> Saved | None:
        """Return what was committed last, or None for a new file."""
        try:
            terminal = self._fact("terminal")
            if terminal is None:
                return None
            rows = self._connection.execute("SELECT sequence, time_msc, kind, row FROM ledger ORDER BY sequence")
            records = [Record(sequence, time_msc, kind, json.loads(row)) for sequence, time_msc, kind, row in rows]
            return Saved(records, json.loads(terminal))
        except (sqlite3.Error, ValueError) as error:
            raise StateError(f"{self._path}: {error}") from error

    def commit(self, records: Iterable[Record], terminal: Mapping[str, Any]) -> None:
        """Write everything in one transaction. Raises StateError when the disk refuses; nothing is written then."""
        run = self._connection.execute
        try:
            run("BEGIN IMMEDIATE")
            try:
                for sequence, time_msc, kind, row in records:
                    run("INSERT INTO ledger VALUES (?, ?, ?, ?)", (sequence, time_msc, kind, json.dumps(row)))
                run("REPLACE INTO facts VALUES ('terminal', ?)", (json.dumps(terminal),))
                run("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    run("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StateError(f"{self._path}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
