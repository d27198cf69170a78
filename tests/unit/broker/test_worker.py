"""The dispatcher and the worker's wire, driven over a socket pair."""

import socket
import sys
import threading
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine import frames
from engine.broker import worker
from engine.broker.worker import Dispatcher, greet, plain

Inner = namedtuple("Inner", "a")
Outer = namedtuple("Outer", "ticket inner rows")


class Module(ModuleType):
    """A broker module whose calls can be held open."""

    def __init__(self) -> None:
        super().__init__("held_module")
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.sent: list[Any] = []
        self.error: tuple[int, str] = (1, "Success")

    def initialize(self, **_: Any) -> bool:
        return True

    def last_error(self) -> tuple[int, str]:
        return self.error

    def account_info(self) -> Any:
        return None

    def version(self) -> tuple[int, int, str]:
        return (500, 1, "x")

    def held(self) -> str:
        self.begun.release()
        assert self.go_on.wait(10)
        return "held"

    def order_send(self, request: Any) -> Any:
        self.sent.append(request)
        return Outer(1, Inner(2), (3,))

    def nothing(self) -> None:
        self.error = (-4, "Terminal: Not found")

    def refuse(self) -> None:
        raise SystemError("returned a result with an exception set \ud83d")


def request(number: int, *calls: Any, epoch: int | None = None) -> dict[str, Any]:
    return {"id": number, "calls": [list(call) for call in calls], "epoch": epoch}


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, module: Module) -> Iterator[tuple[socket.socket, threading.Thread]]:
    monkeypatch.setitem(sys.modules, "held_module", module)
    monkeypatch.setattr(worker, "_die_with_the_engine", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        line = f'{{"port": {listener.getsockname()[1]}, "token": "secret"}}\n'
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(readline=lambda: line))

        def main() -> None:
            with pytest.raises(SystemExit) as ended:
                worker.main()
            assert ended.value.code == 0

        thread = threading.Thread(target=main)
        thread.start()
        wire, _ = listener.accept()
    with wire:
        assert wire.recv(6, socket.MSG_WAITALL) == b"secret"
        yield wire, thread
        wire.close()
        module.go_on.set()
        thread.join(10)
        assert not thread.is_alive()


def hello(wire: socket.socket, name: str = "held_module", epoch: int = 0) -> Any:
    wire.sendall(frames.encode({"module": name, "initialize": {}, "epoch": epoch}))
    return frames.receive(wire)


def test_plain_turns_what_the_module_returns_into_json() -> None:
    rates = np.array([(1, 1.5), (2, 2.5)], dtype=[("time", "i8"), ("open", "f8")])
    assert plain(Outer(1, Inner(2.0), (Inner(3), None))) == {
        "ticket": 1,
        "inner": {"a": 2.0},
        "rows": [{"a": 3}, None],
    }
    assert plain(rates) == [{"time": 1, "open": 1.5}, {"time": 2, "open": 2.5}]
    assert plain(np.float64(1.5)) == 1.5
    assert plain(np.array([1, 2])) == [1, 2]
    assert plain({1: (True, "é")}) == {"1": [True, "é"]}


def test_half_a_surrogate_pair_in_a_cut_comment_does_not_break_the_wire() -> None:
    assert plain("abc\ud83d") == "abc?"
    frames.encode(plain(Inner("abc\ud83d")))


def test_value_of_an_unknown_type_is_a_fault_that_names_it() -> None:
    with pytest.raises(TypeError, match="a object from the broker module"):
        plain(object())


def test_each_result_carries_the_error_read_right_after_it() -> None:
    reply = Dispatcher(Module()).execute(request(3, ("version", [], {}), ("nothing", [], {})))
    assert reply == {"id": 3, "results": [[[500, 1, "x"], [1, "Success"]], [None, [-4, "Terminal: Not found"]]]}


def test_exception_and_missing_function_are_marked_as_raised_and_the_batch_goes_on() -> None:
    reply = Dispatcher(Module()).execute(
        request(1, ("refuse", [], {}), ("order_send", [], {}), ("no_such", [], {}), ("version", [], {}))
    )
    kinds = [row[:2] if row[0] == "raised" else row[1] for row in reply["results"]]
    assert kinds == [["raised", "SystemError"], ["raised", "TypeError"], ["raised", "MissingFunction"], [1, "Success"]]
    assert reply["results"][0][2].endswith("?")


