"""Who operates: another user of the machine, and what happens when a real console is killed."""

import json
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import OpenHouse, OpenScreen
from tests.e2e.house import PATIENCE_SECONDS, QUICK, House

_USER = f"qd-test-{os.getpid()}"
PAUSE = {"id": "another-user-1", "action": {"kind": "pause"}}


@pytest.fixture
def another_user() -> Iterator[str]:
    """A second user of this machine, made for the test."""
    if os.getuid() != 0 or shutil.which("useradd") is None or shutil.which("curl") is None:
        pytest.skip("a second user needs root, useradd and curl")
    subprocess.run(["useradd", "--no-create-home", "--shell", "/bin/sh", _USER], check=True, capture_output=True)
    try:
        yield _USER
    finally:
        subprocess.run(["userdel", _USER], check=True, capture_output=True)


def ask_as(user: str, socket: Path, path: str, *options: str) -> tuple[int, int, Any]:
    """One request by curl as that user: curl's exit code, the HTTP status, the body."""
    entry = pwd.getpwnam(user)
    done = subprocess.run(
        [
            "curl",
            "--silent",
            "--write-out",
            "\n%{http_code}",
            "--unix-socket",
            str(socket),
            *options,
            f"http://qd{path}",
        ],
        user=entry.pw_uid,
        group=entry.pw_gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    body, _, status = done.stdout.rpartition("\n")
    return done.returncode, int(status), json.loads(body) if body else None


def test_another_user_is_kept_out_of_the_own_socket_and_looks_at_the_shared_one(
    another_user: str, open_house: OpenHouse, tmp_path: Path
) -> None:
    desk = Path(f"/run/{_USER}")
    desk.mkdir(mode=0o755)
    try:
        shared = desk / "desk.sock"
        house = open_house(
            **QUICK,
            QUARTERDECK_CONTROL__SHARED_SOCKET=str(shared),
            QUARTERDECK_CONTROL__USERS=json.dumps({another_user: "viewer"}),
        )
        house.engine()
        own = house.state / "control.sock"
        code, status, _ = ask_as(another_user, own, "/v1/snapshot")
        assert (code != 0, status) == (True, 0)
        assert ask_as(another_user, shared, "/v1/snapshot")[2]["engine"]["mode"] == "RUNNING"
        posted = ("--data", json.dumps(PAUSE))
        _, status, problem = ask_as(another_user, shared, "/v1/commands", *posted)
        assert status == 403
        assert problem["error"].startswith(f"you are a viewer, {another_user}")
        # A token makes an operator of the same user, and its removal a viewer's refusal again.
        token = house.done("token", "add", "dora", "--role", "operator").strip()
        bearer = ("--header", f"Authorization: Bearer {token}")
        assert ask_as(another_user, shared, "/v1/commands", *posted, *bearer)[1] == 200
        (paused,) = house.events("mode_changed")
        assert paused["metadata"]["operator"] == "dora"
        house.done("token", "remove", "dora")
        assert ask_as(another_user, shared, "/v1/snapshot", *bearer)[1] == 401
        assert token not in house.engine_log.read_text()
        for file in house.state.glob("*"):
            assert not file.is_file() or token.encode() not in file.read_bytes(), file
        assert house.run("--socket", str(shared), "--read-only", "resume").returncode == 1
        house.done("--socket", str(shared), "resume")
    finally:
        shutil.rmtree(desk)


def test_a_shared_socket_where_others_could_put_theirs_keeps_the_engine_from_starting(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    house = open_house(**QUICK, QUARTERDECK_CONTROL__SHARED_SOCKET=str(tmp_path / "s.sock"))
    result = house.run("engine")
    assert result.returncode == 2
    assert "others could put their own socket there" in result.stderr
    assert "Traceback" not in result.stderr
    house.nothing_left()


@pytest.mark.parametrize(("action", "ends"), [("pause", "PAUSED"), ("flatten", "HALTED")])
def test_a_console_killed_by_sigkill_leaves_a_desk_that_is_paused_or_flattened(
    open_house: OpenHouse, open_screen: OpenScreen, action: str, ends: str
) -> None:
    house: House = open_house(
        **QUICK, QUARTERDECK_CONTROL__ON_LAST_OPERATOR=action, QUARTERDECK_CONTROL__GRACE_SECONDS="3"
    )
    house.engine()
    screen = open_screen(house)
    screen.shows("RUNNING CONNECTED")
    house.open_position()
    house.see(lambda seen: len(seen["attached"]) == 1, "the console among those attached")
    (console,) = house.pids("console")
    os.kill(console, signal.SIGKILL)
    house.see(lambda seen: any("NO OPERATOR ATTACHED" in said for said in seen["engine"]["notices"]), "the notice")
    seen = house.see(lambda seen: seen["engine"]["mode"] == ends, f"a {ends} engine")
    assert len(seen["positions"]) == (1 if action == "pause" else 0)
    changed = house.events("mode_changed")[0]["metadata"]
    assert (changed["operator"], changed["origin"]) == ("nobody attached", "engine")
    assert house.events("operator_detached")
