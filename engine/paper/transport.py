"""How a paper client reaches a terminal: over a blocking socket, or by a direct call.

In: an address file, or a terminal. Out: the answer to each call, or a failure that says whether the request may have
been received. A call blocks for as long as the terminal does, as the real module's do: deadlines are the engine's.
"""

import json
import math
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from engine import frames

if TYPE_CHECKING:
    from engine.paper.terminal import PaperTerminal

HOST = "127.0.0.1"
ROLE_MT5, ROLE_CONTROL = "mt5", "control"
LastError = tuple[int, str]


class Unreachable(Exception):
    """No terminal there; says what was tried."""


class SendFailed(Exception):
    """The request was not handed over completely."""


class ReceiveFailed(Exception):
    """The request was handed over and no answer came: whether it took effect is not known."""


class Transport(Protocol):
    """A line to one terminal."""

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> tuple[Any, LastError]:
        """Ask and wait for the answer. Raises SendFailed or ReceiveFailed; the line is dead then."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


Connect = Callable[[str | None], Transport]


class AddressError(ValueError):
    """An address file that does not hold an address."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a running terminal listens, the secret it wants to hear first, and its process."""

    port: int
    token: str
    pid: int


def read_address(path: Path) -> Address:
    """Read an address file. Raises OSError when it cannot be read, AddressError when it holds something else."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Address(int(fields["port"]), str(fields["token"]), int(fields["pid"]))
    except (ValueError, KeyError, TypeError) as error:
        raise AddressError(f"{path}: expected a JSON object with port, token and pid") from error


def write_address(path: Path, address: Address) -> None:
    """Write an address file, readable by this user alone, whole or not at all."""
    draft = path.with_name(f"{path.name}.{address.pid}")
    draft.unlink(missing_ok=True)
    body = json.dumps({"port": address.port, "token": address.token, "pid": address.pid})
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(body)
    draft.replace(path)


class InProcess:
    """A direct line to a terminal in this process."""

    def __init__(self, terminal: "PaperTerminal") -> None:
        if not terminal.alive or terminal.away:
            raise Unreachable("the terminal has been shut down")
        self._terminal = terminal
        self._line = terminal.lines

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> tuple[Any, LastError]:
        """Call the terminal; one that has been shut down or restarted does not answer.

        What the plan makes late is owed to whoever looks after the time: `PaperTerminal.take_owed`.
        """
        terminal = self._terminal
        if not terminal.alive or self._line != terminal.lines:
            raise ReceiveFailed
        plan = terminal.begin(name)
        answer = terminal.handle(name, args, kwargs, plan)
        terminal.owe(plan.after)
        if plan.cut or math.isinf(plan.after) or not terminal.alive:
            raise ReceiveFailed
        return answer

    def close(self) -> None:
        """Nothing is held."""


class SocketLine:
    """A blocking socket to a terminal's process."""

    def __init__(self, address: Address) -> None:
        self._socket = socket.create_connection((HOST, address.port))
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(frames.encode({"token": address.token, "role": ROLE_MT5}))
            greeting = frames.receive(self._socket)
            if greeting != {"ok": True}:
                raise Unreachable(f"the terminal refused: {greeting}")
        except BaseException:
            self._socket.close()
            raise
        self._id = 0

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> tuple[Any, LastError]:
        """Send one request and block until its answer is here."""
        self._id += 1
        try:
            self._socket.sendall(frames.encode({"id": self._id, "call": name, "args": args, "kwargs": kwargs}))
        except OSError as error:
            raise SendFailed from error
        try:
            reply = frames.receive(self._socket)
        except (OSError, EOFError, frames.FrameError) as error:
            raise ReceiveFailed from error
        code, text = reply["error"]
        return reply["result"], (code, text)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def connect_socket(path: str | None) -> Transport:
    """Connect to the terminal of an address file. Raises Unreachable."""
    if path is None:
        raise Unreachable("no path was given; expected the paper terminal's address file")
    try:
        return SocketLine(read_address(Path(path)))
    except (OSError, EOFError, ValueError, frames.FrameError) as error:
        raise Unreachable(f"no terminal at '{path}' ({error})") from error
