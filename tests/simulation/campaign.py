"""One seed: an engine, an operator who does anything, a terminal that goes wrong, kills; judged by the broker's ledger.

Everything is drawn from the seed, so that a failure is replayed exactly by its number. The engine's own view decides
nothing here: opening deals, positions and orders are read from the ledger of the paper terminal.
"""

import asyncio
import hashlib
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.approvals import Refused
from engine.broker.base import Side
from engine.broker.connection import Frame
from engine.control import messages as wire
from engine.events import Event, EventType
from engine.intake.proposals import Proposal
from engine.paper.books import ENTRY_IN, Books
from engine.paper.conditions import Conditions
from engine.paper.faultplan import Fault, Refill, read_fault
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.state import EngineMode
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, world

ACTIVE_SECONDS = 45.0
SETTLE_SECONDS = 10.0
CONVERGE_SECONDS = 180.0
SETTINGS: dict[str, Any] = {"loop": {"settle_seconds": SETTLE_SECONDS}, "drawdown": {"limit_percent": 3.0}}
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY")
RETCODES = (
    10004, 10006, 10007, 10008, 10010, 10011, 10012, 10013, 10014, 10015, 10016, 10017, 10018, 10019, 10020, 10021,
    10022, 10023, 10024, 10025, 10026, 10027, 10028, 10029, 10030, 10031, 10032, 10033, 10034, 10035, 10036, 10038,
    10039, 10040, 10041, 10042, 10043, 10044, 10045, 10046, 10999,
)  # fmt: skip
DOUBTFUL = (10004, 10011, 10012, 10020, 10031, 10999)
"""Those after which an order is easily doubled: drawn as often as all the others."""
ERRORS = ((-1, "fail"), (-2, "params"), (-10000, "internal"), (-10001, "send"), (-10002, "recv"), (-10005, "timeout"))
READS = ("account_info", "positions_get", "orders_get", "history_deals_get", "symbol_info_tick", "terminal_info")


@dataclass
class Verdict:
    """What a seed came to. `trace` is the hash of everything that happened; `hits` counts the faults by kind."""

    seed: int
    problems: list[str] = field(default_factory=list)
    hits: dict[str, int] = field(default_factory=dict)
    trace: str = ""
    seconds: float = 0.0
    openings: int = 0
    flats: int = 0
    restarts: int = 0


def drawn_fault(draws: random.Random) -> dict[str, Any]:
    """One fault, as a plan would say it."""
    at = round(draws.uniform(2, ACTIVE_SECONDS), 2)
    lasting = {"at": at, "seconds": round(draws.uniform(0.5, 12), 2)}
    symbol = draws.choice((None, *SYMBOLS))
    sends = {"call": "order_send", "at": at, "count": draws.randint(1, 3)}
    kinds: list[Callable[[], dict[str, Any]]] = [
        lambda: {"kind": "lost", "silent": draws.random() < 0.5, **sends},
        lambda: {"kind": "fail", "error": draws.choice(ERRORS), "executed": draws.random() < 0.5, **sends},
        lambda: {
            "kind": "retcode",
            "retcode": draws.choice(draws.choice((RETCODES, DOUBTFUL))),
            "executed": draws.random() < 0.5,
            **sends,
        },
        lambda: {"kind": "late", "seconds": round(draws.uniform(0.1, 15), 2), **sends},
        lambda: {"kind": "delay", "seconds": round(draws.uniform(0.1, 15), 2), **sends},
        lambda: {"kind": "hang", **sends},
        lambda: {"kind": "hang", "call": draws.choice(READS), "at": at},
        lambda: {"kind": "late", "call": draws.choice(READS), "at": at, "seconds": 3.0},
        lambda: {"kind": "fail", "call": draws.choice(READS), "at": at, "count": 20, "error": draws.choice(ERRORS)},
        lambda: {"kind": "disconnect", **lasting},
        lambda: {"kind": "restart", "at": at, "seconds": 3.0, "unsynchronised": round(draws.uniform(0, 8), 2)},
        lambda: {"kind": "unsynchronised", "shown": draws.randint(0, 1), **lasting},
        lambda: {"kind": "equity", "value": draws.choice((0.0, "nan", "inf", 1.0)), **lasting},
        lambda: {"kind": "login", "login": 5, **lasting},
        lambda: {"kind": "drop_stops", **lasting},
        lambda: {"kind": "freeze", "symbol": symbol, **lasting},
        lambda: {"kind": "closed", "symbol": symbol, **lasting},
        lambda: {"kind": "autotrading", "where": draws.choice(("terminal", "server")), **lasting},
        lambda: {"kind": "partial", "share": draws.choice((0.0, 0.5)), **lasting},
        lambda: {"kind": "spread", "factor": 15.0, "symbol": symbol, **lasting},
        lambda: {
            "kind": "refill",
            "symbol": draws.choice(SYMBOLS),
            "side": "buy",
            "volume": 0.1,
            "every": 2.0,
            **lasting,
        },
        lambda: {"kind": "cash", "amount": draws.choice((-500.0, 500.0)), "at": at},
    ]
    return draws.choice(kinds)()


