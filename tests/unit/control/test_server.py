import asyncio
import json
import os
import shutil
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from engine.control import peer
from engine.control import server as server_module
from engine.control.client import ControlClient
from engine.control.messages import Command, CommandResult, Flatten, Pause, Resume
from engine.control.once import CommandLedger
from engine.control.server import ControlServer, body_digest
from tests.unit.control.fake import FakeEngine

COMMAND = {"id": "command-1", "action": {"kind": "pause"}}
Ask = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
async def ask(server: ControlServer, address: str) -> Any:
    """Send a raw request; return status and parsed body."""
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(address)) as session:

        async def _ask(method: str, path: str, **options: Any) -> tuple[int, Any]:
            async with session.request(method, f"http://engine{path}", **options) as response:
                return response.status, await response.json(content_type=None)

        yield _ask


async def test_socket_is_ours_alone(server: ControlServer, address: str) -> None:
    assert stat.S_IMODE(os.stat(address).st_mode) == 0o600


async def test_snapshot_events_matches_equity_are_answered(engine: FakeEngine, ask: Ask) -> None:
    engine.happen(3)
    engine.happen(1, "trade_executed", symbol="EURUSD")
    assert (await ask("GET", "/v1/snapshot"))[1]["engine"]["pid"] == 4242
    status, page = await ask("GET", "/v1/events?after=1&limit=2")
    assert status == 200
    assert [one["seq"] for one in page["events"]] == [2, 3]
    assert page["last_seq"] == 4
    assert (await ask("GET", "/v1/events/matches?contains=EURUSD"))[1]["seqs"] == [4]
    status, curve = await ask("GET", "/v1/equity?from=2026-03-02T08:00:00Z&to=2026-03-02T09:00:00Z&points=10")
    assert status == 200
    assert curve["points"][0]["low"] == 9990.0
    assert engine.asked_equity[0][2] == 10


async def test_health_and_metrics_say_how_the_engine_is(engine: FakeEngine, ask: Ask, address: str) -> None:
    run = {"loop_id": "loop", "cycles": 7}
    assert await ask("GET", "/healthz") == (200, {"healthy": True, "message": "a guard cycle ended 0.1 s ago", **run})
    engine.is_healthy = False
    assert await ask("GET", "/healthz") == (503, {"healthy": False, "message": "no guard cycle for 9 s", **run})
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(address)) as session,
        session.get("http://engine/metrics") as response,
    ):
        assert response.content_type == "text/plain"
        assert await response.text() == "quarterdeck_up 1\n"


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v1/events?after=-1", "after: found '-1'"),
        ("/v1/events?after=x", "after: found 'x'"),
        ("/v1/events?after=99999999999999999999999", "after: found"),
        ("/v1/events?limit=0", "limit: found '0'"),
        ("/v1/events?limit=1001", "limit: found '1001'"),
        ("/v1/events?limit=1&limit=2", "'limit': found 2 times"),
        ("/v1/events?offset=3", "offset: found '3'"),
        ("/v1/events/matches", "contains: found nothing"),
        ("/v1/events/matches?contains=", "contains: found ''"),
        ("/v1/events/matches?contains=" + "x" * 101, "contains: found"),
        ("/v1/equity?points=1", "points: found '1'"),
        ("/v1/equity?points=2001", "points: found '2001'"),
        ("/v1/equity?from=yesterday", "from: found 'yesterday'"),
        ("/v1/equity?from=2026-03-02T08:00:00", "from: found"),
        ("/v1/equity?from=2026-03-02T08:00:00Z&to=2026-03-01T08:00:00Z", "to: found"),
        ("/v1/snapshot?x=1", "x: found '1'"),
        ("/v1/stream?after=-4", "after: found '-4'"),
    ],
)
async def test_bad_query_is_refused_by_its_field(ask: Ask, path: str, named: str) -> None:
    status, problem = await ask("GET", path)
    assert status == 400
    assert named in problem["error"]
    assert "expected" in problem["error"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("", "body: found"),
        ("{", "body: found"),
        ("[]", "body: found []"),
        ("null", "body: found None"),
        ('{"id":"command-1"}', "action: found nothing"),
        ('{"id":"x","action":{"kind":"pause"}}', "id: found 'x'"),
        ('{"id":"../../etc","action":{"kind":"pause"}}', "id: found"),
        ('{"id":"command-1","action":{"kind":"explode"}}', "action: found"),
        ('{"id":"command-1","action":{"kind":"pause","now":true}}', "action.pause.now: found True"),
        ('{"id":"command-1","action":{"kind":"approve","signal":"A","version":"1"}}', "action.approve.version"),
        ('{"id":"command-1","action":{"kind":"pause"},"extra":"' + "y" * 500 + '"}', "extra: found"),
        (
            '{"id":"command-1","action":{"kind":"signal_add","symbol":"EURUSD","side":"buy","volume":true,"sl":1,"tp":2}}',
            "action.signal_add.volume: found True",
        ),
        (
            '{"id":"command-1","action":{"kind":"signal_add","symbol":"EURUSD","side":"buy","volume":NaN,"sl":1,"tp":2}}',
            "volume",
        ),
    ],
)
async def test_bad_command_is_refused_by_its_field(engine: FakeEngine, ask: Ask, body: str, named: str) -> None:
    status, problem = await ask("POST", "/v1/commands", data=body)
    assert status == 400
    assert named in problem["error"]
    assert len(problem["error"]) < 1000
    assert engine.executed == []


