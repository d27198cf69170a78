"""An engine of plain lists behind the control API, for the tests of the server, the client and the command line."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.control.health import Health
from engine.control.messages import (
    AccountView,
    AlertView,
    ClosingView,
    Command,
    CommandResult,
    DrawdownView,
    EngineView,
    Environment,
    EquityCurve,
    EquityPoint,
    EventMatches,
    EventsPage,
    EventView,
    FlattenView,
    GatewayView,
    MarketView,
    OrderView,
    PositionView,
    ReadingView,
    SignalView,
    Snapshot,
    Validity,
)
from engine.control.target import Operator, Visitor

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def event(seq: int, event_type: str = "heartbeat", **metadata: Any) -> EventView:
    return EventView(
        seq=seq,
        event_type=event_type,
        timestamp=START + timedelta(seconds=seq),
        loop_id="loop",
        account="5000001@Paper",
        metadata=metadata,
    )


def position(ticket: int = 1001, **changes: Any) -> PositionView:
    values: dict[str, Any] = {
        "ticket": ticket,
        "identifier": ticket,
        "symbol": "EURUSD",
        "digits": 5,
        "type": 0,
        "volume": 0.1,
        "price_open": 1.08,
        "price_current": 1.081,
        "sl": 1.07,
        "tp": 1.1,
        "profit": 10.0,
        "swap": 0.0,
        "magic": 77,
        "comment": "qd",
        "opened_at": START,
    }
    return PositionView(**{**values, **changes})


def signal(name: str = "K3V9X2QD", **changes: Any) -> SignalView:
    values: dict[str, Any] = {
        "id": name,
        "version": 1,
        "state": "PENDING",
        "symbol": "EURUSD",
        "digits": 5,
        "side": "buy",
        "order_type": "market",
        "volume": 0.1,
        "entry": 1.08,
        "sl": 1.07,
        "tp": 1.1,
        "source": "demo",
        "note": "",
        "created_at": START,
        "expires_at": START + timedelta(minutes=5),
        "seconds_left": 240.0,
        "reward_to_risk": 2.0,
        "money_at_risk": 100.0,
        "drift_points": 3.0,
    }
    return SignalView(**{**values, **changes})


def flatten(state: str, **changes: Any) -> FlattenView:
    values: dict[str, Any] = {"id": "F1", "state": state, "reason": "operator", "started_at": START}
    return FlattenView(**{**values, **changes})


def closing(state: str, **changes: Any) -> ClosingView:
    values: dict[str, Any] = {
        "id": "C1",
        "state": state,
        "scope": "everything of EURUSD",
        "reason": "",
        "started_at": START,
    }
    return ClosingView(**{**values, **changes})


class FakeEngine:
    """Answers from what the test puts into it; `hold` keeps commands waiting until it is set."""

    def __init__(self) -> None:
        self.log: list[EventView] = []
        self.positions: list[PositionView] = []
        self.orders: list[OrderView] = []
        self.signals: list[SignalView] = []
        self.flatten: FlattenView | None = None
        self.closings: list[ClosingView] = []
        self.alerts: list[AlertView] = []
        self.mode = "RUNNING"
        self.padding = ""
        self.empty = False
        self.snapshots = 0
        self.snapshot_error: Exception | None = None
        self.events_error: Exception | None = None
        self.execute_error: Exception | None = None
        self.is_healthy = True
        self.hold = asyncio.Event()
        self.hold.set()
        self.entered = asyncio.Event()
        self.visitors: list[Visitor] = []
        self.departed: list[Visitor] = []
        self.executed: list[tuple[Command, Operator]] = []
        self.refusal: str | None = None
        self.data: dict[str, Any] = {}
        self.asked_equity: list[tuple[datetime | None, datetime | None, int]] = []

    def arrived(self, visitor: Visitor) -> None:
        self.visitors.append(visitor)

    def left(self, visitor: Visitor) -> None:
        self.visitors.remove(visitor)
        self.departed.append(visitor)

    def happen(self, count: int = 1, event_type: str = "heartbeat", **metadata: Any) -> None:
        for _ in range(count):
            self.log.append(event(len(self.log) + 1, event_type, **metadata))

    def snapshot(self) -> Snapshot:
        self.snapshots += 1
        if self.snapshot_error is not None:
            raise self.snapshot_error
        engine = EngineView(
            pid=4242,
            started_at=START,
            profile="paper",
            loop_id="loop",
            mode=self.mode,
            epoch=1,
            environment=Environment.PAPER,
            heartbeat_age_seconds=1.5,
            notices=[self.padding] if self.padding else [],
        )
        gateway = GatewayView(connected=True, restarts=0, orders="ready", reads="ready")
        if self.empty:
            return Snapshot(
                time=START, seq=0, engine=engine, reading=ReadingView(validity=Validity.NONE), gateway=gateway
            )
        return Snapshot(
            time=START + timedelta(seconds=self.snapshots),
            seq=len(self.log),
            engine=engine,
            account=AccountView(
                login=5000001,
                server="Paper",
                name="Paper",
                currency="USD",
                currency_digits=2,
                leverage=100,
                margin_mode="hedging",
                balance=10_000.0,
                credit=0.0,
                profit=10.0,
                equity=10_010.0,
                margin=108.0,
                margin_free=9_902.0,
                margin_level=9268.5,
            ),
            reading=ReadingView(validity=Validity.VALID, age_seconds=0.1),
            drawdown=DrawdownView(
                peak=10_100.0,
                percent=0.89,
                limit_percent=20.0,
                floor=8_080.0,
                headroom=1_930.0,
                verdict="CLEAR",
            ),
            gateway=gateway,
            markets=[MarketView(symbol="EURUSD", digits=5, bid=1.08, ask=1.0801, time=START, age_seconds=0.2)],
            positions=self.positions,
            orders=self.orders,
            signals=self.signals,
            flatten=self.flatten,
            closings=self.closings,
            alerts=self.alerts,
        )

    async def events(self, after: int, limit: int) -> EventsPage:
        if self.events_error is not None:
            raise self.events_error
        return EventsPage(events=self.log[after : after + limit], last_seq=len(self.log))

    async def matches(self, contains: str) -> EventMatches:
        found = [one.seq for one in self.log if contains in one.model_dump_json()]
        return EventMatches(seqs=found, last_seq=len(self.log))

    async def equity(self, start: datetime | None, end: datetime | None, points: int) -> EquityCurve:
        self.asked_equity.append((start, end, points))
        point = EquityPoint(start=START, seconds=1, low=9_990.0, high=10_010.0, last=10_000.0)
        return EquityCurve(account="5000001@Paper", points=[point], resolution_seconds=1, peak=10_100.0, floor=8_080.0)

    async def execute(self, command: Command, operator: Operator) -> CommandResult:
        self.executed.append((command, operator))
        self.entered.set()
        await self.hold.wait()
        if self.execute_error is not None:
            raise self.execute_error
        if self.refusal is not None:
            return CommandResult(id=command.id, accepted=False, message=self.refusal)
        return CommandResult(id=command.id, accepted=True, message=f"{command.action.kind} done", data=self.data)

    def health(self) -> Health:
        said = "a guard cycle ended 0.1 s ago" if self.is_healthy else "no guard cycle for 9 s"
        return Health(healthy=self.is_healthy, message=said, loop_id="loop", cycles=7)

    def metrics(self) -> str:
        return "quarterdeck_up 1\n"
