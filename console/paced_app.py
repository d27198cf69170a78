"""A Textual application that keeps to its terminal: its colours, its characters, and how fast it takes what is painted.

In: a Terminal. Out: the driver, the filters and the tick that go with it; `paint` is called when there is room for one.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import RenderableType
from textual import on
from textual.app import App
from textual.driver import Driver
from textual.filter import LineFilter
from textual.notifications import Notify
from textual.screen import Screen
from textual.widgets._toast import ToastRack

from console.driver import FlowMoved, driver_class
from console.flow import Flow
from console.pacing import Pacer
from console.terminal import Colours, NoColours, Terminal

TOLD_AT_ONCE = 4
"""Messages in the corner; more would lie over the state of the account."""


class PacedApp(App[int]):
    """What is paced. `clock` counts monotonic seconds."""

    def __init__(self, terminal: Terminal | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.terminal = terminal or Terminal()
        super().__init__(driver_class=driver_class(self.terminal.ascii_only))
        self.console = self.terminal.rich_console()
        self.theme = self.terminal.theme
        self.animation_level = "none"
        self.flow = Flow(clock)
        self.pacer = Pacer(self, self.flow, self.paint, clock)
        self.metered = False
        """Whether the screens show what the line is doing."""

    def on_notify(self, message: Notify) -> None:
        """Make room among what was told before: a few of the newest, none of them twice, leave the screen readable."""
        told = message.notification
        others = [other for other in self._notifications if other is not told]
        same = [other for other in others if (other.title, other.message) == (told.title, told.message)]
        rest = [other for other in others if other not in same]
        for old in (*same, *rest[: max(0, len(rest) - TOLD_AT_ONCE + 1)]):
            self._unnotify(old, refresh=False)
            for stack in self._screen_stacks.values():
                for screen in stack:
                    # Left to itself Textual takes the message out and leaves its place, and a full rack scrolls.
                    screen.query(f"#{ToastRack._toast_id(old)}").remove()

    def paint(self) -> None:
        """Show what is known."""
        raise NotImplementedError

    def start_painting(self) -> None:
        """Begin the tick."""
        self.set_class(self.terminal.colours is Colours.NONE, "-no-colours")
        self.set_class(self.terminal.ascii_only, "-ascii")
        self.set_interval(1 / self.terminal.paints_per_second, self.pacer.tick)

    @on(Driver.SignalResume)
    def _foreground_again(self) -> None:
        """Suspended, and back: nothing of what was drawn is on the terminal any more."""
        self.screen.refresh(layout=True)

    def on_flow_moved(self, message: FlowMoved) -> None:
        """The terminal has taken something."""
        self.pacer.moved()

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        """Textual writes a frame."""
        super()._display(screen, renderable)
        if self._running:
            self.pacer.shown(renderable is not None)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Without colours, ours; Textual's turns them into greys."""
        return [NoColours()] if self.terminal.colours is Colours.NONE else super().get_line_filters()
