"""The tables that follow from the journal's events, and how each event changes them.

`project` is pure: an event in, statements out. The journal runs them in the event's own transaction, and `journal
verify` replays them from the first event and compares. A statement that must hit one row says so: that is how a
stale version, an expired signal or a changed mode refuses a step.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from engine.clock import iso
from engine.events import Event, EventType
from engine.journal import Statement

SCHEMA = """
CREATE TABLE IF NOT EXISTS account_state (
    account TEXT PRIMARY KEY,
    mode TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    halt_reason TEXT NOT NULL,
    baseline_seq INTEGER NOT NULL,
    baseline TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS signals (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    proposal TEXT NOT NULL,
    approved_at TEXT,
    intent TEXT,
    reason TEXT NOT NULL,
    presumed_absent INTEGER NOT NULL,
    filled REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS signals_open ON signals (account, state);
CREATE TABLE IF NOT EXISTS commands (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    result TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS closings (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    state TEXT NOT NULL,
    scope TEXT NOT NULL,
    reason TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    statement TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS closes (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    purpose TEXT NOT NULL,
    sent TEXT NOT NULL,
    settled INTEGER NOT NULL,
    executed REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS left_open (
    account TEXT PRIMARY KEY,
    what TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS alerts (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    severity TEXT NOT NULL,
    text TEXT NOT NULL,
    raised_at TEXT NOT NULL,
    count INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS alert_deliveries (
    alert TEXT NOT NULL,
    target TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (alert, target)
) STRICT;
"""

_STATE_AFTER: Mapping[EventType, str] = {
    EventType.SIGNAL_APPROVED: "APPROVED",
    EventType.SIGNAL_REJECTED: "REJECTED",
    EventType.SIGNAL_EXPIRED: "EXPIRED",
    EventType.SIGNAL_BLOCKED: "BLOCKED",
    EventType.SIGNAL_EXECUTING: "EXECUTING",
    EventType.TRADE_FAILED: "FAILED",
    EventType.TRADE_UNKNOWN: "UNKNOWN",
}

_OF_CLOSING: Mapping[EventType, str] = {
    EventType.CLOSING_STARTED: "RUNNING",
    EventType.CLOSING_FINISHED: "DONE",
    EventType.CLOSING_CANCELLED: "CANCELLED",
    EventType.CLOSE_SENT: "",
    EventType.CLOSE_SETTLED: "",
    EventType.LEFT_OPEN: "",
}
"""Events of closing, with the state of a scoped close after them."""

_OF_ALERTS = (EventType.ALERT_RAISED, EventType.ALERT_DELIVERED, EventType.ALERT_ACKNOWLEDGED)

_RAISES_RISK = ("RUNNING", "PAUSED")
"""Modes that are entered only from the mode that was seen; the others latch whatever was before."""


_LOST_RECORDS = Statement("UPDATE account_state SET mode = 'PAUSED', epoch = epoch + 1 WHERE mode = 'RUNNING'", ())
"""What cannot be read lowered risk, and may have been a pause or a halt, of any account: none of them runs on."""


def records_lost(merged: Mapping[str, Any]) -> int:
    """How many records of the fallback file could not be taken into the journal, by what its merge has recorded."""
    return int(merged.get("damaged", 0)) + len(merged.get("refused", ()))


def project(event: Event) -> Sequence[Statement]:
    """The changes that an event makes to the tables."""
    details = event.metadata
    match event.event_type:
        case EventType.ACCOUNT_OPENED:
            return [
                Statement(
                    "INSERT INTO account_state VALUES (?, ?, 0, '', ?, ?)",
                    (event.account, details["mode"], event.seq, _baseline(details)),
                    expect=1,
                )
            ]
        case EventType.MODE_CHANGED:
            return [_mode_changed(event)]
        case EventType.FALLBACK_MERGED:
            return [_LOST_RECORDS] if records_lost(details) else []
        case EventType.DIRECT_FLATTEN_STARTED | EventType.DIRECT_FLATTEN_FINISHED:
            return [_closed_directly(event)]
        case EventType.PEAK_RESET:
            return [
                Statement(
                    "UPDATE account_state SET baseline_seq = ?, baseline = ? WHERE account = ?",
                    (event.seq, _baseline(details), event.account),
                    expect=1,
                )
            ]
        case EventType.COMMAND:
            return [
                Statement(
                    "INSERT INTO commands VALUES (?, ?, ?)",
                    (details["id"], details["digest"], _json(details["result"])),
                    expect=1,
                )
            ]
        case EventType.SIGNAL_RECEIVED:
            return [
                Statement(
                    "INSERT INTO signals VALUES (?, ?, 1, 'PENDING', ?, ?, NULL, NULL, '', 0, 0)",
                    (details["signal"], event.account, details["expires_at"], _json(dict(details))),
                    expect=1,
                )
            ]
        case EventType.SIGNAL_EXECUTING:
            return [_claim(event)]
        case EventType.ORDER_PLACED:
            return [_step(event, "WORKING", "reason = '', intent = ?", (_json(details["intent"]),))]
        case EventType.TRADE_PRESUMED_ABSENT:
            return [_step(event, "UNKNOWN", "presumed_absent = 1", ())]
        case EventType.SIGNAL_APPROVED:
            moment = iso(event.timestamp)
            return [_step(event, "APPROVED", "approved_at = ?", (moment,), "expires_at > ?", (moment,))]
        case EventType.TRADE_EXECUTED:
            return [_step(event, details["state"], "reason = '', filled = ?", (details["volume"],))]
        case kind if kind in _OF_CLOSING:
            return [_closing(event)]
        case kind if kind in _OF_ALERTS:
            return _alerts(event)
        case kind if kind in _STATE_AFTER:
            return [_step(event, _STATE_AFTER[kind], "reason = ?", (details.get("reason", ""),))]
        case _:
            return []


def _baseline(details: Mapping[str, Any]) -> str:
    """What the guards begin from: whole, or in journals from before there was more than a peak, that peak."""
    return _json(details.get("baseline") or {"drawdown": {"peak": details["equity"]}})


def _closing(event: Event) -> Statement:
    """What lowers risk is never refused by the tables: no row count is expected."""
    details = event.metadata
    match event.event_type:
        case EventType.CLOSING_STARTED:
            return Statement(
                "INSERT OR IGNORE INTO closings VALUES (?, ?, 'RUNNING', ?, ?, ?, NULL, '')",
                (details["id"], event.account, _json(details["scope"]), details["reason"], iso(event.timestamp)),
            )
        case EventType.CLOSE_SENT:
            return Statement(
                "INSERT OR IGNORE INTO closes VALUES (?, ?, ?, ?, 0, 0.0)",
                (details["id"], event.account, details["purpose"], _json(dict(details))),
            )
        case EventType.CLOSE_SETTLED:
            return Statement(
                "UPDATE closes SET settled = 1, executed = ? WHERE id = ?", (float(details["executed"]), details["id"])
            )
        case EventType.LEFT_OPEN:
            return Statement("INSERT OR REPLACE INTO left_open VALUES (?, ?)", (event.account, _json(dict(details))))
        case _:
            return Statement(
                "UPDATE closings SET state = ?, finished_at = ?, statement = ? WHERE id = ?",
                (_OF_CLOSING[event.event_type], iso(event.timestamp), details["statement"], details["id"]),
            )


def _alerts(event: Event) -> list[Statement]:
    """The open alerts and where they have been delivered. Never refused: no row count is expected."""
    details = event.metadata
    match event.event_type:
        case EventType.ALERT_RAISED:
            return [
                Statement(
                    "INSERT INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                    " severity = excluded.severity, text = excluded.text, count = excluded.count",
                    (
                        details["id"],
                        event.account,
                        details["key"],
                        details["severity"],
                        details["text"],
                        details["raised_at"],
                        details["count"],
                    ),
                )
            ]
        case EventType.ALERT_DELIVERED:
            return [
                Statement(
                    "INSERT OR REPLACE INTO alert_deliveries SELECT id, ?, ? FROM alerts WHERE id = ?",
                    (details["target"], iso(event.timestamp), name),
                )
                for name in details["ids"]
            ]
        case _:
            return [
                Statement(f"DELETE FROM {table} WHERE {column} = ?", (name,))  # noqa: S608 - the names are ours
                for name in details["ids"]
                for table, column in (("alert_deliveries", "alert"), ("alerts", "id"))
            ]


def _mode_changed(event: Event) -> Statement:
    details = event.metadata
    values = (details["to"], details["epoch"], details["halt_reason"], event.account)
    update = "UPDATE account_state SET mode = ?, epoch = ?, halt_reason = ? WHERE account = ?"
    if details["to"] in _RAISES_RISK and details["from"] != "RUNNING":
        return Statement(f"{update} AND mode = ?", (*values, details["from"]), expect=1)
    if details["to"] == "PAUSED":
        # A pause merged late comes from a run that did not know of the halt before it: it lifts none.
        return Statement(f"{update} AND mode NOT IN ('FLATTENING', 'HALTED')", values)
    return Statement(update, values, expect=1)


def _closed_directly(event: Event) -> Statement:
    """A flatten that ran without the engine latches as the engine's own does. What epoch there was it did not know."""
    mode = "FLATTENING" if event.event_type is EventType.DIRECT_FLATTEN_STARTED else "HALTED"
    return Statement(
        "UPDATE account_state SET mode = ?, epoch = epoch + 1, halt_reason = ? WHERE account = ?",
        (mode, event.metadata["reason"], event.account),
    )


def _step(
    event: Event,
    state: str,
    change: str,
    values: tuple[Any, ...],
    condition: str = "1",
    condition_values: tuple[Any, ...] = (),
) -> Statement:
    details = event.metadata
    return Statement(
        f"UPDATE signals SET state = ?, version = version + 1, {change}"  # noqa: S608 - the pieces are ours
        f" WHERE id = ? AND account = ? AND state = ? AND version = ? AND {condition}",
        (
            state,
            *values,
            details["signal"],
            event.account,
            details["from"],
            details["version"],
            *condition_values,
        ),
        expect=1,
    )


def _claim(event: Event) -> Statement:
    details = event.metadata
    return _step(
        event,
        "EXECUTING",
        "intent = ?",
        (_json(details["intent"]),),
        "expires_at > ? AND EXISTS (SELECT 1 FROM account_state WHERE account = ? AND mode = 'RUNNING' AND epoch = ?)",
        (iso(event.timestamp), event.account, details["intent"]["epoch"]),
    )


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
