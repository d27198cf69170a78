"""`quarterdeck flatten --direct`: the command that needs no engine, so the question before it asks none either."""

import getpass
import os
import sys

import typer

from console import output
from engine.config import SettingsError, load_to_close, state_folder
from engine.control.caller import via_of


def flatten_directly(profile: str, yes: bool, reason: str) -> int:
    """Close everything on the profile's account from this process and return the exit code."""
    try:
        settings, problem = load_to_close(profile)
    except SettingsError as error:
        output.complain(str(error))
        return 2
    if settings is None and not state_folder(profile).is_dir():
        output.complain(problem)
        return 2
    if not yes:
        if not sys.stdin.isatty():
            output.complain("a confirmation is needed and this is no terminal: say --yes")
            return 2
        question = f"Profile {profile!r}: close every position and cancel every order, killing an engine that hangs?"
        if not typer.confirm(question, default=False):
            output.complain("nothing was done")
            return 1
    from engine.direct.run import run

    return run(profile, settings, problem, reason or "flattened directly", _operator(), via_of(os.environ))


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # No name in the environment, and none that the system knows.
        return f"uid {os.getuid()}" if sys.platform != "win32" else "unknown"
