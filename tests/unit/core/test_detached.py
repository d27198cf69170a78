"""What a process that is started apart inherits, and what it leaves to be read."""

import sys
from pathlib import Path

import pytest

from engine.control.caller import TOKEN_VARIABLE
from engine.detached import last_lines, launch


def test_it_inherits_all_but_the_token_of_whoever_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "canary")
    monkeypatch.setenv("QUARTERDECK_HOME", "/home/of/it")
    log = tmp_path / "engine.log"
    log.write_text("words of an earlier one\n")
    process, begins = launch((sys.executable, "-c", "import os; print(sorted(os.environ.items()))"), log)
    assert process.wait(30) == 0
    printed = log.read_text()
    assert "/home/of/it" in printed
    assert "canary" not in printed
    assert "earlier" not in last_lines(log, begins)
