"""What the transports over plain HTTP share: opening a server on a metered socket, and the client's loop of polls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, web

from wsdemo.feed import Answer, Feed, read_position
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.reader import Delivery, Message, Reader, Refused, Unreachable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ANSWER_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 3600.0
"""How long a connection is kept on which nothing is asked: longer than any interval that a person would choose."""


@asynccontextmanager
async def http_server(routes: dict[str, Handler], sock: MeteredSocket, guard: Guard) -> AsyncIterator[None]:
    """Serve `{path: handler}` for GET on `sock` while the body runs; every request is guarded and counted.

    Its plain form is built in the lesson `01_answer_a_request`.
    """

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        sock.meter.requests += 1
        answer = answer_at_the_door(request, guard, sock.meter.open_now)
        return await handler(request) if answer is None else answer

    app = web.Application(middlewares=[guarded])
    app.on_response_prepare.append(permit(guard))
    app.add_routes(web.get(path, handler, allow_head=False) for path, handler in routes.items())
    # Without handler_cancellation, a handler that waits for news would go on waiting for a reader who has left.
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True, keepalive_timeout=KEEP_ALIVE_S
    )
    await runner.setup()
    try:
        await web.SockSite(runner, sock, backlog=1024).start()
        yield
    finally:
        await runner.cleanup()


def answer_at_the_door(request: web.Request, guard: Guard, open_now: int) -> web.Response | None:
    """Return the answer to a request that does not come in: a refusal, or a browser's question whether it may ask."""
    if (refusal := guard.refusal(request.headers, open_now)) is not None:
        return web.json_response({"error": refusal.reason}, status=refusal.status)
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


def answer_position(feed: Feed, request: web.Request) -> Answer | web.Response:
    """Return the feed's answer to the position in a request's query, or the 400 that explains what is wrong with it."""
    try:
        position = read_position(request.query)
    except ValueError as error:
        return refuse_position(feed, str(error))
    return feed.since(*position)


def refuse_position(feed: Feed, why: str) -> web.Response:
    """Return the 400 to a position that is none: a sentence, and where the feed stands."""
    return web.json_response({"error": why} | feed.since().position() | {"recovered": False}, status=400)


@asynccontextmanager
async def one_connection(limits: ClientTimeout | None = None, interval_s: float = 0.0) -> AsyncIterator[ClientSession]:
    """Give a client session that keeps exactly one connection alive, as one browser tab or one app would.

    interval_s: how long nothing may be asked on it, a reader's interval; the library would drop it after 15 s.
    """
    limits = limits or ClientTimeout(total=ANSWER_TIMEOUT_S)
    connector = TCPConnector(limit=1, keepalive_timeout=max(KEEP_ALIVE_S, 2 * interval_s))
    async with ClientSession(connector=connector, timeout=limits) as session:
        yield session


async def read_json(response: ClientResponse) -> Message:
    """Return a response's JSON; raises `Refused` with the server's own sentence for a status from 400 up."""
    message: Message = await response.json()
    if response.status >= 400:
        raise Refused(response.status, message["error"])
    return message


async def poll(url: str, reader: Reader, ask: Callable[[Reader], Awaitable[Message]]) -> AsyncGenerator[Delivery]:
    """Ask once for the position, then at each time of the reader's timetable; yield what is new.

    A poll that fails is counted and the next one goes out on time, which is polling's way to reconnect. The first
    question must be answered: raises `Unreachable` otherwise.
    """
    reader.asks(opening=True)
    try:
        opening = await ask(reader)
    except (ClientError, TimeoutError) as error:
        raise Unreachable(url, error) from error
    reader.place(opening)
    for delivery in reader.take_all(opening["updates"]):
        yield delivery
    async for due_ns in reader.polls():
        request = reader.asks(due_ns)
        try:
            answer = await ask(reader)
        except (ClientError, TimeoutError):
            reader.failures += 1
            continue
        reader.place(answer)
        deliveries = reader.take_all(answer["updates"])
        request.wasted = not deliveries
        for delivery in deliveries:
            yield delivery
