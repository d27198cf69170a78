"""The trading conditions of the symbols in use, kept at hand so that a close never waits to read them."""

from collections.abc import Mapping
from dataclasses import astuple

from engine.broker.base import Broker, BrokerError, SymbolSpec

_MOST = 1e15
"""No condition of a symbol is larger: what is reckoned from such ones is a number still."""
_LEAST_STEP = 1e-8
"""Volumes are reckoned to eight places."""


class SpecBook:
    """Symbol conditions by name, read once and refreshed by whoever has time."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._specs: dict[str, SymbolSpec] = {}

    def known(self, symbol: str) -> SymbolSpec | None:
        """The conditions last read, or None."""
        return self._specs.get(symbol)

    def all(self) -> Mapping[str, SymbolSpec]:
        """The conditions last read, by symbol."""
        return self._specs

    async def get(self, symbol: str) -> SymbolSpec:
        """The conditions last read, or read now. Raises BrokerError."""
        return self._specs.get(symbol) or await self.refresh(symbol)

    async def refresh(self, symbol: str) -> SymbolSpec:
        """Read the conditions now. Raises BrokerError; then the ones known before stay."""
        spec = await self._broker.symbol(symbol)
        if not all(abs(value) <= _MOST for value in astuple(spec) if isinstance(value, float)):
            raise BrokerError("symbol_info", -1, f"{symbol}: a condition that is not a number, or beyond all measure")
        if spec.point <= 0 or spec.volume_step < _LEAST_STEP:
            said = f"{symbol}: point {spec.point} and volume step {spec.volume_step}; both must be above 0"
            raise BrokerError("symbol_info", -1, said)
        self._specs[symbol] = spec
        return spec

    async def refresh_all(self, symbols: list[str]) -> list[BrokerError]:
        """Read the conditions of several symbols and return what went wrong."""
        errors: list[BrokerError] = []
        for symbol in symbols:
            try:
                await self.refresh(symbol)
            except BrokerError as error:
                errors.append(error)
        return errors
