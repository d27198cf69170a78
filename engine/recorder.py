"""Writes what happens into the journal, stamped with this run's time, loop id and account.

What raises risk waits for its commit; what lowers risk goes through `urgent`, which waits at most 50 ms.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

from engine.clock import Clock
from engine.events import Draft, Event, EventType
from engine.journal import Journal
from engine.text import plain

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""Starts a task whose failure ends the engine: a bug must not leave a part of it silently dead."""


class Recorder:
    """The journal as the rest of the engine writes to it."""

    def __init__(self, journal: Journal, clock: Clock, loop_id: str, account: str = "") -> None:
        self.journal = journal
        self.clock = clock
        self.loop_id = loop_id
        self.account = account
        """ "login@server"; "" until the account is known."""
        self._writing: set[asyncio.Task[None]] = set()

    def draft(self, event_type: EventType, **metadata: Any) -> Draft:
        """An event of now, not yet written."""
        return Draft(event_type, self.clock.utc(), self.loop_id, _cleaned(metadata), self.account)

    async def record(self, event_type: EventType, **metadata: Any) -> Event:
        """Write one event and return it once it is durable. Raises Conflict or JournalError."""
        return (await self.journal.append(self.draft(event_type, **metadata)))[0]

    async def urgent(self, *drafts: Draft) -> None:
        """Write what lowers risk: waits at most 50 ms for the commit and never fails."""
        await self.journal.append_urgent(*drafts)

    def urgent_soon(self, event_type: EventType, **metadata: Any) -> None:
        """Write what lowers risk without waiting at all: nothing may stand between two closes."""
        task = asyncio.ensure_future(self.urgent(self.draft(event_type, **metadata)))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def drained(self) -> None:
        """Wait until all that was written without waiting has been handed over."""
        if self._writing:
            await asyncio.gather(*self._writing)


def _cleaned(value: Any) -> Any:
    """What comes from outside is made safe before it is stored: text is data, a number that is none is text."""
    if isinstance(value, str):
        return plain(value, 2000)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    return value
