"""`quarterdeck risk`, `reset`, `unlock`, `bases`, `settle`: how the guards stand, and what is decided about them.

In: an operator's word and why. Out: the engine's answer; 0 when it was taken, 1 when it was refused.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli_parts import AsJson, Yes, checked, checked_reason, confirm, perform

if TYPE_CHECKING:
    from engine.control.messages import Snapshot

Why = Annotated[str, typer.Option("--reason", help="Why; goes into the journal.")]
Money = Annotated[float | None, typer.Option(help="In account currency.")]


class Baseline(StrEnum):
    """What a reset does with the peaks."""

    PRESENT = "present"
    KEEP = "keep"


class What(StrEnum):
    """What an unexplained step of the balance was."""

    CASH_FLOW = "cash-flow"
    RESULT = "result"


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("risk")(_risk)
    app.command("reset")(_reset)
    app.command("unlock")(_unlock)
    app.command("bases")(_bases)
    app.command("settle")(_settle)


def _needed(reason: str, what: str) -> str:
    said = checked_reason(reason)
    if not said:
        raise typer.BadParameter(f"found nothing, expected words: {what} needs a reason", param_hint="--reason")
    return said


def _act(context: typer.Context, action: Any, reason: str) -> None:
    from console import calls

    perform(context, lambda client: calls.act(client, action, reason))


def _risk(context: typer.Context, as_json: AsJson = False) -> None:
    """Show every guard: how far its limit is, whether it is locked, and how old its last word is."""
    from console import calls, output

    async def _task(client: Any) -> int:
        snapshot = await client.snapshot()
        if as_json:
            output.say_json(snapshot.risk.model_dump(mode="json"))
        else:
            output.say(risk_text(snapshot))
        return calls.DONE

    perform(context, _task)


def _reset(
    context: typer.Context,
    reason: Why,
    baseline: Annotated[
        Baseline, typer.Option(help="The peaks begin again at the present equity, or are kept.")
    ] = Baseline.PRESENT,
    account: Annotated[int | None, typer.Option(help="The account's number; needed on a live account.")] = None,
    yes: Yes = False,
) -> None:
    """Lift the halt: HALTED to PAUSED. Refused unless flat, and while a limit would trip again at once."""
    from engine.control.messages import Reset

    said = _needed(reason, "a reset")
    peaks = "restart the peaks at the present equity" if baseline is Baseline.PRESENT else "keep the peaks"
    confirm(context, yes, f"Lift the halt and {peaks}")
    _act(context, checked(Reset, baseline=baseline.value, account=account), said)


def _unlock(
    context: typer.Context, guard: Annotated[str, typer.Argument(help="The guard, by its name.")], reason: Why
) -> None:
    """Lift a guard's lock that waits for an operator."""
    from engine.control.messages import Unlock

    _act(context, checked(Unlock, guard=guard), _needed(reason, "unlocking a guard"))


def _bases(
    context: typer.Context,
    reason: Why,
    initial: Money = None,
    highest_equity: Money = None,
    highest_close: Money = None,
    day_start_balance: Money = None,
    day_start_equity: Money = None,
) -> None:
    """Say what the guards measure from: the initial balance, highs, the start of the day. The engine must be paused."""
    from engine.control.messages import SetBases

    action = checked(
        SetBases,
        initial=initial,
        highest_equity=highest_equity,
        highest_close=highest_close,
        day_start_balance=day_start_balance,
        day_start_equity=day_start_equity,
    )
    _act(context, action, _needed(reason, "setting what guards measure from"))


def _settle(
    context: typer.Context,
    what: Annotated[What, typer.Argument(metavar="WHAT", help="cash-flow or result.")],
    reason: Why,
) -> None:
    """Say what a step of the balance was that no deal explains."""
    from engine.control.messages import SettleFunds

    _act(context, SettleFunds(what="result" if what is What.RESULT else "cash flow"), _needed(reason, "settling"))


def risk_text(snapshot: "Snapshot") -> str:
    """The guards, one a line, and what must be decided above them."""
    from console import output
    from console.risk_rows import guard_rows, risk_lines
    from console.state import Phase, View

    view = View(snapshot=snapshot, phase=Phase.CONNECTED)
    notes = ["".join(piece.text for piece in line).strip() for line in risk_lines(view, 200)]
    head = ("guard", "says", "used", "", "left", "floor", "value", "limit", "asked", "lock lifts UTC", "action")
    rows = [tuple(piece.text for piece in row.cells) for row in guard_rows(view)]
    return "\n".join([*notes, output.aligned([head, *rows])])
