"""A page of lines over the screen below: a title, what there is to read, and the state of the link, kept true."""

from collections.abc import Sequence
from typing import TypeVar

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from console.commands import Context
from console.screens.base import Painted
from console.state import Line, Piece, connection, data_age
from console.widgets.ink import Ink

Left = TypeVar("Left")


class Page(Painted, ModalScreen[Left]):
    """What the pages share. A subclass says its title and its lines, and how it is left."""

    def compose(self) -> ComposeResult:
        """One scrolling list."""
        with VerticalScroll(id="dialog"):
            yield Ink(id="dialog-title")
            yield Ink(id="dialog-lines")
            yield Ink(id="dialog-link")

    def on_mount(self) -> None:
        """Say it at once."""
        self.ready = True
        context = self.console.context()
        self.query_one("#dialog-title", Ink).show(self.title_lines(context))
        self.paint(context)

    def paint(self, context: Context) -> None:
        """Keep it true."""
        view = context.view
        self.query_one("#dialog-lines", Ink).show(self.body(context))
        self.query_one("#dialog-link", Ink).show([(connection(view), Piece("  "), data_age(view))])

    def title_lines(self, context: Context) -> Sequence[Line]:
        """What it is, and the keys that leave it."""
        raise NotImplementedError

    def body(self, context: Context) -> Sequence[Line]:
        """What there is to read now."""
        raise NotImplementedError
