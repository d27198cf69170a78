"""Who is on the other end of the control socket, as the operating system says it."""

import getpass
import re
import socket
import struct
import sys
from typing import Protocol

_UCRED = struct.Struct("3i")
_XUCRED_HEAD = struct.Struct("=II")
_SOL_LOCAL = 0
_LOCAL_PEERCRED = 1
_NOT_A_WORD = re.compile(r"[^A-Za-z0-9_.-]")


class PeerSocket(Protocol):
    """The part of a socket that tells its peer's credentials; asyncio hands out a wrapper that has it too."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """Return one socket option as bytes."""
        ...


def peer_uid(connection: PeerSocket) -> int | None:
    """Return the uid of the process that connected; None on Windows, where the pipe's own rights decide."""
    if sys.platform == "win32":
        return None
    if sys.platform == "darwin":
        credentials = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)
        return int(_XUCRED_HEAD.unpack_from(credentials)[1])
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(credentials)[1])


def user_name(uid: int | None) -> str:
    """Return the user name of a uid, or "uid N" when the system has none for it; of ourselves for None."""
    if sys.platform == "win32" or uid is None:
        return getpass.getuser()
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def clean_origin(header: str | None) -> str:
    """Return what a client calls itself as one plain word of at most 32 characters; "api" when it says nothing."""
    return _NOT_A_WORD.sub("", header or "")[:32] or "api"
