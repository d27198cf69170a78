import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from engine.control import door
from engine.control import server as server_module
from engine.control.access import Access
from engine.control.address import AddressError
from engine.control.caller import Caller
from engine.control.client import ControlClient, ControlError, EngineUnreachable
from engine.control.messages import Pause, StreamMessage
from engine.control.server import ControlServer
from engine.control.tokens import TokenBook
from tests.unit.control.fake import FakeEngine

BOB, EVE = os.getuid() + 900_001, os.getuid() + 900_002


@pytest.fixture
def shared(tmp_path: Path) -> str:
    return str(tmp_path / "shared.sock")


@pytest.fixture
def book(tmp_path: Path) -> TokenBook:
    return TokenBook(tmp_path)


@pytest.fixture
async def served(engine: FakeEngine, address: str, shared: str, book: TokenBook) -> AsyncIterator[ControlServer]:
    access = Access(book, shared=shared, users={BOB: "viewer"})
    server = ControlServer(engine, address, snapshot_interval=0.01, access=access)
    await server.start()
    yield server
    await server.stop()
    assert not os.path.exists(shared)  # noqa: ASYNC240


def _be(monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    monkeypatch.setattr(server_module, "peer_uid", lambda connection: uid)


async def test_a_listed_viewer_looks_and_may_not_act(
    served: ControlServer, engine: FakeEngine, address: str, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stat.S_IMODE(os.stat(shared).st_mode) == 0o666
    assert stat.S_IMODE(os.stat(address).st_mode) == 0o600
    _be(monkeypatch, BOB)
    async with ControlClient(shared, "cli") as client:
        assert (await client.snapshot()).engine.pid == 4242
        async with aclosing(client.stream()) as messages:
            assert (await anext(messages)).snapshot is not None
        with pytest.raises(ControlError, match=f"you are a viewer, uid {BOB}") as refused:
            await client.send(Pause())
        assert refused.value.status == 403
    async with ControlClient(address, "cli") as client:
        with pytest.raises(ControlError, match="is not among those"):
            await client.snapshot()
    assert engine.executed == []


async def test_a_stranger_needs_a_token_at_the_shared_socket(
    served: ControlServer, engine: FakeEngine, shared: str, book: TokenBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    _be(monkeypatch, EVE)
    async with ControlClient(shared, "cli") as client:
        with pytest.raises(ControlError, match="showed no token"):
            await client.snapshot()
    async with ControlClient(shared, Caller("cli", token="x" * 43)) as client:
        with pytest.raises(ControlError, match="the token is not valid") as refused:
            await client.snapshot()
        assert refused.value.status == 401
    async with ControlClient(shared, Caller("cli", token=book.add("dora", "operator"), via="ssh ::1 port 5")) as client:
        assert (await client.send(Pause())).accepted
    assert engine.executed[0][1].who() == {"operator": "dora", "origin": "cli", "via": "ssh ::1 port 5"}


async def test_read_only_is_refused_by_the_engine_itself(
    served: ControlServer, engine: FakeEngine, address: str
) -> None:
    async with ControlClient(address, Caller("console", read_only=True)) as client:
        assert (await client.snapshot()).engine.pid == 4242
        with pytest.raises(ControlError, match="--read-only"):
            await client.send(Pause())
    assert engine.executed == []


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
async def test_a_folder_that_others_can_write_holds_no_shared_socket(
    engine: FakeEngine, address: str, tmp_path: Path, mode: int
) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    server = ControlServer(engine, address, access=Access(shared=str(folder / "s.sock")))
    with pytest.raises(AddressError, match="others could put their own socket there"):
        await server.start()
    await server.stop()
    server = ControlServer(engine, address, access=Access(shared=str(tmp_path / "none" / "s.sock")))
    with pytest.raises(AddressError, match="must exist already"):
        await server.start()
    await server.stop()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
async def test_a_folder_of_another_user_holds_no_shared_socket(
    engine: FakeEngine, address: str, tmp_path: Path
) -> None:
    folder = tmp_path / "theirs"
    (folder / "ours").mkdir(parents=True)
    os.chown(folder, EVE, -1)
    for place in (folder, folder / "ours"):
        server = ControlServer(engine, address, access=Access(shared=str(place / "s.sock")))
        with pytest.raises(AddressError, match=f"belongs to uid {EVE}"):
            await server.start()
        await server.stop()


async def test_who_streams_is_attached_until_the_connection_ends(
    served: ControlServer, engine: FakeEngine, address: str
) -> None:
    caller = Caller("console", via="ssh ::1 port 5", console="c0ffee", read_only=True)
    async with ControlClient(address, caller) as client, aclosing(client.stream()) as messages:
        await anext(messages)
        (visitor,) = engine.visitors
        assert (visitor.console, visitor.operator.role, visitor.operator.via) == ("c0ffee", "viewer", "ssh ::1 port 5")
        (connection,) = served._hub._clients
        connection.drop()
        with pytest.raises(EngineUnreachable):
            await _exhaust(messages)
    await _until(lambda: engine.departed == [visitor])
    assert engine.visitors == []


async def test_a_token_that_is_taken_away_ends_its_stream(
    served: ControlServer, engine: FakeEngine, address: str, book: TokenBook
) -> None:
    dora = Caller("console", token=book.add("dora", "operator"))
    erik = Caller("console", token=book.add("erik", "operator"))
    async with (
        ControlClient(address, dora) as first,
        ControlClient(address, erik) as second,
        aclosing(first.stream()) as cut,
        aclosing(second.stream()) as kept,
    ):
        await anext(cut)
        await anext(kept)
        book.remove("dora")
        with pytest.raises(EngineUnreachable):
            await _exhaust(cut)
        await _until(lambda: [visitor.operator.name for visitor in engine.departed] == ["dora"])
        await anext(kept)


async def _exhaust(messages: AsyncIterator[StreamMessage]) -> None:
    async for _ in messages:
        pass


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  the server has no event for it, and needs none
        await asyncio.sleep(0.005)


async def test_one_user_cannot_take_every_connection_nor_a_descriptor_more_than_its_share(
    served: ControlServer, address: str, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "MOST_OF_A_USER", 5)
    monkeypatch.setattr(door, "peer_uid", lambda connection: EVE)
    held = [await asyncio.open_unix_connection(shared) for _ in range(20)]
    ended = 0
    for reader, _ in held:
        try:
            async with asyncio.timeout(0.1):
                ended += await reader.read(1) == b""
        except ConnectionError:
            ended += 1
        except TimeoutError:
            continue
    assert ended == 15
    monkeypatch.setattr(door, "peer_uid", lambda connection: os.getuid())
    for path in (shared, address):
        async with ControlClient(path, "cli") as client:
            assert (await client.snapshot()).engine.pid == 4242
    monkeypatch.setattr(door, "peer_uid", lambda connection: EVE)
    for _, writer in held:
        writer.close()
    await asyncio.sleep(0.1)
    _, writer = await asyncio.open_unix_connection(shared)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    await writer.drain()
    writer.close()
    monkeypatch.setattr(door, "MOST_OF_ALL", 0)
    reader, writer = await asyncio.open_unix_connection(shared)
    with contextlib.suppress(ConnectionError):
        assert await reader.read(1) == b""
    writer.close()
