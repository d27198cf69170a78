"""The last line: what can be done here. Unavailable commands are greyed; pressing one says why."""

from dataclasses import dataclass

from rich.cells import cell_len
from textual import events

from console.state import Piece
from console.widgets.ink import Ink


@dataclass(frozen=True, slots=True)
class Hint:
    """One entry: the key, what it does now, whether it can be done, and the action a click runs."""

    key: str
    label: str
    available: bool
    action: str


class KeyBar(Ink):
    """Keys and what they do, as many as fit."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._spots: list[tuple[int, int, str]] = []

    def show_hints(self, hints: list[Hint]) -> None:
        """Replace the entries."""
        texts = [f"{hint.key} {hint.label if hint.available else f'({hint.label})'}" for hint in hints]
        wide = sum(cell_len(text) + 2 for text in texts) < self.app.size.width
        gap, column = (2 if wide else 1), 1
        line: list[Piece] = [Piece(" ")]
        self._spots = []
        for hint, text in zip(hints, texts, strict=True):
            self._spots.append((column, column + cell_len(text), hint.action))
            column += cell_len(text) + gap
            if hint.available:
                line += [Piece(hint.key, "strong"), Piece(text[len(hint.key) :] + " " * gap, "key")]
            else:
                line.append(Piece(text + " " * gap, "dim"))
        self.show([tuple(line)])

    async def on_click(self, event: events.Click) -> None:
        """A click does what the key does."""
        for start, end, action in self._spots:
            if start <= event.x < end:
                await self.app.run_action(action)
                return
