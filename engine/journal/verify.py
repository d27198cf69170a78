"""Verification of a journal: the whole chain from the first event, and the state tables against a replay.

In: a file, beside a running engine or alone, which is only read. Out: a report that names the first broken event.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from engine.journal import layout
from engine.journal.database import objects_of, open_reader
from engine.journal.record import GENESIS, SELECT_AFTER, Conflict, Project, row_event, row_fault


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Whether the journal holds what it held when it was written; `problem` names the first broken event and why."""

    ok: bool
    events: int
    problem: str


class _Broken(Exception):
    pass


_BEFORE_ALL = -(2**63)


def verify(path: Path, *, schema: str, project: Project) -> VerifyReport:
    """Recompute every hash, check the sequence, replay the events and compare every state table row by row."""
    if not path.is_file():
        return VerifyReport(False, 0, f"there is no journal at {path}")
    seq = 0
    scratch = sqlite3.connect(":memory:", isolation_level=None)
    try:
        scratch.executescript(schema)
        stored = open_reader(path)
        try:
            stored.execute("BEGIN")  # one snapshot for all of it, while an engine goes on writing
            for seq in _replay_chain(stored, scratch, project):  # noqa: B007 - the last one is reported
                pass
            for kind, name in objects_of(schema):
                if kind == "table":
                    _compare(stored, scratch, name)
        finally:
            stored.close()
    except _Broken as error:
        return VerifyReport(False, seq, str(error))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return VerifyReport(False, seq, f"after event {seq}: the file cannot be read: {error}")
    finally:
        scratch.close()
    return VerifyReport(True, seq, "")


def _replay_chain(stored: sqlite3.Connection, scratch: sqlite3.Connection, project: Project) -> Iterator[int]:
    seq, digest = 0, GENESIS
    scratch.execute("BEGIN")
    for row in stored.execute(SELECT_AFTER, (_BEFORE_ALL, -1)):
        if fault := row_fault(seq, digest, row):
            raise _Broken(fault)
        try:
            layout.replay(scratch, row_event(row), project)
        except (ValueError, LookupError, TypeError, Conflict) as error:
            raise _Broken(f"event {row[0]} cannot be replayed: {error}") from error
        seq, digest = row[0], row[6]
        yield seq
    heads = stored.execute("SELECT seq, hash FROM journal_head").fetchall()
    if heads != [(seq, digest)]:
        raise _Broken(f"event {seq + 1} is missing: the chain ends at {seq}, the last commit says {heads}")


def _compare(stored: sqlite3.Connection, scratch: sqlite3.Connection, table: str) -> None:
    columns = [row[1] for row in scratch.execute(f'PRAGMA table_info("{table}")')]
    order = ", ".join(str(place + 1) for place in range(len(columns)))
    names = ", ".join(f'"{column}"' for column in columns)
    select = f'SELECT {names} FROM "{table}" ORDER BY {order}'  # noqa: S608 - names of our own schema
    for found, expected in zip_longest(stored.execute(select), scratch.execute(select)):
        if found != expected or _types(found) != _types(expected):
            raise _Broken(f"table {table} differs from what the events say: it has {found}, they give {expected}")


def _types(row: tuple[Any, ...]) -> list[type]:
    return [type(value) for value in row]
