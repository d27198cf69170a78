"""Starts the child that delivers, and gives it up when it takes too long.

In: messages. Out: one Result a message, whatever the child, the service or the network does. All of it is in threads
of its own: an event loop is only told the results.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any, Protocol, cast

from engine.alerts.addresses import EXIT_TOO_LONG
from engine.alerts.letter import Message
from engine.alerts.settings import AlertSettings
from engine.text import plain

_STOP_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one message. `why` it was not accepted; None when the service has accepted it."""

    target: str
    why: str | None


Report = Callable[[Result], None]


class Courier(Protocol):
    """Takes messages away. `report` is called exactly once for each, on the loop that `send` was called on."""

    def send(self, messages: Sequence[Message], report: Report) -> None:
        """Begin to deliver; returns at once."""
        ...

    async def close(self) -> None:
        """Give up what has not ended."""
        ...


class ChildCourier:
    """Delivers by a child process for each `send`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._children: set[subprocess.Popen[str]] = set()
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def send(self, messages: Sequence[Message], report: Report) -> None:
        """Deliver in a thread of its own: even starting a process takes long enough to be seen in a guard cycle."""
        loop = asyncio.get_running_loop()
        self._under_way += 1
        self._idle.clear()

        def told(call: Callable[..., None], *values: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any longer
                loop.call_soon_threadsafe(call, *values)

        def deliver() -> None:
            try:
                run_child(messages, self._seconds, lambda result: told(report, result), self._children)
            finally:
                told(self._ended)

        threading.Thread(target=deliver, name="alert delivery", daemon=True).start()

    def _ended(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()

    async def close(self) -> None:
        """Wait a little for what is under way, then kill it: what was not delivered is owed after a restart."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await self._idle.wait()
        for child in tuple(self._children):
            child.kill()


def deliver_once(
    settings: AlertSettings, severity: str, text: str, title: str = "", targets: Sequence[str] | None = None
) -> list[Result]:
    """Deliver one text to `targets`, or to all and to the escalation; for a process that has no engine. Blocks.

    Takes at most `deliver_seconds` and a moment. `severity` is "warning" or "critical". An empty list: no targets.
    """
    head = plain(title, 100) or f"Quarterdeck {severity.upper()}"
    named = (*settings.targets, *settings.escalation) if targets is None else targets
    results: list[Result] = []
    if named:
        messages = [Message(name, severity, head, plain(text, 1000)) for name in named]
        run_child(messages, settings.deliver_seconds, results.append)
    return results


def run_child(
    messages: Sequence[Message],
    seconds: float,
    report: Report,
    children: "set[subprocess.Popen[str]] | None" = None,
) -> None:
    """Deliver in a child, kill it after `seconds`, and report one result for each message. Blocks."""
    waiting = {message.target for message in messages}
    try:
        child = _start()
    except OSError as error:
        why = f"the program that delivers could not be started: {error.strerror}"
    else:
        if children is not None:
            children.add(child)
        given_up = threading.Event()

        def give_up() -> None:
            given_up.set()
            child.kill()

        timer = threading.Timer(seconds, give_up)
        timer.start()
        try:
            _write(child, json.dumps({"seconds": seconds, "messages": [asdict(item) for item in messages]}))
            for line in cast(IO[str], child.stdout):
                result = _result(line)
                if result is not None and result.target in waiting:
                    waiting.discard(result.target)
                    report(result)
        finally:
            timer.cancel()
            child.kill()
            code = child.wait()
            cast(IO[str], child.stdout).close()
            if children is not None:
                children.discard(child)
        if given_up.is_set() or code == EXIT_TOO_LONG:
            why = f"no whole answer within {seconds:g} s: given up"
        else:
            why = f"the program that delivers ended with code {code}"
    for target in sorted(waiting):
        report(Result(target, why))


def _start() -> "subprocess.Popen[str]":
    apart: dict[str, Any]
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS}
    else:
        apart = {"start_new_session": True}
    # -P: a folder called "engine" where the operator happens to stand must not be run in our place.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "engine.alerts.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        **apart,
    )


def _write(child: "subprocess.Popen[str]", asked: str) -> None:
    # A child that is already dead does not read it; its end is noticed where its results are read.
    with contextlib.suppress(OSError), cast(IO[str], child.stdin) as line:
        line.write(asked)


def _result(line: str) -> Result | None:
    """One line of the child; None for what is no result."""
    try:
        told = json.loads(line)
        target, why = told["target"], told["why"]
    except (ValueError, LookupError, TypeError):
        return None
    return Result(str(target), None if why is None else plain(str(why), 200))
