import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.house import House
from tests.e2e.screen import Screen

OpenHouse = Callable[..., House]
OpenScreen = Callable[..., Screen]

if sys.platform != "linux":
    collect_ignore_glob = ["test_*.py"]


@contextlib.contextmanager
def houses(folders: Callable[[], Path]) -> Iterator[OpenHouse]:
    """Make houses, and leave no process of any of them behind."""
    made: list[House] = []

    def make(**settings: str) -> House:
        house = House(folders(), settings or None)
        made.append(house)
        return house

    try:
        yield make
    finally:
        with contextlib.ExitStack() as stack:
            for house in made:
                stack.callback(house.clear)


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house for one test, empty and quiet. Its path is short, as a socket's must be."""
    with houses(lambda: tmp_path_factory.mktemp("h")) as make:
        yield make()


@pytest.fixture
def open_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenHouse]:
    """Make an empty house with these variables in its environment."""
    with houses(lambda: tmp_path_factory.mktemp("h")) as make:
        yield make


@pytest.fixture
def open_screen() -> Iterator[OpenScreen]:
    """Open real terminals; skipped without tmux, except in CI, where that is a failure."""
    if shutil.which("tmux") is None:
        reason = "tmux is not installed: no real terminal to drive"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with contextlib.ExitStack() as opened:

        def make(house: House, width: int = 80, height: int = 24, *command: str) -> Screen:
            screen = Screen(house, width, height, *command)
            opened.callback(screen.close)
            return screen

        yield make
