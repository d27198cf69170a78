"""A position's stop loss after a fill: read back, set at once if it is missing or different, the position closed if it
cannot be set.

In: a position's identifier and the stop it must have. Out: events; whether the position has its stop or is gone, False
while the terminal does not list it. It never waits for the journal.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from engine.broker.base import Broker, BrokerError, Position
from engine.events import EventType
from engine.evidence import net_volume
from engine.orders import closing_request, protection_request
from engine.outcomes import of_retcode
from engine.recorder import Recorder
from engine.signals import Intent
from engine.specs import SpecBook

STOP_SECONDS = 5.0
"""How long a position may be without the stop it must have before it is closed."""
_POLL_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 5.0
"""Between two tries to protect a position that the broker lets neither be protected nor closed."""


class Protector:
    """Sees to it that a position has its stop."""

    def __init__(self, broker: Broker, specs: SpecBook, recorder: Recorder, *, deviation_points: int) -> None:
        self._broker = broker
        self._specs = specs
        self._recorder = recorder
        self._clock = recorder.clock
        self._deviation = deviation_points
        self._unlisted: set[int] = set()

    async def protect(self, identifier: int, intent: Intent) -> bool:
        """Return True once the position has the intent's stop, or is gone, or was not opened by it.

        False when the terminal has not listed it for the time that it may be without its stop, and no deals say that it
        is closed: to be asked again, and then looked at once. Nothing is to be seen to when the intent has no stop, or
        when, on a netting account, it has met an opposite position that is still the other way round.
        """
        symbol, sl, tp = intent.symbol, intent.sl, intent.tp
        if not sl:
            return True
        deadline = self._clock.monotonic() + STOP_SECONDS
        pause, closes, said = _POLL_SECONDS, 0, ""
        while True:
            position = await self._position(identifier)
            late = self._clock.monotonic() >= deadline
            if position is None:
                # A fill may be seen in the deals long before the position list has it: only they say that it is gone.
                if await self._is_closed(identifier):
                    self._unlisted.discard(identifier)
                    return True
                if identifier in self._unlisted:
                    return False
                if late:
                    self._unlisted.add(identifier)
                    unseen = "it is not listed, and its deals do not say that it is closed"
                    self._recorder.urgent_soon(EventType.STOP_MISSING, position=identifier, symbol=symbol, said=unseen)
                    return False
                await asyncio.sleep(_POLL_SECONDS)
                continue
            self._unlisted.discard(identifier)
            if position.side is not intent.side or abs(position.sl - sl) < 1e-9:
                return True
            if not said:
                self._recorder.urgent_soon(
                    EventType.STOP_MISSING, position=identifier, symbol=symbol, sl=position.sl, right=sl
                )
            if late and said:
                spec = self._specs.known(position.symbol)
                answer = await self._order_quietly(closing_request(position, spec, self._deviation, closes))
                closes += 1
            else:
                answer = await self._order_quietly(protection_request(position, sl, tp))
            if answer != said:
                self._recorder.urgent_soon(EventType.STOP_MISSING, position=position.ticket, said=answer)
            said = answer
            left = deadline - self._clock.monotonic()
            await asyncio.sleep(min(pause, left) if left > 0 else pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _position(self, identifier: int) -> Position | None:
        """The position, or None when it is provably not there; waits while the broker does not answer."""
        while True:
            try:
                positions = await self._broker.positions()
            except BrokerError:
                await asyncio.sleep(_POLL_SECONDS)
                continue
            return next((item for item in positions if item.identifier == identifier), None)

    async def _is_closed(self, identifier: int) -> bool:
        try:
            deals = await self._broker.deals_of_position(identifier)
        except BrokerError:
            return False
        return bool(deals) and abs(net_volume(deals)) < 1e-9

    async def _order_quietly(self, request: Mapping[str, Any]) -> str:
        """Send what lowers risk and return what was answered; the position is looked at again in any case."""
        try:
            reply = await self._broker.send(request, epoch=None)
        except BrokerError as error:
            return str(error)
        return f"{reply.retcode} {of_retcode(reply.retcode).name}"
