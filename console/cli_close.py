"""`quarterdeck close`: a part of the account is closed, followed to its statement, or given up.

In: one scope. Out: the statement and 0, or what is left and 3, while the engine goes on.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli_parts import Reason, Yes, checked, checked_reason, confirm, perform

if TYPE_CHECKING:
    from engine.control.messages import CloseScope

close_commands = typer.Typer(rich_markup_mode=None)


@close_commands.callback(invoke_without_command=True)
def _close(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Everything, without halting the account.")] = False,
    symbol: Annotated[str | None, typer.Option(help="Everything of a symbol, pending orders too.")] = None,
    source: Annotated[str | None, typer.Option(help="Everything that a source of signals opened.")] = None,
    losers: Annotated[bool, typer.Option("--losers", help="The positions that are at a loss now.")] = False,
    winners: Annotated[bool, typer.Option("--winners", help="The positions that are at a profit now.")] = False,
    position: Annotated[int | None, typer.Option(metavar="ID", help="One position, by its identifier.")] = None,
    volume: Annotated[float | None, typer.Option(help="So many lots of the position; default: all of it.")] = None,
    yes: Yes = False,
    reason: Reason = "",
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for the broker's confirmation.")] = 60.0,
) -> None:
    """Close a part of the account; the engine's mode stays. Waits until the broker confirms it."""
    if context.invoked_subcommand is not None:
        return
    from console import calls
    from engine.control.messages import AllScope, LosersScope, SourceScope, SymbolScope, WinnersScope

    said = checked_reason(reason)
    given = {
        "all": everything,
        "symbol": symbol is not None,
        "source": source is not None,
        "losers": losers,
        "winners": winners,
    }
    given["position"] = position is not None
    if sum(given.values()) != 1:
        raise typer.BadParameter("expected exactly one of --all, --symbol, --source, --losers, --winners, --position")
    if volume is not None and position is None:
        raise typer.BadParameter("expected only with --position", param_hint="--volume")
    scope: CloseScope
    if everything:
        scope, what = AllScope(), "everything on the account"
    elif symbol is not None:
        scope = checked(SymbolScope, symbol=symbol)
        what = f"everything of {symbol}"
    elif source is not None:
        scope = checked(SourceScope, source=source)
        what = f"everything of source {source}"
    elif position is not None:
        scope = _as_seen(context, position, volume)
        what = f"position {position}" if volume is None else f"{volume:g} lots of position {position}"
    else:
        scope = LosersScope() if losers else WinnersScope()
        what = f"every position that is at a {'loss' if losers else 'profit'}"
    confirm(context, yes, f"Close {what}")
    perform(context, lambda client: calls.close(client, scope, said, timeout))


@close_commands.command("cancel")
def _cancel(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ID", help="The close, or the flatten that is DEFERRED.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; goes into the journal.")],
) -> None:
    """Give up a close, or a flatten that is DEFERRED: what is left stays open."""
    from console import calls
    from engine.control.messages import CancelClose

    said = checked_reason(reason)
    if not said:
        raise typer.BadParameter("found nothing, expected words: giving up needs a reason", param_hint="--reason")
    action = checked(CancelClose, id=name)
    perform(context, lambda client: calls.act(client, action, said))


def _as_seen(context: typer.Context, identifier: int, volume: float | None) -> "CloseScope":
    """Show the position; the engine closes it only at the volume that was shown."""
    from console import calls, output
    from engine.control.messages import PositionScope

    seen: list[float] = []

    async def _task(client: Any) -> int:
        held = [item for item in (await client.snapshot()).positions if item.identifier == identifier]
        if not held:
            output.complain(f"position {identifier} is not open")
            return calls.REFUSED
        output.say(output.positions_text(held))
        seen.append(held[0].volume)
        return calls.DONE

    code = calls.perform(context.obj, _task)
    if code != calls.DONE:
        raise typer.Exit(code)
    scope: CloseScope = checked(PositionScope, position=identifier, seen_volume=seen[0], volume=volume)
    return scope
