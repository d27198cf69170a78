"""Finds the engine of a profile, or starts it in a session of its own; starts it again when it has died.

In: a profile. Out: a client of its running engine, or a sentence that says why there is none, with what the engine
printed. It never ends an engine: a console may go at any time and the guard stays. Who may run is settled by the
engine's own lock: of consoles that race, the losers attach to the winner's.
"""

import asyncio
import secrets
import subprocess
from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from engine.control.caller import Caller
from engine.control.errors import EngineUnreachable
from engine.detached import LOG_NAME, last_lines, launch, our_command

if TYPE_CHECKING:
    from console.link import Link
    from engine.control.client import ControlClient

RUNS_ALREADY = 75
"""The engine's exit code when another one holds the profile's lock (engine.app, too heavy to import for this)."""
RESTARTS_PER_MINUTE = 3
_BACK_OFF_SECONDS = (0.0, 1.0, 4.0)
_WINDOW_SECONDS = 60.0
_PROBE_SECONDS = 2.0
_POLL_SECONDS = 0.05
_RACE_SECONDS = 0.5


class HostState(StrEnum):
    """How the console stands to its engine."""

    GONE = "gone"
    STARTING = "starting"
    ATTACHED = "attached"


class EngineFailed(EngineUnreachable):
    """The engine could not be started, or has died too often; says what it printed last."""


class Host:
    """One profile's engine as a console has it.

    `overrides` are further arguments of the engine's command line. `start_seconds`: how long a started engine may take
    to answer. `may_start`: without it an engine that is not there is only said to be missing.
    `command` replaces the whole command line (tests).
    """

    def __init__(
        self,
        profile: str,
        overrides: Sequence[str] = (),
        *,
        caller: "Caller | str" = "console",
        may_start: bool = True,
        start_seconds: float = 20.0,
        command: Sequence[str] | None = None,
    ) -> None:
        self.state = HostState.GONE
        self.said = ""
        """What was done about the engine last, for the operator."""
        self._profile = profile
        self._caller = caller
        self._may_start = may_start
        self._start_seconds = start_seconds
        self._command = tuple(command or our_command("engine", "--profile", profile, *overrides))
        self._child: subprocess.Popen[bytes] | None = None
        self._printed_from = 0
        self._had_engine = False
        self._restarts: deque[float] = deque(maxlen=RESTARTS_PER_MINUTE)
        self._last_words = ""

    async def attach(self) -> "ControlClient":
        """Return a client (not yet entered) of the profile's running engine, starting the engine when there is none.

        An engine that was there before is restarted at most 3 times a minute, with back-off. Raises EngineFailed with
        what the engine printed, ControlError when it answers nonsense, SettingsError for an impossible profile name.
        Call it again when the stream has ended, but not after EngineStopped unless the operator wants a new one.
        """
        # Heavy, and wanted after a console's first frame: not on its loop.
        folder = await asyncio.to_thread(_state_folder, self._profile)
        from engine.control.address import control_address
        from engine.control.client import ControlClient

        address = control_address(folder)
        self.state = HostState.STARTING
        try:
            if not await self._answers(address):
                if not self._may_start:
                    raise EngineUnreachable(
                        f"no engine runs for profile {self._profile!r}, and --read-only starts none"
                    )
                await self._start(folder, address)
        except BaseException:
            self.state = HostState.GONE
            raise
        self.state = HostState.ATTACHED
        self._had_engine = True
        return ControlClient(address, self._caller)

    async def _answers(self, address: str) -> bool:
        from engine.control.client import ControlClient

        async with ControlClient(address, self._caller, timeout=_PROBE_SECONDS) as client:
            try:
                await client.snapshot()
            except EngineUnreachable:
                return False
        return True

    async def _start(self, folder: Path, address: str) -> None:
        """Start engines until one answers, ours or a rival's."""
        if self._ended() is not None:
            await self._may_restart()
            self._launch(folder)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._start_seconds
        lost_at: float | None = None
        while not await self._answers(address):
            code = self._ended()
            if code == RUNS_ALREADY:
                # Another engine holds the lock. It is starting (then it will answer) or ending (then we try again).
                lost_at = loop.time() if lost_at is None else lost_at
                if loop.time() - lost_at >= _RACE_SECONDS:
                    self._launch(folder)
                    lost_at = None
            elif code is not None:
                self._last_words = await asyncio.to_thread(last_lines, folder / LOG_NAME, self._printed_from)
                raise EngineFailed(f"the engine ended with exit code {code}{_quoted(self._last_words)}")
            if loop.time() >= deadline:
                words = await asyncio.to_thread(last_lines, folder / LOG_NAME, self._printed_from)
                raise EngineFailed(f"the engine has not answered for {self._start_seconds:g} s{_quoted(words)}")
            await asyncio.sleep(_POLL_SECONDS)

    async def _may_restart(self) -> None:
        """Hold a restart to its pace; a first start goes at once. Raises EngineFailed when it has died too often."""
        if not self._had_engine:
            self._had_engine = True
            return
        now = asyncio.get_running_loop().time()
        while self._restarts and now - self._restarts[0] >= _WINDOW_SECONDS:
            self._restarts.popleft()
        count = len(self._restarts)
        if count >= RESTARTS_PER_MINUTE:
            left = _WINDOW_SECONDS - (now - self._restarts[0])
            raise EngineFailed(
                f"the engine was restarted {count} times within a minute and did not stay;"
                f" not again for {left:.0f} s{_quoted(self._last_words)}"
            )
        self.said = f"the engine has died: restart {count + 1} of at most {RESTARTS_PER_MINUTE} a minute"
        if count:
            await asyncio.sleep(max(0.0, self._restarts[-1] + _BACK_OFF_SECONDS[count] - now))
        self._restarts.append(asyncio.get_running_loop().time())

    def _ended(self) -> int | None:
        """The exit code of the engine that we started, None while it runs; -1 when we have started none."""
        return -1 if self._child is None else self._child.poll()

    def _launch(self, folder: Path) -> None:
        self._child, self._printed_from = launch(self._command, folder / LOG_NAME)


def attached(profile: str, socket: str | None, *, read_only: bool) -> "Link":
    """The link of a new console: to the profile's engine, or to the one at another user's socket."""
    from console.link import Link

    caller = Caller.here("console", read_only=read_only, console=secrets.token_hex(8))
    host = Guest(socket, caller) if socket else Host(profile, caller=caller, may_start=not read_only)
    return Link(host.attach, console_id=caller.console, read_only=read_only)


class Guest:
    """Another user's engine, at its shared socket: attached to, never started."""

    def __init__(self, socket: str, caller: "Caller") -> None:
        self._socket = socket
        self._caller = caller

    async def attach(self) -> "ControlClient":
        """Return a client (not yet entered) of that engine, whether it runs or not."""
        # Heavy, and wanted after a console's first frame: not on its loop.
        client = await asyncio.to_thread(import_module, "engine.control.client")
        made: ControlClient = client.ControlClient(self._socket, self._caller)
        return made


def _state_folder(profile: str) -> Path:
    import engine.control.client  # noqa: F401  loaded here, in a thread, for those who import it next
    from engine.config import state_folder

    folder = state_folder(profile)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _quoted(words: str) -> str:
    return f"; it printed:\n{words}" if words else "; it printed nothing"
