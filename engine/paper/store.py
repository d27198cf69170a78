"""The state file of one paper account: SQLite, one transaction for everything that changed together.

In: changes of the account and the place of the market. Out: the same after any kill. Deals and orders are appended,
positions replaced one by one, so the cost of a commit does not grow with the history.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.paper.books import Changes, Deal, Ledger, Order, Position

FORMAT = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deals (ticket INTEGER PRIMARY KEY, row TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS orders (ticket INTEGER PRIMARY KEY, row TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS positions (ticket INTEGER PRIMARY KEY, row TEXT NOT NULL);
"""


class StateError(Exception):
    """A state file that belongs to another account, or cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a state file holds: the account, and the terminal's place in the market (JSON)."""

    ledger: Ledger
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
            account = self._fact("account")
            terminal = self._fact("terminal")
            if account is None or terminal is None:
                return None
            balance, next_ticket = json.loads(account)
            ledger = Ledger(
                balance,
                next_ticket,
                [Deal(*row) for row in self._rows("deals")],
                [Order(*row) for row in self._rows("orders")],
                [Position(*row) for row in self._rows("positions")],
            )
            return Saved(ledger, json.loads(terminal))
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise StateError(f"{self._path}: {error}") from error

    def _rows(self, table: str) -> list[list[Any]]:
        statement = f"SELECT row FROM {table} ORDER BY ticket"  # noqa: S608 - one of three literals
        return [json.loads(row) for (row,) in self._connection.execute(statement)]

    def commit(self, balance: float, next_ticket: int, changes: Changes, terminal: Mapping[str, Any]) -> None:
        """Write everything in one transaction. Raises StateError when the disk refuses; nothing is written then."""
        run = self._connection.execute
        try:
            run("BEGIN IMMEDIATE")
            try:
                for deal in changes.deals:
                    run("INSERT INTO deals VALUES (?, ?)", (deal.ticket, json.dumps(deal)))
                for order in changes.orders:
                    run("INSERT INTO orders VALUES (?, ?)", (order.ticket, json.dumps(order)))
                for ticket, position in changes.positions.items():
                    if position is None:
                        run("DELETE FROM positions WHERE ticket = ?", (ticket,))
                    else:
                        run("REPLACE INTO positions VALUES (?, ?)", (ticket, json.dumps(position.as_json())))
                run("REPLACE INTO facts VALUES ('account', ?)", (json.dumps([balance, next_ticket]),))
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
