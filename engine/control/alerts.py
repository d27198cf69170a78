"""The control API's words about alerts: what is open, and what an operator may do about it. Times in UTC."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from engine.control.wire import Wire

AlertId = Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r"^[0-9A-Za-z]+$")]


class AlertView(Wire):
    """One open alert. It stays, and a critical one is sent again, until somebody acknowledges it."""

    id: str
    key: str
    severity: Literal["warning", "critical"]
    text: str
    raised_at: datetime
    count: int = 1
    """How often it was raised while it was open."""
    delivered_to: list[str] = []
    """The names of the targets that have accepted it."""
    failing: list[str] = []
    """Where it could not be delivered, and why; it is tried again."""


class Acknowledge(Wire):
    """Close open alerts by their ids, or with `all` whatever is open now. Nothing more of them is sent."""

    kind: Literal["acknowledge"] = "acknowledge"
    ids: Annotated[list[AlertId], Field(max_length=200)] = []
    all: bool = False


class TestAlert(Wire):
    """Send a test to every target, the escalation too. Events tell the outcome, by the id in the result's data."""

    __test__ = False
    kind: Literal["test_alert"] = "test_alert"
