import asyncio
import hashlib
import json
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.journal import JournalError, verify
from engine.journal.record import GENESIS
from tests.unit.journal.toy import SCHEMA, change, draft, make, new, opened, project, raised, rows

COLUMNS = ("seq", "time", "event_type", "loop_id", "account", "metadata", "hash")


async def written(path: Path, count: int = 40) -> None:
    async with opened(path, threaded=False) as journal:
        for number in range(count // 2):
            await journal.append(new(f"n{number}"))
            await journal.append(raised(f"n{number}", 1) if number % 3 else draft(text=f"note {number}", value=1.5))


def problem(path: Path) -> str:
    report = verify(path, schema=SCHEMA, project=project)
    assert report.ok == (report.problem == "")
    return report.problem


async def test_a_whole_journal_verifies_beside_the_engine_and_after_it(path: Path) -> None:
    async with opened(path) as journal:
        assert verify(path, schema=SCHEMA, project=project).events == 0
        await journal.append(new("a"), raised("a", 1))
        report = verify(path, schema=SCHEMA, project=project)
        assert (report.ok, report.events, report.problem) == (True, 2, "")
        await journal.append(draft())
    report = verify(path, schema=SCHEMA, project=project)
    assert (report.ok, report.events) == (True, 3)


def test_a_missing_journal_is_named(path: Path) -> None:
    assert problem(path) == f"there is no journal at {path}"
    assert not path.exists()


@given(data=st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_edit_of_one_character_is_detected_and_placed(golden: Path, data: st.DataObject) -> None:
    path = golden.with_name("edited.sqlite")
    shutil.copy(golden, path)
    seq = data.draw(st.integers(1, 40))
    column = data.draw(st.sampled_from(COLUMNS[1:]))
    ((text,),) = rows(path, f"SELECT {column} FROM event WHERE seq = {seq}")
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != text[place]))
    edited = text[:place] + other + text[place + 1 :]
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(f"UPDATE event SET {column} = ? WHERE seq = ?", (edited, seq))
    connection.close()
    assert problem(path).startswith(f"event {seq} was changed")


@pytest.mark.parametrize("seq", [1, 2, 20, 39, 40])
def test_a_deleted_event_is_detected(golden: Path, path: Path, seq: int) -> None:
    shutil.copy(golden, path)
    change(path, f"DELETE FROM event WHERE seq = {seq}")
    assert problem(path).startswith(f"event {seq} is missing")


@pytest.mark.parametrize("seq", [1, 20, 40])
def test_a_deletion_closed_by_renumbering_is_detected(golden: Path, path: Path, seq: int) -> None:
    shutil.copy(golden, path)
    change(
        path,
        f"DELETE FROM event WHERE seq = {seq}",
        f"UPDATE event SET seq = seq - 1 WHERE seq > {seq}",
    )
    place = seq if seq < 40 else 40
    assert problem(path).startswith((f"event {place} was changed", f"event {place} is missing"))


def test_any_swap_of_two_events_is_detected(golden: Path, path: Path) -> None:
    draws = random.Random(7)
    for _ in range(50):
        first, second = sorted(draws.sample(range(1, 41), 2))
        shutil.copy(golden, path)
        change(
            path,
            f"UPDATE event SET seq = 1000 WHERE seq = {first}",
            f"UPDATE event SET seq = {first} WHERE seq = {second}",
            f"UPDATE event SET seq = {second} WHERE seq = 1000",
        )
        assert problem(path).startswith(f"event {first} was changed")


@pytest.mark.parametrize("seq", [-5, 0, 41])
def test_an_added_event_is_detected(golden: Path, path: Path, seq: int) -> None:
    shutil.copy(golden, path)
    change(
        path,
        f"INSERT INTO event SELECT {seq}, time, event_type, loop_id, account, metadata, hash FROM event WHERE seq = 1",
    )
    assert problem(path) != ""


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE counter SET count = 9 WHERE name = 'n3'",
        "DELETE FROM counter WHERE name = 'n3'",
        "INSERT INTO counter VALUES ('extra', 1)",
        "UPDATE counter SET name = 'N3' WHERE name = 'n3'",
    ],
)
def test_a_state_table_that_the_events_do_not_explain_is_named(golden: Path, path: Path, tampering: str) -> None:
    shutil.copy(golden, path)
    change(path, tampering)
    assert problem(path).startswith("table counter differs from what the events say")


def test_a_byte_changed_anywhere_in_the_file_is_detected_or_changes_nothing(golden: Path, path: Path) -> None:
    draws = random.Random(11)
    content = golden.read_bytes()
    everything = "SELECT * FROM event ORDER BY seq", "SELECT * FROM counter ORDER BY name"
    original = [rows(golden, sql) for sql in everything]
    detected = 0
    for _ in range(400):
        place = draws.randrange(len(content))
        changed = bytearray(content)
        changed[place] ^= 1 << draws.randrange(8)
        path.write_bytes(changed)
        if problem(path):
            detected += 1
        else:
            assert [rows(path, sql) for sql in everything] == original, f"byte {place}"
    assert detected > 20


def test_an_event_that_this_version_cannot_replay_is_named(golden: Path, path: Path) -> None:
    shutil.copy(golden, path)

    def refusing(event: object) -> list[object]:
        raise KeyError("what it needs")

    report = verify(path, schema=SCHEMA, project=refusing)  # type: ignore[arg-type]  # a projection with a bug
    assert report.problem.startswith("event 1 cannot be replayed: 'what it needs'")


@pytest.mark.parametrize(
    ("tampering", "words"),
    [
        ("UPDATE event SET metadata = '{}' WHERE seq = 39", "event 39 was changed"),
        ("DELETE FROM event WHERE seq = 40", "the journal ends at event 39; 40 was committed"),
        ("DELETE FROM event WHERE seq = 30", "event 30 is missing"),
        ("UPDATE journal_head SET hash = ''", "the journal ends at event 40; 40 was committed"),
    ],
)
async def test_a_broken_tail_keeps_the_journal_from_opening(
    golden: Path, path: Path, tampering: str, words: str
) -> None:
    shutil.copy(golden, path)
    change(path, tampering)
    with pytest.raises(JournalError, match=words):
        await make(path).open()


async def test_the_tail_check_starts_from_the_event_before_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.journal.store.TAIL", 10)
    await written(path)
    async with opened(path) as journal:
        assert journal.last_seq == 40
    change(path, "UPDATE event SET metadata = '{}' WHERE seq = 31")
    with pytest.raises(JournalError, match="event 31 was changed"):
        await make(path).open()
    change(path, "DELETE FROM event WHERE seq = 30")
    with pytest.raises(JournalError, match="event 30 is missing"):
        await make(path).open()


async def test_the_chain_can_be_recomputed_from_its_definition_alone(path: Path) -> None:

    await written(path)
    previous = GENESIS
    for row in rows(path, "SELECT * FROM event ORDER BY seq"):
        fields = dict(zip(COLUMNS, row, strict=True))
        stored = fields.pop("hash")
        fields["metadata"] = json.loads(fields["metadata"])
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256((previous + text).encode()).hexdigest()
        assert previous == stored


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good journal of 40 events, to be copied and broken."""
    path = tmp_path_factory.mktemp("golden") / "journal.sqlite"
    asyncio.run(written(path))
    return path
