"""What the commands of the command line share: options, a confirmation, running a task, checking what was typed.

What takes long to import is imported by the function that needs it.
"""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from console.calls import Task

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; goes into the journal.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def perform(context: typer.Context, task: "Task", *, interrupted: int | None = None) -> None:
    """Run a task against the profile's engine and end the program with its exit code."""
    from console import calls

    code = calls.perform(context.obj, task, interrupted=calls.INTERRUPTED if interrupted is None else interrupted)
    raise typer.Exit(code)


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

    code = calls.perform(context.obj, _account)
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
