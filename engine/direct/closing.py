"""The closing itself, with gateways of its own and the engine's own flatten.

In: a fenced account, or one whose engine may still be there: then only what is harmless to do twice is done, which is
closing by ticket on a hedging account; on a netting account nothing is sent. Out: a report that ends flat.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from engine.app import PAPER_FOLDER, StartError, first_look, initialize_arguments
from engine.broker.base import Account, Broker, BrokerError, MarginMode
from engine.broker.child import spawn_workers
from engine.broker.connection import GatewayChange
from engine.broker.gateway import Gateways
from engine.broker.mt5 import Mt5Broker
from engine.clock import Clock
from engine.closework import WorkState
from engine.closing import Closer
from engine.config import Settings
from engine.direct.record import DirectRecorder
from engine.direct.remains import Doubts, Remains, read_remains
from engine.events import EventType
from engine.flatten import Flattener, FlattenReport
from engine.journal.fallback import Fallback
from engine.paper.launch import PaperMarket, open_paper_market
from engine.runfile import RunFile
from engine.scope import NOTHING_LEFT
from engine.signals import new_id
from engine.specs import SpecBook

JOURNAL_NAME = "journal.db"
_SHOW_SECONDS = 0.5
_TOUCH_SECONDS = 1.0
_AGAIN_SECONDS = 2.0
_READ_SECONDS = 5.0

Tell = Callable[[str], None]


class NothingSent(Exception):
    """Why nothing can be closed from here, for the operator."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked: why, by whom and from where; `expected` is the account that the engine had, "" if not known."""

    reason: str
    operator: str
    via: str
    expected: str


async def close_everything(
    settings: Settings, folder: Path, order: Order, run_file: RunFile | None, clock: Clock, loop_id: str, tell: Tell
) -> FlattenReport:
    """Close the account and return the report once it is flat. Goes on for as long as that takes.

    `run_file` is that of the account when it is fenced; None when it is not. Raises NothingSent.
    """

    def note(change: GatewayChange) -> None:
        if run_file is not None and change.what in ("started", "lost"):
            run_file.gateway(change.slot, change.pid if change.what == "started" else None)

    async with _market(settings, folder, fenced=run_file is not None) as market:
        spawn = spawn_workers(settings.terminal.module, initialize_arguments(settings, market), folder / "gateways.log")
        gateways = Gateways(spawn, clock, settings.gateway, note)
        await _start(gateways, tell)
        try:
            broker = Mt5Broker(gateways, settings.gateway)
            account = await _account(broker, settings, tell)
            name = f"{account.login}@{account.server}"
            if order.expected not in ("", name):
                raise NothingSent(f"the terminal is logged in to {name}; the engine had {order.expected}")
            if run_file is None and account.margin_mode is not MarginMode.HEDGING:
                raise NothingSent(
                    f"{name} nets its positions and its engine may still be there: two that close would turn a position"
                    " round. Close in the terminal by hand, or end the processes named above and try again"
                )
            if run_file is not None:
                run_file.account(name)
            fallback = Fallback((folder / JOURNAL_NAME).with_suffix(".fallback"))
            recorder = DirectRecorder(fallback, clock, loop_id, name)
            remains = await _remains(folder / JOURNAL_NAME, fallback, name)
            tell(f"connected to {name}; {'fenced' if run_file else 'NOT fenced: closing by ticket only'}")
            if remains.problem:
                tell(f"the journal could not be read, so what was under way is not known: {remains.problem}")
            flat = await close_on(settings, order, broker, account, recorder, remains, run_file, tell)
            if recorder.failure is not None:
                tell(f"this flatten is not, or not all, recorded: {recorder.failure}")
            return flat
        finally:
            await gateways.stop()


@contextlib.asynccontextmanager
async def _market(settings: Settings, folder: Path, *, fenced: bool) -> AsyncIterator[PaperMarket | None]:
    """The paper terminal, for a paper profile. It is revived and ended only by who has the account for himself."""
    if not settings.is_paper:
        yield None
        return
    if not (folder / PAPER_FOLDER).is_dir():
        # A new one would be flat, and not the one that is meant.
        raise NothingSent(f"no paper account was ever opened in {folder}: is QUARTERDECK_HOME the engine's?")
    try:
        market = await open_paper_market(settings.paper, folder / PAPER_FOLDER, as_it_was=True)
    except (ValueError, OSError) as error:
        raise NothingSent(f"the paper terminal does not start: {error}") from error
    if not fenced:
        yield market
        return
    with market.watching():
        yield market
    await market.shutdown()


