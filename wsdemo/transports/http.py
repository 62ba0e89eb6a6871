"""What the transports over plain HTTP share: opening a server on a metered socket, and asking one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    TCPConnector,
    web,
)
from aiohttp.http import HttpProcessingError

from wsdemo import far_end
from wsdemo.far_end import Addresses, Message, NotOurs, Reply, Trouble, Where, answer_in
from wsdemo.feed import MAX_MESSAGE_BYTES, Answer, Feed, read_position
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.returns import RETRY_AFTER_S
from wsdemo.workload import DEFAULT_PACE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

KEEP_ALIVE_S = 3600.0
"""How long a connection is kept on which nothing is asked: longer than any interval that a person would choose."""


class _OurFaults(logging.Filter):
    """Lets through what we did wrong, and not what came wrong from outside: that has had its 400, or nobody is there.

    The library makes an error with a traceback of each, so that any port scanner could fill a terminal, or a disk.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        fault = record.exc_info[1] if record.exc_info else None
        return not isinstance(fault, ConnectionError | HttpProcessingError | web.RequestPayloadError)


LOG = logging.getLogger("wsdemo.http")
"""What the servers over plain HTTP write to."""
LOG.addFilter(_OurFaults())


@asynccontextmanager
async def http_server(
    routes: dict[str, Handler], sock: MeteredSocket, guard: Guard, answer_s: float = DEFAULT_PACE.answer_s
) -> AsyncIterator[None]:
    """Serve `{path: handler}` for GET on `sock` while the body runs; every request is guarded and counted.

    answer_s: see `Pace`; a connection on which nothing is acknowledged for so long is aborted, where the system can.
    Its plain form is built in the lesson `01_answer_a_request`.
    """

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        sock.meter.requests += 1
        answer = answer_at_the_door(request, guard, sock.place(request.transport))
        response = await handler(request) if answer is None else answer
        if sock.leaving.has_begun:  # the next question goes to the next server
            response.force_close()
        return response

    app = web.Application(middlewares=[guarded])
    app.on_response_prepare.append(permit(guard))
    app.add_routes(web.get(path, handler, allow_head=False) for path, handler in routes.items())
    runner = _runner(app)
    await runner.setup()
    sock.door.keep(guard, patience_s=answer_s)
    try:
        site = web.SockSite(runner, sock, backlog=1024)
        await site.start()
        sock.leaving.stop_listening = site.stop
        yield
    finally:
        await sock.leaving.stop()
        await runner.cleanup()
        sock.door.shut()


def _runner(app: web.Application) -> web.AppRunner:
    # Without handler_cancellation, a handler that waits for news would go on waiting for a reader who has left.
    return web.AppRunner(
        app,
        access_log=None,
        logger=LOG,
        shutdown_timeout=0.1,
        handler_cancellation=True,
        keepalive_timeout=KEEP_ALIVE_S,
    )


def answer_at_the_door(request: web.Request, guard: Guard, place: int) -> web.Response | None:
    """Return the answer to a request that does not come in: a refusal, or a browser's question whether it may ask."""
    if (refusal := guard.refusal(request.headers, place)) is not None:
        response = web.json_response({"error": refusal.reason}, status=refusal.status)
        if refusal.status == 503:
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
        response.force_close()  # who was refused makes room for others
        return response
    wrong = request.match_info.http_exception  # None where there is a handler
    if request.method != "OPTIONS" or not isinstance(wrong, web.HTTPMethodNotAllowed):
        return None
    leave = guard.preflight(request.headers, wrong.allowed_methods)
    return None if leave is None else web.Response(status=204, headers=leave)


