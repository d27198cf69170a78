"""One seed: an engine, an operator who does anything, a terminal that goes wrong, kills; judged by the broker's ledger.

Everything is drawn from the seed, so that a failure is replayed exactly by its number. The engine's own view decides
nothing here: opening deals, positions and orders are read from the ledger of the paper terminal.
"""

import asyncio
import functools
import hashlib
import json
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine.approvals import Refused
from engine.broker.base import Side
from engine.broker.connection import Frame
from engine.closework import WorkState
from engine.control import messages as wire
from engine.events import Event, EventType
from engine.intake.proposals import Proposal
from engine.journal import JournalError
from engine.paper.books import Books
from engine.paper.conditions import EXCHANGE, HEDGING, NETTING, Conditions
from engine.paper.faultplan import Refill, read_fault
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.protection import STOP_SECONDS
from engine.scope import Scope
from engine.signals import UNRESOLVED_STATES, EntryType, id_of, is_ours, magic_of
from engine.state import EngineMode
from tests.simulation import alarms
from tests.simulation.drawn import ACTIVE_SECONDS, SYMBOLS, drawn_fault
from tests.simulation.judgement import judged
from tests.simulation.mortal import Dead, Life
from tests.simulation.other import Other
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, world

SETTLE_SECONDS = 10.0
CONVERGE_SECONDS = 180.0
SETTINGS: dict[str, Any] = {
    "loop": {"settle_seconds": SETTLE_SECONDS, "reconcile_seconds": 2.0},
    "drawdown": {"limit_percent": 3.0},
    "reading": {"interval_seconds": 0.25},
    "flatten": {"hold_seconds": 1.0, "settle_seconds": 5.0},
}
SOURCES = ("campaign", "other source")
LISTS = ("positions_get", "orders_get")
UNKNOWN_RETCODES = (10011, 10012, 10031, 10999)
LATENCIES = (0.0, 0.0, 0.0, 0.002, 0.05, 0.3)


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
            margin_mode=self._draws.choice((HEDGING, HEDGING, HEDGING, NETTING, EXCHANGE)),
            fifo_close=self._draws.random() < 0.2,
        )
        self._hedging, self._fifo = conditions.hedging, conditions.closes_by_fifo
        faults = tuple(read_fault(drawn_fault(self._draws)) for _ in range(self._draws.randint(0, 5)))
        self.alarmed = seed % 8 == 4
        """Whether alerts are raised and taken away: those of the other seeds cost no time."""
        balance = self._draws.choice((10_000.0, 10_000.0, 1_500.0))
        self.terminal = PaperTerminal.open(
            TerminalConfig(seed=seed, conditions=conditions, faults=faults, balance=balance)
        )
        self._other = Other(self.terminal, magic=7)
        self._latency = random.Random(seed)
        self._hits: Counter[str] = Counter()
        self._touched_stops: set[int] = set()
        self._empty: dict[str, tuple[float, float]] = {}
        self._doubt: dict[str, tuple[int, float]] = {}
        self._trace = hashlib.sha256()

    async def before(self, frame: Frame) -> None:
        names = [call[0] for call in frame["calls"]]
        delay = self.terminal.faults.delay_ahead(names) + self._latency.choice(LATENCIES)
        if delay:
            await asyncio.sleep(delay)

    async def after(self, frame: Frame) -> None:
        owed = self.terminal.take_owed()
        if math.isinf(owed):
            await asyncio.get_running_loop().create_future()
        elif owed:
            await asyncio.sleep(owed)

    def order_send(self, life: Life, honest: Any, request: dict[str, Any]) -> Any:
        """Stands right before the broker: what opens something there, opens it in the mode that is in force now."""
        opening = request["action"] == 5 or (request["action"] == 1 and "position" not in request)
        if opening and life.mode() is not EngineMode.RUNNING:
            self._problem(f"an opening was sent while the engine was {life.mode()}")
        if opening:
            self._is_alone(request)
        reply = honest(request)
        if opening and (reply is None or reply.retcode in UNKNOWN_RETCODES):
            self._doubt[request["symbol"]] = (request["magic"], asyncio.get_running_loop().time())
        return reply

    def looked(self, name: str, honest: Any, *args: Any, **kwargs: Any) -> Any:
        """Notes when a list of the broker was first and last read empty since it was not."""
        rows = honest(*args, **kwargs)
        if rows is not None and not args and not kwargs:
            now = asyncio.get_running_loop().time()
            first, _ = self._empty.get(name, (now, now))
            self._empty.pop(name, None) if rows else self._empty.update({name: (first, now)})
        return rows

    def _was_looked_at_twice(self) -> None:
        """Invariant 3: flat is said after two reads of both lists, each empty, at least a second apart."""
        for name in LISTS:
            first, last = self._empty.get(name, (math.inf, -math.inf))
            if last - first < 1.0:
                self._problem(f"flat was said after reads of {name} that were empty for {max(last - first, 0):.2f} s")

    def _is_alone(self, request: dict[str, Any]) -> None:
        """Invariant 12: no new risk on a symbol, and no second try, while what became of an opening is not known."""
        magic, since = self._doubt.get(request["symbol"], (0, -math.inf))
        age = asyncio.get_running_loop().time() - since
        if age < SETTLE_SECONDS:
            what = "was sent again" if magic == request["magic"] else f"was followed by {id_of(request['magic'])}"
            self._problem(f"{id_of(magic)} on {request['symbol']} {what} {age:.1f} s after an answer that says nothing")

    def note(self, event: Event) -> None:
        """Follow the journal: everything that happens."""
        self._trace.update(
            f"{event.event_type} {json.dumps(dict(event.metadata), sort_keys=True, default=str)}".encode()
        )

    def committed(self, event: Event) -> None:
        """Take what the engine knows or says in the moment it is durable: it may be killed before it is delivered.

        What is read before "flat" is delivered was not known when it was said.
        """
        if event.event_type in (EventType.TRADE_EXECUTED, EventType.ORDER_PLACED):
            symbol = event.metadata["symbol"]
            if self._doubt.get(symbol, (0,))[0] == magic_of(event.metadata["signal"]):
                del self._doubt[symbol]
        if event.event_type is EventType.FLATTEN_FINISHED:
            self.verdict.flats += 1
            self._was_looked_at_twice()
            books = truth(self.terminal)
            touched = self.terminal.faults.on(Refill) or self._touched_at > asyncio.get_running_loop().time() - 5
            if (books.positions or books.orders) and not touched:
                self._problem(f"flat was said with {len(books.positions)} positions and {len(books.orders)} orders")

    _touched_at = -math.inf
    """When somebody else opened something last, on the loop's clock: it may come right behind the last look."""

    def _problem(self, text: str) -> None:
        self.verdict.problems.append(f"at {asyncio.get_running_loop().time():.1f} s: {text}")

    async def run(self) -> Verdict:
        loop = asyncio.get_running_loop()
        while loop.time() < ACTIVE_SECONDS:
            async with _Running(self, chance=0.003, send_chance=0.02) as made:
                await self._operate(made)
        for number in range(1, len(self.terminal.faults.hits()) + 1):
            self.terminal.faults.end(number)
        self.terminal.advance_to(loop.time())
        async with _Running(self, chance=0.0, send_chance=0.0) as made:
            await self._converge(made)
            events = await made.journal.events(0, 1_000_000)
            problems, self.verdict.openings = judged(events, truth(self.terminal))
            self.verdict.problems += problems
            if self.alarmed:
                self.verdict.problems += alarms.untold(events)
                if made.engine.alerts.failure:
                    self._problem(f"alerts failed: {made.engine.alerts.failure}")
        self.verdict.seconds = loop.time()
        for record in self.terminal.ledger():
            self._trace.update(json.dumps(record).encode())
        self.verdict.trace = self._trace.hexdigest()
        for hit in self.terminal.faults.hits():
            self._hits[hit["fault"]["kind"]] += hit["hits"]
        self.verdict.hits = dict(self._hits)
        self.terminal.shutdown()
        return self.verdict

    async def _operate(self, made: World) -> None:
        """Do anything an operator, or somebody else at the terminal, does, until time is over or the engine dead."""
        loop = asyncio.get_running_loop()
        life = made.life
        assert life is not None
        while loop.time() < ACTIVE_SECONDS and life.alive:
            await asyncio.sleep(self._draws.uniform(0.05, 1.5))
            if made.running.done():
                if life.alive:
                    made.running.result()
                break
            try:
                await self._act(made, life)
            except Dead:
                break
        if not life.alive:
            self.verdict.restarts += 1

    async def _act(self, made: World, life: Life) -> None:
        what = self._draws.random()
        if what < 0.64:
            await self._trade(made)
        elif what < 0.67:
            await self._cancel(made)
        elif what < 0.71:
            self._touch()
        elif what < 0.745:
            await self._close(made)
        elif what < 0.75:
            await self._cancel_close(made)
        elif what < 0.76:
            self._hits["clock set"] += 1
            made.clock.offset += timedelta(seconds=self._draws.choice((-3600, -30, 30, 3600)))
        elif what < 0.80:
            action = wire.Pause() if made.engine.modes.mode is EngineMode.RUNNING else wire.Resume()
            await made.command(action)
        elif what < 0.83:
            await made.command(wire.Flatten(), "as drawn")
        elif what < 0.98:
            await made.command(wire.Reset(), "as drawn")
            await made.command(wire.Resume())
        else:
            life.die("killed anywhere")

    async def _trade(self, made: World) -> None:
        symbol = self._draws.choice(SYMBOLS)
        side = self._draws.choice((Side.BUY, Side.SELL))
        kind = self._draws.choice((EntryType.MARKET, EntryType.MARKET, EntryType.LIMIT, EntryType.STOP))
        sized = self._draws.random() < 0.2
        volume = round(self._draws.uniform(0.01, 1.2), 2)
        quote = made.engine.cycle.quotes.get(symbol)
        if quote is None:
            return
        instrument = made.terminal.market.instruments[symbol]
        price = quote.tick.ask if side is Side.BUY else quote.tick.bid
        if kind is not EntryType.MARKET:
            away = (instrument.stops_level + self._draws.randint(1, 20)) * instrument.point
            price += away * side.sign * (1 if kind is EntryType.STOP else -1)
        distance = price * self._draws.uniform(0.0006, 0.004)
        proposal = Proposal(
            symbol=symbol,
            side=side,
            type=kind,
            volume=None if sized else volume,
            risk_percent=self._draws.choice((0.2, 1.0)) if sized else None,
            source=self._draws.choice(SOURCES),
            entry=None if kind is EntryType.MARKET else round(price, instrument.digits),
            sl=round(price - side.sign * distance, instrument.digits),
            tp=round(price + side.sign * 2 * distance, instrument.digits),
            expires_seconds=self._draws.choice((1, 5, 60)),
            order_seconds=self._draws.choice((5, 30)),
        )
        approves = self._draws.random() < 0.85
        try:
            signal = await made.engine.proposals.take(proposal)
        except (Refused, JournalError):
            # By a rule, or because broker or journal cannot be asked now: there is nothing to approve.
            return
        if approves:
            await made.approve(signal)

    async def _cancel(self, made: World) -> None:
        working = made.engine.book.working()
        if working:
            signal = self._draws.choice(working)
            await made.command(wire.Cancel(signal=signal.id, version=signal.version), "as drawn")

    async def _close(self, made: World) -> None:
        """A scoped close; it may be refused as an operator's may."""
        positions = made.engine.cycle.reading.positions or ()
        kind, chosen = self._draws.randrange(6), self._draws.random()
        scope: wire.CloseScope = wire.LosersScope() if kind == 0 else wire.WinnersScope()
        if kind == 2:
            scope = wire.SymbolScope(symbol=self._draws.choice(SYMBOLS))
        elif kind == 3:
            scope = wire.SourceScope(source=self._draws.choice(SOURCES))
        elif kind > 3 and positions:
            one = positions[int(chosen * len(positions))]
            part = max(0.01, round(one.volume * self._draws.choice((0.3, 0.5)), 2)) if kind == 5 else None
            scope = wire.PositionScope(position=one.identifier, seen_volume=one.volume, volume=part)
        taken = await made.command(wire.Close(scope=scope), "as drawn")
        self._hits[f"close of {scope.kind}{' in part' if kind == 5 else ''}"] += taken.accepted

    async def _cancel_close(self, made: World) -> None:
        for job in made.engine.closings.active():
            await made.command(wire.CancelClose(id=job.id), "as drawn")

    def _touch(self) -> None:
        """Somebody else does something at the terminal; it may be refused as ours may."""
        what, symbol, volume = self._draws.randrange(4), self._draws.choice(SYMBOLS), self._draws.choice((0.05, 0.3))
        chosen = self._draws.random()
        positions = self._other.positions()
        if positions is None:
            return
        self._hits["touched by hand"] += 1
        if what == 0 or not positions:
            self._touched_at = asyncio.get_running_loop().time()
            self._other.attempt_deal(volume=volume, symbol=symbol)
            return
        position = positions[int(chosen * len(positions))]
        if what == 1:
            self._other.attempt_close(position, position.volume)
        elif what == 2:
            self._other.attempt_close(position, min(volume, position.volume))
        else:
            self._touched_stops.add(position.ticket)
            self._other.attempt_stop(position, 0.0)

    async def _converge(self, made: World) -> None:
        """With everything working again: nothing is left in doubt, every position has its stop, a flatten ends flat."""
        try:
            await made.until(lambda: not self._in_doubt(made), CONVERGE_SECONDS)
        except TimeoutError:
            self._problem(f"left in doubt by a broker that works: {self._in_doubt(made)}")
        await asyncio.sleep(STOP_SECONDS + 1)
        for position in truth(self.terminal).positions.values():
            ours = is_ours(position.magic) and self._hedging
            if ours and not position.sl and position.ticket not in self._touched_stops:
                self._problem(f"position {position.ticket} of {id_of(position.magic)} has no stop")
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
        await asyncio.sleep(5)  # the deals are looked at once more

    def _in_doubt(self, made: World) -> list[str]:
        return [
            *(
                f"{signal.id} {signal.state}"
                for signal in made.engine.book.all()
                if signal.state in UNRESOLVED_STATES and not signal.presumed_absent
            ),
            *(
                f"close {job.id} {job.scope} {job.state}: {job.remaining}"
                for job in made.engine.closings.active()
                if not (job.state is WorkState.DEFERRED and self._fifo and self._waits_for_others(made, job.scope))
            ),
        ]

    def _waits_for_others(self, made: World, scope: Scope) -> bool:
        """Whether nothing of a scope can be closed where the oldest goes first: each symbol's oldest is not in it."""
        books, sources = truth(self.terminal), made.engine.closings.sources.of
        oldest: dict[str, Any] = {}  # of the broker's own kind, with the fields that a scope asks for
        for one in books.positions.values():
            first = oldest.setdefault(one.symbol, one)
            if (one.time_msc, one.ticket) < (first.time_msc, first.ticket):
                oldest[one.symbol] = one
        return not any(scope.covers(one, sources) for one in oldest.values())


