"""An engine that a test plays by hand: it says what it is told to say and records what is asked of it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from textual.pilot import Pilot

from console.app import Console
from console.link import ConsoleClient, Link
from console.screens.base import ConsoleScreen
from console.widgets.ink import Ink
from engine.control.errors import EngineUnreachable
from engine.control.messages import (
    Action,
    CommandResult,
    EquityCurve,
    EquityPoint,
    EventMatches,
    EventsPage,
    EventView,
    OrderView,
    PositionView,
    SignalView,
    Snapshot,
    StreamMessage,
)

NOW = datetime(2026, 1, 5, 8, 0, 0, tzinfo=UTC)
HOSTILE = (
    "[/NEW]",
    "price [/ICC 14 0 R]",
    "[@click=app.quit]insufficient margin[/]",
    "[@click=app.perform('flatten')]x",
    "\x1b]52;c;aGk=\x07clip",
    "\x1b]0;title\x07\x1b[2J",
    "\u202eevil\u2066\u200b\x9b31m",
    "[red]\ud800\x00\r\n" + "e" + "\u0301" * 40,
)


def signal(name: str = "K3V9X2QD", version: int = 1, state: str = "PENDING", **over: Any) -> SignalView:
    """A signal: BUY 0.10 EURUSD, five minutes left."""
    values: dict[str, Any] = {
        "id": name,
        "version": version,
        "state": state,
        "symbol": "EURUSD",
        "digits": 5,
        "side": "buy",
        "order_type": "market",
        "volume": 0.1,
        "entry": 1.085,
        "sl": 1.083,
        "tp": 1.089,
        "source": "demo",
        "note": "",
        "created_at": NOW,
        "expires_at": NOW + timedelta(seconds=300),
        "seconds_left": 300.0,
        "reward_to_risk": 2.0,
        "money_at_risk": 20.0,
        "drift_points": 3.0,
    }
    return SignalView.model_validate({**values, **over})


def position(ticket: int, profit: float = 12.5, **over: Any) -> PositionView:
    """A position: BUY 0.10 EURUSD."""
    values: dict[str, Any] = {
        "ticket": ticket,
        "identifier": ticket,
        "symbol": "EURUSD",
        "digits": 5,
        "type": 0,
        "volume": 0.1,
        "price_open": 1.085,
        "price_current": 1.0863,
        "sl": 1.083,
        "tp": 1.089,
        "profit": profit,
        "swap": 0.0,
        "magic": 1,
        "comment": "QD",
        "opened_at": NOW,
    }
    return PositionView.model_validate({**values, **over})


def order(ticket: int, **over: Any) -> OrderView:
    """A buy limit of 0.10 EURUSD that stands."""
    values: dict[str, Any] = {
        "ticket": ticket,
        "symbol": "EURUSD",
        "digits": 5,
        "type": "buy limit",
        "volume": 0.1,
        "price": 1.07,
        "sl": 1.06,
        "tp": 1.09,
        "comment": "",
        "placed_at": NOW,
    }
    return OrderView(**{**values, **over})


def snapshot(**over: Any) -> Snapshot:
    """A running paper account. `engine`, `account` and `drawdown` are merged into the defaults."""
    engine = {
        "pid": 1,
        "started_at": NOW,
        "profile": "paper",
        "loop_id": "L",
        "mode": "RUNNING",
        "epoch": 1,
        "environment": "paper",
    }
    account = {
        "login": 5001,
        "server": "Paper",
        "name": "n",
        "currency": "USD",
        "currency_digits": 2,
        "leverage": 100,
        "margin_mode": "hedging",
        "balance": 10_000.0,
        "credit": 0.0,
        "profit": 23.45,
        "equity": 10_023.45,
        "margin": 100.0,
        "margin_free": 9_900.0,
        "margin_level": 10_023.0,
    }
    drawdown = {
        "peak": 10_100.0,
        "percent": 0.76,
        "limit_percent": 20.0,
        "floor": 8_080.0,
        "headroom": 1_943.45,
        "verdict": "CLEAR",
    }
    values: dict[str, Any] = {
        "time": NOW,
        "seq": 3,
        "engine": {**engine, **over.pop("engine", {})},
        "account": {**account, **over.pop("account", {})},
        "drawdown": {**drawdown, **over.pop("drawdown", {})},
        "reading": {"validity": "VALID", "age_seconds": 0.1},
        "gateway": {"connected": True, "restarts": 0, "orders": "ready", "reads": "ready"},
    }
    return Snapshot.model_validate({**values, **over})


def flatten(name: str, state: str, statement: str = "", **over: Any) -> dict[str, Any]:
    """A flatten as the snapshot tells it."""
    return {"id": name, "state": state, "reason": "test", "started_at": NOW, "statement": statement, **over}


def event(seq: int, kind: str = "heartbeat", **metadata: Any) -> EventView:
    """One event."""
    return EventView(
        seq=seq,
        event_type=kind,
        timestamp=NOW + timedelta(seconds=seq),
        loop_id="L",
        account="5001@Paper",
        metadata=metadata or {"number": seq},
    )


class Ticking:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Monotonic seconds."""
        return self.now


