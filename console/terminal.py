"""What the terminal can do, from its environment and the command line: colours, characters, how much it may be sent.

In: environment variables, options. Out: a Terminal, and what Textual needs to keep to it.
"""

import locale
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rich.console import Console as RichConsole
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter


class Colours(StrEnum):
    """How many colours the terminal is sent."""

    NONE = "none"
    SIXTEEN = "16"
    MANY = "256"
    TRUE = "true"


_SYSTEMS = {Colours.NONE: "standard", Colours.SIXTEEN: "standard", Colours.MANY: "256", Colours.TRUE: "truecolor"}


@dataclass(frozen=True, slots=True)
class Terminal:
    """What is sent to the terminal. `low_bandwidth` is for a line that costs: 16 colours, a paint a second."""

    colours: Colours = Colours.TRUE
    ascii_only: bool = False
    low_bandwidth: bool = False

    @property
    def paints_per_second(self) -> int:
        """How often what is known is shown."""
        return 1 if self.low_bandwidth else 4

    @property
    def curve_seconds(self) -> float:
        """The shortest time between two drawings of the equity curve."""
        return 10.0 if self.low_bandwidth else 1.0

    @property
    def theme(self) -> str:
        """The theme whose colours the terminal has."""
        return "ansi-dark" if self.colours in (Colours.NONE, Colours.SIXTEEN) else "textual-dark"

    @property
    def marker(self) -> str:
        """What plotext draws a curve with."""
        if self.ascii_only:
            return "*"
        return "hd" if os.environ.get("TERM") == "linux" else "braille"

    def rich_console(self) -> RichConsole:
        """Writes colours as this terminal knows them; it writes into nothing, Textual asks it for text only."""
        from textual.app import _NullFile

        file: Any = _NullFile()
        environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        return RichConsole(
            color_system=_SYSTEMS[self.colours],  # type: ignore[arg-type]
            file=file,
            markup=True,
            highlight=False,
            emoji=False,
            legacy_windows=False,
            _environ=environment,
            force_terminal=True,
            safe_box=False,
            soft_wrap=False,
        )


def detect(
    environ: Mapping[str, str],
    *,
    colours: Colours | None = None,
    ascii_only: bool = False,
    low_bandwidth: bool = False,
    utf8: bool | None = None,
) -> Terminal:
    """The terminal of this environment; the options stand above it. `utf8`: whether its locale is, if known."""
    if environ.get("NO_COLOR"):
        colours = Colours.NONE
    if colours is None:
        colours = Colours.SIXTEEN if low_bandwidth else _colours_of(environ)
    return Terminal(colours, ascii_only or not (_utf8() if utf8 is None else utf8), low_bandwidth)


def _colours_of(environ: Mapping[str, str]) -> Colours:
    if environ.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return Colours.TRUE
    term = environ.get("TERM", "").lower()
    if "256" in term or "kitty" in term:
        return Colours.MANY
    return Colours.TRUE if sys.platform == "win32" else Colours.SIXTEEN


def _utf8() -> bool:
    """Whether the locale is UTF-8. In the C locale Python says so too, but then it has switched its UTF-8 mode on."""
    if sys.platform == "win32":
        return True
    if sys.flags.utf8_mode and os.environ.get("PYTHONUTF8") != "1":
        return False
    return "utf" in locale.getpreferredencoding(False).lower()


class NoColours(LineFilter):
    """Drops every colour; bold, underline and reverse stay."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments without colours."""
        return [Segment(text, _uncoloured(style), control) for text, style, control in segments]


def _uncoloured(style: Style | None) -> Style | None:
    if style is None:
        return None
    return Style(
        bold=style.bold or None, underline=style.underline or None, reverse=style.reverse or None, meta=style.meta
    )
