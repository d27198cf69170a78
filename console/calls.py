"""What the command line asks of an engine, one coroutine a task, each ending in an exit code.

In: a client and what the operator typed. Out: printed lines and the exit code. A refusal is 1, an engine that does not
answer is 4, a flatten that has not ended in time is 3.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from console import output
from engine.clock import SystemClock
from engine.config import SettingsError, state_folder
from engine.control.address import control_address
from engine.control.caller import Caller
from engine.control.client import AnswerLost, ControlClient, ControlError, EngineUnreachable
from engine.control.messages import (
    Action,
    Approve,
    Cancel,
    CloseScope,
    ClosingView,
    CommandResult,
    FlattenView,
    Reject,
    SignalView,
    Snapshot,
)
from engine.control.messages import Close as CloseAction
from engine.control.messages import Flatten as FlattenAction

if TYPE_CHECKING:
    from datetime import datetime

DONE = 0
REFUSED = 1
USAGE = 2
NOT_IN_TIME = 3
NO_ENGINE = 4
INTERRUPTED = 130

_PAGE = 1000
_POLL_SECONDS = 0.1

Task = Callable[[ControlClient], Awaitable[int]]


def perform(
    profile: str, task: Task, *, interrupted: int = INTERRUPTED, socket: str | None = None, read_only: bool = False
) -> int:
    """Run a task against the profile's engine, or the one at a socket, and return its exit code.

    `interrupted` is the code after Ctrl+C; `read_only` has the engine refuse whatever acts.
    """
    try:
        address = socket or control_address(state_folder(profile))
    except SettingsError as error:
        output.complain(str(error))
        return USAGE
    except OSError as error:
        output.complain(f"the engine's socket cannot be looked for: {error}")
        return REFUSED
    try:
        return asyncio.run(_performed(address, Caller.here("cli", read_only=read_only), task))
    except AnswerLost as error:
        output.complain(f"{error}; it may or may not have been done: see `quarterdeck events`")
        return NO_ENGINE
    except EngineUnreachable as error:
        output.complain(str(error) if socket else f"profile {profile!r}: {error}")
        return NO_ENGINE
    except ControlError as error:
        output.complain(str(error))
        return REFUSED
    except KeyboardInterrupt:
        if interrupted != DONE:
            output.complain("interrupted; what was sent to the engine goes on")
        return interrupted


async def _performed(address: str, caller: Caller, task: Task) -> int:
    async with ControlClient(address, caller) as client:
        return await task(client)


async def act(client: ControlClient, action: Action, reason: str) -> int:
    """Send one command and print what became of it."""
    return _told(await client.send(action, reason))


async def add_signal(client: ControlClient, action: Action) -> int:
    """Propose a trade and print the new signal's id, alone, for scripts."""
    result = await client.send(action)
    if not result.accepted:
        return _told(result)
    output.say(str(result.data["signal"]))
    return DONE


async def decide(
    client: ControlClient,
    kind: type[Approve] | type[Reject] | type[Cancel],
    name: str,
    version: int | None,
    reason: str,
) -> int:
    """Approve or reject a signal, or cancel its order. Without a version the present one is read, printed and sent."""
    if version is None:
        signal = _named((await client.snapshot()).signals, name)
        if signal is None:
            output.complain(f"there is no signal {name!r} that waits or is under way")
            return REFUSED
        output.say(output.signals_text([signal]))
        version = signal.version
    return await act(client, kind(signal=name, version=version), reason)


async def flatten(client: ControlClient, reason: str, timeout: float) -> int:
    """Flatten, and follow it until the account is proven flat or `timeout` seconds have passed."""
    sent_at = SystemClock().utc()
    code = await act(client, FlattenAction(), reason)
    if code != DONE:
        return code
    watch = _Watch(sent_at)
    try:
        async with asyncio.timeout(timeout):
            ended = await watch.follow(client)
    except TimeoutError:
        output.say(f"not flat after {timeout:g} s; the engine goes on. {watch.lost}Left:")
        output.say(output.left_text(watch.flatten, watch.snapshot))
        return NOT_IN_TIME
    if ended.state == "CANCELLED":
        output.say(f"the flatten was cancelled: {ended.statement or 'no reason given'}. Left:")
        output.say(output.left_text(ended, watch.snapshot))
        return NOT_IN_TIME
    output.say(ended.statement)
    return DONE


class _Watch:
    """Follows the flatten that was asked for, through a restart of the engine if need be."""

    def __init__(self, sent_at: "datetime") -> None:
        self._sent_at = sent_at
        self.flatten: FlattenView | None = None
        self.snapshot: Snapshot | None = None
        self.lost = ""

    async def follow(self, client: ControlClient) -> FlattenView:
        """Return the flatten once it has ended."""
        while True:
            try:
                self.snapshot = await client.snapshot()
            except (EngineUnreachable, ControlError) as error:
                self.lost = f"Seen last, since {error}. "
            else:
                self.lost = ""
                shown = self.snapshot.flatten
                # The snapshot may still show an earlier flatten: its end is no answer to ours.
                if shown is not None and (shown.finished_at is None or shown.finished_at >= self._sent_at):
                    self.flatten = shown
                    if shown.state in ("FLAT", "CANCELLED"):
                        return shown
            await asyncio.sleep(_POLL_SECONDS)


async def close(client: ControlClient, scope: CloseScope, reason: str, timeout: float) -> int:
    """Begin a scoped close, and follow it until it has ended or `timeout` seconds have passed."""
    result = await client.send(CloseAction(scope=scope), reason)
    code = _told(result)
    if code != DONE:
        return code
    name = str(result.data["closing"])
    seen: list[ClosingView] = []
    try:
        async with asyncio.timeout(timeout):
            ended = await _closing_ended(client, name, seen)
    except TimeoutError:
        output.say(f"not closed after {timeout:g} s; the engine goes on. Left:")
        output.say("\n".join(f"  {line}" for line in (seen[-1].remaining if seen else ())) or "  not known")
        return NOT_IN_TIME
    output.say(ended.statement)
    return DONE if ended.state == "DONE" else NOT_IN_TIME


async def _closing_ended(client: ControlClient, name: str, seen: list[ClosingView]) -> ClosingView:
    """Return the close once it has ended, through a restart of the engine if need be; keeps in `seen` what it saw."""
    while True:
        with suppress(EngineUnreachable, ControlError):
            found = [item for item in (await client.snapshot()).closings if item.id == name]
            seen[:] = found or seen
            if found and found[0].state in ("DONE", "CANCELLED"):
                return found[0]
        await asyncio.sleep(_POLL_SECONDS)


async def events(client: ControlClient, after: int, *, as_json: bool, follow: bool) -> int:
    """Print the events behind `after`, oldest first; then, when following, each as it happens."""
    while True:
        page = await client.events(after, _PAGE)
        for event in page.events:
            _print_event(event.model_dump(mode="json") if as_json else output.event_text(event))
            after = event.seq
        if not page.events or after >= page.last_seq:
            break
    if not follow:
        return DONE
    async with aclosing(client.stream(after)) as messages:
        async for message in messages:
            for event in message.events or ():
                _print_event(event.model_dump(mode="json") if as_json else output.event_text(event))
    return DONE


def _print_event(written: str | dict[str, object]) -> None:
    if isinstance(written, str):
        output.say(written)
    else:
        output.say_json(written)


def _told(result: CommandResult) -> int:
    if result.accepted:
        output.say(result.message)
        return DONE
    output.complain(f"refused: {result.message}")
    return REFUSED


def _named(signals: list[SignalView], name: str) -> SignalView | None:
    return next((signal for signal in signals if signal.id == name), None)
