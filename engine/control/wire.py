"""What every message of the control API is made of: one base class and the texts that cross the wire."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Reason = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]


class Wire(BaseModel):
    """Base of every message: frozen, exact, finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
