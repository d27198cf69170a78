"""A direct flatten after a dead engine: what the engine had under way is waited for, and nothing is sent twice."""

import asyncio
import json
from pathlib import Path
from typing import Any

from engine.config import Settings
from engine.direct.closing import Order, close_on
from engine.direct.record import DirectRecorder
from engine.direct.remains import Remains, read_remains
from engine.flatten import FlattenReport
from engine.journal.fallback import Fallback
from tests.simulation.closing import NETTING, QUICK, Closes, terminal_with, volumes
from tests.simulation.test_execution import is_opening
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, opened_volume, world

SETTINGS = Settings(**QUICK)


def fallback_of(folder: Path) -> Fallback:
    return Fallback(folder / "journal.fallback")


def remains_of(made: World, folder: Path) -> Remains:
    return read_remains(folder / "journal.db", fallback_of(folder), made.engine.key)


async def directly(made: World, folder: Path, remains: Remains, said: list[str] | None = None) -> FlattenReport:
    """Close as `flatten --direct` does once it has fenced the account, through the same gateways."""
    recorder = DirectRecorder(fallback_of(folder), made.clock, "direct", made.engine.key, threaded=False)
    order = Order("the drill", "root", "", made.engine.key)
    told = said if said is not None else []
    return await close_on(
        SETTINGS,
        order,
        made.engine.broker,
        made.engine.account,
        recorder,
        remains,
        None,
        told.append,
    )


def late(seconds: float | None) -> Any:
    """An opening that hangs the engine's call, and is executed so much later; None: never."""

    def send(honest: Any, request: dict[str, Any]) -> Any:
        if is_opening(request):
            if seconds is not None:
                asyncio.get_running_loop().call_later(seconds, honest, request)
            return None
        return honest(request)

    return send


async def died_while_sending(made: World) -> None:
    signal = await made.engine.proposals.take(made.buy())
    await made.approve(signal)
    await made.until(made.engine.book.unresolved)
    await made.crash()


def test_an_opening_that_comes_late_is_waited_for_and_closed(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, faults={"order_send": late(25.0)}, settings=QUICK) as made:
            await died_while_sending(made)
            remains = remains_of(made, tmp_path)
            assert len(remains.doubtful) == 1
            began = made.clock.monotonic()
            report = await directly(made, tmp_path, remains)
            assert made.clock.monotonic() - began > 20
            assert sum(opened_volume(made.terminal).values()) == 0.5
            assert volumes(made.terminal) == {}
            assert report.positions_closed == 1
            assert "presumed absent" not in report.statement

    run_virtual(run())


def test_an_opening_that_never_comes_is_named_and_waited_for_as_long_as_an_engine_would(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, faults={"order_send": late(None)}, settings=QUICK) as made:
            await died_while_sending(made)
            began = made.clock.monotonic()
            said: list[str] = []
            report = await directly(made, tmp_path, remains_of(made, tmp_path), said)
            waited = made.clock.monotonic() - began
            assert SETTINGS.loop.settle_seconds <= waited < SETTINGS.loop.settle_seconds + 10
            assert "presumed absent, for the operator to settle: signal" in report.statement
            assert any("unresolved" in line for line in said)

    run_virtual(run())


def test_a_close_that_an_earlier_one_has_sent_is_not_sent_again_on_a_netting_account(tmp_path: Path) -> None:
    """The first close is executed eight seconds late; the flatten that sent it is killed before."""
    closes = Closes(executed=8.0, times=1)

    async def run() -> None:
        terminal = terminal_with(margin_mode=NETTING)
        async with world(tmp_path, terminal=terminal, faults=closes.faults, settings=QUICK) as made:
            await made.bought()
            await made.crash()
            first = asyncio.create_task(directly(made, tmp_path, remains_of(made, tmp_path)))
            await asyncio.sleep(2)
            assert len(closes.requests) == 1
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            remains = remains_of(made, tmp_path)
            assert [json.loads(sent)["volume"] for sent, _, _ in remains.closes] == [0.5]
            await directly(made, tmp_path, remains)
            assert len(closes.requests) == 1
            assert volumes(terminal) == {}
        terminal.shutdown()

    run_virtual(run())


def test_a_position_that_the_engine_knew_and_the_broker_does_not_explain_is_no_proof_of_flat(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, settings=QUICK) as made:
            await made.crash()
            remains = Remains(positions=(987_654,))
            running = asyncio.create_task(directly(made, tmp_path, remains))
            await asyncio.sleep(60)
            assert not running.done()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run_virtual(run())


def test_a_journal_that_is_not_there_or_broken_says_so_and_holds_nobody_up(tmp_path: Path) -> None:
    fallback = Fallback(tmp_path / "journal.fallback")
    assert read_remains(tmp_path / "journal.db", fallback, "1@s").problem == "there is none"
    (tmp_path / "journal.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    assert "DatabaseError" in read_remains(tmp_path / "journal.db", fallback, "1@s").problem
