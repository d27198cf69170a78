"""The composition root: builds one account's engine from its settings and runs it until it is told to stop.

In: a profile's settings. Out: a process that holds the profile's lock, its gateways, its journal and its control
socket. Everything that touches the machine (clock, processes, files, randomness) is chosen here and nowhere else.
"""

import asyncio
import hashlib
import json
import logging
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

from engine.account import AccountEngine
from engine.alerts.delivery import ChildCourier
from engine.broker.base import Account, BrokerError
from engine.broker.child import spawn_workers
from engine.broker.connection import GatewayChange
from engine.broker.gateway import Gateways
from engine.broker.mt5 import Mt5Broker
from engine.clock import Clock, SystemClock, iso
from engine.config import Settings, SettingsError, home, state_folder
from engine.control.access import Access, UnknownUser
from engine.control.address import AddressError, control_address
from engine.control.listening import checked_folder
from engine.control.messages import CommandResult
from engine.control.server import ControlServer
from engine.events import Draft, EventType
from engine.intake.strategies.demo import DemoStrategy
from engine.journal import Journal, JournalError
from engine.killswitch import KillFile
from engine.paper.launch import PaperMarket, open_paper_market
from engine.projection import SCHEMA, project
from engine.runfile import RunFile, Stopped
from engine.servicemanager import ServiceManager
from engine.starting import UnsupportedAccount
from engine.target import EngineTarget

EXIT_FAILED = 1
EXIT_SETTINGS = 2
EXIT_ALREADY_RUNNING = 75
LOCK_NAME = "engine.lock"
"""Held by whoever has a profile's account in hand: its engine, or who has fenced it."""
PAPER_FOLDER = "paper"
_LOCK_SECONDS = 2.0
"""An engine that was told to stop may need a moment to end."""
_log = logging.getLogger(__name__)


class StartError(Exception):
    """Why the engine does not start, for the operator."""


