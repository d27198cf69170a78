"""Threads that keep disk work off the event loop: jobs run one after another, results come back to the loop.

Daemon threads, since a process that must end never waits for a hanging disk.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

Job = tuple[Callable[[], Any], asyncio.Future[Any]]


def settle(future: asyncio.Future[Any], outcome: Any) -> None:
    """Give a future its result, or its exception when the outcome is one, unless its waiter has gone."""
    if future.done():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def run_job(work: Callable[[], Any]) -> Any:
    """Run a job and return its result, or the exception that it raised."""
    try:
        return work()
    except Exception as error:
        return error


def tell(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: Any) -> bool:
    """Call `callback` on the loop, from another thread. False when the loop was closed: nobody is left to hear."""
    try:
        loop.call_soon_threadsafe(callback, *arguments)
    except RuntimeError:
        return False
    return True


class Lane:
    """One daemon thread that runs jobs in order. Created, used and closed on one event loop."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Queue a job. The future gets what it returns or raises."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((work, future))
        return future

    async def close(self) -> None:
        """Finish the queued jobs and end the thread."""
        ended = self.submit(lambda: None)
        self._jobs.put(None)
        await ended
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, future = job
            outcome = run_job(work)
            if not tell(self._loop, settle, future, outcome):
                return


class InlineLane:
    """The same without a thread: each job runs at once, for a run that must be deterministic."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run a job now. The future has its outcome one turn of the loop later, as from a thread."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._loop.call_soon(settle, future, run_job(work))
        return future

    async def close(self) -> None:
        """Nothing is ever queued."""
