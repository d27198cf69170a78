"""What can happen, and the record of it. Every event is journalled; their order is their `seq`, never their time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """The kinds of event in the journal."""

    ENGINE_STARTED = "engine_started"
    ENGINE_STOPPED = "engine_stopped"
    ACCOUNT_OPENED = "account_opened"
    LOOP_STARTED = "loop_started"
    LOOP_STOPPED = "loop_stopped"
    LOOP_ERROR = "loop_error"
    HEARTBEAT = "heartbeat"
    MODE_CHANGED = "mode_changed"
    COMMAND = "command"
    SIGNAL_RECEIVED = "signal_received"
    SIGNAL_APPROVED = "signal_approved"
    SIGNAL_REJECTED = "signal_rejected"
    SIGNAL_EXPIRED = "signal_expired"
    SIGNAL_BLOCKED = "signal_blocked"
    SIGNAL_EXECUTING = "signal_executing"
    ORDER_RETRIED = "order_retried"
    ORDER_PLACED = "order_placed"
    ORDER_CANCELLING = "order_cancelling"
    ORDER_APPEARED = "order_appeared"
    ORDER_GONE = "order_gone"
    TRADE_EXECUTED = "trade_executed"
    TRADE_FAILED = "trade_failed"
    TRADE_UNKNOWN = "trade_unknown"
    TRADE_PRESUMED_ABSENT = "trade_presumed_absent"
    POSITION_OPENED = "position_opened"
    POSITION_REDUCED = "position_reduced"
    POSITION_GROWN = "position_grown"
    POSITION_CLOSED = "position_closed"
    STOP_CHANGED = "stop_changed"
    DEAL_UNEXPLAINED = "deal_unexplained"
    STOP_MISSING = "stop_missing"
    GUARD_WARN = "guard_warn"
    GUARD_BLOCK = "guard_block"
    GUARD_CLEARED = "guard_cleared"
    GUARD_TRIPPED = "guard_tripped"
    GUARD_ERROR = "guard_error"
    GUARD_LOCKED = "guard_locked"
    GUARD_LIFTED = "guard_lifted"
    GUARD_UNLOCKED = "guard_unlocked"
    GUARDS_TESTED = "guards_tested"
    GUARDS_CONFIGURED = "guards_configured"
    BASES_SET = "bases_set"
    CASH_FLOW = "cash_flow"
    FUNDS_UNEXPLAINED = "funds_unexplained"
    FUNDS_EXPLAINED = "funds_explained"
    FUNDS_SETTLED = "funds_settled"
    CLOCK_SET = "clock_set"
    BROKER_CLOCK_CHANGED = "broker_clock_changed"
    READING_BLIND = "reading_blind"
    READING_RESTORED = "reading_restored"
    FLATTEN_STARTED = "flatten_started"
    FLATTEN_PROGRESS = "flatten_progress"
    FLATTEN_DEFERRED = "flatten_deferred"
    FLATTEN_FINISHED = "flatten_finished"
    FLATTEN_CANCELLED = "flatten_cancelled"
    DIRECT_FLATTEN_STARTED = "direct_flatten_started"
    DIRECT_FLATTEN_FINISHED = "direct_flatten_finished"
    LEFT_OPEN = "left_open"
    CLOSING_STARTED = "closing_started"
    CLOSING_PROGRESS = "closing_progress"
    CLOSING_DEFERRED = "closing_deferred"
    CLOSING_FINISHED = "closing_finished"
    CLOSING_CANCELLED = "closing_cancelled"
    CLOSE_SENT = "close_sent"
    CLOSE_SETTLED = "close_settled"
    PEAK_RESET = "peak_reset"
    GATEWAY_LOST = "gateway_lost"
    GATEWAY_STARTED = "gateway_started"
    OPERATOR_ATTACHED = "operator_attached"
    OPERATOR_DETACHED = "operator_detached"
    SECOND_OPERATOR_WANTED = "second_operator_wanted"
    FALLBACK_MERGED = "fallback_merged"
    ALERT_RAISED = "alert_raised"
    ALERT_DELIVERED = "alert_delivered"
    ALERT_FAILED = "alert_failed"
    ALERT_ACKNOWLEDGED = "alert_acknowledged"


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that has not been journalled yet: it has no sequence number and no hash.

    `account` is "login@server", or "" before an account is known.
    """

    event_type: EventType
    timestamp: datetime
    loop_id: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    account: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, as the journal holds it.

    `seq` counts from 1 without gaps; `hash` chains it to the event before.
    """

    seq: int
    event_type: EventType
    timestamp: datetime
    loop_id: str
    metadata: Mapping[str, Any]
    account: str
    hash: str
