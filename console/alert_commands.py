"""The command about alerts: see commands.py."""

# ruff: noqa: D102  (what each override is for is said once, in Command)

from typing import TYPE_CHECKING

from console.command import Command, Context, linked

if TYPE_CHECKING:
    from console.app import Console


class Acknowledge(Command):
    """Acknowledge the open alerts: lists them, then closes them, and nothing more of them is sent."""

    name, key, title = "acknowledge", "K", "Acknowledge"

    def here(self, context: Context) -> bool:
        return bool(context.view.snapshot and context.view.snapshot.alerts)

    def unavailable(self, context: Context) -> str | None:
        if reason := linked(context):
            return reason
        return None if self.here(context) else "no alert is open"

    async def run(self, app: "Console", context: Context) -> None:
        from console.screens.alerts import ask_and_acknowledge

        await ask_and_acknowledge(app)
