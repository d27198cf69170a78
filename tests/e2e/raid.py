"""Kills the real programs of one house again and again while orders flow, and brings the engine up again each time.

In: a seed and how many kills. Out: figures, and problems as the referee finds them. After each kill the broker's
ledger is read, then the journal from its file, so that a double is reported with the kill that made it.
"""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from engine.control import messages as wire
from engine.control.address import control_address
from engine.control.client import ControlClient, ControlError, EngineUnreachable
from engine.paper.control import PaperControl
from tests.e2e.desk import Desk
from tests.e2e.house import PATIENCE_SECONDS, House, birth, role_of
from tests.e2e.referee import UNSETTLED, Kill, Referee, Row, in_flight, read_journal

ENGINE, ORDERS, READS = "engine", "order gateway", "read gateway"
_SLOTS = {ORDERS: "orders", READS: "reads"}
SETTLE_SECONDS = 1.0
"""How long an unknown outcome must be unseen. Longer than any answer is held back here."""
_HELD_BACK = (0.02, 0.4)
_FLOW_SECONDS = (0.05, 0.3)
_AFTER_APPROVAL_SECONDS = 0.03
_FLATTEN_SECONDS = 2.5
"""About as long as a flatten takes here: a kill falls anywhere in it, or behind it."""
_POLL_SECONDS = 0.002


def settings(seed: int, folder: Path) -> dict[str, str]:
    """The environment of a raid: a rich account, an impatient engine, and a broker whose manners the seed draws."""
    draws = random.Random(seed)
    broker = folder / "broker.toml"
    delay, comments = draws.choice((0, 40, 150)), draws.choice(("keep", "cut", "replace"))
    broker.write_text(f'[server]\nexecution_delay_ms = {delay}\ncomments = "{comments}"\n')
    return {
        "QUARTERDECK_PAPER__DEMO_STRATEGY": "false",
        "QUARTERDECK_PAPER__BALANCE": "1000000",
        "QUARTERDECK_PAPER__SEED": str(seed),
        "QUARTERDECK_PAPER__BROKER": str(broker),
        "QUARTERDECK_LOOP__SETTLE_SECONDS": str(SETTLE_SECONDS),
        "QUARTERDECK_LOOP__RECONCILE_SECONDS": "1",
        "QUARTERDECK_FLATTEN__HOLD_SECONDS": "1",
    }


