"""Terminals that can do little, and lines that carry little: what the far end gets, byte by byte."""

import os
import pty
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.conftest import OpenHouse
from tests.e2e.house import PATIENCE_SECONDS, QUICK, until
from tests.e2e.line import Line

OpenLine = Callable[..., Line]
_SGR = re.compile(rb"\x1b\[([0-9;]*)m")
_COLOUR = re.compile(rb"(^|;)(3[0-9]|4[0-9]|9[0-7]|10[0-7])(;|$)")
FULL_FRAME_BYTES = 9_000
SCREENS = (("2", b"[2 Positions"), ("3", b"[3 Equity"), ("4", b"[4 Events"), ("5", b"[5 Risk"), ("1", b"[1 Approvals"))


@pytest.fixture
def open_line(open_house: OpenHouse) -> Iterator[OpenLine]:
    with ExitStack() as opened:

        def make(*arguments: str, speed: float = 1e9, **environment: str) -> Line:
            house = open_house(**QUICK, TERM="xterm-256color", COLORTERM="truecolor", **environment)
            line = Line(house, *arguments, bytes_per_second=speed)
            opened.callback(line.close)
            line.read_until(lambda got: b"Equity" in got and b"RUNNING" in got)
            return line

        yield make


def _see_everything(line: Line) -> set[bytes]:
    """Open every screen and some dialogs; return the styles that were sent."""
    for key, shown in SCREENS:
        line.press(key)
        line.read_until(lambda got, shown=shown: shown in got)  # type: ignore[misc]
    for key, shown in (("?", b"KEYS"), ("F", b"FLATTEN")):
        line.press(key)
        line.read_until(lambda got, shown=shown: shown in got.upper())  # type: ignore[misc]
        line.press("\x1b")
        line.read_until(lambda got: len(got) > 500)
    return set(_SGR.findall(line.received))


def test_a_plain_terminal_gets_ascii_and_no_more_than_sixteen_colours(open_line: OpenLine) -> None:
    line = open_line("--colours", "16", LC_ALL="C")
    styles = _see_everything(line)
    assert line.received.isascii()
    assert not any(b"8;2;" in style or b"8;5;" in style for style in styles)
    assert any(_COLOUR.search(style) for style in styles)


def test_no_color_sends_no_colour_at_all_and_still_reverses(open_line: OpenLine) -> None:
    styles = _see_everything(open_line(NO_COLOR="1", LC_ALL="C.UTF-8"))
    assert not [style for style in styles if _COLOUR.search(style)]
    assert any(b"7" in style.split(b";") for style in styles)


def test_on_9600_bits_a_second_the_screen_that_is_asked_for_comes_next(open_line: OpenLine) -> None:
    line = open_line("--low-bandwidth", speed=1200)
    line.read_until(lambda got: len(got) > 3000)
    for key, shown in SCREENS:
        before = len(line.received)
        line.press(key)
        took = line.read_until(lambda got, shown=shown: shown in got)  # type: ignore[misc]
        # One frame that was on its way when the key was pressed, and the one that was asked for.
        assert len(line.received) - before < 2 * FULL_FRAME_BYTES, (key, took)


def test_a_console_whose_terminal_is_gone_without_a_hang_up_ends(open_house: OpenHouse) -> None:
    """A terminal that is not its controlling one sends it no signal."""
    house = open_house(**QUICK)
    outer, inner = pty.openpty()
    console = house.start(stdin=inner, stdout=inner, stderr=inner)
    os.close(inner)
    with os.fdopen(outer, "rb", buffering=0) as terminal:
        until(lambda: b"RUNNING" in terminal.read(65_536), "a console that shows its engine")
    assert console.wait(PATIENCE_SECONDS) == -signal.SIGHUP
    assert house.look()["engine"]["mode"] == "RUNNING"
