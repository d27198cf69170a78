"""The tables of the journal's file: created, checked for their version, and the projections rebuilt when they changed.

In: a writer's connection, the projections' schema. Out: the chain's head. A projection holds nothing that the events
do not say, so a changed schema is met by dropping its tables and replaying every event.
"""

import sqlite3

from engine.events import Draft, Event
from engine.journal.database import SCHEMA, VERSION, objects_of
from engine.journal.record import GENESIS, SELECT_AFTER, Conflict, Project, Statement, row_event


class LayoutError(Exception):
    """The file cannot be used by this version: says why."""


def run(connection: sqlite3.Connection, draft: Draft, statement: Statement) -> None:
    """Run one statement of a projection. Raises Conflict when it did not hit as many rows as it must."""
    try:
        count = connection.execute(statement.sql, statement.parameters).rowcount
    except sqlite3.IntegrityError as error:
        raise Conflict(draft, statement, str(error)) from error
    if statement.expect is not None and count != statement.expect:
        raise Conflict(draft, statement, f"{count} rows instead of {statement.expect}")


def replay(connection: sqlite3.Connection, event: Event, project: Project) -> None:
    """Bring the projections from before a stored event to after it."""
    draft = Draft(event.event_type, event.timestamp, event.loop_id, event.metadata, event.account)
    for statement in project(event):
        run(connection, draft, statement)


def prepare_tables(connection: sqlite3.Connection, schema: str, project: Project) -> tuple[int, str]:
    """Create or migrate all tables in one transaction and return the head (seq, hash) of the chain."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise LayoutError(f"the file is of version {version}; this program knows up to {VERSION}")
    if version == 0:
        connection.executescript(f"BEGIN IMMEDIATE;\n{SCHEMA}\n{schema}\n;PRAGMA user_version = {VERSION};")
        connection.execute("INSERT INTO journal_head VALUES (0, ?)", (GENESIS,))
        connection.execute("INSERT INTO journal_projection VALUES (?)", (schema,))
        connection.execute("COMMIT")
        return 0, GENESIS
    (stored,) = connection.execute("SELECT schema FROM journal_projection").fetchone()
    if stored != schema:
        _rebuild(connection, stored, schema, project)
    seq, digest = connection.execute("SELECT seq, hash FROM journal_head").fetchone()
    return seq, digest


def _rebuild(connection: sqlite3.Connection, stored: str, schema: str, project: Project) -> None:
    drops = "".join(
        f'DROP {kind.upper()} "{name}";' for kind, name in objects_of(stored) if kind in ("table", "view")
    )  # their indexes and triggers go with them
    connection.executescript(f"BEGIN IMMEDIATE;\n{drops}\n{schema}\n;")
    try:
        for row in connection.execute(SELECT_AFTER, (0, -1)):
            replay(connection, row_event(row), project)
        connection.execute("UPDATE journal_projection SET schema = ?", (schema,))
        connection.execute("COMMIT")
    except (ValueError, Conflict) as error:
        connection.execute("ROLLBACK")
        raise LayoutError(f"the state tables could not be rebuilt: {error}") from error
