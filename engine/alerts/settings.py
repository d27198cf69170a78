"""What a profile says of alerts: the table `[alerts]`. Names of targets only; their addresses are never in a file."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Target = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
_Targets = Annotated[tuple[Target, ...], Field(max_length=8)]


class AlertSettings(BaseModel):
    """Who is told, and how often. Seconds throughout."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    targets: _Targets = ()
    """Told of every alert. The address of `phone` is in QUARTERDECK_ALERT_URL_PHONE, or in the keyring."""
    escalation: _Targets = ()
    """Told too, from the first repetition of a critical alert that nobody has acknowledged."""
    repeat_seconds: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    """How long a critical alert waits to be acknowledged before it is sent again."""
    quiet_seconds: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    """How long the same alert, raised again while it is open, only counts."""
    deliver_seconds: Annotated[float, Field(ge=1, le=120)] = 20.0
    """How long one delivery may take before it is given up and tried again."""

    @model_validator(mode="after")
    def _can_escalate(self) -> "AlertSettings":
        named = [*self.targets, *self.escalation]
        if len(set(named)) < len(named):
            raise ValueError(f"a target is named twice: {', '.join(named)}")
        if self.escalation and not self.targets:
            raise ValueError("escalation adds to targets, and there are none: name at least one")
        return self
