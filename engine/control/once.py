"""Every command is carried out once, whatever its sender repeats.

In: a command and the act it asks for. Out: the act's result, the same for every repeat with the same body. A repeat
that comes while the first is under way waits for it; the same id with another body is refused. A failed act is not
done again under its id: how far it came is not known here.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from engine.control.messages import Command, CommandResult

REMEMBERED = 10_000

_log = logging.getLogger(__name__)


class CommandConflict(Exception):
    """The id was used before for another command."""


class CommandFailed(Exception):
    """The engine raised an error while it carried out the command; already logged."""


class CommandAbandoned(Exception):
    """The engine stopped while the command was under way, or is stopping."""


@dataclass(frozen=True, slots=True)
class _Entry:
    digest: str
    outcome: CommandResult | asyncio.Task[CommandResult]

    @property
    def finished(self) -> bool:
        return isinstance(self.outcome, CommandResult) or self.outcome.done()


def body_digest(command: Command) -> str:
    """Return the SHA-256 (hex) of what a command asks for: all of it but its id."""
    return hashlib.sha256(command.model_dump_json(exclude={"id"}).encode()).hexdigest()


class CommandLedger:
    """The commands of late, by id: the newest 10,000. `known` are those of the time before a restart, oldest first."""

    def __init__(self, known: Mapping[str, tuple[str, CommandResult]], *, remembered: int = REMEMBERED) -> None:
        self._entries = OrderedDict((key, _Entry(digest, result)) for key, (digest, result) in known.items())
        self._remembered = remembered
        self._closed = False
        self._forget_oldest()

    async def run(self, command: Command, act: Callable[[], Coroutine[Any, Any, CommandResult]]) -> CommandResult:
        """Return the result of the command, calling `act` only when its id is new.

        The act goes on when the caller is cancelled. Raises CommandConflict, CommandFailed or CommandAbandoned.
        """
        digest = body_digest(command)
        entry = self._entries.get(command.id)
        if entry is None:
            if self._closed:
                raise CommandAbandoned
            task = asyncio.create_task(act(), name=f"command {command.id} ({command.action.kind})")
            task.add_done_callback(_log_failure)
            entry = self._entries[command.id] = _Entry(digest, task)
            self._forget_oldest()
        elif entry.digest != digest:
            raise CommandConflict
        return await _result(entry.outcome)

    async def close(self, grace: float) -> None:
        """Take no new command, wait `grace` seconds for those under way, cancel the rest."""
        self._closed = True
        running = [entry.outcome for entry in self._entries.values() if isinstance(entry.outcome, asyncio.Task)]
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=grace)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _forget_oldest(self) -> None:
        excess = max(0, len(self._entries) - self._remembered)
        for key in list(islice(self._entries, excess)):
            if self._entries[key].finished:
                del self._entries[key]


async def _result(outcome: CommandResult | asyncio.Task[CommandResult]) -> CommandResult:
    if isinstance(outcome, CommandResult):
        return outcome
    try:
        return await asyncio.shield(outcome)
    except asyncio.CancelledError:
        if outcome.cancelled():
            raise CommandAbandoned from None
        raise
    except Exception as error:
        raise CommandFailed(type(error).__name__) from error


def _log_failure(task: asyncio.Task[CommandResult]) -> None:
    if task.cancelled():
        _log.error("%s was cut off when the engine stopped", task.get_name())
    elif (error := task.exception()) is not None:
        _log.error("%s failed", task.get_name(), exc_info=error)
