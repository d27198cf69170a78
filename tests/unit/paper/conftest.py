from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.paper.store import StateStore


@pytest.fixture(autouse=True)
def state_files_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what a test has left open as a crash does: a file that is never closed is a warning from Python 3.13 on."""
    opened: list[StateStore] = []
    honest = StateStore.__init__

    def watched(self: StateStore, path: Path, identity: str, **options: Any) -> None:
        honest(self, path, identity, **options)
        opened.append(self)

    monkeypatch.setattr(StateStore, "__init__", watched)
    yield
    for store in opened:
        store.close()
