"""Batches of calls on their way to a gateway: how they wait, who goes first, and how each is answered.

Every job is answered exactly once: with results, or with an error that says whether anything was sent.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.broker.base import BrokerError, BrokerTimeout, GatewayUnavailable, StaleEpoch
from engine.broker.codes import LastError
from engine.broker.connection import Call, Lane, Result


@dataclass(eq=False, slots=True)
class Job:
    """A batch that waits for a gateway or is in flight. `deadline` is in seconds; `overdue` once it waited too long."""

    lane: Lane
    calls: Sequence[Call]
    deadline: float
    epoch: int | None
    urgent: bool
    answer: "asyncio.Future[list[Result]]"
    overdue: bool = False
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    @property
    def function(self) -> str:
        """The function that errors of this job name."""
        return self.calls[0].function

    def settle(self, reply: Any) -> None:
        """Answer with a gateway's reply."""
        if self.answer.done():
            return
        if "refused" in reply:
            self.answer.set_exception(StaleEpoch())
        else:
            self.answer.set_result([_result(row) for row in reply["results"]])

    def stale(self) -> None:
        """Answer that the entry epoch was raised: not sent."""
        self._fail(StaleEpoch())

    def unavailable(self, reason: str) -> None:
        """Answer that no gateway took it: not sent."""
        self._fail(GatewayUnavailable(self.function, LastError.E_INTERNAL_FAIL_CONNECT, reason))

    def timed_out(self, reason: str) -> None:
        """Answer that its gateway did not reply in time: outcome not known."""
        self._fail(BrokerTimeout(self.function, LastError.E_INTERNAL_FAIL_TIMEOUT, reason))

    def lost(self, reason: str) -> None:
        """Answer that its gateway went away: outcome not known."""
        text = f"{reason}; whether the call took effect is not known"
        self._fail(BrokerError(self.function, LastError.E_INTERNAL_FAIL_RECEIVE, text))

    def _fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


_TERMINAL_LOST = frozenset(
    {LastError.E_INTERNAL_FAIL_SEND, LastError.E_INTERNAL_FAIL_RECEIVE, LastError.E_INTERNAL_FAIL_CONNECT}
)


def terminal_lost(reply: Any) -> str | None:
    """What a reply says when the module has lost its terminal (measured: every later call fails too); else None."""
    for row in reply.get("results", ()):
        if row[0] is None and row[1][0] in _TERMINAL_LOST:
            return f"lost its terminal: ({row[1][0]}) {row[1][1]}"
    return None


def _result(row: Sequence[Any]) -> Result:
    if row[0] == "raised" and len(row) == 3:
        return Result(None, 0, row[2], raised=row[1])
    value, (code, text) = row
    return Result(value, code, text)


class Waiting:
    """The jobs that no gateway has taken yet. Urgent ones stand before the others of their lane."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, list[Job]] = {lane: [] for lane in Lane}

    def __contains__(self, job: Job) -> bool:
        return job in self._lanes[job.lane]

    def of(self, lane: Lane) -> Iterator[Job]:
        """The jobs of a lane in the order they will be served."""
        return iter(self._lanes[lane])

    def add(self, job: Job) -> None:
        """Put a job in its place."""
        jobs = self._lanes[job.lane]
        place = len(jobs)
        if job.urgent:
            place = next((index for index, other in enumerate(jobs) if not other.urgent), place)
        jobs.insert(place, job)

    def remove(self, job: Job) -> None:
        """Take a job out, if it is there, and stop its timers."""
        for timer in job.timers:
            timer.cancel()
        if job in self:
            self._lanes[job.lane].remove(job)

    def remove_all(self) -> list[Job]:
        """Take every job out."""
        jobs = [job for lane in self._lanes.values() for job in lane]
        for job in jobs:
            self.remove(job)
        return jobs

    def remove_older(self, epoch: int) -> list[Job]:
        """Take out the openings that are older than `epoch`."""
        jobs = [job for lane in self._lanes.values() for job in lane if job.epoch is not None and job.epoch < epoch]
        for job in jobs:
            self.remove(job)
        return jobs
