"""An event loop in virtual time: an hour passes as fast as its callbacks run, the same way each time.

No sockets, no threads, no signals. When nothing is ready and nothing is due, every task waits for ever: an error.
"""

import asyncio
import itertools
import random
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

_Value = TypeVar("_Value")
EPOCH = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)


class Deadlock(RuntimeError):
    """Every task waits for another one."""


class _Selector:
    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Deadlock("nothing is ready and nothing is due")
        self._loop.now += timeout
        return []

    def close(self) -> None:
        """Nothing is held."""


class _Task(asyncio.Task[Any]):
    """A task that a set keeps by its number: by its address, the set's order would be another one in each run."""

    def __init__(self, *arguments: Any, number: int, **options: Any) -> None:
        self._number = number
        super().__init__(*arguments, **options)

    def __hash__(self) -> int:
        return self._number


class _Future(asyncio.Future[Any]):
    """The same of a future."""

    def __init__(self, *, loop: "VirtualLoop", number: int) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.BaseEventLoop):
    """Time jumps to the next timer when nothing is ready. With a seed, ready callbacks run in a drawn order."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()
        self.now = 0.0
        self._selector = _Selector(self)
        self._clock_resolution = 1e-9
        self._randomness = random.Random(seed) if seed is not None else None
        self._numbers = itertools.count()
        self.set_task_factory(self._numbered)

    def _numbered(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> Any:
        return _Task(work, loop=loop, number=next(self._numbers), **options)

    def create_future(self) -> asyncio.Future[Any]:
        return _Future(loop=self, number=next(self._numbers))

    def time(self) -> float:
        return self.now

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no I/O events."""

    def _write_to_self(self) -> None:
        """There is no other thread to wake the loop for."""

    def _run_once(self) -> None:
        ready: Any = getattr(self, "_ready")  # noqa: B009 - BaseEventLoop's own queue, which its stub leaves out
        if self._randomness is not None and len(ready) > 1:
            order = list(ready)
            self._randomness.shuffle(order)
            ready.clear()
            ready.extend(order)
        super()._run_once()  # type: ignore[misc]  # the stub of BaseEventLoop leaves it out


class VirtualClock:
    """The clock of a virtual loop: UTC runs with it, from a fixed moment; `offset` is how far somebody has set it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.offset = timedelta(0)

    def monotonic(self) -> float:
        return self._loop.time()

    def utc(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.time()) + self.offset


def run_virtual(main: Coroutine[Any, Any, _Value], seed: int | None = None) -> _Value:
    """Run a coroutine to its end in virtual time."""
    loop = VirtualLoop(seed)
    try:
        return loop.run_until_complete(main)
    finally:
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        if pending:
            loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.close()
