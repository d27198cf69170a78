"""A small engine for the tests of the host: `engine_script.py FOLDER serve|slow SECONDS|fail WORDS|hang`."""

import asyncio
import sys
from pathlib import Path

import filelock

from engine.control.address import control_address
from engine.control.server import ControlServer
from tests.unit.control.fake import FakeEngine


async def _serve(folder: Path) -> None:
    engine = FakeEngine()
    server = ControlServer(engine, control_address(folder), snapshot_interval=0.02)
    await server.start()
    await engine.entered.wait()
    await server.stop()


async def _main(folder: Path, what: str, *words: str) -> int:
    with (folder / "started").open("a") as started:
        started.write(".")
    if what == "fail":
        print(*words, file=sys.stderr, flush=True)
        return 3
    lock = filelock.FileLock(folder / "engine.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return 75
    if what == "hang":
        await asyncio.sleep(600)
    if what == "slow":
        await asyncio.sleep(float(words[0]))
    with (folder / "served").open("a") as served:
        served.write(".")
    await _serve(folder)
    lock.release()
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(_main(Path(sys.argv[1]), *sys.argv[2:])))
