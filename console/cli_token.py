"""`quarterdeck token`: who may connect by a token, and as what.

In: a name and a role. Out: a new token, printed once, or the list. Needs no running engine; one that runs sees the
change at its next request.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from console.cli_parts import AsJson, own_engine

if TYPE_CHECKING:
    from engine.control.tokens import TokenBook

token_commands = typer.Typer(
    rich_markup_mode=None, help="Tell apart who shares one user of the machine.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The operator's name; goes into the journal.")]


class Role(StrEnum):
    """What the holder may do."""

    VIEWER = "viewer"
    OPERATOR = "operator"


def _book(context: typer.Context) -> "TokenBook":
    own_engine(context, "a token")
    from console import output
    from engine.config import SettingsError, state_folder
    from engine.control.tokens import TokenBook

    try:
        return TokenBook(state_folder(context.obj))
    except SettingsError as error:
        output.complain(str(error))
        raise typer.Exit(2) from None


def _refused(problem: Exception) -> typer.Exit:
    from console import output

    output.complain(f"refused: {problem}")
    return typer.Exit(1)


@token_commands.command("add")
def _add(
    context: typer.Context,
    name: Name,
    role: Annotated[Role, typer.Option(help="viewer: looks; operator: looks and acts.")],
) -> None:
    """Make a token and print it, once. Its holder sets QUARTERDECK_TOKEN to it."""
    from pydantic import ValidationError

    from console import output
    from engine.control.tokens import TokensUnusable

    book = _book(context)
    try:
        output.say(book.add(name, role.value))
    except ValidationError:
        raise typer.BadParameter(
            f"found {name[:40]!r}, expected 1 to 32 letters, digits, '.', '_' or '-', the first a letter or digit",
            param_hint="NAME",
        ) from None
    except (ValueError, TokensUnusable) as problem:
        raise _refused(problem) from None


@token_commands.command("list")
def _list(context: typer.Context, as_json: AsJson = False) -> None:
    """List names and roles. A token itself is stored nowhere."""
    from console import output
    from engine.control.tokens import TokensUnusable

    try:
        entries = _book(context).all()
    except TokensUnusable as problem:
        raise _refused(problem) from None
    if as_json:
        output.say_json([{"name": entry.name, "role": entry.role} for entry in entries])
    else:
        output.say("\n".join(f"{entry.role:<8}  {entry.name}" for entry in entries) or "no tokens")


@token_commands.command("remove")
def _remove(context: typer.Context, name: Name) -> None:
    """Forget a token: its holder is refused from now on, and cut off where attached."""
    from console import output
    from engine.control.tokens import TokensUnusable

    try:
        _book(context).remove(name)
    except (ValueError, TokensUnusable) as problem:
        raise _refused(problem) from None
    output.say(f"removed {name}")
