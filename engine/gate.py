"""Why nothing may be opened now, or this signal not: asked at an approval, before the claim and before each send.

In: the engine's parts as they stand. Out: None, or the reason in words. Reads only. What cannot be known is a reason.
"""

from collections.abc import Callable

from engine.clock import Clock
from engine.config import Settings
from engine.cycle import GuardCycle
from engine.entry import send_problem
from engine.guards.base import Entry, Verdict
from engine.journal import Journal
from engine.modes import Modes
from engine.readings import Validity
from engine.reconcile import Reconciler
from engine.signals import Signal
from engine.specs import SpecBook
from engine.state import EngineMode


class EntryGate:
    """Stands between an approved signal and the broker."""

    def __init__(
        self,
        modes: Modes,
        journal: Journal,
        clock: Clock,
        settings: Settings,
        specs: SpecBook,
        reconciler: Reconciler,
        cycle: Callable[[], GuardCycle],
        *,
        killed: Callable[[], str | None],
        nets: bool,
        closing: Callable[[str, str], str | None],
        market_finished: Callable[[], bool],
    ) -> None:
        self._modes = modes
        self._journal = journal
        self._clock = clock
        self._settings = settings
        self._specs = specs
        self._reconciler = reconciler
        self._cycle = cycle
        self._killed = killed
        self._nets = nets
        self._closing = closing
        self._market_finished = market_finished

    def account_refusal(self) -> str | None:
        """Why nothing may be opened now, on any symbol; None when it may."""
        if self._modes.mode is not EngineMode.RUNNING:
            return f"the engine is {self._modes.mode}"
        killed = self._killed()
        if killed is not None:
            return killed
        if not self._reconciler.compared:
            return "what happened at the broker while no engine ran is still being looked for"
        if self._journal.failure is not None:
            return f"the journal failed: {self._journal.failure}"
        reading = self._cycle().reading
        age = self._clock.monotonic() - self._cycle().last_valid_at
        if reading.validity is not Validity.VALID or age > self._settings.reading.stale_after_seconds:
            return f"the account reading is {reading.validity}, {age:.1f} s old: {reading.reason or 'too old'}"
        if self._cycle().guard_error is not None:
            return f"the drawdown guard failed: {self._cycle().guard_error}"
        if self._cycle().guard.state.verdict in (Verdict.BLOCK, Verdict.FLATTEN):
            return f"the drawdown guard says {self._cycle().guard.state.verdict}"
        if self._cycle().risk.wants_bases:
            return "this live account is new here: what its guards measure from must be said first (quarterdeck bases)"
        unexplained = self._cycle().books.refusal()
        if unexplained is not None:
            return unexplained
        refusal = self.trading_refusal()
        if refusal is None and self._market_finished():
            refusal = "the replay has ended: its last quote can be closed on, not opened on"
        return refusal

    def signal_refusal(self, signal: Signal) -> str | None:
        """Why a signal may not be opened now; None when it may. Not asked here: its price, which only a send knows."""
        refusal = self.account_refusal() or self._reconciler.blocks(signal.symbol)
        refusal = refusal or self._closing(signal.symbol, signal.source) or self._netting_refusal(signal)
        return refusal or self._guards_refusal(signal)

    def _guards_refusal(self, signal: Signal) -> str | None:
        """What the guards say of this very opening, on the facts of the last reading and what was sent since."""
        entry = Entry(signal.magic, signal.symbol, signal.side, signal.volume, signal.entry, signal.sl)
        cycle = self._cycle()
        facts = cycle.facts_now()
        if facts is None:
            return "the guards have not been asked yet"
        return self.clock_refusal() or cycle.risk.board.refusal(facts, entry)

    def clock_refusal(self) -> str | None:
        """Why nothing may be opened while the broker's clock is not known; None when it is, or no guard needs it."""
        market = self._cycle().books.market
        needing = [] if market.known else self._cycle().risk.board.by_brokers_clock()
        if not needing:
            return None
        why = f": {market.doubt}" if market.doubt else ""
        return f"the broker's clock is not known yet, and {', '.join(needing)} needs it{why}"

    def approval_refusal(self, signal: Signal) -> str | None:
        """Why approving a signal now would lead to nothing, by all that is known of it and its price; else None."""
        refusal = self.signal_refusal(signal)
        spec, quote = self._specs.known(signal.symbol), self._cycle().quotes.get(signal.symbol)
        if refusal is None and spec is not None and quote is not None:
            refusal = send_problem(spec, self._settings.entry, signal, quote.tick)
        return refusal

    def _netting_refusal(self, signal: Signal) -> str | None:
        """On a netting account an entry on a held symbol would change that position's size and stop."""
        if not self._nets or self._settings.entry.add_to_position:
            return None
        positions, sweep = self._cycle().reading.positions, self._cycle().sweep
        orders = sweep.orders if sweep is not None else None
        if positions is None or orders is None:
            return "what is open cannot be read, and this account nets its positions"
        rule = "this account nets its positions (entry.add_to_position lets it)"
        if any(position.symbol == signal.symbol for position in positions):
            return f"{signal.symbol} is held and {rule}"
        if any(order.symbol == signal.symbol and order.magic != signal.magic for order in orders):
            return f"an order on {signal.symbol} stands and {rule}"
        return None

    def trading_refusal(self) -> str | None:
        """Why the terminal or the account would refuse any order, closing ones too; None when they would not."""
        sweep = self._cycle().sweep
        if sweep is None or sweep.account is None or sweep.terminal is None:
            return None
        if not sweep.terminal.trade_allowed:
            return "AutoTrading is off in the terminal"
        if sweep.terminal.tradeapi_disabled:
            return "the terminal does not let Python trade (Tools, Options, Expert Advisors)"
        if not sweep.account.trade_allowed:
            return "the account may not trade (investor password, or disabled by the broker)"
        if not sweep.account.trade_expert:
            return "the broker does not let programs trade on this account"
        return None