async def eventually(probe: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Ask again and again until the answer is yes."""
    deadline = time.monotonic() + seconds
    while not probe():
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(_POLL_SECONDS)


@dataclass
class Figures:
    """What a raid came to."""

    seed: int
    kills: list[Kill] = field(default_factory=list)
    in_flight: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    flattening: int = 0
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    signals: int = 0
    opened: int = 0
    unknown: int = 0
    found: int = 0
    seconds: float = 0.0

    def lines(self) -> list[str]:
        """The figures, for a reader."""

        def counted(counts: Counter[str]) -> str:
            return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"

        return [
            f"seed {self.seed}: {len(self.kills)} kills ({counted(Counter(kill.victim for kill in self.kills))})",
            f"with an order in flight: {self.in_flight.total()} ({counted(self.in_flight)});"
            f" in a flatten: {self.flattening}",
            f"{self.signals} signals, {self.opened} opened; {self.unknown} unknown outcomes resolved,"
            f" {self.found} of them as opened",
            f"commands accepted: {counted(self.done)}; refused: {counted(self.refused)}",
            f"{len(self.problems)} problems in {self.seconds:.0f} s",
        ]


class Raid:
    """One seed under way on one house."""

    def __init__(self, house: House, seed: int) -> None:
        self.figures = Figures(seed)
        self._house = house
        self._draws = random.Random(seed)
        self._referee = Referee()
        self._up = asyncio.Event()
        self._engine: subprocess.Popen[str]
        self._desk: Desk
        self._control: PaperControl
        self._client: ControlClient

    async def run(self, kills: int) -> Figures:
        """Kill so many processes, then let everything come to rest, and judge. Stops at the first problem."""
        began = time.monotonic()
        figures = self.figures
        await self._bring_up()
        self._control = await PaperControl.connect(self._house.state / "paper" / "terminal.json")
        try:
            async with ControlClient(control_address(self._house.state), "e2e") as self._client:
                self._desk = Desk(self._client, random.Random(figures.seed + 1))
                async with self._flow() as flow:
                    while len(figures.kills) < kills and not figures.problems and not flow.done():
                        await self._strike(kills)
                if not figures.problems:
                    await self._come_to_rest()
        finally:
            await self._control.close()
            self._count()
            figures.seconds = time.monotonic() - began
        return figures

    # the programs

    async def _bring_up(self) -> None:
        self._engine = await asyncio.to_thread(self._house.engine)
        self._up.set()

    @contextlib.asynccontextmanager
    async def _flow(self) -> AsyncIterator["asyncio.Task[None]"]:
        """Let an operator work at a steady pace, whatever is killed meanwhile. What goes wrong there ends the raid."""
        flow = asyncio.create_task(self._operate())
        try:
            yield flow
        finally:
            flow.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await flow

    async def _operate(self) -> None:
        draws = random.Random(self.figures.seed + 2)
        desk = Desk(self._client, draws)
        self.figures.done, self.figures.refused = Counter(), Counter()
        try:
            while True:
                await self._up.wait()
                with contextlib.suppress(EngineUnreachable, ControlError):
                    await desk.act()
                await asyncio.sleep(draws.uniform(*_FLOW_SECONDS))
        finally:
            self.figures.done.update(desk.done)
            self.figures.refused.update(desk.refused)

    # the kills

    async def _strike(self, most: int) -> None:
        victim = self._draws.choices((ENGINE, ORDERS, READS), (45, 35, 20))[0]
        pid = await self._find(victim)
        born = birth(pid)
        manner = self._draws.random()
        if manner < 0.75:
            held = await self._send_something()
            if manner < 0.1:
                await self._desk.send(wire.Flatten())
                held = _FLATTEN_SECONDS
            await asyncio.sleep(self._draws.uniform(0, held or _AFTER_APPROVAL_SECONDS))
        else:
            await asyncio.sleep(self._draws.uniform(0.0, 0.6))
        if born is None or birth(pid) != born:
            # It went by itself, as a hung gateway is replaced: nothing was killed, and nothing is counted.
            return
        await self._kill(victim, pid, born)
        if victim == ENGINE:
            while len(self.figures.kills) < most and self._draws.random() < 0.15:
                await self._kill_while_it_starts()
            await self._bring_up()

    async def _find(self, victim: str) -> int:
        """The pid of the victim, once there is a process of that pid that does its work."""
        if victim == ENGINE:
            self._check(self._engine.pid, "engine")
            return self._engine.pid
        pid = 0

        def alive() -> bool:
            nonlocal pid
            self._referee.hear(self._news())
            started = (row.data for row in reversed(self._referee.rows) if row.kind == "gateway_started")
            pid = next((int(data["pid"]) for data in started if data["slot"] == _SLOTS[victim]), 0)
            return bool(pid) and birth(pid) is not None

        await eventually(alive, f"a living {victim}")
        self._check(pid, "gateway")
        return pid

    def _check(self, pid: int, role: str) -> None:
        words = self._house.processes().get(pid, [])
        if role_of(words) != role:
            raise AssertionError(f"process {pid} is no {role} of this house: {words}")

    async def _send_something(self) -> float:
        """Have a trade accepted just now. Returns for how long the terminal holds back its execution or answer."""
        held = 0.0
        if self._draws.random() < 0.6:
            kind, held = self._draws.choice(("late", "delay")), round(self._draws.uniform(*_HELD_BACK), 3)
            await self._control.fault({"kind": kind, "call": "order_send", "seconds": held})
        deadline = time.monotonic() + PATIENCE_SECONDS
        while await self._desk.trade() is None:
            seen = await self._client.snapshot()
            await self._desk.settle(seen)
            await self._desk.begin(seen)
            if time.monotonic() >= deadline:
                raise AssertionError(f"no trade is accepted within {PATIENCE_SECONDS:g} s: {seen}")
            await asyncio.sleep(_FLOW_SECONDS[0])
        return held

    async def _kill(self, victim: str, pid: int, born: int) -> None:
        """Send SIGKILL, see the process gone, and judge what the ledger and the journal say at that moment."""
        if victim == ENGINE:
            self._up.clear()
        struck = Kill(victim, pid, datetime.now(UTC))
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: birth(pid) != born, f"the end of the {victim} {pid}", 5)
        if victim == ENGINE:
            ended = await asyncio.to_thread(self._engine.wait, 5)
            if ended != -signal.SIGKILL:
                raise AssertionError(f"the engine {pid} ended by itself: {ended}")
        self.figures.kills.append(struck)
        await self._look()
        self.figures.flattening += self._referee.mode[0] == "FLATTENING"
        self._blame(self._referee.doubles())

    async def _kill_while_it_starts(self) -> None:
        self._engine = self._house.launch_engine()
        await asyncio.sleep(self._draws.uniform(0.2, 2.0))
        born = birth(self._engine.pid)
        if born is None:
            raise AssertionError(f"the engine ended by itself: {self._house.engine_log.read_text()}")
        self._check(self._engine.pid, "engine")
        await self._kill(ENGINE, self._engine.pid, born)

    # the judgement

    def _news(self) -> list[Row]:
        after = self._referee.rows[-1].seq if self._referee.rows else 0
        return read_journal(self._house.state / "journal.db", after)

    async def _look(self) -> None:
        """Follow the ledger, and only then the journal; before it too, for what an engine that is halted has said."""
        self._referee.hear(self._news())
        mode = self._referee.mode
        self._referee.see(await self._control.ledger(self._referee.records))
        self._referee.hear(self._news())
        self._blame(self._referee.unproven(mode))
        self._referee.compare_clocks((await self._control.status()).time_msc, datetime.now(UTC))

    def _blame(self, problems: list[str]) -> None:
        number = len(self.figures.kills)
        last = self.figures.kills[-1].victim if number else "nothing"
        self.figures.problems += [f"after kill {number} ({last}): {problem}" for problem in problems]

    async def _come_to_rest(self) -> None:
        """Let the engine find out what became of everything; then hold it against the ledger, and flatten."""
        await self._until_settled()
        for _ in range(3):
            await self._send_something()
        await self._until_settled()
        orphans = self._referee.orphans()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while orphans and time.monotonic() < deadline:
            # What the engine has yet to see at the broker is not lost.
            await asyncio.sleep(_FLOW_SECONDS[1])
            await self._look()
            orphans = self._referee.orphans()
        self._blame(orphans)
        self._blame(self._referee.doubles())
        await self._flatten()
        verified = await asyncio.to_thread(self._house.run, "journal", "verify")
        if verified.returncode != 0:
            self._blame([f"the journal does not verify: {verified.stdout}{verified.stderr}"])

    async def _until_settled(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            seen = await self._client.snapshot()
            left = [f"{item.id} {item.state}" for item in seen.signals if item.state in UNSETTLED]
            if not left:
                break
            if time.monotonic() >= deadline:
                self._blame([f"not settled within {PATIENCE_SECONDS:g} s: {', '.join(left)}"])
                break
            await self._desk.settle(seen)
            await self._desk.begin(seen)
            await asyncio.sleep(_FLOW_SECONDS[0])
        await self._look()

    async def _flatten(self) -> None:
        await self._desk.send(wire.Flatten(), "the end")
        deadline = time.monotonic() + PATIENCE_SECONDS
        seen = await self._client.snapshot()
        while seen.engine.mode != "HALTED" and time.monotonic() < deadline:
            await asyncio.sleep(_FLOW_SECONDS[0])
            seen = await self._client.snapshot()
        statement = seen.flatten.statement if seen.flatten else ""
        if seen.engine.mode != "HALTED" or not statement.startswith("flat, confirmed by the broker at "):
            self._blame([f"no flat within {PATIENCE_SECONDS:g} s: {seen.engine.mode}, {seen.flatten}"])
        await self._look()
        books = self._referee.books
        if books.positions or books.orders:
            self._blame([f"{statement!r} with {len(books.positions)} positions and {len(books.orders)} orders"])

    def _count(self) -> None:
        figures, lives = self.figures, self._referee.lives
        figures.in_flight = Counter(kill.victim for kill in figures.kills if in_flight(lives, kill))
        figures.signals, figures.opened = len(lives), len(self._referee.opened())
        unknown = [life for life in lives.values() if life.was_unknown and life.state != "UNKNOWN"]
        figures.unknown, figures.found = len(unknown), sum(life.filled > 0 for life in unknown)
        figures.done.update(self._desk.done)
        figures.refused.update(self._desk.refused)
        if figures.kills and not figures.in_flight:
            figures.problems.append("no kill had an order in flight: nothing was proved")


async def raid(house: House, seed: int, kills: int) -> Figures:
    """Run one seed on an empty house, and say what came of it. A harness that is stuck is a problem like any other."""
    one = Raid(house, seed)
    try:
        return await one.run(kills)
    except (AssertionError, EngineUnreachable, ControlError, OSError) as stuck:
        one.figures.problems.append(f"after kill {len(one.figures.kills)}: {type(stuck).__name__}: {stuck}")
        return one.figures
