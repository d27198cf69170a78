"""Who may do what at an engine's sockets: the only place where that is decided.

In: the uid that the operating system states for a connection, the socket it came in by, and the headers. Out: an
Operator with a name and a role, or Denied, in words. Root is nobody special. Whatever cannot be decided is denied.
"""

import os
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from engine.control.caller import (
    CONSOLE_HEADER,
    ORIGIN_HEADER,
    READ_ONLY_HEADER,
    TOKEN_HEADER,
    VIA_HEADER,
)
from engine.control.peer import clean_origin, user_name
from engine.control.settings import ControlSettings
from engine.control.target import Operator
from engine.control.tokens import TOKEN, TokenBook, TokensUnusable
from engine.control.wire import Role
from engine.text import plain

_VIA_CHARACTERS = 80


class Denied(Exception):
    """A request that is not let in, or not allowed to act; `status` is the HTTP status."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class UnknownUser(ValueError):
    """A user that the profile lists and this machine does not have."""


class Access:
    """The rules of one engine. `shared` is the address of the shared socket, `users` the roles by uid there."""

    def __init__(
        self, tokens: TokenBook | None = None, *, shared: str | None = None, users: Mapping[int, Role] | None = None
    ) -> None:
        self.shared = shared
        self._tokens = tokens
        self._users = dict(users or {})

    @classmethod
    def of(cls, settings: ControlSettings, state_folder: Path) -> "Access":
        """The rules that a profile states. Raises UnknownUser."""
        shared = str(settings.shared_socket) if settings.shared_socket else None
        users = {_uid_of(name): role for name, role in settings.users.items()}
        return cls(TokenBook(state_folder), shared=shared, users=users)

    def admit(self, uid: int | None, socket: object, headers: Mapping[str, str]) -> Operator:
        """Who is asking. `uid` is None where the operating system's pipe lets nobody else in. Raises Denied."""
        at_shared = self.shared is not None and socket == self.shared
        role = self._role_of(uid, at_shared=at_shared)
        name = user_name(uid)
        if TOKEN_HEADER in headers:
            if role is None and not at_shared:
                raise self._stranger(name)
            name, role = self._by_token(headers[TOKEN_HEADER])
        if role is None:
            raise self._stranger(name)
        return Operator(
            name=name,
            origin=clean_origin(headers.get(ORIGIN_HEADER)),
            role="viewer" if headers.get(READ_ONLY_HEADER) else role,
            via=plain(headers.get(VIA_HEADER, ""), _VIA_CHARACTERS).strip(),
        )

    def may_act(self, operator: Operator, headers: Mapping[str, str]) -> None:
        """Raises Denied, with the reason in words, unless this operator may act."""
        if operator.role != "operator":
            why = (
                "this client said that it only looks (--read-only)"
                if headers.get(READ_ONLY_HEADER)
                else "the engine's owner lets you look, not act"
            )
            raise Denied(HTTPStatus.FORBIDDEN, f"you are a viewer, {operator.name}: {why}")

    def _role_of(self, uid: int | None, *, at_shared: bool) -> Role | None:
        if sys.platform == "win32":
            return "operator"
        if at_shared and uid in self._users:
            return self._users[uid]
        return "operator" if uid == os.getuid() else None

    def _stranger(self, name: str) -> Denied:
        if self.shared is None:
            return Denied(HTTPStatus.FORBIDDEN, "this engine takes requests from the user who runs it only")
        return Denied(
            HTTPStatus.FORBIDDEN,
            f"user {plain(name, 40)} is not among those whom this engine's profile lists ([control] users),"
            " and showed no token",
        )

    def _by_token(self, header: str) -> tuple[str, Role]:
        scheme, _, token = header.partition(" ")
        wrong = "the token is not valid: it was removed, or never given out here; ask the engine's owner for one"
        if self._tokens is None or scheme.lower() != "bearer" or not TOKEN.match(token):
            raise Denied(HTTPStatus.UNAUTHORIZED, wrong)
        try:
            entry = self._tokens.find(token)
        except TokensUnusable as problem:
            raise Denied(HTTPStatus.UNAUTHORIZED, f"no token can be checked: {problem}") from problem
        if entry is None:
            raise Denied(HTTPStatus.UNAUTHORIZED, wrong)
        return entry.name, entry.role


def console_id(headers: Mapping[str, str]) -> str:
    """The id by which a console finds itself among those attached; "" when it gave none."""
    return clean_origin(headers.get(CONSOLE_HEADER)) if headers.get(CONSOLE_HEADER) else ""


def _uid_of(name: str) -> int:
    if sys.platform == "win32":
        raise UnknownUser("there are no users at a shared socket on Windows")
    if name.startswith("uid "):
        return int(name[4:])
    import pwd

    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise UnknownUser(f'[control] users: this machine has no user {name!r}; say its name, or "uid 1001"') from None
