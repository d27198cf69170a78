"""The control line to a paper terminal: step the market, ask for its state, end it; faults, cash and the ledger.

In: the address file of a running terminal. Out: plain values. One task reads the line and gives each
answer to its call.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from engine import frames
from engine.paper.ledger import Record
from engine.paper.transport import HOST, ROLE_CONTROL, read_address

SUCCESS = 1


@dataclass(frozen=True, slots=True)
class PaperStatus:
    """Market and account in short.

    `symbol` is the main one of `symbols`; `bid`, `ask` are its prices; `time` is the broker's clock written as ISO
    8601 UTC and `time_msc` the same in milliseconds; `speed` is market seconds per real second or "max"; `ticks`
    counts from the account's opening; `margin_call`: the margin level is at or below the broker's warning.
    """

    symbol: str
    symbols: list[str]
    bid: float
    ask: float
    time: str
    time_msc: int
    finished: bool
    login: int
    server: str
    speed: float | str
    ticks: int
    margin_call: bool


class PaperControl:
    """A control connection. Calls raise OSError or EOFError when the terminal is gone.

    A call that is cancelled has been made all the same; its answer is thrown away.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._id = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._listener = asyncio.create_task(self._listen(), name="paper control")

    @classmethod
    async def connect(cls, address_file: Path) -> "PaperControl":
        """Connect. Raises OSError, EOFError or ValueError when no terminal answers there."""
        address = read_address(address_file)
        reader, writer = await asyncio.open_connection(HOST, address.port)
        try:
            writer.write(frames.encode({"token": address.token, "role": ROLE_CONTROL}))
            greeting = await frames.read(reader)
            if greeting != {"ok": True}:
                raise ValueError(f"{address_file}: the terminal refused: {greeting}")
        except BaseException:
            await _close(writer)
            raise
        return cls(reader, writer)

    async def _listen(self) -> None:
        try:
            while True:
                reply = await frames.read(self._reader)
                answer = self._waiting.pop(reply["id"])
                code, text = reply["error"]
                if answer.done():
                    continue
                if code == SUCCESS:
                    answer.set_result(reply["result"])
                else:
                    answer.set_exception(ValueError(text))
        except (OSError, EOFError) as error:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(EOFError(f"the paper terminal is gone: {error}"))

    async def _call(self, name: str, *args: Any) -> Any:
        if self._listener.done():
            raise EOFError("the paper terminal is gone")
        self._id += 1
        answer = self._waiting[self._id] = asyncio.get_running_loop().create_future()
        self._writer.write(frames.encode({"id": self._id, "call": name, "args": args, "kwargs": {}}))
        return await answer

    async def step(self) -> bool:
        """Let the market take one tick. Returns whether it has finished; then it stays as it is."""
        return bool(await self._call("step"))

    async def status(self) -> PaperStatus:
        """Return how market and account stand."""
        status = await self._call("status")
        return PaperStatus(**{field.name: status[field.name] for field in fields(PaperStatus)})

    async def fault(self, values: Mapping[str, Any]) -> int:
        """Let something go wrong, as a table of a plan file says it. Returns its number. Raises ValueError."""
        return int(await self._call("fault", dict(values)))

    async def end_fault(self, number: int) -> bool:
        """End a fault. False: there is none of this number."""
        return bool(await self._call("end_fault", number))

    async def faults(self) -> list[dict[str, Any]]:
        """Every fault, how often it has taken effect, and when last (seconds of the terminal's running time)."""
        return list(await self._call("faults"))

    async def ledger(self, after: int = 0) -> list[Record]:
        """What has really happened at the broker, behind a sequence number. Raises ValueError."""
        return [Record(*row) for row in await self._call("ledger", after)]

    async def cash(self, deal_type: int, amount: float, comment: str = "") -> int:
        """Money that comes or goes without a trade, in account currency; a deal of MT5's type. Raises ValueError."""
        return int(await self._call("cash", deal_type, amount, comment))

    async def shutdown(self) -> None:
        """End the terminal's process. The account stays in its file. Raises nothing when it is already ending."""
        try:
            await self._call("shutdown")
        except (OSError, EOFError):
            # It went before it could answer: that is what was asked for.
            return

    async def close(self) -> None:
        """Close the line."""
        self._listener.cancel()
        await asyncio.wait({self._listener})
        await _close(self._writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        # The other side was gone already.
        return
