"""How Pieces become coloured cells on a line, and the widget that shows a few lines of them.

A widget that draws Pieces sends only the columns that differ to the terminal, and cleans every text once more at the
last moment before it is drawn.
"""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from console.state import Line, Piece, Tone
from console.text import plain

TONES: tuple[Tone, ...] = ("strong", "dim", "good", "bad", "warn", "alarm", "paper", "demo", "live", "key", "here")
TONE_CLASSES = frozenset(f"tone--{tone}" for tone in TONES)


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """The text in exactly `width` cells; what does not fit ends in an ellipsis."""
    text = plain(text)
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    padding = " " * (width - length)
    return padding + text if right else text + padding


def toned(widget: Widget, base: Style, tone: Tone) -> Style:
    """The style of a tone on a base. The screen holds the tones once: on every widget they would slow the start."""
    return base + widget.screen.get_component_rich_style(f"tone--{tone}", partial=True) if tone else base


def segments(widget: Widget, line: Iterable[Piece], base: Style) -> list[Segment]:
    """The Pieces in the screen's styles for their tones."""
    return [Segment(plain(text), toned(widget, base, tone)) for text, tone in line]


def first_difference(before: Line, after: Line) -> int:
    """The column from which two lines are drawn differently."""
    column = 0
    for old, new in zip(before, after, strict=False):
        if old != new:
            if old.tone != new.tone:
                return column
            same = next(
                (at for at, (was, now) in enumerate(zip(old.text, new.text, strict=False)) if was != now),
                min(len(old.text), len(new.text)),
            )
            return column + cell_len(new.text[:same])
        column += cell_len(new.text)
    return column


class Ink(Widget):
    """A few lines of Pieces, on a screen that has TONE_CLASSES. As high as its lines; with none it takes no room."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.lines: tuple[Line, ...] = ()
        self.add_class("-empty")

    def show(self, lines: Sequence[Line]) -> None:
        """Replace the lines; draws only what differs, from the first column that does."""
        before, self.lines = self.lines, tuple(lines)
        if len(before) != len(self.lines):
            self.set_class(not self.lines, "-empty")
            self.refresh(layout=True)
            return
        for y, (old, new) in enumerate(zip(before, self.lines, strict=True)):
            if old != new:
                x = first_difference(old, new)
                width = max(cell_len("".join(piece.text for piece in line)) for line in (old, new)) - x
                self.refresh(Region(x, y, max(1, width), 1))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many rows as there are lines."""
        return len(self.lines)

    def render_line(self, y: int) -> Strip:
        """One line, cut or filled to the width."""
        line = self.lines[y] if y < len(self.lines) else ()
        return Strip(segments(self, line, self.rich_style)).adjust_cell_length(self.size.width, self.rich_style)

    @property
    def text(self) -> str:
        """What is written, for a reader that cannot see colours."""
        return "\n".join("".join(piece.text for piece in line) for line in self.lines)
