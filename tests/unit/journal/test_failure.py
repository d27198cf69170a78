import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from engine.journal import Journal, JournalError, verify
from engine.journal.database import Ballast, SettingRefused, open_writer
from engine.journal.record import row_digest
from engine.journal.store import Append
from tests.unit.journal.toy import (
    SCHEMA,
    change,
    draft,
    fallback,
    fallback_written,
    held_up,
    in_fallback,
    make,
    merges,
    new,
    opened,
    project,
    raised,
    rows,
)


class Failing:
    """A connection on which statements that start with `word` meet an error of the disk."""

    def __init__(self, connection: sqlite3.Connection, word: str, code: int = sqlite3.SQLITE_IOERR_FSYNC) -> None:
        self._connection = connection
        self._word = word
        self._error = sqlite3.OperationalError("disk I/O error")
        self._error.sqlite_errorcode = code
        self.failures = 0

    def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
        if sql.strip().startswith(self._word):
            self.failures += 1
            raise self._error
        return self._connection.execute(sql, *rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def break_on(journal: Journal, word: str) -> Failing:
    failing = Failing(journal._store._connection, word)
    journal._store._connection = failing  # type: ignore[assignment]  # stands in for a connection
    return failing


async def test_a_disk_error_is_sticky_and_says_where_and_what(path: Path, threaded: bool) -> None:
    async with opened(path, threaded=threaded) as journal:
        await journal.append(new("a"))
        failing = break_on(journal, "COMMIT")
        results = await asyncio.gather(
            journal.append(new("b")), journal.append(draft()), journal.set_value("a", "k", "v"), return_exceptions=True
        )
        assert all(isinstance(result, JournalError) for result in results)
        assert str(journal.failure) == f"journal {path}: commit failed: disk I/O error"
        for refused in (journal.append(draft()), journal.set_value("a", "k", "v")):
            with pytest.raises(JournalError, match="disk I/O error"):
                await refused
        journal.record_equity("a", 1, 1, 1, 1)
        assert failing.failures == 1 if threaded else failing.failures >= 1
        assert journal.last_seq == 1
        assert await journal.query("SELECT * FROM counter") == [("a", 1)]
    async with opened(path) as journal:
        assert journal.failure is None
        assert [event.seq for event in await journal.append(draft())] == [2]
    assert verify(path, schema=SCHEMA, project=project).ok


async def test_after_a_disk_error_what_lowers_risk_goes_to_the_fallback_file(path: Path, threaded: bool) -> None:
    async with opened(path, threaded=threaded) as journal:
        break_on(journal, "COMMIT")
        await journal.append_urgent(draft(what="halt"), patience=10)
        await journal.append_urgent(draft(what="flatten"), patience=10)
        await fallback_written(journal)
        assert journal.failure is not None
        assert in_fallback(path) == 2
    async with opened(path, threaded=threaded) as journal:
        assert [event.metadata.get("what") for event in await journal.events(0, 2)] == ["halt", "flatten"]
        assert (await merges(journal))[0]["merged"] == [1, 2]


async def test_an_error_inside_a_statement_takes_the_whole_commit_down_and_frees_the_lock(path: Path) -> None:
    async with opened(path, threaded=False) as journal:
        break_on(journal, "INSERT INTO counter")
        with pytest.raises(JournalError):
            await journal.append(new("a"))
        assert journal.failure is not None
        with held_up(path):
            assert await journal.events(0, 10) == []


async def test_a_failing_checkpoint_is_a_failure_although_the_commit_stands(
    path: Path, threaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.journal.store.CHECKPOINT_COMMITS", 3)
    async with opened(path, threaded=threaded) as journal:
        break_on(journal, "PRAGMA wal_checkpoint")
        for _ in range(3):
            await journal.append(draft())
        await journal.append_urgent(draft(), patience=10)
        assert journal.failure is not None
        assert journal.failure.operation == "checkpoint"
    assert [row[0] for row in rows(path, "SELECT seq FROM event")] == [1, 2, 3]


async def test_the_log_goes_into_the_main_file_as_it_grows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.journal.store.CHECKPOINT_COMMITS", 20)
    wal = path.with_name("journal.sqlite-wal")
    async with opened(path) as journal:
        for number in range(40):
            await journal.append(draft(number=number))
        before = wal.stat().st_size
        for number in range(400):
            await journal.append(draft(number=number))
        assert wal.stat().st_size <= before * 1.5


def limit_pages(journal: Journal, more: int) -> None:
    connection = journal._store._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + more}").fetchall()


async def test_on_a_full_disk_the_ballast_lets_closings_be_journalled(
    path: Path, threaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path, threaded=threaded) as journal:
        ballast = path.with_suffix(".ballast")
        assert ballast.stat().st_size == 8 * 1024 * 1024
        assert os.name != "posix" or ballast.stat().st_blocks * 512 >= 8 * 1024 * 1024
        release = Ballast.release

        def room(self: Ballast) -> None:
            release(self)
            limit_pages(journal, 1000)

        monkeypatch.setattr(Ballast, "release", room)
        limit_pages(journal, 4)
        with pytest.raises(JournalError, match="full"):
            await journal.append(*[draft(text="x" * 3000)] * 100)
        assert not ballast.exists()
        written = journal.last_seq
        with pytest.raises(JournalError, match="full"):
            await journal.append(draft())
        for number in range(50):
            await journal.append_urgent(draft(number=number, text="x" * 3000), patience=10)
        assert journal.last_seq == written + 50
        await fallback_written(journal)
        assert not fallback(path).exists()
    async with opened(path) as journal:
        assert journal.failure is None
        assert ballast.exists()
        assert journal.last_seq == written + 50


async def test_ordinary_appends_in_the_same_commit_are_refused_when_the_disk_is_full(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as journal:
        monkeypatch.setattr(Ballast, "release", lambda self: limit_pages(journal, 1000))
        limit_pages(journal, 1)
        big = "x" * 100_000
        refused, _, bug = await asyncio.gather(
            journal.append(draft(text=big)),
            journal.append_urgent(draft(what="halt", text=big), patience=10),
            journal.append(draft(text=big)),
            return_exceptions=True,
        )
        assert isinstance(refused, JournalError)
        assert isinstance(bug, JournalError)
        assert [event.metadata["what"] for event in await journal.events(0, 9)] == ["halt"]


async def test_when_the_ballast_is_not_enough_the_fallback_takes_over(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stuck(self: Ballast) -> None:
        raise OSError("read-only")

    monkeypatch.setattr(Ballast, "release", stuck)
    async with opened(path) as journal:
        limit_pages(journal, 1)
        for what in ("halt", "flatten"):
            await journal.append_urgent(draft(what=what, text="x" * 100_000), patience=10)
        await fallback_written(journal)
        assert in_fallback(path) == 2
    assert "not even the ballast gave room" in caplog.text
    assert "the ballast could not be given up" in caplog.text


async def test_no_room_for_the_ballast_at_the_start_still_lets_closings_through(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Ballast) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Ballast, "allocate", full)
    async with opened(path) as journal:
        assert journal.failure is not None
        assert journal.failure.operation == "ballast"
        with pytest.raises(JournalError, match="No space left"):
            await journal.append(draft())
        await journal.append_urgent(draft(what="halt"), patience=10)
        assert journal.last_seq == 1


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system has no posix_fallocate")
def test_a_ballast_that_does_not_fit_leaves_no_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        Ballast(path).allocate()
    assert not path.exists()


def test_the_ballast_takes_real_room_without_posix_fallocate_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    Ballast(path).allocate()
    assert path.stat().st_size == 8 * 1024 * 1024
    assert path.read_bytes().strip(b"\xa5") == b""


def test_a_pragma_that_does_not_take_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    class Stubborn(sqlite3.Connection):
        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            return super().execute(sql.replace("synchronous = FULL", "synchronous = NORMAL"), *rest)

    monkeypatch.setattr(sqlite3, "connect", lambda *args, **named: connect(*args, **named, factory=Stubborn))
    with pytest.raises(SettingRefused, match="synchronous = FULL was asked for"):
        open_writer(path)


def test_the_settings_that_keep_promises_are_in_force(path: Path) -> None:
    connection = open_writer(path)
    in_force = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "wal_autocheckpoint")
    }
    connection.close()
    full = 2
    assert in_force == {"journal_mode": "wal", "synchronous": full, "wal_autocheckpoint": 0}


