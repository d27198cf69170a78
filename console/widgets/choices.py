"""A short list of choices in a dialog. The cursor starts on the one that does nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from console.widgets.ink import fitted


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing to choose; `danger` closes positions or stops the engine."""

    name: str
    label: str
    danger: bool = False


class Choices(Widget, can_focus=True):
    """Choices one below the other: arrows or tab move, enter chooses."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"choices--here", "choices--danger-here", "choices--danger"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,left,shift+tab,k", "move(-1)", "Up", show=False),
        Binding("down,right,tab,j", "move(1)", "Down", show=False),
        Binding("enter", "choose", "Choose", show=False),
    ]

    class Chosen(Message):
        """The operator has chosen."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, choices: Sequence[Choice], default: str) -> None:
        super().__init__()
        self._choices = tuple(choices)
        self.here = next(index for index, choice in enumerate(choices) if choice.name == default)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One line a choice."""
        return len(self._choices)

    def render_line(self, y: int) -> Strip:
        """One choice."""
        if y >= len(self._choices):
            return Strip.blank(self.size.width, self.rich_style)
        choice, here = self._choices[y], y == self.here
        name = "danger-here" if here and choice.danger else "here" if here else "danger" if choice.danger else ""
        style = self.get_component_rich_style(f"choices--{name}") if name else self.rich_style
        return Strip([Segment(fitted(f"{'>' if here else ' '} {choice.label}", self.size.width), style)])

    def action_move(self, by: int) -> None:
        """Move the cursor; it stops at the ends."""
        self.here = min(max(self.here + by, 0), len(self._choices) - 1)
        self.refresh()

    def action_choose(self) -> None:
        """Choose what the cursor is on."""
        self.post_message(self.Chosen(self._choices[self.here].name))

    def on_click(self, event: events.Click) -> None:
        """Choose what was clicked."""
        if event.y < len(self._choices):
            self.here = event.y
            self.action_choose()
