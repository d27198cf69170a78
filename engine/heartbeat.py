"""The engine's pulse: HeartbeatMetrics, made only by a completed guard cycle.

A heartbeat that is young says that the account was looked at, judged and acted upon, not merely that a process lives.
"""

from dataclasses import dataclass
from datetime import datetime

from engine.readings import Validity


@dataclass(frozen=True, slots=True)
class HeartbeatMetrics:
    """Counts since this run began, unless they say lifetime. Durations in milliseconds, equity in account currency.

    `guard_evaluated_at` is when the guard last judged a valid reading, UTC; None before the first.
    """

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
