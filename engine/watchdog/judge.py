"""What a watchdog makes of what it sees: pure, counted in its own checks, without any clock.

In: what one check has seen. Out: lines to print, alerts to send, and at most one thing to do. A check that was not made
(the machine slept, the watchdog itself was stopped) counts for nothing. A stop that was recorded is honoured; a direct
flatten at work is left alone.

    no further guard cycle in `checks` checks ---> alert, and restart or flatten if told to
    kill file, nobody obeys in `kill_checks`  ---> flatten
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from engine.processes import Known
from engine.runfile import Run, Stopped
from engine.state import EngineMode
from engine.watchdog.settings import WatchdogSettings

REPEAT_CHECKS = 300
"""An alert is told again after so many checks, for as long as its trouble lasts."""
RESTARTS = 3
RESTARTS_WITHIN_CHECKS = 3600
_OBEYS = (EngineMode.FLATTENING, EngineMode.HALTED)

Severity = Literal["warning", "critical"]


class Do(StrEnum):
    """What a watchdog can do."""

    RESTART = "restart"
    FLATTEN = "flatten"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, for whoever is on call."""

    severity: Severity
    text: str


@dataclass(frozen=True, slots=True)
class Pulse:
    """What an engine answered: its run, and how many guard cycles that run has completed."""

    loop_id: str
    cycles: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What one check has seen.

    `mode` is the engine's, asked for while there is a kill file; None for no answer. `touched` changes while a direct
    flatten works. `unknown` says why the state folder, or the run file in it, cannot be read. `closing` is whether a
    direct flatten that this watchdog started is running, `ended` the exit code of one that has ended since the check
    before.
    """

    pulse: Pulse | None = None
    mode: str | None = None
    run: Run | None = None
    lives: bool = False
    touched: int = 0
    killed: str = ""
    unknown: str = ""
    closing: bool = False
    ended: int | None = None

    @property
    def direct(self) -> bool:
        """Whether a direct flatten is at work, whoever started it."""
        return self.closing or (self.run is not None and self.run.role == "direct flatten" and self.lives)

    @property
    def stopped(self) -> Stopped | None:
        """How the last one that had the account in hand was told to stop; None when it was not."""
        return self.run.stopped if self.run is not None else None


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from a check. `reason` is why something is to be done."""

    lines: tuple[str, ...] = ()
    alerts: tuple[Alert, ...] = ()
    do: Do | None = None
    reason: str = ""


