"""Text from outside is data. This makes it safe to store and to show."""

import unicodedata

_DROPPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls (ESC among them), bidirectional and zero-width marks, surrogates, private use, line separators."""


def plain(text: str, limit: int = 500) -> str:
    """The text without anything that could steer a terminal or hide, at most `limit` characters."""
    kept = "".join(" " if letter in "\t\r\n" else letter for letter in text[: 4 * limit])
    kept = "".join(letter for letter in kept if unicodedata.category(letter) not in _DROPPED_CATEGORIES)
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"
