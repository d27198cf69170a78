"""One seed for the guards: limits, losses, cash flows, readings that lie, deals that hide, kills; judged by the broker.

As in `campaign.py` everything is drawn from the seed, and the engine's own view decides nothing: what was on the
account is the paper terminal's, what the engine was told is noted where it was answered (`guard_judge.py`).
"""

import asyncio
import hashlib
import json
import logging
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from engine.approvals import Refused
from engine.broker.base import Side
from engine.broker.connection import Frame
from engine.broker.mt5 import DealType
from engine.control import messages as wire
from engine.events import Event, EventType
from engine.funds import FLOWS
from engine.guards.equity_floor import EquityFloorGuard
from engine.guards.loss import LossLimit
from engine.guards.open_positions import OpenPositionsGuard
from engine.intake.proposals import Proposal
from engine.journal import JournalError
from engine.journal.database import open_reader
from engine.journal.record import SELECT_AFTER, row_event
from engine.paper.conditions import Conditions
from engine.paper.faultplan import read_fault
from engine.paper.ledger import DEAL
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.state import EngineMode
from tests.simulation.campaign import LATENCIES, Verdict
from tests.simulation.guard_drawn import (
    ACTIVE_SECONDS,
    QUIET_SECONDS,
    RESET_AT,
    STALE_SECONDS,
    drawn_fault,
    drawn_rules,
)
from tests.simulation.guard_judge import Flow, Judge, Result
from tests.simulation.mortal import Dead, Life
from tests.simulation.virtual import EPOCH, run_virtual
from tests.simulation.world import World, world

END_SECONDS = 15.0
SYMBOLS = ("EURUSD", "USDJPY")
LATE_SECONDS = 0.6
"""An answer that took so long may count as stale by what it waited for elsewhere."""
BLOCKED_WITHIN_SECONDS = 3.0
BLOCKED_UNREAD_SECONDS = 7.0
"""After so long money that no deal explains blocks openings: when the deals can be read, and when they cannot."""
RAISED_SECONDS = 1.0
"""An opening that was on its way already may still be sent so long after a guard has raised."""
REST_SECONDS = 9.0
"""How long the equity is left exactly at a floor: long enough for a breach that lasts."""
OTHER_LOGIN = 77
MOST_PROBLEMS = 4
INSTANT = 0.001
"""How exactly the journal's times are those of the run."""
FLOW_KINDS = (DealType.BALANCE, DealType.BALANCE, DealType.CREDIT, DealType.CHARGE, DealType.CORRECTION, DealType.BONUS)
BLOCKED_MODES = (EngineMode.FLATTENING, EngineMode.HALTED)


class _Bent:
    """An answer of the terminal with other values in it."""

    def __init__(self, honest: Any, **values: Any) -> None:
        self._values = {**honest._asdict(), **values}

    def _asdict(self) -> dict[str, Any]:
        return self._values


