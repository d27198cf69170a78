"""A real engine under something that listens as systemd does."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable

import pytest

from tests.e2e.house import House, until


@pytest.mark.parametrize("abstract", [False, True])
def test_engine_is_ready_when_it_answers_and_pulses_while_its_guard_goes_round(house: House, abstract: bool) -> None:
    address = f"@quarterdeck-e2e-{os.getpid()}" if abstract else str(house.home / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{address[1:]}" if abstract else address)
        listener.settimeout(0.1)
        heard: list[str] = []

        def listen() -> list[str]:
            with contextlib.suppress(TimeoutError):
                heard.extend(listener.recv(4096).decode().split("\n"))
            return heard

        def hears(word: str) -> Callable[[], bool]:
            return lambda: any(each.startswith(word) for each in listen())

        house.environment |= {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"}
        engine = house.launch_engine()
        until(hears("READY=1"), "a ready engine")
        assert house.look()["engine"]["pid"] == engine.pid
        until(hears("WATCHDOG=1"), "a pulse")
        assert any("RUNNING, 0 positions" in word for word in heard)

        os.kill(engine.pid, signal.SIGSTOP)
        # What was sent before it stopped may still be there.
        time.sleep(0.2)
        while (count := len(heard)) != len(listen()):
            assert count < 100
        heard.clear()
        for _ in range(25):
            listen()
        assert heard == []

        os.kill(engine.pid, signal.SIGCONT)
        until(hears("WATCHDOG=1"), "a pulse again")
        engine.send_signal(signal.SIGTERM)
        until(hears("STOPPING=1"), "a stop that is told")
        assert engine.wait(20) == 0
