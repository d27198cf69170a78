"""The equity curve: low, high and last of each second, and the same rolled up, kept in the journal's file.

In: readings, one or many a second. Out: the curve thinned to the points a screen can show. Each roll-up is brought up
to date when a reading is stored, so that a redraw reads a few rows a point however long the time is. Not chained:
readings are measurements, not decisions.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

LEVELS = (1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400)
"""Lengths in seconds of the stored stretches; each divides the next."""

_WASTE = 1.5
"""A stretch may be this much longer than asked for when a coarser level then serves it."""

SCHEMA = """
CREATE TABLE equity_account (id INTEGER PRIMARY KEY, account TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE equity (
    account INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    start INTEGER NOT NULL,
    low REAL NOT NULL,
    high REAL NOT NULL,
    last REAL NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (account, seconds, start)
) STRICT, WITHOUT ROWID;
"""

_UPSERT = """
INSERT INTO equity (account, seconds, start, low, high, last, last_at)
VALUES ((SELECT id FROM equity_account WHERE account = ?), ?, ?, ?, ?, ?, ?)
ON CONFLICT (account, seconds, start) DO UPDATE SET
    low = min(low, excluded.low),
    high = max(high, excluded.high),
    last = CASE WHEN excluded.last_at >= last_at THEN excluded.last ELSE last END,
    last_at = max(last_at, excluded.last_at)
"""

_BOUNDS = """
SELECT (SELECT min(start) FROM equity WHERE account = ? AND seconds = 1),
       (SELECT max(start) FROM equity WHERE account = ? AND seconds = 1)
"""

_STRETCHES = """
SELECT stretch.start, stretch.low, stretch.high, newest.last
FROM (
    SELECT start / :stretch * :stretch AS start, min(low) AS low, max(high) AS high, max(start) AS newest
    FROM equity
    WHERE account = :account AND seconds = :level AND start >= :first AND start < :behind
    GROUP BY 1
) AS stretch
JOIN equity AS newest ON newest.account = :account AND newest.seconds = :level AND newest.start = stretch.newest
ORDER BY stretch.start
"""


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """Equity over one stretch of time, in account currency: from `start` (UTC epoch second), `seconds` long."""

    start: int
    seconds: int
    low: float
    high: float
    last: float


Readings = Mapping[tuple[str, int], tuple[float, float, float]]
"""Low, high and last by account and UTC epoch second."""


class ReadingBuffer:
    """Readings that wait for the next commit, merged by account and second."""

    def __init__(self) -> None:
        self._readings: dict[tuple[str, int], tuple[float, float, float]] = {}

    def __bool__(self) -> bool:
        return bool(self._readings)

    def add(self, account: str, second: int, low: float, high: float, last: float) -> None:
        """Widen the second's low and high by this reading and make its last the last."""
        key = (account, second)
        known = self._readings.get(key)
        if known is not None:
            low, high = min(low, known[0]), max(high, known[1])
        self._readings[key] = (low, high, last)

    def take(self) -> Readings:
        """Hand over what was gathered and start anew."""
        taken, self._readings = self._readings, {}
        return taken


def store(connection: sqlite3.Connection, readings: Readings) -> None:
    """Write readings and every roll-up of them, within the caller's transaction."""
    accounts = {account for account, _ in readings}
    connection.executemany(
        "INSERT OR IGNORE INTO equity_account (account) VALUES (?)", [(account,) for account in sorted(accounts)]
    )
    connection.executemany(
        _UPSERT,
        [
            (account, level, second // level * level, low, high, last, second)
            for (account, second), (low, high, last) in sorted(readings.items())
            for level in LEVELS
        ],
    )


def plan(start: int, end: int, points: int) -> tuple[int, int]:
    """Choose (stretch, level) in seconds: at most `points` stretches touch `start` to `end`, read from that level."""
    wanted = max(1, -(-(end - start + 1) // points))
    while True:
        fitting = ((-(-wanted // level) * level, level) for level in reversed(LEVELS))
        stretch, level = next(fit for fit in fitting if fit[0] <= wanted * _WASTE)
        if end // stretch - start // stretch < points:
            return stretch, level
        wanted = stretch + 1


def read(
    connection: sqlite3.Connection, account: str, start: int | None, end: int | None, points: int
) -> list[EquityPoint]:
    """Thin the account's curve to at most `points` stretches of equal length, in time order.

    `start` and `end` are UTC epoch seconds, both included; None is the first or the last reading. Stretches lie on
    multiples of their length, so the outer two may reach a little further than asked. Low and high are true.
    """
    if points < 1:
        raise ValueError(f"a curve of {points} points; at least 1 is needed")
    known = connection.execute("SELECT id FROM equity_account WHERE account = ?", (account,)).fetchone()
    if known is None:
        return []
    first, last = connection.execute(_BOUNDS, (known[0], known[0])).fetchone()
    first = first if start is None else max(start, first)
    last = last if end is None else min(end, last)
    if first > last:
        return []
    stretch, level = plan(first, last, points)
    rows = connection.execute(
        _STRETCHES,
        {
            "account": known[0],
            "level": level,
            "stretch": stretch,
            "first": first // stretch * stretch,
            "behind": (last // stretch + 1) * stretch,
        },
    )
    return [EquityPoint(at, stretch, low, high, newest) for at, low, high, newest in rows]
