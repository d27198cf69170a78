"""Closes and cancels a set of things at the broker: the one mechanism under the flatten and the scoped closes.

In: orders and positions as just seen, and on whose behalf. Out: requests, and a state per ticket that says what was
tried and answered. Each try has a fresh price, the symbol's filling mode, a wider deviation and a longer pause; a
market that is closed or a permission that is missing defers, and is tried again when it changes.

    a full close by ticket on a hedging account      safe to repeat: sent again at once
    part of a position, anything on netting          not: volume re-read immediately before the send, journalled, and
                                                     no second close of that position until the first is settled

None of this asks in which mode the engine is.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from engine.broker.base import Broker, BrokerError, Order, Position, Sweep
from engine.broker.mt5 import TradeAction
from engine.orders import VOLUME_EPSILON, closing_request
from engine.outcomes import DEFERRING_RETCODES, POSITION_CLOSED, Outcome, of_error, of_retcode
from engine.recorder import Recorder, Spawn
from engine.settling import Pending, Sent, Settling
from engine.signals import new_id
from engine.specs import SpecBook
from engine.tickets import Key, Purpose, TicketState, in_turn, name_of, oldest_of_each

LOOK_AGAIN_SECONDS = 0.2
CONFIRM_SECONDS = 1.0
"""Two empty looks must be at least this far apart."""
_BACK_OFF = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
_DEFERRED_BACK_OFF = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Longer: a permission that comes, quotes that move again, or an older position that is gone end it early."""
_STILL_SECONDS = 5.0
"""A quote that has not moved for so long stands still; when it moves again the market may have opened."""
_DEVIATION_POINTS = (20, 50, 100, 500)
"""The deviation allowed to a close, wider with each try."""
_STALL_SECONDS = 0.25
"""How long a close waits for its volume to be re-read, and the next one for its answer."""
_AT_ONCE = 2
"""Requests under way at once: one a gateway. One that hangs does not hold up the others."""
_TRADING_OFF = -8
"""The client library's error for AutoTrading switched off."""
_INVALID_FILL = 10030


@dataclass(slots=True)
class _Quote:
    price: tuple[float, float]
    moved_at: float
    woke_at: float = 0.0


