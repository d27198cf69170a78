"""The store: the one writer's side of the journal's file. Synchronous; owned by one thread, or run inline.

In: requests in order. Out: one outcome for each, after one durable commit for all. An append that conflicts leaves
no trace and does not touch its neighbours. After a disk error nothing is written any more, except that on a full
disk the ballast is given up and what lowers risk is still recorded.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import equity
from engine.clock import Clock
from engine.events import Draft, Event, EventType
from engine.journal import layout
from engine.journal.database import Ballast, open_writer
from engine.journal.fallback import Fallback
from engine.journal.record import (
    GENESIS,
    SELECT_AFTER,
    JournalError,
    Prepared,
    Project,
    Row,
    Statement,
    is_disk_full,
    is_statement_fault,
    prepare,
    row_fault,
)

TAIL = 1000
"""Events whose chain is verified at every open."""

CHECKPOINT_COMMITS = 500
CHECKPOINT_EVENTS = 5000
"""After so many commits or events the write-ahead log, by then some megabytes, goes into the main file."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Append:
    """Events to write together. `urgent` are ids kept with them, so that a fallback record is merged only once."""

    drafts: Sequence[Prepared]
    urgent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetValue:
    """A value to keep, and events that must not be there without it, nor it without them."""

    account: str
    key: str
    value: str
    drafts: Sequence[Prepared] = ()


@dataclass(frozen=True, slots=True)
class KeepEquity:
    """Equity readings to keep."""

    readings: equity.Readings


Request = Append | SetValue | KeepEquity
Outcome = Sequence[Event] | Exception
"""The events of a request in order, or why nothing of the request was written."""


