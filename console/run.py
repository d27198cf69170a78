"""Starts the console on a profile, in the terminal it was called from."""

from console.app import Console
from console.host import Host
from console.link import Link
from console.terminal import Terminal


def run_console(profile: str, terminal: Terminal | None = None) -> int:
    """Run the console until the operator quits. Returns the exit code."""
    return Console(Link(Host(profile).attach), terminal=terminal).run() or 0
