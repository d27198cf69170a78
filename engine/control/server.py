"""The control API: how consoles, scripts and curl see an engine and act on it.

In: HTTP and WebSocket requests on the profile's own socket, and on the shared one if there is one. Out: snapshots,
events, the equity curve, the results of commands. It decides nothing about trading; it must
never make the engine wait for a client.
"""

import asyncio
import logging
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, TypeVar

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.typedefs import Handler
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from engine.control.access import Access, Denied, console_id
from engine.control.caller import TOKEN_HEADER
from engine.control.door import DooredSite
from engine.control.listening import bound_socket, checked_folder, remove_socket
from engine.control.messages import Command, CommandResult, Problem, Wire
from engine.control.once import (
    CommandAbandoned,
    CommandConflict,
    CommandFailed,
    CommandLedger,
    body_digest,
)
from engine.control.peer import peer_uid
from engine.control.stream import MAX_CLIENTS, StreamHub
from engine.control.target import ControlTarget, Operator, Visitor

__all__ = ["ControlServer", "ControlTarget", "Operator", "body_digest"]

MAX_BODY_BYTES = 64 * 1024
_STREAM_PATH = "/v1/stream"
_BODY_SECONDS = 10.0
_COMMAND_GRACE_SECONDS = 5.0
_REPLY_GRACE_SECONDS = 2.0
_MAX_SEQ = 2**63 - 1

_log = logging.getLogger(__name__)
_OPERATOR = web.RequestKey("operator", Operator)
_http_log = logging.getLogger(f"{__name__}.http")

Parsed = TypeVar("Parsed", bound=BaseModel)
Seq = Annotated[int, Field(ge=0, le=_MAX_SEQ)]


class _BadRequest(Exception):
    """The request cannot be understood; the text says what was found and what is right."""


class _EventsQuery(Wire):
    after: Seq = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class _MatchesQuery(Wire):
    contains: Annotated[str, Field(min_length=1, max_length=100)]


class _EquityQuery(Wire):
    start: Annotated[AwareDatetime | None, Field(alias="from")] = None
    end: Annotated[AwareDatetime | None, Field(alias="to")] = None
    points: Annotated[int, Field(ge=2, le=2000)] = 500


class _StreamQuery(Wire):
    after: Seq | None = None


class _NothingAsked(Wire):
    pass


