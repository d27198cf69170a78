"""Keeps one account's guard memory in the journal: one value, the newest wins, one write at a time.

In: a function that gives the value as it is now. Out: what is durable, for whoever may only show what a restart would
find again. A failed journal is told by the journal itself; the guards go on from memory.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from engine.events import Draft
from engine.journal import JournalError
from engine.recorder import Recorder, Spawn

_log = logging.getLogger(__name__)
Shown = TypeVar("Shown")


class Keeper(Generic[Shown]):
    """Writes what `capture` returns: the text to keep, and what may be shown once it is durable."""

    def __init__(self, recorder: Recorder, spawn: Spawn, key: str, capture: Callable[[], tuple[str, Shown]]) -> None:
        self._recorder = recorder
        self._spawn = spawn
        self.key = key
        self._capture = capture
        self._dirty = False
        self._told: list[Draft] = []
        """What is to be recorded in the very commit that keeps the memory it speaks of."""
        self._writing = False
        self._generation = 0
        self._write_task: asyncio.Task[None] | None = None
        self.durable: Shown = capture()[1]

    def changed(self, *told: Draft) -> None:
        """The memory is another one: keep it, and record with it what changed it. Both are durable, or neither is."""
        self._dirty = True
        self._told += told
        if not self._writing:
            self._writing = True
            self._write_task = self._spawn(self._write())

    def begin_again(self, key: str) -> None:
        """What is durable now is what was recorded under another key, by an event."""
        self.key = key
        self._generation += 1
        self.durable = self._capture()[1]

    async def _write(self) -> None:
        try:
            while self._dirty:
                self._dirty = False
                generation = self._generation
                text, shown = self._capture()
                told, self._told = self._told, []
                try:
                    await self._recorder.journal.set_value(self._recorder.account, self.key, text, *told)
                except JournalError as error:
                    _log.error("what the guards remember is not durable: %s", error)
                    self._dirty = True
                    await self._recorder.urgent(*told)
                    return
                if generation == self._generation:
                    self.durable = shown
        finally:
            self._writing = False

    async def kept(self) -> None:
        """Wait until what has changed so far is durable. Raises JournalError when it cannot be."""
        if self._write_task is not None:
            await asyncio.wait({self._write_task})
        failure = self._recorder.journal.failure
        if self._dirty and failure is not None:
            raise failure.copy()

    async def finished(self) -> None:
        """Keep what has changed since the last write, at the engine's end."""
        if self._dirty and not self._writing:
            self._writing = True
            await self._write()
