"""Starts the console on a profile, or at another user's socket, in the terminal it was called from."""

from console.app import Console
from console.host import attached
from console.terminal import Terminal


def run_console(
    profile: str, terminal: Terminal | None = None, *, socket: str | None = None, read_only: bool = False
) -> int:
    """Run the console until the operator quits. Returns the exit code."""
    return Console(attached(profile, socket, read_only=read_only), terminal=terminal).run() or 0
