"""Text from outside made safe before it is shown: comments, symbols, rejections, notes, names of accounts.

In: any text. Out: text that cannot steer the terminal, hide, reorder what stands beside it or act as markup. Every
widget of the console draws through `plain`, so that a caller who forgets does no harm.
"""

import unicodedata
from functools import lru_cache

from textual.content import Content

from engine.text import plain as _clean

_MARKS_PER_LETTER = 2
"""Combining marks kept after one letter; a pile of them would draw over the lines above and below."""


@lru_cache(maxsize=4096)
def plain(text: str, limit: int = 500) -> str:
    """The text in one line of at most `limit` characters: no control, escape, direction or zero-width characters."""
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return text
    kept: list[str] = []
    marks = 0
    for letter in _clean(text, limit):
        if unicodedata.category(letter) in ("Mn", "Me"):
            marks += 1
            if marks > _MARKS_PER_LETTER or "\ufe00" <= letter <= "\ufe0f":
                continue
        else:
            marks = 0
        kept.append(letter)
    return "".join(kept)


def content(text: str, limit: int = 500) -> Content:
    """Outside text for a stock widget: shown letter by letter, never read as markup."""
    return Content(plain(text, limit))
