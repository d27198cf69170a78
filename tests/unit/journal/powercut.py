"""Simulated power cuts: what a disk may hold when the power goes, rebuilt from a recorded session.

A file's name is certain once its folder was synced, its content once it was synced itself. Of what was written since,
any 512-byte sectors may be there and any not, in any order, and the length may be the old one or the new one.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.unit.journal.trace import Call

SECTOR = 512
WAYS = ("nothing", "some writes", "some sectors", "a torn last write")
"""What is left of the writes that were not synced."""


@dataclass
class _File:
    certain: bytes = b""
    has_certain_name: bool = False
    pending: list[Call] = field(default_factory=list)
    is_removed: bool = False


def _apply(content: bytearray, call: Call, keep: Sequence[bool] | None = None) -> None:
    """Do a write or a truncation; `keep` says which of the sectors that the write touches arrive."""
    if call.name == "ftruncate":
        content[call.place :] = b"\0" * max(0, call.place - len(content))
        return
    if len(content) < call.place:
        content.extend(b"\0" * (call.place - len(content)))
    for at, sector in _sectors(call):
        if keep is None or keep[(at - call.place) // SECTOR]:
            content[at : at + len(sector)] = sector
        elif len(content) < at + len(sector):
            content.extend(b"\0" * (at + len(sector) - len(content)))


def _sectors(call: Call) -> Iterator[tuple[int, bytes]]:
    for start in range(0, len(call.data), SECTOR):
        yield call.place + start, call.data[start : start + SECTOR]


def _matters(name: str) -> bool:
    return name.startswith(("journal.sqlite", "journal.fallback")) and not name.endswith("-shm")


class Disk:
    """The files of one folder, as certain as their syncs have made them."""

    def __init__(self, folder: Path, before: Path) -> None:
        """`folder` is where the session ran, `before` a copy of it from before."""
        self._folder = folder
        self._files = {file.name: _File(file.read_bytes(), True) for file in before.iterdir() if _matters(file.name)}

    @property
    def has_pending(self) -> bool:
        """Whether a cut now could leave more than one outcome."""
        return any(file.pending for file in self._files.values())

    def do(self, call: Call) -> bool:
        """Take a recorded call. False when it is none of these files'."""
        path = Path(call.file)
        if path == self._folder:
            self._files = {name: file for name, file in self._files.items() if not file.is_removed}
            for file in self._files.values():
                file.has_certain_name = True
            return True
        if path.parent != self._folder or not _matters(path.name):
            return False
        file = self._files.setdefault(path.name, _File())
        if call.name in ("fdatasync", "fsync"):
            content = bytearray(file.certain)
            for pending in file.pending:
                _apply(content, pending)
            file.certain, file.pending = bytes(content), []
        elif call.name in ("pwrite64", "ftruncate"):
            assert not file.is_removed, "a name was used again before its removal was certain: not modelled"
            file.pending.append(call)
        elif call.name == "write":  # always at the end
            end = len(file.certain) + sum(len(pending.data) for pending in file.pending)
            file.pending.append(replace(call, place=end))
        elif call.name == "unlink":
            file.is_removed = True
        else:
            raise AssertionError(f"a call that this disk does not know: {call}")
        return True

    def cut(self, way: str, draws: random.Random, into: Path) -> bool:
        """Write the files as a power cut at this moment may leave them. True when something of them is lost."""
        into.mkdir(parents=True, exist_ok=True)
        for old in into.iterdir():
            old.unlink()
        is_loss = False
        for name, file in self._files.items():
            is_open = way != "nothing" and draws.random() < 0.5
            if is_open if not file.has_certain_name else not (is_open and file.is_removed):
                left = self._left(file, way, draws)
                (into / name).write_bytes(left)
                is_loss |= left != self._left(file, "everything", draws)
        return is_loss

    def _left(self, file: _File, way: str, draws: random.Random) -> bytes:
        content = bytearray(file.certain)
        pending = file.pending
        if way == "some writes":
            pending = [call for call in pending if draws.random() < 0.5]
        elif way == "a torn last write":
            pending = pending[: draws.randrange(len(pending) + 1)]
        elif way == "nothing":
            pending = []
        for number, call in enumerate(pending):
            count = -(-len(call.data) // SECTOR)
            if way == "some sectors":
                if call.name == "ftruncate" and draws.random() < 0.5:
                    continue
                _apply(content, call, [draws.random() < 0.5 for _ in range(count)])
            elif way == "a torn last write" and number == len(pending) - 1:
                whole = draws.randrange(count + 1)
                _apply(content, call, [place < whole for place in range(count)])
            else:
                _apply(content, call)
        return bytes(content)
