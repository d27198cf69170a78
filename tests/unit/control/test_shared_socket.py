import os
import stat
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from engine.control import server as server_module
from engine.control.access import Access
from engine.control.address import AddressError
from engine.control.caller import Caller
from engine.control.client import ControlClient, ControlError
from engine.control.messages import Pause
from engine.control.server import ControlServer
from engine.control.tokens import TokenBook
from tests.unit.control.fake import FakeEngine

BOB, EVE = os.getuid() + 1001, os.getuid() + 1002


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
