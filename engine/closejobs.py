"""Scoped closes: jobs that close a part of the account, block entries in it, and leave the engine's mode alone.

In: a scope, in every mode. Out: events, and a statement: "closed, confirmed by the broker at TIME", or what is left and
why. A job survives kill -9: the journal has it, and the next start goes on. How a thing is closed is closing.py's.
"""

import asyncio
import json
import random
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.approvals import Refused
from engine.broker.base import Broker, BrokerError, Order, Position, Sweep
from engine.closework import CloseWork, WorkState, act, go_round
from engine.closing import CONFIRM_SECONDS, Closer, unconnected
from engine.control import messages as wire
from engine.events import EventType
from engine.journal import JournalError
from engine.orders import VOLUME_EPSILON, partial_close_problem
from engine.recorder import Recorder, Spawn
from engine.scope import Scope, ScopeKind, held, scope_from_json, scope_to_json
from engine.settling import unexplained
from engine.signals import Signal, new_id
from engine.sources import Sources
from engine.specs import SpecBook
from engine.tickets import Purpose

_SHOWN = 20
"""Finished jobs that are still shown."""


@dataclass(slots=True)
class Job(CloseWork):
    """One scoped close."""

    scope: Scope = field(kw_only=True)
    known: set[int] = field(default_factory=set)
    """Identifiers of the positions that were seen in its scope: their deals are part of the proof."""


