"""The guided reset, and the other decisions about guards: what each does, what it does not, and the question why."""

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from console import format as fmt
from console.link import Told
from console.screens.close import AskText
from console.screens.dialog import WIDTH, Dialog
from console.state import Line, Piece, Tone, View
from console.text import plain
from console.widgets.choices import Choice

if TYPE_CHECKING:
    from console.app import Console

_DOES = (
    "It lifts the halt: HALTED to PAUSED. Locks that wait for an operator lift. With `present` the peaks begin again at"
    " the equity now, where a limit may; with `keep` they stay."
)
_DOES_NOT = (
    "It resumes nothing: entries stay blocked until you resume. A lock with an end stays. A firm's rule does not begin"
    " again. It opens and closes nothing, and is refused unless the account is flat."
)
_AMOUNT = re.compile(r"(\d{1,3}(,\d{3})+|\d+)(\.\d+)?")
"""A comma separates thousands and nothing else: "10000,5" may be ten thousand and a half, or a slip."""
_NOTHING = "esc"
"""What AskAmount returns on esc: no amount reads so."""
_NUMBERS = (
    ("initial", "the balance the account began with"),
    ("highest_equity", "the highest equity"),
    ("highest_close", "the highest balance at a day's end"),
    ("day_start_balance", "the balance when this day began"),
    ("day_start_equity", "the equity when this day began"),
)


class ResetDialog(Dialog):
    """Says what tripped and what a reset does. The default changes nothing."""

    title_text = "LIFT THE HALT?"

    def heading(self) -> str:
        """The title, with the account."""
        snapshot = self.console.view().snapshot
        account = snapshot.account if snapshot else None
        return f"LIFT THE HALT OF {account.login}@{plain(account.server, 40)}?" if account else self.title_text

    choices: ClassVar[Sequence[Choice]] = (
        Choice("cancel", "Cancel: stay HALTED"),
        Choice("keep", "Reset, keep the peaks (keep)", danger=True),
        Choice("present", "Reset, the peaks begin again at the equity now (present)", danger=True),
    )

    def lines(self, view: View) -> Sequence[Line]:
        """What tripped, at which reading, and what a reset means."""
        return reset_lines(view)


def reset_lines(view: View) -> list[Line]:
    """What an operator must know before a reset."""
    snapshot = view.snapshot
    if snapshot is None:
        return [(Piece("The engine has not been read yet.", "alarm"),)]
    digits = snapshot.account.currency_digits if snapshot.account else 2
    trip = snapshot.risk.trip
    said: list[tuple[str, Tone]] = [(f"HALTED: {plain(snapshot.engine.halt_reason or 'no reason recorded')}", "strong")]
    if trip is not None:
        floor = f", floor {fmt.money(trip.floor, digits)}" if trip.floor is not None else ""
        still = " It is still breached." if trip.breached else ""
        when = f"{plain(trip.guard, 64)} tripped at {fmt.stamp(trip.at)} UTC"
        said.append((f"{when}, at an equity of {fmt.money(trip.equity, digits)}{floor}.{still}", "warn"))
    said += [(_DOES, ""), (_DOES_NOT, "")]
    for guard in snapshot.risk.guards:
        if guard.lock is not None:
            until = guard.lock.until
            what = "is unlocked by it" if until is None else f"stays locked until {fmt.stamp(until)} UTC"
            said.append((f"{plain(guard.name, 40)} {what}.", "warn"))
    return [(Piece(row, tone),) for text, tone in said for row in textwrap.wrap(text, WIDTH)]


