"""Conditional polling: polling with an ETag, so that "nothing new" is a 304 without a body.

It makes a wasted request cheaper. It does not make it rarer. Source: RFC 9110, sections 8.8.3 (ETag), 13.1.2
(If-None-Match) and 15.4.5 (304 Not Modified).
"""

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
    """Answer as `polling` does, with the position as ETag; 304 where `If-None-Match` names the newest position."""

    async def updates(request: web.Request) -> web.Response:
        answer = answer_position(feed, request)
        if isinstance(answer, web.Response):
            return answer
        sock.meter.wasted += not answer.news
        response = web.Response(status=304)
        if _tag(answer.epoch, answer.seq) != request.headers.get("If-None-Match"):
            response = web.json_response(text=answer.text())
        response.headers["ETag"] = _tag(answer.epoch, answer.seq)
        return response

    async with http_server({"/updates": updates}, sock, guard):
        yield


async def hear(url: str, reader: Reader | None = None) -> AsyncGenerator[Delivery]:
    """Poll `url` at the reader's times with `If-None-Match`; yield each update once. Raises as `polling.hear` does."""
    reader = reader or Reader()
    async with one_connection() as session:

        async def ask(reader: Reader) -> Message:
            known = {"If-None-Match": _tag(reader.epoch, reader.seq)} if reader.epoch else {}
            async with session.get(url, params=reader.position(), headers=known) as response:
                if response.status == 304:
                    return {"epoch": reader.epoch, "seq": reader.seq, "recovered": True, "updates": []}
                return await read_json(response)

        async with aclosing(poll(url, reader, ask)) as deliveries:
            async for delivery in deliveries:
                yield delivery


def _tag(epoch: str | None, seq: int | None) -> str:
    return f'"{epoch}-{seq}"'
