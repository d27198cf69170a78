from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.control.client import ControlClient
from engine.control.server import ControlServer
from tests.unit.control.fake import FakeEngine


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "control.sock")


@pytest.fixture
async def server(engine: FakeEngine, address: str) -> AsyncIterator[ControlServer]:
    served = ControlServer(engine, address, snapshot_interval=0.01)
    await served.start()
    yield served
    await served.stop()


@pytest.fixture
async def client(server: ControlServer, address: str) -> AsyncIterator[ControlClient]:
    async with ControlClient(address, "console") as connected:
        yield connected
