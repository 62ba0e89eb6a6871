"""What the transports over plain HTTP share: opening a server on a metered socket, and the client's loop of polls."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, web
from aiohttp.http_exceptions import HttpProcessingError

from wsdemo.feed import Answer, Feed, read_position
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.reader import Delivery, Message, Reader, Refused, Request, Unreachable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Ask = Callable[[Reader], Awaitable[Message]]

ANSWER_TIMEOUT_S = 10.0


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
async def http_server(routes: dict[str, Handler], sock: MeteredSocket, guard: Guard) -> AsyncIterator[None]:
    """Serve `{path: handler}` for GET on `sock` while the body runs; every request is guarded and counted.

    Its plain form is built in the lesson `01_answer_a_request`.
    """

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        sock.meter.requests += 1
        refusal = guard.refusal(request.headers, sock.place(request.transport))
        if refusal is not None:
            response = web.json_response({"error": refusal.reason}, status=refusal.status)
            response.force_close()  # who was refused makes room for others
            return response
        return await handler(request)

    async def permit(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(guard.permission(request.headers))

    app = web.Application(middlewares=[guarded])
    app.on_response_prepare.append(permit)
    app.add_routes(web.get(path, handler, allow_head=False) for path, handler in routes.items())
    # Without handler_cancellation, a handler that waits for news would go on waiting for a reader who has left.
    runner = web.AppRunner(app, access_log=None, logger=LOG, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    sock.door.keep(guard.max_connections)
    try:
        await web.SockSite(runner, sock, backlog=1024).start()
        yield
    finally:
        await runner.cleanup()
        sock.door.shut()


def answer_position(feed: Feed, request: web.Request, *, in_parts: bool = True) -> Answer | web.Response:
    """Return the feed's answer to the position in a request's query, or the 400 that explains what is wrong with it.

    in_parts: whether the answer is to be no longer than one message should be, `more` saying if there is a rest.
    """
    try:
        return (feed.part if in_parts else feed.since)(*read_position(request.query))
    except ValueError as error:
        position = feed.since().position() | {"recovered": False}
        return web.json_response({"error": str(error)} | position, status=400)


@asynccontextmanager
async def one_connection(limits: ClientTimeout | None = None) -> AsyncIterator[ClientSession]:
    """Give a client session that keeps exactly one connection alive, as one browser tab or one app would."""
    limits = limits or ClientTimeout(total=ANSWER_TIMEOUT_S)
    async with ClientSession(connector=TCPConnector(limit=1), timeout=limits) as session:
        yield session


async def read_json(response: ClientResponse) -> Message:
    """Return a response's JSON; raises `Refused` with the server's own sentence for a status from 400 up."""
    message: Message = await response.json()
    if response.status >= 400:
        raise Refused(response.status, message["error"])
    return message


async def poll(url: str, reader: Reader, ask: Ask) -> AsyncGenerator[Delivery]:
    """Ask once for the position, then at each time of the reader's timetable; yield what is new.

    A poll that fails is counted and the next one goes out on time, which is polling's way to reconnect. The first
    question must be answered: raises `Unreachable` otherwise.
    """
    request = reader.asks(opening=True)
    try:
        opening = await ask(reader)
    except (ClientError, TimeoutError) as error:
        raise Unreachable(url, error) from error
    async with aclosing(_all_of(opening, request, reader, ask)) as deliveries:
        async for delivery in deliveries:
            yield delivery
    async for due_ns in reader.polls():
        request = reader.asks(due_ns)
        try:
            answer = await ask(reader)
        except (ClientError, TimeoutError):
            reader.failures += 1
            continue
        async with aclosing(_all_of(answer, request, reader, ask)) as deliveries:
            async for delivery in deliveries:
                yield delivery


async def _all_of(answer: Message, request: Request, reader: Reader, ask: Ask) -> AsyncGenerator[Delivery]:
    """Yield what is new in an answer, and ask on at once while it says that there is more.

    A further question that fails is counted, and left to the next poll.
    """
    while True:
        reader.place(answer)
        deliveries = reader.take_all(answer["updates"])
        request.wasted = not deliveries
        for delivery in deliveries:
            yield delivery
        if not (answer.get("more") is True and deliveries):  # nothing new is no reason to hurry, whatever it says
            return
        request = reader.asks(further=True)
        try:
            answer = await ask(reader)
        except (ClientError, TimeoutError):
            reader.failures += 1
            return
