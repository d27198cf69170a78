"""What may go wrong at a paper terminal, as a plan: a TOML file of `[[fault]]` tables, or JSON by the control line.

In: text from outside. Out: faults as frozen models. Everything unknown, missing or out of range is refused by place.
When each happens and what it does is in faults.py; nothing here can be reached through the MetaTrader5 interface.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from engine.paper.structs import CONTRACT

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
CALLS = frozenset(name for name in CONTRACT["methods"] if not name.startswith("_"))


class PlanError(ValueError):
    """A plan that cannot be read: says where and what is right."""


class _Fault(BaseModel):
    """`at` is in seconds of the terminal's running time: the fault is not before it."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    at: Seconds = 0.0


class CallFault(_Fault):
    """A fault of single calls: of `call` (an MT5 function, or * for any) from the `nth` one on, `count` times.

    delay: executed after `seconds`. late: executed at once, answered after `seconds`. hang: neither executed nor
    answered. lost: executed (unless told otherwise), and the line is cut, or with `silent` never answered. fail: None
    with `error`, not executed unless told so. twice: executed two times. retcode: order_send answers `retcode`, not
    executed unless told so.
    """

    kind: Literal["delay", "late", "hang", "lost", "fail", "twice", "retcode"]
    call: str
    nth: Annotated[int, Field(ge=1)] = 1
    count: Annotated[int, Field(ge=1)] = 1
    seconds: Seconds = 0.0
    error: tuple[int, str] = (-10005, "IPC timeout")
    retcode: int = 10012
    executed: bool | None = None
    silent: bool = False

    @model_validator(mode="after")
    def _names_a_call(self) -> "CallFault":
        if self.call != "*" and self.call not in CALLS:
            raise ValueError(f"call {self.call!r} is not a function of MetaTrader5; expected one of them, or *")
        if self.kind in ("delay", "late") and not self.seconds:
            raise ValueError(f"a {self.kind} needs seconds above 0")
        if self.kind == "retcode" and self.call != "order_send":
            raise ValueError('a retcode is of order_send: expected call = "order_send"')
        return self


class LastingFault(_Fault):
    """A fault that lasts for `seconds`; 0: until it is ended through the control line."""

    seconds: Seconds = 0.0


class Disconnect(LastingFault):
    """The broker is out of reach: `connected` is False, what is shown is what was known, orders answer 10031.

    Once it is back, positions and orders come only `unsynchronised` seconds later.
    """

    kind: Literal["disconnect"]
    unsynchronised: Seconds = 0.0


class Unsynchronised(LastingFault):
    """Positions and orders have not come yet: only the first `shown` of each are there."""

    kind: Literal["unsynchronised"]
    shown: Annotated[int, Field(ge=0)] = 0


class Restart(_Fault):
    """The terminal is away for `seconds`: every line is cut, none is taken; then `unsynchronised` seconds follow."""

    kind: Literal["restart"]
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    unsynchronised: Seconds = 0.0


class Equity(LastingFault):
    """account_info shows this equity: a number, or nan."""

    kind: Literal["equity"]
    value: float


class Login(LastingFault):
    """account_info shows another account."""

    kind: Literal["login"]
    login: Annotated[int, Field(ge=1)]
    server: str = "Another-Server"


class DropStops(LastingFault):
    """Stop loss and take profit of an opening are lost at its fill."""

    kind: Literal["drop_stops"]


class Freeze(LastingFault):
    """The ticks that are shown stand still (of a symbol, or all), while the broker's market goes on."""

    kind: Literal["freeze"]
    symbol: str | None = None


class Closed(LastingFault):
    """A symbol, or all of them, is not traded."""

    kind: Literal["closed"]
    symbol: str | None = None


class Requote(LastingFault):
    """In instant execution the price has always changed."""

    kind: Literal["requote"]


class AutoTrading(LastingFault):
    """Programs may not trade: switched off in the terminal (10027) or by the server (10026)."""

    kind: Literal["autotrading"]
    where: Literal["terminal", "server"]


class Partial(LastingFault):
    """Only a share of each order is filled."""

    kind: Literal["partial"]
    share: Annotated[float, Field(ge=0, lt=1)]


class Spread(LastingFault):
    """The spread (of a symbol, or all) is `factor` times as wide; the mid price is kept."""

    kind: Literal["spread"]
    factor: Annotated[float, Field(gt=0, le=1000)]
    symbol: str | None = None


class Refill(LastingFault):
    """Another program on the account opens `volume` lots every `every` seconds, at once to begin with."""

    kind: Literal["refill"]
    symbol: str
    side: Literal["buy", "sell"]
    volume: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    every: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0


class Cash(_Fault):
    """Money comes or goes, once: a deal of MT5's `deal_type`, in account currency."""

    kind: Literal["cash"]
    deal_type: int = 2
    amount: Annotated[float, Field(allow_inf_nan=False)]
    comment: str = ""


class Kill(_Fault):
    """The terminal's process ends as by kill -9."""

    kind: Literal["kill"]


Lasting = (
    Disconnect | Unsynchronised | Equity | Login | DropStops | Freeze | Closed | Requote | AutoTrading | Partial
    | Spread | Refill
)  # fmt: skip
Fault = Annotated[CallFault | Lasting | Restart | Cash | Kill, Field(discriminator="kind")]
_ONE: TypeAdapter[Fault] = TypeAdapter(Fault)


def read_fault(values: Any, place: str = "fault") -> Fault:
    """One fault from plain values. Raises PlanError that names the place."""
    try:
        return _ONE.validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"][1:]) or "kind"
        raise PlanError(f"{place}: {field}: {first['msg']}") from error


def load_plan(path: Path) -> tuple[Fault, ...]:
    """The faults of a plan file. Raises PlanError with the file and the place."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise PlanError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: {error}") from error
    tables = content.pop("fault", [])
    if content or not isinstance(tables, list):
        raise PlanError(f"{path}: expected [[fault]] tables and nothing else, found {sorted(content) or 'no list'}")
    return tuple(read_fault(table, f"{path}, fault {number}") for number, table in enumerate(tables, start=1))
