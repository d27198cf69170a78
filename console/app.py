"""The console: four screens over one link. Holds the last snapshot, paints the visible screen, sends commands.

In: messages of the link worker, keys. Out: paints, and actions to the engine through the link. Decides nothing about
trading; everything the operator can do is a class in commands.py.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import SystemCommand
from textual.binding import BindingType
from textual.screen import Screen
from textual.worker import Worker, WorkerState

from console.commands import BY_NAME, Command, Context, bindings, by_character
from console.link import CameBack, Link, LinkChanged, Question, SnapshotArrived, Told
from console.paced_app import PacedApp
from console.palette import CommandsProvider
from console.screens import opener, show_away
from console.screens.base import Answer, ConsoleScreen, Painted
from console.state import Phase, Row, View
from console.styling import styles_dir
from console.terminal import Terminal
from console.text import plain

if TYPE_CHECKING:
    from textual import events

    from engine.control.messages import Action, Snapshot


class Console(PacedApp):
    """The operator's console over one link. `clock` counts monotonic seconds."""

    TITLE = "Quarterdeck"
    CSS_PATH: ClassVar[Any] = sorted(styles_dir().glob("*.tcss"))
    COMMANDS: ClassVar[Any] = {CommandsProvider}
    BINDINGS: ClassVar[list[BindingType]] = bindings()
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "approvals": opener("approvals", "ApprovalsScreen"),
        "positions": opener("positions", "PositionsScreen"),
        "equity": opener("equity", "EquityScreen"),
        "events": opener("events", "EventsScreen"),
        "risk": opener("risk", "RiskScreen"),
    }
    DEFAULT_MODE = "approvals"

    def __init__(
        self, link: Link, clock: Callable[[], float] = time.monotonic, terminal: Terminal | None = None
    ) -> None:
        super().__init__(terminal)
        self.link = link
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._snapshot_at = 0.0
        self._mode_at = -math.inf
        self._phase = Phase.CONNECTING
        self._phase_at = clock()
        self._detail = "finding the engine, or starting it"
        self._fault = ""
        self._under_way: frozenset[tuple[str, int]] = frozenset()

    def on_mount(self) -> None:
        """Show the first frame, then load what talks to the engine."""
        self.start_painting()
        run = self.link.run
        self.call_after_refresh(lambda: self.run_worker(run(self.post_message), name="link", exit_on_error=False))

    def view(self) -> View:
        """What is known now, with its age."""
        now = self._clock()
        age, link = now - self._snapshot_at if self._snapshot else 0.0, self.link
        known = (self._snapshot, age, self._phase, now - self._phase_at, self._detail, self._fault)
        return View(*known, link.console_id, link.read_only)

    def context(self) -> Context:
        """What the availability of commands depends on: the screen below any dialog, and its row as it was shown."""
        for screen in self._drawn():
            if isinstance(screen, ConsoleScreen):
                row, settled = screen.selected(), screen.settled() and not self.pacer.holding
                known = (row, settled, self._under_way, screen.cramped, self._clock() - self._mode_at)
                return Context(self.view(), screen.name_here, *known)
        return Context(self.view(), "")

    def paint(self) -> None:
        """Show what is known on the visible screens: a dialog, and the screen that shows through behind it."""
        context = self.context()
        for screen in self._drawn():
            screen.paint(context)

    def _drawn(self) -> list[Painted]:
        """The screens that have their widgets, the top one first; none while the app takes itself apart."""
        stack = self.screen_stack if self.is_running else []
        return [screen for screen in reversed(stack) if isinstance(screen, Painted) and screen.ready]

    def on_snapshot_arrived(self, message: SnapshotArrived) -> None:
        """Keep the newest snapshot; the next tick paints it."""
        before, self._snapshot, self._snapshot_at = self.view().mode, message.snapshot, self._clock()
        if before not in ("", message.snapshot.engine.mode):
            self._mode_at = self._snapshot_at

    def on_link_changed(self, message: LinkChanged) -> None:
        """Say at once that the link came up or went down."""
        if message.phase is not self._phase:
            self._phase, self._phase_at = message.phase, self._clock()
        self._detail = message.detail
        self.paint()

    def on_came_back(self, message: CameBack) -> None:
        """Tell what happened meanwhile."""
        show_away(self, message.away)

    def on_worker_state_changed(self, message: Worker.StateChanged) -> None:
        """A worker that failed is never silent: it is named in the banner."""
        if message.state is WorkerState.ERROR:
            error = message.worker.error
            self._fault = f"{message.worker.name}: {type(error).__name__}: {error}"
            if message.worker.name == "link":
                self._phase, self._phase_at = Phase.DISCONNECTED, self._clock()
            self.paint()

    def on_key(self, event: "events.Key") -> None:
        """A key whose command is not available says why."""
        command = by_character(event.character)
        if command is not None and isinstance(self.screen, ConsoleScreen) and command.unavailable(self.context()):
            self.perform(command)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """None greys a command that is not available."""
        if action == "command":
            return None if BY_NAME[str(parameters[0])].unavailable(self.context()) else True
        return True

    def action_command(self, name: str) -> None:
        """Run a command by its name."""
        self.perform(BY_NAME[name])

    def action_perform(self, name: str) -> None:
        """The same from a click, which also tells why a command is not available."""
        self.perform(BY_NAME[name])

    async def action_quit(self) -> None:
        """Every way out goes through the question."""
        self.perform(BY_NAME["quit"])

    def perform(self, command: Command, row: Row | None = None) -> None:
        """Run a command on the row as it was shown, or say why it is not available."""
        context = self.context()
        if row is not None:
            context = replace(context, row=row)
        if reason := command.unavailable(context):
            self.tell(Told(False, reason), command.title)
        else:
            self.run_worker(command.run(self, context), name=command.title, exit_on_error=False)

    async def send(self, action: "Action", reason: str = "") -> Told:
        """Send a command and tell the operator what the engine answered."""
        told = await self.link.send(action, reason)
        self.tell(told, action.kind.replace("_", " ").capitalize())
        return told

    async def decide(self, action: "Action", row: Row, reason: str = "") -> None:
        """Send a decision on a row; until it is answered the row cannot be decided again."""
        decision = (row.subject, row.version)
        self._under_way |= {decision}
        try:
            await self.send(action, reason)
        finally:
            self._under_way -= {decision}

    def tell(self, told: Told, title: str) -> None:
        """Show what became of a command."""
        severity = {True: "information", False: "warning", None: "error"}[told.accepted]
        self.notify(
            plain(told.message, 300),
            title=title,
            severity=severity,  # type: ignore[arg-type]
            timeout=5 if told.accepted else 12,
            markup=False,
        )

    def ask(self, screen: Screen[Any], name: str, question: Question) -> None:
        """Ask the engine on behalf of a screen, which gets an Answer. A newer question replaces an older one."""

        async def asking() -> None:
            screen.post_message(Answer(name, *await self.link.ask(question)))

        self.run_worker(asking(), name=name, group=name, exclusive=True, exit_on_error=False)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """None: a stock "Quit" would go past the question."""
        return ()
