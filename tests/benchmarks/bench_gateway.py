"""What a gateway costs, and how long the first close takes while one of them hangs. Prints ratios, asserts nothing.

    python -m tests.benchmarks.bench_gateway

The same file is the broker module of its worker processes.
"""

import asyncio
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from engine import frames
from engine.broker.child import spawn_workers
from engine.broker.connection import Call, Lane
from engine.broker.gateway import Gateways
from engine.clock import SystemClock
from engine.config import GatewaySettings

MODULE = "tests.benchmarks.bench_gateway"
CLOSE = Call("order_send", ({"volume": 1.0},))
ROUND_TRIPS = 3000
CLOSES = 400
HANGS = 12
ALLOWED_MS = 250
"""How long a close may wait for a gateway that hangs, beyond twice what it takes otherwise."""

_folder = Path()


def initialize(path: str) -> bool:
    global _folder
    _folder = Path(path)
    return True


def last_error() -> tuple[int, str]:
    return (1, "Success")


def version() -> tuple[int, int, str]:
    return (500, 1, "")


def account_info() -> None:
    return None


def held(until: str) -> str:
    (_folder / f"{until} begun").touch()
    while not (_folder / until).exists():
        time.sleep(0.001)
    return until


def order_send(request: dict[str, Any]) -> dict[str, Any]:
    if "until" in request:
        held(request["until"])
    return {"retcode": 10009}


def echo(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                wire.sendall(frames.encode(frames.receive(wire)))
            except EOFError:
                return


async def timed(count: int, act: Callable[[], Awaitable[object]]) -> list[float]:
    """Milliseconds of each of `count` runs, after a tenth of them to warm up."""
    for _ in range(count // 10):
        await act()
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        await act()
        taken.append((time.perf_counter() - start) * 1000)
    return taken


def p50_p99(taken: list[float]) -> tuple[float, float]:
    return statistics.median(taken), statistics.quantiles(taken, n=100, method="inclusive")[98]


def show(what: str, taken: list[float], reference: list[float] | None = None) -> None:
    middle, high = p50_p99(taken)
    line = f"{what:<52} p50 {middle:8.3f} ms   p99 {high:8.3f} ms"
    if reference is not None:
        reference_middle, reference_high = p50_p99(reference)
        line += f"   ratio {middle / reference_middle:5.2f}   {high / reference_high:5.2f}"
    print(line)


async def bare_echo() -> list[float]:
    connected: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Future()
    server = await asyncio.start_server(lambda *streams: connected.set_result(streams), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    command = (sys.executable, "-m", MODULE, "echo", str(port))
    child = await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL)
    reader, writer = await connected
    frame = {"id": 1, "calls": [["version", [], {}]], "epoch": None}

    async def round_trip() -> None:
        writer.write(frames.encode(frame))
        await frames.read(reader)

    taken = await timed(ROUND_TRIPS, round_trip)
    writer.close()
    server.close()
    await child.wait()
    return taken


async def begun(folder: Path, name: str) -> None:
    while not (folder / f"{name} begun").exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.001)


async def main() -> None:
    bare = await bare_echo()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = GatewaySettings()
        gateways = Gateways(
            spawn_workers(MODULE, {"path": name}), SystemClock(), settings, lambda change: print("  ", change)
        )
        await gateways.start()

        async def close() -> None:
            await gateways.call(Lane.ORDERS, [CLOSE], deadline=10, urgent=True)

        show("bare loopback frame echo", bare)
        empty = await timed(ROUND_TRIPS, lambda: gateways.call(Lane.READS, [Call("version")], deadline=2))
        show("gateway, empty call", empty, bare)
        normal = await timed(CLOSES, close)
        show("close", normal)

        read = asyncio.create_task(gateways.call(Lane.READS, [Call("held", ("read",))], deadline=60))
        await begun(folder, "read")
        show("close while a read hangs", await timed(CLOSES, close), normal)
        (folder / "read").touch()
        await read

        firsts: list[float] = []
        seconds: list[float] = []
        for number in range(HANGS):
            hold = f"order {number}"
            opening = Call("order_send", ({"until": hold},))
            hung = asyncio.create_task(gateways.call(Lane.ORDERS, [opening], deadline=60))
            await begun(folder, hold)
            for taken in (firsts, seconds):
                start = time.perf_counter()
                await close()
                taken.append((time.perf_counter() - start) * 1000)
            (folder / hold).touch()
            await hung
        show("first close while the order gateway hangs", firsts)
        show("the close after that", seconds, normal)
        first, budget = p50_p99(firsts), [ALLOWED_MS + 2 * close for close in p50_p99(normal)]
        print(
            f"first close: p50 {first[0]:.2f} of {budget[0]:.2f} ms, p99 {first[1]:.2f} of {budget[1]:.2f} ms allowed"
        )
        await gateways.stop()


if __name__ == "__main__":
    if sys.argv[1:2] == ["echo"]:
        echo(int(sys.argv[2]))
    else:
        asyncio.run(main())
