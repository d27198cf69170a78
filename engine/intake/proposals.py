"""Where every proposal becomes a signal, whatever its source: checked against the symbol, given an id, journalled."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from engine.approvals import Refused, SignalBook, expiry
from engine.broker.base import Broker, BrokerError, Side, SymbolSpec
from engine.config import EntrySettings
from engine.entry import proposal_problem, volume_for_risk
from engine.orders import entry_price
from engine.recorder import Recorder
from engine.signals import EntryType, Signal, SignalState, new_id
from engine.specs import SpecBook
from engine.text import plain


@dataclass(frozen=True, slots=True)
class Proposal:
    """A trade somebody proposes.

    Either `volume` in lots or `risk_percent` of the equity that the stop may cost. `entry` is the price of a limit or
    stop order, and at market the reference for drift (None: the price now). `sl`, `tp` 0.0: none. Seconds are real
    ones; `order_seconds` None: as the profile says.
    """

    symbol: str
    side: Side
    sl: float
    tp: float
    source: str
    volume: float | None = None
    risk_percent: float | None = None
    type: EntryType = EntryType.MARKET
    entry: float | None = None
    expires_seconds: float = 300.0
    order_seconds: float | None = None
    note: str = ""


class Proposals:
    """Takes proposals in for one account. `equity` returns the account's, in its currency."""

    def __init__(
        self,
        book: SignalBook,
        specs: SpecBook,
        broker: Broker,
        recorder: Recorder,
        randomness: random.Random,
        rules: EntrySettings,
        equity: Callable[[], float],
    ) -> None:
        self._book = book
        self._specs = specs
        self._broker = broker
        self._recorder = recorder
        self._randomness = randomness
        self._rules = rules
        self._equity = equity
        self.taken = 0

    async def take(self, proposal: Proposal) -> Signal:
        """Make a PENDING signal of a proposal. Raises Refused with the rule that it breaks."""
        try:
            spec = await self._specs.refresh(proposal.symbol)
            tick = await self._broker.tick(proposal.symbol)
        except BrokerError as error:
            raise Refused(f"symbol {plain(proposal.symbol)!r} cannot be read at the broker: {error}") from error
        if proposal.entry is None and proposal.type is not EntryType.MARKET:
            raise Refused(f"a {proposal.type} order needs its price: say the entry")
        entry = proposal.entry if proposal.entry is not None else entry_price(proposal.side, tick)
        if not (math.isfinite(entry) and entry > 0):
            raise Refused(f"{proposal.symbol} has no price now: {entry}")
        now = self._recorder.clock.utc()
        signal = Signal(
            id=new_id(self._randomness),
            account=self._recorder.account,
            version=1,
            state=SignalState.PENDING,
            symbol=proposal.symbol,
            side=proposal.side,
            volume=self._volume(proposal, spec, entry),
            entry=entry,
            sl=proposal.sl,
            tp=proposal.tp,
            source=plain(proposal.source, 64),
            note=plain(proposal.note),
            created_at=now,
            expires_at=expiry(now, proposal.expires_seconds),
            type=proposal.type,
            risk_percent=proposal.risk_percent,
            order_seconds=self._rules.order_seconds if proposal.order_seconds is None else proposal.order_seconds,
        )
        problem = proposal_problem(spec, self._rules, signal, tick)
        if problem:
            raise Refused(problem)
        await self._book.add(signal)
        self.taken += 1
        return signal

    def _volume(self, proposal: Proposal, spec: SymbolSpec, entry: float) -> float:
        if (proposal.volume is None) == (proposal.risk_percent is None):
            raise Refused("a signal has either a volume in lots or a risk in percent of the equity")
        if proposal.volume is not None:
            return proposal.volume
        percent = proposal.risk_percent or 0.0
        if not proposal.sl:
            raise Refused("a risk in percent needs a stop loss to reckon the volume from")
        try:
            volume = volume_for_risk(spec, self._equity(), percent, entry, proposal.sl)
        except ValueError as unknown:
            raise Refused(str(unknown)) from unknown
        if volume <= 0:
            points = round(abs(entry - proposal.sl) / spec.point)
            raise Refused(
                f"{percent:g} % of {self._equity():.2f} at a stop {points} points away is less than the least volume of"
                f" {spec.name}, {spec.volume_min:g} lots"
            )
        return volume
