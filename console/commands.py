"""The console's commands, one class each. Key binding, palette entry, help line and key bar come from the class.

In: the app, when a command is run. A command says beforehand why it is not available; then its key is greyed and
pressing it tells the reason. Nothing here moves prices, closes or opens: it asks the engine and shows its answer.
"""

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from console.alert_commands import Acknowledge
from console.close_commands import CloseLosers, ClosePosition, CloseSource, CloseSymbol, CloseWinners, GiveUpClose
from console.command import NOT_CONNECTED, READ_ONLY, WITHOUT_ENGINE, Command, Context, linked
from console.risk_commands import ResetHalt, SetBases, SettleFunds, UnlockGuard
from console.state import Phase
from console.widgets.key_bar import Hint

if TYPE_CHECKING:
    from console.app import Console

__all__ = [
    "BY_NAME",
    "COMMANDS",
    "NOT_CONNECTED",
    "Command",
    "Context",
    "bindings",
    "by_character",
    "hints",
]

REJECTED = "rejected by the operator"
CANCELLED = "cancelled by the operator"
PAUSE_SEEN_SECONDS = 1.0
"""A key that meant to pause, pressed a moment after somebody else's or held too long, must not resume."""


class _ShowScreen(Command):
    in_bar = False

    async def run(self, app: "Console", context: Context) -> None:
        await app.switch_mode(self.name)


class ShowApprovals(_ShowScreen):
    """Signals that wait for a decision."""

    name, key, title = "approvals", "1", "Approvals"


class ShowPositions(_ShowScreen):
    """Open positions with their live profit."""

    name, key, title = "positions", "2", "Positions"


class ShowEquity(_ShowScreen):
    """The equity curve with the drawdown limit."""

    name, key, title = "equity", "3", "Equity"


class ShowEvents(_ShowScreen):
    """Everything that happened, newest last."""

    name, key, title = "events", "4", "Events"


class ShowRisk(_ShowScreen):
    """Every guard with its floor, its distance and its lock."""

    name, key, title = "risk", "5", "Risk"


class _Decide(Command):
    states: ClassVar[tuple[str, ...]] = ("PENDING",)

    def here(self, context: Context) -> bool:
        return context.screen == "approvals"

    def unavailable(self, context: Context) -> str | None:
        if context.screen != "approvals":
            return "signals are decided on the Approvals screen: press 1"
        if reason := linked(context):
            return reason
        row = context.row
        if row is None:
            return "no signal is selected"
        if row.state not in self.states:
            return f"{row.subject} is {row.state}: only {' or '.join(self.states)} can be decided"
        if (row.subject, row.version) in context.under_way:
            return f"{row.subject} has been sent: waiting for the engine's answer"
        if context.cramped:
            return "not sent: the terminal is too small to show what is decided"
        if not context.settled:
            return "not sent: the row under the cursor has just changed; look again"
        return None


class Approve(_Decide):
    """Approve the selected signal, in the version shown."""

    name, key, title = "approve", "a", "Approve"

    def unavailable(self, context: Context) -> str | None:
        if reason := super().unavailable(context):
            return reason
        if context.view.stale:
            return f"not sent: the data is {int(context.view.age)} s old"
        mode = context.view.mode
        return None if mode == "RUNNING" else f"entries are blocked: the engine is {mode}"

    async def run(self, app: "Console", context: Context) -> None:
        from engine.control.messages import Approve as ApproveAction

        if row := context.row:
            await app.decide(ApproveAction(signal=row.subject, version=row.version), row)


class Reject(_Decide):
    """Reject the selected signal; for an UNKNOWN outcome, settle it as not executed."""

    name, key, title = "reject", "r", "Reject"
    states = ("PENDING", "UNKNOWN")

    async def run(self, app: "Console", context: Context) -> None:
        from engine.control.messages import Reject as RejectAction

        if row := context.row:
            await app.decide(RejectAction(signal=row.subject, version=row.version), row, REJECTED)


class CancelOrder(_Decide):
    """Take the selected signal's limit or stop order out at the broker. Works in every mode."""

    name, key, title = "cancel", "c", "Cancel order"
    states = ("WORKING",)

    def here(self, context: Context) -> bool:
        return super().here(context) and context.row is not None and context.row.state == "WORKING"

    def unavailable(self, context: Context) -> str | None:
        row = context.row
        if context.screen == "approvals" and row is not None and row.state not in self.states:
            return f"{row.subject} is {row.state}: it has no order at the broker"
        return super().unavailable(context)

    async def run(self, app: "Console", context: Context) -> None:
        from engine.control.messages import Cancel

        if row := context.row:
            await app.decide(Cancel(signal=row.subject, version=row.version), row, CANCELLED)


class PauseOrResume(Command):
    """Pause blocks new entries and nothing else; resume lets them through again."""

    name, key, title = "pause", "p", "Pause"

    def label(self, context: Context) -> str:
        return "Resume" if context.view.mode == "PAUSED" else "Pause"

    def unavailable(self, context: Context) -> str | None:
        if reason := linked(context):
            return reason
        mode = context.view.mode
        if mode == "HALTED":
            return "the account is HALTED: reset it first, with R"
        if mode == "PAUSED" and context.mode_age < PAUSE_SEEN_SECONDS:
            return "not sent: the engine has just been paused; press again to resume"
        return None if mode in ("RUNNING", "PAUSED") else f"the engine is {mode or 'not known yet'}"

    async def run(self, app: "Console", context: Context) -> None:
        from engine.control.messages import Pause, Resume

        await app.send(Resume() if context.view.mode == "PAUSED" else Pause())


