"""The Unix sockets that an engine listens on, and the folders that may hold them.

In: a path. Out: a bound socket of the right mode, not yet listening. A folder in which somebody else could put another
socket in ours' place is refused: clients would show their tokens to whoever listens there.
"""

import os
import socket
import stat
from pathlib import Path

from engine.control.address import AddressError


def bound_socket(path: Path, *, mode: int = 0o600) -> socket.socket:
    """Return a Unix socket of this mode at the path. It listens later: nobody connects before the mode is set."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.is_symlink() or path.exists():
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(f"{path}: is not a socket, and the control API must listen there; remove it")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        os.chmod(path, mode)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def remove_socket(path: Path) -> None:
    """Take the socket out. Safe to call again."""
    path.unlink(missing_ok=True)


def checked_folder(folder: Path) -> None:
    """Raise AddressError unless only root and we can change what is in the folder, and in those above it."""
    try:
        real = folder.resolve(strict=True)
    except OSError as error:
        raise AddressError(f"shared_socket: the folder {folder} must exist already: {error.strerror}") from error
    for place in (real, *real.parents):
        found = place.stat()
        mode = stat.S_IMODE(found.st_mode)
        if not stat.S_ISDIR(found.st_mode):
            raise AddressError(f"shared_socket: {place} is not a folder")
        if found.st_uid not in (0, os.getuid()):
            raise AddressError(f"shared_socket: {place} belongs to uid {found.st_uid}, expected root or {os.getuid()}")
        # In a folder with the sticky bit, as /tmp, others cannot replace a folder of ours.
        if mode & 0o022 and not (mode & stat.S_ISVTX and place != real):
            raise AddressError(f"shared_socket: {place} has mode {mode:o}: others could put their own socket there")
