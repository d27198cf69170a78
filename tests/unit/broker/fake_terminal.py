"""A broker module for tests of the gateways, steered by files in a folder given to initialize(path=...).

`FUNCTION` holds a JSON object for every call of that function; `FUNCTION.once` for the first call only, whichever
worker makes it. Keys: sleep (seconds), hang (until the file named exists, "" for ever), exit (code), raise (text),
value, error ([code, text], with the value None). `calls` records every call: a line of JSON with pid, function, args,
and a second one when it is done.
"""

import json
import os
import sys
import time
from collections import namedtuple
from pathlib import Path
from typing import Any, NamedTuple

_folder = Path()
_error: tuple[int, str] = (0, "")
Pair = namedtuple("Pair", "name inner")


class Account(NamedTuple):
    login: int
    server: str
    pid: int


class Sent(NamedTuple):
    retcode: int
    deal: int
    order: int
    volume: float
    price: float
    comment: str
    request: Pair


def _record(function: str, what: str, args: Any) -> None:
    line = json.dumps({"pid": os.getpid(), "function": function, "what": what, "args": args})
    with (_folder / "calls").open("a") as calls:
        calls.write(line + "\n")


def _take(function: str) -> dict[str, Any]:
    once = _folder / f"{function}.once"
    mine = _folder / f"{function}.{os.getpid()}"
    try:
        once.rename(mine)
    except FileNotFoundError:
        always = _folder / function
        return dict(json.loads(always.read_text())) if always.exists() else {}
    return dict(json.loads(mine.read_text()))


def _perform(function: str, args: Any, value: Any) -> Any:
    global _error
    _record(function, "begun", args)
    order = _take(function)
    if "sleep" in order:
        time.sleep(order["sleep"])
    if "hang" in order:
        while not (order["hang"] and (_folder / order["hang"]).exists()):
            time.sleep(0.002)
    if "exit" in order:
        os._exit(order["exit"])
    if "raise" in order:
        raise SystemError(order["raise"])
    if "error" in order:
        code, text = order["error"]
        _error = (code, text)
        return None
    _error = (1, "Success")
    _record(function, "done", args)
    return order.get("value", value)


def initialize(path: str, **_other: Any) -> bool:
    global _folder
    _folder = Path(path)
    return bool(_perform("initialize", [], True))


def last_error() -> tuple[int, str]:
    return _error


def version() -> tuple[int, int, str]:
    return (500, 4000, "1 Jan 2026")


def account_info() -> Any:
    return _perform("account_info", [], Account(1001, "Fake-Demo", os.getpid()))


def terminal_info() -> Any:
    return _perform("terminal_info", [], {"connected": True})


def indescribable() -> Any:
    return object()


def positions_get() -> Any:
    return _perform("positions_get", [], ())


def order_send(request: dict[str, Any]) -> Any:
    reply = Sent(10009, 1, 2, request.get("volume", 0.0), 1.5, "done", Pair("request", Pair("nested", (1, 2))))
    return _perform("order_send", [request], reply)


if __name__ == "__main__":
    sys.exit("this module is imported by a worker")
