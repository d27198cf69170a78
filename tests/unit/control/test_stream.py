import asyncio
import base64
import os
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import aiohttp
import pytest

from engine.control import stream as stream_module
from engine.control.client import ControlClient, ControlError, EngineStopped, EngineUnreachable
from engine.control.messages import EventView, Snapshot, StreamMessage
from engine.control.server import ControlServer
from tests.unit.control.fake import FakeEngine

MAX_UNSENT_BYTES = 600_000


async def _until(condition: Callable[[], bool]) -> None:
    """Wait on the loop until it holds; the test's own timeout ends a wait in vain."""
    while not condition():  # noqa: ASYNC110  the server has no event for it, and needs none
        await asyncio.sleep(0.005)


async def _exhaust(messages: AsyncIterator[StreamMessage]) -> None:
    async for _ in messages:
        pass


async def _frozen_stream(address: str) -> socket.socket:
    """Open a stream by hand, and never read from it again."""
    frozen = socket.socket(socket.AF_UNIX)
    frozen.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(frozen, address)
    key = base64.b64encode(os.urandom(16)).decode()
    await loop.sock_sendall(
        frozen,
        (
            "GET /v1/stream?after=0 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        ).encode(),
    )
    assert (await loop.sock_recv(frozen, 12)).endswith(b"101")
    return frozen


async def _collect(client: ControlClient, after: int, count: int) -> list[EventView]:
    seen: list[EventView] = []
    async with aclosing(client.stream(after)) as messages:
        async for message in messages:
            seen += message.events or []
            if len(seen) >= count:
                break
    return seen


async def test_stream_begins_with_a_snapshot_and_goes_on(client: ControlClient) -> None:
    times = []
    async with aclosing(client.stream(0)) as messages:
        async for message in messages:
            assert message.snapshot is not None
            times.append(message.snapshot.time)
            if len(times) == 5:
                break
    assert times == sorted(set(times))


async def test_every_event_comes_once_and_ascending(engine: FakeEngine, client: ControlClient) -> None:
    engine.happen(1234)
    collecting = asyncio.create_task(_collect(client, 200, 3034))
    for _ in range(20):
        engine.happen(100)
        await asyncio.sleep(0.005)
    assert [one.seq for one in await collecting] == list(range(201, 3235))


async def test_without_a_place_only_new_events_come(engine: FakeEngine, client: ControlClient) -> None:
    engine.happen(10)
    async with aclosing(client.stream()) as messages:
        assert (await anext(messages)).snapshot is not None
        engine.happen(1)
        async for message in messages:
            if message.events is not None:
                assert [one.seq for one in message.events] == [11]
                break


async def test_snapshot_is_made_once_for_all_clients(engine: FakeEngine, server: ControlServer, address: str) -> None:
    seen: list[list[Snapshot]] = [[] for _ in range(5)]

    async def _watch(shots: list[Snapshot]) -> None:
        async with ControlClient(address, "console") as client, aclosing(client.stream(0)) as messages:
            async for message in messages:
                assert message.snapshot is not None
                shots.append(message.snapshot)
                if len(shots) == 20:
                    return

    await asyncio.gather(*(_watch(shots) for shots in seen))
    assert engine.snapshots < 60
    assert len({shot.time for shots in seen for shot in shots}) < 60


async def test_no_snapshot_is_made_when_nobody_watches(engine: FakeEngine, server: ControlServer, address: str) -> None:
    async with ControlClient(address, "console") as client:
        async with aclosing(client.stream(0)) as messages:
            await anext(messages)
        publisher = server._hub._publisher
        assert publisher is not None
        await publisher
        made = engine.snapshots
        await asyncio.sleep(0.05)
        assert engine.snapshots == made
        async with aclosing(client.stream(0)) as messages:
            assert (await anext(messages)).snapshot is not None


async def test_client_that_never_reads_costs_bounded_memory_and_delays_nobody(engine: FakeEngine, address: str) -> None:
    engine.padding = "p" * 20_000
    engine.happen(5_000)
    served = ControlServer(engine, address, snapshot_interval=0.0005)
    await served.start()
    frozen = await _frozen_stream(address)
    async with ControlClient(address, "console") as client:
        assert [one.seq for one in await _collect(client, 0, 5_000)] == list(range(1, 5_001))
        (stuck,) = served._hub._clients
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        start = engine.snapshots
        async with aclosing(client.stream(5_000)) as messages:
            async for message in messages:
                assert message.snapshot is not None
                if engine.snapshots - start >= 3_000:
                    break
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert after - before < 2_000_000
    assert stuck._transport is not None
    assert stuck._transport.get_write_buffer_size() < MAX_UNSENT_BYTES
    frozen.close()
    await served.stop()


async def test_client_that_does_not_read_is_dropped(
    engine: FakeEngine, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine.padding = "p" * 100_000
    served = ControlServer(engine, address, snapshot_interval=0.001, stall=0.05)
    await served.start()
    frozen = await _frozen_stream(address)
    await _until(lambda: bool(served._hub._clients))
    await _until(lambda: not served._hub._clients)
    assert "has not read for" in caplog.text
    frozen.close()
    await served.stop()


async def test_client_that_leaves_is_forgotten(server: ControlServer, address: str) -> None:
    frozen = await _frozen_stream(address)
    await _until(lambda: bool(server._hub._clients))
    frozen.close()
    await _until(lambda: not server._hub._clients)


async def test_client_that_talks_is_told_to_post(server: ControlServer, address: str) -> None:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(address)) as session,
        session.ws_connect("http://engine/v1/stream") as talking,
    ):
        await talking.send_str('{"kind":"flatten"}')
        async for _ in talking:
            pass
        assert talking.close_code == aiohttp.WSCloseCode.UNSUPPORTED_DATA
    await _until(lambda: not server._hub._clients)


