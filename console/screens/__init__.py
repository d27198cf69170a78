"""The screens. Each is imported when it is first opened, so that the first frame waits for one of them only."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from textual.screen import Screen


def opener(module: str, name: str) -> Callable[[], Screen[Any]]:
    """A function that imports and makes the screen `name` of `console.screens.module`."""

    def opened() -> Screen[Any]:
        screen = getattr(import_module(f"console.screens.{module}"), name)()
        if not isinstance(screen, Screen):
            raise TypeError(f"console.screens.{module}.{name} is not a screen")
        return screen

    return opened
