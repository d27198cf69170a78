"""The run file: which process has a profile's account in hand, with which gateways, and how an engine ended.

Written by whoever holds the profile's lock, read by those who look after it from outside (a direct flatten, the
watchdog) when nothing answers on the control socket. It is no lock: the lock file is. It is replaced whole, so that a
reader finds the old or the new one. A disk that takes none is logged: it must keep nobody from guarding or closing.
"""

import json
import logging
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from engine.processes import Known, known, ourselves

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stopped:
    """How an engine that was told to stop left the account. `at` is UTC, ISO 8601; None for what was not known."""

    at: str
    mode: str
    positions: int | None
    orders: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """One process that has, or had, the account in hand.

    `account` is "login@server", "" before it is known. `stopped` is set by an orderly stop only: an engine that died
    leaves None.
    """

    role: Literal["engine", "direct flatten"]
    process: Known
    account: str = ""
    gateways: tuple[Known, ...] = ()
    stopped: Stopped | None = None

    def processes(self) -> tuple[Known, ...]:
        """All of it, the one that starts the others first."""
        return (self.process, *self.gateways)


class RunFile:
    """The run file of one profile's state folder, kept by its owner. Never fails: see above."""

    def __init__(self, folder: Path) -> None:
        self._path = run_path(folder)
        self._run: Run | None = None
        self._ours = False
        """Whether the file there is this owner's."""
        self._gateways: dict[str, Known] = {}
        self._complained: set[str] = set()

    def begin(self, role: Literal["engine", "direct flatten"]) -> None:
        """This process has taken the lock."""
        self._keep(Run(role, ourselves()))

    def account(self, name: str) -> None:
        """The account is known: "login@server"."""
        self._keep(replace(self._begun(), account=name))

    def gateway(self, slot: str, pid: int | None) -> None:
        """A gateway has come up in a slot, or (None) is gone."""
        self._gateways.pop(slot, None)
        if pid is not None:
            self._gateways[slot] = known(pid)
        self._keep(replace(self._begun(), gateways=tuple(self._gateways.values())))

    def stopped(self, how: Stopped) -> None:
        """An orderly stop."""
        self._keep(replace(self._begun(), stopped=how, gateways=()))

    def touch(self) -> None:
        """Say that the work goes on, to whoever waits for it."""
        try:
            os.utime(self._path)
        except FileNotFoundError:
            self._keep(self._begun())
        except OSError as error:
            self._complain("touched", error)

    def _begun(self) -> Run:
        if self._run is None:
            raise AssertionError("the run file is kept by whoever has begun it")
        return self._run

    def _keep(self, run: Run) -> None:
        self._run = run
        beside = self._path.with_suffix(".new")
        try:
            beside.write_text(json.dumps(asdict(run), indent=1), encoding="utf-8")
            os.replace(beside, self._path)
        except OSError as error:
            self._complain("written", error)
            if not self._ours:
                self._take_away()
        else:
            self._ours = True

    def _complain(self, what: str, error: OSError) -> None:
        """Log why the disk took something not: once, since it is tried every second."""
        if what not in self._complained:
            self._complained.add(what)
            _log.error("the run file cannot be %s: %s", what, error)

    def _take_away(self) -> None:
        """Remove what an earlier owner has left: its orderly stop would be taken for this one's."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            self._complain("taken from an earlier owner", error)


def run_path(folder: Path) -> Path:
    """Where the run file of a state folder is."""
    return folder / "run.json"


def read_run(folder: Path) -> Run | None:
    """What the run file says; None when there is none, or none that can be read."""
    try:
        stored = json.loads(run_path(folder).read_text(encoding="utf-8"))
        return _run(stored)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _run(stored: dict[str, Any]) -> Run:
    stopped = stored["stopped"]
    return Run(
        role=stored["role"],
        process=Known(**stored["process"]),
        account=stored["account"],
        gateways=tuple(Known(**each) for each in stored["gateways"]),
        stopped=Stopped(**stopped) if stopped is not None else None,
    )
