"""What a command of the console is: one class, of which key binding, palette entry, help line and key bar are made."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from console.state import Phase, Row, View

if TYPE_CHECKING:
    from console.app import Console

READ_ONLY = "READ-ONLY: this console was started with --read-only"
VIEWER = "READ-ONLY: the engine's owner lets you look, not act"
NOT_CONNECTED = "not sent: the engine is not connected"
WITHOUT_ENGINE = "without it, in a shell: quarterdeck flatten --direct"


@dataclass(frozen=True, slots=True)
class Context:
    """What a command's availability depends on."""

    view: View
    screen: str
    row: Row | None = None
    settled: bool = True
    under_way: frozenset[tuple[str, int]] = frozenset()
    """Decisions (signal, version) that were sent and are not answered yet."""
    cramped: bool = False
    """Whether the terminal is too small to show what would be acted on."""
    mode_age: float = math.inf
    """Seconds since the engine's mode on the screen became another one."""


class Command:
    """Something the operator can do. The docstring is its help."""

    name: ClassVar[str]
    key: ClassVar[str]
    shown_key: ClassVar[str] = ""
    title: ClassVar[str]
    in_bar: ClassVar[bool] = True

    @classmethod
    def help(cls) -> str:
        """What it does, for help and palette."""
        return (cls.__doc__ or "").strip()

    @classmethod
    def keys(cls) -> str:
        """The key as it is written."""
        return cls.shown_key or cls.key

    def label(self, context: Context) -> str:
        """What it would do now."""
        return self.title

    def here(self, context: Context) -> bool:
        """Whether the key bar of this screen names it."""
        return self.in_bar

    def unavailable(self, context: Context) -> str | None:
        """Why it cannot be done now; None when it can."""
        return None

    async def run(self, app: "Console", context: Context) -> None:
        """Do it."""
        raise NotImplementedError


def linked(context: Context) -> str | None:
    """Why nothing can be sent now; None when it can."""
    if context.view.looks_only:
        return READ_ONLY if context.view.read_only else VIEWER
    return None if context.view.phase is Phase.CONNECTED else NOT_CONNECTED
