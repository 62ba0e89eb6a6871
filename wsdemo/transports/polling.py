"""Polling: every reader asks every `T` seconds, whether or not there is news."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from wsdemo.far_end import Addresses, Where
from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.reader import Delivery, Reader
from wsdemo.returns import saying, told
from wsdemo.transports.habits import asks
from wsdemo.transports.http import Client, answer_position, http_server
from wsdemo.workload import DEFAULT_PACE, Pace


@asynccontextmanager
async def serve(feed: Feed, sock: MeteredSocket, guard: Guard, pace: Pace = DEFAULT_PACE) -> AsyncIterator[None]:
    """Answer `GET /updates?after=SEQ&epoch=E` with the feed's position and every newer update, as JSON.

    Without `after` the answer is the position alone. `"recovered": false` says that updates may be lost, `"more": true`
    that the answer is but a part of them (`feed.MOST_UPDATES`), and its `seq` where to go on. A malformed `after` is a
    400 with a sentence. Its plain form is built in the lesson `02_poll_for_news`, as `updates`.
    """

    async def updates(request: web.Request) -> web.Response:
        answer = answer_position(feed, request)
        if isinstance(answer, web.Response):
            return answer
        sock.meter.wasted += not answer.news
        return web.json_response(text=saying(answer.text(), **told(sock.meter)))

    async with http_server({"/updates": updates}, sock, guard, pace.answer_s):
        yield


def hear(url: Where, reader: Reader | None = None) -> AsyncGenerator[Delivery]:
    """Poll `url` (such as "http://127.0.0.1:8000/updates") in time; yield each update once, of one history.

    One session and one kept-alive connection a client. url: or several, of servers with one history, such as gateways:
    after a failure the next is asked, by every transport. Raises `Unreachable` if nobody answers at first, `Refused`,
    with what came, if the answer is a no or not a feed's. Built in the lesson `02_poll_for_news`.
    """
    position, where = (reader := reader or Reader()).position, Addresses(url)
    return asks(where, reader, Client(where, interval_s=reader.interval_s), lambda client: client.answer(position()))
