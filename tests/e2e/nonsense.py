"""Requests that no client of ours makes, drawn from a seed: bytes for the control socket, and what may be said to them.

In: a source of draws. Out: one request after the other, each with whether its sender waits for an answer. None of them
can be carried out, whatever the engine makes of it: no drawn request may be a command that is in order.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

MAX_BODY_BYTES = 64 * 1024
_PATHS = ("/v1/snapshot", "/v1/events", "/v1/events/matches", "/v1/equity", "/v1/stream", "/v1/commands", "/healthz")
_TEXTS = ("", "x", "\x00", "\x1b[31m", "[@click=app.flatten]", "ü" * 40, "9" * 30, "../../etc/passwd", "%s%n", "NaN")
_VALUES: Sequence[Any] = (None, True, -1, 0, 1e308, 2**70, "", "1", [], {}, [1], {"kind": "flatten"}, float("nan"))
_KINDS = ("approve", "reject", "cancel", "close", "cancel_close", "unlock", "set_bases", "settle_funds", "signal_add")


@dataclass(frozen=True, slots=True)
class Nonsense:
    """One request. `whole`: it is sent to its end, and its sender waits for an answer or the end of the connection."""

    kind: str
    sent: bytes
    whole: bool = True


def post(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    """A command as HTTP, its length told truly unless another is given."""
    said = b"Content-Length: %d" % (len(body) if length is None else length)
    return b"\r\n".join((b"POST /v1/commands HTTP/1.1", b"Host: x", said, *headers, b"", body))


def get(target: str, method: str = "GET", *headers: str) -> bytes:
    """A request without a body."""
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: x", *headers, "", "")).encode("utf-8", "surrogatepass")


def _bytes(draws: random.Random, most: int) -> bytes:
    return draws.randbytes(draws.randint(1, most))


def bad_http(draws: random.Random) -> Nonsense:
    """What is not HTTP, or only nearly."""
    lines = (
        b"\x16\x03\x01" + _bytes(draws, 200) + b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v1/snapshot HTTP/9.9\r\n\r\n",
        b"GET /v1/snapshot HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /v1/snapshot HTTP/1.1\r\nHost: x\r\nX: " + b"a" * draws.randint(9_000, 40_000) + b"\r\n\r\n",
        b"GET /" + b"a" * draws.randint(9_000, 40_000) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/\x00\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[::1/v1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT engine:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nbody\r\n0\r\n\r\n",
        b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: none\r\nContent-Length: 2\r\n\r\n{}",
    )
    return Nonsense("bad HTTP", draws.choice(lines))


def bad_encoding(draws: random.Random) -> Nonsense:
    """A body that is not what its header says it is."""
    name = draws.choice((b"gzip", b"deflate", b"br", b"zstd", b"nonsense"))
    return Nonsense("bad encoding", post(_bytes(draws, 300), b"Content-Encoding: " + name))


def bad_json(draws: random.Random) -> Nonsense:
    """A body that is no JSON."""
    bodies = (b"", b"{", b"[1,", b"\xff\xfe\x00", b'{"id":"\\ud800"}', b"{'id': 1}", b'"', _bytes(draws, 500), b"nul")
    return Nonsense("bad JSON", post(draws.choice(bodies)))


def deep(draws: random.Random) -> Nonsense:
    """Brackets in brackets."""
    depth = draws.randint(200, MAX_BODY_BYTES // 8)
    opened, closed = draws.choice(((b"[", b"]"), (b'{"a":', b"}")))
    body = opened * depth + draws.choice((b"", b"1" + closed * depth))
    return Nonsense("deep nesting", post(body[:MAX_BODY_BYTES]))


def huge(draws: random.Random) -> Nonsense:
    """More than a command may have."""
    body = b'{"id":"' + b"x" * draws.randint(MAX_BODY_BYTES, 3 * MAX_BODY_BYTES) + b'"}'
    return Nonsense("huge body", post(body))


def not_finite(draws: random.Random) -> Nonsense:
    """Numbers that are none, in a command that is in order without them."""
    number = draws.choice((b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"))
    field = draws.choice((b"volume", b"sl", b"tp", b"entry", b"expires_seconds"))
    body = b'{"id":"nonsense-1","action":{"kind":"signal_add","symbol":"EURUSD","side":"buy","%s":%s}}'
    return Nonsense("not finite", post(body % (field, number)))


def unknown_kind(draws: random.Random) -> Nonsense:
    """An action that there is not."""
    kind = draws.choice((*_TEXTS, "Flatten", "FLATTEN", "flatten ", "approve_all", "shutdown"))
    return Nonsense("unknown kind", post(_json({"id": "nonsense-2", "action": {"kind": kind}})))


def wrong_types(draws: random.Random) -> Nonsense:
    """An action whose fields are of other types, too many, or left out; never without a fault."""
    action: dict[str, Any] = {"kind": draws.choice(_KINDS)}
    for _ in range(draws.randint(0, 4)):
        name = draws.choice(("signal", "version", "scope", "volume", "symbol", "side", "guard", "what", "initial"))
        action[name] = draws.choice(_VALUES)
    # Whatever the rest has come to, this field is unknown to every command.
    body: dict[str, Any] = {"id": "nonsense-3", "action": {**action, "surely_unknown": draws.choice(_TEXTS)}}
    faults: Sequence[tuple[str, Any]] = (
        ("id", draws.choice(("", "short", "a b c d e f", "x" * 65, 7, None))),
        ("reason", draws.choice(("r" * 501, 7, [], None))),
        ("action", draws.choice((None, 7, "flatten", [], [{"kind": "flatten"}]))),
        ("another", 1),
    )
    if draws.random() < 0.5:
        name, value = draws.choice(faults)
        body[name] = value
    return Nonsense("wrong types", post(_json(body)))


def wrong_method(draws: random.Random) -> Nonsense:
    """A path that is asked by a method that it does not take."""
    method = draws.choice(("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"))
    return Nonsense("wrong method", get(draws.choice(_PATHS), method))


def wrong_path(draws: random.Random) -> Nonsense:
    """A path that there is not."""
    paths = ("/", "//", "/v2/snapshot", "/v1/snapshot/", "/v1/../v1/snapshot", "/v1/%00", "/%ff%fe", "/v1/commands/1")
    return Nonsense("wrong path", get(draws.choice(paths)))


def bad_query(draws: random.Random) -> Nonsense:
    """Fields of a query that are unknown, twice, empty, out of range or no numbers."""
    faults = (
        "/v1/events?after=-1",
        f"/v1/events?after={2**63}",
        "/v1/events?after=1&after=2",
        f"/v1/events?limit={draws.choice((0, -1, 1001, 10**40))}",
        "/v1/events?limit=ten",
        "/v1/events?" + "&".join(f"x{number}=1" for number in range(draws.randint(1, 300))),
        "/v1/events/matches",
        "/v1/events/matches?contains=",
        f"/v1/events/matches?contains={'y' * draws.randint(101, 4000)}",
        "/v1/equity?points=1",
        "/v1/equity?points=nan",
        "/v1/equity?from=yesterday",
        "/v1/equity?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        "/v1/equity?from=2026-01-02T00:00:00",
        "/v1/snapshot?fields=all",
        "/v1/stream?after=x",
        "/v1/events?%zz=%",
    )
    return Nonsense("bad query", get(draws.choice(faults)))


def not_a_websocket(draws: random.Random) -> Nonsense:
    """A stream that is asked for without the words for it."""
    upgrade = ("Connection: Upgrade", "Upgrade: websocket")
    key, version = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"
    asked = ((), upgrade, (*upgrade, version), (*upgrade, key), (*upgrade, "Sec-WebSocket-Key: x", version))
    faulty = (*upgrade, key, "Sec-WebSocket-Version: 99")
    return Nonsense("no websocket", get("/v1/stream", "GET", *draws.choice((*asked, faulty))))


def bad_frames(draws: random.Random) -> Nonsense:
    """A stream that is asked for properly, and then talked to in no language."""
    asked = get(
        "/v1/stream",
        "GET",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    )
    frames = (
        b"\xf3\x80\x00\x00\x00\x00",
        b"\x81\xff" + b"\x7f" * 12,
        b"\x81\x05hello",
        b"\x88\x81\x00\x00\x00\x00x",
        b"\x89\xfe\x10\x00\x00\x00\x00\x00",
        b"\xff" * 64,
    )
    return Nonsense("bad frames", asked + draws.choice(frames), whole=False)


def half(draws: random.Random) -> Nonsense:
    """A request whose sender goes away in the middle of it."""
    whole = draws.choice(
        (post(b'{"id":"nonsense-4","action":{"kind":"flatten"}}'), get("/v1/snapshot"), post(b"{}", length=10**12))
    )
    return Nonsense("half sent", whole[: draws.randint(1, len(whole) - 1)], whole=False)


DRAWN: Sequence[Callable[[random.Random], Nonsense]] = (
    bad_http,
    bad_encoding,
    bad_json,
    deep,
    huge,
    not_finite,
    unknown_kind,
    wrong_types,
    wrong_method,
    wrong_path,
    bad_query,
    not_a_websocket,
    bad_frames,
    half,
)


def draw(draws: random.Random) -> Nonsense:
    """One request of any kind."""
    return draws.choice(DRAWN)(draws)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
