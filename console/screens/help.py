"""Help: every key, from the command classes."""

import textwrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from console.commands import COMMANDS, Context
from console.screens.base import Painted
from console.screens.dialog import WIDTH
from console.state import Line, Piece, connection, data_age
from console.widgets.ink import Ink

_ROOM = WIDTH - 14
_MOVING = (
    ("up down", "Move the cursor; pgup pgdn home end too, and the mouse."),
    ("esc", "Back out: close a dialog, clear the filter."),
)


def help_lines(context: Context) -> list[Line]:
    """A line or two a command: key, what it does, and why not when it is not available."""
    told = [(command.keys(), command.help(), command.unavailable(context)) for command in COMMANDS]
    lines: list[Line] = []
    for keys, said, reason in [*told, *((keys, said, None) for keys, said in _MOVING)]:
        for number, row in enumerate(textwrap.wrap(said, _ROOM)):
            lines.append((Piece(f"{keys if number == 0 else '':>8}  ", "strong"), Piece(row)))
        lines += [(Piece(f"{'':10}{row}", "dim"),) for row in textwrap.wrap(f"not now: {reason}", _ROOM) if reason]
    return lines


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
        self.ready = True
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
