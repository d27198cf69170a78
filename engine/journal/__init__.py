"""The journal: the durable, ordered, hash-chained record of everything that happened on one account's engine.

In: drafts of events, equity readings, small values. Out: events with sequence numbers, windows of them, the equity
curve. The engine's state tables are projections of the events, changed in the same transaction. An event that was
acknowledged is never lost, changed or reordered; what could not be written is never acknowledged.
"""

from engine.journal.journal import Journal
from engine.journal.record import Conflict, JournalError, Project, Statement
from engine.journal.verify import VerifyReport, verify

__all__ = ["Conflict", "Journal", "JournalError", "Project", "Statement", "VerifyReport", "verify"]
