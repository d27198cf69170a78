"""What a direct flatten makes of an engine's answers."""

import asyncio
from pathlib import Path

from engine.clock import SystemClock
from engine.control.client import ControlClient
from engine.control.server import ControlServer
from engine.direct.asking import follow
from tests.unit.control.fake import FakeEngine


async def test_an_engine_that_knows_of_no_flatten_is_not_followed(tmp_path: Path) -> None:
    """The one that took it died before it was on record, and somebody has started another."""
    address, said = str(tmp_path / "c.sock"), list[str]()
    server = ControlServer(FakeEngine(), address)
    await server.start()
    try:
        async with asyncio.timeout(10), ControlClient(address, "direct") as client:
            assert await follow(client, SystemClock(), said.append) is None
    finally:
        await server.stop()
    assert said == ["the engine that took it is gone, and the one that answers closes nothing"]
