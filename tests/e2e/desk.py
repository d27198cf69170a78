"""An operator who never rests: proposes, approves, cancels, pauses, flattens, all drawn from a seed.

In: a control client and a source of draws. Out: commands. What the engine refuses is no failure here, since it is asked
for anything at any time; an engine that is gone is the caller's to wait for.
"""

import random
from typing import Literal

from engine.control import messages as wire
from engine.control.client import ControlClient

_STOP_POINTS = (300, 1000, 4000)
"""Near enough that the market reaches some, too far for the spread to matter."""
_ORDER_POINTS = (11, 40)
"""How far from the price limit and stop orders stand; the market's symbols ask for 10."""
MANY_POSITIONS = 25


class Desk:
    """One operator. `done` counts the commands that were accepted, by kind."""

    def __init__(self, client: ControlClient, draws: random.Random) -> None:
        self._client = client
        self._draws = draws
        self.done: dict[str, int] = {}
        self.refused: dict[str, int] = {}

    async def send(self, action: wire.Action, reason: str = "as drawn") -> wire.CommandResult:
        """Ask the engine to act. Raises EngineUnreachable when it is gone; what was asked may then have been done."""
        result = await self._client.send(action, reason)
        counts = self.done if result.accepted else self.refused
        counts[action.kind] = counts.get(action.kind, 0) + 1
        return result

    async def act(self) -> None:
        """Do any one thing that fits how the engine stands."""
        seen = await self._client.snapshot()
        await self.settle(seen)
        draw = self._draws.random()
        match seen.engine.mode:
            case "HALTED" | "PAUSED":
                if draw < 0.7:
                    await self.begin(seen)
            case "RUNNING" if draw < 0.03 or len(seen.positions) >= MANY_POSITIONS:
                await self.send(wire.Flatten())
            case "RUNNING" if draw < 0.08:
                await self.send(wire.Pause())
            case "RUNNING" if draw < 0.25:
                await self._decide_again(seen)
            case "RUNNING":
                await self.trade(seen)

    async def settle(self, seen: wire.Snapshot) -> None:
        """Say of every unknown outcome that it is absent: refused until the engine presumes it."""
        for signal in seen.signals:
            if signal.state == "UNKNOWN":
                await self.send(wire.Reject(signal=signal.id, version=signal.version))

    async def begin(self, seen: wire.Snapshot) -> None:
        """Let entries through again."""
        if seen.engine.mode == "HALTED" and not (await self.send(wire.Reset())).accepted:
            return
        if seen.engine.mode in ("HALTED", "PAUSED"):
            await self.send(wire.Resume())

    async def _decide_again(self, seen: wire.Snapshot) -> None:
        """Decide on something that waits or stands: also what another decision, or a lost answer, was about."""
        if not seen.signals:
            return
        signal = self._draws.choice(seen.signals)
        if signal.state == "WORKING":
            await self.send(wire.Cancel(signal=signal.id, version=signal.version))
        elif self._draws.random() < 0.7:
            await self.send(wire.Approve(signal=signal.id, version=signal.version))
        else:
            await self.send(wire.Reject(signal=signal.id, version=signal.version))

    async def trade(self, seen: wire.Snapshot | None = None) -> str | None:
        """Propose a trade and approve it at once. Returns the signal if both were accepted."""
        seen = seen or await self._client.snapshot()
        doubtful = {signal.symbol for signal in seen.signals if signal.state == "UNKNOWN"}
        if self._draws.random() < 0.1:
            # Now and then it is tried there all the same.
            doubtful.clear()
        markets = [market for market in seen.markets if market.symbol not in doubtful]
        if not markets:
            return None
        proposed = await self.send(self._proposal(self._draws.choice(markets)))
        if not proposed.accepted:
            return None
        signal = str(proposed.data["signal"])
        if self._draws.random() < 0.05:
            return None
        approved = await self.send(wire.Approve(signal=signal, version=1))
        return signal if approved.accepted else None

    def _proposal(self, market: wire.MarketView) -> wire.AddSignal:
        draws = self._draws
        side: Literal["buy", "sell"] = draws.choice(("buy", "sell"))
        kind: wire.OrderType = draws.choice(("market", "market", "market", "limit", "stop"))
        sign = 1 if side == "buy" else -1
        point = 10.0**-market.digits
        price = market.ask if side == "buy" else market.bid
        if kind != "market":
            price += (-sign if kind == "limit" else sign) * draws.randint(*_ORDER_POINTS) * point
        distance = draws.choice(_STOP_POINTS) * point
        return wire.AddSignal(
            symbol=market.symbol,
            side=side,
            type=kind,
            volume=draws.randint(1, 20) / 100,
            entry=None if kind == "market" else round(price, market.digits),
            sl=round(price - sign * distance, market.digits),
            tp=round(price + sign * 2 * distance, market.digits),
            expires_seconds=draws.choice((3, 20, 120)),
            source="desk",
        )
