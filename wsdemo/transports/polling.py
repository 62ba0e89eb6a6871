"""Polling: every reader asks every `T` seconds, whether or not there is news."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from aiohttp import web

from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.reader import Delivery, Message, Reader
from wsdemo.transports.http import answer_position, http_server, one_connection, poll, read_json


@asynccontextmanager
async def serve(feed: Feed, sock: MeteredSocket, guard: Guard) -> AsyncIterator[None]:
    """Answer `GET /updates?after=SEQ&epoch=E` with the feed's position and every newer update, as JSON.

    Without `after` the answer is the position alone. `"recovered": false` says that updates may be lost, `"more": true`
    that the answer is but a part of them (`feed.MOST_UPDATES`), and its `seq` where to go on. A malformed `after` is a
    400 with a sentence. Built in the lesson `02_poll_for_news`.
    """

    async def updates(request: web.Request) -> web.Response:
        answer = answer_position(feed, request)
        if isinstance(answer, web.Response):
            return answer
        sock.meter.wasted += not answer.news
        return web.json_response(text=answer.text())

    async with http_server({"/updates": updates}, sock, guard):
        yield


async def hear(url: str, reader: Reader | None = None) -> AsyncGenerator[Delivery]:
    """Poll `url` (such as "http://127.0.0.1:8000/updates") at the reader's times; yield each update once.

    One session and one kept-alive connection a client. Raises `Unreachable` if nobody answers at first, `Refused`
    with the server's sentence when it says no. Built in the lesson `02_poll_for_news`.
    """
    reader = reader or Reader()
    async with one_connection() as session:

        async def ask(reader: Reader) -> Message:
            async with session.get(url, params=reader.position()) as response:
                return await read_json(response)

        async with aclosing(poll(url, reader, ask)) as deliveries:
            async for delivery in deliveries:
                yield delivery