async def test_too_many_streams_are_refused(client: ControlClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "MAX_CLIENTS", 1)
    async with aclosing(client.stream(0)) as first:
        await anext(first)
        async with aclosing(client.stream(0)) as second:
            with pytest.raises(ControlError) as refused:
                await anext(second)
        assert refused.value.status == 429
        assert (await anext(first)).snapshot is not None


async def test_snapshot_that_cannot_be_made_ends_the_streams_and_is_logged(
    engine: FakeEngine, client: ControlClient, caplog: pytest.LogCaptureFixture
) -> None:
    async with aclosing(client.stream(0)) as messages:
        await anext(messages)
        engine.snapshot_error = ValueError("broken")
        with pytest.raises(EngineUnreachable) as ended:
            await _exhaust(messages)
    assert not isinstance(ended.value, EngineStopped)
    assert "no snapshot can be made" in caplog.text
    engine.snapshot_error = None
    async with aclosing(client.stream(0)) as messages:
        assert (await anext(messages)).snapshot is not None


async def test_events_that_cannot_be_read_end_the_stream_and_are_logged(
    engine: FakeEngine, client: ControlClient, caplog: pytest.LogCaptureFixture
) -> None:
    engine.happen(1)
    engine.events_error = ValueError("broken")
    async with aclosing(client.stream(0)) as messages:
        with pytest.raises(EngineUnreachable):
            await _exhaust(messages)
    assert "a stream cannot go on" in caplog.text


async def test_stream_asked_of_a_stopping_engine_is_a_stop_and_not_a_death(
    server: ControlServer, client: ControlClient
) -> None:
    await server._hub.close()
    async with aclosing(client.stream(0)) as messages:
        with pytest.raises(EngineStopped):
            await anext(messages)


async def test_place_beyond_the_journal_waits_for_it(engine: FakeEngine, client: ControlClient) -> None:
    engine.happen(3)
    async with aclosing(client.stream(5)) as messages:
        await anext(messages)
        engine.happen(3)
        async for message in messages:
            if message.events is not None:
                assert [one.seq for one in message.events] == [6]
                break


async def test_stopped_engine_says_so_and_a_frozen_client_does_not_hold_it_up(
    engine: FakeEngine, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "_CLOSE_SECONDS", 0.05)
    engine.padding = "p" * 100_000
    served = ControlServer(engine, address, snapshot_interval=0.001)
    await served.start()
    frozen = await _frozen_stream(address)
    async with ControlClient(address, "console") as client, aclosing(client.stream(0)) as messages:
        await anext(messages)
        stopping = asyncio.create_task(served.stop())
        with pytest.raises(EngineStopped):
            await _exhaust(messages)
        await stopping
    frozen.close()
