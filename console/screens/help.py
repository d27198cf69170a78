"""Help: every key, from the command classes."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from console.commands import COMMANDS, Context
from console.screens.base import Painted
from console.state import Line, Piece, connection, data_age
from console.widgets.ink import Ink

_MOVING = (
    ("up down", "Move the cursor; pgup pgdn home end too, and the mouse."),
    ("esc", "Back out: close a dialog, clear the filter."),
)


def help_lines(context: Context) -> list[Line]:
    """A line a command: key, name, what it does, and why not when it is not available."""
    lines: list[Line] = []
    for command in COMMANDS:
        reason = command.unavailable(context)
        lines.append((Piece(f"{command.keys():>8}  ", "strong"), Piece(command.help())))
        if reason:
            lines.append((Piece(f"{'':8}  not now: {reason}", "dim"),))
    return lines + [(Piece(f"{keys:>8}  ", "strong"), Piece(said)) for keys, said in _MOVING]


class HelpScreen(Painted, ModalScreen[None]):
    """Closes on esc, q, enter or ?."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter,question_mark", "close", "Close", show=False)]

    def compose(self) -> ComposeResult:
        """One scrolling list."""
        with VerticalScroll(id="dialog"):
            yield Ink(id="dialog-title")
            yield Ink(id="dialog-lines")
            yield Ink(id="dialog-link")

    def on_mount(self) -> None:
        """Say it at once."""
        self.query_one("#dialog-title", Ink).show([(Piece("KEYS   (esc closes)", "strong"),)])
        self.paint(self.console.context())

    def paint(self, context: Context) -> None:
        """Keep the reasons true."""
        view = context.view
        self.query_one("#dialog-lines", Ink).show(help_lines(context))
        self.query_one("#dialog-link", Ink).show([(connection(view), Piece("  "), data_age(view))])

    def action_close(self) -> None:
        """Back to the screen below."""
        self.dismiss()
