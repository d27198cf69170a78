"""The console's link to its engine: attach, stream, lose, attach again. Runs as one worker of the app.

In: a way to attach. Out: messages (a snapshot came, the link changed) and the outcome of each command in words. It
touches no widget, and it never starts an engine again that was told to stop.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from textual.message import Message

from console.away import Away, Since, look_back
from console.state import Phase
from console.text import plain
from engine.control.errors import ControlError, EngineStopped, EngineUnreachable

if TYPE_CHECKING:
    from engine.control.messages import (
        Action,
        CommandResult,
        EquityCurve,
        EventMatches,
        EventsPage,
        Snapshot,
        StreamMessage,
    )

FIRST_RETRY_SECONDS = 0.25
LONGEST_RETRY_SECONDS = 5.0


class ConsoleClient(Protocol):
    """What the console asks of an engine; `engine.control.client.ControlClient` is one."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def snapshot(self) -> "Snapshot":
        """Everything as it stands."""
        ...

    async def events(self, after: int = 0, limit: int = 100) -> "EventsPage":
        """Events with `after < seq`, oldest first."""
        ...

    async def matches(self, contains: str) -> "EventMatches":
        """The sequence numbers of the events that hold a text."""
        ...

    async def equity(self, points: int) -> "EquityCurve":
        """The equity curve thinned to `points`."""
        ...

    async def send(self, action: "Action", reason: str = "") -> "CommandResult":
        """Ask the engine to act."""
        ...

    def stream(self, after: int | None = None) -> AsyncGenerator["StreamMessage", None]:
        """Snapshots and events until the connection ends."""
        ...


Attach = Callable[[], Awaitable[ConsoleClient]]
"""Finds the profile's engine, or starts it, and returns a client that speaks to it."""


class SnapshotArrived(Message):
    """The engine has said how everything stands. Under a flood only the newest is handled."""

    def __init__(self, snapshot: "Snapshot") -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        """A newer snapshot replaces an older one that has not been handled."""
        return isinstance(message, SnapshotArrived)


class CameBack(Message):
    """What happened while this operator, or this console, was away."""

    def __init__(self, away: "Away") -> None:
        super().__init__()
        self.away = away


class LinkChanged(Message):
    """The link came up or went down; `detail` says why and what is being done about it."""

    def __init__(self, phase: Phase, detail: str = "") -> None:
        super().__init__()
        self.phase = phase
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a command, in words. `accepted` is None when that is not known."""

    accepted: bool | None
    message: str


Question = Callable[[ConsoleClient], Awaitable[object]]
"""Something to ask of an engine."""


class Link:
    """The one connection of a console. `post` takes the messages; `attach` is tried again with back-off.

    `console_id` is what the client tells the engine to know this console by; `read_only`: it asked only to look.
    """

    def __init__(self, attach: Attach, *, console_id: str = "", read_only: bool = False) -> None:
        self.console_id = console_id
        self.read_only = read_only
        self._attach = attach
        self._client: ConsoleClient | None = None
        self._was_up = False
        self._seen: Since | None = None
        """The newest event that the operator has had before them, and when."""
        self._wanted = asyncio.Event()

    def start_again(self) -> None:
        """Attach, and so start, an engine that was told to stop."""
        self._wanted.set()

    async def run(self, post: Callable[[Message], object]) -> None:
        """Keep the link up until cancelled."""
        # Imported here, after the first frame, and off the loop: aiohttp and pydantic cost as much as Textual itself.
        await asyncio.to_thread(import_module, "engine.control.client")
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                async with await self._attach() as client:
                    await self._follow(client, post)
                said = "the engine closed the stream"
            except EngineStopped:
                self._wanted.clear()
                post(LinkChanged(Phase.STOPPED, "the engine was told to stop; press s to start it"))
                await self._wanted.wait()
                post(LinkChanged(Phase.CONNECTING, "starting the engine"))
                continue
            except (ControlError, EngineUnreachable, OSError) as error:
                said = str(error) or type(error).__name__
            delay = FIRST_RETRY_SECONDS if self._was_up else min(2 * delay, LONGEST_RETRY_SECONDS)
            self._was_up = False
            post(LinkChanged(Phase.DISCONNECTED, f"{said}; trying again every {delay:g} s"))
            await asyncio.sleep(delay)

    async def _follow(self, client: ConsoleClient, post: Callable[[Message], object]) -> None:
        post(SnapshotArrived(await client.snapshot()))
        self._client, self._was_up = client, True
        post(LinkChanged(Phase.CONNECTED))
        since, asking = self._seen, None
        try:
            async with aclosing(client.stream()) as messages:
                async for message in messages:
                    if message.snapshot is not None:
                        post(SnapshotArrived(message.snapshot))
                        since = since or self._left_before(message.snapshot)
                        if since is not None and asking is None:
                            asking = asyncio.create_task(self._tell(client, since, post), name="while you were away")
                        self._seen = Since(message.snapshot.seq, message.snapshot.time)
        finally:
            self._client = None
            if asking is not None:
                asking.cancel()
                await asyncio.wait({asking})

    def _left_before(self, snapshot: "Snapshot") -> Since | None:
        """When this operator left before this console came, as the engine says."""
        me = next((who for who in snapshot.attached if self.console_id and who.id == self.console_id), None)
        if me is None or me.away_seq is None or me.away_since is None:
            return None
        return Since(me.away_seq, me.away_since)

    async def _tell(self, client: ConsoleClient, since: Since, post: Callable[[Message], object]) -> None:
        try:
            away = await look_back(client, since)
        except (ControlError, EngineUnreachable):
            # The stream has the same engine: it says that the link is down, and the next one asks again.
            return
        if away.matters:
            post(CameBack(away))

    async def ask(self, question: Question) -> tuple[object, str]:
        """The engine's answer, and why there is none: one of the two is empty."""
        if self._client is None:
            return None, "no engine is connected"
        try:
            return await question(self._client), ""
        except (ControlError, EngineUnreachable) as error:
            return None, plain(str(error), 200)

    async def send(self, action: "Action", reason: str = "") -> Told:
        """Send a command. Never raises for a link that is down: the operator is told in words."""
        if self._client is None:
            return Told(False, "not sent: no engine is connected")
        try:
            result = await self._client.send(action, reason)
        except EngineUnreachable as error:
            return Told(None, f"no answer: {error}. It may or may not have been done; look at Events")
        except ControlError as error:
            return Told(False, f"refused: {error}")
        return Told(result.accepted, result.message)
