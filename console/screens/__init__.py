"""The screens. Each is imported when it is first opened, so that the first frame waits for one of them only."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

if TYPE_CHECKING:
    from console.app import Console
    from console.away import Away


def opener(module: str, name: str) -> Callable[[], Screen[Any]]:
    """A function that imports and makes the screen `name` of `console.screens.module`."""

    def opened() -> Screen[Any]:
        screen = getattr(import_module(f"console.screens.{module}"), name)()
        if not isinstance(screen, Screen):
            raise TypeError(f"console.screens.{module}.{name} is not a screen")
        return screen

    return opened


def show_away(app: "Console", away: "Away") -> None:
    """Show what happened while the operator was away."""
    from console.screens.away import show

    show(app, away)