class GuardCampaign:
    """One seed under way."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.verdict = Verdict(seed)
        self.folder = folder
        self._draws = random.Random(seed)
        draws = self._draws
        self._settings, limits = drawn_rules(draws)
        conditions = Conditions(commission_per_lot=draws.choice((0.0, 3.5)))
        faults = tuple(read_fault(drawn_fault(draws)) for _ in range(draws.randint(0, 4)))
        self.terminal = PaperTerminal.open(TerminalConfig(seed=seed, conditions=conditions, faults=faults))
        self.judge = Judge(limits, RESET_AT, self._problem)
        self._latency = random.Random(seed)
        self._hits: Counter[str] = Counter()
        self._trace = hashlib.sha256()
        self._late = draws.choice((0.0, 0.0, 0.8))
        self._hiding = self._drawn_window(0.5, 22.0)
        self._unread = self._drawn_window(0.4, 8.0)
        self._other = (*self._drawn_window(0.4, 5.0), draws.choice((25_000.0, 100.0)))
        names = [limit.name for limit in limits if limit.kind in ("floor", "initial", "peak")][1:]
        names += ["open positions"] if "open_positions" in self._settings["guards"] else []
        self._broken = (*self._drawn_window(0.5, 15.0), draws.choice(names) if names else "")
        self._raised: dict[str, float] = {}
        self._arrived: dict[int, float] = {}
        self._hidden: set[int] = set()
        self._read = 0
        self.flows_total = 0.0
        self._said_total = 0.0
        self._seq = 0
        self._mode, self._mode_at, self._epoch = "", -math.inf, 0
        self._asked: dict[str, float] = {}
        self._locked: dict[str, float] = {}
        self._info: Any = None
        self._connected = False
        self._began = 0.0
        self._life: Life | None = None
        self._starts = 0
        self._rests_until = 0.0

    def _drawn_window(self, chance: float, longest: float) -> tuple[float, float]:
        begins = self._draws.uniform(QUIET_SECONDS, ACTIVE_SECONDS - 5)
        lasts = self._draws.uniform(0.5, longest)
        return (begins, begins + lasts) if self._draws.random() < chance else (math.inf, math.inf)

    def _problem(self, text: str) -> None:
        # What goes wrong once is seen again with every look: the first is what is searched for.
        if len(self.verdict.problems) < MOST_PROBLEMS:
            self.verdict.problems.append(f"at {self._now:.1f} s: {text}")

    @property
    def _now(self) -> float:
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return math.nan

    def _during(self, window: tuple[Any, ...]) -> bool:
        return bool(window[0] <= self._now < window[1])

    # between the engine and its terminal

    async def before(self, frame: Frame) -> None:
        names = [call[0] for call in frame["calls"]]
        delay = self.terminal.faults.delay_ahead(names) + self._latency.choice(LATENCIES)
        began = self._now
        if delay:
            await asyncio.sleep(delay)
        self._began = began
        self._info, self._connected = None, False

    async def after(self, frame: Frame) -> None:
        names = [call[0] for call in frame["calls"]]
        owed = self.terminal.take_owed()
        if "account_info" in names:
            self._looked(self._now - self._began + owed, owed, cycle="symbol_info_tick" in names)
        if math.isinf(owed):
            await asyncio.get_running_loop().create_future()
        elif owed:
            await asyncio.sleep(owed)

    def _looked(self, took: float, owed: float, *, cycle: bool) -> None:
        self.sample()
        totals = self.terminal.account.totals()
        said = {} if self._info is None else self._info._asdict()
        truth = {"login": self.terminal.login, "balance": totals.balance, "equity": totals.equity}
        honest = self._connected and all(said.get(name) == value for name, value in truth.items())
        late = took > LATE_SECONDS or owed > 0
        alive = self._life is not None and self._life.alive
        self.judge.look(self._now, honest=honest and took <= STALE_SECONDS, late=late, cycle=cycle and alive)
        if self._mode in BLOCKED_MODES:
            self.judge.stands_down()

    def sample(self) -> None:
        """Note what is on the account."""
        flows = []
        for record in self.terminal.ledger(self._read):
            self._read = record.sequence
            if record.kind != DEAL:
                continue
            ticket, kind = record.row[0], record.row[4]
            began = not self._arrived
            self._arrived[ticket] = -math.inf if began else self._now
            self.judge.deal_at = self._now
            amount = sum(record.row[11:15])
            if kind not in FLOWS and amount:
                self.judge.results.append(Result(ticket, amount))
            if kind in FLOWS and not began:
                flows.append(Flow(ticket, amount))
                self.flows_total += amount
                if self._during(self._hiding):
                    self._hidden.add(ticket)
                    self._hits["deal hidden"] += 1
        if self._now >= self._hiding[1]:
            self._hidden.clear()
        totals = self.terminal.account.totals()
        visible = not self._hidden and not self._during(self._unread)
        self.judge.sample(self._now, totals.balance, totals.equity, flows, visible=visible)

    def account_info(self, honest: Any) -> Any:
        info = honest()
        if info is not None and self._during(self._other):
            self._hits["another account"] += 1
            money = self._other[2]
            info = _Bent(info, login=OTHER_LOGIN, balance=money, credit=0.0, profit=0.0, equity=money, margin=0.0)
        self._info = info
        return info

    def terminal_info(self, honest: Any) -> Any:
        info = honest()
        self._connected = info is not None and info.connected
        return info

    def history_deals_get(self, honest: Any, *args: Any, **kwargs: Any) -> Any:
        self.sample()
        deals = honest(*args, **kwargs)
        if deals is None:
            return None
        if self._during(self._unread):
            self._hits["deals unread"] += 1
            return None
        now = self._now
        late = {ticket for ticket, at in self._arrived.items() if now - at < self._late}
        self._hits["deal late"] += bool(late)
        shown = tuple(deal for deal in deals if deal.ticket not in self._hidden and deal.ticket not in late)
        tickets = {deal.ticket for deal in shown}
        for flow in self.judge.flows:
            flow.shown = flow.shown or flow.ticket in tickets
        for result in self.judge.results:
            result.shown = result.shown or result.ticket in tickets
        return shown

    def order_send(self, life: Life, honest: Any, request: dict[str, Any]) -> Any:
        """Stands right before the broker: nothing is opened while something forbids it."""
        if request["action"] == 5 or (request["action"] == 1 and "position" not in request):
            self._opening(life)
        return honest(request)

    def _opening(self, life: Life) -> None:
        now = self._now
        if self._mode != EngineMode.RUNNING or life.mode() is not EngineMode.RUNNING:
            self._problem(f"an opening was sent while {life.mode()}, {self._mode} in the journal")
        for name, since in self._raised.items():
            if now - since > RAISED_SECONDS:
                self._problem(f"an opening was sent {now - since:.1f} s after {name} began to raise")
        for name, since in self._locked.items():
            if now - since > RAISED_SECONDS:
                self._problem(f"an opening was sent while {name} is locked until an operator unlocks it")
        within = BLOCKED_WITHIN_SECONDS if math.isinf(self._unread[0]) else BLOCKED_UNREAD_SECONDS
        if self.judge.unexplained(now) > within:
            self._problem(f"an opening was sent {self.judge.unexplained(now):.1f} s after money that no deal explains")
        self.verdict.openings += 1

    # what is journalled and shown

    def note(self, event: Event) -> None:
        """Follow the journal."""
        if event.seq <= self._seq:
            return
        self._seq = event.seq
        said = event.metadata
        self._trace.update(f"{event.event_type} {json.dumps(dict(said), sort_keys=True, default=str)}".encode())
        at = (event.timestamp - EPOCH).total_seconds()
        match event.event_type:
            case EventType.ACCOUNT_OPENED:
                self._mode = said["mode"]
            case EventType.ENGINE_STARTED:
                if (said["mode"], said["epoch"]) != (self._mode, self._epoch):
                    self._problem(
                        f"started {said['mode']} in epoch {said['epoch']} after {self._mode} in {self._epoch}"
                    )
            case EventType.MODE_CHANGED:
                self._mode_changed(said["from"], said["to"], said["epoch"], at)
            case EventType.GUARD_TRIPPED if self._mode not in BLOCKED_MODES:
                self._hits[f"trip of {said['guard']}"] += 1
                self.judge.tripped(said["guard"], at)
            case EventType.GUARD_TRIPPED:
                self._hits["breach while flattened"] += 1
            case EventType.GUARD_LOCKED:
                if "operator" in said["locked"]:
                    self._locked[said["guard"]] = at
            case EventType.GUARD_UNLOCKED:
                if self._asked.get("unlock", -1.0) < self._locked.pop(said["guard"], 0.0):
                    self._problem(f"{said['guard']} was unlocked and nobody asked")
            case EventType.CASH_FLOW:
                self._said_total += said["amount"]
                self._hits[f"shift {said['kind']}"] += 1
            case EventType.PEAK_RESET:
                self._locked.clear()
                self.judge.began_again(at, keep=said["baseline_kept"])
            case EventType.BASES_SET:
                self._hits["bases set"] += 1
                self.judge.bases_set(at, initial=said.get("initial"), highest=said.get("highest_equity"))
            case EventType.FLATTEN_FINISHED:
                self.verdict.flats += 1
            case EventType.FUNDS_SETTLED:
                self._hits[f"settled as {said['what']}"] += 1
                self.judge.settled(said["what"])

    def _mode_changed(self, before: str, after: str, epoch: int, at: float) -> None:
        """Invariant 5: an operator alone lifts a halt or a pause."""
        if epoch <= self._epoch:
            self._problem(f"epoch {epoch} after {self._epoch}")
        if before != self._mode:
            self._problem(f"{before} to {after}, it was {self._mode}")
        asked = {EngineMode.RUNNING: "resume", EngineMode.PAUSED: "reset" if before == EngineMode.HALTED else ""}
        kind = asked.get(EngineMode(after), "")
        if kind and self._asked.get(kind, -1.0) < self._mode_at - INSTANT:
            self._problem(f"{before} to {after} and nobody asked")
        self._mode, self._mode_at, self._epoch = after, at, epoch

    def _look_at_what_is_shown(self, made: World) -> None:
        if made.engine.cycle.facts is None:
            return
        now = self._now
        for guard in made.target.snapshot().risk.guards:
            if guard.floor is not None and not guard.failed:
                self.judge.shown(guard.name, guard.floor, now)
            if guard.lock is None and now - self._locked.get(guard.name, math.inf) > RAISED_SECONDS:
                self._problem(f"{guard.name} was locked until an operator unlocks it, and is not any more")
            if guard.name == "drawdown" and guard.headroom is not None:
                self.judge.shown_drawdown(guard.value, guard.headroom, made.engine.cycle.guard.state.equity, now)

    def _guard_judges(self, name: str, honest: Callable[[], Any]) -> Any:
        """Ask a guard, or have it raise."""
        if self._during(self._broken) and self._broken[2] == name:
            self._hits["guard raised"] += 1
            self._raised.setdefault(name, self._now)
            raise RuntimeError("a bug")
        found = honest()
        self._raised.pop(name, None)
        return found

    @contextmanager
    def breaking(self) -> Iterator[None]:
        """Let the guard that was drawn raise while its time is."""
        campaign = self

        def broken(kind: type[Any]) -> Any:
            honest = kind.judge

            def judge(self: Any, memory: Any, facts: Any) -> Any:
                if facts.reading.account.login != campaign.terminal.login:
                    return honest(self, memory, facts)
                return campaign._guard_judges(self.name, lambda: honest(self, memory, facts))

            return patch.object(kind, "judge", judge)

        with broken(EquityFloorGuard), broken(LossLimit), broken(OpenPositionsGuard):
            yield

    # the run

    async def run(self) -> Verdict:
        loop = asyncio.get_running_loop()
        sampling = loop.create_task(self._sample_for_ever())
        while loop.time() < ACTIVE_SECONDS:
            async with self._running(chance=0.002, send_chance=0.01) as made:
                await self._operate(made)
            self.judge.stopped()
            self._raised.clear()
            if loop.time() < ACTIVE_SECONDS:
                await asyncio.sleep(self._draws.choice((0.2, 1.0, 6.0)))
        for number in range(1, len(self.terminal.faults.hits()) + 1):
            self.terminal.faults.end(number)
        never = (math.inf, math.inf)
        self._hiding, self._unread = (-math.inf, -math.inf), never
        self._other, self._broken, self._late = (*never, 0.0), (*never, ""), 0.0
        self.terminal.advance_to(loop.time())
        async with self._running(chance=0.0, send_chance=0.0) as made:
            await self._end(made)
        sampling.cancel()
        self.verdict.seconds = loop.time()
        for record in self.terminal.ledger():
            self._trace.update(json.dumps(record).encode())
        self.verdict.trace = self._trace.hexdigest()
        for hit in self.terminal.faults.hits():
            self._hits[hit["fault"]["kind"]] += hit["hits"]
        self._hits["exactly at the floor"] += self.judge.exact_hits
        self.verdict.hits = dict(self._hits)
        self.terminal.shutdown()
        return self.verdict

    async def _sample_for_ever(self) -> None:
        while True:
            self.terminal.advance_to(self._now)
            self.sample()
            for limit in self.judge.limits.values():
                limit.blind = self._during(self._broken) and self._broken[2] == limit.name
            await asyncio.sleep(0.25)

    async def _operate(self, made: World) -> None:
        loop = asyncio.get_running_loop()
        life = made.life
        assert life is not None
        while loop.time() < ACTIVE_SECONDS and life.alive:
            await asyncio.sleep(self._draws.uniform(0.05, 1.0))
            if made.running.done():
                if life.alive:
                    made.running.result()
                break
            if loop.time() < QUIET_SECONDS:
                continue
            try:
                self._look_at_what_is_shown(made)
                if loop.time() > self._rests_until:
                    await self._act(made, life)
            except Dead:
                break
            except RuntimeError:
                # A command that was under way when its engine died finds nobody to carry it out.
                if life.alive:
                    raise
        if not life.alive:
            self.verdict.restarts += 1

    async def _act(self, made: World, life: Life) -> None:
        what = self._draws.random()
        if made.engine.modes.mode is EngineMode.HALTED and what < 0.4:
            await self._reset(made)
        elif what < 0.40:
            await self._trade(made)
        elif what < 0.55:
            self._lose(round(self._draws.uniform(5.0, 160.0), 2))
        elif what < 0.65:
            self._lose_exactly()
        elif what < 0.76:
            self._flow()
        elif what < 0.81:
            await self._ask(made, wire.Pause() if self._mode == EngineMode.RUNNING else wire.Resume())
        elif what < 0.86:
            for name in tuple(self._locked):
                await self._ask(made, wire.Unlock(guard=name))
        elif what < 0.89:
            await self._bases(made)
        elif what < 0.93:
            await self._settle(made)
        elif what < 0.98:
            await self._ask(made, wire.Close(scope=wire.AllScope()))
        else:
            life.die("killed anywhere")

    async def _ask(self, made: World, action: wire.Action) -> bool:
        self._asked[action.kind] = self._now
        return (await made.command(action, "as drawn")).accepted

    async def _reset(self, made: World) -> None:
        baseline: Any = self._draws.choice(("keep", "present", "present"))
        done = await self._ask(made, wire.Reset(baseline=baseline))
        self._hits[f"reset {baseline}"] += done
        if done and self._draws.random() < 0.8:
            await self._ask(made, wire.Resume())

    async def _trade(self, made: World) -> None:
        symbol = self._draws.choice(SYMBOLS)
        side = self._draws.choice((Side.BUY, Side.SELL))
        volume = round(self._draws.uniform(0.1, 2.5), 2)
        share = self._draws.uniform(0.001, 0.006)
        quote = made.engine.cycle.quotes.get(symbol)
        if quote is None:
            return
        price = quote.tick.ask if side is Side.BUY else quote.tick.bid
        digits = made.terminal.market.instruments[symbol].digits
        distance = side.sign * price * share
        try:
            signal = await made.engine.proposals.take(
                Proposal(
                    symbol=symbol,
                    side=side,
                    volume=volume,
                    source="campaign",
                    sl=round(price - distance, digits),
                    tp=round(price + 2 * distance, digits),
                )
            )
        except (Refused, JournalError):
            return
        await made.approve(signal)

    def _lose(self, amount: float) -> None:
        self.terminal.cash(DealType.COMMISSION, -amount, "as drawn")
        self.sample()

    def _lose_exactly(self) -> None:
        """Bring the equity exactly to a floor, where that is a sum of money and nothing moves it on."""
        limit = self._draws.choice(list(self.judge.limits.values()))
        floor = limit.floors
        known = floor.low == floor.high and round(floor.low, 2) == floor.low and not self.judge.flows
        amount = round(self.judge.equity - floor.low, 2)
        if known and amount > 0 and not self.terminal.account.books.positions:
            self._hits["brought to the floor"] += 1
            self._lose(amount)
            self._rests_until = self._now + REST_SECONDS

    def _flow(self) -> None:
        kind = self._draws.choice(FLOW_KINDS)
        size = self._draws.choice((self._draws.uniform(0.001, 0.04), self._draws.uniform(0.2, 0.6)))
        goes = self._draws.random() < 0.6
        equity = self.judge.equity
        if len(self.judge.flows) > 2 or equity < 2_000:
            return
        amount = round(size * equity, 2)
        if kind is DealType.CHARGE or (goes and kind is not DealType.BONUS and equity > 5_000):
            amount = -amount
        if equity > 40_000:
            amount = -abs(amount)
        self.terminal.cash(kind, amount, "as drawn")
        self._hits[f"{kind.name.lower()} {'out' if amount < 0 else 'in'}"] += 1
        self.sample()

    async def _bases(self, made: World) -> None:
        name = self._draws.choice(("initial", "highest_equity"))
        value = round(self.judge.equity * self._draws.uniform(0.99, 1.02), 2)
        if self._mode == EngineMode.PAUSED and not self.judge.flows:
            said = {name: value}
            await self._ask(made, wire.SetBases(**said))

    async def _settle(self, made: World) -> None:
        what: Any = self._draws.choice(("cash flow", "cash flow", "cash flow", "result"))
        # Nobody settles what is only late: the deals of results come, and money that went is looked up.
        sure = self._now - self.judge.deal_at > 4 and not self._during(self._unread)
        if self.judge.flows and sure:
            await self._ask(made, wire.SettleFunds(what=what))

    async def _end(self, made: World) -> None:
        """With everything working again: every flow is booked once, and what is shown is the truth."""
        until = self._now + END_SECONDS
        while self._now < until:
            await asyncio.sleep(0.5)
            if made.running.done():
                made.running.result()
            self._look_at_what_is_shown(made)
        refusal = made.engine.books.refusal()
        if refusal is not None:
            self._problem(f"with every deal visible: {refusal}")
        if abs(self._said_total - self.flows_total) > 0.01:
            self._problem(f"flows of {self.flows_total:.2f} were journalled as {self._said_total:.2f}")

    @asynccontextmanager
    async def _running(self, *, chance: float, send_chance: float) -> AsyncIterator[World]:
        """A world, entered once the terminal can be reached."""
        loop = asyncio.get_running_loop()
        while True:
            self.terminal.advance_to(loop.time())
            self._starts += 1
            drawn = self.verdict.seed * 1000 + self._starts
            life = self._life = Life(random.Random(drawn), self._hits, chance=chance, send_chance=send_chance)

            def send(honest: Any, request: dict[str, Any], life: Life = life) -> Any:
                return self.order_send(life, honest, request)

            entered = world(
                self.folder,
                terminal=self.terminal,
                before=self.before,
                after=self.after,
                faults={
                    "order_send": send,
                    "account_info": self.account_info,
                    "terminal_info": self.terminal_info,
                    "history_deals_get": self.history_deals_get,
                },
                settings={**self._settings, "account": {"login": self.terminal.login}},
                seed=drawn,
                life=life,
                note=self._note,
                compared=False,
            )
            try:
                made = await entered.__aenter__()
                break
            except BaseException as refused:  # whatever it cannot start for: it is started again, as by a supervisor
                if life.alive and not isinstance(refused, Exception):
                    raise
                if life.alive and loop.time() > ACTIVE_SECONDS + 60:
                    raise RuntimeError("the engine does not start with a terminal that works") from refused
                await asyncio.sleep(1.0)
        made.ids = random.Random(drawn)
        try:
            yield made
        finally:
            await entered.__aexit__(None, None, None)

    def _note(self, event: Event) -> None:
        """What a run journals; a kill right behind a commit leaves events of which nobody was told."""
        if event.seq > self._seq + 1:
            reader = open_reader(self.folder / "journal.db")
            for row in reader.execute(SELECT_AFTER, (self._seq, event.seq - self._seq - 1)).fetchall():
                self.note(row_event(row))
            reader.close()
        self.note(event)


def run_seed(seed: int, folder: Path) -> Verdict:
    """Run one seed in virtual time. A bug of the engine is a problem like any other."""
    campaign = GuardCampaign(seed, folder)
    try:
        with campaign.breaking():
            return run_virtual(campaign.run(), seed)
    except Exception as bug:  # the seed is reported with what ended it
        logging.getLogger(__name__).debug("seed %s", seed, exc_info=True)
        campaign.verdict.problems.append(f"ended by {type(bug).__name__}: {bug}")
        return campaign.verdict
