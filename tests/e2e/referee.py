"""Judges what kills have left behind: the broker's ledger against the journal on disk. The engine is not asked.

In: the journal's rows and the ledger's records. Out: problems as sentences, none when all is well. Read the ledger
first and the journal after it: then whatever the ledger shows must have been journalled before.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from engine.journal.database import open_reader
from engine.paper import requests as rq
from engine.paper.books import ENTRY_IN, STATE_REJECTED, Books, Deal
from engine.paper.ledger import Record
from engine.signals import is_ours, magic_of

HELD = frozenset({"EXECUTED", "PARTIAL"})
"""States of a signal that has opened something."""
STANDING = frozenset({"WORKING", "PARTIAL"})
"""States of a signal whose limit or stop order may stand at the broker."""
UNSETTLED = frozenset({"APPROVED", "EXECUTING", "UNKNOWN"})
"""States that reconciliation, or the operator, must still end."""
_CLOCK_SLACK = timedelta(seconds=5)
"""A deal bears the time of the last tick before it, and the market is quiet for more than a second now and then."""


class Row(NamedTuple):
    """One event as the journal's file has it."""

    seq: int
    time: datetime
    kind: str
    run: str
    data: dict[str, Any]


class Kill(NamedTuple):
    """One process that was killed: its role, its pid, and the time just before the signal was sent."""

    victim: str
    pid: int
    time: datetime


def read_journal(path: Path, after: int = 0) -> list[Row]:
    """The events behind a sequence number, from the file itself: it is there whether or not an engine is."""
    reader = open_reader(path)
    try:
        rows = reader.execute(
            "SELECT seq, time, event_type, loop_id, metadata FROM event WHERE seq > ? ORDER BY seq", (after,)
        ).fetchall()
    finally:
        reader.close()
    return [Row(seq, datetime.fromisoformat(time), kind, run, json.loads(data)) for seq, time, kind, run, data in rows]


@dataclass
class Life:
    """What the journal says of one signal. `volume` in lots; `steps` are its events in order."""

    symbol: str
    volume: float
    sl: float
    state: str = "PENDING"
    approved: bool = False
    filled: float = 0.0
    claims: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)

    def take(self, row: Row) -> None:
        """Follow one event of the signal."""
        self.steps.append(row)
        self.state = row.data.get("state", self.state)
        if row.kind == "signal_approved":
            self.approved = True
        elif row.kind == "signal_executing":
            self.claims.append(row)
        elif row.kind == "trade_executed":
            self.filled = float(row.data["volume"])

    def failed(self) -> str:
        """What was said when it was taken for failed, at any time; "" when it never was."""
        return next((str(row.data["reason"]) for row in self.steps if row.kind == "trade_failed"), "")

    @property
    def was_unknown(self) -> bool:
        """Whether its outcome has ever been unknown."""
        return any(row.kind == "trade_unknown" for row in self.steps)


