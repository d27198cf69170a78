"""The ledger of the simulated broker: what really happened, in order, whatever a terminal was told.

Append-only. It is what the state file holds, what the books are made from, and the referee of proofs: tests read it
past every fault of the terminal. Pure.
"""

from typing import Any, NamedTuple

REQUEST = "request"
"""A trade request that reached the broker: its 17 fields, the return code, deal and order ticket (0: none)."""
ORDER = "order"
"""An order in the state it now has: the 24 fields of TradeOrder."""
DEAL = "deal"
"""A deal: the 18 fields of TradeDeal."""
POSITION = "position"
"""A position as it now stands: the fields of books.Position."""
CLOSED = "closed"
"""A position is gone: its ticket."""


class Record(NamedTuple):
    """One thing that happened. `sequence` counts from 1 without a gap; `time_msc` is of the broker's clock."""

    sequence: int
    time_msc: int
    kind: str
    row: list[Any]


class Ledger:
    """The records of one account, and those that no file has yet."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._committed = 0

    def append(self, time_msc: int, kind: str, row: list[Any]) -> Record:
        """Add what has happened."""
        record = Record(len(self.records) + 1, time_msc, kind, row)
        self.records.append(record)
        return record

    def restore(self, records: list[Record]) -> None:
        """Take over what a file holds."""
        self.records = records
        self._committed = len(records)

    @property
    def uncommitted(self) -> bool:
        """Whether there is something to commit."""
        return len(self.records) > self._committed

    def take_uncommitted(self) -> list[Record]:
        """Return what has been added since the last call."""
        taken = self.records[self._committed :]
        self._committed = len(self.records)
        return taken