class _Running:
    """A world of a campaign, entered once the terminal can be reached."""

    def __init__(self, campaign: Campaign, *, chance: float, send_chance: float) -> None:
        self._campaign = campaign
        self._chances = {"chance": chance, "send_chance": send_chance}

    async def __aenter__(self) -> World:
        one = self._campaign
        loop = asyncio.get_running_loop()
        while True:
            one.terminal.advance_to(loop.time())
            one.starts += 1
            # Every start draws ids of its own, as a real one does.
            drawn = one.verdict.seed * 1000 + one.starts
            life = Life(random.Random(drawn), one._hits, committed=one.committed, **self._chances)
            self._world = world(
                one.folder,
                terminal=one.terminal,
                before=one.before,
                after=one.after,
                faults={
                    "order_send": functools.partial(one.order_send, life),
                    **{name: functools.partial(one.looked, name) for name in LISTS},
                },
                settings={**SETTINGS, "account": {"login": one.terminal.login}, "alerts": alarms.SETTINGS},
                courier=alarms.Careless(random.Random(drawn)) if one.alarmed else None,
                seed=drawn,
                life=life,
                note=one.note,
                compared=False,
            )
            try:
                made = await self._world.__aenter__()
            except BaseException as refused:  # whatever it cannot start for: it is started again, as a supervisor does
                if life.alive and not isinstance(refused, Exception):
                    raise
                if life.alive and loop.time() > ACTIVE_SECONDS + 60:
                    raise RuntimeError("the engine does not start with a terminal that works") from refused
                await asyncio.sleep(1.0)
                continue
            made.ids = random.Random(drawn)
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