def run(profile: str, settings: Settings) -> int:
    """Run the engine in the foreground and return its exit code."""
    _log_as_json()
    folder = state_folder(profile)
    lock = filelock.FileLock(folder / LOCK_NAME)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kill_file = KillFile(folder)
        _kill_on_signal(kill_file)
        lock.acquire(timeout=_LOCK_SECONDS)
    except filelock.Timeout:
        print(f"an engine runs already for profile {profile!r} ({folder})", file=sys.stderr)  # noqa: T201
        return EXIT_ALREADY_RUNNING
    except OSError as error:
        print(f"the engine does not start: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_FAILED
    try:
        asyncio.run(_serve(profile, settings, folder, kill_file))
    except (StartError, SettingsError) as error:
        print(f"the engine does not start: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_SETTINGS if isinstance(error, SettingsError) else EXIT_FAILED
    finally:
        lock.release()
    return 0


async def _serve(profile: str, settings: Settings, folder: Path, kill_file: KillFile) -> None:
    clock = SystemClock()
    run_file = RunFile(folder)
    run_file.begin("engine")
    started_at = clock.utc()
    loop_id = f"{started_at:%Y%m%dT%H%M%S}-{os.getpid()}"
    access = _access(settings, folder)
    async with AsyncExitStack() as stack:
        market = await stack.enter_async_context(_market(settings, folder)) if settings.is_paper else None
        journal = Journal(folder / "journal.db", schema=SCHEMA, project=project)
        try:
            await journal.open()
        except JournalError as error:
            raise StartError(str(error)) from error
        stack.push_async_callback(journal.close)
        gateways = Gateways(
            spawn_workers(settings.terminal.module, initialize_arguments(settings, market), folder / "gateways.log"),
            clock,
            settings.gateway,
            _teller(journal, clock, loop_id, run_file),
        )
        try:
            await gateways.start()
        except BrokerError as error:
            raise StartError(f"the terminal cannot be reached: {error}") from error
        stack.push_async_callback(gateways.stop)
        broker = Mt5Broker(gateways, settings.gateway)
        account = await first_look(broker, settings)
        if not settings.is_paper:
            stack.enter_context(sole_engine(f"{account.login}@{account.server}"))
        run_file.account(f"{account.login}@{account.server}")
        randomness = random.SystemRandom()
        engine = AccountEngine(
            settings=settings,
            broker=broker,
            journal=journal,
            clock=clock,
            randomness=randomness,
            loop_id=loop_id,
            account=account,
            kill_switch=kill_file,
            watched=market.symbols if market else (),
            strategy=DemoStrategy(random.Random(settings.paper.seed))  # noqa: S311 - reproducible, not secret
            if market and settings.paper.demo_strategy
            else None,
            step=market.step if market and settings.paper.speed == "max" else None,
            to_utc_msc=market.to_utc_msc if market else None,
            market_finished=(lambda: market.finished) if market else (lambda: False),
            courier=ChildCourier(settings.alerts.deliver_seconds),
        )
        server = ControlServer(
            EngineTarget(engine, gateways, profile=profile, started_at=started_at),
            control_address(folder),
            known=await _known_commands(journal),
            access=access,
        )
        _stop_on_signals(engine.stop_requested)
        if market is not None:
            stack.enter_context(market.watching())
        service_manager = ServiceManager(os.environ, os.getpid())

        async def ready() -> None:
            await server.start()
            engine.spawn(
                service_manager.report(engine.stop_requested, lambda: engine.cycle.completed, lambda: _status(engine))
            )

        try:
            await engine.run(ready=ready)
            run_file.stopped(_left_by(engine, clock))
        except* UnsupportedAccount as refusals:
            raise StartError(str(refusals.exceptions[0])) from refusals
        finally:
            await server.stop()


def _access(settings: Settings, folder: Path) -> Access:
    """Who may do what, known before anything is started."""
    try:
        access = Access.of(settings.control, folder)
        if access.shared is not None:
            checked_folder(Path(access.shared).parent)
    except (UnknownUser, AddressError) as error:
        raise SettingsError(str(error)) from error
    return access


@asynccontextmanager
async def _market(settings: Settings, folder: Path) -> AsyncIterator[PaperMarket]:
    """The paper terminal, found or started: it ends with an orderly stop or failed start, outlives a killed engine."""
    try:
        market = await open_paper_market(settings.paper, folder / PAPER_FOLDER)
    except (ValueError, OSError) as error:
        raise StartError(str(error)) from error
    try:
        yield market
    except StartError:
        await market.shutdown()
        raise
    await market.shutdown()


def initialize_arguments(settings: Settings, market: PaperMarket | None) -> dict[str, Any]:
    """What the broker module's initialize() is given."""
    if market is not None:
        return {"path": str(market.address_file)}
    return {"path": settings.terminal.path} if settings.terminal.path else {}


async def first_look(broker: Mt5Broker, settings: Settings) -> Account:
    """The account as it is, if it is the one that the profile pins. Raises StartError."""
    try:
        sweep = await broker.sweep(())
    except BrokerError as error:
        raise StartError(f"the account cannot be read: {error}") from error
    account = sweep.account
    if account is None:
        raise StartError(f"the account cannot be read: {'; '.join(map(str, sweep.errors))}")
    pinned = settings.account
    if pinned.login not in (None, account.login) or pinned.server not in (None, account.server):
        raise StartError(
            f"the terminal is logged in to {account.login}@{account.server};"
            f" the profile is for {pinned.login}@{pinned.server}"
        )
    return account


@contextmanager
def sole_engine(account: str) -> Iterator[None]:
    """Hold an account, "login@server", that no other profile's engine may have in hand too. Raises StartError.

    Two would act on each other's positions, and a netting account that both close is turned round. A paper account is
    its profile's own.
    """
    lock = filelock.FileLock(home() / "accounts" / f"{hashlib.sha256(account.encode()).hexdigest()[:16]}.lock")
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire(timeout=_LOCK_SECONDS)
    except filelock.Timeout:
        raise StartError(f"another profile's engine has {account} in hand: an account has one engine") from None
    except OSError as error:
        # No reason to leave an account without its guards.
        _log.error("whether another engine has %s in hand cannot be known: %s", account, error)
    try:
        yield
    finally:
        lock.release()


async def _known_commands(journal: Journal) -> dict[str, tuple[str, CommandResult]]:
    rows = await journal.query(
        "SELECT id, digest, result FROM (SELECT rowid AS place, * FROM commands ORDER BY rowid DESC LIMIT 10000)"
        " ORDER BY place"
    )
    return {row[0]: (row[1], CommandResult.model_validate_json(row[2])) for row in rows}


def _status(engine: AccountEngine) -> str:
    """The engine in one line, for the service manager."""
    blind = ", BLIND" if engine.cycle.blind else ""
    return f"{engine.key} {engine.modes.mode}, {len(engine.cycle.last_valid.positions or ())} positions{blind}"


def _left_by(engine: AccountEngine, clock: Clock) -> Stopped:
    """How an engine that was told to stop left its account, as last seen."""
    reading = engine.cycle.last_valid
    return Stopped(
        at=iso(clock.utc()),
        mode=engine.modes.mode,
        positions=len(reading.positions) if reading.positions is not None else None,
        orders=len(engine.cycle.orders),
    )


def _teller(journal: Journal, clock: Clock, loop_id: str, run_file: RunFile) -> Any:
    writing: set[asyncio.Task[None]] = set()

    def tell(change: GatewayChange) -> None:
        details = {"slot": change.slot, "what": change.what, "reason": change.reason, "pid": change.pid}
        kind = EventType.GATEWAY_STARTED if change.what == "started" else EventType.GATEWAY_LOST
        if change.what in ("started", "lost"):
            run_file.gateway(change.slot, change.pid if change.what == "started" else None)
        task = asyncio.ensure_future(journal.append_urgent(Draft(kind, clock.utc(), loop_id, details)))
        writing.add(task)
        task.add_done_callback(writing.discard)

    return tell


def _kill_on_signal(kill_file: KillFile) -> None:
    """SIGUSR1 flattens and halts, whatever else is done; before the engine is up, as soon as it is."""
    if sys.platform != "win32":
        signal.signal(signal.SIGUSR1, lambda number, frame: kill_file.ask("SIGUSR1"))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":
        signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(stop.set))
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)


class _JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the traceback when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def _log_as_json() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
