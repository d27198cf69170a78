"""The faults of one terminal while it runs: when each begins and ends, which call it hits, and how often it did.

In: the terminal's running seconds and the names of calls. Out: what to do with a call, and what is on now. It changes
nothing by itself: terminal.py does what is said here. Nothing of it outlives the process: a terminal that is started
again begins its plan anew.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from engine.paper.conditions import Interference
from engine.paper.faultplan import (
    AutoTrading,
    CallFault,
    Closed,
    Disconnect,
    DropStops,
    Fault,
    LastingFault,
    Partial,
    Refill,
    Requote,
    Restart,
)

LastError = tuple[int, str]
_Kind = TypeVar("_Kind", bound=LastingFault)


class CallPlan(NamedTuple):
    """What happens to one call.

    It is executed `executions` times after `before` seconds; the answer, or what takes its place, is handed over
    `after` seconds later (infinite: never). `cut`: the line is cut instead.
    """

    before: float = 0.0
    executions: int = 1
    after: float = 0.0
    cut: bool = False
    error: LastError | None = None
    retcode: int | None = None


HONEST = CallPlan()


@dataclass
class Running:
    """One fault: `number` names it; `hits` says how often it has taken effect, `times` when (running seconds)."""

    number: int
    fault: Fault
    calls: int = 0
    """Calls since its time that it might have hit."""
    began: float | None = None
    ended_at: float | None = None
    hits: int = 0
    last_hit: float | None = None
    done: int = 0
    """How many times a refill has been made."""

    @property
    def ended(self) -> bool:
        """Whether it is over, or was ended before it began."""
        return self.ended_at is not None

    def hit(self, now: float) -> None:
        """Count an effect."""
        self.hits += 1
        self.last_hit = now

    def as_json(self) -> dict[str, Any]:
        """Number, the fault, hits and the time of the last one."""
        fault = self.fault.model_dump(mode="json", exclude_defaults=True) | {"kind": self.fault.kind}
        return {"number": self.number, "fault": fault, "hits": self.hits, "last_hit": self.last_hit}


class Faults:
    """All faults of a terminal. `now` is the terminal's running time in seconds and never goes back."""

    def __init__(self) -> None:
        self._running: list[Running] = []
        self.now = 0.0

    def add(self, fault: Fault) -> int:
        """Take a fault in; its `at` counts from the start of the terminal. Returns its number."""
        self._running.append(Running(len(self._running) + 1, fault))
        return len(self._running)

    def end(self, number: int) -> bool:
        """End a fault. False: there is none of this number."""
        if not 1 <= number <= len(self._running):
            return False
        running = self._running[number - 1]
        if running.ended_at is None:
            running.ended_at = self.now
        return True

    def hits(self) -> list[dict[str, Any]]:
        """Every fault and how often it has taken effect."""
        return [running.as_json() for running in self._running]

    def __bool__(self) -> bool:
        return bool(self._running)

    def due(self, now: float) -> list[Running]:
        """Let time pass; returns the faults that begin now, in order."""
        self.now = max(self.now, now)
        begun = []
        for running in self._running:
            fault = running.fault
            if running.began is None and not running.ended and fault.at <= self.now:
                running.began = self.now
                if not isinstance(fault, CallFault):
                    running.hit(self.now)
                    begun.append(running)
            elif isinstance(fault, LastingFault) and fault.seconds and running.began is not None and not running.ended:
                ends = running.began + fault.seconds
                running.ended_at = ends if self.now >= ends else None
        return begun

    def on(self, kind: type[_Kind]) -> list[tuple[Running, _Kind]]:
        """The lasting faults of a kind that are on."""
        return [
            (running, running.fault)
            for running in self._running
            if running.began is not None and not running.ended and isinstance(running.fault, kind)
        ]

    def away(self) -> bool:
        """Whether the terminal is being restarted."""
        return any(self.now < began + restart.seconds for began, restart in self._restarts())

    def _restarts(self) -> list[tuple[float, Restart]]:
        return [
            (running.began, running.fault)
            for running in self._running
            if running.began is not None and not running.ended and isinstance(running.fault, Restart)
        ]

    def synchronising(self) -> bool:
        """Whether a terminal that was restarted or reconnected has not been told its positions yet."""
        restarted = (began + restart.seconds + restart.unsynchronised for began, restart in self._restarts())
        reconnected = (
            running.ended_at + running.fault.unsynchronised
            for running in self._running
            if isinstance(running.fault, Disconnect) and running.ended_at is not None and running.began is not None
        )
        return any(self.now < until for until in (*restarted, *reconnected))

    def interference(self) -> Interference:
        """What is bent at the broker now."""
        switched_off = {fault.where for _, fault in self.on(AutoTrading)}
        return Interference(
            closed={fault.symbol for _, fault in self.on(Closed)},
            requote=bool(self.on(Requote)),
            drop_stops=bool(self.on(DropStops)),
            server_autotrading="server" not in switched_off,
            terminal_autotrading="terminal" not in switched_off,
            fill_share=min((fault.share for _, fault in self.on(Partial)), default=1.0),
        )

    def refills(self) -> list[tuple[Running, Refill]]:
        """The orders that another program sends now; whoever carries them out counts those that were taken."""
        due = []
        for running, refill in self.on(Refill):
            began = running.began or 0.0
            while running.done <= (self.now - began) / refill.every:
                running.done += 1
                due.append((running, refill))
        return due

    def _next_of(self, name: str, calls: int = 1) -> list[Running]:
        """The faults that hit the call of this name which comes after `calls` - 1 others of it."""
        return [
            running
            for running in self._running
            if isinstance(running.fault, CallFault)
            and running.began is not None
            and not running.ended
            and running.fault.call in ("*", name)
            and running.fault.nth <= running.calls + calls < running.fault.nth + running.fault.count
        ]

    def delay_ahead(self, names: Sequence[str]) -> float:
        """How long calls that are about to be made will wait before they are executed, in seconds."""
        return sum(
            running.fault.seconds
            for place, name in enumerate(names)
            for running in self._next_of(name, 1 + names[:place].count(name))
            if isinstance(running.fault, CallFault) and running.fault.kind == "delay"
        )

    def begin(self, name: str) -> CallPlan:
        """Count a call and say what happens to it; of several faults that hit it, the first of the plan counts."""
        hitting = self._next_of(name)
        for running in self._running:
            fault = running.fault
            if isinstance(fault, CallFault) and running.began is not None and fault.call in ("*", name):
                running.calls += 1
        if not hitting:
            return HONEST
        chosen = hitting[0]
        chosen.hit(self.now)
        assert isinstance(chosen.fault, CallFault)  # noqa: S101 - _next_of gives nothing else
        return _plan(chosen.fault)


def _plan(fault: CallFault) -> CallPlan:
    match fault.kind:
        case "delay":
            return CallPlan(before=fault.seconds)
        case "late":
            return CallPlan(after=fault.seconds)
        case "hang":
            return CallPlan(executions=0, after=math.inf)
        case "lost":
            executions = 0 if fault.executed is False else 1
            return CallPlan(executions=executions, after=math.inf if fault.silent else 0.0, cut=not fault.silent)
        case "fail":
            return CallPlan(executions=int(fault.executed or False), error=fault.error)
        case "twice":
            return CallPlan(executions=2)
        case "retcode":
            return CallPlan(executions=int(fault.executed or False), retcode=fault.retcode)
