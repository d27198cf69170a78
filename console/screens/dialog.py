"""The frame of every dialog: a title, lines that stay live, choices of which the default does nothing, and esc."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from console.commands import Context
from console.screens.base import Painted
from console.state import Line, Piece, View, connection, data_age
from console.widgets.choices import Choice, Choices
from console.widgets.ink import Ink

WIDTH = 74
"""Columns inside a dialog's border; fits a terminal of 80."""


class Dialog(Painted, ModalScreen[str]):
    """Returns the name of the choice; esc returns "cancel"."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]
    choices: ClassVar[Sequence[Choice]]
    default: ClassVar[str] = "cancel"
    title_text: ClassVar[str]

    def compose(self) -> ComposeResult:
        """Title, lines, link, choices."""
        with Vertical(id="dialog"):
            yield Ink(id="dialog-title")
            yield Ink(id="dialog-lines")
            yield Ink(id="dialog-link")
            yield Choices(self.offered(), self.default)

    def on_mount(self) -> None:
        """Nothing is chosen by a key that was meant for the screen below."""
        self.ready = True
        self.give_keyboard()
        self.query_one("#dialog-title", Ink).show([(Piece(self.heading(), "strong"),)])
        self.paint(self.console.context())

    def give_keyboard(self) -> None:
        """Let keys go to the choices."""
        self.query_one(Choices).focus()

    def on_resize(self) -> None:
        """On a terminal that is too small for all of it, what the keys act on is what is seen."""
        if self.focused is not None:
            self.call_after_refresh(self.focused.scroll_visible, animate=False, immediate=True)

    def heading(self) -> str:
        """The title."""
        return self.title_text

    def offered(self) -> Sequence[Choice]:
        """The choices; the default is among them."""
        return self.choices

    def lines(self, view: View) -> Sequence[Line]:
        """What the dialog says now."""
        raise NotImplementedError

    def paint(self, context: Context) -> None:
        """Keep what the dialog says true."""
        view = context.view
        self.query_one("#dialog-lines", Ink).show(self.lines(view))
        self.query_one("#dialog-link", Ink).show([(connection(view), Piece("  "), data_age(view))])

    def on_choices_chosen(self, message: Choices.Chosen) -> None:
        """Return what was chosen."""
        self.dismiss(message.name)

    def action_cancel(self) -> None:
        """Do nothing."""
        self.dismiss("cancel")
