"""What the control server needs of the engine behind it, and who is asking."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from engine.control.health import Health
from engine.control.messages import Command, CommandResult, EquityCurve, EventMatches, EventsPage, Snapshot
from engine.control.wire import Role


@dataclass(frozen=True, slots=True)
class Operator:
    """Who sent a command and by what means; goes into the journal with it."""

    name: str
    """The operating system's user name of the peer, or the name of its token."""
    origin: str
    """"console", "cli", "api", or another short word the client calls itself."""
    role: Role = "operator"
    via: str = ""
    """Where the client says it sits, as "ssh 10.0.0.5 port 51234"; "" at the desk. Claimed, not proved."""

    def who(self) -> dict[str, str]:
        """What a journalled event says of whoever caused it."""
        via = {"via": self.via} if self.via else {}
        return {"operator": self.name, "origin": self.origin, **via}


@dataclass(frozen=True, slots=True, eq=False)
class Visitor:
    """One open stream. `console` is what its console calls itself, "" when it does not say."""

    operator: Operator
    console: str = ""


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

    def arrived(self, visitor: Visitor) -> None:
        """A stream has been opened: from now on this visitor is attached."""
        ...

    def left(self, visitor: Visitor) -> None:
        """That stream has ended, whatever ended it. Called once for each that has arrived."""
        ...

    def health(self) -> Health:
        """Return whether guard cycles are being completed, and how many have been."""
        ...

    def metrics(self) -> str:
        """Return the metrics in Prometheus' text format."""
        ...
