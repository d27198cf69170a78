"""Starts an engine so that nothing that happens to whoever starts it, or to their terminal, reaches it.

In: a command line, a state folder. Out: a process in a session of its own that prints into the folder's engine.log, and
what it has printed there. Used by a console that hosts its engine, and by the watchdog.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.control.caller import TOKEN_VARIABLE
from engine.text import plain

LOG_NAME = "engine.log"
_MAX_LOG_BYTES = 10_000_000
_SHOWN_BYTES = 4_000
_SHOWN_LINES = 12


def our_command(module: str, *arguments: str) -> tuple[str, ...]:
    """The command line that runs a module of ours with this very interpreter."""
    # -P: a folder called "engine" where the operator happens to stand must not be run in our place.
    return (sys.executable, "-P", "-m", module, *arguments)


def launch(command: Sequence[str], log: Path) -> "tuple[subprocess.Popen[bytes], int]":
    """Start it. Returns the process, and where in the log its words begin."""
    begins = _prepare(log)
    # Not the token of whoever starts it, which is nobody's but its operator's.
    environment = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
    with log.open("ab") as printed:
        if sys.platform == "win32":
            process = subprocess.Popen(  # noqa: S603  our own interpreter
                command,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                env=environment,
                creationflags=subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP,
            )
        else:
            process = subprocess.Popen(  # noqa: S603  our own interpreter
                command,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
    return process, begins


def last_lines(log: Path, start: int) -> str:
    """What has been printed since `start`, the last dozen lines at most, each safe to show."""
    with log.open("rb") as printed:
        end = printed.seek(0, os.SEEK_END)
        printed.seek(max(start, end - _SHOWN_BYTES))
        lines = printed.read().decode(errors="replace").splitlines()
    return "\n".join(plain(line) for line in lines[-_SHOWN_LINES:] if line.strip())


def _prepare(log: Path) -> int:
    """Return where in the log a new process's words begin. A log over 10 MB is put aside; the one before it goes."""
    try:
        size = log.stat().st_size
    except FileNotFoundError:
        return 0
    if size <= _MAX_LOG_BYTES:
        return size
    try:
        os.replace(log, log.with_suffix(".log.1"))
    except PermissionError:
        # Windows: a rival's engine has it open. It is put aside at the next start.
        return size
    return 0
