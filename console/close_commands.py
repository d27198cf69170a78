"""The commands that close a part of the account, one class each: see commands.py."""

# ruff: noqa: D102  (what each override is for is said once, in Command)

from typing import TYPE_CHECKING, ClassVar

from console.command import Command, Context, linked

if TYPE_CHECKING:
    from console.app import Console
    from engine.control.messages import PositionView


class ClosePosition(Command):
    """Close the selected position, all of it or a part. Asks once."""

    name, key, title = "close", "x", "Close"

    def here(self, context: Context) -> bool:
        return context.screen == "positions"

    def unavailable(self, context: Context) -> str | None:
        if context.screen != "positions":
            return "positions are closed on the Positions screen: press 2"
        if reason := linked(context):
            return reason
        if _position(context) is None:
            return "no position is selected"
        return None if context.settled else "the row under the cursor has just changed; look again"

    async def run(self, app: "Console", context: Context) -> None:
        from console.screens.close import ask_and_close_position

        if position := _position(context):
            await ask_and_close_position(app, position)


def _position(context: Context) -> "PositionView | None":
    snapshot, row = context.view.snapshot, context.row
    if snapshot is None or row is None:
        return None
    return next((item for item in snapshot.positions if f"position:{item.identifier}" == row.key), None)


class _CloseScope(ClosePosition):
    key, shown_key, in_bar = "", "^p", False

    def here(self, context: Context) -> bool:
        return False


class CloseSymbol(_CloseScope):
    """Close everything of the selected position's symbol, pending orders too. Asks once."""

    name, title = "close symbol", "Close the symbol"

    async def run(self, app: "Console", context: Context) -> None:
        from console.screens.close import ask_and_close
        from engine.control.messages import SymbolScope

        if position := _position(context):
            held = [item for item in _held(context) if item.symbol == position.symbol]
            await ask_and_close(app, SymbolScope(symbol=position.symbol), f"everything of {position.symbol}", held)


class CloseSource(_CloseScope):
    """Close everything that the selected position's source of signals has opened. Asks once."""

    name, title = "close source", "Close the source"

    def unavailable(self, context: Context) -> str | None:
        position = _position(context)
        if position is not None and not position.source:
            return "the selected position comes from no signal of ours"
        return super().unavailable(context)

    async def run(self, app: "Console", context: Context) -> None:
        from console.screens.close import ask_and_close
        from engine.control.messages import SourceScope

        if position := _position(context):
            held = [item for item in _held(context) if item.source == position.source]
            what = f"everything of source {position.source}"
            await ask_and_close(app, SourceScope(source=position.source), what, held)


class CloseLosers(_CloseScope):
    """Close the positions that are at a loss, with their swap, when it begins. Asks once."""

    name, title = "close losers", "Close the losers"
    sign: ClassVar[int] = -1

    def unavailable(self, context: Context) -> str | None:
        what = "loss" if self.sign < 0 else "profit"
        return linked(context) or (None if self._chosen(context) else f"no position is at a {what}")

    def _chosen(self, context: Context) -> "list[PositionView]":
        return [item for item in _held(context) if (item.profit + item.swap) * self.sign > 0]

    async def run(self, app: "Console", context: Context) -> None:
        from console.screens.close import ask_and_close
        from engine.control.messages import LosersScope, WinnersScope

        what = f"every position that is at a {'loss' if self.sign < 0 else 'profit'}"
        await ask_and_close(app, LosersScope() if self.sign < 0 else WinnersScope(), what, self._chosen(context))


class CloseWinners(CloseLosers):
    """Close the positions that are at a profit, with their swap, when it begins. Asks once."""

    name, title = "close winners", "Close the winners"
    sign = 1


class GiveUpClose(_CloseScope):
    """Give up a close, or a flatten that is DEFERRED: what is left stays open. Asks which, and why."""

    name, title = "give up close", "Give up a close"

    def unavailable(self, context: Context) -> str | None:
        from console.screens.close import can_be_given_up

        return linked(context) or (None if can_be_given_up(context.view) else "no close is under way")

    async def run(self, app: "Console", context: Context) -> None:
        from console.screens.close import ask_and_give_up

        await ask_and_give_up(app)


def _held(context: Context) -> "list[PositionView]":
    return list(context.view.snapshot.positions) if context.view.snapshot else []
