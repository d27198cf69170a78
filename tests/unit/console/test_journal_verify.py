import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from typer.testing import CliRunner

from console import cli
from engine.events import Draft, EventType
from engine.journal import Journal
from engine.projection import SCHEMA, project


async def _written(path: Path) -> None:
    journal = Journal(path, schema=SCHEMA, project=project)
    await journal.open()
    for number in range(5):
        await journal.append(Draft(EventType.LOOP_STARTED, datetime(2026, 3, 2, tzinfo=UTC), "loop", {"n": number}))
    await journal.close()


async def test_whole_journal_is_ok_and_a_changed_one_is_not(state: Path) -> None:
    path = state / "journal.db"
    await _written(path)
    result = CliRunner().invoke(cli.app, ["journal", "verify"])
    assert (result.exit_code, result.stdout) == (0, "5 events: ok\n")
    changed = sqlite3.connect(path)
    triggers = [row[0] for row in changed.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    for trigger in triggers:
        changed.execute(f'DROP TRIGGER "{trigger}"')
    changed.execute("UPDATE event SET loop_id = 'other' WHERE seq = 3")
    changed.commit()
    changed.close()
    result = CliRunner().invoke(cli.app, ["journal", "verify"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "3" in result.stderr


def test_no_journal_is_a_sentence(state: Path) -> None:
    result = CliRunner().invoke(cli.app, ["journal", "verify"])
    assert result.exit_code == 1
    assert "no journal at" in result.stderr
