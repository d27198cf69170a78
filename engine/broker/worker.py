"""The gateway's child process: the only importer of the broker module. `python -m engine.broker.worker`

In: one JSON line on stdin (port and one-time token), then frames from the engine on loopback TCP: a hello, batches of
calls, raised epochs. Out: one reply to each batch. Blocking and single threaded, since the real module holds the GIL
in every call. It ends when its engine ends, and it never sends an opening older than the epoch it has been told.
"""

import ctypes
import importlib
import json
import select
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from engine import frames

NOT_FOUND = "MissingFunction"
_INIT_FAILED = -10003


def plain(value: Any) -> Any:
    """Return a broker module's value in JSON-ready form.

    Struct sequences become dicts, tuples lists, structured numpy arrays lists of dicts. Half a surrogate pair (a
    comment that the server has cut) becomes "?".
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if hasattr(value, "_asdict"):
        return {name: plain(part) for name, part in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    if hasattr(value, "dtype"):
        names = value.dtype.names
        rows = value.tolist()
        return [dict(zip(names, row, strict=True)) for row in rows] if names else rows
    raise TypeError(f"a {type(value).__name__} from the broker module; only its documented types can be passed on")


def _nothing() -> None:
    """Do nothing before a send: the simulation's epochs arrive directly."""


class Dispatcher:
    """Executes batches of calls on a broker module. `before_send` runs immediately before each order_send."""

    def __init__(self, module: Any, before_send: Callable[[], None] = _nothing) -> None:
        self._module = module
        self._before_send = before_send
        self.epoch = 0

    def raise_epoch(self, epoch: int) -> None:
        """Refuse openings older than `epoch` from now on. Never lowers it."""
        self.epoch = max(self.epoch, epoch)

    def execute(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run the calls of a request in order and return its reply, each result with the `last_error` after it."""
        epoch = request["epoch"]
        results: list[list[Any]] = []
        for function, args, kwargs in request["calls"]:
            if function == "order_send":
                self._before_send()
                if epoch is not None and epoch < self.epoch:
                    return {"id": request["id"], "refused": "epoch"}
            results.append(self._call(function, args, kwargs))
        return {"id": request["id"], "results": results}

    def _call(self, function: str, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
        call = getattr(self._module, function, None)
        if call is None:
            return ["raised", NOT_FOUND, f"the broker module has no function {function!r}"]
        try:
            value = call(*args, **kwargs)
        except Exception as error:  # whatever the module raises is the engine's to judge
            return ["raised", type(error).__name__, plain(str(error))]
        code, text = self._module.last_error()
        return [plain(value), [code, plain(text)]]


def _not_ready(code: int, text: str) -> dict[str, Any]:
    return {"ready": False, "error": [code, plain(text)]}


def greet(module: Any, initialize: Mapping[str, Any]) -> dict[str, Any]:
    """Initialise the broker module; say whether it worked, and with which account and version."""
    try:
        done = module.initialize(**initialize)
    except Exception as error:  # whatever the module raises, the engine is told why
        return _not_ready(_INIT_FAILED, f"initialize() raised {type(error).__name__}: {error}")
    if not done:
        return _not_ready(*module.last_error())
    account = plain(module.account_info())
    return {
        "ready": True,
        "login": account["login"] if account else None,
        "server": account["server"] if account else None,
        "version": plain(module.version()),
    }


def _serve(wire: socket.socket) -> None:
    hello = frames.receive(wire)
    try:
        module = importlib.import_module(hello["module"])
    except Exception as error:  # a module can fail in any way while it is imported
        reason = f"broker module {hello['module']!r}: {type(error).__name__}: {error}"
        wire.sendall(frames.encode(_not_ready(_INIT_FAILED, reason)))
        return
    greeting = greet(module, hello["initialize"])
    wire.sendall(frames.encode(greeting))
    if not greeting["ready"]:
        return
    waiting: deque[Mapping[str, Any]] = deque()

    def take_in() -> None:
        frame = frames.receive(wire)
        if "raise_epoch" in frame:
            dispatcher.raise_epoch(frame["raise_epoch"])
        else:
            waiting.append(frame)

    def drain() -> None:
        while select.select([wire], [], [], 0)[0]:
            take_in()

    dispatcher = Dispatcher(module, before_send=drain)
    dispatcher.raise_epoch(hello["epoch"])
    while True:
        while not waiting:
            take_in()
        wire.sendall(frames.encode(dispatcher.execute(waiting.popleft())))


def _die_with_the_engine() -> None:
    """End when the engine does, and not before.

    On Linux that is so even inside a hung call; elsewhere the end of the socket does it, as soon as the call returns.
    SIGUSR1 is an order to flatten, by somebody who reaches for every process of the name: a gateway is needed for it.
    """
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)
    if sys.platform != "win32":
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def main() -> None:
    """Connect to the engine that started this process and serve it until it goes."""
    _die_with_the_engine()
    address = json.loads(sys.stdin.readline())
    with socket.create_connection(("127.0.0.1", address["port"])) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.sendall(address["token"].encode("ascii"))
        try:
            _serve(wire)
        except (EOFError, ConnectionError):
            sys.exit(0)
        except Exception:
            # Written while the wire is still open: once it closes, the engine kills this process.
            traceback.print_exc()
            sys.exit(1)


if __name__ == "__main__":
    main()
