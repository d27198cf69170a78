"""What is pasted is text, never keys.

In: what a terminal sends. Out: the same without the escape characters inside a bracketed paste: Textual's parser would
take what follows one for keys, and a line of a coloured log would approve, flatten and confirm.
"""

from collections.abc import Iterable

from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, XTermParser
from textual.message import Message

_ESC = "\x1b"


class PasteParser(XTermParser):
    """Textual's parser behind that filter."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._pasting = False
        self._last = ""
        """While pasting, what may be the beginning of the end and was not passed on; else what passed last."""

    def feed(self, data: str) -> Iterable[Message]:
        """Parse what came; "" is the end."""
        text = self._without_escapes(data)
        if text or not data:
            yield from super().feed(text)

    def _without_escapes(self, data: str) -> str:
        kept = ""
        while data:
            marker = BRACKETED_PASTE_END if self._pasting else BRACKETED_PASTE_START
            held, self._last = self._last, ""
            before, found, data = (held + data).partition(marker)
            if self._pasting:
                self._last = "" if found else _begun(before, marker)
                kept += before[: len(before) - len(self._last)].replace(_ESC, "") + found
            else:
                self._last = "" if found else before[1 - len(marker) :]
                kept += (before + found)[len(held) :]
            self._pasting ^= bool(found)
        return kept


def _begun(text: str, marker: str) -> str:
    """The longest end of the text that the marker begins with."""
    return next((text[-size:] for size in range(len(marker) - 1, 0, -1) if marker.startswith(text[-size:])), "")