class Store:
    """The journal's file, its chain and its projections."""

    def __init__(self, path: Path, *, schema: str, project: Project, clock: Clock) -> None:
        self._path = path
        self._schema = schema
        self._project = project
        self._clock = clock
        self._ballast = Ballast(path.with_suffix(".ballast"))
        self._fallback = Fallback(path.with_suffix(".fallback"))
        self._connection: sqlite3.Connection
        self._seq = 0
        self._hash = GENESIS
        self._rows: list[Row] = []
        self._commits = 0
        self._events = 0
        self._has_room = False
        self.failure: JournalError | None = None
        """The first disk error. It stays."""
        self.last_urgent = 0
        """The highest number of the groups that stay in the fallback file, since the disk let them not be merged."""

    @property
    def last_seq(self) -> int:
        """The newest event's sequence number."""
        return self._seq

    def open(self) -> None:
        """Open the file, bring its tables up to date, verify the chain's tail, merge the fallback file.

        Raises JournalError. A disk too full for the ballast is a `failure` and no exception: closing must go on.
        """
        try:
            self._connection = open_writer(self._path)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(self._path, "open", str(error)) from error
        try:
            self._take_ballast()
            self._seq, self._hash = layout.prepare_tables(self._connection, self._schema, self._project)
            self._verify_tail()
            self._merge_fallback()
        except (sqlite3.Error, OSError, layout.LayoutError) as error:
            self._connection.close()
            raise JournalError(self._path, "open", str(error)) from error
        except BaseException:
            self._connection.close()
            raise

    def commit(self, requests: Sequence[Request]) -> list[Outcome]:
        """Write the requests in one transaction, durable on return, and say what became of each. Never raises."""
        if self.failure is None:
            try:
                return self._transact(requests)
            except Exception as error:
                self._fail("commit", error)
        outcomes: list[Outcome] = [self._refusal() for _ in requests]
        urgent = [place for place, each in enumerate(requests) if isinstance(each, Append) and each.urgent]
        if urgent and self._has_room:
            try:
                done = self._transact([requests[place] for place in urgent])
            except Exception as error:
                self._has_room = False
                _log.exception("journal %s: not even the ballast gave room", self._path, exc_info=error)
            else:
                for place, outcome in zip(urgent, done, strict=True):
                    outcomes[place] = outcome
        return outcomes

    def checkpoint_when_due(self) -> None:
        """Move the write-ahead log into the main file when it has grown. An error is a `failure`."""
        if self._commits < CHECKPOINT_COMMITS and self._events < CHECKPOINT_EVENTS:
            return
        if self.failure is None or self._has_room:
            self._commits = self._events = 0
            self._checkpoint("PASSIVE")

    def close(self) -> None:
        """Empty the write-ahead log into the main file and close it."""
        if self.failure is None:
            self._checkpoint("TRUNCATE")
        self._connection.close()

    def _checkpoint(self, mode: str) -> None:
        try:
            self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        except sqlite3.Error as error:
            self._fail("checkpoint", error)

    def _fail(self, operation: str, error: Exception) -> None:
        _log.error("journal %s: %s failed, no new orders until a restart: %s", self._path, operation, error)
        if is_disk_full(error) and not self._has_room:
            try:
                self._ballast.release()
            except OSError as trouble:
                _log.error("journal %s: the ballast could not be given up: %s", self._path, trouble)
            self._has_room = True
            self._commits = CHECKPOINT_COMMITS
        else:
            self._has_room = False
        if self.failure is None:
            self.failure = JournalError(self._path, operation, str(error))

    def _refusal(self) -> JournalError:
        assert self.failure is not None  # noqa: S101 - only ever called after a failure
        return self.failure.copy()

    def _transact(self, requests: Sequence[Request]) -> list[Outcome]:
        connection = self._connection
        before = self._seq, self._hash
        self._rows = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._apply(request) for request in requests]
            if self._rows:
                connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)", self._rows)
                connection.execute("UPDATE journal_head SET seq = ?, hash = ?", (self._seq, self._hash))
            connection.execute("COMMIT")
        except BaseException:
            self._seq, self._hash = before
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # the first error is the one that counts
                    connection.execute("ROLLBACK")
            raise
        self._commits += 1
        self._events += len(self._rows)
        return outcomes

    def _apply(self, request: Request) -> Outcome:
        if isinstance(request, Append):
            return self._append(request)
        if isinstance(request, SetValue):
            outcome = self._append(Append(request.drafts)) if request.drafts else ()
            if isinstance(outcome, Exception):
                return outcome
            self._connection.execute(
                "INSERT INTO journal_value VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                (request.account, request.key, request.value),
            )
            return outcome
        equity.store(self._connection, request.readings)
        return ()

    def _append(self, append: Append) -> Outcome:
        """Chain the events and run their statements; the rows themselves are inserted together before the commit."""
        seq, digest = self._seq, self._hash
        events: list[Event] = []
        rows: list[Row] = []
        work: list[tuple[Draft, Statement]] = []
        try:
            for draft in append.drafts:
                seq += 1
                digest = draft.digest(digest, seq)
                event = draft.event(seq, digest)
                events.append(event)
                rows.append(draft.row(seq, digest))
                for statement in self._project(event):
                    work.append((draft.draft, statement))  # noqa: PERF401 - mostly none: no generator for nothing
            if work or append.urgent:
                self._run(work, [(each, seq) for each in append.urgent])
        except sqlite3.Error as error:
            if not is_statement_fault(error):
                raise
            return error
        except Exception as error:  # a bug in a projection is told to its appender and hurts no neighbour
            return error
        self._seq, self._hash = seq, digest
        self._rows.extend(rows)
        return events

    def _run(self, work: Sequence[tuple[Draft, Statement]], urgent: Sequence[tuple[str, int]]) -> None:
        connection = self._connection
        connection.execute("SAVEPOINT append")
        try:
            for draft, statement in work:
                layout.run(connection, draft, statement)
            if urgent:
                connection.executemany("INSERT INTO journal_urgent VALUES (?, ?)", urgent)
        except BaseException:
            if connection.in_transaction:  # a full disk has already rolled all of it back
                connection.execute("ROLLBACK TO append")
                connection.execute("RELEASE append")
            raise
        connection.execute("RELEASE append")

    def _take_ballast(self) -> None:
        try:
            self._ballast.allocate()
        except OSError as error:
            self._has_room = True
            self.failure = JournalError(self._path, "ballast", str(error))

    def _verify_tail(self) -> None:
        """Check the newest events: their order, their hashes, and that the last is the one last committed."""
        first = max(0, self._seq - TAIL)
        seq, digest = first, GENESIS
        if first:
            row = self._connection.execute("SELECT hash FROM event WHERE seq = ?", (first,)).fetchone()
            if row is None:
                raise JournalError(self._path, "verify", f"event {first} is missing")
            digest = row[0]
        for row in self._connection.execute(SELECT_AFTER, (first, -1)):
            if fault := row_fault(seq, digest, row):
                raise JournalError(self._path, "verify", fault)
            seq, digest = row[0], row[6]
        if (seq, digest) != (self._seq, self._hash):
            raise JournalError(self._path, "verify", f"the journal ends at event {seq}; {self._seq} was committed")

    def _merge_fallback(self) -> None:
        groups, damaged = self._fallback.read()
        self.last_urgent = max((each.number for each in groups), default=0)
        known = "SELECT 1 FROM journal_urgent WHERE id = ?"
        fresh = [each for each in groups if self._connection.execute(known, (each.id,)).fetchone() is None]
        outcomes = self.commit([Append(each.drafts, (each.id,)) for each in fresh]) if fresh else []
        merged: list[int] = []
        refused: list[dict[str, Any]] = []
        refused_ids: list[str] = []
        for group, outcome in zip(fresh, outcomes, strict=True):
            if isinstance(outcome, JournalError):
                return  # the file stays for the next start
            if isinstance(outcome, Exception):
                refused.append({"why": str(outcome), "drafts": group.plain()})
                refused_ids.append(group.id)
            else:
                merged.extend(event.seq for event in outcome)
        if fresh or damaged:
            last = groups[-1].drafts[-1].draft if groups else None
            summary = Draft(
                EventType.FALLBACK_MERGED,
                self._clock.utc(),
                last.loop_id if last else "",
                {"merged": merged, "refused": refused, "damaged": damaged, "already": len(groups) - len(fresh)},
                last.account if last else "",
            )
            # urgent, so that it can be written on a full disk too, and marks what was refused as dealt with
            if isinstance(
                self.commit([Append([prepare(summary)], (f"merge-{self._seq}", *refused_ids))])[0], Exception
            ):
                return
        if groups or damaged:
            self._fallback.remove(keep_as=f"damaged-{self._seq}" if damaged else None)
        self.last_urgent = 0
