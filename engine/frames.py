"""Length-prefixed JSON frames: the wire between engine and gateways, and between gateways and the paper terminal.

In: JSON-ready values. Out: four bytes of big-endian length, then UTF-8 JSON. NaN and Infinity pass through,
since a broker can say them and the engine must see them to judge them. Never blocks an event loop: the
blocking half is for child processes, the async half for the engine.
"""

import asyncio
import json
import socket
import struct
from typing import Any

MAX_FRAME_BYTES = 64 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class FrameError(Exception):
    """The peer sent something that is not a frame."""


def encode(value: Any) -> bytes:
    """Return one frame holding `value`."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {len(body)} bytes; at most {MAX_FRAME_BYTES} are sent")
    return _LENGTH.pack(len(body)) + body


def _checked_length(header: bytes) -> int:
    length: int = _LENGTH.unpack(header)[0]
    if length > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {length} bytes was announced; at most {MAX_FRAME_BYTES} are read")
    return length


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"a frame that is not JSON: {error}") from error


def _receive_exactly(connection: socket.socket, count: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < count:
        chunk = connection.recv(count - len(chunks))
        if not chunk:
            raise EOFError("the peer closed the connection")
        chunks += chunk
    return bytes(chunks)


def receive(connection: socket.socket) -> Any:
    """Block until one frame has come and return its value. Raises EOFError at the end of the stream."""
    return _decode(_receive_exactly(connection, _checked_length(_receive_exactly(connection, _LENGTH.size))))


async def read(reader: asyncio.StreamReader) -> Any:
    """Return the value of the next frame. Raises EOFError at the end of the stream."""
    try:
        header = await reader.readexactly(_LENGTH.size)
        body = await reader.readexactly(_checked_length(header))
    except asyncio.IncompleteReadError as error:
        raise EOFError("the peer closed the connection") from error
    return _decode(body)
