"""What changed on the account between two looks: positions opened, grown, reduced, closed; stops and others' orders.

In: the positions and orders of consecutive valid readings, and deals that no reading has shown. Out: events that say
what and by whom. The broker is the truth: what it shows is recorded, whoever did it. Positions are known by their
identifier, which stays for their life, never by their ticket.
"""

import asyncio
import json
import logging
from collections.abc import Collection, Coroutine
from dataclasses import asdict
from typing import Any, Literal

from engine.broker.base import Broker, BrokerError, Deal, Order, Position, Side
from engine.broker.mt5 import DealEntry, DealType, OrderState, OrderType
from engine.events import Draft, EventType
from engine.evidence import net_volume
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
_ORDER_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_NOISE = 1e-9
_TOLD = 1000
"""How many closed positions are remembered, so that their deals are not taken for news."""
_MARKET_ORDERS = (OrderType.BUY, OrderType.SELL, OrderType.CLOSE_BY)


class PositionObserver:
    """Compares each valid reading with the one before, and the first one with what was there before a restart.

    `policy`: what positions of others are to this engine. Whoever is adopted is ours from then on.
    """

    KEY = "positions"
    """The journal's value that holds the positions last seen, so that a close while the engine was down is told."""

    def __init__(
        self,
        broker: Broker,
        recorder: Recorder,
        spawn: Spawn,
        stored: str | None,
        policy: Literal["watch", "adopt"] = "watch",
    ) -> None:
        self._broker = broker
        self._recorder = recorder
        self._spawn = spawn
        self._policy = policy
        self._seen = {item.identifier: item for item in _positions_from(stored)}
        self._missing: dict[int, Position] = {}
        """Gone from the list, and no deal says why yet: a terminal that has just started may not have them again."""
        self._told: dict[int, None] = {}
        self._orders: dict[int, Order] = {}
        self._orders_missing: set[int] = set()
        """Gone from the list of orders, and the history does not say yet how they ended."""
        self._telling: set[asyncio.Task[None]] = set()
        self._unstored = False
        self._storing: asyncio.Task[None] | None = None

    @property
    def known(self) -> frozenset[int]:
        """The identifiers of the positions last seen, by this run or the one before, and of those gone unexplained."""
        return frozenset(self._seen) | self._missing.keys()

    @property
    def known_orders(self) -> frozenset[int]:
        """The tickets of the orders of others last seen, and of those gone unexplained."""
        return frozenset(self._orders) | self._orders_missing

    def owner_of(self, magic: int) -> Literal["ours", "adopted", "foreign"]:
        """Whose a position or order with this magic number is."""
        if is_ours(magic):
            return "ours"
        return "adopted" if self._policy == "adopt" else "foreign"

    def observe(self, positions: tuple[Position, ...]) -> None:
        """Tell what opened, changed and closed since the last call."""
        now = {position.identifier: position for position in positions}
        before, self._seen = self._seen, now
        for identifier, position in now.items():
            known = before.get(identifier)
            if identifier in self._missing:
                del self._missing[identifier]
                _log.warning("position %s is in the list again", identifier)
            elif known is None:
                self._tell_opened(position)
            else:
                self._tell_changed(known, position)
        for identifier, position in before.items():
            if identifier not in now:
                self._missing[identifier] = position
                self._start(self._tell_closed(position))
        if {key: _lasting(item) for key, item in now.items()} != {key: _lasting(item) for key, item in before.items()}:
            self._unstored = True
            if self._storing is None or self._storing.done():
                self._storing = self._start(self._store())

    def _tell_opened(self, position: Position) -> None:
        owner = self.owner_of(position.magic)
        self._tell(EventType.POSITION_OPENED, position, price=position.price_open, sl=position.sl, tp=position.tp)
        if owner == "adopted" and not position.sl:
            self._tell(EventType.STOP_MISSING, position, said="an adopted position has no stop loss")

    def _tell_changed(self, before: Position, now: Position) -> None:
        if now.side is not before.side:
            self._tell(EventType.POSITION_GROWN, now, before=before.volume, said=f"reversed: it was a {before.side}")
        elif now.volume < before.volume - _NOISE:
            self._tell(EventType.POSITION_REDUCED, now, before=before.volume)
        elif now.volume > before.volume + _NOISE:
            self._tell(EventType.POSITION_GROWN, now, before=before.volume)
        if abs(now.sl - before.sl) > _NOISE or abs(now.tp - before.tp) > _NOISE:
            moved = {"sl": now.sl, "sl_before": before.sl, "tp": now.tp, "tp_before": before.tp}
            self._tell(EventType.STOP_CHANGED, now, **moved)

    def _tell(self, kind: EventType, position: Position, **details: Any) -> None:
        self._recorder.urgent_soon(
            kind,
            position=position.identifier,
            ticket=position.ticket,
            symbol=position.symbol,
            side=position.side,
            volume=position.volume,
            owner=self.owner_of(position.magic),
            **details,
        )

    def observe_orders(self, orders: tuple[Order, ...]) -> None:
        """Tell which standing orders of others came and went since the last call; ours are their signals' own story."""
        now = {order.ticket: order for order in orders if order.type not in _MARKET_ORDERS and not is_ours(order.magic)}
        before, self._orders = self._orders, now
        for ticket in sorted(now.keys() - before.keys()):
            if ticket in self._orders_missing:
                self._orders_missing.discard(ticket)
            else:
                self._tell_order(EventType.ORDER_APPEARED, now[ticket])
        for ticket in sorted(before.keys() - now.keys()):
            self._orders_missing.add(ticket)
            self._start(self._tell_order_gone(before[ticket]))

    async def _tell_order_gone(self, order: Order) -> None:
        """Tell how an order ended, once the history says so: a terminal that has just connected may not list it yet."""
        pauses = iter(_ORDER_PAUSES)
        while order.ticket in self._orders_missing:
            try:
                finished = await self._broker.finished_order(order.ticket)
            except BrokerError as error:
                _log.warning("order %s: %s", order.ticket, error)
                finished = None
            if finished is not None and order.ticket in self._orders_missing:
                self._orders_missing.discard(order.ticket)
                ended = {int(state): state.name.lower() for state in OrderState}.get(finished.state, finished.state)
                self._tell_order(EventType.ORDER_GONE, order, how=ended)
                return
            await asyncio.sleep(next(pauses, _ORDER_PAUSES[-1]))

    def _tell_order(self, kind: EventType, order: Order, **details: Any) -> None:
        self._recorder.urgent_soon(
            kind,
            **details,
            order=order.ticket,
            symbol=order.symbol,
            type=OrderType(order.type).name.lower() if order.type in set(OrderType) else str(order.type),
            volume=order.volume_current,
            price=order.price_open,
            owner=self.owner_of(order.magic),
        )

    def note_deals(self, deals: Collection[Deal]) -> None:
        """Tell the positions that were opened and closed between two looks: only their deals show them."""
        closing = {DealEntry.OUT, DealEntry.OUT_BY, DealEntry.INOUT}
        for identifier in sorted({deal.position_id for deal in deals if deal.entry in closing and deal.volume > 0}):
            if identifier in self._seen or identifier in self._missing or identifier in self._told:
                continue
            own = [deal for deal in deals if deal.position_id == identifier]
            opened = next((deal for deal in own if deal.entry == DealEntry.IN), None)
            if opened is None:
                # Its opening lies before what was looked at: it was seen, and told, by an earlier run.
                continue
            side = Side.BUY if opened.type == DealType.BUY else Side.SELL
            self._start(
                self._tell_closed_by(
                    own,
                    position=identifier,
                    ticket=identifier,
                    symbol=opened.symbol,
                    side=side,
                    volume=opened.volume,
                    owner=self.owner_of(opened.magic),
                    unseen=True,
                )
            )
            self._remember(identifier)

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = self._spawn(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
        return task

    async def _store(self) -> None:
        """Keep the newest positions; one at a time, so that an older list never lands behind a newer one."""
        while self._unstored:
            self._unstored = False
            try:
                await self._keep()
            except JournalError as error:
                _log.error("the positions seen are not durable: %s", error)

    async def _keep(self, *told: Draft) -> None:
        """Keep what is open, and what is gone and not told yet, with what is told now. Raises JournalError.

        Without those that are not told a close would be lost with an engine that is killed before it has its deals.
        """
        kept = [asdict(position) for position in (*self._seen.values(), *self._missing.values())]
        await self._recorder.journal.set_value(self._recorder.account, self.KEY, json.dumps(kept), *told)

    async def finished(self) -> None:
        """Wait until everything seen has been told; not for what the broker does not explain."""
        self._orders_missing.clear()
        if self._telling:
            await asyncio.gather(*self._telling)
        await self._recorder.drained()

    async def _tell_closed(self, position: Position) -> None:
        deals = await self._deals(position.identifier)
        if position.identifier not in self._missing:
            return
        del self._missing[position.identifier]
        self._remember(position.identifier)
        told = self._closed_by(
            deals,
            position=position.identifier,
            ticket=position.ticket,
            symbol=position.symbol,
            side=position.side,
            volume=position.volume,
            owner=self.owner_of(position.magic),
        )
        try:
            await self._keep(told)
        except JournalError:
            await self._recorder.urgent(told)

    async def _tell_closed_by(self, deals: Collection[Deal], **details: Any) -> None:
        await self._recorder.urgent(self._closed_by(deals, **details))

    def _closed_by(self, deals: Collection[Deal], **details: Any) -> Draft:
        closing = [deal for deal in deals if deal.entry != DealEntry.IN and deal.volume > 0]
        details["explained"] = bool(closing)
        if closing:
            volume = sum(deal.volume for deal in closing)
            details |= {
                "price": round(sum(deal.price * deal.volume for deal in closing) / volume, 8),
                "profit": round(sum(deal.profit for deal in closing), 8),
                "costs": round(sum(deal.commission + deal.swap + deal.fee for deal in deals), 8),
                "how": _DEAL_REASONS.get(closing[-1].reason, f"reason {closing[-1].reason}"),
            }
        return self._recorder.draft(EventType.POSITION_CLOSED, **details)

    def _remember(self, identifier: int) -> None:
        self._told[identifier] = None
        if len(self._told) > _TOLD:
            del self._told[next(iter(self._told))]

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
            if deals and abs(net_volume(deals)) < _NOISE:
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        return deals


def _lasting(position: Position) -> tuple[Any, ...]:
    """What of a position does not change with the price."""
    return (position.ticket, position.side, position.volume, position.sl, position.tp)


def _positions_from(stored: str | None) -> list[Position]:
    return [Position(**{**item, "side": Side(item["side"])}) for item in json.loads(stored or "[]")]
