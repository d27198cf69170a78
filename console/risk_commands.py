"""The commands about guards, one class each: see commands.py."""

# ruff: noqa: D102  (what each override is for is said once, in Command)

from typing import TYPE_CHECKING

from console.command import Command, Context, linked

if TYPE_CHECKING:
    from console.app import Console


class ResetHalt(Command):
    """Lift the halt after a flatten: says what tripped, what it does, and asks for a baseline and a reason."""

    name, key, title = "reset", "R", "Reset"

    def here(self, context: Context) -> bool:
        return context.view.mode == "HALTED"

    def unavailable(self, context: Context) -> str | None:
        if reason := linked(context):
            return reason
        mode = context.view.mode
        return None if mode == "HALTED" else f"the engine is {mode or 'not known yet'}: only a HALTED one is reset"

    async def run(self, app: "Console", context: Context) -> None:
        from console.screens.reset import ask_and_reset

        await ask_and_reset(app)


class _OfRisk(Command):
    def here(self, context: Context) -> bool:
        return context.screen == "risk" and self.unavailable(context) is None


class UnlockGuard(_OfRisk):
    """Lift the selected guard's lock, when it waits for an operator. Asks why."""

    name, key, title = "unlock", "u", "Unlock"

    def unavailable(self, context: Context) -> str | None:
        if context.screen != "risk":
            return "guards are unlocked on the Risk screen: press 5"
        if reason := linked(context):
            return reason
        row = context.row
        if row is None:
            return "no guard is selected"
        if row.state != "unlock":
            return f"{row.subject} has no lock that waits for an operator"
        return None if context.settled else "the row under the cursor has just changed; look again"

    async def run(self, app: "Console", context: Context) -> None:
        from console.screens.reset import ask_and_unlock

        if row := context.row:
            await ask_and_unlock(app, row.subject)


class SetBases(_OfRisk):
    """Say what the guards measure from: initial balance, highs, the start of the day. Asks for each, and why."""

    name, key, title = "bases", "b", "Bases"

    def here(self, context: Context) -> bool:
        return context.screen == "risk"

    def unavailable(self, context: Context) -> str | None:
        if context.screen != "risk":
            return "what guards measure from is said on the Risk screen: press 5"
        if reason := linked(context):
            return reason
        mode = context.view.mode
        return None if mode in ("PAUSED", "HALTED") else f"the engine is {mode or 'not known yet'}: pause it first"

    async def run(self, app: "Console", context: Context) -> None:
        from console.screens.reset import ask_and_set_bases

        await ask_and_set_bases(app)


class SettleFunds(_OfRisk):
    """Say what a step of the balance was that no deal explains. Asks which, and why."""

    name, key, title = "settle", "e", "Settle"

    def unavailable(self, context: Context) -> str | None:
        if reason := linked(context):
            return reason
        snapshot = context.view.snapshot
        if snapshot is None or snapshot.risk.funds is None:
            return "the deals explain the balance: there is nothing to settle"
        return None

    async def run(self, app: "Console", context: Context) -> None:
        from console.screens.reset import ask_and_settle

        await ask_and_settle(app)
