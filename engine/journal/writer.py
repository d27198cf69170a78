"""The writer thread: takes what has queued up, commits it at once, and hands all outcomes to the loop in one call.

In: requests with their futures, from the loop. Out: outcomes in the same order. Nothing waits for company: a lone
request is committed alone, and those that come meanwhile share the next commit.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence

from engine.events import Event
from engine.journal.store import Outcome, Request, Store
from engine.journal.threads import tell

Ticket = tuple[Request, asyncio.Future[Sequence[Event]] | None]
Delivery = Callable[[Sequence[tuple[Ticket, Outcome]]], None]
"""Called on the loop with the outcomes of one commit, in order."""

LARGEST_BATCH = 1000


class Writer:
    """The daemon thread that owns the store from `start` to `close`."""

    def __init__(self, store: Store, deliver: Delivery) -> None:
        self._loop = asyncio.get_running_loop()
        self._store = store
        self._deliver = deliver
        self._tickets: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="journal writer", daemon=True)

    def start(self) -> None:
        """Start writing. The store is open."""
        self._thread.start()

    def submit(self, ticket: Ticket) -> None:
        """Queue a request; never blocks."""
        self._tickets.put(ticket)

    async def close(self) -> None:
        """Commit what is queued and close the store."""
        self._tickets.put(None)
        await self._ended
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            outcomes = self._store.commit([request for request, _ in batch])
            if not tell(self._loop, self._deliver, list(zip(batch, outcomes, strict=True))):
                return
            self._store.checkpoint_when_due()
        self._store.close()
        tell(self._loop, self._ended.set_result, None)

    def _next_batch(self) -> list[Ticket]:
        """The requests that wait, at least one; none at the end."""
        batch: list[Ticket] = []
        ticket = self._tickets.get()
        while ticket is not None:
            batch.append(ticket)
            if len(batch) == LARGEST_BATCH:
                break
            try:
                ticket = self._tickets.get_nowait()
            except queue.Empty:
                break
        else:
            if batch:
                self._tickets.put(None)  # the end is met again once this batch is written
        return batch


class InlineWriter:
    """The same without a thread: a request is committed when it is submitted, its outcome comes a turn later."""

    def __init__(self, store: Store, deliver: Delivery) -> None:
        self._loop = asyncio.get_running_loop()
        self._store = store
        self._deliver = deliver

    def start(self) -> None:
        """Nothing has to be started."""

    def submit(self, ticket: Ticket) -> None:
        """Commit a request now."""
        outcomes = self._store.commit([ticket[0]])
        self._loop.call_soon(self._deliver, [(ticket, outcomes[0])])
        self._store.checkpoint_when_due()

    async def close(self) -> None:
        """Close the store; outcomes that are on their way arrive first."""
        await asyncio.sleep(0)
        self._store.close()
