"""Conditional polling: polling with an ETag, so that "nothing new" is a 304 without a body.

It makes a wasted request cheaper. It does not make it rarer. Source: RFC 9110, sections 8.8.3 (ETag), 13.1.2
(If-None-Match) and 15.4.5 (304 Not Modified).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from wsdemo.far_end import Message
from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.reader import Delivery, Reader
from wsdemo.transports.habits import asks
from wsdemo.transports.http import Client, answer_position, http_server


@asynccontextmanager
async def serve(feed: Feed, sock: MeteredSocket, guard: Guard) -> AsyncIterator[None]:
    """Answer as `polling` does, with the position as ETag; 304 where `If-None-Match` names the newest position."""

    async def updates(request: web.Request) -> web.Response:
        answer = answer_position(feed, request)
        if isinstance(answer, web.Response):
            return answer
        sock.meter.wasted += not answer.news
        response = web.Response(status=304)
        if _tag(answer.epoch, answer.seq) != request.headers.get("If-None-Match"):
            response = web.json_response(answer.message())
        response.headers["ETag"] = _tag(answer.epoch, answer.seq)
        return response

    async with http_server({"/updates": updates}, sock, guard):
        yield


def hear(url: str, reader: Reader | None = None) -> AsyncGenerator[Delivery]:
    """Poll `url` at the reader's times with `If-None-Match`; yield each update once, of one history.

    Raises as `polling.hear` does.
    """
    known = reader or Reader()

    async def ask(client: Client) -> Message:
        if known.epoch is None:
            return await client.answer(known.position())
        unchanged: Message = {"epoch": known.epoch, "seq": known.seq, "recovered": True, "updates": []}
        tag = {"If-None-Match": _tag(known.epoch, known.seq)}
        return await client.answer(known.position(), tag, unchanged=unchanged)

    return asks(url, known, Client(url), ask)


def _tag(epoch: str | None, seq: int | None) -> str:
    return f'"{epoch}-{seq}"'
