"""What the tests' child processes inherit."""

import os


def unmeasured_environment() -> dict[str, str]:
    """The environment without coverage's: a child that is killed tells no coverage, and measuring it takes its time."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
