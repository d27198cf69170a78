import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.e2e.house import House
from tests.e2e.screen import Screen
from tests.e2e.sshd import Sshd, serving, sshd_program

OpenHouse = Callable[..., House]
OpenScreen = Callable[..., Screen]
OpenSshd = Callable[[House], Sshd]

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
        _lacking("tmux is not installed: no real terminal to drive")
    with contextlib.ExitStack() as opened:

        def make(house: House, width: int = 80, height: int = 24, *command: str) -> Screen:
            screen = Screen(house, width, height, *command)
            opened.callback(screen.close)
            return screen

        yield make


@pytest.fixture
def open_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSshd]:
    """Serve houses over a real sshd; skipped without one, except in CI, where that is a failure."""
    program = sshd_program() or _lacking("openssh-server is not installed: no real sshd to log in to")
    with contextlib.ExitStack() as opened:
        yield lambda house: opened.enter_context(serving(house, tmp_path_factory.mktemp("sshd"), program))


def _lacking(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