@dataclass(slots=True)
class _Seen:
    """What the looks have shown, for telling when what deferred a close has changed."""

    permitted: bool = True
    permitted_at: float = 0.0
    quotes: dict[str, _Quote] = field(default_factory=dict)
    oldest: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By symbol the oldest position of the account, in the scope or not, and since when it is that."""


class Closer:
    """Closes what it is told to, for one account. Shared, so that two purposes know of each other's sends.

    `netting` says whether positions of a symbol are one; `fifo` that the oldest must be closed first. `server_time`
    gives the broker's clock in seconds as last quoted on a symbol, or None.
    """

    def __init__(
        self,
        broker: Broker,
        specs: SpecBook,
        recorder: Recorder,
        randomness: random.Random,
        *,
        account: tuple[int, str],
        netting: bool,
        fifo: bool,
        settle_seconds: float,
        part_settle_seconds: float,
        server_time: Callable[[str], int | None],
        spawn: Spawn,
    ) -> None:
        self._broker = broker
        self._specs = specs
        self._recorder = recorder
        self._clock = recorder.clock
        self._randomness = randomness
        self._account = account
        self._netting = netting
        self._fifo = fifo
        self._server_time = server_time
        self._spawn = spawn
        self._under_way: set[asyncio.Task[None]] = set()
        self._states: dict[Key, TicketState] = {}
        self._seen = _Seen()
        self.settling = Settling(
            broker,
            recorder,
            netting=netting,
            settle_seconds=settle_seconds,
            part_settle_seconds=part_settle_seconds,
        )

    # looking

    async def look(self) -> Sweep | None:
        """The account as it is now, with the quotes of what is deferred; None when the broker does not answer."""
        symbols = sorted({state.symbol for state in self._states.values() if state.deferred})
        try:
            look = await self._broker.sweep(symbols)
        except BrokerError:
            return None
        self._observe(look)
        return look

    def stranger(self, look: Sweep | None) -> str:
        """Says when another account answers, whose positions are not ours to close; "" otherwise."""
        account = look.account if look is not None else None
        if account is None or (account.login, account.server) == self._account:
            return ""
        login, server = self._account
        return f"another account answers: {account.login}@{account.server}, not {login}@{server}"

    async def settle(self, look: Sweep | None) -> None:
        """Look once for what became of each close whose effect has not been seen."""
        connected = look is not None and not self.stranger(look) and not unconnected(look)
        for identifier in await self.settling.step(connected=connected):
            state = self._states.get(("position", identifier))
            if state is not None:
                state.next_try = 0.0

    def _observe(self, look: Sweep) -> None:
        now, seen = self._clock.monotonic(), self._seen
        if look.account is not None and look.terminal is not None:
            permitted = look.terminal.trade_allowed and not look.terminal.tradeapi_disabled
            permitted = permitted and look.account.trade_allowed and look.account.trade_expert
            if permitted and not seen.permitted:
                seen.permitted_at = now
            seen.permitted = permitted
        for symbol, tick in look.ticks.items():
            price = (tick.bid, tick.ask)
            known = seen.quotes.get(symbol)
            if known is None:
                seen.quotes[symbol] = _Quote(price, now)
            elif price != known.price:
                woke = now if now - known.moved_at >= _STILL_SECONDS else known.woke_at
                seen.quotes[symbol] = _Quote(price, now, woke)
        for symbol, position in oldest_of_each(look.positions or ()).items():
            first, _ = seen.oldest.get(symbol, (0, 0.0))
            if first != position.identifier:
                seen.oldest[symbol] = (position.identifier, now if first else 0.0)

    # states

    def begin(self) -> None:
        """Forget earlier tries, so that everything is tried at once; not what is being sent."""
        self._states = {key: state for key, state in self._states.items() if state.sending}

    def end(self, purpose: str) -> None:
        """Forget what a purpose has tried."""
        self._states = {key: state for key, state in self._states.items() if state.purpose != purpose or state.sending}

    def note(self, identifier: int) -> str:
        """What is being done about a position, for its row on the screen; "" when nothing is."""
        state = self._states.get(("position", identifier))
        if state is None:
            return ""
        return f"closing, try {state.tries}: {state.said}" if state.said else f"closing, try {state.tries}"

    def remaining(self, orders: Iterable[Order], positions: Iterable[Position]) -> tuple[list[str], bool]:
        """What is left, each with what was tried and answered; and whether all of it is deferred."""
        positions = tuple(positions)
        oldest = oldest_of_each(positions) if self._fifo else {}
        left = [self._left(("order", item.ticket), name_of(item)) for item in orders]
        left += [
            self._left(("position", item.identifier), name_of(item), oldest.get(item.symbol)) for item in positions
        ]
        return [said for said, _ in left], bool(left) and all(deferred for _, deferred in left)

    def _left(self, key: Key, name: str, oldest: Position | None = None) -> tuple[str, bool]:
        """One thing that is left, in words, and whether it is deferred; `oldest` is what must be closed before it."""
        state = self._states.get(key)
        said = f"{name}: {state.words}" if state is not None and state.words else name
        if oldest is not None and key != ("position", oldest.identifier) and not (state is not None and state.sending):
            before = self._states.get(("position", oldest.identifier))
            if before is not None and before.deferred:
                # It is not tried until that one is closed, whatever it was answered when it was tried last.
                return f"{said}, waits for {name_of(oldest)}", True
        return said, state is not None and state.deferred

    # acting

    async def act(self, orders: Sequence[Order], positions: Sequence[Position], purpose: Purpose) -> None:
        """Try each once whose time has come: orders first, then positions, worst loss first.

        A request that is not answered within a quarter of a second is waited for beside the next one.
        """
        for order in orders:
            if not purpose.proceed():
                return
            await self._begin(("order", order.ticket), order.symbol, purpose, partial(self._cancel, order))
        held_up: set[str] = set()
        for position in in_turn(positions, fifo=self._fifo):
            if not purpose.proceed():
                return
            if position.symbol in held_up:
                continue
            closed = purpose.tally.closed
            key = ("position", position.identifier)
            await self._begin(key, position.symbol, purpose, partial(self._close, position))
            if self._fifo and purpose.tally.closed == closed:
                held_up.add(position.symbol)

    def unanswered(self) -> list[str]:
        """The requests whose answer is still waited for, in words."""
        return [f"the answer to a request for {kind} {name}" for (kind, name), s in self._states.items() if s.sending]

    def stop(self) -> None:
        """Wait for no answer any more, as at the engine's end."""
        for task in self._under_way:
            task.cancel()

    async def _begin(
        self, key: Key, symbol: str, purpose: Purpose, work: Callable[[TicketState, Purpose], Coroutine[Any, Any, None]]
    ) -> None:
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = TicketState(purpose.id, symbol)
        if state.sending or not self._due(state):
            return
        state.purpose, state.sending = purpose.id, True
        while len(self._under_way) >= _AT_ONCE:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        task = self._spawn(self._finish(state, partial(work, state, purpose)))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        await asyncio.wait({task}, timeout=_STALL_SECONDS)

    @staticmethod
    async def _finish(state: TicketState, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        finally:
            state.sending = False

    def _due(self, state: TicketState) -> bool:
        if self._clock.monotonic() >= state.next_try:
            return True
        quote = self._seen.quotes.get(state.symbol)
        woke_at = quote.woke_at if quote is not None else 0.0
        _, first_since = self._seen.oldest.get(state.symbol, (0, 0.0)) if self._fifo else (0, 0.0)
        return state.deferred and max(self._seen.permitted_at, woke_at, first_since) > state.tried_at

    async def _cancel(self, order: Order, state: TicketState, purpose: Purpose) -> None:
        request = {"action": int(TradeAction.REMOVE), "order": order.ticket}
        done = await self._send(request, name_of(order), order.ticket, state, purpose)
        purpose.tally.cancelled += done is Outcome.DONE

    async def _close(self, position: Position, state: TicketState, purpose: Purpose) -> None:
        if self._netting or purpose.part:
            await self._close_once(position, state, purpose)
            return
        request = await self._request(position, position.volume, state)
        done = await self._send(request, name_of(position), position.ticket, state, purpose)
        purpose.tally.closed += done is Outcome.DONE and request["volume"] == position.volume

    async def _close_once(self, position: Position, state: TicketState, purpose: Purpose) -> None:
        """A close that must not be repeated: of the volume that is there now, and none before the last is settled."""
        if self.settling.holds(position.identifier):
            return
        now = await self._reread(position, state)
        lots = purpose.lots(now) if now is not None else 0.0
        if now is None or lots <= VOLUME_EPSILON or not purpose.proceed():
            return
        request = await self._request(now, lots, state)
        pending = await self._announce(now, request["volume"], purpose)
        request |= {"magic": pending.sent.magic, "comment": pending.sent.comment}
        outcome = await self._send(request, name_of(now), now.ticket, state, purpose)
        self.settling.answered(pending, outcome)
        purpose.tally.closed += outcome is Outcome.DONE and request["volume"] == now.volume

    async def _announce(self, position: Position, lots: float, purpose: Purpose) -> Pending:
        """Have the journal know of it first; waits at most 50 ms, since it lowers risk."""
        server_time = self._server_time(position.symbol) or position.time_msc // 1000
        sent = Sent(
            id=new_id(self._randomness),
            purpose=purpose.id,
            position=position.identifier,
            symbol=position.symbol,
            side=position.side,
            volume=lots,
            held=position.volume,
            server_time=server_time,
            part=purpose.part,
        )
        return await self.settling.announce(sent)

    async def _reread(self, position: Position, state: TicketState) -> Position | None:
        """The position as it is now; None when it is gone, or when that cannot be known.

        While reads hang, the first close of a position rests on the look that it was begun with; no later one does.
        """
        try:
            async with asyncio.timeout(_STALL_SECONDS):
                positions = await self._broker.positions()
        except (BrokerError, TimeoutError):
            if not state.tries:
                return position
            self._put_off(state, state.said or "its volume cannot be read now", deferred=False)
            return None
        return next((item for item in positions if item.identifier == position.identifier), None)

    async def _request(self, position: Position, lots: float, state: TicketState) -> dict[str, Any]:
        spec = self._specs.known(position.symbol)
        if spec is None or state.said:
            # Conditions that cannot be read are no reason to leave a position open.
            with suppress(BrokerError):
                spec = await self._specs.refresh(position.symbol)
        deviation = _DEVIATION_POINTS[min(state.tries, len(_DEVIATION_POINTS) - 1)]
        return closing_request(
            position, spec, deviation, state.tries, lots=lots, any_filling=state.any_filling, magic=position.magic
        )

    async def _send(
        self, request: Mapping[str, Any], name: str, ticket: int, state: TicketState, purpose: Purpose
    ) -> Outcome:
        """Send one close or cancel. A position that the broker says is closed already is DONE."""
        state.tries += 1
        state.tried_at = self._clock.monotonic()
        try:
            reply = await self._broker.send(request, epoch=None)
        except BrokerError as error:
            outcome = of_error(error)
            self._put_off(state, f"{outcome}: {error}", deferred=error.code == _TRADING_OFF)
            return outcome
        meaning = of_retcode(reply.retcode)
        outcome = Outcome.DONE if reply.retcode == POSITION_CLOSED else meaning.outcome
        said = f"{reply.retcode} {meaning.name}" + (f" ({reply.comment})" if reply.comment else "")
        news = outcome is Outcome.DONE or said != state.said
        if outcome is not Outcome.DONE:
            state.any_filling = state.any_filling or reply.retcode == _INVALID_FILL
            self._put_off(state, said, deferred=reply.retcode in DEFERRING_RETCODES)
        if news:
            # The same refusal every few seconds, over a weekend, would fill the disk.
            self._recorder.urgent_soon(
                purpose.progress,
                id=purpose.id,
                ticket=ticket,
                what=name,
                done=outcome is Outcome.DONE,
                tries=state.tries,
                said=said,
            )
        return outcome

    def _put_off(self, state: TicketState, said: str, *, deferred: bool) -> None:
        state.said = said
        state.deferred = deferred
        pauses = _DEFERRED_BACK_OFF if deferred else _BACK_OFF
        state.next_try = self._clock.monotonic() + pauses[min(state.tries, len(pauses) - 1)]


def unconnected(look: Sweep) -> str:
    """Why what a look shows may be from before; "" when it is of now."""
    if look.account is None or look.terminal is None or not look.terminal.connected:
        return "the terminal is not connected to its broker"
    return ""
