"""What a scoped close covers, and what a cancelled flatten leaves open. Values and predicates; no broker, no clock.

All, a symbol and a source are dynamic: whatever of them appears while the close runs is covered too. Losers, winners
and one position are a fixed set of identifiers, resolved when the close starts: one that followed the profit would
never end.
Keys are position identifiers, never tickets: on a netting account a ticket changes when the position turns round.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from engine.broker.base import Order, Position, Side
from engine.orders import VOLUME_EPSILON

SourceOf = Callable[[int], str]
"""The source of the signal that a magic number belongs to; "" for whatever is not ours."""


class ScopeKind(StrEnum):
    """How a scope says what it covers."""

    ALL = "all"
    SYMBOL = "symbol"
    SOURCE = "source"
    LOSERS = "losers"
    WINNERS = "winners"
    POSITION = "position"


@dataclass(frozen=True, slots=True)
class Held:
    """A position as it was seen: enough to know it again. Volume in lots."""

    identifier: int
    symbol: str
    side: Side
    volume: float


@dataclass(frozen=True, slots=True)
class Scope:
    """What one close covers. `held` are the positions of a fixed set; `part` is how many lots of the one to close."""

    kind: ScopeKind
    symbol: str = ""
    source: str = ""
    held: tuple[Held, ...] = ()
    part: float | None = None

    def __str__(self) -> str:
        """For people."""
        match self.kind:
            case ScopeKind.ALL:
                return "everything on the account"
            case ScopeKind.SYMBOL:
                return f"everything of {self.symbol}"
            case ScopeKind.SOURCE:
                return f"everything of source {self.source}"
            case ScopeKind.LOSERS | ScopeKind.WINNERS:
                return f"{len(self.held)} {'losing' if self.kind is ScopeKind.LOSERS else 'winning'} positions"
            case ScopeKind.POSITION:
                one = self.held[0]
                whole = f"position {one.identifier} {one.symbol} {one.side}"
                return f"{whole} {one.volume:g}" if self.part is None else f"{self.part:g} of {one.volume:g} of {whole}"

    @property
    def is_dynamic(self) -> bool:
        """Whether what appears later is covered too."""
        return self.kind in (ScopeKind.ALL, ScopeKind.SYMBOL, ScopeKind.SOURCE)

    def covers(self, position: Position, source_of: SourceOf) -> bool:
        """Whether a position belongs to it."""
        if self.kind is ScopeKind.ALL:
            return True
        if self.kind is ScopeKind.SYMBOL:
            return position.symbol == self.symbol
        if self.kind is ScopeKind.SOURCE:
            return source_of(position.magic) == self.source
        return any(one.identifier == position.identifier for one in self.held)

    def covers_order(self, order: Order, source_of: SourceOf) -> bool:
        """Whether a pending order belongs to it. A set of positions has none."""
        if self.kind is ScopeKind.ALL:
            return True
        if self.kind is ScopeKind.SYMBOL:
            return order.symbol == self.symbol
        return self.kind is ScopeKind.SOURCE and source_of(order.magic) == self.source

    def lots_of(self, position: Position, executed: float) -> float:
        """How many lots of a position that it covers are to be closed still; `executed` were closed for it already.

        Of a part never more than was asked for, and never more than leaves what was to stay. A position that has
        turned round is not the one that was seen: nothing of it is part of that part.
        """
        if self.part is None:
            return position.volume
        seen = self.held[0]
        if position.side is not seen.side:
            return 0.0
        lots = min(position.volume - (seen.volume - self.part), self.part - executed)
        return round(lots, 8) if lots > VOLUME_EPSILON else 0.0

    def blocks(self, symbol: str, source: str) -> bool:
        """Whether an entry would be in it. Of a fixed set the symbols count: on netting an entry changes a position."""
        if self.kind is ScopeKind.ALL:
            return True
        if self.kind is ScopeKind.SYMBOL:
            return symbol == self.symbol
        if self.kind is ScopeKind.SOURCE:
            return source == self.source
        return any(one.symbol == symbol for one in self.held)


def held(positions: Iterable[Position]) -> tuple[Held, ...]:
    """Positions as a fixed set."""
    return tuple(Held(item.identifier, item.symbol, item.side, item.volume) for item in positions)


def scope_to_json(scope: Scope) -> dict[str, Any]:
    """A scope as the journal keeps it."""
    rows = [[one.identifier, one.symbol, one.side.value, one.volume] for one in scope.held]
    return {"kind": scope.kind.value, "symbol": scope.symbol, "source": scope.source, "held": rows, "part": scope.part}


def scope_from_json(stored: Mapping[str, Any]) -> Scope:
    """The scope that `scope_to_json` wrote."""
    kept = _held_from_json(stored["held"])
    return Scope(ScopeKind(stored["kind"]), stored["symbol"], stored["source"], kept, stored["part"])


def _held_from_json(rows: Iterable[Any]) -> tuple[Held, ...]:
    return tuple(Held(identifier, symbol, Side(side), volume) for identifier, symbol, side, volume in rows)


@dataclass(frozen=True, slots=True)
class LeftOpen:
    """What an operator left open by cancelling a flatten: it is not closed again by itself while halted.

    A position that has grown or turned round since is not what was left.
    """

    positions: Mapping[int, Held] = field(default_factory=dict)
    orders: frozenset[int] = frozenset()

    @classmethod
    def of(cls, positions: Iterable[Position], orders: Iterable[Order]) -> "LeftOpen":
        """These, as they stand."""
        return cls({one.identifier: one for one in held(positions)}, frozenset(order.ticket for order in orders))

    def __bool__(self) -> bool:
        """Whether it is anything at all."""
        return bool(self.positions or self.orders)

    def beside_positions(self, positions: Iterable[Position]) -> tuple[Position, ...]:
        """The positions that were not left."""
        return tuple(item for item in positions if not self._was_left(item))

    def beside_orders(self, orders: Iterable[Order]) -> tuple[Order, ...]:
        """The orders that were not left."""
        return tuple(order for order in orders if order.ticket not in self.orders)

    def _was_left(self, position: Position) -> bool:
        one = self.positions.get(position.identifier)
        return one is not None and one.side is position.side and position.volume <= one.volume + VOLUME_EPSILON

    def to_json(self) -> dict[str, Any]:
        """As the journal keeps it."""
        rows = [[one.identifier, one.symbol, one.side.value, one.volume] for one in self.positions.values()]
        return {"positions": rows, "orders": sorted(self.orders)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "LeftOpen":
        """What `to_json` wrote."""
        rows = _held_from_json(stored["positions"])
        return cls({one.identifier: one for one in rows}, frozenset(stored["orders"]))


NOTHING_LEFT = LeftOpen()