class FakeEngine:
    """Attach to it, push snapshots into it, cut it off."""

    def __init__(self, first: Snapshot | None = None) -> None:
        self.current = first or snapshot()
        self.sent: list[tuple[Action, str]] = []
        self.windows: list[tuple[int, int]] = []
        self.searched: list[str] = []
        self.curves: list[int] = []
        self.attached = 0
        self.refuse_attach: str = ""
        self.reply: Callable[[Action], CommandResult] = lambda action: CommandResult(
            id="x" * 8, accepted=True, message=f"{action.kind} accepted"
        )
        self.gate = asyncio.Event()
        self.gate.set()
        self.seqs: list[int] = []
        self.curve = EquityCurve(account="a", points=[], resolution_seconds=1, peak=10_100.0, floor=8_080.0)
        self.problem: Exception | None = None
        self._queue: asyncio.Queue[Snapshot | Exception] = asyncio.Queue()

    async def attach(self) -> ConsoleClient:
        """A client of this engine."""
        if self.refuse_attach:
            raise EngineUnreachable(self.refuse_attach)
        self.attached += 1
        return self

    def push(self, said: Snapshot) -> None:
        """Stream a snapshot."""
        self.current = said
        self._queue.put_nowait(said)

    def cut(self, error: Exception | None = None) -> None:
        """End the stream."""
        self._queue.put_nowait(error or EngineUnreachable("the engine has gone"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def snapshot(self) -> Snapshot:
        return self.current

    async def events(self, after: int = 0, limit: int = 100) -> EventsPage:
        if self.problem:
            raise self.problem
        self.windows.append((after, limit))
        last = self.current.seq
        return EventsPage(events=[event(seq) for seq in range(after + 1, min(after + limit, last) + 1)], last_seq=last)

    async def matches(self, contains: str) -> EventMatches:
        self.searched.append(contains)
        return EventMatches(seqs=self.seqs, last_seq=self.current.seq)

    async def equity(self, points: int) -> EquityCurve:
        if self.problem:
            raise self.problem
        self.curves.append(points)
        return self.curve

    async def send(self, action: Action, reason: str = "") -> CommandResult:
        self.sent.append((action, reason))
        await self.gate.wait()
        if self.problem:
            raise self.problem
        return self.reply(action)

    async def stream(self, after: int | None = None) -> AsyncGenerator[StreamMessage, None]:
        while True:
            said = await self._queue.get()
            if isinstance(said, Exception):
                raise said
            yield StreamMessage(snapshot=said)


def curve(*starts: int, step: int = 10) -> EquityCurve:
    """A curve with a point at each of these seconds."""
    points = [
        EquityPoint(
            start=NOW + timedelta(seconds=at), seconds=step, low=9_900.0 + at, high=10_000.0 + at, last=9_950.0 + at
        )
        for at in starts
    ]
    return EquityCurve(account="a", points=points, resolution_seconds=step, peak=10_500.0, floor=8_400.0)


def console(engine: FakeEngine, clock: Callable[[], float] | None = None) -> Console:
    """The application over the fake."""
    return Console(Link(engine.attach), clock or Ticking())


async def until(pilot: "Pilot[Any]", ready: Callable[[], object]) -> None:
    """Wait for a condition; each round lets the application do all it can."""
    for _ in range(400):
        await pilot.pause()
        if ready():
            return
    raise AssertionError(f"never came about; the screen says:\n{frame(pilot.app)}")


async def connected(pilot: "Pilot[Any]") -> None:
    """Wait for the first snapshot on screen."""
    await until(pilot, lambda: "CONNECTED" in frame(pilot.app) and "DIS" not in frame(pilot.app) and _has_data(pilot))


def _has_data(pilot: "Pilot[Any]") -> bool:
    app = pilot.app
    return isinstance(app, Console) and app.view().snapshot is not None and "Equity " in frame(app)


async def shown(pilot: "Pilot[Any]", *fragments: str) -> str:
    """Wait until the frame holds all fragments, and return it."""

    def ready() -> bool:
        if isinstance(pilot.app, Console):
            pilot.app.paint()
        text = frame(pilot.app)
        return all(fragment in text for fragment in fragments)

    await until(pilot, ready)
    return frame(pilot.app)


def frame(app: Any) -> str:
    """The whole screen as text, dialogs and toasts included."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def ink(app: Any, name: str) -> str:
    """The text of one Ink of the screen below any dialog."""
    for screen in reversed(app.screen_stack):
        if isinstance(screen, ConsoleScreen):
            return screen.query_one(name, Ink).text
    raise AssertionError("no console screen")


def toasts(app: Any) -> str:
    """What the operator was told."""
    return "\n".join(notice.message for notice in app._notifications)
