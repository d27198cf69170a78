import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from console import cli
from engine.control.access import Access
from engine.control.address import control_address
from engine.control.server import ControlServer
from engine.control.tokens import TokenBook
from tests.unit.control.fake import FakeEngine


@contextmanager
def serving(engine: FakeEngine, folder: Path) -> Iterator[None]:
    """Serve an engine from a thread of its own, as another process would."""
    loop = asyncio.new_event_loop()
    server = ControlServer(engine, control_address(folder), snapshot_interval=0.01, access=Access(TokenBook(folder)))
    loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of the profile "paper"; no engine runs."""
    monkeypatch.setenv("QUARTERDECK_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    folder = tmp_path / "state" / "paper"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def engine(state: Path) -> Iterator[FakeEngine]:
    """A running engine of the profile "paper"."""
    served = FakeEngine()
    with serving(served, state):
        yield served


Run = Any
"""Runs the command line in this process with these arguments, and returns its result."""


@pytest.fixture
def run(state: Path) -> Run:
    def _run(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(cli.app, list(arguments), **options)

    return _run
