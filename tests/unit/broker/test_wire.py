"""The wire between the engine and a gateway."""

import socket
from pathlib import Path

import pytest

from engine.broker.child import Gateway, spawn_workers

pytestmark = pytest.mark.xdist_group("gateway processes")


async def test_a_close_is_not_held_back_until_the_raised_epoch_before_it_is_acknowledged(tmp_path: Path) -> None:
    gateway = await spawn_workers("tests.unit.broker.fake_terminal", {"path": str(tmp_path)})("orders")
    assert isinstance(gateway, Gateway)
    wire = gateway._writer.get_extra_info("socket")
    assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    gateway.kill()
    await gateway.reap()
