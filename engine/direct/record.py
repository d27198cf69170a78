"""The record of a direct flatten: groups in the journal's fallback file, merged into the journal by the next start.

In: what the flatten has to say. Out: durable lines. A disk that takes none is told about once and holds up no close.
"""

import asyncio
import logging
import secrets

from engine.clock import Clock
from engine.events import Draft
from engine.journal.fallback import Fallback, FallbackGroup
from engine.journal.record import prepare
from engine.recorder import Recorder

_log = logging.getLogger(__name__)
_PATIENCE_SECONDS = 0.05


class DirectRecorder(Recorder):
    """A recorder without a journal. `account` is "login@server"; not `threaded`: for a simulation."""

    def __init__(self, fallback: Fallback, clock: Clock, loop_id: str, account: str, *, threaded: bool = True) -> None:
        self.clock = clock
        self.loop_id = loop_id
        self.account = account
        self._fallback = fallback
        self._threaded = threaded
        self._writing: set[asyncio.Task[None]] = set()
        self._run = secrets.token_hex(6)
        self._groups = 0
        self._order = asyncio.Lock()
        self.failure: OSError | None = None
        """Why something was not recorded; None while all was."""

    async def urgent(self, *drafts: Draft) -> None:
        """Write in order; waits at most 50 ms for the disk and never fails."""
        writing = asyncio.ensure_future(self._write(drafts))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        await asyncio.wait({writing}, timeout=_PATIENCE_SECONDS)

    async def _write(self, drafts: tuple[Draft, ...]) -> None:
        async with self._order:
            self._groups += 1
            group = FallbackGroup(f"direct-{self._run}-{self._groups}", tuple(map(prepare, drafts)))
            try:
                if self._threaded:
                    await asyncio.to_thread(self._fallback.write, group)
                else:
                    self._fallback.write(group)
            except OSError as error:
                if self.failure is None:
                    _log.error("a direct flatten is not recorded: %s", error)
                self.failure = error
