import asyncio
import math
import os
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from engine.events import Draft, Event, EventType
from engine.journal import Conflict, JournalError, verify
from tests.unit.journal.toy import ACCOUNT, SCHEMA, START, draft, make, new, open_to_all, opened, project, raised, rows


async def test_an_appended_group_is_numbered_in_order_and_read_back_as_it_was_returned(
    path: Path, threaded: bool
) -> None:
    async with opened(path, threaded=threaded) as journal:
        events = await journal.append(new("a"), draft(note="x"), raised("a", 1))
        assert [event.seq for event in events] == [1, 2, 3]
        assert await journal.events(0, 10) == events
        assert journal.last_seq == 3
        assert events[0].timestamp == START
        assert events[0].account == ACCOUNT
        assert await journal.query("SELECT * FROM counter") == [("a", 2)]


async def test_what_an_append_returned_is_visible_to_any_other_program(path: Path) -> None:
    async with opened(path) as journal:
        await journal.append(draft())
        assert rows(path, "SELECT seq FROM event") == [(1,)]


async def test_appending_nothing_writes_nothing(path: Path, threaded: bool) -> None:
    async with opened(path, threaded=threaded) as journal:
        assert await journal.append() == []
        await journal.append_urgent()
        assert journal.last_seq == 0


async def test_metadata_comes_back_exactly(path: Path, threaded: bool) -> None:
    metadata: dict[str, Any] = {
        "controls": "".join(map(chr, range(32))) + "\x7f\x85\u2028",
        "text": 'quote " slash \\ é 漢 🚢',
        "numbers": [0.1, -0.0, 1e308, 5e-324, 2**70, -1],
        "nested": {"b": None, "a": [True, False, {}]},
        "": "",
    }
    async with opened(path, threaded=threaded) as journal:
        (event,) = await journal.append(Draft(EventType.HEARTBEAT, START, "L\x001", MappingProxyType(metadata), "é"))
    async with opened(path, threaded=threaded) as journal:
        (read,) = await journal.events(0, 1)
        assert read == event
        assert read.metadata == metadata
        assert math.copysign(1, read.metadata["numbers"][1]) == -1
        assert (read.loop_id, read.account) == ("L\x001", "é")


async def test_projections_see_metadata_as_a_replay_will(path: Path) -> None:
    async with opened(path) as journal:
        (event,) = await journal.append(draft(pair=(1, 2), kind=EventType.COMMAND))
        assert event.metadata == {"pair": [1, 2], "kind": "command"}
        assert type(event.metadata["kind"]) is str


@pytest.mark.parametrize(
    "bad",
    [
        draft(value=math.nan),
        draft(value=[math.inf]),
        draft(value=object()),
        draft(value="\ud800"),
        Draft(EventType.HEARTBEAT, START.replace(tzinfo=None), "L1"),
    ],
    ids=["nan", "infinity", "object", "surrogate", "no time zone"],
)
async def test_what_cannot_be_recorded_exactly_is_refused_before_anything_is_written(path: Path, bad: Draft) -> None:
    async with opened(path) as journal:
        with pytest.raises((ValueError, TypeError)):
            await journal.append(draft(), bad)
        with pytest.raises((ValueError, TypeError)):
            await journal.append_urgent(draft(), bad)
        assert [event.seq for event in await journal.append(draft())] == [1]
        assert journal.failure is None


async def test_a_conflict_leaves_no_trace_while_its_neighbours_commit(path: Path, threaded: bool) -> None:
    async with opened(path, threaded=threaded) as journal:
        await journal.append(new("a"))
        stale = raised("a", 7)
        first, second, third, fourth = await asyncio.gather(
            journal.append(new("b")),
            journal.append(draft(), raised("a", 1), stale, new("c")),
            journal.append(raised("a", 1)),
            journal.append(new("b")),
            return_exceptions=True,
        )
        assert isinstance(second, Conflict)
        assert second.draft is stale
        assert second.statement.expect == 1
        assert "0 rows instead of 1" in str(second)
        assert isinstance(fourth, Conflict)
        assert "UNIQUE" in str(fourth)
        assert isinstance(first, list)
        assert isinstance(third, list)
        assert [first[0].seq, third[0].seq] == [2, 3]
        assert sorted(await journal.query("SELECT * FROM counter")) == [("a", 2), ("b", 1)]
        assert journal.last_seq == 3
        assert journal.failure is None
    assert verify(path, schema=SCHEMA, project=project).ok


