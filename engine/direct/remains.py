"""What a dead engine knew, read from its journal without changing it: what may still come at the broker.

In: the journal's file and the record beside it. Out: positions it knew, orders whose end it did not, closes it sent.
A journal that cannot be read keeps nobody from closing: it is said that it could not.
"""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.approvals import intent_from_json
from engine.broker.base import Broker, BrokerError
from engine.clock import Clock
from engine.events import EventType
from engine.evidence import Trace, search
from engine.journal.database import open_reader
from engine.journal.fallback import Fallback
from engine.observer import PositionObserver
from engine.signals import Intent

_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Remains:
    """What the journal says. `problem` is why it could not be read, "" when it could; then all else is empty."""

    positions: tuple[int, ...] = ()
    """The identifiers of the positions last seen."""
    doubtful: tuple[tuple[str, Intent], ...] = ()
    """Signals whose order may be at the broker, with what was sent."""
    closes: tuple[tuple[str, bool, float], ...] = ()
    """Closes that must not be repeated: what was sent as JSON, whether it is settled, lots executed."""
    problem: str = ""


def read_remains(journal: Path, fallback: Fallback, account: str) -> Remains:
    """What is known of an account ("login@server") whose engine is dead."""
    if not journal.exists():
        return Remains(problem="there is none")
    try:
        with closing(open_reader(journal)) as connection:
            return _read(connection, fallback, account)
    except (sqlite3.Error, OSError, ValueError, KeyError, TypeError) as error:
        return Remains(problem=f"{type(error).__name__}: {error}")


def _read(connection: sqlite3.Connection, fallback: Fallback, account: str) -> Remains:
    stored = connection.execute(
        "SELECT value FROM journal_value WHERE account = ? AND key = ?", (account, PositionObserver.KEY)
    ).fetchone()
    signals = connection.execute(
        "SELECT id, intent FROM signals WHERE account = ? AND state IN ('EXECUTING', 'UNKNOWN', 'WORKING')"
        " AND intent IS NOT NULL AND presumed_absent = 0",
        (account,),
    ).fetchall()
    sent = connection.execute("SELECT sent FROM closes WHERE account = ? AND settled = 0", (account,)).fetchall()
    return Remains(
        positions=tuple(item["identifier"] for item in json.loads(stored[0])) if stored else (),
        doubtful=tuple((name, intent_from_json(json.loads(intent))) for name, intent in signals),
        closes=tuple((each, False, 0.0) for each in (*(row[0] for row in sent), *_sent_directly(fallback, account))),
    )


def _sent_directly(fallback: Fallback, account: str) -> Sequence[str]:
    """The closes that an earlier direct flatten has sent and not seen settled, as JSON."""
    pending: dict[str, str] = {}
    groups, _ = fallback.read()
    for draft in (each.draft for group in groups for each in group.drafts):
        details: dict[str, Any] = dict(draft.metadata)
        if draft.account == account and draft.event_type is EventType.CLOSE_SENT:
            pending[details["id"]] = json.dumps(details)
        elif draft.account == account and draft.event_type is EventType.CLOSE_SETTLED:
            pending.pop(details["id"], None)
    return list(pending.values())


class Doubts:
    """The orders of a dead engine whose end is not known. Each is looked for until it is found, or unseen for long."""

    def __init__(
        self, broker: Broker, clock: Clock, doubtful: Sequence[tuple[str, Intent]], *, settle_seconds: float
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._open = dict(doubtful)
        self._unseen_since: dict[str, float] = {}
        self._settle_seconds = settle_seconds
        self._absent: list[str] = []

    def unresolved(self) -> list[str]:
        """Those that may still come, in words."""
        return [f"signal {name}" for name in self._open]

    def presumed_absent(self) -> list[str]:
        """Those that were not seen for the settle time, in words."""
        return [f"signal {name}" for name in self._absent]

    async def look(self) -> None:
        """Look once for each. What is found is the flatten's: its position or order is listed, and closed."""
        now = self._clock.monotonic()
        for name, intent in list(self._open.items()):
            try:
                found = await search(self._broker, intent, self._clock.utc())
            except BrokerError:
                self._unseen_since.pop(name, None)
                continue
            if found.trace in (Trace.FILLED, Trace.DEAD):
                del self._open[name]
            elif found.trace is not Trace.NOTHING:
                self._unseen_since.pop(name, None)
            elif now - self._unseen_since.setdefault(name, now) >= self._settle_seconds:
                del self._open[name]
                self._absent.append(name)

    @property
    def look_seconds(self) -> float:
        """How long to wait between two looks."""
        return _LOOK_SECONDS