async def test_unknown_route_method_and_long_body_are_problems(ask: Ask) -> None:
    status, problem = await ask("GET", "/v2/anything")
    assert status == 404
    assert "/v1/snapshot" in problem["error"]
    status, problem = await ask("DELETE", "/v1/snapshot")
    assert status == 405
    assert "GET" in problem["error"]
    status, problem = await ask("POST", "/v1/commands", data=b"x" * 70_000)
    assert status == 413
    assert "65536" in problem["error"]
    status, problem = await ask("GET", "/v1/stream")
    assert status == 400
    assert "error" in problem


async def test_command_carries_operator_and_cleaned_origin(engine: FakeEngine, ask: Ask) -> None:
    headers = {"X-Quarterdeck-Origin": "cli <b>[x] " + "z" * 100}
    status, result = await ask("POST", "/v1/commands", json=COMMAND, headers=headers)
    assert (status, result["accepted"], result["id"]) == (200, True, "command-1")
    (command, operator) = engine.executed[0]
    assert command.action == Pause()
    assert operator.name == peer.user_name(os.getuid())
    assert operator.origin == ("clibx" + "z" * 100)[:32]


async def test_origin_is_api_when_none_is_given(engine: FakeEngine, ask: Ask) -> None:
    await ask("POST", "/v1/commands", json=COMMAND)
    assert engine.executed[0][1].origin == "api"


async def test_repeats_of_a_running_command_await_one_execution(engine: FakeEngine, ask: Ask) -> None:
    engine.hold.clear()
    asked = [asyncio.create_task(_typed(ask("POST", "/v1/commands", json=COMMAND))) for _ in range(20)]
    await engine.entered.wait()
    engine.hold.set()
    answers = await asyncio.gather(*asked)
    assert {json.dumps(answer) for answer in answers} == {json.dumps(answers[0])}
    assert answers[0][0] == 200
    assert await ask("POST", "/v1/commands", json=COMMAND) == answers[0]
    assert len(engine.executed) == 1


async def _typed(answer: Awaitable[tuple[int, Any]]) -> tuple[int, Any]:
    return await answer


async def test_same_id_with_another_body_is_refused(engine: FakeEngine, ask: Ask) -> None:
    await ask("POST", "/v1/commands", json=COMMAND)
    status, problem = await ask("POST", "/v1/commands", json={**COMMAND, "reason": "another"})
    assert status == 409
    assert "command-1" in problem["error"]
    assert len(engine.executed) == 1


