"""Long polling: the server holds the answer back until there is news (RFC 6202 section 2)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientError, ClientTimeout, web

from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.reader import Attempts, Delivery, Reader
from wsdemo.transports.http import answer_position, http_server, one_connection, read_json
from wsdemo.workload import LONG_POLL_TIMEOUT_S


@asynccontextmanager
async def serve(feed: Feed, sock: MeteredSocket, guard: Guard) -> AsyncIterator[None]:
    """Answer `GET /updates?after=SEQ&epoch=E` as soon as there is something newer, or after a timeout with nothing.

    `after` is the cursor: an update that lands between an answer and the next request is newer than it, and so is
    answered at once. A reader without a position, or with one that leads nowhere, does not have to wait. Built in the
    lesson `03_ask_smarter`.
    """

    async def updates(request: web.Request) -> web.Response:
        answer = answer_position(feed, request)
        if isinstance(answer, web.Response):
            return answer
        if "after" in request.query and answer.recovered and not answer.news:
            await feed.wait(answer.seq, LONG_POLL_TIMEOUT_S)
            answer = feed.part(answer.seq, answer.epoch)
        sock.meter.wasted += not answer.news
        return web.json_response(text=answer.text())

    async with http_server({"/updates": updates}, sock, guard):
        yield


async def hear(url: str, reader: Reader | None = None) -> AsyncGenerator[Delivery]:
    """Ask `url`, wait for the answer, ask again at once; yield each update once, until cancelled.

    A request that fails is repeated after growing, jittered waits. Raises `Unreachable` if nobody answers at first,
    `Refused` with the server's sentence when it says no. Built in the lesson `03_ask_smarter`.
    """
    reader = reader or Reader()
    attempts = Attempts(url, reader)
    # Twice the timeout: a server that stays silent for longer than it promised is gone.
    async with one_connection(ClientTimeout(total=2 * LONG_POLL_TIMEOUT_S)) as session:
        while True:
            request = reader.asks(opening=reader.epoch is None)
            try:
                async with session.get(url, params=reader.position()) as response:
                    answer = await read_json(response)
            except (ClientError, TimeoutError) as error:
                attempts.failed(error)
                await attempts.wait()
                continue
            attempts.succeeded()
            reader.place(answer)
            deliveries = reader.take_all(answer["updates"])
            request.wasted = not deliveries
            for delivery in deliveries:
                yield delivery
            await reader.opened()
