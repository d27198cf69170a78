"""Where a target's address is: in the environment of the engine, or in the machine's keyring. Nowhere else.

An address holds a token. Only the child process that delivers reads it; other children are started without it.
"""

from collections.abc import Mapping

PREFIX = "QUARTERDECK_ALERT_URL_"
KEYRING_SERVICE = "quarterdeck"
EXIT_TOO_LONG = 3
"""The exit code of the child that delivers when it has ended itself because it took too long."""


def variable(target: str) -> str:
    """The environment variable that holds a target's address."""
    return PREFIX + target.upper()


def without_addresses(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that has no business with the addresses."""
    return {name: value for name, value in environment.items() if not name.upper().startswith(PREFIX)}