class Judge:
    """The deciding part of one watchdog."""

    def __init__(self, settings: WatchdogSettings) -> None:
        self._settings = settings
        self._alarms = _Alarms()
        self._sign: Hashable = None
        """The last sign that work went on; None before the first."""
        self._quiet = 0
        """Checks in a row without another sign."""
        self._troubled = False
        self._disobeyed = 0
        """Checks in a row in which nobody obeyed the kill file."""
        self._flattens = 0
        """Direct flattens that this kill file has had: each further one waits longer."""
        self._process: Known | None = None
        self._may_start = True
        """Whether a process that is new gets its time to start: once between two guard cycles, since an engine that
        dies and is started again and again would else never be trouble."""
        self._restarts: deque[int] = deque(maxlen=RESTARTS)
        self._stop_told: Stopped | None = None
        self._phase = ""
        self._printed = ""

    def check(self, seen: Seen) -> Decision:
        """Take up one check."""
        self._alarms.begin()
        self._note_end(seen.ended)
        decided = self._kill_file(seen) or self._cycles(seen)
        if decided is not None:
            self._quiet = self._disobeyed = 0
        phase = f"{self._phase}; there is a {seen.killed}" if seen.killed else self._phase
        lines = () if phase == self._printed else (phase,)
        self._printed = phase
        do, reason = decided or (None, "")
        return Decision(lines, tuple(self._alarms.raised), do, reason)

    def _kill_file(self, seen: Seen) -> tuple[Do, str] | None:
        stopped = seen.stopped
        flat = stopped is not None and stopped.positions == 0 and stopped.orders == 0
        if not seen.killed or flat or seen.mode in _OBEYS:
            self._disobeyed = self._flattens = 0
            self._alarms.forget("kill file")
            return None
        if seen.direct:
            self._disobeyed = 0
            return None
        self._disobeyed += 1
        first, most = self._settings.kill_checks, max(self._settings.kill_checks, self._settings.checks)
        if self._disobeyed < min(first << self._flattens, most):
            return None
        self._flattens += 1
        words = f"{seen.killed}: no engine has obeyed it in {self._disobeyed} checks"
        self._alarms.tell("kill file", "critical", f"{words}; everything is closed directly")
        return Do.FLATTEN, words

    def _cycles(self, seen: Seen) -> tuple[Do, str] | None:
        if self._goes_on(seen):
            return None
        if seen.stopped is not None:
            self._honour(seen.stopped)
            return None
        if seen.run is None and not seen.unknown and self._sign is None:
            self._phase = "no engine has been started for this profile yet"
            return None
        if seen.run is not None and seen.run.process != self._process:
            self._process = seen.run.process
            if self._may_start:
                self._may_start = False
                self._quiet = 0
                self._phase = f"pid {self._process.pid} has the account in hand and no guard cycle completed yet"
        self._quiet += 1
        return self._trouble(seen) if self._quiet >= self._settings.checks else None

    def _goes_on(self, seen: Seen) -> bool:
        """Whether work has gone on since the last sign of it."""
        cycling = seen.pulse is not None and seen.pulse.cycles > 0
        sign = (seen.pulse if cycling else None, seen.touched if seen.direct else None)
        if sign == (None, None) or sign == self._sign:
            return False
        self._sign = sign
        self._quiet = 0
        if seen.run is not None:
            self._process = seen.run.process
        if seen.direct:
            self._phase = "a direct flatten is at work"
        elif seen.pulse is not None:
            self._phase = f"guard cycles are completed by run {seen.pulse.loop_id}"
            self._may_start = True
            if self._troubled:
                self._alarms.raised.append(
                    Alert("warning", f"guard cycles are completed again: run {seen.pulse.loop_id}")
                )
            self._well()
        return True

    def _honour(self, stopped: Stopped) -> None:
        """The last one was told to stop: nothing is done, and what it left is told once."""
        self._quiet = 0
        self._well()
        left = f"{_number(stopped.positions, 'positions')}, {_number(stopped.orders, 'orders')}"
        self._phase = f"stopped in order at {stopped.at} ({stopped.mode}): {left}"
        if stopped != self._stop_told and (stopped.positions != 0 or stopped.orders != 0):
            self._alarms.raised.append(Alert("warning", f"{self._phase}, and nothing guards the account"))
        self._stop_told = stopped

    def _trouble(self, seen: Seen) -> tuple[Do, str] | None:
        self._troubled = True
        checks = f"in {self._settings.checks} checks"
        if seen.direct:
            self._phase = f"the direct flatten has not gone on {checks}"
            self._alarms.tell("cycles", "critical", f"{self._phase} and lives: look at it, or end it and start another")
            return None
        about = f" ({seen.unknown})" if seen.unknown else f" (pid {seen.run.process.pid})" if seen.run else ""
        self._phase = f"no further guard cycle {checks}{about}"
        # An engine that had begun to obey a kill file and hangs does not obey it any more.
        if self._settings.then == "flatten" or (seen.killed and seen.mode == EngineMode.FLATTENING):
            self._alarms.tell("cycles", "critical", f"{self._phase}: everything is closed directly")
            return Do.FLATTEN, self._phase
        if self._settings.then == "restart":
            return self._restart()
        self._alarms.tell("cycles", "critical", self._phase)
        return None

    def _restart(self) -> tuple[Do, str] | None:
        now = self._alarms.check
        while self._restarts and now - self._restarts[0] >= RESTARTS_WITHIN_CHECKS:
            self._restarts.popleft()
        if len(self._restarts) == RESTARTS:
            given_up = f"{self._phase}: the engine was restarted {RESTARTS} times within an hour, and not again"
            self._alarms.tell("given up", "critical", given_up)
            return None
        self._restarts.append(now)
        words = f"{self._phase}: restart {len(self._restarts)} of at most {RESTARTS} an hour"
        self._alarms.raised.append(Alert("critical", words))
        return Do.RESTART, self._phase

    def _note_end(self, code: int | None) -> None:
        if code is None:
            return
        self._quiet = self._disobeyed = 0
        if code == 0:
            self._alarms.forget("not flat")
            self._alarms.raised.append(Alert("warning", "everything was closed directly: the account is flat"))
        else:
            words = f"the direct flatten ended with exit code {code}: the account may not be flat"
            self._alarms.tell("not flat", "critical", words)

    def _well(self) -> None:
        self._troubled = False
        self._alarms.forget("cycles", "given up")


class _Alarms:
    """The alerts of one check, those that last told again only after a while."""

    def __init__(self) -> None:
        self.check = 0
        self.raised: list[Alert] = []
        self._told: dict[str, int] = {}

    def begin(self) -> None:
        self.check += 1
        self.raised = []

    def tell(self, key: str, severity: Severity, text: str) -> None:
        told = self._told.get(key)
        if told is None or self.check - told >= REPEAT_CHECKS:
            self._told[key] = self.check
            self.raised.append(Alert(severity, text))

    def forget(self, *keys: str) -> None:
        for key in keys:
            self._told.pop(key, None)


def _number(count: int | None, what: str) -> str:
    return f"{count} {what}" if count is not None else f"{what} unknown"
