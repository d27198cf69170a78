"""Closes everything on the account and proves it.

    look at the broker -> cancel pending orders -> close positions, worst loss first -> look again, until nothing is
    left -> look once more after a second -> flat only if every proof holds -> report

In: a reason, and the last look at the account so that the first close goes out at once. Out: events and a report that
ends with "flat, confirmed by the broker at TIME", never before. None from the broker is never read as empty, and
nothing here asks in which mode the engine is.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from engine.broker.base import Broker, BrokerError, Order, Position, Sweep
from engine.broker.mt5 import TradeAction
from engine.clock import iso
from engine.events import EventType
from engine.orders import closing_request
from engine.outcomes import DEFERRING_RETCODES, POSITION_CLOSED, Outcome, of_error, of_retcode
from engine.recorder import Recorder
from engine.specs import SpecBook

CONFIRM_SECONDS = 1.0
"""Two empty looks must be at least this far apart."""
_BACK_OFF = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
_DEVIATION_POINTS = (20, 50, 100, 500)
"""The deviation allowed to a close, wider with each try."""
_LOOK_AGAIN_SECONDS = 0.2


class FlattenState(StrEnum):
    """How a flatten stands."""

    RUNNING = "RUNNING"
    DEFERRED = "DEFERRED"
    """Nothing can be closed now (market closed, trading not allowed): it is tried again."""
    FLAT = "FLAT"


@dataclass(slots=True)
class TicketState:
    """What has been tried on one position or order. `next_try` in monotonic seconds."""

    tries: int = 0
    next_try: float = 0.0
    said: str = ""
    deferred: bool = False


@dataclass(slots=True)
class FlattenReport:
    """The running or last flatten, for the snapshot and the journal. Times in UTC."""

    id: str
    reason: str
    started_at: datetime
    state: FlattenState = FlattenState.RUNNING
    finished_at: datetime | None = None
    positions_closed: int = 0
    orders_cancelled: int = 0
    remaining: list[str] = field(default_factory=list)
    statement: str = ""


class Flattener:
    """Runs one whole-account flatten at a time."""

    def __init__(
        self,
        broker: Broker,
        specs: SpecBook,
        recorder: Recorder,
        *,
        account: tuple[int, str],
        unresolved: Callable[[], list[str]],
        presumed_absent: Callable[[], list[str]],
    ) -> None:
        self._broker = broker
        self._specs = specs
        self._recorder = recorder
        self._clock = recorder.clock
        self._account = account
        self._unresolved = unresolved
        self._presumed_absent = presumed_absent
        self._tickets: dict[int, TicketState] = {}
        self._identifiers: set[int] = set()
        self.report: FlattenReport | None = None

    def note(self, ticket: int) -> str:
        """What is being done about a position, for its row on the screen; "" when nothing is."""
        state = self._tickets.get(ticket)
        if state is None or self.report is None or self.report.state is FlattenState.FLAT:
            return ""
        return f"closing, try {state.tries}: {state.said}" if state.said else f"closing, try {state.tries}"

    def begin(self, flatten_id: str, reason: str, known: Iterable[int]) -> FlattenReport:
        """Open the report of a new flatten; `run` does the work.

        `known` are the identifiers of the positions last seen: their closing deals are part of the proof.
        """
        self._tickets.clear()
        self._identifiers = set(known)
        self.report = FlattenReport(flatten_id, reason, self._clock.utc())
        return self.report

    async def run(self, report: FlattenReport, first_look: Sweep | None) -> FlattenReport:
        """Close everything and return the report once the account is proven flat. Goes on for as long as that takes."""
        self._recorder.urgent_soon(EventType.FLATTEN_STARTED, id=report.id, reason=report.reason)
        look = first_look or await self._look()
        empty_since: float | None = None
        while True:
            stranger = self._stranger(look)
            if look is None or stranger:
                empty_since = None
                report.remaining = [stranger or "the broker does not answer: what is open cannot be known"]
            elif look.positions or look.orders:
                # What can be read is closed, also when the other list cannot be read.
                empty_since = None
                await self._act(look.orders or (), look.positions or (), report)
                self._describe(look.orders or (), look.positions or (), report)
            elif look.positions is None or look.orders is None:
                empty_since = None
                unread = "positions" if look.positions is None else "orders"
                report.remaining = [f"the {unread} cannot be read: what is open cannot be known"]
            else:
                doubt = self._doubt(look)
                now = self._clock.monotonic()
                empty_since = None if doubt else now if empty_since is None else empty_since
                report.remaining = [doubt] if doubt else []
                if empty_since is not None and now - empty_since >= CONFIRM_SECONDS and await self._proven(report):
                    break
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            look = await self._look()
        await self._finish(report)
        return report

    def _stranger(self, look: Sweep | None) -> str:
        """Says when another account answers, whose positions are not ours to close; "" otherwise."""
        account = look.account if look is not None else None
        if account is None or (account.login, account.server) == self._account:
            return ""
        login, server = self._account
        return f"another account answers: {account.login}@{account.server}, not {login}@{server}"

    async def _look(self) -> Sweep | None:
        try:
            return await self._broker.sweep(())
        except BrokerError:
            return None

    async def _act(self, orders: tuple[Order, ...], positions: tuple[Position, ...], report: FlattenReport) -> None:
        for order in orders:
            if await self._cancel(order):
                report.orders_cancelled += 1
        for position in sorted(positions, key=lambda item: item.profit + item.swap):
            self._identifiers.add(position.identifier)
            if await self._close(position):
                report.positions_closed += 1

    async def _cancel(self, order: Order) -> bool:
        request = {"action": int(TradeAction.REMOVE), "order": order.ticket}
        return await self._try(order.ticket, f"order {order.ticket} {order.symbol}", request)

    async def _close(self, position: Position) -> bool:
        name = f"position {position.ticket} {position.symbol} {position.side} {position.volume}"
        state = self._tickets.setdefault(position.ticket, TicketState())
        if self._clock.monotonic() < state.next_try:
            return False
        spec = self._specs.known(position.symbol)
        if spec is None or state.said:
            # Conditions that cannot be read are no reason to leave a position open.
            with suppress(BrokerError):
                spec = await self._specs.refresh(position.symbol)
        deviation = _DEVIATION_POINTS[min(state.tries, len(_DEVIATION_POINTS) - 1)]
        request = closing_request(position, spec, deviation, state.tries)
        return await self._try(position.ticket, name, request) and request["volume"] == position.volume

    async def _try(self, ticket: int, name: str, request: Mapping[str, Any]) -> bool:
        """Send one close or cancel if its time has come. True when the broker says it is done."""
        state = self._tickets.setdefault(ticket, TicketState())
        if self._clock.monotonic() < state.next_try:
            return False
        state.tries += 1
        try:
            reply = await self._broker.send(request, epoch=None)
        except BrokerError as error:
            self._put_off(state, f"{of_error(error)}: {error}", deferred=error.code == -8)
            return False
        meaning = of_retcode(reply.retcode)
        done = meaning.outcome is Outcome.DONE or reply.retcode == POSITION_CLOSED
        said = f"{reply.retcode} {meaning.name}" + (f" ({reply.comment})" if reply.comment else "")
        news = done or said != state.said
        if not done:
            self._put_off(state, said, deferred=reply.retcode in DEFERRING_RETCODES)
        if news:
            # The same refusal every few seconds, over a weekend, would fill the disk.
            self._recorder.urgent_soon(
                EventType.FLATTEN_PROGRESS, ticket=ticket, what=name, done=done, tries=state.tries, said=said
            )
        return done

    def _put_off(self, state: TicketState, said: str, *, deferred: bool) -> None:
        state.said = said
        state.deferred = deferred
        pause = _BACK_OFF[min(state.tries, len(_BACK_OFF) - 1)]
        state.next_try = self._clock.monotonic() + pause

    def _describe(self, orders: tuple[Order, ...], positions: tuple[Position, ...], report: FlattenReport) -> None:
        left = [(item.ticket, f"order {item.ticket} {item.symbol}") for item in orders]
        left += [(item.ticket, f"position {item.ticket} {item.symbol} {item.side} {item.volume}") for item in positions]
        states = [self._tickets.get(ticket, TicketState()) for ticket, _ in left]
        report.remaining = [
            f"{name}: {state.said}" if state.said else name for (_, name), state in zip(left, states, strict=True)
        ]
        was = report.state
        report.state = FlattenState.DEFERRED if all(item.deferred for item in states) else FlattenState.RUNNING
        if report.state is FlattenState.DEFERRED and was is not FlattenState.DEFERRED:
            self._recorder.urgent_soon(EventType.FLATTEN_DEFERRED, id=report.id, remaining=report.remaining)

    def _doubt(self, look: Sweep) -> str:
        """Why an empty look does not count as empty; "" when it does."""
        account, terminal = look.account, look.terminal
        if account is None or terminal is None or not terminal.connected:
            return "empty now, but the terminal is not connected to its broker"
        if account.margin != 0:
            return f"empty now, but margin {account.margin} is still in use"
        # Written so that a number that is none is a doubt too.
        if not abs(account.equity - account.balance - account.credit) <= 1.5 * 10.0**-account.currency_digits:
            return f"empty now, but equity {account.equity} is not balance {account.balance} + credit {account.credit}"
        if account.equity == 0 and account.balance == 0 and not self._identifiers:
            return "empty now, but balance and equity are both 0, as after a reconnect"
        return ""

    async def _proven(self, report: FlattenReport) -> bool:
        """Whether everything that was ever sent or seen is accounted for; says in the report what is not."""
        report.remaining = missing = [f"empty now, {name} unresolved" for name in self._unresolved()]
        for identifier in sorted(self._identifiers):
            try:
                deals = await self._broker.deals_of_position(identifier)
            except BrokerError as error:
                missing.append(f"deals of position {identifier} cannot be read: {error}")
                continue
            opened = sum(deal.volume for deal in deals if deal.entry == 0)
            closed = sum(deal.volume for deal in deals if deal.entry != 0)
            if not deals or abs(opened - closed) > 1e-9:
                missing.append(
                    f"position {identifier} is gone but its deals do not close it ({closed} of {opened} lots)"
                )
        return not missing

    async def _finish(self, report: FlattenReport) -> None:
        report.finished_at = self._clock.utc()
        report.state = FlattenState.FLAT
        absent = self._presumed_absent()
        doubt = f"; presumed absent, for the operator to settle: {', '.join(absent)}" if absent else ""
        report.statement = f"flat, confirmed by the broker at {report.finished_at:%H:%M:%S} UTC{doubt}"
        await self._recorder.urgent(
            self._recorder.draft(
                EventType.FLATTEN_FINISHED,
                id=report.id,
                reason=report.reason,
                statement=report.statement,
                positions_closed=report.positions_closed,
                orders_cancelled=report.orders_cancelled,
                confirmed_at=iso(report.finished_at),
            )
        )
