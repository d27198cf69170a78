"""What the console costs a terminal and its start: `python -m tests.benchmarks.bench_console`.

Prints, side by side in one run: the bytes sent to the terminal when one cell of a table of 50 rows changes (our table
and Textual's DataTable), the time from the process's start to its first frame (the console and a bare Textual
application), the time of one redraw of the equity curve, and the bytes a second of each screen over the demo market,
as usual and with --low-bandwidth. Needs a pty, so not Windows. Asserts nothing.
"""

import asyncio
import contextlib
import fcntl
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROWS, COLUMNS = 60, 120
UPDATES, STARTS = 20, 9
_QUIET_SECONDS = 0.2
SETTLE_SECONDS, SCREEN_SECONDS = 3.0, 10.0


@contextlib.contextmanager
def in_terminal(child: str) -> Iterator[int]:
    """Run this file's child in a terminal of its own and give the terminal's other end."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.bench_console", child],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield master
    finally:
        process.kill()
        process.wait()
        os.close(master)


def received(master: int, seconds: float) -> bytes:
    """What the child sends within so many seconds; nothing when it is silent."""
    ready, _, _ = select.select([master], [], [], seconds)
    return os.read(master, 1 << 16) if ready else b""


def bytes_per_update(child: str) -> list[int]:
    """The size of each burst after the first frame."""
    bursts: list[int] = []
    with in_terminal(child) as master:
        time.sleep(3)
        while received(master, _QUIET_SECONDS):
            pass
        while len(bursts) < UPDATES:
            burst = len(received(master, 5))
            while more := received(master, _QUIET_SECONDS):
                burst += len(more)
            bursts.append(burst)
    return bursts


def first_frame(child: str, word: bytes) -> float:
    """Milliseconds until the word is on the terminal."""
    began = time.perf_counter()
    seen = b""
    with in_terminal(child) as master:
        while word not in seen:
            seen += received(master, 10)
        return (time.perf_counter() - began) * 1000


def child_one_cell() -> None:
    """The console's table of 50 positions; the profit of the one in the middle changes."""
    from typing import Any, ClassVar

    from textual.app import ComposeResult
    from textual.screen import Screen

    from console.paced_app import PacedApp
    from console.screens.base import Painted
    from console.screens.positions import POSITION_COLUMNS
    from console.state import Phase, View, position_rows
    from console.styling import styles_dir
    from console.widgets.keyed_table import KeyedTable
    from tests.console.fake import position, snapshot

    class TableScreen(Painted):
        def compose(self) -> ComposeResult:
            yield KeyedTable(POSITION_COLUMNS)

    class TableApp(PacedApp):
        CSS_PATH: ClassVar[Any] = sorted(styles_dir().glob("*.tcss"))
        number = 0

        def get_default_screen(self) -> Screen[Any]:
            return TableScreen()

        def paint(self) -> None:
            self.change()

        def on_mount(self) -> None:
            self.set_interval(0.5, self.change)

        def change(self) -> None:
            self.number += 1
            held = [position(at, profit=10.0 + self.number / 100 if at == 25 else 10.0) for at in range(1, 51)]
            view = View(snapshot(positions=held), phase=Phase.CONNECTED)
            self.screen.query_one(KeyedTable).show(position_rows(view))

    TableApp().run()


def child_stock() -> None:
    """Textual's own table, the same change."""
    from textual.app import App, ComposeResult
    from textual.coordinate import Coordinate
    from textual.widgets import DataTable

    class TableApp(App[None]):
        number = 0

        def compose(self) -> ComposeResult:
            yield DataTable[str](cursor_type="row")

        def on_mount(self) -> None:
            table = self.query_one(DataTable)
            table.add_columns(*[f"Column {at}" for at in range(8)])
            for row in range(50):
                table.add_row(*[f"{row + at}.0000" for at in range(8)])
            self.set_interval(0.5, self.change)

        def change(self) -> None:
            self.number += 1
            self.query_one(DataTable).update_cell_at(Coordinate(20, 4), f"24.{self.number:04}")

    TableApp().run()


