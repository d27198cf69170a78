"""What a console may ask of an engine: the actions, and the command that carries one and is done once.

Money is in the account's currency, prices in the symbol's, volumes in lots, percent from 0 to 100.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from engine.control.alerts import Acknowledge, TestAlert
from engine.control.risk import Reset, SetBases, SettleFunds, Unlock
from engine.control.wire import OrderType, Reason, Wire

Symbol = Annotated[str, StringConstraints(min_length=1, max_length=29, pattern=r"^[^\s\x00-\x1f\x7f]+$")]


class Approve(Wire):
    """Approve the signal at the version the operator saw."""

    kind: Literal["approve"] = "approve"
    signal: str
    version: int


class Reject(Wire):
    """Reject a pending signal at the version the operator saw, or settle an unknown outcome that is presumed absent."""

    kind: Literal["reject"] = "reject"
    signal: str
    version: int


class Pause(Wire):
    """Block entries. Closing goes on working."""

    kind: Literal["pause"] = "pause"


class Resume(Wire):
    """Let entries through again. Refused unless PAUSED."""

    kind: Literal["resume"] = "resume"


class Flatten(Wire):
    """Cancel and close everything on the account, then halt. Answered at once; the snapshot tells how it goes."""

    kind: Literal["flatten"] = "flatten"


class AllScope(Wire):
    """Everything on the account, without halting it, and what appears meanwhile."""

    kind: Literal["all"] = "all"


class SymbolScope(Wire):
    """Everything of a symbol, pending orders too, and what of it appears meanwhile."""

    kind: Literal["symbol"] = "symbol"
    symbol: Symbol


class SourceScope(Wire):
    """Everything that a source of signals has opened, pending orders too, and what of it appears meanwhile."""

    kind: Literal["source"] = "source"
    source: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class LosersScope(Wire):
    """The positions that are at a loss, with their swap, when the close begins."""

    kind: Literal["losers"] = "losers"


class WinnersScope(Wire):
    """The positions that are at a profit, with their swap, when the close begins."""

    kind: Literal["winners"] = "winners"


class PositionScope(Wire):
    """One position by its identifier, at the volume the operator saw; `volume` lots of it, or all."""

    kind: Literal["position"] = "position"
    position: int
    seen_volume: Annotated[float, Field(gt=0)]
    volume: Annotated[float, Field(gt=0)] | None = None


CloseScope = Annotated[
    AllScope | SymbolScope | SourceScope | LosersScope | WinnersScope | PositionScope, Field(discriminator="kind")
]


class Close(Wire):
    """Close a part of the account; the mode stays. Answered at once; the snapshot's `closings` tell how it goes."""

    kind: Literal["close"] = "close"
    scope: CloseScope


class CancelClose(Wire):
    """Stop a scoped close, or a flatten that is DEFERRED, by its id: what is left stays open. Needs a reason."""

    kind: Literal["cancel_close"] = "cancel_close"
    id: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Stop(Wire):
    """Stop the engine. Positions stay as they are, with their stops at the broker."""

    kind: Literal["stop"] = "stop"


class Cancel(Wire):
    """Take a signal's limit or stop order out at the broker, at the version the operator saw. Works in every mode."""

    kind: Literal["cancel"] = "cancel"
    signal: str
    version: int


class AddSignal(Wire):
    """Propose a trade: its volume in lots, or the risk that its stop may cost in percent of the equity.

    `entry` is the price of a limit or stop order; at market it is the reference for drift (default: the price now).
    """

    kind: Literal["signal_add"] = "signal_add"
    symbol: Symbol
    side: Literal["buy", "sell"]
    volume: Annotated[float, Field(gt=0)] | None = None
    risk_percent: Annotated[float, Field(gt=0, le=100)] | None = None
    type: OrderType = "market"
    sl: Annotated[float, Field(gt=0)] | None = None
    tp: Annotated[float, Field(gt=0)] | None = None
    entry: Annotated[float, Field(gt=0)] | None = None
    expires_seconds: Annotated[float, Field(ge=1, le=604_800)] = 300.0
    order_seconds: Annotated[float, Field(ge=1, le=2_592_000)] | None = None
    """How long a limit or stop order stands once it is placed; default: as the profile says."""
    source: Annotated[str, StringConstraints(min_length=1, max_length=64)] = "operator"
    note: Reason = ""


Action = Annotated[
    Approve
    | Reject
    | Pause
    | Resume
    | Flatten
    | Close
    | CancelClose
    | Reset
    | Unlock
    | SetBases
    | SettleFunds
    | Stop
    | AddSignal
    | Cancel
    | Acknowledge
    | TestAlert,
    Field(discriminator="kind"),
]


class Command(Wire):
    """One request to act, done once by its id.

    The same id with the same body is answered as before; with another body it is refused.
    """

    id: Annotated[str, StringConstraints(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
    action: Action
    reason: Reason = ""


class CommandResult(Wire):
    """What became of a command. `message` is for the operator, `data` for programs ({"signal": "K3V9X2QD"})."""

    id: str
    accepted: bool
    message: str
    data: dict[str, Any] = {}
