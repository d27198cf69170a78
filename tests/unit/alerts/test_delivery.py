"""The child that delivers, against a server that fails, hangs and lies."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.alerts import delivery
from engine.alerts.addresses import EXIT_TOO_LONG, variable, without_addresses
from engine.alerts.delivery import ChildCourier, Result, deliver_once, run_child
from engine.alerts.letter import Message
from engine.alerts.settings import AlertSettings
from tests.unit.alerts.services import CANARY, Service, service

Address = Callable[[str, str], None]


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Address:
    """Gives a target an address in the environment."""
    return lambda target, url: monkeypatch.setenv(variable(target), url)


def message(target: str = "phone") -> Message:
    return Message(target, "critical", "Quarterdeck CRITICAL: 1@Paper", "drawdown tripped [AB123]")


def delivered(*messages: Message, seconds: float = 15.0) -> dict[str, str | None]:
    results: list[Result] = []
    run_child(messages, seconds, results.append)
    assert len(results) == len(messages), "one result a message"
    return {result.target: result.why for result in results}


@pytest.mark.parametrize("mode", ["200", "204", "nonsense"])
def test_what_the_service_accepts_is_delivered_once_and_whole(address: Address, mode: str) -> None:
    with service(mode) as there:
        address("phone", there.address)
        assert delivered(message()) == {"phone": None}
        assert [(item["title"], item["message"], item["type"]) for item in there.got] == [
            ("Quarterdeck CRITICAL: 1@Paper", "drawdown tripped [AB123]", "failure")
        ]


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("500", "the service answered 500"),
        ("403", "the service answered 403"),
        ("redirect", "the service answered 302"),
        ("close", "no connection, or no whole answer in time"),
        ("too long", "no connection, or no whole answer in time"),
        ("hang", "no connection, or no whole answer in time"),
        ("trickle", "no whole answer within 6 s: given up"),
    ],
)
def test_a_service_that_fails_hangs_or_lies_has_not_accepted_it_and_nothing_of_its_address_is_told(
    address: Address, mode: str, why: str
) -> None:
    with service(mode) as there:
        address("phone", there.address)
        began = time.monotonic()
        # Only what never ends by itself is waited for no longer than it takes to know that.
        seconds = 6 if mode == "trickle" else 30
        assert delivered(message(), seconds=seconds) == {"phone": why}
        assert time.monotonic() - began < seconds + 6
        assert CANARY not in why
        assert str(there.port) not in why


def test_a_target_that_hangs_does_not_hold_up_the_result_of_another(address: Address) -> None:
    with service("trickle") as bad, service() as good:
        address("bad", bad.address)
        address("good", good.address)
        order: list[Result] = []
        run_child([message("bad"), message("good")], 5, order.append)
        assert [(item.target, item.why is None) for item in order] == [("good", True), ("bad", False)]


def test_a_port_that_nobody_listens_on_is_no_connection(address: Address) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    address("phone", f"json://127.0.0.1:{port}/{CANARY}")
    assert delivered(message()) == {"phone": "no connection, or no whole answer in time"}


@pytest.mark.parametrize("url", [f"nosuch://{CANARY}", "json://", "config://x", "not an address"])
def test_an_address_that_is_none_is_said_without_it(address: Address, url: str) -> None:
    address("phone", url)
    (why,) = delivered(message()).values()
    assert why == "its address is not one that can be used: see the list of services at Apprise"


def test_a_target_without_an_address_says_where_one_is_put(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(variable("phone"), raising=False)
    (why,) = delivered(message()).values()
    assert why is not None
    assert "QUARTERDECK_ALERT_URL_PHONE is not set" in why


KEYRING = """
def get_password(service, name):
    {body}