async def test_command_goes_on_when_its_sender_leaves(engine: FakeEngine, server: ControlServer, address: str) -> None:
    engine.hold.clear()
    reader, writer = await asyncio.open_unix_connection(address)
    body = json.dumps(COMMAND).encode()
    writer.write(b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    await engine.entered.wait()
    writer.transport.abort()
    engine.hold.set()
    async with ControlClient(address, "cli") as client:
        await client.snapshot()
        result = await client._call("POST", "/v1/commands", CommandResult, body=body)
    assert result.accepted
    assert len(engine.executed) == 1
    assert await reader.read() == b""


async def test_known_commands_of_before_a_restart_are_not_done_again(engine: FakeEngine, address: str) -> None:
    command = Command(id="command-1", action=Pause())
    before = CommandResult(id="command-1", accepted=True, message="done before")
    served = ControlServer(engine, address, known={"command-1": (body_digest(command), before)})
    await served.start()
    try:
        async with ControlClient(address, "cli") as client:
            assert await client._call(
                "POST", "/v1/commands", CommandResult, body=command.model_dump_json().encode()
            ) == (before)
    finally:
        await served.stop()
    assert engine.executed == []


def test_digest_is_of_the_body_and_not_of_the_id() -> None:
    one = body_digest(Command(id="command-1", action=Pause(), reason="r"))
    assert one == body_digest(Command(id="command-2", action=Pause(), reason="r"))
    assert one != body_digest(Command(id="command-1", action=Resume(), reason="r"))
    assert one != body_digest(Command(id="command-1", action=Pause(), reason="s"))


async def test_ledger_forgets_the_oldest_finished_command_only() -> None:
    ledger = CommandLedger({}, remembered=2)
    release = asyncio.Event()
    done: list[str] = []

    async def _act(name: str, wait: bool) -> CommandResult:
        if wait:
            await release.wait()
        done.append(name)
        return CommandResult(id=name, accepted=True, message="")

    slow = Command(id="slow-one", action=Flatten())
    running = asyncio.create_task(ledger.run(slow, lambda: _act("slow-one", True)))
    await asyncio.sleep(0)
    for name in ("command-a", "command-b", "command-c"):
        command = Command(id=name, action=Pause())
        await ledger.run(command, lambda name=name: _act(name, False))  # type: ignore[misc]  # a bound loop variable
    repeated = asyncio.create_task(ledger.run(slow, lambda: _act("again", False)))
    release.set()
    assert await running == await repeated
    assert done == ["command-a", "command-b", "command-c", "slow-one"]
    await ledger.run(Command(id="command-a", action=Pause()), lambda: _act("command-a", False))
    assert done[-1] == "command-a"


async def test_engine_error_is_a_500_once_and_is_never_done_again(
    engine: FakeEngine, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    engine.execute_error = ZeroDivisionError("secret-token")
    status, problem = await ask("POST", "/v1/commands", json=COMMAND)
    assert status == 500
    assert "ZeroDivisionError" in problem["error"]
    assert "secret-token" not in problem["error"]
    assert "command command-1 (pause) failed" in caplog.text
    engine.execute_error = None
    assert (await ask("POST", "/v1/commands", json=COMMAND))[0] == 500
    assert len(engine.executed) == 1


async def test_error_of_a_read_is_a_500_and_logged(
    engine: FakeEngine, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    engine.events_error = KeyError("x")
    status, problem = await ask("GET", "/v1/events")
    assert status == 500
    assert "KeyError" in problem["error"]
    assert "/v1/events failed" in caplog.text
    engine.events_error = None
    assert (await ask("GET", "/v1/events"))[0] == 200


async def test_stop_waits_for_the_command_under_way_and_answers_it(engine: FakeEngine, address: str) -> None:
    served = ControlServer(engine, address)
    await served.start()
    engine.hold.clear()
    async with ControlClient(address, "cli") as client:
        sent = asyncio.create_task(client.send(Pause()))
        await engine.entered.wait()
        stopping = asyncio.create_task(served.stop())
        await asyncio.sleep(0)
        engine.hold.set()
        assert (await sent).accepted
        await stopping
    assert not await asyncio.to_thread(os.path.exists, address)
    await served.stop()


async def test_stop_cuts_off_a_command_that_does_not_end(
    engine: FakeEngine, address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "_COMMAND_GRACE_SECONDS", 0.01)
    served = ControlServer(engine, address)
    await served.start()
    engine.hold.clear()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(address)) as session:
        sent = asyncio.create_task(_status(session))
        await engine.entered.wait()
        await served.stop()
        assert await sent == 503
    assert "cut off" in caplog.text


async def test_no_command_is_taken_while_stopping(engine: FakeEngine, ask: Ask, server: ControlServer) -> None:
    await server._ledger.close(0)
    status, problem = await ask("POST", "/v1/commands", json=COMMAND)
    assert status == 503
    assert "stopping" in problem["error"]


async def _status(session: aiohttp.ClientSession) -> int:
    async with session.post("http://engine/v1/commands", json=COMMAND) as response:
        return response.status


async def test_body_that_never_comes_is_given_up(
    server: ControlServer, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_BODY_SECONDS", 0.01)
    reader, writer = await asyncio.open_unix_connection(address)
    writer.write(b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
    assert b" 408 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_another_user_is_refused(ask: Ask, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "peer_uid", lambda connection: os.getuid() + 1)
    for method, path in (("GET", "/v1/snapshot"), ("POST", "/v1/commands"), ("GET", "/v1/stream"), ("GET", "/nothing")):
        status, problem = await ask(method, path)
        assert status == 403
        assert "user" in problem["error"]
    assert engine.executed == []


async def test_stale_socket_is_replaced_and_other_files_are_not(engine: FakeEngine, address: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(address)
    served = ControlServer(engine, address)
    await served.start()
    async with ControlClient(address, "cli") as client:
        assert (await client.snapshot()).engine.pid == 4242
    await served.stop()
    await asyncio.to_thread(Path(address).write_text, "precious")
    with pytest.raises(FileExistsError, match="not a socket"):
        await served.start()
    await served.stop()


async def test_failed_bind_leaves_nothing_open(engine: FakeEngine, tmp_path: Path) -> None:
    served = ControlServer(engine, str(tmp_path / ("x" * 120)))
    with pytest.raises(OSError, match="AF_UNIX"):
        await served.start()
    await served.stop()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_reads_and_commands(server: ControlServer, engine: FakeEngine, address: str) -> None:
    base = ("curl", "--silent", "--show-error", "--unix-socket", address)
    read = await asyncio.create_subprocess_exec(
        *base, "http://engine/v1/snapshot", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, error = await read.communicate()
    assert error == b""
    assert json.loads(out)["engine"]["mode"] == "RUNNING"
    send = await asyncio.create_subprocess_exec(
        *base, "--data", json.dumps(COMMAND), "http://engine/v1/commands", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await send.communicate()
    assert json.loads(out)["accepted"] is True


async def test_ten_thousand_malformed_requests_are_answered_and_cost_nothing(
    server: ControlServer, engine: FakeEngine, address: str, client: ControlClient, caplog: pytest.LogCaptureFixture
) -> None:
    bodies = [b"", b"{", b'{"id":1}', b"\xff\xfe\x00", b"[" * 200, b'{"id":"command-1","action":{"kind":"x"}}']
    reader, writer = await asyncio.open_unix_connection(address)
    for start in range(0, 9_900, 100):
        for number in range(start, start + 100):
            body = bodies[number % len(bodies)]
            writer.write(b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        for _ in range(100):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 ")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert json.loads(await reader.readexactly(length))["error"]
    writer.close()
    await writer.wait_closed()
    for number in range(100):
        reader, writer = await asyncio.open_unix_connection(address)
        writer.write([b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\r\n\r\n", b"POST / HTTP/9\r\n\r\n"][number % 3])
        assert b" 400 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert engine.executed == []
    assert (await client.send(Pause())).accepted
    assert caplog.text == ""
