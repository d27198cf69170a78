"""The result types of the MetaTrader5 module, built from the packaged contract.

They behave as the wheel's PyStructSequence types do: a tuple with names and `_asdict()`, without `_fields` or
`_replace`, that cannot be pickled. In: one sequence with a value for every field. Nothing else lives here.
"""

import json
from collections.abc import Iterable, Mapping
from importlib import resources
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar

CONTRACT: Mapping[str, Any] = json.loads(
    resources.files("engine.paper").joinpath("mt5_contract.json").read_text(encoding="utf-8")
)
"""Constants, functions and struct fields of the wheel, as read from it."""

CONSTANTS: Mapping[str, int] = CONTRACT["constants"]


class StructSequence(tuple[Any, ...]):
    """Base of the result types. Fields are read by name or by place."""

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()
    n_fields: ClassVar[int] = 0
    n_sequence_fields: ClassVar[int] = 0
    n_unnamed_fields: ClassVar[int] = 0

    def __new__(cls, sequence: Iterable[Any]) -> "StructSequence":
        """Build from exactly `n_fields` values. Raises TypeError for another number."""
        values = super().__new__(cls, sequence)
        if len(values) != cls.n_fields:
            raise TypeError(f"{cls.__name__}() takes a {cls.n_fields}-sequence ({len(values)}-sequence given)")
        return values

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in zip(self.__match_args__, self, strict=True))
        return f"{type(self).__name__}({fields})"

    def _asdict(self) -> dict[str, Any]:
        """Return the fields by name. Not recursive: the request in a result stays a TradeRequest."""
        return dict(zip(self.__match_args__, self, strict=True))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def _build(name: str) -> type[StructSequence]:
    fields: list[str] = CONTRACT["structs"][name]["fields"]
    namespace: dict[str, Any] = {field: property(itemgetter(place)) for place, field in enumerate(fields)}
    namespace |= {
        "__slots__": (),
        "__match_args__": tuple(fields),
        # Claimed as in the wheel: pickle looks the type up there, does not find it and fails.
        "__module__": "builtins",
        "n_fields": len(fields),
        "n_sequence_fields": CONTRACT["structs"][name]["n_in_sequence"],
    }
    return type(name, (StructSequence,), namespace)


Tick = _build("Tick")
OrderSendResult = _build("OrderSendResult")
TradePosition = _build("TradePosition")
BookInfo = _build("BookInfo")
AccountInfo = _build("AccountInfo")
TradeOrder = _build("TradeOrder")
OrderCheckResult = _build("OrderCheckResult")
SymbolInfo = _build("SymbolInfo")
TerminalInfo = _build("TerminalInfo")
TradeDeal = _build("TradeDeal")
TradeRequest = _build("TradeRequest")
