"""A flatten and an approved signal beside the same gateway calls made bare. Prints ratios, asserts nothing.

    python -m tests.benchmarks.bench_flatten [--trials 30]

One engine in this process, reading its account ten times a second as ever, with real gateways and a real journal.
Flatten: from the call to the last close answered, with 20 ms in each order_send; what comes after the last close (the
proof that the account is flat) is not counted. Bare: the same requests through the same gateways, one after the other.
Approved: from the moment the approval is durable to the answer of order_send, which takes no time of its own. Bare: the
four calls that it needs (conditions, quote, check, send) and one commit. A batch of ten with 20 ms in each order_send
stands beside the same in a plain loop: the engine also reads each fill's deals and its stop back before the next.
Engine and bare take turns. Linux only.
"""

import argparse
import asyncio
import functools
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.account import AccountEngine
from engine.broker.base import SendReply, Side
from engine.broker.child import spawn_workers
from engine.broker.connection import Call, Lane
from engine.broker.gateway import Gateways
from engine.broker.mt5 import Mt5Broker
from engine.clock import SystemClock
from engine.config import Settings
from engine.events import EventType
from engine.intake.proposals import Proposal
from engine.journal import Journal
from engine.killswitch import KillFile
from engine.orders import closing_request, opening_request
from engine.projection import SCHEMA, project
from engine.signals import Intent
from tests.benchmarks.bench_gateway import p50_p99
from tests.benchmarks.breach_board import PRICE, VOLUME, Board
from tests.benchmarks.breach_terminal import BOARD_VARIABLE, SYMBOLS
from tests.benchmarks.machine import Load

MODULE = "tests.benchmarks.breach_terminal"
DELAY_MS = 20
BATCH = 10
DEVIATION = 20
_SETTLE_SECONDS = 0.3
_DEADLINE_SECONDS = 30.0


class StampedBroker(Mt5Broker):
    """The broker, noting when a send was answered."""

    answered_at = 0.0

    async def send(self, request: Mapping[str, Any], *, epoch: int | None) -> SendReply:
        reply = await super().send(request, epoch=epoch)
        self.answered_at = time.perf_counter()
        return reply


@dataclass(frozen=True, slots=True)
class Desk:
    """A running engine and what is measured beside it."""

    board: Board
    gateways: Gateways
    broker: StampedBroker
    engine: AccountEngine


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    """An engine that runs in this process, on a board in this folder."""
    os.environ[BOARD_VARIABLE] = str(folder / "board")
    board = Board.create(folder / "board")
    settings, clock = Settings(), SystemClock()
    journal = Journal(folder / "journal.db", schema=SCHEMA, project=project)
    await journal.open()
    gateways = Gateways(spawn_workers(MODULE, {}), clock, settings.gateway, lambda change: None)
    await gateways.start()
    broker = StampedBroker(gateways, settings.gateway)
    account = (await broker.sweep(())).account
    assert account is not None
    engine = AccountEngine(
        settings=settings,
        broker=broker,
        journal=journal,
        clock=clock,
        randomness=random.Random(1),
        loop_id="bench",
        account=account,
        kill_switch=KillFile(folder),
        watched=SYMBOLS,
    )
    ready = asyncio.Event()

    async def tell() -> None:
        ready.set()

    running = asyncio.create_task(engine.run(ready=tell))
    await ready.wait()
    yield Desk(board, gateways, broker, engine)
    engine.stop_requested.set()
    await running
    await gateways.stop()
    await journal.close()
    board.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that the engine does, without being heard."""
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - the guard cycle tells nobody
            await asyncio.sleep(0.02)


async def hold(desk: Desk, positions: int, chance: random.Random) -> None:
    """Have the engine see this many positions, at any point of its cycle."""
    desk.board.restore(positions)
    await until(lambda: len(desk.engine.cycle.reading.positions or ()) == positions)
    await asyncio.sleep(_SETTLE_SECONDS + chance.uniform(0, 0.1))


async def order(desk: Desk, request: Mapping[str, Any], epoch: int | None) -> None:
    """One bare order_send."""
    call = Call("order_send", (dict(request),))
    answers = await desk.gateways.call(
        Lane.ORDERS, [call], deadline=_DEADLINE_SECONDS, epoch=epoch, urgent=epoch is None
    )
    assert answers[0].value["retcode"] == 10009, answers


async def read(desk: Desk, function: str, argument: Any) -> None:
    """One bare read."""
    await desk.gateways.call(Lane.READS, [Call(function, (argument,))], deadline=_DEADLINE_SECONDS)


def closings(desk: Desk) -> list[dict[str, Any]]:
    """The requests that close what the engine sees."""
    requests = []
    for position in desk.engine.cycle.reading.positions or ():
        spec = desk.engine.specs.known(position.symbol)
        assert spec is not None
        request = closing_request(position, spec, DEVIATION)
        assert request is not None
        requests.append(request)
    return requests


async def flatten(desk: Desk, positions: int, chance: random.Random) -> float:
    """Milliseconds from the flatten to the answer to its last close."""
    await hold(desk, positions, chance)
    started = time.perf_counter()
    report = await desk.engine.flatten("the benchmark")
    assert report.positions_closed == positions, report
    taken = desk.broker.answered_at - started
    again, facts = desk.engine.risk.copy(), desk.engine.cycle.facts_now()
    assert facts is not None
    again.begin_again(facts, keep=False)
    await desk.engine.reset(again, facts.reading.equity, "the next trial")
    return taken * 1000


async def bare_closes(desk: Desk, positions: int, chance: random.Random) -> float:
    """Milliseconds for the same closes without a flatten."""
    await hold(desk, positions, chance)
    requests = closings(desk)
    started = time.perf_counter()
    for request in requests:
        await order(desk, request, None)
    return (time.perf_counter() - started) * 1000


async def approved(desk: Desk, count: int, chance: random.Random) -> float:
    """Milliseconds from the durable approvals of so many signals to the answer to the last one's order_send."""
    engine = desk.engine
    await hold(desk, 0, chance)
    before = engine.loop.trades_executed
    for _ in range(count):
        proposal = Proposal(
            SYMBOLS[0], Side.BUY, volume=VOLUME, sl=PRICE - 0.01, tp=PRICE + 0.02, source="bench", entry=PRICE
        )
        signal = await engine.proposals.take(proposal)
        await engine.book.approve(signal.id, signal.version, operator="bench", origin="bench")
    started = time.perf_counter()
    engine.loop.wake()
    await until(lambda: engine.loop.trades_executed == before + count)
    taken = desk.broker.answered_at - started
    await close_all(desk, count)
    return taken * 1000


