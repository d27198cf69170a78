"""One profile's watchdog: a check a second, until it is told to end.

In: a profile's settings. Out: a line on standard output for each change, alerts, and what its hands do. Nothing that it
waits for (an alert on its way) keeps it from its next check.
"""

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import filelock

from engine.alerts.delivery import deliver_once
from engine.alerts.settings import AlertSettings
from engine.clock import Clock, SystemClock
from engine.config import Settings, state_folder
from engine.detached import our_command
from engine.voice import Voice
from engine.watchdog.hands import Hands
from engine.watchdog.judge import Alert, Decision, Do, Judge
from engine.watchdog.look import Look
from engine.watchdog.settings import Then, WatchdogSettings
from engine.watchdog.telling import Deliver, Telling

EXIT_FAILED = 1
EXIT_ALREADY_RUNNING = 75
LOCK_NAME = "watchdog.lock"
CHECK_SECONDS = 1.0
_REASON = 400
"""The command takes 500 characters."""


class Watchdog:
    """Looks, judges, and does what was decided."""

    def __init__(self, look: Look, judge: Judge, hands: Hands, say: Callable[[str], None], telling: Telling) -> None:
        self._look = look
        self._judge = judge
        self._hands = hands
        self._say = say
        self._telling = telling

    async def run(self, stop: asyncio.Event) -> None:
        """One check after the other. Those that could not be made are not made up for: they count for nothing."""
        delivering = asyncio.create_task(self._telling.run())
        try:
            while not stop.is_set():
                await self.check()
                try:
                    async with asyncio.timeout(CHECK_SECONDS):
                        await stop.wait()
                except TimeoutError:
                    continue
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)

    async def check(self) -> Decision:
        """One check, and what follows from it."""
        closing, ended = self._hands.look()
        decision = self._judge.check(await self._look(closing=closing, ended=ended))
        for line in decision.lines:
            self._say(line)
        for alert in decision.alerts:
            self._say(f"ALERT {alert.severity}: {alert.text}")
            self._telling.tell(alert)
        if decision.do is Do.RESTART:
            await self._hands.restart()
        elif decision.do is Do.FLATTEN:
            self._hands.flatten(f"watchdog: {decision.reason}"[:_REASON])
        return decision


def run(profile: str, settings: Settings, then: Then | None = None) -> int:
    """Watch a profile in the foreground and return the exit code; `then` stands above the profile's."""
    folder = state_folder(profile)
    lock = filelock.FileLock(folder / LOCK_NAME)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        print(f"a watchdog runs already for profile {profile!r} ({folder})", file=sys.stderr)  # noqa: T201
        return EXIT_ALREADY_RUNNING
    except OSError as error:
        print(f"the watchdog does not start: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_FAILED
    watched = settings.watchdog if then is None else settings.watchdog.model_copy(update={"then": then})
    clock = SystemClock()
    voice = Voice(clock, "%Y-%m-%dT%H:%M:%SZ")
    try:
        asyncio.run(_watch(profile, folder, watched, settings.alerts, clock, voice))
    except KeyboardInterrupt:
        voice.tell("interrupted")
    finally:
        lock.release()
    return 0


async def _watch(
    profile: str, folder: Path, settings: WatchdogSettings, alerts: AlertSettings, clock: Clock, voice: Voice
) -> None:
    hands = Hands(
        folder,
        clock,
        voice.tell,
        engine=our_command("engine", "--profile", profile),
        flatten=lambda reason: our_command(
            "console.cli", "--profile", profile, "flatten", "--direct", "--yes", "--reason", reason
        ),
    )
    stop = asyncio.Event()
    if sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        # Meant for the engine, by somebody who reaches for every process of the name.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    voice.tell(
        f"watching profile {profile!r}: {settings.checks} checks without a guard cycle, then {settings.then};"
        f" {settings.kill_checks} with a kill file that nobody obeys, then flatten"
    )
    telling = Telling((*alerts.targets, *alerts.escalation), _delivery(alerts, clock, voice.tell), voice.tell)
    await Watchdog(Look(folder), Judge(settings), hands, voice.tell, telling).run(stop)
    voice.tell("told to end")


def _delivery(settings: AlertSettings, clock: Clock, say: Callable[[str], None]) -> Deliver:
    """Delivers an alert to some of the profile's targets, and says what became of it."""

    async def deliver(alert: Alert, targets: Sequence[str]) -> list[str]:
        title = f"Quarterdeck watchdog {alert.severity.upper()}"
        results = await asyncio.to_thread(deliver_once, settings, alert.severity, alert.text, title, targets)
        for result in results:
            said = f"{result.target} was told" if result.why is None else f"{result.target} was not told: {result.why}"
            say(f"{said}: {alert.text}")
        return [result.target for result in results if result.why is None]

    return deliver
