"""What alerts cost a guard cycle: `python -m tests.benchmarks.bench_alerts [--cycles 3000] [--rounds 5]`.

Whole engines in virtual time, so that only work counts: without alerts, with them, and with a hundred open and no
delivery that ever ends. The rounds take turns, so that another load on the machine meets all of them.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from engine.alerts.board import MOST_OPEN
from engine.alerts.delivery import Report
from engine.alerts.letter import Message
from engine.alerts.rules import Severity
from tests.simulation.virtual import run_virtual
from tests.simulation.world import world

KINDS = ("without", "with", "a hundred open, every delivery hangs")


class Hanging:
    """A courier that never says what became of anything."""

    def send(self, messages: Sequence[Message], report: Report) -> None:
        """Take it and say nothing."""

    async def close(self) -> None:
        """Nothing is under way."""


async def cycle_ms(kind: str, cycles: int) -> float:
    """Processor time a guard cycle, in milliseconds, with all that an engine does beside it."""
    with tempfile.TemporaryDirectory() as folder:
        courier = None if kind == KINDS[0] else Hanging()
        settings = {"alerts": {"targets": ["phone"]}, "paper": {"demo_strategy": False}}
        async with world(Path(folder), settings=settings, courier=courier) as made:
            if kind == KINDS[2]:
                for number in range(MOST_OPEN):
                    made.engine.alerts.raise_alert(f"k{number}", Severity.CRITICAL, "x" * 200)
            await asyncio.sleep(1)
            began = time.process_time()
            await asyncio.sleep(cycles * 0.1)
            return (time.process_time() - began) / cycles * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(asked.rounds):
        for kind in (*KINDS[number % 3 :], *KINDS[: number % 3]):
            found[kind].append(run_virtual(cycle_ms(kind, asked.cycles)))
    base = statistics.median(found[KINDS[0]])
    for kind, values in found.items():
        middle = statistics.median(values)
        print(f"{kind:40} {middle:.4f} ms a cycle  x{middle / base:.3f}")


if __name__ == "__main__":
    main()
