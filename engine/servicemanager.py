"""Tells a service manager how the engine is, by systemd's protocol: ready, a status, a pulse of guard cycles, stopping.

In: the environment that systemd sets (NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID); without it nothing is said. Out:
datagrams. It never waits and never raises: the service manager may be gone, or behind with its reading. No pulse is
sent for a cycle that was not completed, so that systemd ends an engine whose guard hangs.
"""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Mapping

_AT_MOST_SECONDS = 1.0
_AT_LEAST_SECONDS = 0.05
_log = logging.getLogger(__name__)


class ServiceManager:
    """One engine's line to the service manager. `pid` is the engine's own."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        watched = environment.get("WATCHDOG_USEC", "") if self._address else ""
        ours = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        self._wants_pulse = ours and watched.isdecimal() and int(watched) > 0
        half = int(watched) / 2_000_000 if self._wants_pulse else _AT_MOST_SECONDS
        self._seconds = max(_AT_LEAST_SECONDS, min(_AT_MOST_SECONDS, half))
        self._failed = False

    async def report(self, stop: asyncio.Event, cycles: Callable[[], int], status: Callable[[], str]) -> None:
        """Say that the engine is ready, then its status and its pulse, until it is told to stop."""
        if not self._address:
            return
        completed, said = 0, ""
        while not stop.is_set():
            # What could not be sent is sent at the next turn.
            now, present = cycles(), status()
            words = [] if said else ["READY=1"]
            if present != said:
                words.append(f"STATUS={present}")
            if self._wants_pulse and now > completed:
                words.append("WATCHDOG=1")
            if words and self.say(*words):
                completed, said = now, present
            try:
                async with asyncio.timeout(self._seconds):
                    await stop.wait()
            except TimeoutError:
                continue
        self.say("STOPPING=1", "STATUS=stopping")

    def say(self, *words: str) -> bool:
        """Send one datagram, or log once that it cannot be sent; whether it was."""
        if sys.platform == "win32" or not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.setblocking(False)
                line.sendto("\n".join(word.replace("\n", " ") for word in words).encode(), self._address)
        except OSError as error:
            if not self._failed:
                _log.warning("the service manager cannot be told: %s", error)
            self._failed = True
            return False
        self._failed = False
        return True


def _address(named: str) -> str:
    """The socket's address, of which a leading @ stands for the abstract namespace; "" for none, or one of no use."""
    if not named or sys.platform == "win32":
        return ""
    if named[0] not in "/@":
        _log.warning("NOTIFY_SOCKET is neither a path nor an abstract socket: the service manager is not told")
        return ""
    return f"\0{named[1:]}" if named[0] == "@" else named
