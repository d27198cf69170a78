"""A whole engine in one process, in virtual time, without threads: paper terminal, gateways, journal, guard, loop.

Nothing here is a stand-in for a part under test: the terminal is the paper terminal, the gateways' dispatcher is the
worker's, the journal is the real one on a real file, written inline.
"""

import asyncio
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.account import AccountEngine
from engine.alerts.delivery import Courier
from engine.broker.base import Side
from engine.broker.connection import Connection, Frame
from engine.broker.gateway import Gateways
from engine.broker.inprocess import connect_in_process
from engine.broker.mt5 import Mt5Broker
from engine.config import Settings
from engine.control import messages as wire
from engine.control.target import Operator
from engine.events import Event
from engine.intake.proposals import Proposal
from engine.journal import Journal
from engine.killswitch import KillFile
from engine.paper.brokerclock import BrokerClock
from engine.paper.client import PaperClient
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.projection import SCHEMA, project
from engine.signals import Signal
from engine.target import EngineTarget
from tests.simulation.mortal import Life
from tests.simulation.virtual import VirtualClock

OPERATOR = Operator("tester", "test")
Hook = Callable[[Frame], Awaitable[None]]


async def _nothing(frame: Frame) -> None:
    """No fault."""


class Faulty:
    """A broker module whose functions a test replaces one by one; the others are the paper client's."""

    def __init__(self, client: PaperClient, faults: Mapping[str, Callable[..., Any]]) -> None:
        self._client = client
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        honest = getattr(self._client, name)
        fault = self._faults.get(name)
        return honest if fault is None else functools.partial(fault, honest)


@dataclass
class World:
    """One running engine and everything around it that a test looks at."""

    terminal: PaperTerminal
    gateways: Gateways
    journal: Journal
    engine: AccountEngine
    target: EngineTarget
    running: asyncio.Task[None]
    clock: VirtualClock
    kill_file: KillFile
    life: Life | None = None
    ids: random.Random = field(default_factory=lambda: random.Random(99))

    async def until(self, condition: Callable[[], Any], seconds: float = 60.0) -> None:
        """Let virtual time pass until a condition holds."""
        async with asyncio.timeout(seconds):
            while not condition():
                if self.running.done():
                    self.running.result()
                    raise AssertionError("the engine ended")
                # A long wait need not look as often as a short one.
                await asyncio.sleep(0.01 if seconds <= 60 else 0.1)

    async def crash(self) -> None:
        """End the engine as kill -9 would: nothing of it runs on."""
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    async def command(self, action: wire.Action, reason: str = "") -> wire.CommandResult:
        """Send a command as an operator does."""
        identifier = f"{self.ids.getrandbits(64):016x}"
        return await self.target.execute(wire.Command(id=identifier, action=action, reason=reason), OPERATOR)

    async def approve(self, signal: Signal) -> wire.CommandResult:
        """Approve a signal at the version it has."""
        return await self.command(wire.Approve(signal=signal.id, version=signal.version))

    async def bought(self, symbol: str = "EURUSD", volume: float = 0.5, distance: float = 0.0050) -> None:
        """Propose, approve and wait until the position is seen."""
        before = len(self.engine.cycle.reading.positions or ())
        signal = await self.engine.proposals.take(self.buy(symbol, volume, distance))
        result = await self.approve(signal)
        assert result.accepted, result.message
        await self.until(lambda: len(self.engine.cycle.reading.positions or ()) > before)

    def buy(
        self, symbol: str = "EURUSD", volume: float | None = 0.5, distance: float = 0.0050, **changes: Any
    ) -> Proposal:
        """A proposal with its stop and target this far from the price now."""
        ask = self.engine.cycle.quotes[symbol].tick.ask
        values = {"sl": round(ask - distance, 5), "tp": round(ask + 2 * distance, 5), "source": "test", **changes}
        return Proposal(symbol=symbol, side=Side.BUY, volume=volume, **values)

    async def events(self, *kinds: str) -> list[dict[str, Any]]:
        """The metadata of the journalled events of these kinds, in order, with their kind."""
        events = await self.journal.events(0, 1_000_000)
        return [
            {"kind": event.event_type, **event.metadata} for event in events if not kinds or event.event_type in kinds
        ]


