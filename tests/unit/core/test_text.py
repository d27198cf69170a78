import pytest

from engine.text import plain


@pytest.mark.parametrize(
    "hostile",
    ["\x1b]52;c;aGk=\x07", "\x1b[2J", "a\u202eb", "zero\u200bwidth", "\x9b31m", "nul\x00", "del\x7f", "line\u2028sep"],
)
def test_nothing_that_steers_a_terminal_or_hides_survives(hostile: str) -> None:
    cleaned = plain(hostile)
    assert all(letter.isprintable() for letter in cleaned)
    assert "\x1b" not in cleaned


def test_ordinary_text_in_any_language_is_kept() -> None:
    assert plain("Größe 5 € - отклонено 拒否 [/NEW]") == "Größe 5 € - отклонено 拒否 [/NEW]"


def test_line_breaks_become_spaces() -> None:
    assert plain("one\ntwo\tthree") == "one two three"


def test_long_text_is_cut_and_says_so() -> None:
    assert plain("x" * 1_000, 10) == "x" * 9 + "…"
