"""A demonstration strategy, so that a fresh paper account has something to decide. Only ever on the paper terminal.

It follows short moves: when the price stands clear of its recent mean it proposes a trade that way, with the stop a few
spreads behind and the target twice as far. It is not meant to make money.
"""

import random
from collections import deque

from engine.account import AccountEngine
from engine.broker.base import Side, SymbolSpec, Tick
from engine.broker.mt5 import floor_volume, round_price
from engine.intake.proposals import Proposal
from engine.orders import entry_price

_HISTORY = 240
_ENOUGH = 8
_FIRST_SECONDS = 2.0
_PAUSE_SECONDS = (12.0, 40.0)
_LIFE_SECONDS = (90.0, 300.0)
_RISK_SHARE = (0.002, 0.008)
"""The share of equity that a proposal puts at risk at its stop."""
_MOST_PENDING = 4


class DemoStrategy:
    """Proposes a trade now and then. Times in seconds of the engine's monotonic clock."""

    def __init__(self, randomness: random.Random) -> None:
        self._randomness = randomness
        self._middles: dict[str, deque[float]] = {}
        self._due: float | None = None

    def __call__(self, engine: AccountEngine) -> list[Proposal]:
        """Look at the quotes now; at most one proposal."""
        now = engine.clock.monotonic()
        if self._due is None:
            self._due = now + _FIRST_SECONDS
        for symbol, quote in engine.cycle.quotes.items():
            middles = self._middles.setdefault(symbol, deque(maxlen=_HISTORY))
            middles.append((quote.tick.bid + quote.tick.ask) / 2)
        ready = sorted(symbol for symbol, middles in self._middles.items() if len(middles) >= _ENOUGH)
        if now < self._due or not ready or len(engine.book.pending()) >= _MOST_PENDING or engine.market_finished():
            return []
        symbol = self._randomness.choice(ready)
        spec = engine.specs.known(symbol)
        if spec is None:
            return []
        self._due = now + self._randomness.uniform(*_PAUSE_SECONDS)
        proposal = self._propose(spec, engine.cycle.quotes[symbol].tick, engine.cycle.guard.state.equity)
        return [proposal] if proposal is not None else []

    def _propose(self, spec: SymbolSpec, tick: Tick, equity: float) -> Proposal | None:
        middles = self._middles[spec.name]
        mean = sum(middles) / len(middles)
        above = middles[-1] >= mean
        side = Side.BUY if above else Side.SELL
        entry = entry_price(side, tick)
        spread = max(tick.ask - tick.bid, spec.point)
        distance = max(
            8 * spread, 3 * (max(middles) - min(middles)), 2 * spec.stops_level * spec.point, 60 * spec.point
        )
        if spec.tick_value_loss <= 0:
            return None
        loss_per_lot = distance / spec.tick_size * spec.tick_value_loss
        wanted = equity * self._randomness.uniform(*_RISK_SHARE) / loss_per_lot
        volume = min(max(floor_volume(spec, wanted), spec.volume_min), spec.volume_max)
        return Proposal(
            symbol=spec.name,
            side=side,
            volume=volume,
            entry=entry,
            sl=round_price(spec, entry - side.sign * distance),
            tp=round_price(spec, entry + side.sign * 2 * distance),
            source="demo",
            expires_seconds=round(self._randomness.uniform(*_LIFE_SECONDS)),
            note=f"price {'above' if above else 'below'} the mean of its last {len(middles)} looks",
        )
