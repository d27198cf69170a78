"""Closing a part of the account: the questions before it. Every default closes nothing.

What is asked for is fixed when the dialog opens: a position by its identifier and the volume that was on the screen.
The engine refuses it when either has moved on.
"""

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical

from console import format as fmt
from console.link import Told
from console.screens.dialog import WIDTH, Dialog
from console.state import Line, Piece, View, closing_words, tone_of
from console.text import plain
from console.widgets.choices import Choice
from console.widgets.ink import Ink

if TYPE_CHECKING:
    from textual.widgets import Input

    from console.app import Console
    from engine.control.messages import CloseScope, PositionView

REASON = "closed by the operator"
_LISTED = 7


class CloseDialog(Dialog):
    """Says what will be closed. The default is Cancel."""

    title_text = "CLOSE A PART OF THE ACCOUNT?"

    def __init__(self, what: str, positions: "Iterable[PositionView]", *more: Choice) -> None:
        super().__init__()
        self._what = what
        self._identifiers = frozenset(position.identifier for position in positions)
        self._more = more

    def offered(self) -> Sequence[Choice]:
        """Cancel, all of it, and what else the question offers."""
        return (
            Choice("cancel", "Cancel: close nothing"),
            Choice("close", f"Close {self._what}", danger=True),
            *self._more,
        )

    def lines(self, view: View) -> Sequence[Line]:
        """The positions that this closes, as they are now."""
        snapshot = view.snapshot
        positions = [item for item in snapshot.positions if item.identifier in self._identifiers] if snapshot else []
        digits = snapshot.account.currency_digits if snapshot and snapshot.account else 2
        said = f"Closes {self._what}. Entries in it are blocked meanwhile; the engine's mode stays."
        lines: list[Line] = [(Piece(row),) for row in textwrap.wrap(said, WIDTH)]
        for position in positions[:_LISTED]:
            side = "BUY " if position.type == 0 else "SELL"
            text = f"  {position.ticket}  {plain(position.symbol, 12)}  {side} {fmt.volume(position.volume)}  "
            profit = Piece(fmt.signed(position.profit, digits), tone_of(position.profit))
            lines.append((Piece(text), profit, Piece("  FOREIGN" if position.foreign else "", "warn")))
        if len(positions) > _LISTED:
            lines.append((Piece(f"  ... and {len(positions) - _LISTED} more"),))
        if not positions:
            lines.append((Piece("  None of it is open now.", "warn"),))
        return lines


class AskText(Dialog):
    """Asks for some words or a number. Returns "" when nothing was typed, or on esc."""

    def __init__(self, title: str, said: str, placeholder: str) -> None:
        super().__init__()
        self._heading = title
        self._said = said
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        """Title, lines, link, a field."""
        from textual.widgets import Input

        with Vertical(id="dialog"):
            yield Ink(id="dialog-title")
            yield Ink(id="dialog-lines")
            yield Ink(id="dialog-link")
            typed = r"[^\x00-\x1f\x7f-\x9f]*"
            field = Input(
                id="dialog-field", placeholder=self._placeholder, restrict=typed, max_length=200, compact=True
            )
            field.cursor_blink = False
            yield field

    def give_keyboard(self) -> None:
        """Let keys go to the field."""
        self.query_one("#dialog-field").focus()

    def heading(self) -> str:
        """The title."""
        return self._heading

    def lines(self, view: View) -> Sequence[Line]:
        """What is asked."""
        return [(Piece(row),) for row in textwrap.wrap(self._said, WIDTH)]

    def on_input_submitted(self, message: "Input.Submitted") -> None:
        """Return what was typed."""
        self.dismiss(message.value.strip())

    def action_cancel(self) -> None:
        """Nothing was typed."""
        self.dismiss("")


class GiveUpDialog(Dialog):
    """Which of the closes under way is to be given up. The default is none."""

    title_text = "GIVE UP A CLOSE?"
    _shown: ClassVar[int] = 8

    def __init__(self, named: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._named = named[: self._shown]

    def offered(self) -> Sequence[Choice]:
        """None, or one of them."""
        ways = [Choice(name, plain(words, WIDTH - 2), danger=True) for name, words in self._named]
        return (Choice("cancel", "Cancel: they go on"), *ways)

    def lines(self, view: View) -> Sequence[Line]:
        """What it means."""
        said = "What is left of it stays open, and nothing closes it any more. A given up flatten halts the account."
        return [(Piece(row, "warn"),) for row in textwrap.wrap(said, WIDTH)]


async def ask_and_close_position(app: "Console", position: "PositionView") -> None:
    """Ask about one position as it was on the screen: all of it, or a part."""
    from engine.control.messages import PositionScope

    whole = f"position {position.ticket} {plain(position.symbol, 12)} {fmt.volume(position.volume)}"
    part = Choice("part", "Close a part of it: asks how many lots", danger=True)
    choice = await app.push_screen_wait(CloseDialog(whole, [position], part))
    volume: float | None = None
    if choice == "part":
        typed = await app.push_screen_wait(AskText("CLOSE HOW MANY LOTS?", f"Of {whole}.", "lots; esc closes nothing"))
        volume = _lots(typed)
        if volume is None:
            if typed:
                app.tell(Told(False, f"not sent: {plain(typed, 40)!r} is no volume in lots"), "Close")
            return
    if choice in ("close", "part"):
        scope = PositionScope(position=position.identifier, seen_volume=position.volume, volume=volume)
        await _send(app, scope)


async def ask_and_close(app: "Console", scope: "CloseScope", what: str, positions: "Iterable[PositionView]") -> None:
    """Ask once, then act."""
    if await app.push_screen_wait(CloseDialog(what, positions)) == "close":
        await _send(app, scope)


async def ask_and_give_up(app: "Console") -> None:
    """Ask which one and why, then act."""
    from engine.control.messages import CancelClose

    named = can_be_given_up(app.view())
    choice = await app.push_screen_wait(GiveUpDialog(named))
    if choice == "cancel":
        return
    why = await app.push_screen_wait(
        AskText("WHY?", "The reason goes into the journal.", "a reason; esc changes nothing")
    )
    if why:
        await app.send(CancelClose(id=choice), why)


def can_be_given_up(view: View) -> list[tuple[str, str]]:
    """The closes under way, and a flatten that is DEFERRED: id and words."""
    snapshot = view.snapshot
    if snapshot is None:
        return []
    named = [(item.id, closing_words(item)) for item in snapshot.closings if item.state in ("RUNNING", "DEFERRED")]
    if snapshot.flatten is not None and snapshot.flatten.state == "DEFERRED":
        named.insert(0, (snapshot.flatten.id, "the flatten of the whole account, which is DEFERRED"))
    return named


async def _send(app: "Console", scope: "CloseScope") -> None:
    from engine.control.messages import Close

    await app.send(Close(scope=scope), REASON)


def _lots(typed: str) -> float | None:
    try:
        lots = float(typed.replace(",", "."))
    except ValueError:
        return None
    return lots if 0 < lots < 1e9 else None
