"""Where an engine's control API listens: one address for each profile's state folder.

In: a state folder. Out: the path of a Unix socket, or the name of a Windows pipe. Engine and consoles compute it
alike, so the address must not hang on anything that differs between their sessions.
"""

import hashlib
import os
import stat
import sys
from pathlib import Path

MAX_SOCKET_PATH_BYTES = 100
_SHARED_FOLDER = Path("/tmp")  # noqa: S108  TMPDIR may differ between a desk login and an SSH one; the folder inside is checked


class AddressError(OSError):
    """The folder that would hold the socket cannot be trusted; says what is wrong with it."""


def control_address(state_folder: Path) -> str:
    """Return the address of the engine whose state is in this folder.

    Unix: `<state>/control.sock`; when that is over 100 bytes, a name by hash in a 0700 folder of our own under /tmp
    (made here when missing). Windows: a named pipe. Raises AddressError when that folder is not ours alone.
    """
    folder = Path(os.path.realpath(state_folder))
    digest = hashlib.sha256(os.path.normcase(folder).encode()).hexdigest()[:24]
    if sys.platform == "win32":
        return rf"\\.\pipe\quarterdeck-{digest}"
    path = state_folder.absolute() / "control.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return str(path)
    return str(_private_folder(_SHARED_FOLDER, os.getuid()) / f"{digest}.sock")


def _private_folder(parent: Path, uid: int) -> Path:
    folder = parent / f"quarterdeck-{uid}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise AddressError(f"{folder}: is not a folder (a symbolic link is refused); remove it")
    if found.st_uid != uid:
        raise AddressError(f"{folder}: belongs to uid {found.st_uid}, expected {uid}")
    mode = stat.S_IMODE(found.st_mode)
    if mode != 0o700:
        raise AddressError(f"{folder}: has mode {mode:o}, expected 700")
    return folder
