import asyncio
import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest

from engine.journal import Conflict, verify
from engine.journal.store import Store
from tests.unit.journal.toy import (
    SCHEMA,
    crashed,
    draft,
    fallback,
    fallback_written,
    held_up,
    make,
    merges,
    new,
    opened,
    project,
    raised,
    rows,
    texts,
)


async def test_an_urgent_append_is_a_normal_one_while_the_disk_keeps_up(path: Path, threaded: bool) -> None:
    async with opened(path, threaded=threaded) as journal:
        await journal.append_urgent(new("a"), raised("a", 1), patience=10)
        assert journal.last_seq == 2
        await fallback_written(journal)
        assert not fallback(path).exists()


async def test_an_urgent_append_returns_while_the_writer_is_held_up(path: Path) -> None:
    async with opened(path) as journal:
        with held_up(path):
            await journal.append_urgent(draft(what="halt"))
            assert journal.last_seq == 0
            await fallback_written(journal)
            assert b"halt" in fallback(path).read_bytes()
        assert journal.failure is None


async def test_an_urgent_append_waits_50_ms_for_its_commit_and_no_longer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def noted(delay: float, *rest: Any) -> asyncio.TimerHandle:
        waits.append(delay)
        return call_later(delay, *rest)

    async with opened(path) as journal:
        with held_up(path):
            monkeypatch.setattr(loop, "call_later", noted)
            await journal.append_urgent(draft(what="halt"))
            assert waits == [0.05]
            assert journal.last_seq == 0
            monkeypatch.undo()


async def test_a_late_commit_that_succeeded_is_not_merged_again(path: Path) -> None:
    heard: list[int] = []
    async with opened(path) as journal:
        journal.subscribe(lambda event: heard.append(event.seq))
        with held_up(path):
            await journal.append_urgent(draft(what="halt"))
        await journal.append(draft(what="later"))
        assert heard == [1, 2]
        await fallback_written(journal)
        assert fallback(path).exists()
    async with opened(path) as journal:
        assert journal.last_seq == 2
        assert not fallback(path).exists()
    assert [metadata for _, metadata in texts(path)] == ['{"what":"halt"}', '{"what":"later"}']


async def test_a_commit_that_a_crash_prevented_is_merged_once(path: Path, tmp_path: Path) -> None:
    async with opened(path) as journal:
        await journal.append(new("a"))
        with held_up(path):
            await journal.append_urgent(draft(what="flatten", second=3), raised("a", 1))
            await journal.append_urgent(draft(what="halt"))
            await fallback_written(journal)
            after = crashed(path, tmp_path / "after")
    async with opened(after) as journal:
        events = await journal.events(1, 10)
        assert [event.metadata.get("what") for event in events] == ["flatten", None, "halt", None]
        assert events[0].timestamp.second == 3
        assert await merges(journal) == [{"merged": [2, 3, 4], "refused": [], "damaged": 0, "already": 0}]
        assert await journal.query("SELECT * FROM counter") == [("a", 2)]
        assert not fallback(after).exists()
    async with opened(after) as journal:
        assert journal.last_seq == 5
    assert verify(after, schema=SCHEMA, project=project).ok


async def test_a_crash_between_merging_and_removing_the_file_merges_nothing_twice(path: Path, tmp_path: Path) -> None:
    async with opened(path) as journal:
        await journal.append(new("a"))
        with held_up(path):
            await journal.append_urgent(draft(what="halt"))
            await journal.append_urgent(new("a"))
            await fallback_written(journal)
            after = crashed(path, tmp_path / "after")
    kept = fallback(after).read_bytes()
    for _ in range(3):
        fallback(after).write_bytes(kept)
        async with opened(after) as journal:
            assert journal.last_seq == 3
            assert len(await merges(journal)) == 1


async def test_what_the_state_refuses_at_the_merge_is_recorded_with_the_reason(path: Path, tmp_path: Path) -> None:
    async with opened(path) as journal:
        await journal.append(new("a"))
        with held_up(path):
            await journal.append_urgent(new("a"))
            await fallback_written(journal)
            after = crashed(path, tmp_path / "after")
    async with opened(after) as journal:
        (merge,) = await merges(journal)
        assert merge["merged"] == []
        (refused,) = merge["refused"]
        assert "UNIQUE" in refused["why"]
        assert refused["drafts"][0][1] == "signal_received"
        assert '"name":"a"' in refused["drafts"][0][4]


