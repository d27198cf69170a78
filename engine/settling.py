"""What became of a close that may be executed only once: journalled, sent, and not forgotten until its effect is seen.

    announced -> answered -> settled

Settled is: its deals are in the history and the position shows them; or its order has ended; or it was refused and
left no trace; or nothing of it was seen for the settle time at a connected broker. Until then the position it was sent
for is not closed a second time. A late one can then still turn a netting position round: whoever closes goes on until
nothing is left.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.broker.base import Broker, BrokerError, Position, Side
from engine.broker.mt5 import DealType
from engine.events import EventType
from engine.orders import VOLUME_EPSILON
from engine.outcomes import Outcome
from engine.recorder import Recorder
from engine.signals import magic_of

_CLOSE_PREFIX = 0x5143
"""Sixteen bits above the forty of an id: our closes, and no signal's orders."""
_SIGNAL_BITS = (1 << 40) - 1
_LAG_SECONDS = 3.0
"""How long the list of positions may lag behind the deals."""
_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_DAY = 86_400
_REFUSALS = frozenset({Outcome.RETRY, Outcome.REJECTED, Outcome.BLOCKED})


@dataclass(frozen=True, slots=True)
class Sent:
    """One close as it was sent: `volume` lots of a position that held `held`; `server_time` is the broker's clock."""

    id: str
    purpose: str
    position: int
    symbol: str
    side: Side
    volume: float
    held: float
    server_time: int
    part: bool = False
    """Whether the rest of the position is to stay: then a second one would do lasting harm."""

    @property
    def magic(self) -> int:
        """The number that travels with it; below 2**63."""
        return closing_magic(self.id)

    @property
    def comment(self) -> str:
        """The comment on its order, at most 26 ASCII characters."""
        return f"qd close {self.id}"


@dataclass(slots=True)
class Pending:
    """A close whose effect has not been seen. Times in monotonic seconds."""

    sent: Sent
    answered: bool = False
    refused: bool = False
    looking: bool = False
    looks: int = 0
    next_look: float = 0.0
    absent_since: float | None = None
    executed_at: float | None = None


@dataclass(frozen=True, slots=True)
class _Trace:
    """What the broker shows of a close: lots executed, whether its order waits or has ended, and the position now."""

    executed: float
    working: bool
    ended: bool
    position: Position | None


