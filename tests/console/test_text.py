import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.text import content, plain
from tests.console.fake import HOSTILE


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_keeps_no_character_that_steers_a_terminal(text: str) -> None:
    for letter in plain(text):
        assert unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


@given(st.text(max_size=80))
def test_any_text_becomes_one_bounded_line(text: str) -> None:
    assert len(plain(text, 20)) <= 20
    assert plain(text, 20).isprintable() or not plain(text, 20).isascii()


def test_a_pile_of_combining_marks_is_cut_to_two() -> None:
    assert plain("e" + "\u0301" * 40 + "x") == "e\u0301\u0301x"


def test_selectors_that_change_a_letters_width_are_dropped() -> None:
    assert plain("\u2764\ufe0f") == "\u2764"


def test_markup_is_shown_letter_by_letter() -> None:
    shown = content("[@click=app.quit]x[/]")
    assert shown.plain == "[@click=app.quit]x[/]"
    assert not shown.spans
