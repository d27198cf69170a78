"""What a client says of itself with every request: its origin, where it sits, its token, that it only looks.

In: the client's environment. Out: HTTP headers. All of it is a claim but the token, which the server checks; who the
peer is comes from the operating system.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.control.errors import ControlError

ORIGIN_HEADER = "X-Quarterdeck-Origin"
VIA_HEADER = "X-Quarterdeck-Via"
CONSOLE_HEADER = "X-Quarterdeck-Console"
READ_ONLY_HEADER = "X-Quarterdeck-Read-Only"
TOKEN_HEADER = "Authorization"  # noqa: S105  a header's name
TOKEN_VARIABLE = "QUARTERDECK_TOKEN"  # noqa: S105  a variable's name
_SSH = re.compile(r"^([0-9A-Fa-f.:]{2,45}(?:%[A-Za-z0-9_.-]{1,16})?) ([0-9]{1,5}) ")
_TOKEN = re.compile(r"^[\x21-\x7e]{1,200}$")


@dataclass(frozen=True, slots=True)
class Caller:
    """One client. `console` is a random id by which a console finds itself among those who are attached."""

    origin: str
    via: str = ""
    token: str = field(default="", repr=False)
    read_only: bool = False
    console: str = ""

    @classmethod
    def here(cls, origin: str, *, read_only: bool = False, console: str = "") -> "Caller":
        """The client that this process is, by its environment. Raises ControlError for a token that cannot be one."""
        token = os.environ.get(TOKEN_VARIABLE, "")
        if token and not _TOKEN.match(token):
            raise ControlError(401, f"{TOKEN_VARIABLE}: it is no token as `quarterdeck token add` prints one")
        return cls(origin, via_of(os.environ), token, read_only, console)

    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        said = {
            ORIGIN_HEADER: self.origin,
            VIA_HEADER: self.via,
            CONSOLE_HEADER: self.console,
            READ_ONLY_HEADER: "yes" if self.read_only else "",
            TOKEN_HEADER: f"Bearer {self.token}" if self.token else "",
        }
        return {name: value for name, value in said.items() if value}


def via_of(environment: Mapping[str, str]) -> str:
    """Where an operator sits by SSH's own variable, as "ssh 10.0.0.5 port 51234"; "" at the desk."""
    found = _SSH.match(environment.get("SSH_CONNECTION", ""))
    return f"ssh {found[1]} port {found[2]}" if found else ""
