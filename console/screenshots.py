"""Pictures of every screen, as SVG, from a real session: `python -m console.screenshots [FOLDER]`.

In: a client of an engine and a folder. Out: one picture a screen and size. The command runs an engine of its own on the
paper terminal, in a folder of its own, from a fixed seed; every picture is of the real application, driven by its keys.
"""

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import filelock
from textual.pilot import Pilot

from console.app import Console
from console.host import Host
from console.link import ConsoleClient, Link
from console.widgets.curve_plot import CurvePlot
from console.widgets.event_log import EventLog
from engine.config import state_folder
from engine.control.client import ControlClient
from engine.control.messages import AddSignal, Approve, Stop

SMALL, LARGE = (80, 24), (160, 45)
PROFILE = "paper"
MARKET = ("--seed", "7", "--speed", "40")
"""The session's market: always the same ticks, forty times as fast as the clock."""
RULES = """
[drawdown]
limit_percent = 8

[guards]
presets = ["ftmo-2step"]
open_positions = { most = 5 }
volume = { most = 4.0, most_per_symbol = 2.0 }
risk_at_stops = { percent = 12 }
order_rate = { most_per_minute = 20 }
losing_streak = { losses = 3 }
sessions = { zone = "Europe/London", friday_close = "20:30" }
"""
"""The session's profile."""
TRADED = (("EURUSD", "sell", 1.20), ("USDJPY", "buy", 0.80), ("GBPUSD", "sell", 1.00))
PROPOSED = (("EURUSD", "buy", 0.20), ("GBPUSD", "buy", 0.15))
CURVE_SECONDS = 60
_WEB_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""A picture asks nobody's server for a font: it falls back to the viewer's own."""
_PATIENCE = 500
_STOP_SECONDS = 20.0


async def render(attach: Callable[[], Awaitable[ConsoleClient]], folder: Path) -> list[Path]:
    """Draw every screen in both sizes, then the dialogs, then flatten and draw the halted account.

    `attach` gives a client as a Link wants it. Its session is flattened by this. Returns the files written.
    """
    written: list[Path] = []

    async def save(app: Console, name: str, size: tuple[int, int]) -> None:
        path = folder / f"{name}-{size[0]}x{size[1]}.svg"
        picture = _WEB_FONT.sub("", app.export_screenshot(title="Quarterdeck"))
        await asyncio.to_thread(path.write_text, picture, encoding="utf-8")
        written.append(path)

    for size in (SMALL, LARGE):
        app = Console(Link(attach), clock=lambda: 0.0)
        async with app.run_test(size=size, notifications=False) as pilot:
            await _until(pilot, lambda app=app: app.view().mode != "")  # type: ignore[misc]
            for key, name in (("1", "approvals"), ("2", "positions"), ("3", "equity"), ("4", "events"), ("5", "risk")):
                await pilot.press(key)
                await _until(pilot, lambda app=app, name=name: app.current_mode == name and _complete(app))  # type: ignore[misc]
                await save(app, name, size)
            await pilot.press("1", "question_mark")
            await pilot.pause()
            await save(app, "help", size)
            await pilot.press("escape", "F")
            await pilot.pause()
            await save(app, "flatten", size)
            if size == LARGE:
                await pilot.press("down", "enter")
                await _until(pilot, lambda app=app: app.view().mode == "HALTED")  # type: ignore[misc]
                app.paint()
                await pilot.pause()
                await save(app, "halted", size)
                await pilot.press("R")
                await pilot.pause()
                await save(app, "reset", size)
    return written


def _complete(app: Console) -> bool:
    """Whether the visible screen shows all that it asked for."""
    app.paint()
    for log in app.screen.query(EventLog):
        if log.selected is None:
            return False
    return all(plot.drawn > 0 for plot in app.screen.query(CurvePlot))


async def _until(pilot: "Pilot[Any]", ready: Callable[[], bool]) -> None:
    for _ in range(_PATIENCE):
        await pilot.pause()
        if ready():
            await pilot.pause()
            return
    raise TimeoutError("the screen did not become complete")


@asynccontextmanager
async def paper_session() -> AsyncIterator[Host]:
    """A running engine with open positions, a curve and signals that wait; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="quarterdeck-") as home:
        os.environ |= {"QUARTERDECK_HOME": home}
        await asyncio.to_thread(_write_profile, Path(home, "profiles"))
        host = Host(PROFILE, MARKET, caller="screenshots")
        async with await host.attach() as client:
            for symbol, side, volume in TRADED:
                signal = await _propose(client, symbol, side, volume)
                await client.send(Approve(signal=signal, version=1))
            await asyncio.sleep(CURVE_SECONDS)
            for symbol, side, volume in PROPOSED:
                await _propose(client, symbol, side, volume)
        yield host
        async with await host.attach() as client:
            await client.send(Stop())
        # The folder can go once the engine has let go of it.
        await asyncio.to_thread(filelock.FileLock(state_folder(PROFILE) / "engine.lock").acquire, _STOP_SECONDS)


def _write_profile(folder: Path) -> None:
    folder.mkdir()
    (folder / f"{PROFILE}.toml").write_text(RULES, encoding="utf-8")


async def _propose(client: ControlClient, symbol: str, side: Any, volume: float) -> str:
    """Propose a trade at the price now, with its stop 300 points away and its target 600."""
    market = next(item for item in (await client.snapshot()).markets if item.symbol == symbol)
    way, price = (1, market.ask) if side == "buy" else (-1, market.bid)
    points = way * 10.0**-market.digits
    stop, target = (round(price + count * points, market.digits) for count in (-300, 600))
    result = await client.send(
        AddSignal(symbol=symbol, side=side, volume=volume, sl=stop, tp=target, expires_seconds=600, source="desk")
    )
    if not result.accepted:
        raise RuntimeError(f"{symbol} was not taken as a signal: {result.message}")
    return str(result.data["signal"])


async def draw(folder: Path) -> list[Path]:
    """Run the session and draw it."""
    async with paper_session() as host:
        return await render(host.attach, folder)


def main() -> None:
    """Write the pictures into the folder named on the command line, or into screenshots/."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    for path in asyncio.run(draw(folder)):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
