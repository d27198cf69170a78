"""Pasted text never becomes keys, in whatever pieces it comes."""

import pytest
from textual import events

from console.pasted import PasteParser

BEGIN, END = "\x1b[200~", "\x1b[201~"


def parsed(*pieces: str) -> list[str]:
    parser = PasteParser()
    return [
        message.key if isinstance(message, events.Key) else f"paste {message.text!r}"
        for piece in pieces
        for message in parser.feed(piece)
        if isinstance(message, events.Key | events.Paste)
    ]


@pytest.mark.parametrize(
    ("pasted", "text"),
    [
        ("F\r", "F\r"),
        ("log \x1b[31mF a\x1b[B\r\x1b[0m", "log [31mF a[B\r[0m"),
        ("\x1b", ""),
        ("\x1b\x1b[20\x1bF\x1b[2", "[20F[2"),
        (BEGIN + "a", "[200~a"),
    ],
)
def test_an_escape_in_a_paste_is_no_key(pasted: str, text: str) -> None:
    whole = f"p{BEGIN}{pasted}{END}q"
    expected = ["p", f"paste {text!r}", "q"]
    assert parsed(whole) == expected
    assert parsed(*whole) == expected
    for cut in range(1, len(whole)):
        assert parsed(whole[:cut], whole[cut:]) == expected


def test_keys_are_what_they_were() -> None:
    assert parsed("F\x1b[B\r", "\x1b[A", "é") == ["F", "down", "enter", "up", "é"]