def truth(terminal: PaperTerminal) -> Books:
    """The broker's books, made anew from its ledger."""
    books = Books(2)
    for record in terminal.ledger():
        books.apply(record)
    return books


class Campaign:
    """One seed under way."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.verdict = Verdict(seed)
        self._draws = random.Random(seed)
        self.folder = folder
        self.starts = 0
        conditions = Conditions(
            execution_delay_ms=self._draws.choice((0, 0, 200, 900)),
            comments=self._draws.choice(("keep", "cut", "replace")),
            commission_per_lot=3.5,
        )
        faults = tuple(read_fault(drawn_fault(self._draws)) for _ in range(self._draws.randint(0, 5)))
        self.terminal = PaperTerminal.open(TerminalConfig(seed=seed, conditions=conditions, faults=faults))
        self._volumes: dict[int, float] = {}
        self._approved: set[str] = set()
        self._intents: dict[str, int] = {}
        self._trace = hashlib.sha256()

    async def before(self, frame: Frame) -> None:
        names = [call[0] for call in frame["calls"]]
        delay = self.terminal.faults.delay_ahead(names)
        if delay:
            await asyncio.sleep(delay)

    async def after(self, frame: Frame) -> None:
        owed = self.terminal.take_owed()
        if math.isinf(owed):
            await asyncio.get_running_loop().create_future()
        elif owed:
            await asyncio.sleep(owed)

    def note(self, event: Event) -> None:
        """Follow the journal: what was proposed and approved, and whether "flat" was true when it was said."""
        self._trace.update(
            f"{event.event_type} {json.dumps(dict(event.metadata), sort_keys=True, default=str)}".encode()
        )
        if event.event_type is EventType.SIGNAL_APPROVED:
            self._approved.add(event.metadata["signal"])
        elif event.event_type is EventType.FLATTEN_FINISHED:
            self.verdict.flats += 1
            books = truth(self.terminal)
            if (books.positions or books.orders) and not self.terminal.faults.on(Refill):
                self._problem(f"flat was said with {len(books.positions)} positions and {len(books.orders)} orders")

    def _problem(self, text: str) -> None:
        self.verdict.problems.append(f"at {self.terminal.faults.now:.1f} s: {text}")

    async def run(self) -> Verdict:
        loop = asyncio.get_running_loop()
        while loop.time() < ACTIVE_SECONDS:
            async with self._engine() as made:
                await self._operate(made)
        for number in range(1, len(self.terminal.faults.hits()) + 1):
            self.terminal.faults.end(number)
        self.terminal.advance_to(loop.time())
        async with self._engine() as made:
            await self._converge(made)
        self._judge()
        self.verdict.seconds = loop.time()
        for record in self.terminal.ledger():
            self._trace.update(json.dumps(record).encode())
        self.verdict.trace = self._trace.hexdigest()
        for hit in self.terminal.faults.hits():
            kind = hit["fault"]["kind"]
            self.verdict.hits[kind] = self.verdict.hits.get(kind, 0) + hit["hits"]
        self.terminal.shutdown()
        return self.verdict

    def _engine(self) -> "_Running":
        return _Running(self)

    async def _operate(self, made: World) -> None:
        """Do anything an operator does until the time is over, or until the engine is killed."""
        loop = asyncio.get_running_loop()
        while loop.time() < ACTIVE_SECONDS:
            await asyncio.sleep(self._draws.uniform(0.05, 2.5))
            if made.running.done():
                made.running.result()
            what = self._draws.random()
            if what < 0.62:
                await self._trade(made)
            elif what < 0.72:
                action = wire.Pause() if made.engine.modes.mode is EngineMode.RUNNING else wire.Resume()
                await made.command(action)
            elif what < 0.80:
                await made.command(wire.Flatten(), "as drawn")
            elif what < 0.92:
                await made.command(wire.Reset(), "as drawn")
                await made.command(wire.Resume())
            else:
                self.verdict.restarts += 1
                await made.crash()
                return

    async def _trade(self, made: World) -> None:
        symbol = self._draws.choice(SYMBOLS)
        side = self._draws.choice((Side.BUY, Side.SELL))
        volume = round(self._draws.uniform(0.01, 1.2), 2)
        quote = made.engine.cycle.quotes.get(symbol)
        if quote is None:
            return
        digits = made.terminal.market.instruments[symbol].digits
        price = quote.tick.ask if side is Side.BUY else quote.tick.bid
        distance = price * self._draws.uniform(0.0006, 0.004)
        proposal = Proposal(
            symbol=symbol, side=side, volume=volume, source="campaign",
            sl=round(price - side.sign * distance, digits), tp=round(price + side.sign * 2 * distance, digits),
            expires_seconds=self._draws.choice((1, 5, 60)),
        )  # fmt: skip
        try:
            signal = await made.engine.proposals.take(proposal)
        except Refused:
            # By a rule, or because the broker cannot be asked now: there is nothing to approve.
            return
        self._intents[signal.id] = signal.magic
        self._volumes[signal.magic] = signal.volume
        if self._draws.random() < 0.85:
            await made.approve(signal)

    async def _converge(self, made: World) -> None:
        """With everything working again, a flatten ends flat, and what it says is true."""
        if made.engine.modes.mode is EngineMode.HALTED:
            await made.command(wire.Reset(), "the end")
        await made.command(wire.Flatten(), "the end")
        try:
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED, CONVERGE_SECONDS)
        except TimeoutError:
            self._problem(f"no flat within {CONVERGE_SECONDS:.0f} s of a broker that works: {made.engine.modes.mode}")
        books = truth(self.terminal)
        if books.positions or books.orders:
            self._problem(f"halted with {len(books.positions)} positions and {len(books.orders)} orders")

    def _judge(self) -> None:
        """Invariants 1 and 2 by the ledger's opening deals."""
        opened: dict[int, float] = {}
        for deal in truth(self.terminal).history.deals:
            if deal.entry == ENTRY_IN and deal.order and deal.magic:
                opened[deal.magic] = round(opened.get(deal.magic, 0.0) + deal.volume, 8)
        self.verdict.openings = len(opened)
        signals = {magic: signal for signal, magic in self._intents.items()}
        for magic, volume in opened.items():
            signal = signals.get(magic)
            if signal is None:
                self._problem(f"a deal of magic {magic} that nobody proposed")
            elif volume > self._volumes[magic]:
                self._problem(f"{signal} opened {volume} lots of {self._volumes[magic]}")
            elif signal not in self._approved:
                self._problem(f"{signal} was opened and never approved")