class Referee:
    """The journal and the ledger of one account, followed as they grow."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.lives: dict[str, Life] = {}
        self.books = Books(2)
        self.records = 0
        self.mode = ("", 0)
        """The engine's last journalled mode, and the sequence number of the event that says so."""
        self.reckless: list[str] = []
        """What was sent on a symbol on which an outcome was not known."""
        self._clock_ahead: timedelta | None = None
        self.accepted: dict[int, set[int]] = {}
        """The tickets of the opening orders that the broker has taken, by magic number."""

    def hear(self, rows: Iterable[Row]) -> None:
        """Take the next events of the journal."""
        for row in rows:
            self.rows.append(row)
            if row.kind == "mode_changed":
                self.mode = (row.data["to"], row.seq)
            signal = row.data.get("signal")
            if row.kind == "signal_received":
                self.lives[row.data["signal"]] = Life(row.data["symbol"], row.data["volume"], row.data["sl"])
            elif signal in self.lives:
                if row.kind == "signal_executing":
                    self._ask_for_doubt(signal)
                self.lives[signal].take(row)

    def _ask_for_doubt(self, claimed: str) -> None:
        symbol = self.lives[claimed].symbol
        self.reckless += [
            f"{claimed}: was sent while the outcome of {signal} on {symbol} was not known"
            for signal, life in self.lives.items()
            if life.symbol == symbol and life.state == "UNKNOWN"
        ]

    def see(self, records: Iterable[Record]) -> None:
        """Take the next records of the ledger."""
        for record in records:
            self.records += 1
            self.books.apply(record)
        for order in (*self.books.orders.values(), *self.books.history.orders):
            if order.type in rq.PENDING_TYPES and order.magic and order.state != STATE_REJECTED:
                self.accepted.setdefault(order.magic, set()).add(order.ticket)
        for deal in self.openings():
            self.accepted.setdefault(deal.magic, set()).add(deal.order)

    def compare_clocks(self, broker_msc: int, now: datetime) -> None:
        """Take one look at the broker's clock, which shows the last tick's time: the latest look is the nearest."""
        ahead = datetime.fromtimestamp(broker_msc / 1000, now.tzinfo) - now
        self._clock_ahead = ahead if self._clock_ahead is None else max(self._clock_ahead, ahead)

    def openings(self) -> list[Deal]:
        """The deals that opened something."""
        return [deal for deal in self.books.history.deals if deal.entry == ENTRY_IN and deal.order]

    def opened(self) -> dict[int, float]:
        """Lots that were opened, by magic number."""
        volumes: dict[int, float] = {}
        for deal in self.openings():
            volumes[deal.magic] = round(volumes.get(deal.magic, 0.0) + deal.volume, 8)
        return volumes

    def doubles(self) -> list[str]:
        """Signals that were sent more than once, opened more than they may, without leave, or against what was said."""
        problems = [*self.reckless]
        names = {magic_of(signal): signal for signal in self.lives}
        opened = self.opened()
        for magic, tickets in self.accepted.items():
            signal = names.get(magic)
            if signal is None:
                whose = "an id of ours" if is_ours(magic) else "nobody"
                problems.append(f"orders {sorted(tickets)} of magic {magic} ({whose}), which nobody proposed")
                continue
            life = self.lives[signal]
            if len(tickets) > 1:
                problems.append(f"{signal}: the broker took {len(tickets)} orders for it: {sorted(tickets)}")
            if not life.approved:
                problems.append(f"{signal}: was sent and never approved")
            if len(life.claims) != 1:
                problems.append(f"{signal}: was sent with {len(life.claims)} journalled intents instead of 1")
            allowed = min([life.volume, *(claim.data["intent"]["volume"] for claim in life.claims)])
            if opened.get(magic, 0.0) > allowed:
                problems.append(f"{signal}: {opened[magic]} lots were opened of {allowed}")
            if magic in opened and (said := life.failed()):
                problems.append(f"{signal}: was said to have failed ({said}), and opened {opened[magic]} lots")
        problems += [self._late(deal, names[deal.magic]) for deal in self.openings() if deal.magic in names]
        return [problem for problem in problems if problem]

    def _late(self, deal: Deal, signal: str) -> str:
        """Says when a deal is older than the intent that was to come before it; "" when it is not."""
        if self._clock_ahead is None:
            return ""
        for claim in self.lives[signal].claims:
            sent = datetime.fromisoformat(claim.data["intent"]["sent_at"])
            dealt = datetime.fromtimestamp(deal.time_msc / 1000, sent.tzinfo) - self._clock_ahead
            if dealt + _CLOCK_SLACK < sent:
                return f"{signal}: deal {deal.ticket} was made at {dealt}, its intent is of {sent}"
        return ""

    def unproven(self, mode: tuple[str, int]) -> list[str]:
        """What is open on an account that was halted, as flat, before the ledger was read and after it."""
        if mode != self.mode or self.mode[0] != "HALTED" or not (self.books.positions or self.books.orders):
            return []
        return [f"halted as flat with {len(self.books.positions)} positions and {len(self.books.orders)} orders"]

    def orphans(self) -> list[str]:
        """What the engine does not know it has opened, and what is left in doubt: asked once it has reconciled."""
        problems = [
            f"{signal}: is still {life.state}" for signal, life in self.lives.items() if life.state in UNSETTLED
        ]
        names = {magic_of(signal): signal for signal in self.lives}
        for magic, volume in self.opened().items():
            signal = names.get(magic, "")
            found = self.lives.get(signal)
            if found is not None and (found.state not in HELD or abs(found.filled - volume) > 1e-9):
                problems.append(f"{signal}: opened {volume} lots; the journal has {found.filled}, {found.state}")
        for order in self.books.orders.values():
            found = self.lives.get(names.get(order.magic, ""))
            if found is None or found.state not in STANDING:
                problems.append(f"order {order.ticket} stands, and its signal is {found.state if found else 'none'}")
        for position in self.books.positions.values():
            found = self.lives.get(names.get(position.magic, ""))
            if found is None:
                problems.append(f"position {position.ticket} belongs to no signal")
            elif abs(position.sl - found.sl) > 1e-9:
                problems.append(f"position {position.ticket} has its stop at {position.sl} instead of {found.sl}")
        return problems


def in_flight(lives: Mapping[str, Life], kill: Kill) -> list[str]:
    """The signals that were claimed and had no outcome when a process was killed.

    An engine's own claim counts when another run wrote what came of it, or nobody did.
    """
    found = []
    for signal, life in lives.items():
        for row, after in zip_longest(life.steps, life.steps[1:]):
            if row.kind != "signal_executing" or row.time > kill.time:
                continue
            if kill.victim == "engine":
                hit = row.run.endswith(f"-{kill.pid}") and (after is None or after.run != row.run)
            else:
                hit = after is None or after.time > kill.time
            if hit:
                found.append(signal)
    return found
