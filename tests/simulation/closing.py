"""What the tests of closing share: people and other programs on the account, and the books as the judge."""

import asyncio
from collections.abc import Callable
from typing import Any

from engine.control import messages as wire
from engine.journal import verify
from engine.paper.books import ENTRY_IN, Position
from engine.paper.client import PaperClient
from engine.paper.conditions import Conditions
from engine.paper.structs import CONSTANTS
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.projection import SCHEMA, project
from tests.simulation.campaign import truth
from tests.simulation.test_execution import Struct, _template, is_opening
from tests.simulation.world import World

BUY, SELL = 0, 1
NETTING = CONSTANTS["ACCOUNT_MARGIN_MODE_RETAIL_NETTING"]
EXCHANGE = CONSTANTS["ACCOUNT_MARGIN_MODE_EXCHANGE"]
QUICK: dict[str, Any] = {"flatten": {"hold_seconds": 1.0}}
PATIENT: dict[str, Any] = {"flatten": {"hold_seconds": 1.0, "settle_seconds": 90.0}}
"""Waits long enough for a close that comes very late."""


def terminal_with(**conditions: Any) -> PaperTerminal:
    """A paper terminal whose account has these conditions."""
    return PaperTerminal.open(TerminalConfig(conditions=Conditions(**conditions)))


def by_hand(terminal: PaperTerminal, symbol: str = "EURUSD", volume: float = 0.1, side: int = BUY, **more: Any) -> None:
    """Somebody else trades on the same account."""
    client = PaperClient.in_process(terminal)
    client.initialize()
    price = client.symbol_info_tick(symbol).ask if side == BUY else client.symbol_info_tick(symbol).bid
    request = {"action": 1, "symbol": symbol, "volume": volume, "type": side, "type_filling": 0, "price": price, **more}
    reply = client.order_send(request)
    assert reply.retcode == 10009, reply


def waiting_order(terminal: PaperTerminal, symbol: str = "EURUSD", **more: Any) -> None:
    """Somebody else leaves a buy limit far below the market."""
    client = PaperClient.in_process(terminal)
    client.initialize()
    price = round(client.symbol_info_tick(symbol).bid * 0.98, client.symbol_info(symbol).digits)
    reply = client.order_send({"action": 5, "symbol": symbol, "volume": 0.1, "type": 2, "price": price, **more})
    assert reply.retcode == 10009, reply


def held(terminal: PaperTerminal) -> list[Position]:
    """The positions in the broker's own books."""
    return list(truth(terminal).positions.values())


def volumes(terminal: PaperTerminal) -> dict[str, float]:
    """Net lots by symbol in the broker's own books, bought minus sold."""
    net: dict[str, float] = {}
    for position in held(terminal):
        net[position.symbol] = round(net.get(position.symbol, 0.0) + position.sign * position.volume, 8)
    return net


def closed_lots(terminal: PaperTerminal) -> float:
    """Lots of all closing deals in the broker's ledger."""
    deals = truth(terminal).history.deals
    return round(sum(deal.volume for deal in deals if deal.order and deal.entry != ENTRY_IN), 8)


async def start(made: World, scope: wire.CloseScope, reason: str = "test") -> str:
    """Begin a scoped close and return its id."""
    result = await made.command(wire.Close(scope=scope), reason)
    assert result.accepted, result.message
    return str(result.data["closing"])


async def refused(made: World, scope: wire.CloseScope) -> str:
    """Ask for a scoped close that is refused, and return why."""
    result = await made.command(wire.Close(scope=scope), "test")
    assert not result.accepted, result.message
    return result.message


def view(made: World, name: str) -> wire.ClosingView:
    """A close as consoles see it."""
    return next(item for item in made.target.snapshot().closings if item.id == name)


async def ended(made: World, name: str, seconds: float = 60.0) -> wire.ClosingView:
    """Wait for a close's statement."""
    await made.until(lambda: view(made, name).state in ("DONE", "CANCELLED"), seconds)
    return view(made, name)


async def seen(made: World, count: int) -> list[wire.PositionView]:
    """Wait until the engine sees so many positions, and return them."""
    await made.until(lambda: len(made.engine.cycle.reading.positions or ()) == count)
    return made.target.snapshot().positions


def one(made: World, index: int = 0, volume: float | None = None) -> wire.PositionScope:
    """A position as it is on the screen now."""
    shown = made.target.snapshot().positions[index]
    return wire.PositionScope(position=shown.identifier, seen_volume=shown.volume, volume=volume)


class Closes:
    """Replaces the answers to the next closes. `executed`: "yes", "no", or the seconds after which it is."""

    def __init__(self, *, executed: str | float = "no", times: int = 1, retcode: int = 0, error: int = 0) -> None:
        self.executed, self.times, self.retcode, self.error = executed, times, retcode, error
        self.requests: list[dict[str, Any]] = []
        self.at: list[float] = []

    def __call__(self, honest: Any, request: dict[str, Any]) -> Any:
        if request["action"] == 1 and is_opening(request):
            return honest(request)
        loop = asyncio.get_running_loop()
        self.requests.append(request)
        self.at.append(loop.time())
        if len(self.requests) > self.times:
            return honest(request)
        reply = honest(request) if self.executed == "yes" else None
        if isinstance(self.executed, float):
            loop.call_later(self.executed, honest, request)
        if self.retcode == 0:
            return None
        return Struct(reply if reply is not None else _template, retcode=self.retcode)

    def last_error(self, honest: Any) -> Any:
        return (self.error, "injected") if self.error and len(self.requests) <= self.times else honest()

    @property
    def faults(self) -> dict[str, Callable[..., Any]]:
        """For `world`."""
        return {"order_send": self, "last_error": self.last_error}


def without_ticket(fault: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A server that nets by symbol alone, whatever position a request names: the worst that a netting one may do."""

    def send(honest: Any, request: dict[str, Any]) -> Any:
        def netted(asked: dict[str, Any]) -> Any:
            return honest({key: value for key, value in asked.items() if key != "position"})

        return netted(request) if fault is None else fault(netted, request)

    return send


def check_journal(made: World) -> None:
    """The chain holds, and the tables follow from the events."""
    report = verify(made.journal._path, schema=SCHEMA, project=project)
    assert report.ok, report.problem
