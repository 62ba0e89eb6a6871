"""Newline-delimited JSON: one HTTP answer that never ends, one line an update.

It is server-sent events without the conventions: no ids, no event types, no `EventSource`. So any program that reads
lines can hear it (`curl -N`), and whoever does must keep the position and reconnect by themselves. Many public streams
are served so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from aiohttp import ClientResponse, ClientTimeout, web

from wsdemo import far_end
from wsdemo.beats import Conflation
from wsdemo.far_end import Message, Trouble, position_in, update_in
from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.reader import Delivery, Reader
from wsdemo.transports.habits import streamed
from wsdemo.transports.http import Client, answer_position, http_server, reading
from wsdemo.workload import DEFAULT_PACE, Pace

KIND = "application/x-ndjson"
HEARTBEAT_S = DEFAULT_PACE.comment_s
"""An empty line this often keeps proxies from closing a silent answer, and shows a dead connection."""


@asynccontextmanager
async def serve(feed: Feed, sock: MeteredSocket, guard: Guard, pace: Pace = DEFAULT_PACE) -> AsyncIterator[None]:
    """Stream `GET /updates?after=SEQ&epoch=E`: the feed's position in the first line, then a line an update."""

    async def updates(request: web.Request) -> web.StreamResponse:
        answer = answer_position(feed, request)
        if isinstance(answer, web.Response):
            return answer
        response = web.StreamResponse(headers={"Content-Type": KIND, "Cache-Control": "no-store"})
        with suppress(ConnectionResetError, TimeoutError):  # readers leave, or stall until the library gives up
            await response.prepare(request)
            await response.write(json.dumps(answer.position()).encode() + b"\n")
            seq, conflation = answer.before, Conflation(pace.at_most_every_s)
            while True:
                for news in answer.news:
                    await response.write(news.text().encode() + b"\n")
                    seq = news.seq
                if not await feed.wait(seq, pace.comment_s):
                    await response.write(b"\n")
                    sock.meter.heartbeats += 1
                await conflation.turn()
                answer = feed.since(seq)
        return response

    async with http_server({"/updates": updates}, sock, guard):
        yield


def hear(url: str, reader: Reader | None = None) -> AsyncGenerator[Delivery]:
    """Listen at `url`; yield each update once, until cancelled. Comes back with its position after every break.

    Raises `Unreachable` if nobody answers at first, `Refused`, with what came, if the answer is a no or not a feed's.
    """
    reader = reader or Reader()
    return streamed(url, reader, _Lines(url, reader))


class _Lines:
    """The client's side: one answer after the other, each a stream of lines."""

    def __init__(self, url: str, reader: Reader):
        self._url, self._reader = url, reader
        self._client: Client | None = None
        self._response: ClientResponse | None = None

    async def open(self) -> Message:
        # No limit on the whole answer, which never ends; three missing heartbeats mean that the server is gone.
        limits = ClientTimeout(sock_connect=far_end.ANSWER_TIMEOUT_S, sock_read=3 * HEARTBEAT_S)
        self._client = await Client(self._url, limits).__aenter__()
        try:
            async with asyncio.timeout(far_end.ANSWER_TIMEOUT_S):
                self._response = await self._client.get(self._reader.position(), kind=KIND)
                return await self._read(position_in)
        except TimeoutError as error:
            raise Trouble from error

    async def news(self) -> Message:
        return await self._read(update_in)

    async def _read(self, kind: Callable[[bytes], Message]) -> Message:
        assert self._response is not None
        with reading(self._response):
            async for line in self._response.content:
                if line.strip():  # an empty one is a heartbeat
                    return kind(line)
        raise Trouble

    async def close(self) -> None:
        client, response, self._client, self._response = self._client, self._response, None, None
        if response is not None:
            response.close()
        if client is not None:
            await client.__aexit__()