def test_a_name_that_cannot_be_made_durable_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("engine.journal.database.sync_folder", broken)
    with pytest.raises(JournalError, match=r"open failed: .*Input/output error"):
        asyncio.run(make(path).open())


def test_a_file_that_is_no_journal_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 100)
    with pytest.raises(JournalError, match="not a database"):
        asyncio.run(make(path).open())


def test_a_folder_in_the_journals_place_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(JournalError, match="open failed"):
        asyncio.run(make(path).open())


async def test_a_journal_of_a_newer_version_is_refused(path: Path) -> None:
    async with opened(path) as journal:
        await journal.append(draft())
    change(path, "PRAGMA user_version = 2")
    with pytest.raises(JournalError, match="version 2; this program knows up to 1"):
        await make(path).open()


async def test_a_changed_schema_is_rebuilt_from_the_events(path: Path) -> None:
    async with opened(path) as journal:
        await journal.append(new("a"), raised("a", 1), new("b"))
        await journal.set_value("a", "peak", "1")
    wider = f"{SCHEMA}\nCREATE TABLE other (x INTEGER);\nCREATE VIEW names AS SELECT name FROM counter;"
    change(path, "UPDATE counter SET count = 99")
    async with opened(path, schema=wider) as journal:
        assert sorted(await journal.query("SELECT * FROM counter")) == [("a", 2), ("b", 1)]
        assert await journal.query("SELECT count(*) FROM names") == [(2,)]
        assert await journal.get_values("a") == {"peak": "1"}
    assert verify(path, schema=wider, project=project).ok
    async with opened(path) as journal:
        assert journal.last_seq == 3
        with pytest.raises(sqlite3.OperationalError, match="no such table: names"):
            await journal.query("SELECT * FROM names")
    assert verify(path, schema=SCHEMA, project=project).ok


