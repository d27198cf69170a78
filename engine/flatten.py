"""Closes everything on the account and proves it.

    look at the broker -> cancel pending orders -> close positions, worst loss first -> look again, until nothing is
    left -> hold it flat for a time, closing what refills -> flat only if every proof holds -> report

In: a reason, and the last look at the account so that the first close goes out at once. Out: events and a report that
ends with "flat, confirmed by the broker at TIME", never before, or, when the operator cancels it while nothing can be
closed, with what is left. None from the broker is never read as empty, and nothing here asks in which mode the engine
is. How a thing is closed is closing.py's.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from engine.broker.base import Broker, BrokerError, Sweep
from engine.clock import iso
from engine.closework import CloseWork, WorkState, act, go_round
from engine.closing import CONFIRM_SECONDS, Closer, unconnected
from engine.events import Draft, EventType
from engine.recorder import Recorder
from engine.scope import NOTHING_LEFT, LeftOpen
from engine.settling import unexplained
from engine.tickets import Purpose


@dataclass(slots=True)
class FlattenReport(CloseWork):
    """The running or last flatten, for the snapshot and the journal."""

    leave: LeftOpen = NOTHING_LEFT
    """What an operator left open before: it is not closed."""
    cancelled_by: str = ""
    """Who has cancelled it, and why: it ends with what is left."""


class Flattener:
    """Runs one whole-account flatten at a time."""

    def __init__(
        self,
        broker: Broker,
        closer: Closer,
        recorder: Recorder,
        *,
        hold_seconds: float,
        unresolved: Callable[[], list[str]],
        presumed_absent: Callable[[], list[str]],
    ) -> None:
        self._broker = broker
        self._closer = closer
        self._recorder = recorder
        self._clock = recorder.clock
        self._hold_seconds = max(hold_seconds, CONFIRM_SECONDS)
        self._unresolved = unresolved
        self._presumed_absent = presumed_absent
        self._identifiers: set[int] = set()
        self._orders: set[int] = set()
        self._missing: list[str] = []
        """What the last try at a proof has not found: shown until the next one."""
        self._last: Sweep | None = None
        self.report: FlattenReport | None = None

    def begin(
        self, flatten_id: str, reason: str, known: Iterable[int], orders: Iterable[int], leave: LeftOpen
    ) -> FlattenReport:
        """Open the report of a new flatten; `run` does the work.

        `known` are the identifiers of the positions last seen, `orders` the tickets of the orders: how they ended is
        part of the proof. `leave` is not closed.
        """
        self._closer.begin()
        self._orders = set(orders) - set(leave.orders)
        self._missing = []
        self._identifiers = set(known) - set(leave.positions)
        self._last = None
        self.report = FlattenReport(flatten_id, reason, self._clock.utc(), leave=leave)
        return self.report

    async def run(self, report: FlattenReport, first_look: Sweep | None) -> FlattenReport:
        """Close everything and return the report once the account is proven flat, or the operator has cancelled it.

        Goes on for as long as that takes.
        """
        self._recorder.urgent_soon(EventType.FLATTEN_STARTED, id=report.id, reason=report.reason)
        purpose = Purpose(report.id, EventType.FLATTEN_PROGRESS, lambda: not report.cancelled_by)
        proven = await go_round(
            report,
            self._closer,
            self._clock,
            purpose,
            first_look=first_look,
            hold_seconds=self._hold_seconds,
            once=lambda look: self._once(look, report, purpose),
            proven=lambda look: self._proven(look, report),
        )
        if proven is not None:
            await self._finish(report)
        else:
            self._cancelled(report)
        return report

    def cancel(self, said: str) -> None:
        """Have a deferred flatten end with what is left; `said` is who wants it and why."""
        if self.report is None or self.report.state is not WorkState.DEFERRED:
            raise ValueError("no flatten is DEFERRED")
        self.report.cancelled_by = said

    def left(self) -> LeftOpen:
        """What was open when the flatten was cancelled, as last seen."""
        look = self._last
        return LeftOpen.of(look.positions or (), look.orders or ()) if look is not None else NOTHING_LEFT

    def cancellation(self, report: FlattenReport) -> tuple[Draft, Draft]:
        """The records of a cancelled flatten: that it was, and what is left open."""
        return (
            self._recorder.draft(EventType.FLATTEN_CANCELLED, id=report.id, statement=report.statement),
            self._recorder.draft(EventType.LEFT_OPEN, **self.left().to_json()),
        )

    async def _once(self, look: Sweep | None, report: FlattenReport, purpose: Purpose) -> bool:
        """Act on one look. Whether it shows, beyond doubt, that nothing is there."""
        report.positions_closed, report.orders_cancelled = purpose.tally.closed, purpose.tally.cancelled
        stranger = self._closer.stranger(look)
        if look is None or stranger:
            report.remaining = [stranger or "the broker does not answer: what is open cannot be known"]
            return False
        self._remember(look)
        orders = report.leave.beside_orders(look.orders or ())
        positions = report.leave.beside_positions(look.positions or ())
        if positions or orders:
            # What can be read is closed, also when the other list cannot be read.
            self._identifiers |= {item.identifier for item in positions}
            self._orders |= {item.ticket for item in orders}
            if await act(report, self._closer, purpose, orders, positions):
                self._recorder.urgent_soon(EventType.FLATTEN_DEFERRED, id=report.id, remaining=report.remaining)
            return False
        report.become(WorkState.RUNNING)
        if look.positions is None or look.orders is None:
            unread = "positions" if look.positions is None else "orders"
            report.remaining = [f"the {unread} cannot be read: what is open cannot be known"]
            return False
        doubt = self._doubt(look)
        report.remaining = [doubt] if doubt else self._missing
        return not doubt

    def _remember(self, look: Sweep) -> None:
        """Keep what was last seen of each list: what is left open is told from it."""
        before = self._last
        positions = look.positions if look.positions is not None else before.positions if before else None
        orders = look.orders if look.orders is not None else before.orders if before else None
        self._last = Sweep(look.account, look.terminal, positions, orders, look.ticks, look.errors)

    def _doubt(self, look: Sweep) -> str:
        """Why an empty look does not count as empty; "" when it does."""
        account = look.account
        lost = unconnected(look)
        if account is None or lost:
            return f"empty now, but {lost}"
        if look.positions or look.orders:
            # Left open by the operator: the account's money is not that of an empty one.
            return ""
        if account.margin != 0:
            return f"empty now, but margin {account.margin} is still in use"
        # Written so that a number that is none is a doubt too.
        if not abs(account.equity - account.balance - account.credit) <= 1.5 * 10.0**-account.currency_digits:
            return f"empty now, but equity {account.equity} is not balance {account.balance} + credit {account.credit}"
        if account.equity == 0 and account.balance == 0 and not self._identifiers:
            return "empty now, but balance and equity are both 0, as after a reconnect"
        return ""

    async def _proven(self, look: Sweep | None, report: FlattenReport) -> bool:
        """Whether everything that was ever sent or seen is accounted for; says in the report what is not."""
        doubtful = [*self._unresolved(), *self._closer.settling.unresolved(), *self._closer.unanswered()]
        missing = [f"empty now, {name} unresolved" for name in doubtful]
        missing += await self._orders_without_an_end()
        left = {item.identifier: item.volume for item in (look.positions or () if look is not None else ())}
        missing += await unexplained(self._broker, {name: left.get(name, 0.0) for name in self._identifiers})
        report.remaining = self._missing = missing
        return not missing

    async def _orders_without_an_end(self) -> list[str]:
        """Which orders that stood are neither listed nor finished, in words: a terminal may not show them yet.

        What a finished one has opened is accounted for from then on too.
        """
        missing = []
        for ticket in sorted(self._orders):
            try:
                order = await self._broker.finished_order(ticket)
            except BrokerError as error:
                missing.append(f"the history of order {ticket} cannot be read: {error}")
                continue
            if order is None:
                missing.append(f"order {ticket} stood and is gone, and the history does not say how it ended")
            elif order.position_id:
                self._identifiers.add(order.position_id)
        return missing

    async def _finish(self, report: FlattenReport) -> None:
        report.finished_at = self._clock.utc()
        report.become(WorkState.DONE)
        absent = self._presumed_absent()
        doubt = f"; presumed absent, for the operator to settle: {', '.join(absent)}" if absent else ""
        left = self._left_before(report)
        flat = f"flat but for what the operator left open ({left})" if left else "flat"
        report.statement = f"{flat}, confirmed by the broker at {report.finished_at:%H:%M:%S} UTC{doubt}"
        self._closer.end(report.id)
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

    def _left_before(self, report: FlattenReport) -> str:
        """What is still there of what was left open before this flatten began."""
        if not report.leave or self._last is None:
            return ""
        return ", ".join(self._closer.remaining(self._last.orders or (), self._last.positions or ())[0])

    def _cancelled(self, report: FlattenReport) -> None:
        report.finished_at = self._clock.utc()
        report.become(WorkState.CANCELLED)
        look = self._last
        if look is not None:
            report.remaining, _ = self._closer.remaining(look.orders or (), look.positions or ())
        left = "; ".join(report.remaining) or "nothing that was seen"
        report.statement = (
            f"cancelled at {report.finished_at:%H:%M:%S} UTC by {report.cancelled_by}; left open, and not closed again"
            f" while halted: {left}"
        )
        self._closer.end(report.id)
