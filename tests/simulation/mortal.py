"""Death at a chosen instant: before or after a commit of the journal, before or after a request of a gateway.

From that instant nothing of the engine reaches the disk or the broker any more, whatever its tasks still do until they
are taken away: that is what kill -9 means, and what a cancelled task alone does not.
"""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from engine.broker.connection import ConnectionLost, Frame
from engine.events import Event
from engine.journal import Journal
from engine.state import EngineMode


class Dead(BaseException):
    """Raised in what an engine does after it was killed; no `except Exception` of it may catch this."""


class Life:
    """One run of an engine. `chance` of death at each commit and `send_chance` at each order_send, drawn from `draws`.

    `hits` counts by kind what really happened; `committed` is told of each event in the moment it is on the disk.
    """

    def __init__(
        self,
        draws: random.Random,
        hits: Counter[str],
        *,
        chance: float,
        send_chance: float,
        committed: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._draws = draws
        self._hits = hits
        self._chance = chance
        self._send_chance = send_chance
        self._committed = committed
        self.alive = True
        self._end: Callable[[], object] = lambda: None
        self.mode: Callable[[], EngineMode] = lambda: EngineMode.STARTING

    def begin(self, journal: Journal, end: Callable[[], object], mode: Callable[[], EngineMode]) -> None:
        """Stand between the engine and its disk; `end` takes its tasks away, `mode` is what it is in."""
        self._end = end
        self.mode = mode
        store: Any = journal._store  # the one seam between the engine and its disk
        honest = store.commit

        def commit(requests: Sequence[Any]) -> Any:
            if not self.alive:
                raise Dead
            drawn = self._draws.random()
            if drawn < self._chance / 2:
                self.die("killed before a commit")
                raise Dead
            outcomes = honest(requests)
            for event in itertools.chain.from_iterable(one for one in outcomes if not isinstance(one, Exception)):
                self._committed(event)
            if drawn < self._chance:
                self.die("killed after a commit")
                raise Dead
            return outcomes

        store.commit = commit

    def spare(self) -> None:
        """No more deaths by chance."""
        self._chance = self._send_chance = 0.0

    def die(self, how: str) -> None:
        """End it now."""
        if self.alive:
            self.alive = False
            self._hits[how] += 1
            self._end()

    async def before(self, frame: Frame) -> None:
        """Immediately before a gateway executes a request."""
        await self._at(frame, "before")

    async def after(self, frame: Frame) -> None:
        """Immediately after."""
        await self._at(frame, "after")

    async def _at(self, frame: Frame, when: str) -> None:
        sends = any(call[0] == "order_send" for call in frame["calls"])
        if self.alive and sends:
            drawn = self._draws.random()
            if drawn < self._send_chance:
                self.die(f"killed {when} a send")
            elif drawn < 2 * self._send_chance:
                self._hits[f"gateway killed {when} a send"] += 1
                raise ConnectionLost("killed")
        if not self.alive:
            await asyncio.get_running_loop().create_future()
