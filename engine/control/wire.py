"""What every message of the control API is made of: one base class and the texts that cross the wire."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

Reason = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]

OrderType = Literal["market", "limit", "stop"]

Role = Literal["viewer", "operator"]
"""What a client may do: look, or look and act."""


class Wire(BaseModel):
    """Base of every message: frozen, exact, finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