async def test_a_rebuild_that_meets_a_refusal_changes_nothing_and_says_why(path: Path) -> None:
    async with opened(path) as journal:
        await journal.append(new("a"))
    stricter = SCHEMA.replace("count INTEGER NOT NULL", "count INTEGER NOT NULL CHECK (count > 1)")
    with pytest.raises(JournalError, match=r"could not be rebuilt.*CHECK"):
        await make(path, schema=stricter).open()
    assert verify(path, schema=SCHEMA, project=project).ok


async def test_an_unknown_event_type_is_kept_and_named_when_it_is_read(path: Path) -> None:
    async with opened(path) as journal:
        await journal.append(draft())
    ((seq, time, _, loop, account, metadata, _),) = rows(path, "SELECT * FROM event")
    digest = row_digest("0" * 64, (seq, time, "of_the_past", loop, account, metadata, ""))
    change(
        path,
        f"UPDATE event SET event_type = 'of_the_past', hash = '{digest}'",
        f"UPDATE journal_head SET hash = '{digest}'",
    )
    async with opened(path) as journal:
        assert journal.last_seq == 1
        with pytest.raises(JournalError, match="event 1 has the unknown type 'of_the_past'"):
            await journal.events(0, 10)
        assert journal.failure is None
        assert (await journal.append(draft()))[0].seq == 2
        assert len(await journal.events(1, 10)) == 1
    assert "event 1 cannot be replayed" in verify(path, schema=SCHEMA, project=project).problem


async def test_a_read_error_of_the_disk_stops_appends_too(path: Path) -> None:
    async with opened(path) as journal:
        await journal.append(draft())
        real = journal._connection
        failing = Failing(real, "SELECT", sqlite3.SQLITE_IOERR_READ)
        journal._connection = failing  # type: ignore[assignment]  # stands in for a connection
        with pytest.raises(JournalError, match="read failed: disk I/O error"):
            await journal.events(0, 10)
        with pytest.raises(JournalError, match="read failed"):
            await journal.append(draft())
        journal._connection = real


async def test_the_reader_cannot_write_and_a_wrong_query_is_no_failure(path: Path, threaded: bool) -> None:
    async with opened(path, threaded=threaded) as journal:
        await journal.append(new("a"))
        for wrong in ("DELETE FROM event", "UPDATE counter SET count = 2", "SELECT nothing"):
            with pytest.raises(sqlite3.OperationalError):
                await journal.query(wrong)
        assert journal.failure is None
        await journal.append(draft())


async def test_a_loop_that_ends_without_closing_leaves_no_thread_in_trouble(path: Path) -> None:
    def run() -> None:
        async def use() -> Journal:
            journal = make(path)
            await journal.open()
            await journal.append(draft())
            return journal

        loop = asyncio.new_event_loop()
        journal = loop.run_until_complete(use())
        loop.close()
        journal._writer.submit((Append([], ()), None))
        journal._reader._jobs.put((lambda: None, None))  # type: ignore[union-attr,arg-type]  # a late answer
        journal._writer._thread.join(10)  # type: ignore[union-attr]  # the threaded one
        journal._reader._thread.join(10)  # type: ignore[union-attr]
        journal._store.close()
        journal._connection.close()

    await asyncio.to_thread(run)
    assert verify(path, schema=SCHEMA, project=project).ok


async def test_a_schema_that_takes_the_journals_own_names_is_refused(path: Path) -> None:
    with pytest.raises(JournalError, match="event already exists"):
        await make(path, schema="CREATE TABLE event (x INTEGER);").open()
