import asyncio
from pathlib import Path

import pytest

from tests.unit.journal.toy import draft, new, opened


async def test_a_window_of_events_goes_by_sequence(path: Path, threaded: bool) -> None:
    async with opened(path, threaded=threaded) as journal:
        await journal.append(*(draft(number=number) for number in range(10)))
        assert [event.seq for event in await journal.events(0, 3)] == [1, 2, 3]
        assert [event.seq for event in await journal.events(7, 100)] == [8, 9, 10]
        assert await journal.events(10, 5) == []
        assert await journal.events(3, 0) == []


async def test_matches_finds_type_and_metadata_in_either_case(path: Path, threaded: bool) -> None:
    async with opened(path, threaded=threaded) as journal:
        await journal.append(
            new("EURUSD"),
            draft(said="100% of a_b"),
            draft(path="C:\\mt5", quote='"no"'),
            draft(said="über 1000 ofXaYb"),
        )
        found = {
            "eurusd": [1],
            "SIGNAL_REC": [1],
            "heartbeat": [2, 3, 4],
            "100%": [2],
            "a_b": [2],
            "C:\\mt5": [3],
            '"no"': [3],
            '"said":': [2, 4],
            "über": [4],
            "absent": [],
            "'; DROP TABLE event": [],
        }
        for text, seqs in found.items():
            assert await journal.matches(text, 10) == seqs, text
        assert await journal.matches("heartbeat", 2) == [3, 4]
        assert await journal.matches("", 2) == [3, 4]


async def test_matches_looks_through_all_windows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.journal.journal._SEARCH_WINDOW", 7)
    async with opened(path) as journal:
        await journal.append(*(draft(kind="odd" if number % 2 else "even") for number in range(1, 51)))
        assert await journal.matches("odd", 100) == list(range(1, 51, 2))
        assert await journal.matches("odd", 5) == [41, 43, 45, 47, 49]


async def test_a_long_read_delays_no_commit_and_ends_with_the_journal(path: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    async with opened(path) as journal:
        reading = asyncio.create_task(journal.query(endless))
        await asyncio.sleep(0)
        for number in range(20):
            await journal.append(draft(number=number))
        assert not reading.done()
    with pytest.raises(Exception, match="interrupted"):
        await reading