def test_opening_of_an_older_epoch_is_refused_a_closing_never() -> None:
    module = Module()
    dispatcher = Dispatcher(module)
    dispatcher.raise_epoch(4)
    dispatcher.raise_epoch(2)
    send: tuple[Any, ...] = ("order_send", [{"n": 1}], {})
    assert dispatcher.execute(request(1, send, epoch=3)) == {"id": 1, "refused": "epoch"}
    assert module.sent == []
    assert "results" in dispatcher.execute(request(2, send, epoch=4))
    assert "results" in dispatcher.execute(request(3, send, epoch=None))
    assert len(module.sent) == 2


def test_greeting_says_account_version_or_error(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Module()
    assert greet(module, {}) == {"ready": True, "login": None, "server": None, "version": [500, 1, "x"]}
    monkeypatch.setattr(module, "initialize", lambda **_: False)
    module.error = (-6, "Terminal: Authorization failed")
    assert greet(module, {}) == {"ready": False, "error": [-6, "Terminal: Authorization failed"]}


def test_epoch_raised_behind_a_queued_opening_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Module()
    with serving(monkeypatch, module) as (wire, _):
        assert hello(wire)["ready"]
        wire.sendall(frames.encode(request(1, ("held", [], {}))))
        assert module.begun.acquire(timeout=10)
        send: tuple[Any, ...] = ("order_send", [{"n": 1}], {})
        behind = [request(2, send, epoch=1), {"raise_epoch": 2}, request(3, ("version", [], {})), request(4, send)]
        wire.sendall(b"".join(frames.encode(frame) for frame in behind))
        module.go_on.set()
        replies = [frames.receive(wire) for _ in range(4)]
        assert [reply["id"] for reply in replies] == [1, 2, 3, 4]
        assert replies[1] == {"id": 2, "refused": "epoch"}
        assert len(module.sent) == 1


def test_half_a_frame_behind_an_opening_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Module()
    with serving(monkeypatch, module) as (wire, _):
        hello(wire)
        wire.sendall(frames.encode(request(1, ("held", [], {}))))
        assert module.begun.acquire(timeout=10)
        raised = frames.encode({"raise_epoch": 2})
        wire.sendall(frames.encode(request(2, ("order_send", [{}], {}), epoch=1)) + raised[:6])
        module.go_on.set()
        assert frames.receive(wire)["id"] == 1
        wire.sendall(raised[6:])
        assert frames.receive(wire) == {"id": 2, "refused": "epoch"}


def test_worker_whose_engine_is_gone_sends_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Module()
    with serving(monkeypatch, module) as (wire, thread):
        hello(wire)
        wire.sendall(frames.encode(request(1, ("held", [], {}))))
        assert module.begun.acquire(timeout=10)
        wire.sendall(frames.encode(request(2, ("order_send", [{}], {}))))
        wire.close()
        module.go_on.set()
        thread.join(10)
        assert module.sent == []


def test_hello_carries_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Module()
    with serving(monkeypatch, module) as (wire, _):
        hello(wire, epoch=9)
        wire.sendall(frames.encode(request(1, ("order_send", [{}], {}), epoch=8)))
        assert frames.receive(wire) == {"id": 1, "refused": "epoch"}


@pytest.mark.parametrize("name", ["no_such_module_anywhere", "held_module"])
def test_worker_that_cannot_start_says_why_and_ends(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    module = Module()
    monkeypatch.setattr(module, "initialize", lambda **_: False)
    module.error = (-10003, "IPC initialize failed")
    monkeypatch.setitem(sys.modules, "held_module", module)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = threading.Thread(target=worker._serve, args=(theirs,))
        thread.start()
        greeting = hello(ours, name)
        thread.join(10)
        assert not thread.is_alive()
    assert not greeting["ready"]
    assert greeting["error"][0] == -10003
    assert ("no_such_module_anywhere" in greeting["error"][1]) == (name == "no_such_module_anywhere")
