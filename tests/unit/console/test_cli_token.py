import json
from pathlib import Path

import pytest

from engine.control.tokens import TokenBook
from tests.unit.console.conftest import Run
from tests.unit.control.fake import FakeEngine


def test_a_token_is_printed_once_listed_by_name_and_removed(run: Run, state: Path) -> None:
    added = run("token", "add", "dora", "--role", "operator")
    assert added.exit_code == 0
    token = added.stdout.strip()
    found = TokenBook(state).find(token)
    assert found is not None
    assert (found.name, found.role) == ("dora", "operator")
    listed = run("token", "list")
    assert listed.stdout.split() == ["operator", "dora"]
    assert token not in listed.stdout
    assert json.loads(run("token", "list", "--json").stdout) == [{"name": "dora", "role": "operator"}]
    again = run("token", "add", "dora", "--role", "viewer")
    assert (again.exit_code, "already" in again.stderr) == (1, True)
    assert run("token", "remove", "dora").exit_code == 0
    gone = run("token", "remove", "dora")
    assert (gone.exit_code, "no token of the name" in gone.stderr) == (1, True)
    assert run("token", "add", "a b", "--role", "viewer").exit_code == 2
    assert run("token", "add", "dora", "--role", "admin").exit_code == 2


def test_the_environment_s_token_names_who_acts(
    run: Run, state: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.5 51234 10.0.0.1 22")
    monkeypatch.setenv("QUARTERDECK_TOKEN", TokenBook(state).add("dora", "operator"))
    assert run("pause").exit_code == 0
    assert engine.executed[0][1].who()["via"] == "ssh 10.0.0.5 port 51234"
    monkeypatch.setenv("QUARTERDECK_TOKEN", "x" * 43)
    refused = run("pause")
    assert refused.exit_code == 1
    assert "the token is not valid" in refused.stderr
    assert len(engine.executed) == 1


def test_read_only_looks_and_does_not_act(run: Run, engine: FakeEngine) -> None:
    assert run("--read-only", "status").exit_code == 0
    refused = run("--read-only", "pause")
    assert refused.exit_code == 1
    assert "you are a viewer" in refused.stderr
    assert engine.executed == []


def test_another_user_s_socket_is_spoken_to_and_never_starts_an_engine(
    run: Run, state: Path, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = str(state / "control.sock")
    assert run("--profile", "elsewhere", "--socket", named, "pause").exit_code == 0
    monkeypatch.setenv("QUARTERDECK_SOCKET", str(tmp_path / "nobody.sock"))
    missing = run("pause")
    assert missing.exit_code == 4
    assert "nobody.sock" in missing.stderr
    own = (["engine"], ["journal", "verify"], ["token", "list"], ["watchdog"], ["flatten", "--direct", "--yes"])
    for words in own:
        refused = run(*words)
        assert refused.exit_code == 2, words
        assert "your own profile" in " ".join(refused.stderr.split())


def test_what_only_looks_flattens_nothing_directly(run: Run, state: Path) -> None:
    refused = run("--read-only", "flatten", "--direct", "--yes")
    assert refused.exit_code == 2
    assert "--read-only" in refused.stderr
    assert list(state.iterdir()) == []


def test_a_variable_that_holds_no_token_is_said_before_any_screen_opens(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERDECK_TOKEN", "two words")
    for words in ([], ["status"]):
        refused = run(*words)
        assert refused.exit_code == 1
        assert "QUARTERDECK_TOKEN: it is no token" in refused.stderr
        assert "two words" not in refused.output
