"""From a breach of the drawdown limit to the first close, with real processes: the engine alone, and with consoles.

    python -m tests.benchmarks.bench_breach [--trials 40] [--quiet 0.5]

An engine with 50 positions on a broker module that answers at once. Each trial lets the loss happen at a random moment
between two readings. "flip" is the time from there to the first close at the broker module, and so includes waiting for
the next reading (every 100 ms); "react" is the time from the first reading that holds the loss, which is the engine's
own. Prints ratios to the engine alone, which is measured before, between and after the others. Asserts nothing.
With --quiet a trial is repeated when other people's processes have used more than so many cores during it, whatever
it has measured. Linux only; about 2 seconds a trial.
"""

import argparse
import asyncio
import math
import random
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.control.client import ControlClient
from tests.benchmarks import breach_rig as rig
from tests.benchmarks.bench_gateway import p50_p99
from tests.benchmarks.breach_board import Board
from tests.benchmarks.machine import Load

POSITIONS = 50
INTERVAL_SECONDS = 0.1
_SETTLE_SECONDS = 0.3
_QUIET_SECONDS = 1.2
"""Nothing is asked of the engine for this long after a breach: the driver must not be a console itself."""
_FREEZE_TRIALS = 8
_ATTEMPTS = 6

Before = Callable[[int], Awaitable[None]]
"""Called before each trial with its number."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One breach. Milliseconds."""

    flip: float
    react: float
    all_closed: float
    others: float
    """Cores that processes which are not of the benchmark have used meanwhile."""


async def nothing(number: int) -> None:
    """Leave everything as it is."""


@asynccontextmanager
async def alone() -> AsyncIterator[Before]:
    """The engine, and nobody else."""
    yield nothing


@asynccontextmanager
async def attached() -> AsyncIterator[Before]:
    """A console that is looked at."""
    with rig.console() as console:
        await console.ready()
        yield nothing
        _tell(console)


@asynccontextmanager
async def frozen() -> AsyncIterator[Before]:
    """A console whose process stands still, but for a moment now and then: the engine would let it go after 30 s."""
    with rig.console() as console:
        await console.ready()

        async def before(number: int) -> None:
            if number % _FREEZE_TRIALS == 0:
                console.thaw()
                await asyncio.sleep(2)
                console.freeze()
                await asyncio.sleep(4)

        yield before
        _tell(console)


@asynccontextmanager
async def unread() -> AsyncIterator[Before]:
    """A console whose terminal nobody reads."""
    with rig.console() as console:
        await console.ready()
        await console.stop_reading()
        yield nothing
        _tell(console)


@asynccontextmanager
async def dead() -> AsyncIterator[Before]:
    """A console that is looked at, and another that is attached and never reads."""
    client = rig.DeadClient()
    try:
        with rig.console() as console:
            await console.ready()
            yield lambda number: client.connect()
            _tell(console)
    finally:
        client.close()


SCENARIOS: dict[str, Callable[[], AbstractAsyncContextManager[Before]]] = {
    "console at 10 Hz": attached,
    "console, UI stalled (SIGSTOP)": frozen,
    "console, pty not read": unread,
    "console, another dead on the socket": dead,
}


def _tell(console: rig.Console) -> None:
    print(f"    the console wrote {console.painted / 1000:.0f} kB")


async def trial(board: Board, client: ControlClient, chance: random.Random) -> Trial:
    """Restore the account, let it lose, and see it closed."""
    await rig.restored(board, client, POSITIONS)
    await asyncio.sleep(_SETTLE_SECONDS + chance.uniform(0, INTERVAL_SECONDS))
    load = Load.now()
    flipped = board.breach()
    await asyncio.sleep(_QUIET_SECONDS)
    others = load.cores_since()
    await rig.halted(client)
    return Trial(
        flip=(board.first_close_at - flipped) / 1e6,
        react=(board.first_close_at - board.read_at) / 1e6,
        all_closed=(board.last_close_at - board.read_at) / 1e6,
        others=others,
    )


async def measure(
    board: Board,
    client: ControlClient,
    chance: random.Random,
    scenario: AbstractAsyncContextManager[Before],
    trials: int,
    quiet: float,
) -> list[Trial]:
    """Run trials under a scenario, with one before them that does not count."""
    await rig.restored(board, client, POSITIONS)
    async with scenario as before:
        await trial(board, client, chance)
        taken: list[Trial] = []
        for number in range(_ATTEMPTS * trials):
            await before(number)
            one = await trial(board, client, chance)
            if one.others <= quiet:
                taken.append(one)
            if len(taken) == trials:
                return taken
    raise RuntimeError(f"the machine was quiet in only {len(taken)} of {_ATTEMPTS * trials} trials: raise --quiet")


def show(what: str, taken: list[Trial], reference: list[Trial]) -> None:
    """One line for each of the three times."""
    for name in ("react", "flip", "all_closed"):
        times = [getattr(each, name) for each in taken]
        own = (*p50_p99(times), max(times))
        others = statistics.mean(each.others for each in taken)
        base_times = [getattr(each, name) for each in reference]
        base = (*p50_p99(base_times), max(base_times))
        figures = "".join(f"{value:9.2f}" for value in own)
        ratios = "".join(f"{value / other:7.2f}" for value, other in zip(own, base, strict=True))
        print(f"{what:<38}{len(taken):>4}  {name:<11}{figures}   {ratios}   {others:5.2f}")


async def main(trials: int, only: str, quiet: float) -> None:
    """Measure every scenario, with the engine alone between them, and print the table."""
    chance = random.Random(1)
    references: list[Trial] = []
    results: dict[str, list[Trial]] = {}
    chosen = {name: scenario for name, scenario in SCENARIOS.items() if only in name}
    blank = max(2, trials // (len(chosen) + 1))
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as home:
        async with rig.engine(Path(home)) as (board, client):
            references += await measure(board, client, chance, alone(), blank, quiet)
            for name, scenario in chosen.items():
                print(f"  {name}", flush=True)
                results[name] = await measure(board, client, chance, scenario(), trials, quiet)
                references += await measure(board, client, chance, alone(), blank, quiet)
    print(f"\n{POSITIONS} positions; milliseconds, ratios to the engine alone, cores that others used")
    print(f"{'trials':>42}{'p50':>22}{'p99':>9}{'max':>9}{'p50':>10}{'p99':>7}{'max':>7}{'others':>9}")
    show("engine alone", references, references)
    for name, taken in results.items():
        show(name, taken, references)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40, help="trials of each scenario (default: 40)")
    parser.add_argument("--only", default="", help="only scenarios whose name holds this")
    parser.add_argument("--quiet", type=float, default=math.inf, help="cores that others may use during a trial")
    given = parser.parse_args()
    asyncio.run(main(given.trials, given.only, given.quiet))
