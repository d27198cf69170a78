"""The two gateways to the broker: one sends orders and does nothing else, one reads; each stands by for the other.

In: batches of calls, each with a deadline. Out: their results, or an error that says whether anything was sent. A
gateway that misses a deadline is hung: its work goes to the standby at once, and it is killed once the standby has
answered, because a new initialize() on a busy terminal may itself hang. Never blocks the event loop, never repeats a
call.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from engine.broker.base import BrokerError, BrokerTimeout
from engine.broker.codes import LastError
from engine.broker.connection import (
    Call,
    Connection,
    ConnectionLost,
    GatewayChange,
    Lane,
    Result,
    Spawn,
)
from engine.broker.jobs import Job, Waiting, terminal_lost
from engine.clock import Clock
from engine.config import GatewaySettings

__all__ = ["Call", "Connection", "ConnectionLost", "GatewayChange", "Gateways", "Lane", "Result", "Spawn"]

_REAP_SECONDS = 5.0
"""How long `stop` waits for the system to take the killed processes away."""
_BACK_OFF_SECONDS = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)
_SOUND_AFTER_SECONDS = 30.0
"""A gateway that has lived this long starts the back-off anew when it is lost."""


@dataclass(eq=False, slots=True)
class _Gateway:
    """One live connection and what it is doing."""

    connection: Connection
    lane: Lane
    born: float
    job: Job | None = None
    stalled: bool = False
    hung: bool = False
    last_resort: asyncio.TimerHandle | None = None


class Gateways:
    """Both gateways of one account.

    `spawn` starts one; `on_change` is told of every start and loss, on the event loop, and must not raise.
    """

    def __init__(
        self, spawn: Spawn, clock: Clock, settings: GatewaySettings, on_change: Callable[[GatewayChange], None]
    ) -> None:
        self._spawn = spawn
        self._clock = clock
        self._settings = settings
        self._on_change = on_change
        self._gateways: dict[Lane, _Gateway | None] = {Lane.ORDERS: None, Lane.READS: None}
        self._waiting = Waiting()
        self._starting: set[Lane] = set()
        self._attempts: dict[Lane, int] = {Lane.ORDERS: 0, Lane.READS: 0}
        self._ids = itertools.count(1)
        self._epoch = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._reaping: set[asyncio.Task[None]] = set()
        self._stopped = False
        self.restarts = 0
        """Replacements that came up since `start`."""

    async def start(self) -> None:
        """Bring both up. Raises BrokerError with the broker's reason if one does not come up; none is left then.

        It may be tried again then.
        """
        self._stopped = False
        ups = [asyncio.create_task(self._connect(lane)) for lane in Lane]
        try:
            await asyncio.gather(*ups)
        except BaseException:
            for up in ups:
                up.cancel()
            await asyncio.gather(*ups, return_exceptions=True)
            await self.stop()
            raise

    async def stop(self) -> None:
        """Kill both and wait until they are gone, for good.

        Calls that wait raise GatewayUnavailable, calls in flight BrokerError.
        """
        self._stopped = True
        for gateway in self._live():
            if gateway.job is not None:
                gateway.job.lost("the gateways were stopped")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for gateway in self._live():
            self._discard(gateway)
        self._fail_waiting("the gateways were stopped")
        if self._reaping:
            await asyncio.wait(self._reaping, timeout=_REAP_SECONDS)

    async def call(
        self,
        lane: Lane,
        calls: Sequence[Call],
        *,
        deadline: float,
        epoch: int | None = None,
        urgent: bool = False,
    ) -> list[Result]:
        """Execute a batch in order and return one result for each call.

        `deadline` is in seconds from when a gateway takes the batch; waiting for one is bounded by the same time.
        `epoch` makes order_send an opening of that epoch. `urgent` overtakes what is not, and goes through the standby
        when its own gateway has been in one call, or has let it wait, for `stall_seconds`.
        Raises GatewayUnavailable or StaleEpoch (nothing was sent), BrokerTimeout or BrokerError (outcome not known).
        """
        job = Job(lane, calls, deadline, epoch, urgent, asyncio.get_running_loop().create_future())
        self._waiting.add(job)
        self._pump()
        if job in self._waiting:
            loop = asyncio.get_running_loop()
            job.timers.append(loop.call_later(deadline, self._expire, job))
            if urgent:
                job.timers.append(loop.call_later(self._settings.stall_seconds, self._overdue, job))
        try:
            return await job.answer
        except asyncio.CancelledError:
            self._waiting.remove(job)
            raise

    async def raise_epoch(self, epoch: int) -> None:
        """Void openings older than `epoch` everywhere: waiting here, on their way, and in every later gateway."""
        self._epoch = max(self._epoch, epoch)
        for gateway in self._live():
            gateway.connection.notify({"raise_epoch": self._epoch})
        for job in self._waiting.remove_older(self._epoch):
            job.stale()

    def state(self, lane: Lane) -> str:
        """What a lane's gateway is doing: "ready", "busy", "hung" (to be killed), "starting" or "down"."""
        gateway = self._gateways[lane]
        if gateway is None:
            return "starting" if lane in self._starting else "down"
        if gateway.hung:
            return "hung"
        return "ready" if gateway.job is None else "busy"

    @property
    def connected(self) -> bool:
        """Whether a gateway is there to take calls."""
        return any(self._is_usable(lane) for lane in Lane)

    def _live(self) -> list[_Gateway]:
        return [gateway for gateway in self._gateways.values() if gateway is not None]

    def _is_usable(self, lane: Lane) -> bool:
        gateway = self._gateways[lane]
        return gateway is not None and not gateway.hung

    def _expire(self, job: Job) -> None:
        self._waiting.remove(job)
        job.unavailable(f"no gateway was free within {job.deadline:g} s")

    def _overdue(self, job: Job) -> None:
        job.overdue = True
        self._pump()

    def _fail_waiting(self, reason: str) -> None:
        for job in self._waiting.remove_all():
            job.unavailable(reason)

    def _pump(self) -> None:
        """Hand what waits to the gateways that are free."""
        if not self.connected:
            self._fail_waiting("no gateway is up")
            return
        for gateway in self._live():
            while gateway.job is None and not gateway.hung and (job := self._next_for(gateway)) is not None:
                self._waiting.remove(job)
                if job.epoch is not None and job.epoch < self._epoch:
                    job.stale()
                elif not job.answer.cancelled():
                    gateway.job = job
                    self._begin(self._execute(gateway, job))

    def _next_for(self, gateway: _Gateway) -> Job | None:
        for lane in Lane:
            own = lane is gateway.lane or not self._is_usable(lane)
            for job in self._waiting.of(lane):
                if own or (job.urgent and (job.overdue or self._is_stalled(lane))):
                    return job
        return None

    def _is_stalled(self, lane: Lane) -> bool:
        gateway = self._gateways[lane]
        return gateway is not None and gateway.stalled

    async def _execute(self, gateway: _Gateway, job: Job) -> None:
        stall = asyncio.get_running_loop().call_later(self._settings.stall_seconds, self._stall, gateway)
        calls = [[call.function, call.args, call.kwargs] for call in job.calls]
        try:
            async with asyncio.timeout(job.deadline):
                reply = await gateway.connection.request({"id": next(self._ids), "calls": calls, "epoch": job.epoch})
            gone = terminal_lost(reply)
            job.settle(reply)
        except TimeoutError:
            self._hang(gateway, job)
            return
        except Exception as error:  # ConnectionLost, or an answer that makes no sense: this gateway is of no more use
            reason = str(error) if isinstance(error, ConnectionLost) else repr(error)
            job.lost(reason)
            self._lose(gateway, reason)
            return
        finally:
            stall.cancel()
            gateway.job = None
            gateway.stalled = False
        if gone is not None:
            # The module does not connect again by itself: only a new process with a new initialize() does.
            self._lose(gateway, gone)
            return
        self._release_hung(gateway.lane.other)
        self._pump()

    def _stall(self, gateway: _Gateway) -> None:
        gateway.stalled = True
        self._pump()

    def _hang(self, gateway: _Gateway, job: Job) -> None:
        reason = f"{job.function} did not answer within {job.deadline:g} s"
        job.timed_out(reason)
        gateway.hung = True
        self._tell(gateway, "hung", reason)
        if self._is_usable(gateway.lane.other):
            gateway.last_resort = asyncio.get_running_loop().call_later(
                self._settings.connect_seconds, self._release_hung, gateway.lane
            )
        else:
            self._release_hung(gateway.lane.other)
            self._release_hung(gateway.lane)
        self._pump()

    def _release_hung(self, lane: Lane) -> None:
        gateway = self._gateways[lane]
        if gateway is not None and gateway.hung:
            self._lose(gateway, "killed because it hung")

    def _lose(self, gateway: _Gateway, reason: str) -> None:
        lane = gateway.lane
        if self._stopped or self._gateways[lane] is not gateway:
            return
        self._discard(gateway)
        self._tell(gateway, "lost", reason)
        if self._clock.monotonic() - gateway.born >= _SOUND_AFTER_SECONDS:
            self._attempts[lane] = 0
        self._begin(self._restore(lane))
        self._release_hung(lane.other)
        self._pump()

    def _discard(self, gateway: _Gateway) -> None:
        self._gateways[gateway.lane] = None
        if gateway.last_resort is not None:
            gateway.last_resort.cancel()
        gateway.connection.kill()
        self._keep(self._reaping, gateway.connection.reap())

    async def _restore(self, lane: Lane) -> None:
        while True:
            attempt = self._attempts[lane]
            self._attempts[lane] = attempt + 1
            await asyncio.sleep(_BACK_OFF_SECONDS[min(attempt, len(_BACK_OFF_SECONDS) - 1)])
            try:
                await self._connect(lane)
            except BrokerError as error:
                self._on_change(GatewayChange(lane, "failed", str(error), None))
            else:
                self.restarts += 1
                return

    async def _connect(self, lane: Lane) -> None:
        seconds = self._settings.connect_seconds
        self._starting.add(lane)
        try:
            async with asyncio.timeout(seconds):
                connection = await self._spawn(lane)
        except TimeoutError as error:
            reason = f"gateway {lane} was not up within {seconds:g} s"
            raise BrokerTimeout("initialize", LastError.E_INTERNAL_FAIL_TIMEOUT, reason) from error
        finally:
            self._starting.discard(lane)
        gateway = self._gateways[lane] = _Gateway(connection, lane, self._clock.monotonic())
        connection.notify({"raise_epoch": self._epoch})
        self._begin(self._watch(gateway))
        self._tell(gateway, "started", "")
        self._pump()

    async def _watch(self, gateway: _Gateway) -> None:
        self._lose(gateway, await gateway.connection.closed())

    def _tell(self, gateway: _Gateway, what: Any, reason: str) -> None:
        connection = gateway.connection
        self._on_change(GatewayChange(gateway.lane, what, reason, connection.pid, connection.account))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._keep(self._tasks, work)

    def _keep(self, tasks: "set[asyncio.Task[None]]", work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(_report_bug)


def _report_bug(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": "a gateway task failed", "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)
