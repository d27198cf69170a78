"""A watchdog's alerts on their way: each is tried again until everybody has it who is to have it.

In: alerts. Out: attempts, in rounds with a growing pause, and a line for each. An alert is not told to somebody whom
one before it has not reached: they arrive in order. Nothing of this is on a disk: with the watchdog, what it owes ends.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress

from engine.alerts.board import PAUSES
from engine.watchdog.judge import Alert

Deliver = Callable[[Alert, Sequence[str]], Awaitable[Collection[str]]]
"""Tries once to tell these targets, and returns those who have it. May take its time."""
MOST_OWED = 100
"""Beyond so many the oldest is given up, and that is said: a lasting trouble is told again anyway."""


class Telling:
    """Tells `targets`, by `deliver`."""

    def __init__(self, targets: Sequence[str], deliver: Deliver, say: Callable[[str], None]) -> None:
        self._targets = tuple(targets)
        self._deliver = deliver
        self._say = say
        self._owed: list[tuple[Alert, set[str]]] = []
        self._news = asyncio.Event()

    def tell(self, alert: Alert) -> None:
        """Take an alert; returns at once."""
        if not self._targets:
            return
        if len(self._owed) >= MOST_OWED:
            given_up, targets = self._owed.pop(0)
            self._say(f"given up, it has never reached {', '.join(sorted(targets))}: {given_up.text}")
        self._owed.append((alert, set(self._targets)))
        self._news.set()

    async def run(self) -> None:
        """Deliver, until it is cancelled; then say what is still owed."""
        failures = 0
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(PAUSES[min(failures, len(PAUSES)) - 1] if failures else None):
                        await self._news.wait()
                self._news.clear()
                failures = failures + 1 if await self._round() else 0
        finally:
            for alert, targets in self._owed:
                self._say(f"not tried again, it has not reached {', '.join(sorted(targets))}: {alert.text}")

    async def _round(self) -> set[str]:
        """Try once all that is owed; whom it has not reached."""
        failed: set[str] = set()
        for alert, owed in tuple(self._owed):
            names = sorted(owed - failed)
            if names:
                reached = await self._try(alert, names)
                owed -= reached
                failed |= set(names) - reached
        self._owed = [(alert, owed) for alert, owed in self._owed if owed]
        return failed

    async def _try(self, alert: Alert, names: Sequence[str]) -> set[str]:
        try:
            return set(await self._deliver(alert, names))
        except Exception as error:
            # Whatever is wrong with the way to the operator, the account is watched on, and it is tried again.
            self._say(f"the alert could not be delivered ({type(error).__name__}: {error}): {alert.text}")
            return set()
