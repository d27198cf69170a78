"""The paper terminal in process: one market, one account, an optional state file, and the functions of MT5.

In: real seconds (`advance_to`) or single steps, and calls by MT5's names. Out: JSON-ready results with the error
code of each. No threads, no clock of its own, no network: the process around it is server.py. Control calls are
methods of their own and cannot be reached through `handle`. What the faults of its plan delay, cut or leave without an
answer is for whoever calls it to wait for: `begin` says how long.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.clock import iso
from engine.paper import requests as rq
from engine.paper.account import PaperAccount
from engine.paper.books import REASON_CLIENT
from engine.paper.brokerclock import BrokerClock
from engine.paper.conditions import Conditions
from engine.paper.display import Display
from engine.paper.faultplan import Cash, Fault, Kill, PlanError, Refill, Restart, Spread
from engine.paper.faults import HONEST, CallPlan, Faults, Running
from engine.paper.history import PriceHistory
from engine.paper.holdings import CASH_DEALS
from engine.paper.ledger import Record
from engine.paper.market import EXECUTION_MARKET, FILLING_MASK_FOK, Instrument, Market, MarketError, Quote, instrument
from engine.paper.replay import ReplayMarket
from engine.paper.store import StateError, StateStore
from engine.paper.synthetic import SyntheticMarket

SERVER = "Quarterdeck-Paper"
SAVE_SECONDS = 5.0
NO_ANSWER = (-10005, "IPC timeout")


@dataclass(frozen=True, slots=True)
class TerminalConfig:
    """What a paper terminal is started with.

    `speed` is market seconds per real second, or None for `max`: one tick per `step`. `balance` is the deposit of a
    new account. `symbol` is needed for a file whose name holds no pair. Without a file to `replay` the market is made
    from `seed`. `instruments` gives the trading conditions of a symbol; `clock` turns files' UTC into the broker's.
    """

    symbol: str | None = None
    seed: int = 1
    replay: tuple[Path, ...] = ()
    instruments: Callable[[str], Instrument] = instrument
    clock: BrokerClock = field(default_factory=BrokerClock)
    speed: float | None = 1.0
    balance: float = 10_000.0
    conditions: Conditions = field(default_factory=Conditions)
    faults: tuple[Fault, ...] = ()


class PaperTerminal:
    """A terminal on a market.

    `state` is the folder of its state file; None: nothing is written. `faults` is its plan. Raises MarketError when no
    symbol of the market can be traded in the account's currency, StateError when the state file cannot be used.
    """

    def __init__(
        self,
        market: Market,
        conditions: Conditions | None = None,
        *,
        balance: float = 10_000.0,
        speed: float | None = 1.0,
        state: Path | None = None,
        faults: Iterable[Fault] = (),
    ) -> None:
        conditions = conditions or Conditions()
        self.market = market
        self.account = PaperAccount(conditions, market.instruments)
        self.speed = speed
        self.alive = True
        self.ticks = 0
        kept = f"{market.identity} {conditions.currency}" + ("" if conditions.hedging else " netting")
        self.login = account_login(kept)
        self.prices = {name: PriceHistory(instrument) for name, instrument in market.instruments.items()}
        missing = [self.account.valuation.missing(name) for name in market.instruments]
        if all(missing):
            names = "; ".join(str(problem) for problem in missing)
            raise MarketError(f"nothing can be traded in a {conditions.currency} account: {names}")
        self.faults = Faults()
        for fault in faults:
            self.add_fault(fault)
        self.lines = 0
        """Lines to this terminal are of the restart they were opened after: a later one has cut them."""
        self.die: Callable[[], None] = self._release
        """Ends without saving anything more; the process around it does so as kill -9 would."""
        self._owed = 0.0
        self._elapsed_ms = 0.0
        self._began: float | None = None
        self._now: float | None = None
        self._saved_at = 0.0
        self._saved_ticks = -1
        self._store: StateStore | None = None
        if state is not None:
            self._store = StateStore(state / f"paper-{self.login}.db", kept)
        self._display = Display(self.account, self.prices, self.login, SERVER, self.faults)
        try:
            self._begin(balance)
        except BaseException:
            self._release()
            raise

    @classmethod
    def open(cls, config: TerminalConfig, state: Path | None = None) -> "PaperTerminal":
        """Build market and terminal. Raises MarketError or StateError; then nothing is left open."""
        market: Market
        if config.replay:
            market = ReplayMarket(config.replay, config.symbol, instruments=config.instruments, clock=config.clock)
        else:
            market = SyntheticMarket(config.seed, config.symbol, instruments=config.instruments)
        try:
            return cls(
                market,
                config.conditions,
                balance=config.balance,
                speed=config.speed,
                state=state,
                faults=config.faults,
            )
        except BaseException:
            market.close()
            raise

    def add_fault(self, fault: Fault) -> int:
        """Let something go wrong at its time. Returns its number. Raises PlanError for what is not of this market."""
        symbol = getattr(fault, "symbol", None)
        if symbol is not None and symbol not in self.market.instruments:
            raise PlanError(
                f"fault {fault.kind}: symbol {symbol!r}: expected one of {', '.join(self.market.instruments)}"
            )
        if isinstance(fault, Cash) and fault.deal_type not in CASH_DEALS:
            raise PlanError(f"fault cash: deal_type {fault.deal_type}: expected one of {sorted(CASH_DEALS)}")
        return self.faults.add(fault)

    @property
    def finished(self) -> bool:
        """Whether the market has given its last tick."""
        return not self.account.entries_open

    def _begin(self, balance: float) -> None:
        saved = self._store.load() if self._store else None
        if saved is None:
            # The first tick of every symbol comes at once: a terminal without a price shows nothing.
            while len(self.account.quotes) < len(self.market.instruments):
                self._tick()
            self.account.deposit(balance)
            self._commit()
            return
        self.account.restore(saved.records)
        for row in saved.terminal["quotes"]:
            quote = Quote(*row)
            self.account.show(quote)
            self.prices[quote.symbol].add(quote)
        self.account.time_msc = saved.terminal["time_msc"]
        self.ticks = saved.terminal["ticks"]
        self._elapsed_ms = saved.terminal["elapsed_ms"]
        self.market.resume(saved.terminal["market"])
        self.account.entries_open = self.market.due_ms() is not None

    def _tick(self) -> None:
        if self.account.books.orders:
            # What the server held back until now was due before this tick: it is dealt at the prices before it,
            # however seldom anybody looks.
            self.account.settle(self._elapsed_ms)
        quote = self._widened(self.market.take())
        self.ticks += 1
        self.prices[quote.symbol].add(quote)
        self.account.on_quote(quote)
        if self.market.due_ms() is None:
            self.account.entries_open = False

    def _widened(self, quote: Quote) -> Quote:
        factor = math.prod(fault.factor for _, fault in self.faults.on(Spread) if fault.symbol in (None, quote.symbol))
        if factor == 1:
            return quote
        digits = self.market.instruments[quote.symbol].digits
        middle, half = (quote.bid + quote.ask) / 2, (quote.ask - quote.bid) / 2 * factor
        return quote._replace(bid=round(middle - half, digits), ask=round(middle + half, digits))

    def _pass_time(self, seconds: float) -> None:
        """Let faults begin and end."""
        if not self.faults:
            return
        for running in self.faults.due(seconds):
            self._begin_fault(running)
        self.account.interference = self.faults.interference()
        self._display.update()
        for running, refill in self.faults.refills():
            if self._refill(refill):
                running.hit(self.faults.now)
        if self.account.ledger.uncommitted:
            self._commit()

    def _begin_fault(self, running: Running) -> None:
        match running.fault:
            case Restart():
                self.lines += 1
            case Cash(deal_type=deal_type, amount=amount, comment=comment):
                self.account.cash(deal_type, amount, comment)
            case Kill():
                self.die()

    def _refill(self, refill: Refill) -> bool:
        """Another program on the account opens a position; False: the broker refused."""
        kind = rq.BUY if refill.side == "buy" else rq.SELL
        instrument = self.market.instruments[refill.symbol]
        fok = instrument.filling_mode & FILLING_MASK_FOK or instrument.execution_mode < EXECUTION_MARKET
        request = rq.TradeRequest(
            action=rq.ACTION_DEAL,
            symbol=refill.symbol,
            volume=refill.volume,
            type=kind,
            price=self.account.price_for(kind, refill.symbol),
            type_filling=rq.FOK if fok else rq.IOC,
        )
        return self.account.send(request, REASON_CLIENT).order != 0

    def advance_to(self, now: float, limit: int | None = None) -> bool:
        """Let the market run up to `now`, in real seconds of any clock that does not go back.

        The first call only says when the terminal starts. At most `limit` ticks are taken; False: more are due, the
        market has fallen behind and goes on from there. In `max` the market waits for `step`.
        """
        reached = True
        if self._now is None:
            self._now = self._saved_at = self._began = now
        elapsed = max(0.0, now - self._now)
        self._now = max(self._now, now)
        self._pass_time(self._now - (self._began or 0.0))
        if not self.alive:
            return True
        if self.speed is not None and not self.finished:
            target = self._elapsed_ms + elapsed * 1000.0 * self.speed
            left = limit
            while (due := self.market.due_ms()) is not None and due <= target:
                if left == 0:
                    # Later than it should be: the market's clock stands at the last tick taken.
                    target = max(self._elapsed_ms, float(due) - 1.0)
                    reached = False
                    break
                self._elapsed_ms = max(self._elapsed_ms, float(due))
                self._tick()
                if self.account.ledger.uncommitted:
                    self._commit()
                if left is not None:
                    left -= 1
            self._elapsed_ms = target
            self._settle()
        if now - self._saved_at >= SAVE_SECONDS and self.ticks != self._saved_ticks:
            self._commit()
        return reached

    def step(self) -> bool:
        """Take exactly one tick, due or not. Returns whether the market has finished; then nothing moves any more."""
        due = self.market.due_ms()
        if due is not None:
            self._elapsed_ms = max(self._elapsed_ms, float(due))
            self._tick()
            if self.account.ledger.uncommitted:
                self._commit()
        return self.finished

    @property
    def away(self) -> bool:
        """Whether it is being restarted, and takes no line."""
        return self.faults.away()

    def begin(self, name: str) -> CallPlan:
        """Count an MT5 call and say what its caller has to wait for; then `handle` carries the plan out."""
        return self.faults.begin(name) if self.faults else HONEST

    def handle(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any], plan: CallPlan = HONEST
    ) -> tuple[Any, tuple[int, str]]:
        """Answer one MT5 call: (result, last_error). Structs are lists of their fields; failure is None."""
        self._settle()
        answer: tuple[Any, tuple[int, str]] = None, NO_ANSWER
        for _ in range(plan.executions):
            answer = self._execute(name, args, kwargs)
        if plan.error is not None:
            return None, plan.error
        if plan.retcode is not None:
            unsent, error = self._display.unsent(args, plan.retcode)
            return (unsent, error) if answer[0] is None else ((plan.retcode, *list(answer[0])[1:]), error)
        return answer

    def _execute(self, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, tuple[int, str]]:
        result, error = self._display.call(name, args, kwargs)
        if self.account.ledger.uncommitted:
            self._commit()
        return result, error

    def _settle(self) -> None:
        self.account.settle(self._elapsed_ms)
        if self.account.ledger.uncommitted:
            self._commit()

    def owe(self, seconds: float) -> None:
        """Remember that an answer given in this process is really only due later (infinite: never)."""
        self._owed += seconds

    def take_owed(self) -> float:
        """Return how long the answers since the last look are still due, in seconds."""
        owed, self._owed = self._owed, 0.0
        return owed

    def ledger(self, after: int = 0) -> list[Record]:
        """What has really happened, past every fault: the records behind a sequence number."""
        if not 0 <= after <= len(self.account.ledger.records):
            raise ValueError(f"after {after}: expected 0 to {len(self.account.ledger.records)}")
        return self.account.ledger.records[after:]

    def cash(self, deal_type: int, amount: float, comment: str) -> int:
        """Money that comes or goes without a trade, in account currency. Returns the deal's ticket.

        Raises ValueError for a deal type that is a trade, or an amount that is no number.
        """
        if not math.isfinite(amount):
            raise ValueError(f"amount {amount}: expected a finite number")
        ticket = self.account.cash(deal_type, amount, comment)
        self._commit()
        return ticket

    def status(self) -> dict[str, Any]:
        """The market and the account in short; `time` is the broker's clock written as UTC."""
        symbol = next(iter(self.market.instruments))
        quote = self.account.quotes[symbol]
        return {
            "symbol": symbol,
            "symbols": list(self.market.instruments),
            "bid": quote.bid,
            "ask": quote.ask,
            "time": iso(datetime.fromtimestamp(self.account.time_msc / 1000, UTC)),
            "time_msc": self.account.time_msc,
            "finished": self.finished,
            "login": self.login,
            "server": SERVER,
            "speed": "max" if self.speed is None else self.speed,
            "ticks": self.ticks,
            "margin_call": self.account.below(self.account.conditions.margin_call),
        }

    def shutdown(self) -> None:
        """Save the market's place and let go of files. Calls after it find no terminal."""
        if self.alive:
            if self.ticks != self._saved_ticks:
                self._commit()
            self._release()

    def _release(self) -> None:
        self.alive = False
        self.market.close()
        if self._store is not None:
            self._store.close()

    def _commit(self) -> None:
        records = self.account.ledger.take_uncommitted()
        self._saved_ticks = self.ticks
        if self._now is not None:
            self._saved_at = self._now
        if self._store is None:
            return
        terminal = {
            "market": self.market.position(),
            "quotes": [list(quote) for quote in self.account.quotes.values()],
            "time_msc": self.account.time_msc,
            "elapsed_ms": self._elapsed_ms,
            "ticks": self.ticks,
        }
        try:
            self._store.commit(records, terminal)
        except StateError:
            # The account in memory is ahead of the file: nothing of it may be shown to anyone.
            self._release()
            raise


def account_login(identity: str) -> int:
    """The login of the account of one market, currency and margin mode: always the same eight digits."""
    digest = hashlib.sha256(identity.encode()).digest()
    return 10_000_000 + int.from_bytes(digest[:8], "big") % 90_000_000
