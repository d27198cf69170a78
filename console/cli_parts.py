"""What the commands of the command line share: options, a confirmation, running a task, checking what was typed.

What takes long to import is imported by the function that needs it.
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from console.calls import Task

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; goes into the journal.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@dataclass(frozen=True, slots=True)
class Attached:
    """Whose engine is spoken to: the profile's own, or the one at another user's socket."""

    socket: str | None = None
    read_only: bool = False


_ATTACHED = "quarterdeck.attached"


def perform(context: typer.Context, task: "Task", *, interrupted: int | None = None) -> None:
    """Run a task against the profile's engine and end the program with its exit code."""
    from console import calls

    code = _performed(context, task, calls.INTERRUPTED if interrupted is None else interrupted)
    raise typer.Exit(code)


def _performed(context: typer.Context, task: "Task", interrupted: int) -> int:
    from console import calls

    where = attached_to(context)
    return calls.perform(context.obj, task, interrupted=interrupted, socket=where.socket, read_only=where.read_only)


def attach_to(context: typer.Context, socket: str | None, read_only: bool) -> None:
    """Keep what was said before the command: whose engine, and whether it is only looked at."""
    context.meta[_ATTACHED] = Attached(socket or None, read_only)


def attached_to(context: typer.Context) -> Attached:
    """What was said before the command."""
    found = context.meta.get(_ATTACHED, Attached())
    assert isinstance(found, Attached)  # noqa: S101  ours alone
    return found


def own_engine(context: typer.Context, what: str) -> None:
    """Raises BadParameter when another user's engine was named for what is only done on one's own."""
    if attached_to(context).socket:
        raise typer.BadParameter(
            f"found a socket, expected none: {what} works on your own profile (QUARTERDECK_SOCKET names one too)",
            param_hint="--socket",
        )


def confirm(context: typer.Context, yes: bool, question: str) -> None:
    """Ask for a yes, naming the account. Ends the program: 2 where nobody can answer, 1 after a no."""
    if yes:
        return
    from console import calls, output

    if not sys.stdin.isatty():
        output.complain("a confirmation is needed and this is no terminal: say --yes")
        raise typer.Exit(calls.USAGE)

    async def _account(client: Any) -> int:
        snapshot = await client.snapshot()
        account = snapshot.account
        named = f"{account.login} @ {account.server}" if account else "an account that is not known yet"
        output.say(f"{snapshot.engine.environment.upper()}  {named}  {len(snapshot.positions)} positions")
        return calls.DONE

    code = _performed(context, _account, calls.INTERRUPTED)
    if code != calls.DONE:
        raise typer.Exit(code)
    if not typer.confirm(f"{question}?", default=False):
        output.complain("nothing was done")
        raise typer.Exit(calls.REFUSED)


def checked(model: type[Any], **values: Any) -> Any:
    """A message made of what was typed. Raises BadParameter that names the option."""
    from pydantic import ValidationError

    try:
        return model(**values)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in fault["loc"])
        renamed = {"expires_seconds": "expires", "risk_percent": "risk", "order_seconds": "good-for"}
        option = renamed.get(field, field)
        raise typer.BadParameter(
            f"found {fault['input']!r}, expected: {fault['msg']}", param_hint=f"--{option}"
        ) from None


def checked_reason(reason: str) -> str:
    """The reason without blanks around it. Raises BadParameter when it is too long."""
    stripped = reason.strip()
    if len(stripped) > 500:
        raise typer.BadParameter(f"found {len(stripped)} characters, expected at most 500", param_hint="--reason")
    return stripped
