"""`quarterdeck close`: what it sends, what it waits for, and how it ends."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from console import cli
from engine.control.messages import (
    CancelClose,
    Close,
    LosersScope,
    PositionScope,
    SourceScope,
    SymbolScope,
    WinnersScope,
)
from tests.unit.control.fake import FakeEngine, closing, position

Run = Any
STATEMENT = "closed, confirmed by the broker at 14:03:22 UTC"


@pytest.fixture
def run(state: Path) -> Run:
    def _run(*arguments: str) -> Result:
        return CliRunner().invoke(cli.app, list(arguments))

    return _run


@pytest.mark.parametrize(
    ("options", "scope"),
    [
        (["--symbol", "EURUSD"], SymbolScope(symbol="EURUSD")),
        (["--source", "alpha"], SourceScope(source="alpha")),
        (["--losers"], LosersScope()),
        (["--winners"], WinnersScope()),
        (["--position", "1001"], PositionScope(position=1001, seen_volume=0.1)),
        (["--position", "1001", "--volume", "0.05"], PositionScope(position=1001, seen_volume=0.1, volume=0.05)),
    ],
)
def test_each_scope_is_sent_and_waits_for_its_statement(
    run: Run, engine: FakeEngine, options: list[str], scope: Any
) -> None:
    engine.positions = [position()]
    engine.data = {"closing": "C1"}
    engine.closings = [closing("DONE", id="C0", statement="another one"), closing("DONE", statement=STATEMENT)]
    result = run("close", *options, "--yes", "--reason", "news")
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith(f"close done\n{STATEMENT}\n")
    assert [(command.action, command.reason) for command, _ in engine.executed] == [(Close(scope=scope), "news")]


def test_one_that_is_not_done_in_time_exits_3_with_what_is_left(run: Run, engine: FakeEngine) -> None:
    engine.data = {"closing": "C1"}
    engine.closings = [closing("DEFERRED", remaining=["position 5 EURUSD: 2 tries, last: 10018 market closed\x1b[2J"])]
    result = run("close", "--symbol", "EURUSD", "--yes", "--timeout", "0.3")
    assert result.exit_code == 3
    assert "not closed after 0.3 s; the engine goes on. Left:" in result.stdout
    assert "  position 5 EURUSD: 2 tries, last: 10018 market closed" in result.stdout
    assert "\x1b" not in result.stdout


def test_one_that_is_cancelled_exits_3_with_its_statement(run: Run, engine: FakeEngine) -> None:
    engine.data = {"closing": "C1"}
    engine.closings = [closing("CANCELLED", statement="superseded by flatten F1 of the whole account")]
    result = run("close", "--losers", "--yes")
    assert result.exit_code == 3
    assert "superseded by flatten F1" in result.stdout


def test_it_waits_until_the_close_has_ended(run: Run, engine: FakeEngine) -> None:
    engine.data = {"closing": "C1"}
    engine.closings = [closing("RUNNING")]

    def finish() -> None:
        while not engine.snapshots:
            time.sleep(0.01)
        engine.closings = [closing("DONE", statement=STATEMENT)]

    finishing = threading.Thread(target=finish)
    finishing.start()
    result = run("close", "--symbol", "EURUSD", "--yes")
    finishing.join()
    assert result.exit_code == 0
    assert STATEMENT in result.stdout


def test_one_that_is_refused_exits_1(run: Run, engine: FakeEngine) -> None:
    engine.refusal = "nothing to close: everything of EURUSD"
    result = run("close", "--symbol", "EURUSD", "--yes")
    assert result.exit_code == 1
    assert "refused: nothing to close" in result.stderr


def test_a_position_that_is_not_open_is_not_asked_for(run: Run, engine: FakeEngine) -> None:
    result = run("close", "--position", "7", "--yes")
    assert result.exit_code == 1
    assert "position 7 is not open" in result.stderr
    assert engine.executed == []


def test_without_a_terminal_it_needs_yes(run: Run, engine: FakeEngine) -> None:
    result = run("close", "--winners")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert engine.executed == []


def test_cancelling_sends_the_id_and_the_reason(run: Run, engine: FakeEngine) -> None:
    result = run("close", "cancel", "C1", "--reason", "open until Monday")
    assert result.exit_code == 0
    sent = [(command.action, command.reason) for command, _ in engine.executed]
    assert sent == [(CancelClose(id="C1"), "open until Monday")]


def test_status_shows_what_is_being_closed(run: Run, engine: FakeEngine) -> None:
    engine.closings = [closing("DONE", id="C0"), closing("DEFERRED", remaining=["position 5: 10018"])]
    text = run("status").stdout
    assert "C1  DEFERRED  position 5: 10018  (everything of EURUSD)" in text
    assert "C0" not in text