class CloseJobs:
    """The scoped closes of one account.

    `last_look` is the last valid look at the account, None when there is none; `flattening` says that the whole
    account is being flattened; `unresolved` are the signals whose order may be at the broker without our knowing.
    """

    def __init__(
        self,
        broker: Broker,
        specs: SpecBook,
        closer: Closer,
        recorder: Recorder,
        randomness: random.Random,
        *,
        last_look: Callable[[], Sweep | None],
        flattening: Callable[[], bool],
        unresolved: Callable[[], list[Signal]],
        spawn: Spawn,
    ) -> None:
        self._broker = broker
        self._specs = specs
        self._closer = closer
        self._recorder = recorder
        self._clock = recorder.clock
        self._randomness = randomness
        self._last_look = last_look
        self._flattening = flattening
        self._unresolved = unresolved
        self._spawn = spawn
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self.sources = Sources(recorder)

    async def load(self) -> None:
        """Take up the jobs from the journal: those that run, and the newest finished ones to show."""
        rows = await self._recorder.journal.query(
            "SELECT id, state, scope, reason, started_at, finished_at, statement FROM closings WHERE account = ?"
            " ORDER BY state = 'RUNNING' DESC, rowid DESC LIMIT"
            " (SELECT ? + count(*) FROM closings WHERE account = ? AND state = 'RUNNING')",
            (self._recorder.account, _SHOWN, self._recorder.account),
        )
        for name, state, scope, reason, started, finished, statement in reversed(rows):
            job = Job(name, reason, datetime.fromisoformat(started), scope=scope_from_json(json.loads(scope)))
            job.state = WorkState(state)
            job.finished_at = datetime.fromisoformat(finished) if finished else None
            job.statement = statement
            job.known = {one.identifier for one in job.scope.held}
            self._jobs[name] = job

    def resume(self) -> None:
        """Go on with what was running before a restart."""
        for job in self.active():
            self._start(self._run(job, None))

    def stop(self) -> None:
        """Stop working, as at the engine's end: the next start goes on."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()

    def all(self) -> list[Job]:
        """Every job that is shown, oldest first."""
        return list(self._jobs.values())

    def active(self) -> list[Job]:
        """Those that still close."""
        return [job for job in self._jobs.values() if job.is_active]

    def blocks_entry(self, symbol: str, source: str) -> str | None:
        """Why a close under way, or one whose outcome is not known, forbids an entry; None when none does."""
        for job in self.active():
            if job.scope.blocks(symbol, source):
                return f"close {job.id} is under way: {job.scope}"
        for sent in self._closer.settling.pending():
            if sent.symbol == symbol:
                return f"the outcome of close {sent.id} on {symbol} is not known"
        return None

    async def start(self, asked: wire.CloseScope, reason: str, **who: str) -> Job:
        """Begin a scoped close. Raises Refused, in words, when there is nothing to close or it may not be closed so."""
        if self._flattening():
            raise Refused("the whole account is being flattened: that closes this too")
        look = self._last_look()
        if look is None or look.positions is None:
            raise Refused("what is open cannot be read now; a flatten of the whole account works nevertheless")
        scope = await self._resolve(asked, look.positions, look.orders or ())
        for other in self.active():
            if _same(other.scope, scope):
                raise Refused(f"close {other.id} is under way: {other.scope}")
        if self._flattening():
            raise Refused("the whole account is being flattened: that closes this too")
        job = Job(new_id(self._randomness), reason, self._clock.utc(), scope=scope)
        job.known = {item.identifier for item in look.positions if scope.covers(item, self.sources.of)}
        self._jobs[job.id] = job
        for old in [item for item in self._jobs.values() if not item.is_active][:-_SHOWN]:
            del self._jobs[old.id]
        started = self._recorder.draft(
            EventType.CLOSING_STARTED, id=job.id, what=str(scope), scope=scope_to_json(scope), reason=reason, **who
        )
        await self._recorder.urgent(started)
        if job.is_active and not self._stopped:
            self._start(self._run(job, look))
        return job

    def cancel(self, job_id: str, said: str) -> Job:
        """Stop a close; what is left stays open. `said` is who wants it and why. Raises Refused."""
        job = self._jobs.get(job_id)
        if job is None:
            raise Refused(f"no close {job_id!r}")
        if not job.is_active:
            raise Refused(f"close {job_id} is {job.state}: {job.statement}")
        left = "; ".join(job.remaining) or "not known yet"
        self._end(job, WorkState.CANCELLED, f"cancelled by {said}; left open: {left}")
        return job

    def supersede(self, flatten_id: str) -> None:
        """A flatten of the whole account takes over everything."""
        for job in self.active():
            self._end(job, WorkState.CANCELLED, f"superseded by flatten {flatten_id} of the whole account")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # what a request covers

    async def _resolve(self, asked: wire.CloseScope, positions: Iterable[Position], orders: Iterable[Order]) -> Scope:
        match asked:
            case wire.PositionScope():
                return await self._one_position(asked, positions)
            case wire.LosersScope():
                scope = Scope(ScopeKind.LOSERS, held=held(item for item in positions if item.profit + item.swap < 0))
            case wire.WinnersScope():
                scope = Scope(ScopeKind.WINNERS, held=held(item for item in positions if item.profit + item.swap > 0))
            case wire.AllScope():
                scope = Scope(ScopeKind.ALL)
            case wire.SymbolScope():
                scope = Scope(ScopeKind.SYMBOL, symbol=asked.symbol)
            case wire.SourceScope():
                scope = Scope(ScopeKind.SOURCE, source=asked.source)
                await self._learn((*positions, *orders))
        of = self.sources.of
        found = any(scope.covers(item, of) for item in positions) or any(scope.covers_order(it, of) for it in orders)
        if not found:
            raise Refused(f"nothing to close: {scope}" if scope.is_dynamic else f"nothing to close: no {asked.kind}")
        return scope

    async def _one_position(self, asked: wire.PositionScope, positions: Iterable[Position]) -> Scope:
        position = next((item for item in positions if item.identifier == asked.position), None)
        if position is None:
            raise Refused(f"position {asked.position} is not open: it was never there, or it is closed")
        if abs(position.volume - asked.seen_volume) > VOLUME_EPSILON:
            raise Refused(
                f"position {asked.position} has {position.volume:g} lots now, you saw {asked.seen_volume:g}: look again"
            )
        part = asked.volume
        if part is not None:
            try:
                spec = await self._specs.get(position.symbol)
            except BrokerError as error:
                raise Refused(f"the conditions of {position.symbol} cannot be read: {error}") from error
            problem = partial_close_problem(spec, position.volume, part)
            if problem:
                raise Refused(problem)
            if position.volume - part <= VOLUME_EPSILON:
                part = None
        return Scope(ScopeKind.POSITION, symbol=position.symbol, held=held([position]), part=part)

    async def _learn(self, items: Iterable[Position | Order]) -> None:
        try:
            await self.sources.learn([item.magic for item in items])
        except JournalError as error:
            raise Refused(f"which source a position comes from cannot be read: {error}") from error

    # the work

    async def _run(self, job: Job, first_look: Sweep | None) -> None:
        scope, settling = job.scope, self._closer.settling
        purpose = Purpose(
            job.id,
            EventType.CLOSING_PROGRESS,
            proceed=lambda: job.is_active,
            lots=lambda position: scope.lots_of(position, settling.executed(job.id)),
            part=scope.part is not None,
        )
        proven = await go_round(
            job,
            self._closer,
            self._clock,
            purpose,
            first_look=first_look,
            hold_seconds=CONFIRM_SECONDS,
            once=lambda look: self._once(job, purpose, look),
            proven=lambda look: self._proven(job, look),
        )
        if proven is not None:
            self._end(job, WorkState.DONE, self._closed(job, proven))

    async def _once(self, job: Job, purpose: Purpose, look: Sweep | None) -> bool:
        """Act on one look. Whether it shows, beyond doubt, that nothing of the scope is left."""
        job.positions_closed, job.orders_cancelled = purpose.tally.closed, purpose.tally.cancelled
        stranger = self._closer.stranger(look)
        if look is None or stranger:
            job.remaining = [stranger or "the broker does not answer: what is open cannot be known"]
            return False
        if job.scope.kind is ScopeKind.SOURCE:
            try:
                await self.sources.learn([item.magic for item in look.positions or ()])
                await self.sources.learn([order.magic for order in look.orders or ()])
            except JournalError as error:
                job.remaining = [f"which source a position comes from cannot be read: {error}"]
                return False
        orders = tuple(order for order in look.orders or () if job.scope.covers_order(order, self.sources.of))
        positions = tuple(item for item in look.positions or () if self._is_left(job, item, purpose))
        job.known |= {item.identifier for item in positions}
        if positions or orders:
            if await act(job, self._closer, purpose, orders, positions):
                self._recorder.urgent_soon(EventType.CLOSING_DEFERRED, id=job.id, remaining=job.remaining)
            return False
        if not job.is_active:
            return False
        job.become(WorkState.RUNNING)
        doubt = self._doubt(job, look)
        job.remaining = [doubt] if doubt else []
        return not doubt

    def _is_left(self, job: Job, position: Position, purpose: Purpose) -> bool:
        """Whether a position is still to be closed: of the scope, or made by a close of this job that came too late."""
        if self._closer.settling.made(position.magic, job.id) and job.scope.part is None:
            return True
        return job.scope.covers(position, self.sources.of) and purpose.lots(position) > 0

    def _doubt(self, job: Job, look: Sweep) -> str:
        """Why an empty look does not count as empty; "" when it does."""
        lost = unconnected(look)
        if lost:
            return f"nothing left now, but {lost}"
        if look.positions is None or (look.orders is None and job.scope.is_dynamic):
            return f"the {'positions' if look.positions is None else 'orders'} cannot be read"
        if unsettled := self._closer.settling.unresolved(job.id):
            return f"nothing left now, {unsettled[0]} unresolved"
        if job.scope.is_dynamic:
            for signal in self._unresolved():
                if not signal.presumed_absent and job.scope.blocks(signal.symbol, signal.source):
                    return f"nothing left now, signal {signal.id} unresolved"
        return ""

    async def _proven(self, job: Job, look: Sweep | None) -> bool:
        """Whether the deals of every position that was seen explain it; says in the job what they do not."""
        lots = {item.identifier: item.volume for item in (look.positions or () if look is not None else ())}
        missing = await unexplained(self._broker, {name: lots.get(name, 0.0) for name in job.known})
        job.remaining = missing or job.remaining
        return not missing and job.is_active

    def _closed(self, job: Job, look: Sweep) -> str:
        """The statement of a close that is proven."""
        statement = f"closed, confirmed by the broker at {self._clock.utc():%H:%M:%S} UTC"
        if job.scope.part is None:
            return statement
        lots = {item.identifier: item.volume for item in look.positions or ()}
        executed = self._closer.settling.executed(job.id)
        return f"{statement}: {executed:g} lots by this close, {lots.get(job.scope.held[0].identifier, 0.0):g} left"

    def _end(self, job: Job, state: WorkState, statement: str) -> None:
        job.become(state)
        job.finished_at = self._clock.utc()
        job.statement = statement
        if state is WorkState.DONE:
            job.remaining = []
        self._closer.end(job.id)
        done = state is WorkState.DONE
        self._recorder.urgent_soon(
            EventType.CLOSING_FINISHED if done else EventType.CLOSING_CANCELLED,
            id=job.id,
            what=str(job.scope),
            statement=statement,
            positions_closed=job.positions_closed,
            orders_cancelled=job.orders_cancelled,
            remaining=job.remaining,
        )


def _same(one: Scope, other: Scope) -> bool:
    """Whether two scopes would close the same: of a position, the whole and each part of it."""
    if one.kind is ScopeKind.POSITION and other.kind is ScopeKind.POSITION:
        return one.held[0].identifier == other.held[0].identifier
    return one == other
