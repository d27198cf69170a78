"""What the control server needs of the engine behind it, and who is asking."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from engine.control.health import Health
from engine.control.messages import Command, CommandResult, EquityCurve, EventMatches, EventsPage, Snapshot


@dataclass(frozen=True, slots=True)
class Operator:
    """Who sent a command and by what means; goes into the journal with it."""

    name: str
    """The operating system's user name of the peer."""
    origin: str
    """"console", "cli", "api", or another short word the client calls itself."""


class ControlTarget(Protocol):
    """The engine as the control API sees it. All of it runs on the engine's loop and must not block."""

    def snapshot(self) -> Snapshot:
        """Return everything as it stands now. Called about 10 times a second while a console is attached."""
        ...

    async def events(self, after: int, limit: int) -> EventsPage:
        """Return journalled events with `after < seq`, ascending, at most `limit` (1 to 1000)."""
        ...

    async def matches(self, contains: str) -> EventMatches:
        """Return the sequence numbers of the events that hold the text (1 to 100 characters)."""
        ...

    async def equity(self, start: datetime | None, end: datetime | None, points: int) -> EquityCurve:
        """Return the equity from start to end (UTC; None is open) thinned to `points` (2 to 2000)."""
        ...

    async def execute(self, command: Command, operator: Operator) -> CommandResult:
        """Carry out one command; called once for each command id.

        A refusal is a result that is not accepted. A raised error is a defect of the engine. It must not wait for
        the control server to stop, since the server waits for it.
        """
        ...

    def health(self) -> Health:
        """Return whether guard cycles are being completed, and how many have been."""
        ...

    def metrics(self) -> str:
        """Return the metrics in Prometheus' text format."""
        ...
