"""Where every proposal becomes a signal, whatever its source: checked against the symbol, given an id, journalled."""

import math
import random
from dataclasses import dataclass

from engine.approvals import Refused, SignalBook, expiry
from engine.broker.base import Broker, BrokerError, Side
from engine.orders import entry_price, proposal_problem
from engine.recorder import Recorder
from engine.signals import Signal, SignalState, new_id
from engine.specs import SpecBook
from engine.text import plain


@dataclass(frozen=True, slots=True)
class Proposal:
    """A trade somebody proposes. Volume in lots, `expires_seconds` real seconds; `entry` None means the price now."""

    symbol: str
    side: Side
    volume: float
    sl: float
    tp: float
    source: str
    entry: float | None = None
    expires_seconds: float = 300.0
    note: str = ""


class Proposals:
    """Takes proposals in for one account."""

    def __init__(
        self, book: SignalBook, specs: SpecBook, broker: Broker, recorder: Recorder, randomness: random.Random
    ) -> None:
        self._book = book
        self._specs = specs
        self._broker = broker
        self._recorder = recorder
        self._randomness = randomness
        self.taken = 0

    async def take(self, proposal: Proposal) -> Signal:
        """Make a PENDING signal of a proposal. Raises Refused with the rule that it breaks."""
        try:
            spec = await self._specs.refresh(proposal.symbol)
            tick = await self._broker.tick(proposal.symbol)
        except BrokerError as error:
            raise Refused(f"symbol {plain(proposal.symbol)!r} cannot be read at the broker: {error}") from error
        entry = proposal.entry if proposal.entry is not None else entry_price(proposal.side, tick)
        if not (math.isfinite(entry) and entry > 0):
            raise Refused(f"{proposal.symbol} has no price now: {entry}")
        problem = proposal_problem(spec, proposal.side, proposal.volume, entry, proposal.sl, proposal.tp)
        if problem:
            raise Refused(problem)
        now = self._recorder.clock.utc()
        signal = Signal(
            id=new_id(self._randomness),
            account=self._recorder.account,
            version=1,
            state=SignalState.PENDING,
            symbol=proposal.symbol,
            side=proposal.side,
            volume=proposal.volume,
            entry=entry,
            sl=proposal.sl,
            tp=proposal.tp,
            source=plain(proposal.source, 64),
            note=plain(proposal.note),
            created_at=now,
            expires_at=expiry(now, proposal.expires_seconds),
        )
        await self._book.add(signal)
        self.taken += 1
        return signal
