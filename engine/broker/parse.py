"""From the dicts that a gateway passes on to the engine's frozen values: every field present and of its kind.

Fields the engine does not know are left alone. A missing or misshapen one raises BrokerError that names it: a broker
interface that has changed must not be guessed at.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

from engine.broker.base import (
    Account,
    BrokerError,
    CheckReply,
    Deal,
    MarginMode,
    Order,
    Position,
    SendReply,
    Side,
    SymbolSpec,
    Terminal,
    Tick,
)
from engine.broker.codes import LastError

_Value = TypeVar("_Value")


class _Misshapen(Exception):
    """A value that is not of its kind."""


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Misshapen("a number")
    return float(value)


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise _Misshapen("a whole number")
    return int(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, int):
        raise _Misshapen("true or false")
    return bool(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Misshapen("text")
    return value


def _side(value: Any) -> Side:
    if value not in (0, 1):
        raise _Misshapen("0 (buy) or 1 (sell)")
    return Side.BUY if value == 0 else Side.SELL


def _margin_mode(value: Any) -> MarginMode:
    try:
        return MarginMode(value)
    except ValueError:
        raise _Misshapen("0, 1 or 2") from None


_KINDS: Mapping[Any, Callable[[Any], Any]] = {
    float: _number,
    int: _whole,
    bool: _flag,
    str: _text,
    Side: _side,
    MarginMode: _margin_mode,
}

_NAMES: Mapping[tuple[type, str], str] = {
    (Position, "side"): "type",
    (SymbolSpec, "tick_size"): "trade_tick_size",
    (SymbolSpec, "tick_value"): "trade_tick_value",
    (SymbolSpec, "tick_value_loss"): "trade_tick_value_loss",
    (SymbolSpec, "contract_size"): "trade_contract_size",
    (SymbolSpec, "stops_level"): "trade_stops_level",
    (SymbolSpec, "freeze_level"): "trade_freeze_level",
    (SymbolSpec, "execution_mode"): "trade_exemode",
}
"""Where the engine's name differs from MT5's."""


def _plan(kind: type) -> tuple[tuple[str, str, Callable[[Any], Any]], ...]:
    hints = get_type_hints(kind)
    return tuple(
        (field.name, _NAMES.get((kind, field.name), field.name), _KINDS[hints[field.name]]) for field in fields(kind)
    )


_PLANS: Mapping[type, tuple[tuple[str, str, Callable[[Any], Any]], ...]] = {
    kind: _plan(kind) for kind in (Account, Terminal, Position, Order, Deal, Tick, SymbolSpec, CheckReply, SendReply)
}


def parse(kind: type[_Value], row: Any, function: str, **known: Any) -> _Value:
    """Build one value from a broker module's row. `known` are values that the row itself does not hold."""
    if not isinstance(row, Mapping):
        raise _error(function, f"answered {type(row).__name__} where a {kind.__name__} was expected")
    values: dict[str, Any] = {}
    for name, source, convert in _PLANS[kind]:
        if name in known:
            values[name] = known[name]
            continue
        try:
            values[name] = convert(row[source])
        except KeyError:
            raise _error(function, f"the {kind.__name__} has no field {source!r}") from None
        except _Misshapen as problem:
            raise _error(
                function, f"field {source!r} of the {kind.__name__} is {row[source]!r}; expected {problem}"
            ) from None
    return kind(**values)


def parse_rows(kind: type[_Value], rows: Any, function: str) -> tuple[_Value, ...]:
    """Build the values of a list of rows."""
    if not isinstance(rows, list):
        raise _error(function, f"answered {type(rows).__name__} where a list was expected")
    return tuple(parse(kind, row, function) for row in rows)


def _error(function: str, text: str) -> BrokerError:
    return BrokerError(function, LastError.E_FAIL, text)