async def test_a_damaged_line_is_counted_and_its_file_kept(path: Path, tmp_path: Path) -> None:
    async with opened(path) as journal:
        with held_up(path):
            await journal.append_urgent(draft(what="one"))
            await journal.append_urgent(draft(what="two"))
            await fallback_written(journal)
            after = crashed(path, tmp_path / "after")
    torn = fallback(after).read_bytes()[:-20]
    fallback(after).write_bytes(torn)
    async with opened(after) as journal:
        assert await merges(journal) == [{"merged": [1], "refused": [], "damaged": 1, "already": 0}]
    assert after.with_name("journal.fallback.damaged-2").read_bytes() == torn
    fallback(after).write_bytes(b"nothing of ours\n")
    async with opened(after) as journal:
        assert (await merges(journal))[1] == {"merged": [], "refused": [], "damaged": 1, "already": 0}
    assert not fallback(after).exists()


async def test_a_fallback_record_of_another_version_keeps_no_engine_from_starting(path: Path) -> None:
    body = b'{"drafts":[["2026-03-02T08:00:00.000000Z","of_the_future","L1","a","{}"]],"id":"0-1"}'
    line = b"\n" + hashlib.sha256(body).hexdigest().encode() + b" " + body + b"\n"
    fallback(path).write_bytes(line)
    async with opened(path) as journal:
        assert (await merges(journal))[0]["damaged"] == 1
    assert path.with_name("journal.fallback.damaged-1").read_bytes() == line


async def test_a_refusal_in_time_is_raised_and_a_late_one_is_logged(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(path) as journal:
        await journal.append(new("a"))
        with pytest.raises(Conflict):
            await journal.append_urgent(new("a"), patience=10)
        with held_up(path):
            await journal.append_urgent(new("a"))
        await journal.append(draft())
    assert "late urgent append was not written" in caplog.text
    assert "UNIQUE" in caplog.text


async def test_when_even_the_fallback_fails_the_log_holds_the_record(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(path) as journal:
        fallback(path).mkdir()
        with held_up(path), caplog.at_level(logging.ERROR):
            await journal.append_urgent(draft(what="halt"))
            await fallback_written(journal)
            await asyncio.sleep(0)
        assert '{"what":"halt"}' in caplog.text
        fallback(path).rmdir()


async def test_urgent_ids_never_repeat_across_restarts(path: Path) -> None:
    for _ in range(3):
        async with opened(path) as journal:
            await journal.append_urgent(draft(), patience=10)
            await journal.append_urgent(draft(), patience=10)
    ids = rows(path, "SELECT id FROM journal_urgent")
    assert len(set(ids)) == 6


async def test_what_a_full_disk_kept_from_being_merged_is_merged_once_beside_what_came_since(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as journal:
        with pytest.raises(Conflict):  # takes the first number and leaves nothing
            await journal.append_urgent(raised("nobody", 1), patience=10)
        with held_up(path):
            await journal.append_urgent(draft(what="halt"))
            await fallback_written(journal)
            after = crashed(path, tmp_path / "after")
    with monkeypatch.context() as patch:
        patch.setattr(Store, "_transact", no_disk)
        async with opened(after) as journal:
            assert journal.failure is not None
            await journal.append_urgent(draft(what="flatten"), patience=10)
            await journal.append_urgent(draft(what="close"), patience=10)
            await fallback_written(journal)
    async with opened(after) as journal:
        assert await merges(journal) == [{"merged": [1, 2, 3], "refused": [], "damaged": 0, "already": 0}]
        assert [event.metadata.get("what") for event in await journal.events(0, 3)] == ["halt", "flatten", "close"]


def no_disk(*_: object) -> None:
    raise OSError("no disk today")


async def test_a_record_that_follows_a_torn_one_is_not_torn_with_it(path: Path, tmp_path: Path) -> None:
    async with opened(path) as journal:
        with held_up(path):
            await journal.append_urgent(draft(what="one"))
            await fallback_written(journal)
            fallback(path).write_bytes(fallback(path).read_bytes()[:-20])
            await journal.append_urgent(draft(what="two"))
            await fallback_written(journal)
            after = crashed(path, tmp_path / "after")
    async with opened(after) as journal:
        assert await merges(journal) == [{"merged": [1], "refused": [], "damaged": 1, "already": 0}]
        assert (await journal.events(0, 1))[0].metadata == {"what": "two"}


async def test_readings_and_values_reach_the_disk_after_a_hold_up(path: Path) -> None:
    async with opened(path) as journal:
        with held_up(path):
            journal.record_equity("a", 60, 1, 3, 2)
            waiting = asyncio.create_task(journal.set_value("a", "peak", "3"))
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting
        assert len(await journal.equity("a", None, None, 5)) == 1


async def test_a_journal_that_was_never_closed_opens_again(path: Path) -> None:
    first = make(path, threaded=False)
    await first.open()
    await first.append(new("a"))
    async with opened(path) as journal:
        assert journal.last_seq == 1
    await first.close()
