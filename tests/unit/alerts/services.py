"""A local server that answers as services do on bad days, and remembers what it was told."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CANARY = "s3cr3tc4n4ry"


class Service:
    """Listens on a port of its own; each connection is answered as `mode` says."""

    def __init__(self, mode: str = "200") -> None:
        self.mode = mode
        self.got: list[dict[str, Any]] = []
        self.arrived = threading.Event()
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        """What a target's address would be; it holds a token."""
        return f"json://user:{CANARY}@127.0.0.1:{self.port}/{CANARY}/hook"

    def texts(self) -> str:
        """All that has arrived."""
        return "\n".join(f"{item['title']}\n{item['message']}" for item in self.got)

    def close(self) -> None:
        """Let hung connections go."""
        self._over.set()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        with peer:
            try:
                self._talk(peer)
            except OSError:
                return

    def _talk(self, peer: socket.socket) -> None:
        head, _, body = _request(peer)
        if body:
            self.got.append(json.loads(body))
        self.arrived.set()
        match self.mode:
            case "hang":
                self._over.wait(60)
            case "close":
                return
            case "trickle":
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not self._over.wait(0.3):
                    peer.sendall(b"x")
            case "redirect" if "/hook" in head:
                place = f"http://127.0.0.1:{self.port}/ok"
                peer.sendall(f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode())
            case "redirect":
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            case "nonsense":
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\x00\xff<{]")
            case "too long":
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nok")
            case code:
                peer.sendall(f"HTTP/1.1 {code} As Told\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


def _request(peer: socket.socket) -> tuple[str, bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        part = peer.recv(65536)
        if not part:
            raise OSError("no request")
        data += part
    head, split, body = data.partition(b"\r\n\r\n")
    text = head.decode()
    length = next(
        (int(line.split(":")[1]) for line in text.splitlines() if line.lower().startswith("content-length:")), 0
    )
    while len(body) < length:
        body += peer.recv(65536)
    return text, split, body


@contextmanager
def service(mode: str = "200") -> Iterator[Service]:
    """A service while this lasts."""
    made = Service(mode)
    try:
        yield made
    finally:
        made.close()
