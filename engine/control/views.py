"""What an engine tells its consoles: its state as a snapshot, its events, the account's equity.

Money is in the account's currency, prices in the symbol's, volumes in lots, times in UTC, ages in seconds, percent from
0 to 100.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from engine.control.alerts import AlertView
from engine.control.risk import RiskView
from engine.control.wire import OrderType, Role, Wire

API_VERSION = 1

Owner = Literal["ours", "adopted", "foreign"]
"""Whose a position or order is: this engine's, somebody else's, or somebody else's that the profile adopts."""


class Environment(StrEnum):
    """What kind of money is at stake. Anything that is not certainly paper or demo is LIVE."""

    PAPER = "paper"
    DEMO = "demo"
    LIVE = "live"


class Validity(StrEnum):
    """Whether an account reading may be believed. NONE: there has not been one yet."""

    VALID = "VALID"
    STALE = "STALE"
    INVALID = "INVALID"
    NONE = "NONE"


class EngineView(Wire):
    """The engine process and its mode (STARTING, RECONCILING, PAUSED, RUNNING, FLATTENING, HALTED)."""

    pid: int
    started_at: datetime
    profile: str
    loop_id: str
    mode: str
    epoch: int
    environment: Environment
    heartbeat_age_seconds: float | None = None
    """Since the last heartbeat of a completed guard cycle; None before the first."""
    loop_lag_ms: float = 0.0
    halt_reason: str | None = None
    """Why the account is halted; None when it is not."""
    notices: list[str] = []
    """What the operator must know now, in words: BLIND, cannot trade, disk error, unknown outcomes. Worst first."""


class AccountView(Wire):
    """The account as the broker states it."""

    login: int
    server: str
    name: str
    currency: str
    currency_digits: int
    leverage: int
    margin_mode: Literal["netting", "exchange", "hedging"]
    balance: float
    credit: float
    profit: float
    equity: float
    margin: float
    margin_free: float
    margin_level: float
    """Percent; 0 when no margin is in use."""


class ReadingView(Wire):
    """The last account reading, whether it may be believed, and its age."""

    validity: Validity
    age_seconds: float | None = None
    reason: str = ""
    blind: bool = False


class DrawdownView(Wire):
    """The drawdown guard: measured from the highest equity, trips at >= the limit."""

    peak: float
    percent: float
    limit_percent: float
    floor: float
    """The equity at which the guard trips."""
    headroom: float
    """Money left before it trips."""
    verdict: Literal["CLEAR", "WARN", "BLOCK", "FLATTEN"]
    evaluated_age_seconds: float | None = None


class GatewayView(Wire):
    """The two gateway processes. `connected`: a gateway answers and the terminal is connected to its broker."""

    connected: bool
    restarts: int
    orders: str
    reads: str


class MarketView(Wire):
    """The last quote of one symbol.

    `time` is the quote's own, by the broker's clock read as UTC; `age_seconds` is since it last changed.
    """

    symbol: str
    digits: int
    bid: float
    ask: float
    time: datetime
    age_seconds: float
    finished: bool = False
    """The replayed file has ended: the last quote stays."""


class PositionView(Wire):
    """One open position. `type` 0 is buy, 1 is sell, as in MT5."""

    ticket: int
    identifier: int
    symbol: str
    digits: int
    type: int
    volume: float
    price_open: float
    price_current: float
    sl: float
    tp: float
    profit: float
    swap: float
    magic: int
    comment: str
    opened_at: datetime
    owner: Owner = "ours"
    note: str = ""
    """What is being done about it, e.g. "closing, try 2: 10018 market closed"."""
    source: str = ""
    """Of the signal that it comes from; "" when it is not ours."""

    @property
    def foreign(self) -> bool:
        """Whether it is somebody else's and watched only."""
        return self.owner == "foreign"


class OrderView(Wire):
    """One order that stands at the broker. `type` in words, as "buy limit"; `volume` is what is not filled yet."""

    ticket: int
    symbol: str
    digits: int
    type: str
    volume: float
    price: float
    sl: float
    tp: float
    comment: str
    placed_at: datetime
    owner: Owner = "ours"
    signal: str = ""
    """The signal it was sent for, "" when it is not ours."""


