"""The fallback file: what lowered risk while the journal was too slow or broken, kept until the next start.

In: groups of drafts with an id each. Out: the same groups, for the store to merge by id, exactly once. A line is a
SHA-256, a space and JSON, so that a line torn by a crash is known as damaged and never taken for a record. A newline
stands on both sides of it, written with it: neither one that follows a torn line is torn with it, nor one before it.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.journal.database import sync_folder
from engine.journal.record import Prepared, canonical, restore


@dataclass(frozen=True, slots=True)
class FallbackGroup:
    """Drafts that belong together. `id` is also in the journal when its late commit did succeed."""

    id: str
    drafts: tuple[Prepared, ...]

    @classmethod
    def of(cls, opened_at: int, number: int, drafts: tuple[Prepared, ...]) -> "FallbackGroup":
        """The `number`-th urgent group of a run that began after event `opened_at`."""
        return cls(f"{opened_at}-{number}", drafts)

    @property
    def number(self) -> int:
        """Its place among the urgent groups of its run."""
        return int(self.id.rpartition("-")[2])

    def plain(self) -> list[list[str]]:
        """The drafts as texts: time, type, loop id, account and metadata of each."""
        return [
            [each.time, each.draft.event_type.value, each.draft.loop_id, each.draft.account, each.metadata]
            for each in self.drafts
        ]


class Fallback:
    """The file beside the journal. Blocks on the disk: for a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, group: FallbackGroup) -> None:
        """Add a group, durable on return. Raises OSError."""
        body = canonical({"id": group.id, "drafts": group.plain()}).encode()
        line = b"\n" + hashlib.sha256(body).hexdigest().encode() + b" " + body + b"\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self._path.parent)

    def read(self) -> tuple[Sequence[FallbackGroup], int]:
        """The groups in the order they were written, and the number of lines that cannot be used."""
        if not self._path.exists():
            return [], 0
        groups, damaged = [], 0
        for line in self._path.read_bytes().split(b"\n"):
            if not line:
                continue
            digest, _, body = line.partition(b" ")
            if hashlib.sha256(body).hexdigest().encode() != digest:
                damaged += 1
                continue
            content = json.loads(body)
            try:
                drafts = tuple(restore(*draft) for draft in content["drafts"])
            except ValueError:  # a type that only another version knows: kept with the damaged ones
                damaged += 1
                continue
            groups.append(FallbackGroup(content["id"], drafts))
        return groups, damaged

    def remove(self, *, keep_as: str | None) -> None:
        """Take the file away once it is merged; `keep_as` renames it instead, when a line of it was damaged."""
        if keep_as is None:
            self._path.unlink(missing_ok=True)
        else:
            self._path.replace(self._path.with_name(f"{self._path.name}.{keep_as}"))
        sync_folder(self._path.parent)
