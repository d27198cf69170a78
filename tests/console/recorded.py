"""A client that answers from a fixed session, so that pictures of it are always the same."""

import asyncio
import math
import random
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from engine.control.messages import (
    AccountView,
    Action,
    CommandResult,
    DrawdownView,
    EngineView,
    Environment,
    EquityCurve,
    EquityPoint,
    EventMatches,
    EventsPage,
    EventView,
    Flatten,
    FlattenView,
    GatewayView,
    MarketView,
    PositionView,
    ReadingView,
    SignalView,
    Snapshot,
    StreamMessage,
    Validity,
)

NOW = datetime(2026, 1, 5, 8, 42, 17, tzinfo=UTC)
PEAK = 10_481.25


class RecordedSession:
    """A client that answers from a fixed session: one account on a Monday morning, always the same."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = [recorded_snapshot()]
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def snapshot(self) -> Snapshot:
        """The newest moment of the session."""
        return self.snapshots[-1]

    async def events(self, after: int = 0, limit: int = 100) -> EventsPage:
        """The session's events."""
        held = recorded_events()
        return EventsPage(events=held[after : after + limit], last_seq=len(held))

    async def matches(self, contains: str) -> EventMatches:
        """The events that hold a text."""
        held = recorded_events()
        return EventMatches(
            seqs=[event.seq for event in held if contains in event.model_dump_json()], last_seq=len(held)
        )

    async def equity(self, points: int) -> EquityCurve:
        """The session's curve."""
        return recorded_curve(points)

    async def send(self, action: Action, reason: str = "") -> CommandResult:
        """Flatten ends the session; anything else is refused."""
        if not isinstance(action, Flatten):
            return CommandResult(id="recorded", accepted=False, message="this is a recorded session")
        self.snapshots.append(_halted(self.snapshots[-1], reason))
        self._changed.set()
        return CommandResult(id="recorded", accepted=True, message="flattening")

    async def stream(self, after: int | None = None) -> AsyncGenerator[StreamMessage, None]:
        """The moments that follow."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            yield StreamMessage(snapshot=self.snapshots[-1])


def recorded_snapshot() -> Snapshot:
    """The account as the session has it: three positions, three signals waiting, one under way."""
    positions = [
        _position(10021, "EURUSD", 0, 0.30, (1.08412, 1.08563), (1.08210, 1.08820), 45.30, 5),
        _position(10024, "USDJPY", 1, 0.20, (149.382, 149.447), (149.690, 148.770), -8.70, 3),
        _position(88123, "XAUUSD", 0, 0.05, (2041.35, 2043.10), (0.0, 0.0), 8.75, 2, foreign=True),
    ]
    profit = round(sum(position.profit for position in positions), 2)
    equity = 10_212.40 + profit
    peak = PEAK
    return Snapshot(
        time=NOW,
        seq=len(recorded_events()),
        engine=EngineView(
            pid=4211,
            started_at=NOW - timedelta(hours=2),
            profile="paper",
            loop_id="L7QK2M",
            mode="RUNNING",
            epoch=3,
            environment=Environment.PAPER,
            heartbeat_age_seconds=3.2,
        ),
        account=AccountView(
            login=5_001_234,
            server="Quarterdeck-Paper",
            name="Paper account",
            currency="USD",
            currency_digits=2,
            leverage=100,
            margin_mode="hedging",
            balance=10_212.40,
            credit=0.0,
            profit=profit,
            equity=round(equity, 2),
            margin=627.57,
            margin_free=round(equity - 627.57, 2),
            margin_level=round(100 * equity / 627.57, 2),
        ),
        reading=ReadingView(validity=Validity.VALID, age_seconds=0.05),
        drawdown=DrawdownView(
            peak=peak,
            percent=round(100 * (peak - equity) / peak, 4),
            limit_percent=20.0,
            floor=round(peak * 0.8, 2),
            headroom=round(equity - peak * 0.8, 2),
            verdict="CLEAR",
            evaluated_age_seconds=0.05,
        ),
        gateway=GatewayView(connected=True, restarts=0, orders="ready", reads="ready"),
        markets=[
            MarketView(symbol="EURUSD", digits=5, bid=1.08563, ask=1.08571, time=NOW, age_seconds=0.1),
            MarketView(symbol="USDJPY", digits=3, bid=149.439, ask=149.447, time=NOW, age_seconds=0.1),
        ],
        positions=positions,
        signals=[
            _signal("K3V9X2QD", "PENDING", "EURUSD", "buy", 0.20, (1.08560, 1.08360, 1.08960), 248.0, 3.0),
            _signal("M8T4C7RA", "PENDING", "USDJPY", "sell", 0.15, (149.450, 149.750, 148.850), 131.0, -3.0),
            _signal("P2W6H5ZE", "PENDING", "EURUSD", "sell", 0.10, (1.08590, 1.08790, 1.08290), 24.0, 27.0),
            _signal("B9N1F3SU", "EXECUTING", "EURUSD", "buy", 0.10, (1.08555, 1.08355, 1.08855), 190.0, 8.0),
        ],
    )


def _position(
    ticket: int,
    symbol: str,
    kind: int,
    volume: float,
    prices: tuple[float, float],
    stops: tuple[float, float],
    profit: float,
    digits: int,
    *,
    foreign: bool = False,
) -> PositionView:
    return PositionView(
        ticket=ticket,
        identifier=ticket,
        symbol=symbol,
        digits=digits,
        type=kind,
        volume=volume,
        price_open=prices[0],
        price_current=prices[1],
        sl=stops[0],
        tp=stops[1],
        profit=profit,
        swap=0.0,
        magic=0 if foreign else 730_001,
        comment="manual" if foreign else "QD",
        opened_at=NOW - timedelta(minutes=ticket % 50),
        owner="foreign" if foreign else "ours",
    )


def _signal(
    name: str,
    state: str,
    symbol: str,
    side: str,
    volume: float,
    prices: tuple[float, float, float],
    left: float,
    drift: float,
) -> SignalView:
    entry, stop, target = prices
    yen = symbol.endswith("JPY")
    risk = volume * 100_000 * abs(entry - stop) / (149.45 if yen else 1.0)
    return SignalView.model_validate(
        {
            "id": name,
            "version": 1 if state == "PENDING" else 3,
            "state": state,
            "symbol": symbol,
            "digits": 3 if yen else 5,
            "side": side,
            "order_type": "market",
            "volume": volume,
            "entry": entry,
            "sl": stop,
            "tp": target,
            "source": "demo.breakout",
            "note": "range of the first hour broken; spread is normal",
            "created_at": NOW - timedelta(seconds=300 - left),
            "expires_at": NOW + timedelta(seconds=left),
            "seconds_left": left,
            "reward_to_risk": round(abs(target - entry) / abs(entry - stop), 2),
            "money_at_risk": round(risk, 2),
            "drift_points": drift,
        }
    )


def recorded_events() -> list[EventView]:
    """What happened before."""
    told: list[tuple[str, dict[str, Any]]] = [
        ("engine_started", {"mode": "RUNNING", "epoch": 3, "peak": 10_000.0, "open_signals": 0}),
        ("account_opened", {"mode": "RUNNING", "equity": 10_000.0}),
        ("loop_started", {"batch_size": 10}),
    ]
    for number, (symbol, price) in enumerate((("EURUSD", 1.08412), ("USDJPY", 149.382), ("EURUSD", 1.08231)) * 4):
        name = f"S{number:02}QK7XD"
        told += [
            ("signal_received", {"signal": name, "symbol": symbol, "side": "buy", "volume": 0.1, "entry": price}),
            ("signal_approved", {"signal": name, "version": 1, "operator": "desk"}),
            ("trade_executed", {"signal": name, "side": "buy", "volume": 0.1, "price": price, "fill_ms": 21.4}),
            ("heartbeat", {"signals_processed": number, "positions_open": 2, "account_equity": 10_212.4}),
        ]
    told += [
        ("guard_warn", {"guard": "drawdown", "verdict": "WARN", "percent": 16.2, "limit_percent": 20.0}),
        ("guard_cleared", {"guard": "drawdown", "verdict": "CLEAR", "percent": 15.1, "limit_percent": 20.0}),
        ("trade_failed", {"signal": "T44QK7XD", "reason": "10018 market closed"}),
        ("signal_received", {"signal": "K3V9X2QD", "symbol": "EURUSD", "side": "buy", "volume": 0.2, "entry": 1.0856}),
    ]
    start = NOW - timedelta(seconds=40 * len(told))
    return [
        EventView(
            seq=index + 1,
            event_type=kind,
            timestamp=start + timedelta(seconds=40 * index),
            loop_id="L7QK2M",
            account="5001234@Quarterdeck-Paper",
            metadata=metadata,
        )
        for index, (kind, metadata) in enumerate(told)
    ]


def recorded_curve(points: int) -> EquityCurve:
    """Two hours of equity with a deep fall in the middle and half an hour without an engine."""
    walk = random.Random(7)
    step = max(1, 7200 // points)
    held: list[EquityPoint] = []
    noise = 0.0
    for index in range(points):
        share = index / points
        noise += walk.gauss(0, 14)
        level = 10_000 + 480 * math.sin(share * 3.0) - 1_100 * math.exp(-((share - 0.45) ** 2) / 0.004) + noise
        low, high = level - abs(walk.gauss(0, 20)), level + abs(walk.gauss(0, 20))
        if not 0.62 < share < 0.72:
            start = NOW - timedelta(seconds=step * (points - index))
            held.append(EquityPoint(start=start, seconds=step, low=low, high=high, last=level))
    lift = PEAK - max(point.high for point in held)
    lifted = [
        point.model_copy(update={"low": point.low + lift, "high": point.high + lift, "last": point.last + lift})
        for point in held
    ]
    return EquityCurve(
        account="5001234@Quarterdeck-Paper", points=lifted, resolution_seconds=step, peak=PEAK, floor=0.8 * PEAK
    )


def _halted(before: Snapshot, reason: str) -> Snapshot:
    flatten = FlattenView(
        id="F1",
        state="FLAT",
        reason=reason,
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=2),
        positions_closed=len(before.positions),
        statement="flat, confirmed by the broker at 08:42:19",
    )
    engine = before.engine.model_copy(update={"mode": "HALTED", "halt_reason": reason})
    account = before.account
    if account is not None:
        update = {"profit": 0.0, "balance": account.equity, "margin": 0.0, "margin_level": 0.0}
        account = account.model_copy(update=update)
    return before.model_copy(
        update={"engine": engine, "account": account, "flatten": flatten, "positions": [], "signals": []}
    )