"""


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("return __import__('os').environ['KEPT'] if (service, name) == ('quarterdeck', 'phone') else None", None),
        ("return None", "the keyring has nothing for quarterdeck phone"),
        (f"raise RuntimeError('{CANARY}')", "this machine has no usable keyring"),
    ],
)
def test_an_address_may_be_in_the_keyring(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, why: str | None
) -> None:
    (tmp_path / "keyring.py").write_text(KEYRING.format(body=body))
    monkeypatch.delenv(variable("phone"), raising=False)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with service() as there:
        monkeypatch.setenv("KEPT", there.address)
        (said,) = delivered(message()).values()
        assert len(there.got) == (why is None)
    assert (said is None) == (why is None)
    assert why is None or (said is not None and why in said and CANARY not in said)


def test_the_child_ends_by_itself_when_whoever_started_it_is_gone(address: Address) -> None:
    with service("trickle") as there:
        address("phone", there.address)
        asked = {"seconds": 3, "messages": [{"target": "phone", "severity": "warning", "title": "t", "body": "b"}]}
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "engine.alerts.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        printed, _ = child.communicate(json.dumps(asked).encode(), timeout=30)
        assert (child.returncode, printed) == (EXIT_TOO_LONG, b"")


def test_a_child_that_does_not_end_itself_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(delivery, "_start", stuck)
    began = time.monotonic()
    assert delivered(message(), seconds=1) == {"phone": "no whole answer within 1 s: given up"}
    assert time.monotonic() - began < 30


def test_a_child_that_dies_or_prints_nonsense_is_a_failure_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", "print('[]'); print('{'); raise SystemExit(7)"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(delivery, "_start", broken)
    assert delivered(message()) == {"phone": "the program that delivers ended with code 7"}


def test_an_engine_never_imports_what_delivers() -> None:
    code = "import sys, engine.app; print([m for m in ('apprise', 'requests', 'keyring') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_deliver_once_needs_no_engine_and_tells_the_escalation_too(address: Address) -> None:
    with service() as phone, service("500") as boss:
        address("phone", phone.address)
        address("boss", boss.address)
        settings = AlertSettings(targets=("phone",), escalation=("boss",))
        results = {item.target: item.why for item in deliver_once(settings, "critical", "the engine\x1b[2J is dead")}
        assert results == {"phone": None, "boss": "the service answered 500"}
        assert "the engine[2J is dead" in phone.texts()
    assert deliver_once(AlertSettings(), "critical", "nobody") == []


async def test_the_event_loop_goes_on_while_a_delivery_hangs_and_closing_gives_it_up(address: Address) -> None:
    with service("trickle") as there:
        address("phone", there.address)
        courier = ChildCourier(60)
        loop = asyncio.get_running_loop()
        told: asyncio.Future[Result] = loop.create_future()
        began = loop.time()
        courier.send([message()], told.set_result)
        assert loop.time() - began < 0.05
        await asyncio.to_thread(there.arrived.wait, 20)
        assert not told.done()
        await courier.close()
        async with asyncio.timeout(10):
            assert (await told).why is not None


def test_gateways_and_terminal_are_started_without_the_addresses() -> None:
    kept = without_addresses({"PATH": "x", variable("phone"): CANARY, "quarterdeck_alert_url_b": CANARY})
    assert kept == {"PATH": "x"}


def test_the_address_is_on_no_command_line(address: Address) -> None:
    with service("hang") as there:
        address("phone", there.address)
        child = _started(there)
        shown = Path(f"/proc/{child.pid}/cmdline").read_bytes() if sys.platform == "linux" else b""
        child.kill()
        child.communicate()
        assert CANARY.encode() not in shown


def _started(there: Service) -> "subprocess.Popen[bytes]":
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "engine.alerts.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(os.environ),
    )
    asked = {"seconds": 30, "messages": [{"target": "phone", "severity": "warning", "title": "t", "body": "b"}]}
    assert child.stdin is not None
    child.stdin.write(json.dumps(asked).encode())
    child.stdin.close()
    child.stdin = None
    assert there.arrived.wait(20)
    return child