async def test_a_bug_in_a_projection_is_told_to_its_appender_and_hurts_no_neighbour(path: Path, threaded: bool) -> None:
    async with opened(path, threaded=threaded) as journal:
        good, bad, other = await asyncio.gather(
            journal.append(new("a")),
            journal.append(draft(EventType.SIGNAL_APPROVED, nothing=1)),
            journal.append(draft(EventType.SIGNAL_RECEIVED, name=["not a parameter"])),
            return_exceptions=True,
        )
        assert isinstance(good, list)
        assert isinstance(bad, KeyError)
        assert isinstance(other, Exception)
        assert journal.failure is None
        assert (await journal.append(draft()))[0].seq == 2


async def test_subscribers_hear_every_event_in_order_before_its_append_returns(path: Path, threaded: bool) -> None:
    heard: list[int] = []
    async with opened(path, threaded=threaded) as journal:
        journal.subscribe(lambda event: heard.append(event.seq))

        async def one(number: int) -> None:
            (event,) = await journal.append(draft(number=number))
            assert event.seq in heard
            assert journal.last_seq >= event.seq

        await asyncio.gather(*(one(number) for number in range(50)))
    assert heard == list(range(1, 51))


async def test_a_failing_subscriber_is_reported_and_the_others_still_hear(path: Path) -> None:
    heard: list[int] = []
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))

    def broken(event: Event) -> None:
        raise RuntimeError("a bug")

    async with opened(path) as journal:
        journal.subscribe(broken)
        journal.subscribe(lambda event: heard.append(event.seq))
        await journal.append(draft(), draft())
    assert heard == [1, 2]
    assert len(reports) == 2
    assert "event 1" in reports[0]["message"]


async def test_a_cancelled_append_still_takes_its_place(path: Path) -> None:
    async with opened(path) as journal:
        task = asyncio.create_task(journal.append(draft(first=1)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await journal.append(draft()))[0].seq == 2


async def test_threaded_and_inline_write_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for threaded in (True, False):
        path = tmp_path / str(threaded) / "journal.sqlite"
        async with opened(path, threaded=threaded) as journal:
            for number in range(300):
                await journal.append(new(f"n{number}"), draft(number=number, text="x" * number))
            with pytest.raises(Conflict):
                await journal.append(new("n1"))
            await journal.append_urgent(raised("n1", 1))
            await journal.set_value(ACCOUNT, "peak", "1")
        files.append(path.read_bytes())
    assert files[0] == files[1]


async def test_values_are_durable_and_kept_by_account(path: Path, threaded: bool) -> None:
    async with opened(path, threaded=threaded) as journal:
        await journal.set_value(ACCOUNT, "peak", "1")
        await journal.set_value(ACCOUNT, "peak", "2.5")
        await journal.set_value("other", "peak", "9")
        assert rows(path, "SELECT value FROM journal_value ORDER BY account") == [("2.5",), ("9",)]
    async with opened(path, threaded=threaded) as journal:
        assert await journal.get_values(ACCOUNT) == {"peak": "2.5"}
        assert await journal.get_values("unknown") == {}
        with pytest.raises(ValueError, match="surrogates"):
            await journal.set_value(ACCOUNT, "peak", "\ud800")


async def test_a_value_and_the_events_that_go_with_it_are_both_there_or_neither(path: Path, threaded: bool) -> None:
    async with opened(path, threaded=threaded) as journal:
        await journal.set_value(ACCOUNT, "peak", "1", new("n1"), draft())
        assert journal.last_seq == 2
        with pytest.raises(Conflict):
            await journal.set_value(ACCOUNT, "peak", "2", draft(), new("n1"))
        assert journal.last_seq == 2
        assert await journal.get_values(ACCOUNT) == {"peak": "1"}


async def test_a_closed_journal_refuses_and_says_so(path: Path, threaded: bool) -> None:
    journal = make(path, threaded=threaded)
    with pytest.raises(JournalError, match="not open"):
        await journal.append(draft())
    await journal.open()
    await journal.close()
    await journal.close()
    journal.record_equity(ACCOUNT, 1, 1, 1, 1)
    for refused in (journal.append(draft()), journal.append_urgent(draft()), journal.events(0, 1)):
        with pytest.raises(JournalError, match="not open"):
            await refused
    assert not path.with_name("journal.sqlite-wal").exists()


@pytest.mark.skipif(os.name != "posix", reason="file modes are of POSIX")
async def test_the_files_are_the_owners_alone(path: Path) -> None:
    open_to_all(path)
    async with opened(path) as journal:
        await journal.append(draft())
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert set(modes) == {"journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "journal.ballast"}
    assert set(modes.values()) == {0o600}
