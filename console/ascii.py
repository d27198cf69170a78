"""Every character that the console draws, in ASCII, one cell for one cell: for terminals whose locale is not UTF-8.

In: any text on its way to the terminal, with its escape sequences. Out: the same without a byte over 0x7f. What is not
drawn by us or by Textual, as a comment in another script, becomes a question mark a cell.
"""

from functools import lru_cache

from rich.cells import get_character_cell_size

_ALIKE = {
    "-": "─━═╌╍┄┅┈┉╴╶╸╺\u2013\u2014▔▁▂‾\u2212",
    "|": "│┃║╎╏┆┇┊┋╵╷╹╻▏▎▍▕▊▋▌▐▉",
    "+": "┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛┣┫┳┻╋╔╗╚╝╠╣╦╩╬┝┥┠┨┯┷┿╂▗▖▝▘▛▜▙▟",
    "#": "█▀▄▃▅▆▇■▓▒░▪▮",
    "*": "•●◉★✱∙⬤",
    ".": "…·",
    "o": "○◯□",
    ">": "▶►▸→\u276f⮞\u203a»",
    "<": "◀◄◂←\u276e\u2039«",
    "^": "▲△↑",
    "v": "▼▽↓",
    "x": "✕✖✗\u00d7",
    "'": "\u2018\u2019\u201a",
    '"': "\u201c\u201d\u201e",
    " ": "\u00a0",
}
_TABLE = {ord(letter): plain for plain, letters in _ALIKE.items() for letter in letters}


@lru_cache(maxsize=4096)
def _replaced(letter: str) -> str:
    return "?" * get_character_cell_size(letter)


def to_ascii(text: str) -> str:
    """The text in ASCII, as wide as before."""
    if text.isascii():
        return text
    text = text.translate(_TABLE)
    return text if text.isascii() else "".join(letter if letter.isascii() else _replaced(letter) for letter in text)
