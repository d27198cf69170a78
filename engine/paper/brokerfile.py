"""A file of what a broker is like: its server and the conditions of its symbols.

In: TOML with `[server]`, `[symbols."*"]` for all symbols and `[symbols.NAME]` for one, which wins field by field. Out:
BrokerRules, which give each symbol its Instrument. Everything unknown or out of range is refused by file and place.
"""

import tomllib
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from engine.paper import market as mk
from engine.paper.brokerclock import NEW_YORK_CLOSE, BrokerClock, ClockKind
from engine.paper.market import Instrument, MarketError, instrument
from engine.paper.sessions import DAY, Sessions
from engine.paper.structs import CONSTANTS

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Points = Annotated[int, Field(ge=0)]

EXECUTIONS = {"request": 0, "instant": 1, "market": 2, "exchange": 3}
FILLINGS = {"FOK": mk.FILLING_MASK_FOK, "IOC": mk.FILLING_MASK_IOC, "BOC": mk.FILLING_MASK_BOC}
TRADE_MODES = {"disabled": 0, "long only": 1, "short only": 2, "close only": 3, "full": 4}
CALC_MODES = {
    "forex": CONSTANTS["SYMBOL_CALC_MODE_FOREX"],
    "forex no leverage": CONSTANTS["SYMBOL_CALC_MODE_FOREX_NO_LEVERAGE"],
    "futures": CONSTANTS["SYMBOL_CALC_MODE_FUTURES"],
    "cfd": CONSTANTS["SYMBOL_CALC_MODE_CFD"],
    "cfd index": CONSTANTS["SYMBOL_CALC_MODE_CFDINDEX"],
    "cfd leverage": CONSTANTS["SYMBOL_CALC_MODE_CFDLEVERAGE"],
    "exchange stocks": CONSTANTS["SYMBOL_CALC_MODE_EXCH_STOCKS"],
}
SWAP_MODES = {
    "disabled": 0,
    "points": 1,
    "symbol currency": 2,
    "margin currency": 3,
    "deposit currency": 4,
    "interest current": 5,
    "interest open": 6,
}
DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
ORDERS = {
    "market": mk.ORDERS_MARKET,
    "limit": mk.ORDERS_LIMIT,
    "stop": mk.ORDERS_STOP,
    "stop limit": mk.ORDERS_STOP_LIMIT,
    "sl": mk.ORDERS_SL,
    "tp": mk.ORDERS_TP,
    "close by": mk.ORDERS_CLOSE_BY,
}
EXPIRATIONS = {
    "gtc": mk.EXPIRATION_GTC,
    "day": mk.EXPIRATION_DAY,
    "specified": mk.EXPIRATION_SPECIFIED,
    "specified day": mk.EXPIRATION_SPECIFIED_DAY,
}
Weekday = Literal["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]


class BrokerFileError(MarketError):
    """A broker file that cannot be used: says where and what is right."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Server(_Part):
    """The trade server: its clock for data in UTC, and how it treats requests."""

    clock: ClockKind = NEW_YORK_CLOSE
    execution_delay_ms: Annotated[int, Field(ge=0, le=60_000)] = 0
    comments: Literal["keep", "cut", "replace"] = "keep"
    holidays: tuple[date, ...] = ()


class Symbol(_Part):
    """A symbol's conditions; what is left out is as usual. Names and units are those of market.Instrument."""

    base: Currency | None = None
    profit: Currency | None = None
    margin_currency: Currency | None = None
    digits: Annotated[int, Field(ge=0, le=8)] | None = None
    contract_size: Positive | None = None
    tick_size: Positive | None = None
    tick_value: Positive | None = None
    calc_mode: Literal[
        "forex", "forex no leverage", "futures", "cfd", "cfd index", "cfd leverage", "exchange stocks"
    ] | None = None  # fmt: skip
    volume_min: Positive | None = None
    volume_max: Positive | None = None
    volume_step: Positive | None = None
    volume_limit: NotNegative | None = None
    stops_level: Points | None = None
    freeze_level: Points | None = None
    execution: Literal["request", "instant", "market", "exchange"] | None = None
    filling: tuple[Literal["FOK", "IOC", "BOC"], ...] | None = None
    orders: tuple[Literal["market", "limit", "stop", "stop limit", "sl", "tp", "close by"], ...] | None = None
    expirations: tuple[Literal["gtc", "day", "specified", "specified day"], ...] | None = None
    trade_mode: Literal["disabled", "long only", "short only", "close only", "full"] | None = None
    margin_initial: NotNegative | None = None
    margin_maintenance: NotNegative | None = None
    margin_hedged: NotNegative | None = None
    margin_hedged_use_leg: bool | None = None
    margin_buy: NotNegative | None = None
    margin_sell: NotNegative | None = None
    swap_mode: Literal[
        "disabled", "points", "symbol currency", "margin currency", "deposit currency", "interest current",
        "interest open",
    ] | None = None  # fmt: skip
    swap_long: Number | None = None
    swap_short: Number | None = None
    swap_triple_day: Weekday | None = None
    depth: NotNegative | None = None
    sessions: dict[Weekday, tuple[str, ...]] | None = None

    @field_validator("sessions")
    @classmethod
    def _are_sessions(cls, sessions: dict[str, tuple[str, ...]] | None) -> dict[str, tuple[str, ...]] | None:
        if sessions is not None:
            week_of(sessions)
        return sessions


class BrokerFile(_Part):
    """The whole file."""

    server: Server = Server()
    symbols: dict[str, Symbol] = {}

    @model_validator(mode="after")
    def _symbols_can_be_made(self) -> "BrokerFile":
        for name in self.symbols:
            if name != "*":
                made(name, self)
        return self


def _seconds(text: str) -> int:
    hours, separator, minutes = text.partition(":")
    if not (separator and len(hours) == len(minutes) == 2 and (hours + minutes).isdigit()):
        raise ValueError(f"{text!r} is no time of day; expected HH:MM, from 00:00 to 24:00")
    seconds = int(hours) * 3600 + int(minutes) * 60
    if int(minutes) > 59 or seconds > DAY:
        raise ValueError(f"{text!r} is no time of day; expected HH:MM, from 00:00 to 24:00")
    return seconds


def week_of(sessions: dict[str, tuple[str, ...]]) -> tuple[tuple[int, int], ...]:
    """Sessions of a week in seconds since Sunday 00:00. Raises ValueError for one that is empty or overlaps."""
    spans: list[tuple[int, int]] = []
    for day, texts in sessions.items():
        start = DAYS.index(day) * DAY
        for text in texts:
            begin, separator, end = text.partition("-")
            if not separator or _seconds(begin) >= _seconds(end):
                raise ValueError(f"{day} {text!r}: expected HH:MM-HH:MM, the end behind the beginning")
            spans.append((start + _seconds(begin), start + _seconds(end)))
    spans.sort()
    for (_, ended), (begun, _) in pairwise(spans):
        if begun < ended:
            raise ValueError("two sessions overlap")
    return tuple(spans)


def made(name: str, file: BrokerFile) -> Instrument:
    """The instrument of a symbol by a file's rules. Raises ValueError when they do not fit together."""
    common = file.symbols.get("*", Symbol()).model_dump(exclude_none=True)
    own = file.symbols.get(name, Symbol()).model_dump(exclude_none=True)
    values: dict[str, Any] = common | own
    for field, target, table in (
        ("execution", "execution_mode", EXECUTIONS),
        ("trade_mode", "trade_mode", TRADE_MODES),
        ("calc_mode", "calc_mode", CALC_MODES),
        ("swap_mode", "swap_mode", SWAP_MODES),
    ):
        if field in values:
            values[target] = table[values.pop(field)]
    for field, target, flags in (
        ("filling", "filling_mode", FILLINGS),
        ("orders", "order_mode", ORDERS),
        ("expirations", "expiration_mode", EXPIRATIONS),
    ):
        if field in values:
            values[target] = sum(flags[one] for one in set(values.pop(field)))
    if "swap_triple_day" in values:
        values["swap_rollover3days"] = DAYS.index(values.pop("swap_triple_day"))
    week = values.pop("sessions", None)
    holidays = frozenset(file.server.holidays)
    if week is not None or holidays:
        values["sessions"] = Sessions(week_of(week), holidays) if week is not None else Sessions(holidays=holidays)
    return _checked(replace(_usual(name, values), **values))


def _usual(name: str, values: dict[str, Any]) -> Instrument:
    try:
        return instrument(name)
    except MarketError:
        missing = [field for field in ("base", "profit", "digits", "contract_size") if field not in values]
        if missing:
            raise ValueError(
                f"symbol {name!r} is no pair of known currencies: it also needs {', '.join(missing)}"
            ) from None
        return Instrument(name, values["base"], values["profit"])


def _checked(one: Instrument) -> Instrument:
    if not one.volume_min <= one.volume_max:
        raise ValueError(f"symbol {one.name!r}: volume_min {one.volume_min} is above volume_max {one.volume_max}")
    if one.execution_mode >= mk.EXECUTION_MARKET and not one.filling_mode:
        raise ValueError(f"symbol {one.name!r}: this execution needs at least one filling of FOK, IOC")
    by_tick = one.calc_mode in (CALC_MODES["futures"], CALC_MODES["cfd index"])
    if by_tick and not one.tick_value:
        raise ValueError(f"symbol {one.name!r}: this calc_mode needs a tick_value")
    return one


class BrokerRules:
    """What a broker file says, or with none the usual: `server`, its `clock`, and an Instrument a symbol."""

    def __init__(self, file: BrokerFile | None = None) -> None:
        self._file = file or BrokerFile()
        self.server = self._file.server
        self.clock = BrokerClock(self.server.clock)

    def instrument(self, symbol: str) -> Instrument:
        """The conditions of a symbol. Raises MarketError when it cannot be made."""
        try:
            return made(symbol, self._file)
        except ValueError as problem:
            raise BrokerFileError(str(problem)) from problem


def load_broker(path: Path) -> BrokerRules:
    """The rules of a file. Raises BrokerFileError with the file and the place."""
    try:
        return BrokerRules(BrokerFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig"))))
    except OSError as error:
        raise BrokerFileError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BrokerFileError(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        found = f" (found {first['input']!r})" if not isinstance(first["input"], dict) else ""
        raise BrokerFileError(f"{path}: {place}: {first['msg']}{found}".replace(": : ", ": ")) from error
