"""Who is attached: everybody with an open stream, kept true while it is shown."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from console.commands import Context
from console.presence import who_lines
from console.screens.base import Painted
from console.state import Piece, connection, data_age
from console.widgets.ink import Ink


class WhoScreen(Painted, ModalScreen[None]):
    """Closes on esc, q, enter or w."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter,w", "close", "Close", show=False)]

    def compose(self) -> ComposeResult:
        """One scrolling list."""
        with VerticalScroll(id="dialog"):
            yield Ink(id="dialog-title")
            yield Ink(id="dialog-lines")
            yield Ink(id="dialog-link")

    def on_mount(self) -> None:
        """Say it at once."""
        self.ready = True
        self.query_one("#dialog-title", Ink).show([(Piece("WHO IS ATTACHED   (esc closes)", "strong"),)])
        self.paint(self.console.context())

    def paint(self, context: Context) -> None:
        """Keep it true."""
        view = context.view
        self.query_one("#dialog-lines", Ink).show(who_lines(view))
        self.query_one("#dialog-link", Ink).show([(connection(view), Piece("  "), data_age(view))])

    def action_close(self) -> None:
        """Back to the screen below."""
        self.dismiss()
