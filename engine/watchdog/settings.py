"""What a profile says of its watchdog: the table `[watchdog]` in its TOML file."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Then = Literal["alert", "restart", "flatten"]


class WatchdogSettings(BaseModel):
    """The watchdog. It makes one check a second and counts its own checks, so that a machine that sleeps costs none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    then: Then = "alert"
    """What follows the alert when no guard cycle is completed: nothing, a restart of the engine, or a direct flatten.
    A kill file that nobody obeys, or by an engine that hangs over it, is followed by a direct flatten, whatever is said
    here."""
    checks: Annotated[int, Field(ge=3, le=3600)] = 60
    """So many checks in a row without a further guard cycle are trouble; an engine that starts has as many."""
    kill_checks: Annotated[int, Field(ge=2, le=3600)] = 5
    """So many checks in a row in which a kill file is there and no engine flattens or is halted."""
