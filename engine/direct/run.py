"""`quarterdeck flatten --direct`: ask, fence, close, and stay until the account is flat.

In: a profile, a reason, who asks. Out: lines on standard output and an exit code: 0 flat and confirmed, 1 nothing could
be sent, 3 given up or interrupted before it was flat. It outlives the line that it was asked over.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from engine import killswitch
from engine.clock import Clock, SystemClock
from engine.config import Settings, state_folder
from engine.control.address import AddressError, control_address
from engine.control.caller import Caller
from engine.control.client import ControlClient, ControlError
from engine.control.messages import FlattenView
from engine.direct.asking import NotAllowed, UnknownToken, ask, follow
from engine.direct.closing import NothingSent, Order, close_everything
from engine.direct.fence import Lock, fence
from engine.runfile import RunFile, Stopped, read_run
from engine.state import EngineMode
from engine.voice import Voice

FLAT = 0
REFUSED = 1
NOT_FLAT = 3
_ROUNDS = 3
"""An engine that its host has started again meanwhile is asked anew, so often."""


def run(profile: str, settings: Settings | None, problem: str, reason: str, operator: str, via: str) -> int:
    """Close everything on the profile's account and return the exit code.

    `problem` is why the profile cannot be used as it is, "" when it can; without settings the engine is asked and the
    kill file written, but nothing is closed from here.
    """
    folder = state_folder(profile)
    if sys.platform != "win32":
        # The line it was asked over may drop: the closing goes on. So it does when somebody orders a flatten of it.
        for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
    clock = SystemClock()
    voice = Voice(clock)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        voice.tell(f"there is no state folder, and it goes on without: {error}")
    if problem:
        voice.tell(f"the profile is wrong, and keeps nobody from closing: {problem}")
    try:
        if settings is None:
            return asyncio.run(_ask_only(folder, reason, clock, voice))
        return asyncio.run(_until_told_to_end(_run(settings, folder, reason, operator, via, clock, voice)))
    except (NothingSent, NotAllowed) as error:
        voice.tell(f"NOTHING MORE IS SENT: {error}")
        return REFUSED
    except (KeyboardInterrupt, asyncio.CancelledError):
        goes_on = ", or the engine, which goes on with it" if killswitch.stands(folder) else ""
        voice.tell(f"INTERRUPTED, NOT KNOWN TO BE FLAT: start it again{goes_on}")
        return NOT_FLAT


async def _until_told_to_end(work: Coroutine[Any, Any, int]) -> int:
    """Do the work; a SIGTERM interrupts it as Ctrl+C does, so that how it ended is said."""
    task = asyncio.ensure_future(work)
    if sys.platform != "win32":
        loop = asyncio.get_running_loop()

        def end() -> None:
            # A second one ends the process, whatever the first still waits for.
            loop.remove_signal_handler(signal.SIGTERM)
            task.cancel()

        loop.add_signal_handler(signal.SIGTERM, end)
    return await task


async def _run(
    settings: Settings, folder: Path, reason: str, operator: str, via: str, clock: Clock, voice: Voice
) -> int:
    lock: Lock | None = None
    run = read_run(folder)
    account = run.account if run is not None else ""
    with contextlib.ExitStack() as stack:
        for _ in range(_ROUNDS):
            ended = await _by_the_engine(folder, reason, clock, voice)
            if ended is not None:
                return ended
            _write_kill_file(folder, reason, voice)
            before = read_run(folder)
            lock = await fence(folder, clock, voice.tell)
            if lock is not None:
                stack.callback(lock.release)
            if lock is not None or read_run(folder) == before:
                break
        run_file = None
        if lock is not None:
            run_file = RunFile(folder)
            run_file.begin("direct flatten")
            run_file.account(account)
        order = Order(reason, operator, via, account)
        loop_id = f"direct-{clock.utc():%Y%m%dT%H%M%S}-{os.getpid()}"
        report = await close_everything(settings, folder, order, run_file, clock, loop_id, voice.tell)
        if run_file is not None:
            run_file.stopped(Stopped(f"{clock.utc():%Y-%m-%dT%H:%M:%S}Z", EngineMode.HALTED, 0, 0))
        voice.tell(report.statement)
        kill_file = folder / killswitch.NAME
        if killswitch.stands(folder):
            voice.tell(f"no reset is taken while {kill_file} is there: remove it by hand when you know why")
        else:
            voice.tell(f"{kill_file} is not there: an engine that is started may open again")
    return FLAT


async def _ask_only(folder: Path, reason: str, clock: Clock, voice: Voice) -> int:
    """Do what needs no settings. An engine that hangs is not killed: it may obey the kill file yet."""
    ended = await _by_the_engine(folder, reason, clock, voice)
    if ended is None:
        _write_kill_file(folder, reason, voice)
        raise NothingSent("the profile does not say which account it is: mend it, and start this again")
    return ended


async def _by_the_engine(folder: Path, reason: str, clock: Clock, voice: Voice) -> int | None:
    """Have the engine do it, if it can: the exit code when it has, None when it has not."""
    try:
        address = control_address(folder)
    except AddressError as error:
        voice.tell(f"the engine's socket cannot be looked for: {error}")
        return None
    try:
        ended = await _asked(address, Caller.here("direct"), reason, clock, voice)
    except (UnknownToken, ControlError) as error:
        # Whoever may kill the engine's process needs no token to ask it: one that is not known is no reason to kill it.
        voice.tell(f"{error}; asked without it")
        ended = await _asked(address, Caller("direct"), reason, clock, voice)
    if ended is None:
        return None
    voice.tell(ended.statement)
    return FLAT if ended.state == "FLAT" else NOT_FLAT


async def _asked(address: str, caller: Caller, reason: str, clock: Clock, voice: Voice) -> FlattenView | None:
    async with ControlClient(address, caller) as client:
        if not await ask(client, reason, voice.tell):
            return None
        return await follow(client, clock, voice.tell)


def _write_kill_file(folder: Path, reason: str, voice: Voice) -> None:
    try:
        if killswitch.write(folder, f"flatten --direct: {reason}"):
            voice.tell(f"wrote {folder / killswitch.NAME}")
    except OSError as error:
        without = "its reason" if killswitch.stands(folder) else "it"
        voice.tell(f"the kill file could not be written, and it goes on without {without}: {error}")
