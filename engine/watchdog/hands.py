"""What a watchdog does to a profile's processes: kill and start the engine, or start a direct flatten.

In: the run file, which names whom to kill by pid and birth. Out: processes in sessions of their own, which outlive the
watchdog. It takes no lock: of two engines, the profile's lock ends the second.
"""

import asyncio
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.clock import Clock
from engine.detached import LOG_NAME, last_lines, launch
from engine.processes import Known, end
from engine.runfile import read_run

FLATTEN_LOG = "flatten.log"
_OTHERS_SECONDS = 5.0
"""A service manager, or a console, that finds its engine dead starts another within this time."""
_POLL_SECONDS = 0.05


class Hands:
    """Acts on one profile. `engine` is the command line of its engine, `flatten` makes that of a direct flatten."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        say: Callable[[str], None],
        *,
        engine: Sequence[str],
        flatten: Callable[[str], Sequence[str]],
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._say = say
        self._engine_command = engine
        self._flatten_command = flatten
        self._engines: list[tuple[subprocess.Popen[bytes], int]] = []
        self._closing: tuple[subprocess.Popen[bytes], int] | None = None

    def look(self) -> tuple[bool, int | None]:
        """Whether the direct flatten that was started here runs, and the exit code of one that has just ended.

        Says what became of engines that were started here.
        """
        for started in [each for each in self._engines if each[0].poll() is not None]:
            self._engines.remove(started)
            self._say_end("the engine that was started", started, LOG_NAME)
        if self._closing is None or self._closing[0].poll() is None:
            return self._closing is not None, None
        ended, self._closing = self._closing, None
        self._say_end("the direct flatten", ended, FLATTEN_LOG)
        return False, ended[0].returncode

    def flatten(self, reason: str) -> None:
        """Start a direct flatten, which kills whoever else has the account in hand."""
        self._closing = self._start(self._flatten_command(reason), FLATTEN_LOG)
        if self._closing is not None:
            self._say(
                f"started a direct flatten (pid {self._closing[0].pid}), which prints into {FLATTEN_LOG}: {reason}"
            )

    async def restart(self) -> None:
        """Kill what the run file names, and start an engine unless somebody else does."""
        run = read_run(self._folder)
        if run is not None and run.role == "direct flatten" and run.process.lives:
            self._say(f"no engine is started: a direct flatten is at work (pid {run.process.pid})")
            return
        held = run.processes() if run is not None else ()
        killed, left = await end(held, self._clock, self._say)
        if killed:
            self._say(f"killed pid {', '.join(str(each.pid) for each in killed)}")
        if left:
            self._say(f"no engine is started: pid {', '.join(str(each.pid) for each in left)} does not die")
            return
        if killed and await self._another_than(killed[0]):
            return
        started = self._start(self._engine_command, LOG_NAME)
        if started is not None:
            self._engines.append(started)
            self._say(f"started an engine (pid {started[0].pid}), which prints into {LOG_NAME}")

    def _start(self, command: Sequence[str], log: str) -> "tuple[subprocess.Popen[bytes], int] | None":
        """Start a process, without its log if that cannot be opened; None, said, when it cannot be started at all."""
        try:
            return launch(command, self._folder / log)
        except OSError as error:
            self._say(f"it is started without {log}: {error}")
        try:
            return launch(command, Path(os.devnull))
        except OSError as error:
            self._say(f"it could not be started: {error}")
            return None

    async def _another_than(self, dead: Known) -> bool:
        """Whether somebody else starts an engine in the place of the one that was killed."""
        until = self._clock.monotonic() + _OTHERS_SECONDS
        while self._clock.monotonic() < until:
            run = read_run(self._folder)
            if run is not None and run.process != dead and run.process.lives:
                self._say(f"somebody else has started an engine already (pid {run.process.pid})")
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    def _say_end(self, what: str, ended: "tuple[subprocess.Popen[bytes], int]", log: str) -> None:
        process, begins = ended
        try:
            words = last_lines(self._folder / log, begins).replace("\n", " | ")
        except OSError as error:
            words = f"what it said cannot be read: {error}"
        self._say(f"{what} (pid {process.pid}) ended with exit code {process.returncode}: {words or 'it said nothing'}")
