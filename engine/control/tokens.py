"""Tokens: how people who share one account of the machine are told apart, and how a role is lowered.

In: `tokens.json` in the profile's state folder, ours alone. Out: the name and role that a presented token stands for.
The file holds SHA-256 sums; a token itself is shown once, by the command that makes it, and is stored nowhere.
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import filelock
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from engine.control.wire import Role

TOKENS_FILE = "tokens.json"
MOST_TOKENS = 1000
TOKEN = re.compile(r"^[A-Za-z0-9_-]{20,200}$")
_LOCK_SECONDS = 5.0
_BYTES = 32

TokenName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
Stamp = tuple[int, int, int]
"""What tells one version of the file from another: inode, size, time of change."""


class TokensUnusable(Exception):
    """The file of tokens cannot be trusted or understood; says what is wrong with it and what is right."""


class TokenEntry(BaseModel):
    """One token as it is stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: TokenName
    role: Role
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: list[TokenEntry] = []


class TokenBook:
    """The tokens of one profile. Reads the file again whenever it has changed."""

    def __init__(self, state_folder: Path) -> None:
        self._path = state_folder / TOKENS_FILE
        self._stamp: Stamp | None = None
        self._entries: tuple[TokenEntry, ...] = ()

    def all(self) -> tuple[TokenEntry, ...]:
        """Every token, in the order in which they were added. Raises TokensUnusable."""
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
                self._check(found)
                if stamp != self._stamp:
                    self._entries = tuple(_Stored.model_validate_json(file.read()).tokens)
                    self._stamp = stamp
        except FileNotFoundError:
            self._entries, self._stamp = (), None
        except OSError as error:
            raise TokensUnusable(f"{self._path}: {error.strerror}") from error
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in fault["loc"]) or "file"
            raise TokensUnusable(f"{self._path}: {where}: {fault['msg']}") from None
        return self._entries

    def find(self, token: str) -> TokenEntry | None:
        """The entry that a token stands for, None when there is none. Raises TokensUnusable."""
        presented = _digest(token)
        found = None
        for entry in self.all():
            # All are compared, each in constant time: how long this takes tells nothing of them.
            if hmac.compare_digest(entry.sha256, presented):
                found = entry
        return found

    def add(self, name: str, role: Role) -> str:
        """Store a new token and return it: the only time that it is seen. Raises ValueError, TokensUnusable."""
        token = secrets.token_urlsafe(_BYTES)
        entry = TokenEntry(name=name, role=role, sha256=_digest(token))

        def added(entries: tuple[TokenEntry, ...]) -> tuple[TokenEntry, ...]:
            if any(other.name == name for other in entries):
                raise ValueError(f"there is a token of the name {name!r} already: remove it first")
            if len(entries) >= MOST_TOKENS:
                raise ValueError(f"there are {len(entries)} tokens already: remove some first")
            return (*entries, entry)

        self._change(added)
        return token

    def remove(self, name: str) -> None:
        """Forget the token of this name; whoever uses it is refused from now on. Raises ValueError, TokensUnusable."""

        def removed(entries: tuple[TokenEntry, ...]) -> tuple[TokenEntry, ...]:
            kept = tuple(entry for entry in entries if entry.name != name)
            if len(kept) == len(entries):
                names = ", ".join(entry.name for entry in entries) or "none"
                raise ValueError(f"there is no token of the name {name!r}; there are: {names}")
            return kept

        self._change(removed)

    def _check(self, found: os.stat_result) -> None:
        if sys.platform == "win32":
            return
        if found.st_uid != os.getuid():
            raise TokensUnusable(f"{self._path}: belongs to uid {found.st_uid}, expected {os.getuid()}")
        if (mode := stat.S_IMODE(found.st_mode)) & 0o077:
            raise TokensUnusable(f"{self._path}: has mode {mode:o}, expected 600: others may have read or changed it")

    def _change(self, change: Callable[[tuple[TokenEntry, ...]], tuple[TokenEntry, ...]]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with filelock.FileLock(self._path.with_suffix(".lock"), timeout=_LOCK_SECONDS):
                self._write(_Stored(tokens=list(change(self.all()))))
        except filelock.Timeout:
            raise TokensUnusable(f"{self._path}: another command is changing it; try again") from None
        except OSError as error:
            raise TokensUnusable(f"{self._path}: {error.strerror}") from error

    def _write(self, stored: _Stored) -> None:
        """Replace the file whole: an engine reads the old one or the new one, never a part."""
        beside = self._path.with_name(f"{TOKENS_FILE}.{secrets.token_hex(4)}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(stored.model_dump_json(indent=1).encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self._path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
