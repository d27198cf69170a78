"""What all four screens share: header, banner, tabs, filter line and key bar around a body."""

from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget

from console import describe
from console.commands import Context, hints
from console.compositor import DrawnCompositor
from console.presence import others_here
from console.state import Line, Piece, Row, View
from console.text import plain
from console.widgets.ink import TONE_CLASSES, Ink
from console.widgets.key_bar import KeyBar
from console.widgets.meter import meter_line

if TYPE_CHECKING:
    from textual.widgets import Input

    from console.app import Console

NEEDED = (80, 24)
"""The smallest terminal, columns by rows, on which everything fits."""


class Answer(Message):
    """What the engine answered to a screen's question, or why it did not."""

    def __init__(self, name: str, value: object, problem: str = "") -> None:
        super().__init__()
        self.name = name
        self.value = value
        self.problem = problem


class Painted(Screen[Any]):
    """A screen that the app's tick keeps true while it is visible. Holds the styles of the tones."""

    COMPONENT_CLASSES: ClassVar[set[str]] = set(TONE_CLASSES)
    ready = False
    """Whether the screen has its widgets: a tick may come while they are still being made."""

    def __init__(self) -> None:
        super().__init__()
        self._compositor = DrawnCompositor()

    def paint(self, context: Context) -> None:
        """Show what is known now."""
        raise NotImplementedError

    def _compositor_refresh(self) -> None:
        """Textual writes what has changed here; what a terminal that is behind must wait for is kept, not lost."""
        if self.console.pacer.holding:
            self.console.pacer.deferred = True
        else:
            super()._compositor_refresh()

    @property
    def console(self) -> "Console":
        """The app."""
        return cast("Console", self.app)


class ConsoleScreen(Painted):
    """One of the four screens. `paint` is called by the app's tick while the screen is visible."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "clear_filter", "Clear", show=False)]
    name_here: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.filter_text = ""

    def compose(self) -> ComposeResult:
        """The frame."""
        yield Ink(id="header")
        yield Ink(id="banner")
        yield Ink(id="tabs")
        with Container(id="body"):
            yield from self.body()
        yield Ink(id="filter")
        yield Ink(id="meter")
        yield KeyBar(id="keys")
        yield Ink(id="too-small")

    def body(self) -> ComposeResult:
        """The screen's own widgets."""
        raise NotImplementedError

    def paint_body(self, view: View) -> None:
        """Show the view in the screen's own widgets."""
        raise NotImplementedError

    def main(self) -> Widget:
        """The widget that has the keyboard when nothing else needs it."""
        raise NotImplementedError

    def selected(self) -> Row | None:
        """The row a command would act on."""
        return None

    def settled(self) -> bool:
        """Whether the operator has had time to see that row."""
        return True

    def on_mount(self) -> None:
        """Give the keyboard to the body, and have content in the very first frame."""
        self.ready = True
        self.main().focus()
        self.paint(self.console.context())

    def on_screen_resume(self) -> None:
        """Nothing old is shown while the next tick is awaited."""
        if self.ready:
            self.paint(self.console.context())

    @property
    def cramped(self) -> bool:
        """Whether the terminal is too small to be read without mistakes."""
        width, height = self.app.size
        return width < NEEDED[0] or height < NEEDED[1]

    def on_resize(self) -> None:
        """Say so when the terminal is too small."""
        (width, height), small = self.app.size, self.cramped
        self.set_class(small, "-too-small")
        said = f"Too small: {width}x{height}. Quarterdeck needs {NEEDED[0]}x{NEEDED[1]}."
        self.query_one("#too-small", Ink).show([(Piece(said, "alarm"),)] if small else [])

    def paint(self, context: Context) -> None:
        """Show the view."""
        view = context.view
        width = self.app.size.width
        header = self.query_one("#header", Ink)
        header.show(describe.header(view, width))
        header.set_class(view.snapshot is not None and view.snapshot.engine.environment == "live", "-live")
        self.query_one("#banner", Ink).show(describe.banner(view, width))
        tabs = describe.tabs(view, self.name_here)
        self.query_one("#tabs", Ink).show([(*tabs, *others_here(view, tabs, width))])
        self.query_one("#filter", Ink).show(self._filter_lines())
        console = self.console
        self.query_one("#meter", Ink).show([meter_line(console.pacer.pace(), view)] if console.metered else [])
        self.paint_body(view)
        self.query_one(KeyBar).show_hints(hints(context))

    def _filter_lines(self) -> tuple[Line, ...]:
        if not self.filter_text or self.query("#filter-input"):
            return ()
        return ((Piece(f" Filter: {plain(self.filter_text, 60)}", "warn"), Piece("   esc clears", "dim")),)

    def filter_changed(self) -> None:
        """The filter is another one; the next paint shows it."""

    def open_filter(self) -> None:
        """Let the operator type a filter."""
        if not self.query("#filter-input"):
            from textual.widgets import Input

            field = Input(
                self.filter_text,
                placeholder="show only rows that hold this text; enter keeps it, esc clears",
                id="filter-input",
                restrict=r"[^\x00-\x1f\x7f-\x9f]*",
                max_length=100,
                compact=True,
            )
            field.cursor_blink = False
            self.mount(field, before="#filter")
            field.focus()

    def on_input_changed(self, message: "Input.Changed") -> None:
        """Filter while typing."""
        self._set_filter(message.value)

    async def on_input_submitted(self, message: "Input.Submitted") -> None:
        """Keep the filter and go back to the rows."""
        await self._close_filter()

    async def action_clear_filter(self) -> None:
        """Show everything again."""
        await self._close_filter()
        self._set_filter("")

    async def _close_filter(self) -> None:
        await self.query("#filter-input").remove()
        self.main().focus()

    def _set_filter(self, text: str) -> None:
        if text.strip() != self.filter_text:
            self.filter_text = text.strip()
            self.filter_changed()
