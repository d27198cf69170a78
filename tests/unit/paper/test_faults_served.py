"""Faults by plan through the terminal's process: what is late, hangs or is cut, and the control line that says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.paper.__main__ import main
from engine.paper.books import Books
from engine.paper.client import PaperClient
from engine.paper.control import PaperControl
from engine.paper.server import PaperServer
from engine.paper.terminal import PaperTerminal
from tests.unit.paper.markets import ScriptedMarket, deal
from tests.unit.paper.test_server import Process, begin, posix, start, there

__all__ = ["start"]
TICKS = [("EURUSD", 1.10 + place / 1000, 1.101 + place / 1000) for place in range(50)]


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[PaperTerminal, PaperControl, str]]:
    """A terminal behind its socket, a control line to it, and its address."""
    terminal = PaperTerminal(ScriptedMarket(TICKS), speed=None)
    address = folder / "terminal.json"
    server = PaperServer(terminal, address, 60.0)
    running = await begin(server)
    control = await PaperControl.connect(address)
    try:
        yield terminal, control, str(address)
    finally:
        await control.close()
        server.stop()
        await running
        terminal.shutdown()


async def connected(address: str) -> PaperClient:
    client = PaperClient()
    assert await there(client.initialize, address)
    return client


async def test_hang_of_one_line_holds_up_no_other(tmp_path: Path) -> None:
    async with served(tmp_path) as (terminal, control, address):
        await control.fault({"kind": "hang", "call": "order_send"})
        one, other = await connected(address), await connected(address)
        hanging = asyncio.create_task(there(one.order_send, deal("buy", 0.1)))
        while not terminal.faults.hits()[0]["hits"]:
            await there(other.positions_get)
        assert await there(other.positions_get) == ()
        assert (await there(other.order_send, deal("buy", 0.2))).retcode == 10009
        assert not hanging.done()
        # Whoever waits for a hung call is ended from outside; the line's end frees the terminal's side.
        one._transport._socket.shutdown(2)  # type: ignore[union-attr]  # a real client is killed by its engine
        assert await hanging is None
        assert [record.row[0][4] for record in terminal.ledger() if record.kind == "request"] == [0.2]
        other.shutdown()


async def test_late_answer_was_executed_at_once_and_a_delayed_call_was_not(tmp_path: Path) -> None:
    async with served(tmp_path) as (terminal, control, address):
        await control.fault({"kind": "late", "call": "order_send", "seconds": 0.2})
        await control.fault({"kind": "delay", "call": "order_send", "seconds": 0.2, "nth": 2})
        one, other = await connected(address), await connected(address)
        order = asyncio.create_task(there(one.order_send, deal("buy", 0.1)))
        while not terminal.faults.hits()[0]["hits"]:
            await there(other.version)
        assert len(await there(other.positions_get)) == 1
        assert not order.done()
        assert (await order).retcode == 10009
        second = asyncio.create_task(there(one.order_send, deal("buy", 0.1)))
        while not terminal.faults.hits()[1]["hits"]:
            await there(other.version)
        assert len(await there(other.positions_get)) == 1
        assert (await second).retcode == 10009
        assert len(await there(other.positions_get)) == 2
        one.shutdown()
        other.shutdown()


async def test_lost_answer_cuts_the_line_and_the_ledger_knows(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, control, address):
        await control.fault({"kind": "lost", "call": "order_send"})
        client = await connected(address)
        assert await there(client.order_send, deal("buy", 0.1, magic=6)) is None
        assert client.last_error() == (-10002, "IPC recv failed")
        assert client.positions_get() is None
        assert client.last_error() == (-10004, "No IPC connection")
        records = await control.ledger(1)
        assert [record.kind for record in records] == ["order", "deal", "position", "order", "request"]
        books = Books(2)
        for record in await control.ledger():
            books.apply(record)
        assert [position.magic for position in books.positions.values()] == [6]
        with pytest.raises(ValueError, match="after 99: expected 0 to 6"):
            await control.ledger(99)


async def test_restart_cuts_all_lines_and_takes_none_until_it_is_back(tmp_path: Path) -> None:
    async with served(tmp_path) as (terminal, control, address):
        *lines, silent = [await connected(address) for _ in range(3)]
        await control.fault({"kind": "restart", "seconds": 0.3, "unsynchronised": 60.0})
        while not terminal.away:
            await control.status()
        for line in lines:
            assert await there(line.positions_get) is None
            assert line.last_error()[0] in (-10001, -10002)
        assert not await there(lines[0].initialize, address)
        assert lines[0].last_error()[0] == -10003
        while terminal.away:
            await control.status()
        # Who asked nothing meanwhile has lost the line all the same.
        assert await there(silent.positions_get) is None
        assert silent.last_error()[0] in (-10001, -10002)
        again = await connected(address)
        sent = await there(again.order_send, deal("buy", 0.1))
        assert (sent.retcode, await there(again.positions_get)) == (10009, ())
        again.shutdown()


async def test_control_line_says_what_is_wrong_and_lives_on(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, control, address):
        with pytest.raises(ValueError, match="fault: kind: Input tag 'explode'"):
            await control.fault({"kind": "explode"})
        with pytest.raises(ValueError, match="deal type 0: expected one of"):
            await control.cash(0, 5.0)
        with pytest.raises(ValueError, match="amount nan: expected a finite number"):
            await control.cash(2, float("nan"))
        number = await control.fault({"kind": "equity", "value": "nan"})
        client = await connected(address)
        reading: Any = None
        while reading is None or reading.equity == reading.equity:
            reading = await there(client.account_info)
        assert (await control.faults())[0]["hits"] == 1
        assert await control.end_fault(number)
        assert not await control.end_fault(99)
        ticket = await control.cash(2, -1000.0, "Withdrawal")
        while reading.equity != 9000.0:
            reading = await there(client.account_info)
        assert (await control.ledger())[-1].row[0] == ticket
        client.shutdown()


@posix
def test_plan_kills_the_process_and_the_account_is_kept(start: Any, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('[[fault]]\nkind = "kill"\nat = 3\n')
    process: Process = start("--faults", str(plan), "--speed", "max")
    client = process.client()
    assert client.order_send(deal("buy", 0.1)).retcode == 10009
    # Nobody ends it: it goes by itself, as its plan says.
    code, said = process.end()
    assert (code, said) == (137, "")
    assert client.positions_get() is None
    again: Process = start("--speed", "max")
    later = again.client()
    assert len(later.positions_get()) == 1
    later.shutdown()


def test_files_that_cannot_be_used_are_named_at_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[[fault]]\nkind = "explode"\n')
    arguments = ["--address", str(tmp_path / "a.json")]
    assert main([*arguments, "--faults", str(wrong)]) == 2
    assert f"{wrong}, fault 1: kind" in capsys.readouterr().err
    assert main([*arguments, "--broker", str(wrong)]) == 2
    assert f"{wrong}: fault" in capsys.readouterr().err
