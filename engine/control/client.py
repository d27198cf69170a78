"""A console's end of the control API: the only way from the console to an engine.

In: calls. Out: the messages of `messages.py`, or one of three errors that are sentences for the operator. Every call
has a deadline; a command may be repeated without being done twice.
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncGenerator
from datetime import datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from pydantic import ValidationError

from engine.clock import iso
from engine.control.caller import Caller
from engine.control.errors import AnswerLost, ControlError, EngineStopped, EngineUnreachable
from engine.control.health import Health
from engine.control.messages import (
    Action,
    Command,
    CommandResult,
    EquityCurve,
    EventMatches,
    EventsPage,
    Problem,
    Snapshot,
    StreamMessage,
    Wire,
)

__all__ = ["AnswerLost", "ControlClient", "ControlError", "EngineStopped", "EngineUnreachable"]

_BASE = "http://quarterdeck"
_MAX_STREAM_MESSAGE_BYTES = 64 * 1024 * 1024

Answer = TypeVar("Answer", bound=Wire)


class ControlClient:
    """Speaks to the engine at a control address.

    `caller` says who calls, or its origin alone ("console", "cli"), which is journalled with each command; `timeout` is
    the whole time of a call, seconds.
    """

    def __init__(self, address: str, caller: Caller | str, *, timeout: float = 10.0) -> None:
        self.address = address
        self._caller = Caller(caller) if isinstance(caller, str) else caller
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector: aiohttp.BaseConnector
        if sys.platform == "win32":
            connector = aiohttp.NamedPipeConnector(self.address)
        else:
            connector = aiohttp.UnixConnector(self.address)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),
            headers=self._caller.headers(),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection. Safe to call again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def snapshot(self) -> Snapshot:
        """Return everything as it stands."""
        return await self._get("/v1/snapshot", {}, Snapshot)

    async def health(self) -> Health:
        """Return the engine's pulse, healthy or not."""
        return await self._call("GET", "/healthz", Health, also=HTTPStatus.SERVICE_UNAVAILABLE)

    async def events(self, after: int = 0, limit: int = 100) -> EventsPage:
        """Return events with `after < seq`, oldest first, at most `limit` (1 to 1000)."""
        return await self._get("/v1/events", {"after": str(after), "limit": str(limit)}, EventsPage)

    async def matches(self, contains: str) -> EventMatches:
        """Return the sequence numbers of the events that hold the text (1 to 100 characters)."""
        return await self._get("/v1/events/matches", {"contains": contains}, EventMatches)

    async def equity(self, points: int, start: datetime | None = None, end: datetime | None = None) -> EquityCurve:
        """Return the equity curve thinned to `points` (2 to 2000), between two aware times; None is open."""
        asked = {"points": str(points)}
        if start is not None:
            asked["from"] = iso(start)
        if end is not None:
            asked["to"] = iso(end)
        return await self._get("/v1/equity", asked, EquityCurve)

    async def send(self, action: Action, reason: str = "") -> CommandResult:
        """Ask the engine to act. A connection lost before the answer is tried once more, under the same id.

        Returns the result, accepted or refused. Raises EngineUnreachable when there was no engine to ask, and
        AnswerLost when the command may or may not have been carried out; the events say which.
        """
        command = Command(id=secrets.token_hex(12), action=action, reason=reason)
        body = command.model_dump_json().encode()
        try:
            return await self._call("POST", "/v1/commands", CommandResult, body=body)
        except _ConnectionLost as lost:
            try:
                return await self._call("POST", "/v1/commands", CommandResult, body=body)
            except EngineUnreachable as gone:
                raise AnswerLost(str(lost)) from gone

    async def stream(self, after: int | None = None, *, silence: float = 5.0) -> AsyncGenerator[StreamMessage, None]:
        """Yield snapshots (the latest) and events (all behind `after`, ascending; None: only new ones) until it ends.

        It never ends well: EngineStopped when the engine was told to stop, EngineUnreachable when it has gone or has
        sent nothing for `silence` seconds, ControlError when it refuses. Close the iterator (`aclosing`) to leave.
        """
        asked = {} if after is None else {"after": str(after)}
        socket = await self._connect_stream(asked)
        try:
            while True:
                try:
                    message = await socket.receive(timeout=silence)
                except TimeoutError:
                    raise EngineUnreachable(f"the engine has sent nothing for {silence:g} s") from None
                if message.type is aiohttp.WSMsgType.TEXT:
                    yield _parse(message.data, StreamMessage)
                elif socket.close_code == aiohttp.WSCloseCode.GOING_AWAY:
                    raise EngineStopped("the engine was stopped")
                else:
                    raise EngineUnreachable("the engine has gone: its connection ended without a word")
        finally:
            await socket.close()

    async def _connect_stream(self, asked: dict[str, str]) -> aiohttp.ClientWebSocketResponse:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._open_session().ws_connect(
                    f"{_BASE}/v1/stream",
                    params=asked,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                    max_msg_size=_MAX_STREAM_MESSAGE_BYTES,
                )
        except aiohttp.WSServerHandshakeError as error:
            if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
                raise EngineStopped("the engine is stopping") from error
            raise ControlError(error.status, f"the engine refused the stream (HTTP {error.status})") from error
        except TimeoutError:
            raise self._silent() from None
        except (aiohttp.ClientError, OSError) as error:
            raise EngineUnreachable(f"no engine answers at {self.address}") from error

    async def _get(self, path: str, asked: dict[str, str], kind: type[Answer]) -> Answer:
        return await self._call("GET", path, kind, asked=asked)

    async def _call(
        self,
        method: str,
        path: str,
        kind: type[Answer],
        *,
        asked: dict[str, str] | None = None,
        body: bytes | None = None,
        also: int | None = None,
    ) -> Answer:
        """Call once. `also` is the status, besides those of success, that comes with an answer and not a problem."""
        headers = {"Content-Type": "application/json"} if body is not None else None
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._open_session().request(
                    method, _BASE + path, params=asked, data=body, headers=headers
                ) as response,
            ):
                status, content = response.status, await response.read()
        except TimeoutError:
            raise self._silent() from None
        except aiohttp.ClientConnectorError as error:
            raise EngineUnreachable(f"no engine answers at {self.address}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _ConnectionLost(f"the engine at {self.address} closed the connection before it answered") from error
        if status >= 400 and status != also:
            raise ControlError(status, _parse(content, Problem).error)
        return _parse(content, kind)

    def _silent(self) -> AnswerLost:
        return AnswerLost(f"the engine at {self.address} has not answered for {self._timeout:g} s")

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("a ControlClient is used inside `async with`")
        return self._session


class _ConnectionLost(AnswerLost):
    """The connection broke before the answer came, which is worth one more try."""


def _parse(content: bytes | str, kind: type[Answer]) -> Answer:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "body"
        raise ControlError(
            0, f"the engine's answer is not a {kind.__name__} ({where}: {fault['msg']}); are both the same version?"
        ) from error
