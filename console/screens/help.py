"""Help: every key, from the command classes."""

import textwrap
from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from console.commands import COMMANDS, Context
from console.screens.dialog import WIDTH
from console.screens.page import Page
from console.state import Line, Piece

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


class HelpScreen(Page[None]):
    """Closes on esc, q, enter or ?."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter,question_mark", "close", "Close", show=False)]

    def title_lines(self, context: Context) -> Sequence[Line]:
        """What it is."""
        return [(Piece("KEYS   (esc closes)", "strong"),)]

    def body(self, context: Context) -> Sequence[Line]:
        """Every command, and why one is not available."""
        return help_lines(context)

    def action_close(self) -> None:
        """Back to the screen below."""
        self.dismiss()
