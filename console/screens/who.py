"""Who is attached: everybody with an open stream, kept true while it is shown."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from console.commands import Context
from console.presence import who_lines
from console.screens.page import Page
from console.state import Line, Piece


class WhoScreen(Page[None]):
    """Closes on esc, q, enter or w."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter,w", "close", "Close", show=False)]

    def title_lines(self, context: Context) -> Sequence[Line]:
        """What it is."""
        return [(Piece("WHO IS ATTACHED   (esc closes)", "strong"),)]

    def body(self, context: Context) -> Sequence[Line]:
        """Everybody."""
        return who_lines(context.view)

    def action_close(self) -> None:
        """Back to the screen below."""
        self.dismiss()