async def _start(gateways: Gateways, tell: Tell) -> None:
    """Reach the terminal, however long that takes."""
    said = ""
    while True:
        try:
            await gateways.start()
        except BrokerError as error:
            if str(error) != said:
                said = str(error)
                tell(f"the terminal cannot be reached, and is tried again: {said}")
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            return


async def _account(broker: Mt5Broker, settings: Settings, tell: Tell) -> Account:
    said = ""
    while True:
        try:
            return await first_look(broker, settings)
        except StartError as error:
            if str(error) != said:
                said = str(error)
                tell(f"{said}; looking again")
            await asyncio.sleep(_AGAIN_SECONDS)


async def _remains(journal: Path, fallback: Fallback, name: str) -> Remains:
    """What the dead engine knew; a disk that hangs holds up no close."""
    try:
        async with asyncio.timeout(_READ_SECONDS):
            return await asyncio.to_thread(read_remains, journal, fallback, name)
    except TimeoutError:
        return Remains(problem=f"not read within {_READ_SECONDS:g} s")


async def close_on(
    settings: Settings,
    order: Order,
    broker: Broker,
    account: Account,
    recorder: DirectRecorder,
    remains: Remains,
    run_file: RunFile | None,
    tell: Tell,
) -> FlattenReport:
    """Close the account that a broker shows, of which a dead engine's remains are known, and return once it is flat."""
    randomness = random.SystemRandom()
    clock = recorder.clock
    doubts = Doubts(broker, clock, remains.doubtful, settle_seconds=settings.loop.settle_seconds)
    async with asyncio.TaskGroup() as group:
        closer = Closer(
            broker,
            SpecBook(broker),
            recorder,
            randomness,
            account=(account.login, account.server),
            netting=account.margin_mode is not MarginMode.HEDGING,
            fifo=account.fifo_close,
            settle_seconds=settings.flatten.settle_seconds,
            part_settle_seconds=settings.loop.settle_seconds,
            server_time=lambda symbol: None,
            spawn=group.create_task,
        )
        closer.settling.take_up(remains.closes)
        flattener = Flattener(
            broker,
            closer,
            recorder,
            hold_seconds=settings.flatten.hold_seconds,
            unresolved=doubts.unresolved,
            presumed_absent=doubts.presumed_absent,
        )
        report = flattener.begin(new_id(randomness), order.reason, remains.positions, (), NOTHING_LEFT)
        await recorder.urgent(
            recorder.draft(
                EventType.DIRECT_FLATTEN_STARTED,
                id=report.id,
                reason=order.reason,
                operator=order.operator,
                origin="direct",
                via=order.via,
                fenced=run_file is not None,
                journal="read" if not remains.problem else remains.problem,
            )
        )
        beside = [group.create_task(work) for work in (_show(report, tell), _doubt(doubts), _touch(run_file))]
        await flattener.run(report, None)
        await recorder.urgent(
            recorder.draft(
                EventType.DIRECT_FLATTEN_FINISHED, id=report.id, reason=order.reason, statement=report.statement
            )
        )
        for task in beside:
            task.cancel()
        await recorder.drained()
    return report


async def _show(report: FlattenReport, tell: Tell) -> None:
    """Say what changes while it goes on."""
    said = ""
    while True:
        left = "; ".join(report.remaining) or "nothing seen open, confirming"
        now = f"{report.positions_closed} closed, {report.orders_cancelled} cancelled; {left}"
        if report.state is WorkState.DEFERRED:
            now = f"DEFERRED, tried again: {now}"
        if now != said:
            said = now
            tell(now)
        await asyncio.sleep(_SHOW_SECONDS)


async def _doubt(doubts: Doubts) -> None:
    while doubts.unresolved():
        await doubts.look()
        await asyncio.sleep(doubts.look_seconds)


async def _touch(run_file: RunFile | None) -> None:
    while run_file is not None:
        run_file.touch()
        await asyncio.sleep(_TOUCH_SECONDS)
