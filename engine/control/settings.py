"""What a profile says of those who operate it: the table `[control]` of its TOML file.

In: the table. Out: who else may connect and as what, what happens when the last operator has left, and which decisions
need two of them.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from engine.control.address import MAX_SOCKET_PATH_BYTES
from engine.control.wire import Role

UserName = Annotated[str, StringConstraints(pattern=r"^(uid [0-9]{1,10}|[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?)$")]
"""A user of this machine by name, or "uid 1001"."""


class ControlSettings(BaseModel):
    """Who may look and act besides the user who runs the engine."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    users: dict[UserName, Role] = {}
    """Other users of this machine and their roles, at the shared socket."""
    shared_socket: Path | None = None
    """A second socket that every user can reach; whoever is neither listed nor has a token is refused there."""

    on_last_operator: Literal["keep", "pause", "flatten"] = "keep"
    """What happens when the last operator has left and none has come back within the grace time."""
    grace_seconds: Annotated[float, Field(ge=1, le=86_400)] = 60.0

    four_eyes_reset: bool = False
    """Whether lifting a halt needs a second operator, of another name, within 10 minutes."""
    four_eyes_lots: Annotated[float, Field(gt=0)] | None = None
    """The volume from which approving a signal needs one, in lots."""

    @field_validator("shared_socket")
    @classmethod
    def _possible(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        if sys.platform == "win32":
            raise ValueError("there is no shared socket on Windows: leave it out; others look in over SSH")
        if not value.is_absolute():
            raise ValueError(f"found {str(value)!r}, expected an absolute path, as /run/quarterdeck/shared.sock")
        if (length := len(os.fsencode(value))) > MAX_SOCKET_PATH_BYTES:
            raise ValueError(f"the path has {length} bytes, expected at most {MAX_SOCKET_PATH_BYTES}")
        return value

    @model_validator(mode="after")
    def _reachable(self) -> "ControlSettings":
        if self.users and self.shared_socket is None:
            raise ValueError("users: they need a shared_socket; the engine's own socket is for its own user alone")
        return self
