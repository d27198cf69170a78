"""What passes between the engine and one gateway: a batch of calls out, their results back.

`Connection` is the seam: a worker process in service (`child.py`), a dispatcher in the same process in simulation
(`inprocess.py`). Nothing here knows what the calls mean.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

Frame = Mapping[str, Any]


class Lane(StrEnum):
    """The two gateways by their work. A close never stands behind a read."""

    ORDERS = "orders"
    READS = "reads"

    @property
    def other(self) -> "Lane":
        """The lane whose gateway stands by for this one."""
        return Lane.READS if self is Lane.ORDERS else Lane.ORDERS


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function of the broker module. Arguments must be JSON-ready."""

    function: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """What one call returned, with the `last_error` read right after it.

    `raised` names the Python exception when the call raised instead; `text` is then its message.
    """

    value: Any
    code: int
    text: str
    raised: str | None = None


class ConnectionLost(Exception):
    """The gateway is gone: what was in flight may or may not have been done."""


class Connection(Protocol):
    """One initialised gateway."""

    @property
    def pid(self) -> int | None:
        """Its process, None when it has none of its own."""
        ...

    @property
    def account(self) -> str:
        """ "login@server" as the terminal said at initialisation, "" if it knew none."""
        ...

    async def request(self, frame: Frame) -> Any:
        """Send {"id", "calls", "epoch"} and return its reply. Raises ConnectionLost. May be cancelled."""
        ...

    def notify(self, frame: Frame) -> None:
        """Send a frame that has no reply, at once, whatever the gateway is doing. A lost gateway is no error."""
        ...

    def kill(self) -> None:
        """End it at once. What is in flight ends with ConnectionLost. Killing twice is no error."""
        ...

    async def closed(self) -> str:
        """Wait until it is gone and return why."""
        ...

    async def reap(self) -> None:
        """After `kill`: wait until nothing of it is left in the system."""
        ...


Spawn = Callable[[str], Awaitable[Connection]]
"""Starts and initialises one gateway; its argument names the slot for logs. Raises BrokerError; leaves nothing behind
when it fails or is cancelled."""


@dataclass(frozen=True, slots=True)
class GatewayChange:
    """Something that happened to a gateway.

    `what`: started; hung (a call passed its deadline, it will be killed); lost (dead or killed); failed (a
    replacement did not come up, another follows).
    """

    slot: Lane
    what: Literal["started", "hung", "lost", "failed"]
    reason: str
    pid: int | None
    account: str = ""
