"""One look at a profile from outside: the engine's answer, the run file, the kill file.

In: a state folder. Out: what one check of the watchdog sees. Whatever does not answer in time is not waited for: a
look takes less than a second.
"""

from pathlib import Path

from engine.control.address import control_address
from engine.control.caller import Caller
from engine.control.client import ControlClient
from engine.control.errors import ControlError, EngineUnreachable
from engine.killswitch import KillFile
from engine.runfile import read_run, run_path
from engine.watchdog.judge import Pulse, Seen

_ANSWER_SECONDS = 0.4
"""For each of the two questions that a check may ask."""


class Look:
    """Looks at one profile's state folder, which must exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kill_file = KillFile(folder)

    async def __call__(self, *, closing: bool, ended: int | None) -> Seen:
        """See how it stands. `closing` and `ended` are what the watchdog knows of its own direct flatten."""
        level = self._kill_file.look()
        pulse, mode = await self._ask(mode=bool(level.killed))
        run, unknown, touched = read_run(self._folder), level.blocked, 0
        try:
            touched = run_path(self._folder).stat().st_mtime_ns
        except FileNotFoundError:
            pass
        except OSError as error:
            unknown = unknown or f"the run file cannot be read: {error}"
        else:
            if run is None:
                unknown = unknown or f"{run_path(self._folder)} makes no sense"
        return Seen(
            pulse=pulse,
            mode=mode,
            run=run,
            lives=run is not None and run.process.lives,
            touched=touched,
            killed=level.killed,
            unknown=unknown,
            closing=closing,
            ended=ended,
        )

    async def _ask(self, *, mode: bool) -> tuple[Pulse | None, str | None]:
        pulse = None
        try:
            address, caller = control_address(self._folder), Caller("watchdog", read_only=True)
            # Made anew each time: the engine may be another one than at the last check.
            async with ControlClient(address, caller, timeout=_ANSWER_SECONDS) as client:
                health = await client.health()
                pulse = Pulse(health.loop_id, health.cycles)
                return pulse, (await client.snapshot()).engine.mode if mode else None
        except (EngineUnreachable, ControlError, OSError):
            # No answer is what is counted.
            return pulse, None
