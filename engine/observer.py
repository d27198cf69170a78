"""What changed on the account between two looks: positions opened, positions closed, and by whom.

In: the positions of consecutive valid readings. Out: events. The broker is the truth: what it shows is recorded,
whoever did it.
"""

import asyncio
import json
import logging
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Any

from engine.broker.base import Broker, BrokerError, Deal, Position, Side
from engine.events import EventType
from engine.journal import JournalError
from engine.recorder import Recorder, Spawn
from engine.signals import is_ours

_log = logging.getLogger(__name__)
_DEAL_REASONS = {
    0: "closed by hand",
    1: "closed by hand",
    2: "closed by hand",
    3: "closed by a program",
    4: "stop loss",
    5: "take profit",
    6: "stop out",
}
_TRIES = 60
_PAUSE_SECONDS = 0.5


class PositionObserver:
    """Compares each valid reading's positions with those before, and with those before a restart."""

    KEY = "positions"
    """The journal's value that holds the positions last seen, so that a close while the engine was down is told."""

    def __init__(self, broker: Broker, recorder: Recorder, spawn: Spawn, stored: str | None) -> None:
        self._broker = broker
        self._recorder = recorder
        self._spawn = spawn
        self._seen = {item.identifier: item for item in _positions_from(stored)}
        self._missing: set[int] = set()
        """Gone from the list, and no deal says why yet: a terminal that has just started may not have them again."""
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def known(self) -> frozenset[int]:
        """The identifiers of the positions last seen, by this run or the one before, and of those gone unexplained."""
        return frozenset(self._seen) | self._missing

    def observe(self, positions: tuple[Position, ...]) -> None:
        """Tell what opened and what closed since the last call."""
        now = {position.identifier: position for position in positions}
        before, self._seen = self._seen, now
        for identifier, position in now.items():
            if identifier in self._missing:
                self._missing.discard(identifier)
                _log.warning("position %s is in the list again", identifier)
            elif identifier not in before:
                self._tell_opened(position)
        for identifier, position in before.items():
            if identifier not in now:
                self._missing.add(identifier)
                self._start(self._tell_closed(position))
        if now.keys() != before.keys():
            self._start(self._store(positions))

    def _tell_opened(self, position: Position) -> None:
        self._recorder.urgent_soon(
            EventType.POSITION_OPENED,
            position=position.identifier,
            ticket=position.ticket,
            symbol=position.symbol,
            side=position.side,
            volume=position.volume,
            price=position.price_open,
            sl=position.sl,
            tp=position.tp,
            foreign=not is_ours(position.magic),
        )

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._spawn(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _store(self, positions: tuple[Position, ...]) -> None:
        stored = json.dumps([asdict(position) for position in positions])
        try:
            await self._recorder.journal.set_value(self._recorder.account, self.KEY, stored)
        except JournalError as error:
            _log.error("the positions seen are not durable: %s", error)

    async def finished(self) -> None:
        """Wait until everything seen has been told."""
        if self._telling:
            await asyncio.gather(*self._telling)
        await self._recorder.drained()

    async def _tell_closed(self, position: Position) -> None:
        deals = await self._deals(position.identifier)
        if position.identifier not in self._missing:
            return
        self._missing.discard(position.identifier)
        closing = [deal for deal in deals if deal.entry != 0 and deal.volume > 0]
        details: dict[str, object] = {"explained": bool(closing)}
        if closing:
            volume = sum(deal.volume for deal in closing)
            details |= {
                "price": round(sum(deal.price * deal.volume for deal in closing) / volume, 8),
                "profit": round(sum(deal.profit for deal in closing), 8),
                "costs": round(sum(deal.commission + deal.swap + deal.fee for deal in deals), 8),
                "how": _DEAL_REASONS.get(closing[-1].reason, f"reason {closing[-1].reason}"),
            }
        await self._recorder.urgent(
            self._recorder.draft(
                EventType.POSITION_CLOSED,
                position=position.identifier,
                ticket=position.ticket,
                symbol=position.symbol,
                side=position.side,
                volume=position.volume,
                foreign=not is_ours(position.magic),
                **details,
            )
        )

    async def _deals(self, identifier: int) -> tuple[Deal, ...]:
        """The position's deals, once they show that it was closed; they may come some time after it is gone.

        A position that comes back while they are waited for has not been closed.
        """
        deals: tuple[Deal, ...] = ()
        for _ in range(_TRIES):
            if identifier not in self._missing:
                break
            try:
                deals = await self._broker.deals_of_position(identifier)
            except BrokerError as error:
                _log.warning("deals of position %s: %s", identifier, error)
            if any(deal.entry != 0 for deal in deals):
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        return deals


def _positions_from(stored: str | None) -> list[Position]:
    return [Position(**{**item, "side": Side(item["side"])}) for item in json.loads(stored or "[]")]
