"""What a whole run of the campaign comes to: the journal's chain held against the broker's own deals."""

import math
from collections.abc import Iterable
from typing import Any

from engine.clock import iso
from engine.events import Event, EventType
from engine.paper.books import Books
from engine.settling import closing_magic
from engine.signals import id_of, is_ours
from engine.state import EngineMode


def judged(events: Iterable[Event], books: Books) -> tuple[list[str], int]:
    """Invariants 1, 2 and 12: what does not hold, in words; and how many signals have opened something."""
    problems: list[str] = []
    approved: set[str] = set()
    claimed: dict[str, dict[str, Any]] = {}
    parts: dict[str, float] = {}
    purposes: dict[int, str] = {}
    expiry: dict[str, str] = {}
    mode, epoch = "", 0
    executed: dict[str, float] = {}
    for event in events:
        match event.event_type:
            case EventType.SIGNAL_APPROVED:
                approved.add(event.metadata["signal"])
            case EventType.SIGNAL_RECEIVED:
                expiry[event.metadata["signal"]] = event.metadata["expires_at"]
            case EventType.ACCOUNT_OPENED:
                mode = event.metadata["mode"]
            case EventType.MODE_CHANGED:
                mode, epoch = event.metadata["to"], event.metadata["epoch"]
            case EventType.SIGNAL_EXECUTING:
                name, intent = event.metadata["signal"], event.metadata["intent"]
                if name in claimed:
                    problems.append(f"{name} was claimed twice")
                if (mode, epoch) != (EngineMode.RUNNING, intent["epoch"]):
                    problems.append(f"{name} was claimed while {mode} in epoch {epoch}, it is of {intent['epoch']}")
                if iso(event.timestamp) >= expiry[name]:
                    problems.append(f"{name} was claimed after it had expired")
                claimed[name] = intent
            case EventType.CLOSING_STARTED if event.metadata["scope"]["part"] is not None:
                parts[event.metadata["id"]] = event.metadata["scope"]["part"]
            case EventType.CLOSE_SENT:
                purposes[closing_magic(event.metadata["id"])] = event.metadata["purpose"]
            case EventType.TRADE_EXECUTED:
                executed[event.metadata["signal"]] = event.metadata["volume"]
    opened: dict[str, float] = {}
    closed: dict[str, float] = {}
    for deal in books.history.deals:
        name, kind = id_of(deal.magic), ("buy", "sell")[deal.type] if deal.type in (0, 1) else ""
        if is_ours(deal.magic) and kind and (name not in claimed or claimed[name]["side"] == kind):
            opened[name] = round(opened.get(name, 0.0) + deal.volume, 8)
        elif deal.magic in purposes:
            job = purposes[deal.magic]
            closed[job] = round(closed.get(job, 0.0) + deal.volume, 8)
    for job, volume in closed.items():
        if volume > parts.get(job, math.inf):
            problems.append(f"close {job} of a part closed {volume} lots of {parts[job]}")
    for signal, volume in opened.items():
        if signal not in approved:
            problems.append(f"{signal} was opened and never approved")
        elif signal not in claimed:
            problems.append(f"{signal} was opened without an intent in the journal")
        elif volume > claimed[signal]["volume"]:
            problems.append(f"{signal} opened {volume} lots of {claimed[signal]['volume']}")
        elif executed.get(signal) != volume:
            problems.append(f"{signal} opened {volume} lots, the journal knows of {executed.get(signal)}")
    nowhere = executed.keys() - opened.keys()
    problems += [f"{signal} is executed in the journal and not at the broker" for signal in sorted(nowhere)]
    return problems, len(opened)
