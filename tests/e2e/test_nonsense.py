"""Ten thousand requests that make no sense, on the socket of an engine that trades meanwhile."""

import json
import random
import socket
from collections import Counter
from pathlib import Path

from engine.control.address import control_address
from tests.e2e.house import House
from tests.e2e.nonsense import Nonsense, draw

SEED = 20261125
REQUESTS = 10_000
WARM_UP = 1_000
_ANSWER_SECONDS = 5.0
_ROUND = 500
_MOST_GROWTH_KIB = 12 * 1024
"""Less than an eighth of what these requests weigh: an engine that kept them would grow more."""
_MOST_LOGGED_BYTES = 20_000


class Caller:
    """Sends nonsense, over one connection for as long as the engine keeps it, and counts what is said to it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._line: socket.socket | None = None
        self.answers: Counter[tuple[str, str]] = Counter()
        self.problems: list[str] = []
        self.weight = 0

    def send(self, nonsense: Nonsense) -> None:
        """Send one request, and judge the answer."""
        self.weight += len(nonsense.sent)
        line = self._line or self._connected()
        self._line = None
        try:
            line.sendall(nonsense.sent)
            if not nonsense.whole:
                self.answers[nonsense.kind, "left"] += 1
                line.close()
                return
            head, body = self._answer(line)
        except (BrokenPipeError, ConnectionResetError):
            head, body = b"", b""
        except TimeoutError:
            self._blame(nonsense, f"no answer within {_ANSWER_SECONDS:g} s")
            line.close()
            return
        if not head:
            self.answers[nonsense.kind, "closed"] += 1
            line.close()
            return
        status = head.split(b" ", 2)[1].decode()
        self.answers[nonsense.kind, status] += 1
        self._judge(nonsense, status, head, body)
        if b"connection: close" in head.lower() or status == "413":
            line.close()
        else:
            self._line = line

    def hang_up(self) -> None:
        """Close the line."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _judge(self, nonsense: Nonsense, status: str, head: bytes, body: bytes) -> None:
        if not status.startswith("4"):
            self._blame(nonsense, f"{head!r} {body[:200]!r}")
            return
        # Without JSON it is refused before there is a request, by the HTTP parser and in its words.
        said, words = (json.loads(body)["error"], 3) if b"application/json" in head else (body.decode(), 1)
        if len(said.split()) < words:
            self._blame(nonsense, f"{status} without a sentence: {said!r}")

    def _blame(self, nonsense: Nonsense, said: str) -> None:
        self.problems.append(f"{nonsense.kind}: {nonsense.sent[:200]!r}: {said}")

    def _connected(self) -> socket.socket:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.settimeout(_ANSWER_SECONDS)
        line.connect(self._address)
        return line

    @staticmethod
    def _answer(line: socket.socket) -> tuple[bytes, bytes]:
        """The head and the body of the answer; both empty when the connection was closed instead."""
        taken = b""
        while b"\r\n\r\n" not in taken:
            piece = line.recv(1 << 16)
            if not piece:
                return b"", b""
            taken += piece
        head, _, body = taken.partition(b"\r\n\r\n")
        named = [row for row in head.lower().split(b"\r\n") if row.startswith(b"content-length:")]
        length = int(named[0].split(b":")[1]) if named else 0
        while len(body) < length and (piece := line.recv(1 << 16)):
            body += piece
        return head, body


def resident_kib(pid: int) -> int:
    """The memory of a process that is in RAM now."""
    (row,) = [row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmRSS:")]
    return int(row.split()[1])


def test_ten_thousand_requests_without_sense_are_refused_in_words_and_cost_nothing(house: House) -> None:
    engine = house.engine()
    draws = random.Random(SEED)
    caller = Caller(control_address(house.state))

    def call(requests: int) -> None:
        for _ in range(requests):
            caller.send(draw(draws))
        assert not caller.problems, "\n".join(caller.problems[:20])

    call(WARM_UP)
    # Idle memory of an allocator is not given back at once: what is compared is after the first thousand.
    warm = resident_kib(engine.pid)
    logged = house.engine_log.stat().st_size
    tickets = set()
    for number in range(WARM_UP, REQUESTS, _ROUND):
        call(_ROUND)
        if number == REQUESTS // 2:
            tickets.add(house.open_position()["ticket"])
    seen = house.look()
    assert {position["ticket"] for position in seen["positions"]} == tickets
    assert seen["reading"]["validity"] == "VALID"

    assert sum(caller.answers.values()) == REQUESTS
    assert caller.weight > 8 * _MOST_GROWTH_KIB * 1024
    assert resident_kib(engine.pid) - warm < _MOST_GROWTH_KIB
    assert house.engine_log.stat().st_size - logged < _MOST_LOGGED_BYTES
    assert {kind for kind, said in caller.answers if said != "left"} >= {"bad HTTP", "bad JSON", "huge body"}
    assert [event["metadata"]["kind"] for event in house.events("command")] == ["signal_add", "approve"]

    house.command("flatten", reason="after all that")
    while house.look()["engine"]["mode"] != "HALTED":
        call(_ROUND // 10)
    assert house.look()["flatten"]["statement"].startswith("flat, confirmed by the broker at ")
    last = house.look()["seq"]
    numbers = [event["seq"] for event in house.events()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= last
    caller.hang_up()
    assert engine.poll() is None