def child_bare() -> None:
    """The smallest Textual application that says something."""
    from textual.app import App, ComposeResult
    from textual.widgets import Static

    class Bare(App[None]):
        def compose(self) -> ComposeResult:
            yield Static("CONNECTING", markup=False)

    Bare().run()


def child_console() -> None:
    """The console, whose engine never answers."""
    from console.app import Console
    from console.link import ConsoleClient, Link

    async def never() -> ConsoleClient:
        await asyncio.Event().wait()
        raise AssertionError

    Console(Link(never)).run()


def redraw_ms(width: int, height: int) -> float:
    """One drawing of the curve with twice as many points as columns."""
    from rich.style import Style

    from console import curve
    from engine.control.messages import EquityCurve, EquityPoint

    start = datetime(2026, 1, 5, tzinfo=UTC)
    points = [
        EquityPoint(
            start=start + timedelta(seconds=at),
            seconds=1,
            low=9_990.0 + at % 17,
            high=10_010.0 + at % 17,
            last=10_000.0,
        )
        for at in range(2 * width)
    ]
    held = EquityCurve(account="a", points=points, resolution_seconds=1, peak=10_100.0, floor=8_080.0)
    style = Style()
    curve.draw(held, width, height, lambda colour: style)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        curve.draw(held, width, height, lambda colour: style)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def bytes_per_second(*arguments: str) -> dict[str, float]:
    """What each screen of the real console sends a second over the demo market, in a house of its own."""
    from tests.e2e.house import House
    from tests.e2e.line import Line

    with tempfile.TemporaryDirectory(prefix="q") as folder:
        house = House(Path(folder), {"TERM": "xterm-256color", "COLORTERM": "truecolor"})
        try:
            line = Line(house, *arguments)
            line.read_until(lambda got: b"RUNNING" in got)
            found = {}
            for key in "12345":
                line.press(key)
                line.read_for(SETTLE_SECONDS)
                found[key] = line.read_for(SCREEN_SECONDS) / SCREEN_SECONDS
            line.close()
            return found
        finally:
            house.clear()


def main() -> None:
    """Measure and print."""
    print("bytes a second, demo market, 120x32, screens 1 to 5")
    for arguments in ((), ("--low-bandwidth",)):
        rates = bytes_per_second(*arguments).values()
        print(f"  {' '.join(arguments) or 'as usual':16} {' '.join(f'{rate:7.0f}' for rate in rates)}")
    ours, stock = bytes_per_update("one-cell"), bytes_per_update("stock")
    print(f"bytes to the terminal, 1 cell changed in 50 rows, {UPDATES} updates at 2 a second, {COLUMNS}x{ROWS}")
    print(f"  KeyedTable       median {statistics.median(ours):6.0f}   worst {max(ours):6}   (budget 300)")
    print(f"  stock DataTable  median {statistics.median(stock):6.0f}   worst {max(stock):6}")
    bare, console = [], []
    for _ in range(STARTS):
        bare.append(first_frame("bare", b"CONNECTING"))
        console.append(first_frame("console", b"CONNECTING"))
    ratio = statistics.median(console) / statistics.median(bare)
    print(f"start to first frame, median of {STARTS}, alternating")
    print(f"  console {statistics.median(console):.0f} ms, bare {statistics.median(bare):.0f} ms, ratio {ratio:.2f}")
    print("redraw of the equity curve, median of 20")
    for width, height in ((80, 17), (120, 32), (200, 53)):
        print(f"  {width}x{height}: {redraw_ms(width, height):.1f} ms")


CHILDREN = {"one-cell": child_one_cell, "stock": child_stock, "bare": child_bare, "console": child_console}

if __name__ == "__main__":
    CHILDREN.get(sys.argv[1] if len(sys.argv) > 1 else "", main)()