class SettleDialog(Dialog):
    """Asks what a step of the balance was. The default settles nothing."""

    title_text = "WHAT WAS THIS STEP OF THE BALANCE?"
    choices: ClassVar[Sequence[Choice]] = (
        Choice("cancel", "Cancel: entries stay blocked"),
        Choice("cash flow", "Money that came or went without a trade: limits move with it", danger=True),
        Choice("result", "Profit or loss: limits stay, and it counts", danger=True),
    )

    def lines(self, view: View) -> Sequence[Line]:
        """The step."""
        snapshot = view.snapshot
        funds = snapshot.risk.funds if snapshot else None
        if snapshot is None or funds is None:
            return [(Piece("The deals explain the balance: there is nothing to settle any more.", "good"),)]
        digits = snapshot.account.currency_digits if snapshot.account else 2
        said = (
            f"The balance moved by {fmt.signed(funds.amount, digits)} at {fmt.stamp(funds.since)} UTC, and no deal"
            " explains it. Should its deal come after all, the deal is believed."
        )
        return [(Piece(row),) for row in textwrap.wrap(said, WIDTH)]


async def _why(app: "Console") -> str:
    return await app.push_screen_wait(
        AskText("WHY?", "The reason goes into the journal.", "a reason; esc changes nothing")
    )


async def ask_and_reset(app: "Console") -> None:
    """Ask which baseline, why, and on a live account for its number; then act."""
    from engine.control.messages import Reset

    choice = await app.push_screen_wait(ResetDialog())
    if choice == "cancel":
        return
    why = await _why(app)
    if not why:
        return
    snapshot, number = app.view().snapshot, None
    if snapshot is not None and snapshot.engine.environment == "live":
        typed = await app.push_screen_wait(
            AskText("THIS IS A LIVE ACCOUNT", "Type its number to reset it.", "account number; esc changes nothing")
        )
        login = snapshot.account.login if snapshot.account else None
        if not typed.isdecimal() or int(typed) != login:
            if typed:
                app.tell(Told(False, f"not sent: {plain(typed, 40)!r} is not this account's number"), "Reset")
            return
        number = login
    await app.send(Reset(baseline="keep" if choice == "keep" else "present", account=number), why)


class AskAmount(AskText):
    """Asks for an amount of money; esc is not the same as an empty answer."""

    def action_cancel(self) -> None:
        """Change nothing at all."""
        self.dismiss(_NOTHING)


async def ask_and_unlock(app: "Console", guard: str) -> None:
    """Ask why, then act."""
    from engine.control.messages import Unlock

    said = f"Unlocks {plain(guard, 64)}: it lets entries through again. The reason goes into the journal."
    why = await app.push_screen_wait(AskText("UNLOCK A GUARD?", said, "a reason; esc changes nothing"))
    if why:
        await app.send(Unlock(guard=guard), why)


async def ask_and_settle(app: "Console") -> None:
    """Ask what it was, and why; then act."""
    from engine.control.messages import SettleFunds

    choice = await app.push_screen_wait(SettleDialog())
    if choice != "cancel" and (why := await _why(app)):
        await app.send(SettleFunds(what="result" if choice == "result" else "cash flow"), why)


async def ask_and_set_bases(app: "Console") -> None:
    """Ask for each figure, and why; then act. An empty answer leaves that figure as it is."""
    from engine.control.messages import SetBases

    values: dict[str, float] = {}
    for name, words in _NUMBERS:
        said = f"What the guards measure from, in account currency: {words}. Enter alone leaves it as it is."
        typed = await app.push_screen_wait(AskAmount("WHAT IS MEASURED FROM", said, f"{words}; enter: as it is"))
        if typed == _NOTHING:
            return
        if typed:
            value = _amount(typed)
            if value is None:
                app.tell(Told(False, f"not sent: {plain(typed, 40)!r} is no amount of money"), "Bases")
                return
            values[name] = value
    named = ", ".join(f"{dict(_NUMBERS)[name]} {value:g}" for name, value in values.items()) or "all as it was read"
    why = await app.push_screen_wait(AskText("WHY?", f"{named}.", "a reason; esc changes nothing"))
    if why:
        await app.send(SetBases(**values), why)


def _amount(typed: str) -> float | None:
    if not _AMOUNT.fullmatch(typed.strip()):
        return None
    value = float(typed.strip().replace(",", ""))
    return value if 0 < value < 1e15 else None
