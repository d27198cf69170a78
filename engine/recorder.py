"""Writes what happens into the journal, stamped with this run's time, loop id and account.

What raises risk waits for its commit; what lowers risk goes through `urgent`, which waits at most 50 ms.
"""

from typing import Any

from engine.clock import Clock
from engine.events import Draft, Event, EventType
from engine.journal import Journal


class Recorder:
    """The journal as the rest of the engine writes to it."""

    def __init__(self, journal: Journal, clock: Clock, loop_id: str, account: str = "") -> None:
        self.journal = journal
        self.clock = clock
        self.loop_id = loop_id
        self.account = account
        """ "login@server"; "" until the account is known."""

    def draft(self, event_type: EventType, **metadata: Any) -> Draft:
        """An event of now, not yet written."""
        return Draft(event_type, self.clock.utc(), self.loop_id, metadata, self.account)

    async def record(self, event_type: EventType, **metadata: Any) -> Event:
        """Write one event and return it once it is durable. Raises Conflict or JournalError."""
        return (await self.journal.append(self.draft(event_type, **metadata)))[0]

    async def urgent(self, *drafts: Draft) -> None:
        """Write what lowers risk: waits at most 50 ms for the commit and never fails."""
        await self.journal.append_urgent(*drafts)
