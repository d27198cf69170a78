"""Flatten: the question before it, and the wait for its statement."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from console import format as fmt
from console.command import WITHOUT_ENGINE
from console.commands import Context
from console.link import Told
from console.screens.dialog import WIDTH, Dialog
from console.state import Line, Phase, Piece, View, flatten_words, tone_of
from console.text import plain
from console.widgets.choices import Choice

if TYPE_CHECKING:
    from console.app import Console
    from engine.control.messages import OrderView

REASON = "flattened by the operator"
_LISTED = 7
"""Positions named in the dialog; with its frame that fits 24 rows."""


class FlattenDialog(Dialog):
    """Lists what will be closed. The default is Cancel."""

    title_text = "FLATTEN THE WHOLE ACCOUNT?"
    choices: ClassVar[Sequence[Choice]] = (
        Choice("cancel", "Cancel: close nothing"),
        Choice("flatten", "Flatten now: cancel every order, close every position, then halt", danger=True),
    )

    def lines(self, view: View) -> Sequence[Line]:
        """The consequence, and every position it closes."""
        return flatten_lines(view)


def flatten_lines(view: View) -> tuple[Line, ...]:
    """What a flatten would do now."""
    snapshot = view.snapshot
    if snapshot is None or snapshot.account is None:
        return ((Piece("What is open is not known: the account has not been read yet.", "alarm"),),)
    account, positions = snapshot.account, sorted(snapshot.positions, key=lambda position: position.ticket)
    foreign = sum(position.foreign for position in positions)
    scope = (
        f"Everything on {account.login}@{plain(account.server, 40)} "
        f"({str(snapshot.engine.environment).upper()}) is closed, including positions and orders opened by others"
        f" ({foreign} of these {len(positions)} are). The engine then halts until it is reset."
    )
    lines: list[Line] = [(Piece(row),) for row in textwrap.wrap(scope, WIDTH)]
    listed = _LISTED - bool(snapshot.orders)
    for position in positions[: listed if len(positions) <= listed else listed - 1]:
        side = "BUY " if position.type == 0 else "SELL"
        whose = "  FOREIGN" if position.foreign else ""
        lines.append(
            (
                Piece(f"  {position.ticket}  {plain(position.symbol, 12)}  {side} {fmt.volume(position.volume)}  "),
                Piece(fmt.signed(position.profit, account.currency_digits), tone_of(position.profit)),
                Piece(whose, "warn"),
            )
        )
    if len(positions) > listed:
        lines.append((Piece(f"  ... and {len(positions) - listed + 1} more"),))
    if snapshot.orders:
        lines.append((Piece(f"  {plain(_orders(snapshot.orders), WIDTH - 4)}"),))
    if not positions:
        lines.append((Piece("  No position is open; orders, and what appears meanwhile, are closed too."),))
    total = sum(position.profit + position.swap for position in positions)
    lines.append(
        (
            Piece(f"Result now, before spread and commission: {fmt.signed(total, account.currency_digits)}"),
            Piece(f" {plain(account.currency, 8)}"),
        )
    )
    return tuple(lines)


def _orders(orders: "Sequence[OrderView]") -> str:
    """The pending orders in one line."""
    foreign = sum(order.owner == "foreign" for order in orders)
    named = ", ".join(f"{order.ticket} {order.symbol} {fmt.volume(order.volume)}" for order in orders)
    return f"{len(orders)} pending orders ({foreign} FOREIGN): {named}"


class FlattenProgress(Dialog):
    """Waits for the statement of a flatten that was begun in order to quit. Leaves by itself only when it is FLAT."""

    title_text = "FLATTENING, THEN STOPPING THE ENGINE"
    choices: ClassVar[Sequence[Choice]] = (
        Choice("cancel", "Back to the console: the flatten goes on, the engine is not stopped"),
        Choice("leave", "Quit the console: the flatten goes on, the engine is not stopped", danger=True),
    )

    def __init__(self, settled_before: str | None) -> None:
        super().__init__()
        self._settled_before = settled_before
        self._flat = False

    def lines(self, view: View) -> Sequence[Line]:
        """How the flatten goes."""
        flatten = view.snapshot.flatten if view.snapshot else None
        if flatten is None or flatten.id == self._settled_before:
            return ((Piece("The engine has accepted it; waiting for the first report ...", "warn"),),)
        said = textwrap.wrap(flatten_words(flatten), WIDTH)[:8]
        return tuple((Piece(row, "good" if flatten.state == "FLAT" else "warn"),) for row in said)

    def paint(self, context: Context) -> None:
        """Show the progress, and leave when the engine has stated that the account is flat."""
        super().paint(context)
        view = context.view
        flatten = view.snapshot.flatten if view.snapshot else None
        if flatten is None or flatten.id == self._settled_before or self._flat:
            return
        if flatten.state == "FLAT" and view.phase is Phase.CONNECTED:
            self._flat = True
            self.dismiss("flat")


async def ask_and_flatten(app: "Console") -> None:
    """Ask once, then act."""
    from engine.control.messages import Flatten

    if await app.push_screen_wait(FlattenDialog()) == "flatten":
        told = await app.send(Flatten(), REASON)
        if told.accepted is not True and app.view().phase is not Phase.CONNECTED:
            app.tell(Told(False, WITHOUT_ENGINE), "Flatten")