class ControlServer:
    """Serves one engine on its control address, and on the shared socket that `access` names.

    `access` decides who may do what; by default our own user everything. `snapshot_interval`: seconds between
    snapshots. `known` are the commands carried out before a restart, oldest first: {id: (body digest, result)}.
    """

    def __init__(
        self,
        target: ControlTarget,
        address: str,
        *,
        snapshot_interval: float = 0.1,
        known: Mapping[str, tuple[str, CommandResult]] | None = None,
        stall: float = 30.0,
        access: Access | None = None,
    ) -> None:
        self._target = target
        self._address = address
        self._access = access or Access()
        self._ledger = CommandLedger(known or {})
        self._hub = StreamHub(target, interval=snapshot_interval, stall=stall)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begin to answer. The caller holds the profile's lock: a socket left behind by a dead engine is replaced."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._guarded])
        app.add_routes(
            [
                web.get("/v1/snapshot", self._snapshot),
                web.get("/v1/events", self._events),
                web.get("/v1/events/matches", self._matches),
                web.get("/v1/equity", self._equity),
                web.get(_STREAM_PATH, self._stream),
                web.post("/v1/commands", self._command),
                web.get("/healthz", self._health),
                web.get("/metrics", self._metrics),
            ]
        )
        runner = web.AppRunner(app, access_log=None, logger=_http_log, shutdown_timeout=_REPLY_GRACE_SECONDS)
        await runner.setup()
        self._runner = runner
        if sys.platform == "win32":
            await web.NamedPipeSite(runner, self._address).start()
        else:
            await web.SockSite(runner, bound_socket(Path(self._address))).start()
            if self._access.shared is not None:
                shared = Path(self._access.shared)
                checked_folder(shared.parent)
                await DooredSite(runner, bound_socket(shared, mode=0o666)).start()

    async def stop(self) -> None:
        """Let commands under way finish (5 s), end the streams, answer what is open and close. Safe to call again."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        await self._ledger.close(_COMMAND_GRACE_SECONDS)
        await self._hub.close()
        await runner.cleanup()
        if sys.platform != "win32":
            for address in filter(None, (self._address, self._access.shared)):
                remove_socket(Path(address))

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            request[_OPERATOR] = self._admitted(request)
            return await handler(request)
        except Denied as denied:
            return _problem(denied.status, str(denied))
        except _BadRequest as error:
            return _problem(400, str(error))
        except web.HTTPException as error:
            return _problem(error.status, _http_sentence(request, error))
        except web.RequestPayloadError as error:
            return _problem(400, f"body: is not what Content-Encoding and Transfer-Encoding say it is: {error}"[:300])
        except ConnectionError:
            raise
        except Exception as error:
            _log.exception("%s %s failed", request.method, request.path)
            return _problem(500, f"the engine failed on this request ({type(error).__name__}); its log says where")

    def _admitted(self, request: web.Request) -> Operator:
        transport = request.transport
        connection = transport.get_extra_info("socket") if transport is not None else None
        if sys.platform == "win32":
            return self._access.admit(None, None, request.headers)
        if transport is None or connection is None:
            # It has gone meanwhile: nobody can be told, and nothing may be done for somebody unknown.
            raise Denied(HTTPStatus.FORBIDDEN, "the connection has ended")
        return self._access.admit(peer_uid(connection), transport.get_extra_info("sockname"), request.headers)

    async def _snapshot(self, request: web.Request) -> web.Response:
        _query(request, _NothingAsked)
        return _answer(self._target.snapshot())

    async def _events(self, request: web.Request) -> web.Response:
        query = _query(request, _EventsQuery)
        return _answer(await self._target.events(query.after, query.limit))

    async def _matches(self, request: web.Request) -> web.Response:
        return _answer(await self._target.matches(_query(request, _MatchesQuery).contains))

    async def _equity(self, request: web.Request) -> web.Response:
        query = _query(request, _EquityQuery)
        if query.start is not None and query.end is not None and query.start >= query.end:
            raise _BadRequest(f"to: found {query.end.isoformat()}, expected a time after {query.start.isoformat()}")
        return _answer(await self._target.equity(query.start, query.end, query.points))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        query = _query(request, _StreamQuery)
        if self._hub.closing:
            return _problem(503, "the engine is stopping")
        if self._hub.full:
            return _problem(429, f"{MAX_CLIENTS} streams are open, and no more are served at a time")
        operator = request[_OPERATOR]

        def admitted() -> bool:
            if TOKEN_HEADER not in request.headers:
                return True
            try:
                return self._admitted(request) == operator
            except Denied:
                return False

        visitor = Visitor(operator, console_id(request.headers))
        return await self._hub.serve(request, query.after, visitor, admitted)

    async def _command(self, request: web.Request) -> web.Response:
        operator = request[_OPERATOR]
        self._access.may_act(operator, request.headers)
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await request.read()
        except TimeoutError:
            return _problem(408, f"the command did not come within {_BODY_SECONDS:.0f} s")
        try:
            command = Command.model_validate_json(body, strict=True)
        except ValidationError as error:
            raise _BadRequest(_sentences(error)) from error
        try:
            return _answer(await self._ledger.run(command, lambda: self._target.execute(command, operator)))
        except CommandConflict:
            return _problem(409, f"id: {command.id} was used before for another command; use a new id")
        except CommandFailed as error:
            return _problem(
                500, f"the engine failed on this command ({error}); its events and its log say how far it came"
            )
        except CommandAbandoned:
            return _problem(503, "the engine is stopping; look at its events for what became of this command")

    async def _health(self, request: web.Request) -> web.Response:
        health = self._target.health()
        return _answer(health, status=200 if health.healthy else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(
            body=self._target.metrics().encode(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )


class _WithoutSendersFaults(logging.Filter):
    """Keeps out of the log what a sender has done: bytes that are not HTTP, bodies that are not what they are said to
    be, leaving before the answer. The sender is told, if it is there; a flood of them must not fill a disk.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        faults = (BadHttpMessage, web.RequestPayloadError, ConnectionResetError)
        return not (record.exc_info and isinstance(record.exc_info[1], faults))


_http_log.addFilter(_WithoutSendersFaults())


def _answer(message: Wire, status: int = 200) -> web.Response:
    return web.Response(status=status, body=message.model_dump_json().encode(), content_type="application/json")


def _problem(status: int, sentence: str) -> web.Response:
    return web.Response(
        status=status, body=Problem(error=sentence).model_dump_json().encode(), content_type="application/json"
    )


def _query(request: web.Request, model: type[Parsed]) -> Parsed:
    for name in request.query:
        if (count := len(request.query.getall(name))) > 1:
            raise _BadRequest(f"{name[:40]!r}: found {count} times, expected once")
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise _BadRequest(_sentences(error)) from error


def _sentences(error: ValidationError) -> str:
    """Return "field: found X, expected Y" for the first five faults."""
    sentences = []
    for fault in error.errors(include_url=False)[:5]:
        field = ".".join(str(part) for part in fault["loc"]) or "body"
        found = "nothing" if fault["type"] == "missing" else repr(fault["input"])
        if len(found) > 80:
            found = f"{found[:80]}..."
        sentences.append(f"{field[:100]}: found {found}, expected: {fault['msg'][:200]}")
    return "; ".join(sentences)


def _http_sentence(request: web.Request, error: web.HTTPException) -> str:
    if isinstance(error, web.HTTPNotFound):
        return f"there is no {request.path[:100]!r} here; /v1/snapshot, /v1/events, /v1/equity, /v1/commands are"
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"{request.path[:100]} takes {', '.join(sorted(error.allowed_methods))}, not {request.method[:20]}"
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return f"body: longer than {MAX_BODY_BYTES} bytes, the most a command may have"
    if isinstance(error, web.HTTPBadRequest) and request.path == _STREAM_PATH:
        return f"{_STREAM_PATH} takes a WebSocket handshake, version 13: {error.text or error.reason}"
    return error.text or error.reason
