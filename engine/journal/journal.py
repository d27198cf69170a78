"""The journal as the engine uses it, on the event loop: nothing here waits for the disk but the caller's own await.

In: drafts, values, equity readings, questions. Out: events once they are durable, answers from a connection of its
own that never delays a commit. A disk error stops all further appends; only what lowers risk goes on.
"""

import asyncio
import logging
import math
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from engine import equity
from engine.clock import Clock, SystemClock
from engine.equity import EquityPoint, ReadingBuffer
from engine.events import Draft, Event
from engine.journal.database import open_reader
from engine.journal.fallback import Fallback, FallbackGroup
from engine.journal.record import (
    SELECT_AFTER,
    JournalError,
    Project,
    canonical,
    is_file_fault,
    prepare,
    row_event,
)
from engine.journal.store import Append, KeepEquity, Outcome, Request, SetValue, Store
from engine.journal.threads import InlineLane, Lane, settle
from engine.journal.writer import InlineWriter, Ticket, Writer

EQUITY_SECONDS = 1.0
"""Readings wait at most this long for a commit to share."""

_SEARCH_WINDOW = 20_000
"""Events looked through before other reads get their turn."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Journal:
    """One account's journal. All methods belong to one event loop; `open` comes first, `close` last.

    `threaded=False` runs the same code inline, for a run in virtual time. `clock` stamps the one event that the journal
    writes itself (FALLBACK_MERGED).
    """

    def __init__(
        self, path: Path, *, schema: str, project: Project, threaded: bool = True, clock: Clock | None = None
    ) -> None:
        self._path = path
        self._threaded = threaded
        self._store = Store(path, schema=schema, project=project, clock=clock or SystemClock())
        self._fallback = Fallback(path.with_suffix(".fallback"))
        self._readings = ReadingBuffer()
        self._subscribers: list[Callable[[Event], None]] = []
        self._hears: Callable[[Draft], None] = _nobody
        self._timer: asyncio.TimerHandle | None = None
        self._is_open = False
        self._last_seq = 0
        self._opened_at = 0
        self._urgent = 0
        self._read_failure: JournalError | None = None
        self._loop: asyncio.AbstractEventLoop
        self._writer: Writer | InlineWriter
        self._reader: Lane | InlineLane
        self._beside: Lane | InlineLane
        self._connection: sqlite3.Connection

    async def open(self) -> None:
        """Create or migrate the file, verify the newest events, merge the fallback file. Raises JournalError.

        The folder is created when it is missing. When the disk has no room for the ballast, `failure` is set and only
        what lowers risk can be written.
        """
        self._loop = asyncio.get_running_loop()
        lane = Lane if self._threaded else InlineLane
        self._reader = lane("journal reader")
        try:
            await self._reader.submit(self._store.open)
            self._connection = await self._reader.submit(lambda: open_reader(self._path))
        except BaseException:
            await self._reader.close()
            raise
        self._beside = lane("journal fallback")
        self._writer = (Writer if self._threaded else InlineWriter)(self._store, self._deliver)
        self._writer.start()
        self._last_seq = self._opened_at = self._store.last_seq
        self._urgent = self._store.last_urgent  # those were given under this very `opened_at`: no id comes twice
        self._is_open = True

    async def close(self) -> None:
        """Commit what is queued, empty the write-ahead log into the main file, end the threads."""
        if not self._is_open:
            return
        self._keep_equity()
        self._is_open = False
        self._connection.interrupt()
        await self._reader.submit(self._connection.close)
        await self._reader.close()
        await self._writer.close()
        await self._beside.close()

    @property
    def last_seq(self) -> int:
        """The newest durable event's sequence number; 0 when there is none."""
        return self._last_seq

    @property
    def failure(self) -> JournalError | None:
        """The disk error after which appends are refused; None while all is well."""
        return self._store.failure or self._read_failure

    def subscribe(self, callback: Callable[[Event], None]) -> None:
        """Call `callback` on the loop with every event from now on, in order, once it is durable."""
        self._subscribers.append(callback)

    def overhear(self, callback: Callable[[Draft], None]) -> None:
        """Call `callback` with every draft in the moment it is handed in, durable or not, now or ever.

        It stands before every commit: it must be quick and must not raise.
        """
        self._hears = callback

    async def append(self, *drafts: Draft) -> list[Event]:
        """Write the drafts together, in order, and return them as events once they are durable.

        Raises Conflict (nothing of this append was written), JournalError (it may or may not be found after a
        restart), ValueError or TypeError for metadata that JSON cannot hold exactly. Cancelling does not undo it.
        """
        if not drafts:
            return []
        prepared = [prepare(draft) for draft in drafts]
        self._check()
        self._overheard(drafts)
        return list(await self._submit(Append(prepared)))

    async def append_urgent(self, *drafts: Draft, patience: float = 0.05) -> None:
        """Write what lowers risk, waiting at most `patience` seconds for its commit.

        Slowness and disk errors never raise: the drafts are then also recorded in the fallback file, by another thread,
        and merged at the next open unless their commit did succeed. Raises Conflict when a projection refuses them in
        time, ValueError or TypeError for metadata that JSON cannot hold exactly.
        """
        if not drafts:
            return
        prepared = tuple(prepare(draft) for draft in drafts)
        self._check_open()
        self._overheard(drafts)
        self._urgent += 1
        group = FallbackGroup.of(self._opened_at, self._urgent, prepared)
        future = self._submit(Append(prepared, (group.id,)))
        await asyncio.wait([future], timeout=patience)
        if future.done():
            error = future.exception()
            if error is None:
                return
            if not isinstance(error, JournalError):
                raise error
        else:
            future.add_done_callback(_report_late)
        self._beside.submit(lambda: self._fallback.write(group)).add_done_callback(
            lambda written: self._report_fallback(written, group)
        )

    async def events(self, after: int, limit: int) -> list[Event]:
        """At most `limit` events with `after` < seq, oldest first."""
        rows = await self.query(SELECT_AFTER, (after, limit))
        try:
            return [row_event(row) for row in rows]
        except ValueError as error:
            raise JournalError(self._path, "read", str(error)) from error

    async def matches(self, text: str, limit: int) -> list[int]:
        """The newest `limit` events whose type or metadata holds the text, as ascending sequence numbers.

        ASCII letters match in either case.
        """
        plain = _pattern(text)
        parameters = (plain, plain, _pattern(canonical(text)[1:-1]))
        found: list[int] = []
        upper = self._last_seq
        while upper > 0 and len(found) < limit:
            rows = await self.query(
                "SELECT seq FROM event WHERE seq > ? AND seq <= ? AND (event_type LIKE ? ESCAPE '\\'"
                " OR metadata LIKE ? ESCAPE '\\' OR metadata LIKE ? ESCAPE '\\') ORDER BY seq DESC LIMIT ?",
                (upper - _SEARCH_WINDOW, upper, *parameters, limit - len(found)),
            )
            found.extend(row[0] for row in rows)
            upper -= _SEARCH_WINDOW
        return found[::-1]

    async def query(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of a SELECT, from the reader's connection. It sees every append that has returned."""
        return await self._read(lambda: self._connection.execute(sql, parameters).fetchall())

    async def equity(self, account: str, start: int | None, end: int | None, points: int) -> list[EquityPoint]:
        """The account's equity thinned to at most `points` stretches of equal whole seconds, in time order.

        `start` and `end` are UTC epoch seconds, both included; None is the first or last reading. Low and high are the
        true ones; a stretch without readings is absent. Readings show up within about a second.
        """
        return await self._read(lambda: equity.read(self._connection, account, start, end, points))

    def record_equity(self, account: str, second: int, low: float, high: float, last: float) -> None:
        """Keep a reading of `second` (UTC epoch), in account currency, with the next commit or within a second.

        Never blocks and never raises. Readings of one second are merged. One that is not finite is no reading, and
        none is kept after a disk error.
        """
        if not self._is_open or self.failure is not None or not math.isfinite(low + high + last):
            return
        self._readings.add(account, second, low, high, last)
        if self._timer is None:
            self._timer = self._loop.call_later(EQUITY_SECONDS, self._keep_equity)

    async def set_value(self, account: str, key: str, value: str, *drafts: Draft) -> None:
        """Keep a small value, durable on return; not chained. `drafts` are written with it, or neither is.

        Raises JournalError, and for the drafts what `append` does.
        """
        for text in (account, key, value):
            text.encode()
        prepared = [prepare(draft) for draft in drafts]
        self._check()
        self._overheard(drafts)
        await self._submit(SetValue(account, key, value, prepared))

    async def get_values(self, account: str) -> dict[str, str]:
        """All values kept for the account."""
        return dict(await self.query("SELECT key, value FROM journal_value WHERE account = ?", (account,)))

    def _check_open(self) -> None:
        if not self._is_open:
            raise JournalError(self._path, "append", "the journal is not open")

    def _check(self) -> None:
        self._check_open()
        if self.failure is not None:
            raise self.failure.copy()

    def _overheard(self, drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            self._hears(draft)

    def _submit(self, request: Request) -> asyncio.Future[Sequence[Event]]:
        self._keep_equity()
        future: asyncio.Future[Sequence[Event]] = self._loop.create_future()
        self._writer.submit((request, future))
        return future

    def _keep_equity(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._readings:
            self._writer.submit((KeepEquity(self._readings.take()), None))

    def _deliver(self, batch: Sequence[tuple[Ticket, Outcome]]) -> None:
        events: list[Event] = []
        for (_, future), outcome in batch:
            if not isinstance(outcome, Exception):
                events.extend(outcome)
            if future is not None:
                settle(future, outcome)
        if events:
            self._last_seq = events[-1].seq
        for event in events:
            for callback in self._subscribers:
                try:
                    callback(event)
                except Exception as error:  # one subscriber's bug must not keep the others from hearing
                    self._loop.call_exception_handler(
                        {"message": f"a subscriber failed on event {event.seq}", "exception": error}
                    )

    async def _read(self, work: Callable[[], T]) -> T:
        if not self._is_open:
            raise JournalError(self._path, "read", "the journal is not open")
        try:
            return await self._reader.submit(work)
        except sqlite3.Error as error:
            if not is_file_fault(error):
                raise
            _log.error("journal %s: a read failed, no new orders until a restart: %s", self._path, error)
            failure = JournalError(self._path, "read", str(error))
            self._read_failure = self._read_failure or failure
            raise failure from error

    def _report_fallback(self, written: "asyncio.Future[None]", group: FallbackGroup) -> None:
        if error := written.exception():
            _log.error("journal %s: the fallback file failed: %s; not recorded: %s", self._path, error, group.plain())


def _nobody(draft: Draft) -> None:
    """Nobody listens."""


def _report_late(future: "asyncio.Future[Sequence[Event]]") -> None:
    """Say what became of a commit that nobody waited for. The fallback file holds its drafts in any case."""
    if not future.cancelled() and (error := future.exception()):
        _log.error("journal: a late urgent append was not written, the fallback file holds it: %s", error)


def _pattern(text: str) -> str:
    for special in "\\%_":
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"