async def close_all(desk: Desk, count: int) -> None:
    """Close what was opened, once the engine sees it."""
    await until(lambda: len(desk.engine.cycle.reading.positions or ()) == count)
    for request in closings(desk):
        await order(desk, request, None)


async def bare_calls(desk: Desk, count: int, chance: random.Random) -> float:
    """Milliseconds for the same calls and one commit each, in a plain loop without signals."""
    engine = desk.engine
    await hold(desk, 0, chance)
    spec, tick = engine.specs.known(SYMBOLS[0]), engine.cycle.quotes[SYMBOLS[0]].tick
    assert spec is not None
    intent = Intent(
        magic=1,
        comment="qd ABCDEFGH",
        symbol=SYMBOLS[0],
        side=Side.BUY,
        volume=VOLUME,
        sl=PRICE - 0.01,
        tp=PRICE + 0.02,
        epoch=engine.modes.epoch,
        sent_at=engine.clock.utc(),
        server_time=tick.time_msc // 1000,
    )
    request = opening_request(intent, spec, tick, DEVIATION)
    assert request is not None
    journalled = {**asdict(intent), "sent_at": str(intent.sent_at)}
    started = time.perf_counter()
    for _ in range(count):
        await read(desk, "symbol_info", SYMBOLS[0])
        await read(desk, "symbol_info_tick", SYMBOLS[0])
        await read(desk, "order_check", request)
        await engine.recorder.record(EventType.LOOP_ERROR, signal="ABCDEFGH", said=journalled)
        await order(desk, request, intent.epoch)
    taken = time.perf_counter() - started
    await close_all(desk, count)
    return taken * 1000


async def side_by_side(
    trials: int, engine: Callable[[], Awaitable[float]], bare: Callable[[], Awaitable[float]]
) -> tuple[list[float], list[float]]:
    """Run both in turns, after one of each that does not count."""
    await engine()
    await bare()
    pairs = [(await engine(), await bare()) for _ in range(trials)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def show(what: str, taken: list[float], reference: list[float]) -> None:
    """One line: the engine, the bare calls, and the ratios."""
    figures = (*p50_p99(taken), max(taken))
    base = (*p50_p99(reference), max(reference))
    ratios = "".join(f"{value / other:7.2f}" for value, other in zip(figures, base, strict=True))
    print(
        f"{what:<42}{len(taken):>4}"
        + "".join(f"{value:9.2f}" for value in figures)
        + "   "
        + "".join(f"{value:9.2f}" for value in base)
        + f"   {ratios}"
    )


async def main(trials: int) -> None:
    """Measure and print the table."""
    chance = random.Random(1)
    load = Load.now()
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as name:
        async with desk(Path(name)) as running:
            print("milliseconds: p50, p99, max of the engine, of the bare calls, and the ratios")
            running.board.delay_us = DELAY_MS * 1000
            for positions in (1, 10, 50, 200):
                taken, bare = await side_by_side(
                    trials,
                    functools.partial(flatten, running, positions, chance),
                    functools.partial(bare_closes, running, positions, chance),
                )
                show(f"flatten to last close, N = {positions}, {DELAY_MS} ms a close", taken, bare)
            running.board.delay_us = 0
            await hold(running, 0, chance)
            await running.engine.modes.resume("the benchmark")
            taken, bare = await side_by_side(
                4 * trials,
                functools.partial(approved, running, 1, chance),
                functools.partial(bare_calls, running, 1, chance),
            )
            show("approved to order_send answered", taken, bare)
            running.board.delay_us = DELAY_MS * 1000
            taken, bare = await side_by_side(
                trials,
                functools.partial(approved, running, BATCH, chance),
                functools.partial(bare_calls, running, BATCH, chance),
            )
            show(f"{BATCH} approved to the last answer, {DELAY_MS} ms a send", taken, bare)
    print(f"others used {load.cores_since():.2f} cores")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=30, help="trials of each flatten; a signal gets four times that")
    asyncio.run(main(parser.parse_args().trials))