class Settling:
    """The closes of one account that are not settled."""

    def __init__(
        self, broker: Broker, recorder: Recorder, *, netting: bool, settle_seconds: float, part_settle_seconds: float
    ) -> None:
        self._broker = broker
        self._recorder = recorder
        self._clock = recorder.clock
        self._netting = netting
        self._settle_seconds = {False: settle_seconds, True: part_settle_seconds}
        self._pending: dict[int, Pending] = {}
        self._executed: dict[str, float] = {}
        self._magics: dict[int, str] = {}

    async def load(self) -> None:
        """Take up from the journal what was sent and not settled, and how much each purpose has closed."""
        rows = await self._recorder.journal.query(
            "SELECT sent, settled, executed FROM closes WHERE account = ? AND (settled = 0 OR purpose IN"
            " (SELECT id FROM closings WHERE account = ? AND state = 'RUNNING')) ORDER BY rowid",
            (self._recorder.account, self._recorder.account),
        )
        self.take_up(rows)

    def take_up(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Go on with closes that were sent: each as JSON, whether it is settled, and how many lots it has closed."""
        for stored, settled, executed in rows:
            sent = sent_from_json(stored)
            self._magics[sent.magic] = sent.purpose
            self._count(sent.purpose, executed)
            if not settled:
                self._pending[sent.position] = Pending(sent, answered=True)

    def holds(self, identifier: int) -> bool:
        """Whether a close of this position is not settled: no second one is sent then."""
        return identifier in self._pending

    def pending(self) -> list[Sent]:
        """What is not settled."""
        return [pending.sent for pending in self._pending.values()]

    def unresolved(self, purpose: str | None = None) -> list[str]:
        """The same in words; of one purpose, or of all."""
        return [
            f"close {sent.id} of position {sent.position} {sent.symbol}"
            for sent in self.pending()
            if purpose is None or sent.purpose == purpose
        ]

    def executed(self, purpose: str) -> float:
        """How many lots a purpose has certainly closed by such closes."""
        return self._executed.get(purpose, 0.0)

    def made(self, magic: int, purpose: str) -> bool:
        """Whether a magic number is of a close that this purpose sent."""
        return self._magics.get(magic) == purpose

    async def announce(self, sent: Sent) -> Pending:
        """Journal a close that is about to be sent; waits at most 50 ms."""
        pending = self._pending[sent.position] = Pending(sent)
        self._magics[sent.magic] = sent.purpose
        await self._recorder.urgent(self._recorder.draft(EventType.CLOSE_SENT, **asdict(sent)))
        return pending

    def answered(self, pending: Pending, outcome: Outcome) -> None:
        """Take the answer. What never left this machine is settled at once."""
        pending.answered = True
        pending.refused = outcome in _REFUSALS
        if outcome is Outcome.NOT_SENT:
            self._settled(pending, 0.0, "never sent")

    async def step(self, *, connected: bool) -> list[int]:
        """Look once for each; return the positions that may be closed further at once.

        `connected` says whether absence would mean anything.
        """
        settled = []
        for pending in list(self._pending.values()):
            if self._pending.get(pending.sent.position) is not pending:
                # Whoever else looked meanwhile has settled it.
                continue
            if not pending.answered or pending.looking or self._clock.monotonic() < pending.next_look:
                continue
            pending.looking = True
            try:
                await self._look_for(pending, connected=connected)
            finally:
                pending.looking = False
            if self._pending.get(pending.sent.position) is not pending and not pending.refused:
                settled.append(pending.sent.position)
        return settled

    async def _look_for(self, pending: Pending, *, connected: bool) -> None:
        sent = pending.sent
        try:
            trace = await self._search(sent)
        except BrokerError:
            self._again(pending)
            pending.absent_since = None
            return
        now = self._clock.monotonic()
        self._again(pending)
        if trace.executed >= sent.volume - VOLUME_EPSILON or trace.ended or (trace.executed and not trace.working):
            pending.executed_at = now if pending.executed_at is None else pending.executed_at
            whole = trace.ended or trace.executed >= sent.volume - VOLUME_EPSILON
            if (whole and _shows(trace, sent)) or now - pending.executed_at >= _LAG_SECONDS:
                self._settled(pending, trace.executed, "its order has ended")
        elif trace.working:
            pending.absent_since = None
        elif pending.refused:
            self._settled(pending, 0.0, "refused, and the broker shows nothing of it")
        elif trace.position is None and not self._netting:
            self._settled(pending, 0.0, "the position is gone: a close by its ticket finds nothing any more")
        elif trace.position is not None and _is_less(trace.position, sent):
            self._settled(pending, sent.volume, "the position has become smaller by it")
        elif not connected:
            pending.absent_since = None
        else:
            pending.absent_since = now if pending.absent_since is None else pending.absent_since
            settle_seconds = self._settle_seconds[sent.part]
            if now - pending.absent_since >= settle_seconds:
                self._settled(pending, 0.0, f"not seen at the connected broker for {settle_seconds:.0f} s")

    async def _search(self, sent: Sent) -> _Trace:
        """Look among orders, finished orders, deals and positions. Raises BrokerError when one cannot be read."""
        start, end = max(0, sent.server_time - _DAY), sent.server_time + 2 * _DAY
        # Orders first: one that ends between two reads is then seen in the later one.
        orders = await self._broker.orders()
        finished = await self._broker.history_orders_between(start, end)
        deals = await self._broker.deals_between(start, end)
        positions = await self._broker.positions()
        trades = (DealType.BUY, DealType.SELL)
        executed = sum(deal.volume for deal in deals if deal.magic == sent.magic and deal.type in trades)
        return _Trace(
            executed=round(executed, 8),
            working=any(order.magic == sent.magic for order in orders),
            ended=any(order.magic == sent.magic for order in finished),
            position=next((item for item in positions if item.identifier == sent.position), None),
        )

    def _again(self, pending: Pending) -> None:
        pause = _PAUSES[min(pending.looks, len(_PAUSES) - 1)]
        pending.looks += 1
        pending.next_look = self._clock.monotonic() + pause

    def _settled(self, pending: Pending, executed: float, how: str) -> None:
        sent = pending.sent
        del self._pending[sent.position]
        self._count(sent.purpose, executed)
        self._recorder.urgent_soon(
            EventType.CLOSE_SETTLED,
            id=sent.id,
            purpose=sent.purpose,
            position=sent.position,
            symbol=sent.symbol,
            executed=executed,
            how=how,
        )

    def _count(self, purpose: str, executed: float) -> None:
        self._executed[purpose] = round(self._executed.get(purpose, 0.0) + executed, 8)


async def unexplained(broker: Broker, left: Mapping[int, float]) -> list[str]:
    """Which positions' deals do not explain what is left of them, in words. `left`: lots by identifier, 0 for gone.

    Reckoned by side, so that a deal that turned a netting position round counts as what it is.
    """
    missing = []
    for identifier, lots in sorted(left.items()):
        try:
            deals = await broker.deals_of_position(identifier)
        except BrokerError as error:
            missing.append(f"deals of position {identifier} cannot be read: {error}")
            continue
        trades = [deal for deal in deals if deal.type in (DealType.BUY, DealType.SELL)]
        bought, sold = (sum(deal.volume for deal in trades if deal.type == kind) for kind in (0, 1))
        if trades and abs(abs(bought - sold) - lots) <= VOLUME_EPSILON:
            continue
        what = "is gone but its deals do not close it" if not lots else f"has {lots:g} lots but its deals say otherwise"
        missing.append(f"position {identifier} {what} (bought {bought:g}, sold {sold:g} lots)")
    return missing


def closing_magic(close_id: str) -> int:
    """The magic number of a close of ours."""
    return _CLOSE_PREFIX << 40 | (magic_of(close_id) & _SIGNAL_BITS)


def is_closing(magic: int) -> bool:
    """Whether a magic number was given to a close by an engine of ours."""
    return magic >> 40 == _CLOSE_PREFIX


def _shows(trace: _Trace, sent: Sent) -> bool:
    """Whether the list of positions shows what the deals say."""
    position = trace.position
    if position is None or position.side is not sent.side:
        return True
    return position.volume <= sent.held - trace.executed + VOLUME_EPSILON


def _is_less(position: Position, sent: Sent) -> bool:
    return position.side is sent.side and position.volume <= sent.held - sent.volume + VOLUME_EPSILON


def sent_from_json(stored: str) -> Sent:
    """A close as the journal's table keeps it."""
    values: Mapping[str, Any] = json.loads(stored)
    return Sent(**{**values, "side": Side(values["side"])})
