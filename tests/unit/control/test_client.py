import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta

import pytest

from engine.control.client import AnswerLost, ControlClient, ControlError, EngineStopped, EngineUnreachable
from engine.control.messages import Pause
from engine.control.server import ControlServer
from tests.unit.control.fake import START, FakeEngine

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return await reader.readexactly(length)


def _answer(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


async def _serve(address: str, handler: Handler) -> asyncio.Server:
    async def _closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    return await asyncio.start_unix_server(_closing, address)


async def test_no_engine_is_a_plain_sentence(address: str) -> None:
    async with ControlClient(address, "cli") as client:
        with pytest.raises(EngineUnreachable, match=r"no engine answers at .*control\.sock"):
            await client.snapshot()
        with pytest.raises(EngineUnreachable, match="no engine answers"):
            await client.send(Pause())
        async with aclosing(client.stream(0)) as messages:
            with pytest.raises(EngineUnreachable, match="no engine answers"):
                await anext(messages)


async def test_reads_come_back_as_models(engine: FakeEngine, client: ControlClient) -> None:
    engine.happen(3, "trade_executed", symbol="EURUSD +&=%")
    assert (await client.snapshot()).seq == 3
    assert [one.seq for one in (await client.events(1, 1)).events] == [2]
    assert (await client.matches("EURUSD +&=%")).seqs == [1, 2, 3]
    assert (await client.equity(10)).points[0].high == 10_010.0
    await client.equity(20, START, START + timedelta(hours=1))
    assert engine.asked_equity == [(None, None, 10), (START, START + timedelta(hours=1), 20)]


async def test_health_is_an_answer_when_it_is_bad_too(engine: FakeEngine, client: ControlClient) -> None:
    assert (await client.health()).healthy
    engine.is_healthy = False
    health = await client.health()
    assert (health.healthy, health.loop_id, health.cycles) == (False, "loop", 7)


async def test_command_carries_its_reason_and_origin(engine: FakeEngine, client: ControlClient) -> None:
    result = await client.send(Pause(), reason="lunch")
    command, operator = engine.executed[0]
    assert (result.id, command.reason, operator.origin) == (command.id, "lunch", "console")


async def test_refusal_is_a_result_and_a_problem_an_error(engine: FakeEngine, client: ControlClient) -> None:
    engine.refusal = "not now"
    result = await client.send(Pause())
    assert (result.accepted, result.message) == (False, "not now")
    with pytest.raises(ControlError, match="limit: found '0'") as refused:
        await client.events(0, 0)
    assert refused.value.status == 400


async def test_connection_lost_before_the_answer_is_tried_again_under_the_same_id(address: str) -> None:
    seen: list[str] = []

    async def _drop_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = json.loads(await _request(reader))
        seen.append(command["id"])
        if len(seen) > 1:
            writer.write(_answer(json.dumps({"id": command["id"], "accepted": True, "message": "ok"}).encode()))
            await writer.drain()

    async with await _serve(address, _drop_first), ControlClient(address, "cli") as client:
        assert (await client.send(Pause())).accepted
    assert len(seen) == 2
    assert seen[0] == seen[1]


async def test_connection_lost_twice_is_given_up(address: str) -> None:
    seen: list[str] = []

    async def _drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(json.loads(await _request(reader))["id"])

    async with await _serve(address, _drop), ControlClient(address, "cli") as client:
        with pytest.raises(AnswerLost, match="before it answered"):
            await client.send(Pause())
    assert len(seen) == 2


async def test_engine_that_dies_with_a_command_in_hand_is_not_called_absent(address: str) -> None:
    async def _die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        dying.close()
        await asyncio.to_thread(os.unlink, address)

    dying = await _serve(address, _die)
    async with dying, ControlClient(address, "cli") as client:
        with pytest.raises(AnswerLost, match="before it answered"):
            await client.send(Pause())


async def test_engine_that_does_not_answer_is_given_up_in_time(
    engine: FakeEngine, server: ControlServer, address: str
) -> None:
    engine.hold.clear()
    async with ControlClient(address, "cli", timeout=0.05) as client:
        with pytest.raises(AnswerLost, match=r"not answered for 0\.05 s"):
            await client.send(Pause())
    engine.hold.set()


async def test_stream_that_is_never_taken_up_is_given_up_in_time(address: str) -> None:
    released = asyncio.Event()

    async def _mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()

    async with await _serve(address, _mute), ControlClient(address, "cli", timeout=0.05) as client:
        async with aclosing(client.stream(0)) as messages:
            with pytest.raises(EngineUnreachable, match="not answered"):
                await anext(messages)
        released.set()


async def test_silent_stream_is_given_up(engine: FakeEngine, address: str) -> None:
    served = ControlServer(engine, address, snapshot_interval=600)
    await served.start()
    async with ControlClient(address, "console") as client, aclosing(client.stream(0, silence=0.05)) as messages:
        await anext(messages)
        with pytest.raises(EngineUnreachable, match=r"nothing for 0\.05 s") as ended:
            await anext(messages)
    assert not isinstance(ended.value, EngineStopped)
    await served.stop()


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [(b"{}", b"200 OK", "not a Snapshot"), (b"<html>", b"502 Bad", "not a Problem"), (b"[1]", b"200 OK", "body")],
)
async def test_answer_of_another_version_is_an_error_that_names_the_field(
    address: str, body: bytes, status: bytes, said: str
) -> None:
    async def _strange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(_answer(body, status))
        await writer.drain()

    async with await _serve(address, _strange), ControlClient(address, "cli") as client:
        with pytest.raises(ControlError, match="same version") as refused:
            await client.snapshot()
    assert said in str(refused.value)
    assert refused.value.status == 0


async def test_client_outside_its_context_is_a_defect(address: str) -> None:
    client = ControlClient(address, "cli")
    with pytest.raises(RuntimeError, match="async with"):
        await client.snapshot()
    await client.close()
