"""Ten consoles on one engine, one of them frozen: the other nine, and the guard, do not notice."""

import asyncio
import fcntl
import os
import signal
import socket
import struct
import termios
import time
from contextlib import AsyncExitStack, ExitStack

import aiohttp

from engine.control.address import control_address
from tests.e2e.conftest import OpenHouse, OpenScreen
from tests.e2e.house import House, until
from tests.e2e.test_nonsense import resident_kib

STREAMS = 8
"""With two consoles in terminals, of which one is frozen: ten. Beside them one stream that is never read shows when the
buffers of those who do not read are full."""
_SIGNALS = 120
_SECONDS = 6.0
_HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def waiting(line: socket.socket) -> int:
    """The bytes that have come and are not read."""
    return int(struct.unpack("i", fcntl.ioctl(line, termios.FIONREAD, b"\0" * 4))[0])


def full(line: socket.socket) -> bool:
    """Whether nothing more has come for half a second, though something is sent ten times a second."""
    before, moment = waiting(line), time.monotonic()
    until(lambda: time.monotonic() - moment >= 0.5, "half a second")
    return before > 0 and waiting(line) == before


async def watched(house: House, seconds: float) -> tuple[list[int], int]:
    """How many snapshots come to each of the streams in a time, and how many bytes the largest has."""
    counts, largest = [0] * STREAMS, 0

    async def read(number: int, stream: aiohttp.ClientWebSocketResponse) -> None:
        nonlocal largest
        async for message in stream:
            counts[number] += message.data.startswith('{"snapshot"')
            largest = max(largest, len(message.data))

    async with AsyncExitStack() as stack:
        connector = aiohttp.UnixConnector(control_address(house.state))
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        streams = [await session.ws_connect("http://x/v1/stream", max_msg_size=0) for _ in range(STREAMS)]
        readers = [asyncio.create_task(read(number, stream)) for number, stream in enumerate(streams)]
        await asyncio.sleep(seconds)
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
    return counts, largest


def test_frozen_console_costs_the_other_nine_and_the_engine_nothing(
    open_house: OpenHouse, open_screen: OpenScreen
) -> None:
    house = open_house(QUARTERDECK_PAPER__DEMO_STRATEGY="false", QUARTERDECK_LOOP__HEARTBEAT_SECONDS="0.5")
    engine = house.engine()
    for _ in range(_SIGNALS):
        market = house.look()["markets"][0]
        stop, target = market["bid"] - 0.05, market["bid"] + 0.1
        house.command(
            "signal_add", symbol=market["symbol"], side="buy", volume=0.01, sl=stop, tp=target, note="n" * 500
        )
    frozen_screen = open_screen(house, 100, 30)
    frozen_screen.shows("RUNNING CONNECTED")
    (frozen,) = house.pids("console")
    working = open_screen(house, 100, 30)
    working.shows("RUNNING CONNECTED")
    usual, largest = asyncio.run(watched(house, _SECONDS / 2))

    with ExitStack() as stack:
        line = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        line.connect(control_address(house.state))
        line.sendall(_HANDSHAKE)
        os.kill(frozen, signal.SIGSTOP)
        stack.callback(os.kill, frozen, signal.SIGCONT)
        until(lambda: full(line), "a stream that is full")
        before, seq = resident_kib(engine.pid), house.look()["seq"]
        stuck = waiting(line)
        counts, _ = asyncio.run(watched(house, _SECONDS))

        # As many as before in each second, and to each as many as to the others.
        assert min(counts) >= 0.6 * 2 * min(usual), (usual, counts)
        assert max(counts) - min(counts) <= 3, counts
        # Two have not read any of it: an engine that kept it for them would have grown by four times as much.
        withheld = min(counts) * largest
        assert (resident_kib(engine.pid) - before) * 1024 < withheld / 2
        assert waiting(line) == stuck
        seen = house.look()
        assert seen["reading"]["age_seconds"] < 1
        assert seen["drawdown"]["evaluated_age_seconds"] < 1
        beats = [event for event in house.events("heartbeat") if event["seq"] > seq]
        assert len(beats) >= _SECONDS
        working.press("p")
        working.shows("PAUSED CONNECTED")
        assert house.look()["engine"]["mode"] == "PAUSED"
        house.command("resume")
        working.shows("RUNNING CONNECTED")
        house.command("pause")

    # It goes on where everything stands now.
    frozen_screen.shows("PAUSED CONNECTED")
    assert house.pids("console")
    assert house.look()["engine"]["pid"] == engine.pid
