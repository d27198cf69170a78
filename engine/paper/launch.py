"""Finds the profile's paper terminal, or starts it, and keeps a control line to it for the engine's composition root.

A terminal that runs with other conditions than the profile's is shut down first: an account belongs to its market.
"""

import asyncio
import hashlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.alerts.addresses import without_addresses
from engine.config import PaperSettings
from engine.paper.brokerfile import BrokerRules, load_broker
from engine.paper.control import PaperControl, PaperStatus

_log = logging.getLogger(__name__)
_START_SECONDS = 60.0
_POLL_SECONDS = 0.02
_WATCH_SECONDS = 0.5
_TRY_AGAIN_SECONDS = 2.0
_FILES = ("--broker", "--faults")
"""Arguments that name a file whose content counts too: each has its fingerprint behind all arguments."""


class PaperMarket:
    """A running paper terminal. `symbols` are the ones it quotes; `finished` tells that a replayed file has ended.

    `to_utc_msc` turns what the market's clock shows into UTC, both in milliseconds since the epoch.

    A terminal that dies is started again, as whoever looks after a real one would: its account is in its file.
    """

    def __init__(
        self, settings: PaperSettings, folder: Path, control: PaperControl, status: PaperStatus, *, as_it_was: bool
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._as_it_was = as_it_was
        self._control = control
        self.address_file = _address(folder)
        self.symbols = tuple(status.symbols)
        self.finished = status.finished
        self.to_utc_msc = (load_broker(settings.broker) if settings.broker else BrokerRules()).clock.to_utc_msc

    async def step(self) -> None:
        """Move a replay at `max` speed one tick on; a pause once it has ended, or while the terminal is dead."""
        if self.finished:
            await asyncio.sleep(_WATCH_SECONDS / 5)
            return
        try:
            self.finished = await self._control.step()
        except (OSError, EOFError):
            await asyncio.sleep(_WATCH_SECONDS / 5)

    async def shutdown(self) -> None:
        """End the terminal; its account stays in its file."""
        await self._control.shutdown()
        await self._control.close()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep `finished` true to the terminal, and the terminal alive, while this lasts."""
        task = asyncio.create_task(self._watch(), name="paper market")
        try:
            yield
        finally:
            task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                self.finished = (await self._control.status()).finished
            except (OSError, EOFError) as error:
                _log.warning("the paper terminal is gone (%s): starting it again", error)
                await self._control.close()
                await self._start_again()

    async def _start_again(self) -> None:
        try:
            self._control = await _find_or_start(self._settings, self._folder, as_it_was=self._as_it_was)
        except (OSError, EOFError, ValueError) as problem:
            # TimeoutError among them. The engine is blind meanwhile; the next look tries again.
            _log.error("the paper terminal does not start: %s", problem)
            await asyncio.sleep(_TRY_AGAIN_SECONDS)


async def open_paper_market(settings: PaperSettings, folder: Path, *, as_it_was: bool = False) -> PaperMarket:
    """Attach to the paper terminal whose state is in `folder`, starting it if need be.

    `as_it_was`: with the conditions that it runs with or last ran with, whatever the settings say: for who only closes.
    Raises ValueError with what the terminal said when it does not start.
    """
    control = await _find_or_start(settings, folder, as_it_was=as_it_was)
    return PaperMarket(settings, folder, control, await control.status(), as_it_was=as_it_was)


async def _find_or_start(settings: PaperSettings, folder: Path, *, as_it_was: bool = False) -> PaperControl:
    _prepare(folder)
    arguments = _arguments(settings)
    recorded, address = folder / "arguments.json", _address(folder)
    control = await _attach(address)
    asked = [*arguments, *_fingerprint(settings)]
    before = _recorded(recorded) if as_it_was else None
    if before is not None:
        asked = before
        arguments = before[: len(before) - sum(name in before for name in _FILES)]
    if control is not None and _recorded(recorded) != asked:
        await control.shutdown()
        await control.close()
        control = None
    if control is None:
        control = await _start(arguments, folder, address)
        # Only now: what could not start must not be what a direct flatten starts.
        recorded.write_text(json.dumps(asked), encoding="utf-8")
    return control


def _address(folder: Path) -> Path:
    return folder / "terminal.json"


def _prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _recorded(file: Path) -> list[str] | None:
    try:
        stored: list[str] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stored


def _arguments(settings: PaperSettings) -> list[str]:
    named = {
        "--balance": settings.balance,
        "--currency": settings.currency,
        "--leverage": settings.leverage,
        "--margin-mode": settings.margin_mode,
        "--limit-orders": settings.limit_orders,
        "--commission-per-lot": settings.commission_per_lot,
        "--stop-out-mode": settings.stop_out_mode,
        "--stop-out": settings.stop_out,
        "--margin-call": settings.margin_call,
        "--seed": settings.seed,
        "--speed": settings.speed,
        "--symbol": settings.symbol,
        "--broker": settings.broker.absolute() if settings.broker else None,
        "--faults": settings.faults.absolute() if settings.faults else None,
    }
    parts = [part for name, value in named.items() if value is not None for part in (name, str(value))]
    for path in settings.replay:
        parts += ["--replay", str(path.absolute())]
    return [*parts, *(["--fifo-close"] if settings.fifo_close else [])]


def _fingerprint(settings: PaperSettings) -> list[str]:
    """What the terminal's rules and faults say: a file that was changed is another terminal's."""
    files = [path for path in (settings.broker, settings.faults) if path is not None]
    return [hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "" for path in files]


async def _attach(address: Path) -> PaperControl | None:
    try:
        return await PaperControl.connect(address)
    except (OSError, EOFError, ValueError):
        return None


async def _start(arguments: list[str], folder: Path, address: Path) -> PaperControl:
    command = [
        sys.executable,
        "-P",
        "-m",
        "engine.paper",
        "--state",
        str(folder),
        "--address",
        str(address),
        *arguments,
    ]
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS}
    log = folder / "terminal.log"
    with log.open("ab") as output:
        begun = output.tell()
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - it must outlive this process
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            env=without_addresses(os.environ),
            **apart,
        )
    async with asyncio.timeout(_START_SECONDS):
        while True:
            control = await _attach(address)
            if control is not None:
                return control
            if process.poll() is not None:
                said = log.read_bytes()[begun:].decode(errors="replace").strip()
                raise ValueError(said or f"the paper terminal ended with exit code {process.returncode}")
            await asyncio.sleep(_POLL_SECONDS)