def permit(guard: Guard) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return what lets pages from elsewhere read every answer, if they are welcome: for `on_response_prepare`."""

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(guard.permission(request.headers))

    return prepare


def answer_position(feed: Feed, request: web.Request, *, in_parts: bool = True) -> Answer | web.Response:
    """Return the feed's answer to the position in a request's query, or the 400 that explains what is wrong with it.

    in_parts: whether the answer is to be no longer than one message should be, `more` saying if there is a rest.
    """
    try:
        position = read_position(request.query)
    except ValueError as error:
        return refuse_position(feed, str(error))
    return (feed.part if in_parts else feed.since)(*position)


def refuse_position(feed: Feed, why: str) -> web.Response:
    """Return the 400 to a position that is none: a sentence, and where the feed stands."""
    return web.json_response({"error": why} | feed.since().position() | {"recovered": False}, status=400)


class Client:
    """One client of one address, with one session and one kept-alive connection, as one browser tab or app has them.

    where: the address, or several, of which one is asked at a time.
    Use as `async with Client(where) as client`. limits: of time, for each answer; interval_s: how long nothing may be
    asked, a reader's interval. The library would drop the connection after 15 s. etag: the newest answer's, if any.
    """

    def __init__(self, where: Where | Addresses, limits: ClientTimeout | None = None, *, interval_s: float = 0.0):
        self._addresses, self.etag = Addresses.of(where), ""
        self._keep_alive_s = max(KEEP_ALIVE_S, 2 * interval_s)
        self._limits = limits or ClientTimeout(total=far_end.ANSWER_TIMEOUT_S)

    async def __aenter__(self) -> Client:
        # read_bufsize: the library reads no line that is longer than twice of it, and an event's data are one line.
        self._session = ClientSession(
            connector=TCPConnector(limit=1, keepalive_timeout=self._keep_alive_s),
            timeout=self._limits,
            read_bufsize=MAX_MESSAGE_BYTES,
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._session.close()

    async def answer(
        self,
        position: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        *,
        unchanged: Message | None = None,
        limits: ClientTimeout | None = None,
    ) -> Message:
        """Ask from a position and return the feed's answer. Raises `Trouble` with what came for any other.

        unchanged: what a 304 means, where the headers have asked for one; limits: of this answer, by default the
        client's.
        """
        response = await self.get(position, headers, or_304=unchanged is not None, limits=limits)
        async with response:
            if response.status == 304 and unchanged is not None:
                return unchanged
            with reading(response):
                answer = answer_in(await response.read())
            self.etag = response.headers.get("ETag", "")
            return answer

    async def get(
        self,
        position: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        kind: str = "application/json",
        *,
        or_304: bool = False,
        limits: ClientTimeout | None = None,
    ) -> ClientResponse:
        """Ask from a position and return a 200 of this kind, with its body still to be read. Raises `Trouble`."""

        async def ask(place: str) -> ClientResponse:
            try:
                response = await self._session.get(
                    far_end.address(place, position),
                    headers=headers,
                    allow_redirects=False,
                    timeout=limits or self._limits,
                )
            except ClientResponseError as error:  # something came, and it is not HTTP
                raise Trouble(Reply(0, body=error.message.encode(errors="replace"))) from error
            except (ClientError, OSError) as error:
                raise Trouble from error
            unchanged = or_304 and response.status == 304
            if unchanged or (response.status == 200 and response.content_type == kind):
                return response
            async with response:
                raise Trouble(_reply(response, await _first_bytes(response)))

        return await far_end.follow(self._addresses.current, ask)


@contextmanager
def reading(response: ClientResponse) -> Iterator[None]:
    """Raise `Trouble`, with what came, where the body finds an answer cut, silent or unreadable (`NotOurs`)."""
    try:
        yield
    except NotOurs as error:
        raise Trouble(_reply(response, error.body)) from error
    except (ClientError, HttpProcessingError, OSError, ValueError) as error:  # the second: a line too long
        raise Trouble(_reply(response)) from error


async def _first_bytes(response: ClientResponse) -> bytes:
    """Return the beginning of a body that nobody asked for, and that may never end."""
    body = b""
    with suppress(ClientError, OSError, ValueError):
        async with asyncio.timeout(far_end.WORDS_S):
            while piece := await response.content.read(far_end.WORDS_BYTES - len(body)):
                body += piece
    return body


def _reply(response: ClientResponse, body: bytes = b"") -> Reply:
    return Reply.of(response.status, response.headers.items(), body)
