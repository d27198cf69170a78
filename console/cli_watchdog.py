"""`quarterdeck watchdog`: watches a profile's engine from a process of its own, in the foreground.

In: a profile, and what follows when no guard cycle is completed. Out: a line for each change; 0 when it was told to
end, 1 when it cannot start, 2 for settings, 75 when one runs already.
"""

from enum import StrEnum
from typing import Annotated

import typer

from console.cli_parts import own_engine


class Follows(StrEnum):
    """What a watchdog does after its alert."""

    ALERT = "alert"
    RESTART = "restart"
    FLATTEN = "flatten"


def add_watchdog(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("watchdog")(_watchdog)


def _watchdog(
    context: typer.Context,
    then: Annotated[
        Follows | None,
        typer.Option(
            help="When no guard cycle is completed: tell, start the engine again, or close everything;"
            " default: as the profile says."
        ),
    ] = None,
) -> None:
    """Watch the engine from a process of its own, until Ctrl+C: alert, restart or flatten when its guard hangs."""
    own_engine(context, "a watchdog")
    from console import output
    from engine.config import SettingsError, load
    from engine.watchdog.run import run

    try:
        settings = load(context.obj)
    except SettingsError as error:
        output.complain(str(error))
        raise typer.Exit(2) from None
    raise typer.Exit(run(context.obj, settings, then.value if then is not None else None))