@asynccontextmanager
async def world(
    folder: Path,
    *,
    terminal: PaperTerminal | None = None,
    before: Hook = _nothing,
    after: Hook = _nothing,
    faults: Mapping[str, Callable[..., Any]] | None = None,
    settings: dict[str, Any] | None = None,
    strategy: Any = None,
    lockstep: bool = False,
    seed: int = 1,
    life: Life | None = None,
    clock: VirtualClock | None = None,
    note: Callable[[Event], None] | None = None,
    compared: bool = True,
    to_utc_msc: Callable[[int], int] | None = None,
    courier: Courier | None = None,
) -> AsyncIterator[World]:
    """Run an engine on a terminal (a fresh synthetic one by default); leaving stops it as an operator would.

    `faults` replaces functions of the broker module: each is called with the honest function first. It may be changed
    while the world runs. `life` may end the engine at any instant; `clock` may be set while it runs;
    `note` is called with every event from the first; `courier` takes alerts away (None: none are raised).
    `to_utc_msc` says what time it is by the market's clock.
    """
    loop = asyncio.get_running_loop()
    clock = clock or VirtualClock(loop)
    own = terminal is None
    market = terminal or PaperTerminal.open(TerminalConfig(seed=seed))
    chosen = Settings(**(settings or {}))

    async def advance(frame: Frame) -> None:
        market.advance_to(loop.time())
        await before(frame)
        if life is not None:
            await life.before(frame)

    async def answer(frame: Frame) -> None:
        if life is not None:
            await life.after(frame)
        await after(frame)

    async def spawn(slot: str) -> Connection:
        market.advance_to(loop.time())
        module = Faulty(PaperClient.in_process(market), faults if faults is not None else {})
        return connect_in_process(module, {}, before=advance, after=answer)

    journal = Journal(folder / "journal.db", schema=SCHEMA, project=project, threaded=False, clock=clock)
    await journal.open()
    if note is not None:
        journal.subscribe(note)
    gateways = Gateways(spawn, clock, chosen.gateway, lambda change: None)
    broker = Mt5Broker(gateways, chosen.gateway)
    try:
        await gateways.start()
        account = (await broker.sweep(())).account
        assert account is not None
        assert chosen.account.login in (None, account.login), "another account answers than the profile's"
    except BaseException:
        await gateways.stop()
        await journal.close()
        raise

    async def step() -> None:
        # Virtual time must move, or whatever else waits for it would never run.
        await asyncio.sleep(0.01)
        market.step()

    kill_file = KillFile(folder)
    engine = AccountEngine(
        settings=chosen,
        broker=broker,
        journal=journal,
        clock=clock,
        randomness=random.Random(seed),
        loop_id="simulation",
        account=account,
        kill_switch=kill_file,
        watched=tuple(market.market.instruments),
        strategy=strategy,
        step=step if lockstep else None,
        market_finished=lambda: market.finished,
        to_utc_msc=to_utc_msc or BrokerClock().to_utc_msc,
        courier=courier,
    )
    target = EngineTarget(engine, gateways, profile="paper", started_at=clock.utc())
    ready = asyncio.Event()

    async def announce() -> None:
        ready.set()

    running = asyncio.create_task(engine.run(ready=announce))
    made = World(market, gateways, journal, engine, target, running, clock, kill_file, life)
    if life is not None:
        life.begin(journal, running.cancel, lambda: engine.modes.mode)
    try:
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if running.done():
            running.result()
        await made.until(lambda: engine.cycle.completed_at is not None)
        if compared:
            await made.until(lambda: engine.reconciler.compared)
        yield made
    finally:
        engine.stop_requested.set()
        await asyncio.gather(running, return_exceptions=True)
        await gateways.stop()
        if life is not None and not life.alive:
            # What it had not committed is gone with it.
            journal._readings.take()
        await journal.close()
        if own:
            market.shutdown()
    if not running.cancelled() and (life is None or life.alive):
        running.result()


def opened_volume(terminal: PaperTerminal) -> dict[int, float]:
    """The volume of the opening deals by magic number, from the terminal's own books."""
    client = PaperClient.in_process(terminal)
    client.initialize()
    volumes: dict[int, float] = {}
    for deal in client.history_deals_get(0, 2**33):
        if deal.entry == 0 and deal.type in (0, 1):
            volumes[deal.magic] = round(volumes.get(deal.magic, 0.0) + deal.volume, 8)
    return volumes