class FlattenAll(Command):
    """Cancel all orders and close every position on the account, then halt. Asks once."""

    name, key, title = "flatten", "F", "Flatten"

    def unavailable(self, context: Context) -> str | None:
        reason = linked(context)
        return f"{NOT_CONNECTED}; {WITHOUT_ENGINE}" if reason == NOT_CONNECTED else reason

    async def run(self, app: "Console", context: Context) -> None:
        from console.screens.flatten import ask_and_flatten

        await ask_and_flatten(app)


class FilterRows(Command):
    """Show only rows that hold a text; esc clears it."""

    name, key, title = "filter", "/", "Filter"

    def here(self, context: Context) -> bool:
        return context.screen != "equity"

    def unavailable(self, context: Context) -> str | None:
        return "there is nothing to filter on this screen" if context.screen == "equity" else None

    async def run(self, app: "Console", context: Context) -> None:
        from console.screens.base import ConsoleScreen

        if isinstance(app.screen, ConsoleScreen):
            app.screen.open_filter()


class Zoom(Command):
    """Fit the curve alone, or the curve and the drawdown limit."""

    name, key, title = "zoom", "z", "Zoom"

    def here(self, context: Context) -> bool:
        return context.screen == "equity"

    def unavailable(self, context: Context) -> str | None:
        return None if context.screen == "equity" else "only the equity curve can be zoomed: press 3"

    async def run(self, app: "Console", context: Context) -> None:
        from console.widgets.curve_plot import CurvePlot

        app.screen.query_one(CurvePlot).toggle_zoom()


class StartEngine(Command):
    """Start the engine again after it was told to stop."""

    name, key, title = "start", "s", "Start"

    def here(self, context: Context) -> bool:
        return context.view.phase is Phase.STOPPED

    def unavailable(self, context: Context) -> str | None:
        if context.view.read_only:
            return READ_ONLY
        return None if context.view.phase is Phase.STOPPED else "the engine has not been stopped"

    async def run(self, app: "Console", context: Context) -> None:
        app.link.start_again()


class Help(Command):
    """What every key does."""

    name, key, title = "help", "?", "Help"

    async def run(self, app: "Console", context: Context) -> None:
        from console.screens.help import HelpScreen

        app.push_screen(HelpScreen())


class Meter(Command):
    """Show or hide what the terminal's line is doing: bytes, paints, what waits, the age of the data."""

    name, key, shown_key, title = "meter", "f12,ctrl+g", "f12", "Meter"
    in_bar = False

    async def run(self, app: "Console", context: Context) -> None:
        app.metered = not app.metered
        app.paint()


class Palette(Command):
    """Find a command by its name."""

    name, key, shown_key, title = "palette", "ctrl+p", "^p", "Palette"
    in_bar = False

    async def run(self, app: "Console", context: Context) -> None:
        app.action_command_palette()


class WhoIsAttached(Command):
    """Who is attached to this engine, since when and from where."""

    name, key, title = "who", "w", "Who is attached"
    in_bar = False

    async def run(self, app: "Console", context: Context) -> None:
        from console.screens.who import WhoScreen

        app.push_screen(WhoScreen())


class Detach(Command):
    """Leave the console at once; the engine goes on as it is."""

    name, key, title = "detach", "d", "Detach"
    in_bar = False

    async def run(self, app: "Console", context: Context) -> None:
        app.exit(0)


class Quit(Command):
    """Leave the console: the engine goes on, is stopped, or flattens first. Asks."""

    name, key, title = "quit", "q,ctrl+c,ctrl+q", "Quit"
    shown_key = "q"

    async def run(self, app: "Console", context: Context) -> None:
        from console.screens.quit import ask_and_quit

        await ask_and_quit(app)


COMMANDS: tuple[Command, ...] = (
    ShowApprovals(),
    ShowPositions(),
    ShowEquity(),
    ShowEvents(),
    ShowRisk(),
    Approve(),
    Reject(),
    CancelOrder(),
    PauseOrResume(),
    FlattenAll(),
    Acknowledge(),
    ResetHalt(),
    UnlockGuard(),
    SetBases(),
    SettleFunds(),
    ClosePosition(),
    CloseSymbol(),
    CloseSource(),
    CloseLosers(),
    CloseWinners(),
    GiveUpClose(),
    FilterRows(),
    Zoom(),
    StartEngine(),
    Help(),
    Meter(),
    Palette(),
    WhoIsAttached(),
    Detach(),
    Quit(),
)
BY_NAME = {command.name: command for command in COMMANDS}


def bindings() -> list[BindingType]:
    """The app's key bindings. Those that must work inside a dialog too have priority."""
    return [
        Binding(
            key,
            f"command('{command.name}')",
            command.title,
            show=False,
            tooltip=command.help(),
            id=f"{command.name}.{key}",
            priority=key.startswith("ctrl+") and command.name == "quit",
        )
        for command in COMMANDS
        for key in command.key.split(",")
        if key and command.name != "palette"
    ]


def by_character(character: str | None) -> Command | None:
    """The command whose key writes this character."""
    return next((command for command in COMMANDS if character and character in command.key.split(",")), None)


def hints(context: Context) -> list[Hint]:
    """The key bar's entries for this screen."""
    return [
        Hint(
            command.keys(),
            command.label(context),
            command.unavailable(context) is None,
            f"app.perform('{command.name}')",
        )
        for command in COMMANDS
        if command.here(context)
    ]
