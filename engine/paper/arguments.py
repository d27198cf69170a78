"""Arguments judged as the real wheel judges them, before anything is sent (measured with wheel 5.0.6231).

In: what the caller gave. Out: plain values for the wire, or ArgumentFault with the wheel's own text, which the client
turns into (-2, text); a negative number raises SystemError, as the wheel does.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from engine.paper.requests import REQUEST_FIELDS, REQUEST_TYPES

MAX_TEXT_UNITS = 29
"""Longest comment or symbol, in UTF-16 units."""
MAX_UNSIGNED = 2**64 - 1


class ArgumentFault(Exception):
    """The wheel would answer -2 with this text."""


def invalid(name: str) -> ArgumentFault:
    """The fault of one named argument."""
    return ArgumentFault(f'Invalid "{name}" argument')


INVALID_ARGUMENTS = "Invalid arguments"
UNNAMED = "Unnamed arguments not allowed"


def unsigned(name: str, value: Any, function: str) -> int:
    """A whole number: int, IntEnum or bool; nothing else that merely counts."""
    if not isinstance(value, int):
        raise invalid(name)
    if not 0 <= value <= MAX_UNSIGNED:
        raise SystemError(f"<built-in function {function}> returned a result with an exception set") from OverflowError(
            "can't convert negative int to unsigned" if value < 0 else "int too big to convert"
        )
    return int(value)


def real(name: str, value: Any) -> float:
    """A float; an int, a Decimal or a float of another width is refused. NaN and negative numbers pass."""
    if not isinstance(value, float):
        raise invalid(name)
    return float(value)


def text(name: str, value: Any) -> str:
    """A text of at most 29 UTF-16 units."""
    if not isinstance(value, str):
        raise invalid(name)
    try:
        units = len(value.encode("utf-16-le")) // 2
    except UnicodeEncodeError as error:
        raise invalid(name) from error
    if units > MAX_TEXT_UNITS:
        raise invalid(name)
    return str(value)


def date(name: str, value: Any) -> float:
    """Epoch seconds from an int, a float or a datetime (a naive one goes through this machine's time zone)."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, int | float):
        return float(value)
    raise invalid(name)


def trade_request(values: Sequence[Any], named: Mapping[str, Any], function: str) -> list[Any]:
    """The 17 fields of a request dict. Unknown keys are ignored, as the wheel does; missing ones are zero."""
    if len(values) + ("request" in named) != 1:
        raise ArgumentFault(INVALID_ARGUMENTS)
    request = values[0] if values else named["request"]
    if not isinstance(request, dict):
        raise invalid("request")
    judged: list[Any] = []
    for name, kind in zip(REQUEST_FIELDS, REQUEST_TYPES, strict=True):
        if name not in request:
            judged.append(kind())
        elif kind is int:
            judged.append(unsigned(name, request[name], function))
        elif kind is float:
            judged.append(real(name, request[name]))
        else:
            judged.append(text(name, request[name]))
    return judged


def selection(values: Sequence[Any], named: Mapping[str, Any], function: str) -> dict[str, Any]:
    """The filter of positions_get and orders_get. Unknown keywords are ignored: then everything is returned."""
    if values:
        raise ArgumentFault(UNNAMED)
    judged: dict[str, Any] = {}
    if "symbol" in named:
        judged["symbol"] = text("symbol", named["symbol"])
    if "group" in named:
        judged["group"] = group(named["group"])
    if "ticket" in named:
        judged["ticket"] = unsigned("ticket", named["ticket"], function)
    return judged


def group(value: Any) -> str:
    """A filter of symbols, of any length."""
    if not isinstance(value, str):
        raise invalid("group")
    return str(value)


def history(values: Sequence[Any], named: Mapping[str, Any], function: str) -> dict[str, Any]:
    """What history_deals_get and history_orders_get are asked for: a ticket, a position, or two dates and a group."""
    for key in ("ticket", "position"):
        if key in named:
            return {key: unsigned(key, named[key], function)}
    dates = [*values, *(named[key] for key in ("date_from", "date_to") if key in named)]
    if len(dates) != 2:
        raise ArgumentFault(INVALID_ARGUMENTS)
    judged: dict[str, Any] = {"start": date("date_from", dates[0]), "end": date("date_to", dates[1])}
    if "group" in named:
        judged["group"] = group(named["group"])
    return judged


def connection(named: Mapping[str, Any], function: str) -> dict[str, Any]:
    """login, server and password of initialize and login; unknown keywords are ignored, the password is not kept."""
    judged: dict[str, Any] = {}
    if "login" in named:
        judged["login"] = unsigned("login", named["login"], function)
    for key in ("server", "password"):
        if key in named and not isinstance(named[key], str):
            raise invalid(key)
    if "server" in named:
        judged["server"] = str(named["server"])
    if "timeout" in named:
        unsigned("timeout", named["timeout"], function)
    return judged


def number(name: str, value: Any) -> float:
    """An argument that C code reads as a double: a float or an int."""
    if not isinstance(value, int | float):
        raise invalid(name)
    return float(value)


def whole(name: str, value: Any) -> int:
    """An argument that C code reads as a signed integer."""
    if not isinstance(value, int):
        raise invalid(name)
    return int(value)