class _Running:
    """A world of a campaign, entered once the terminal can be reached."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign

    async def __aenter__(self) -> World:
        one = self._campaign
        loop = asyncio.get_running_loop()
        while True:
            one.terminal.advance_to(loop.time())
            one.starts += 1
            # Every start draws ids of its own, as a real one does.
            drawn = one.verdict.seed * 1000 + one.starts
            self._world = world(
                one.folder,
                terminal=one.terminal,
                before=one.before,
                after=one.after,
                settings=SETTINGS,
                seed=drawn,
            )
            try:
                made = await self._world.__aenter__()
            except Exception as refused:  # whatever it cannot start for: it is started again, as a supervisor does
                if loop.time() > ACTIVE_SECONDS + 60:
                    raise RuntimeError("the engine does not start with a terminal that works") from refused
                await asyncio.sleep(1.0)
                continue
            made.ids = random.Random(drawn)
            made.journal.subscribe(one.note)
            return made

    async def __aexit__(self, *about: Any) -> None:
        await self._world.__aexit__(*about)


def run_seed(seed: int, folder: Path) -> Verdict:
    """Run one seed in virtual time. A bug of the engine is a problem like any other."""
    campaign = Campaign(seed, folder)
    try:
        return run_virtual(campaign.run(), seed)
    except Exception as bug:  # the seed is reported with what ended it
        campaign.verdict.problems.append(f"ended by {type(bug).__name__}: {bug}")
        return campaign.verdict


def faults_of(seed: int) -> list[Fault]:
    """The plan of a seed, to read."""
    draws = random.Random(seed)
    draws.choice((0, 0, 200, 900))
    draws.choice(("keep", "cut", "replace"))
    return [read_fault(drawn_fault(draws)) for _ in range(draws.randint(0, 5))]