class SignalView(Wire):
    """One signal, as it stands. Drift is in points, positive when the price has moved against the entry."""

    id: str
    version: int
    state: str
    symbol: str
    digits: int
    side: Literal["buy", "sell"]
    order_type: OrderType
    volume: float
    entry: float
    sl: float
    tp: float
    source: str
    note: str
    created_at: datetime
    expires_at: datetime
    seconds_left: float
    reward_to_risk: float | None
    money_at_risk: float | None
    """What the stop would cost at this volume from the entry, in account currency; None when it cannot be known."""
    drift_points: float | None
    risk_percent: float | None = None
    """What the stop may cost, in percent of the equity, when the volume was reckoned from it."""
    order: int = 0
    """The ticket of its order that stands at the broker; 0 when none does."""
    problem: str = ""
    """Why it would not be sent at the price now; "" when it would."""
    reason: str = ""


class CloseWorkView(Wire):
    """What a flatten and a scoped close tell alike. `statement` ends it: what the broker confirms, or what is left."""

    id: str
    reason: str
    started_at: datetime
    finished_at: datetime | None = None
    positions_closed: int = 0
    orders_cancelled: int = 0
    remaining: list[str] = []
    statement: str = ""


class FlattenView(CloseWorkView):
    """The running or the last flatten."""

    state: Literal["RUNNING", "DEFERRED", "FLAT", "CANCELLED"]


class ClosingView(CloseWorkView):
    """A scoped close: running, or one of the last. `scope` is what it covers, in words."""

    state: Literal["RUNNING", "DEFERRED", "DONE", "CANCELLED"]
    scope: str


class HeartbeatView(Wire):
    """HeartbeatMetrics, every 10 seconds, by a completed guard cycle."""

    timestamp: datetime
    loop_id: str
    signals_processed: int
    trades_executed: int
    error_count: int
    loop_duration_ms: float
    positions_open: int
    account_equity: float
    total_signals_lifetime: int
    total_trades_lifetime: int
    guard_evaluated_at: datetime | None
    reading_validity: Validity
    loop_lag_ms: float


class AttachedView(Wire):
    """Who is attached by a stream. `id` is what its console calls itself; "" when it gave none.

    `away_seq` and `away_since`: the newest event, and the time, when this name had last left before it came back; None
    when it never left, or had another stream open all the time.
    """

    id: str
    name: str
    role: Role
    origin: str
    via: str = ""
    since: datetime
    away_seq: int | None = None
    away_since: datetime | None = None


class Snapshot(Wire):
    """All that a console shows, at one moment."""

    api: int = API_VERSION
    time: datetime
    seq: int
    """The newest event's sequence number at this moment; 0 when there is none."""
    engine: EngineView
    account: AccountView | None = None
    reading: ReadingView
    drawdown: DrawdownView | None = None
    risk: RiskView = RiskView()
    gateway: GatewayView
    markets: list[MarketView] = []
    positions: list[PositionView] = []
    orders: list[OrderView] = []
    """The orders that stand at the broker, whoever placed them."""
    signals: list[SignalView] = []
    """PENDING ones first, oldest first; then those under way (APPROVED, EXECUTING, WORKING, PARTIAL, UNKNOWN)."""
    flatten: FlattenView | None = None
    closings: list[ClosingView] = []
    """Scoped closes, oldest first."""
    heartbeat: HeartbeatView | None = None
    alerts: list[AlertView] = []
    """What is open and not acknowledged, critical ones first."""
    attached: list[AttachedView] = []
    """In the order in which they came."""


class EventView(Wire):
    """One journalled event."""

    seq: int
    event_type: str
    timestamp: datetime
    loop_id: str
    account: str
    metadata: dict[str, Any]


class EventsPage(Wire):
    """Events with `after < seq`, oldest first, at most `limit`; `last_seq` is the newest in the journal."""

    events: list[EventView]
    last_seq: int


class EventMatches(Wire):
    """The sequence numbers of the events that hold a text, ascending; the newest ones when there are too many."""

    seqs: list[int]
    last_seq: int


class EquityPoint(Wire):
    """Equity over one stretch of time: `start` and `seconds` long, its low, high and last."""

    start: datetime
    seconds: int
    low: float
    high: float
    last: float


class EquityCurve(Wire):
    """The account's equity thinned to points in time order. A stretch without readings has no point: draw a gap."""

    account: str
    points: list[EquityPoint]
    resolution_seconds: int
    peak: float
    floor: float
