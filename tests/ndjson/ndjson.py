"""Newline-delimited JSON: one HTTP answer that never ends, one line an update.

It is server-sent events without the conventions: no ids, no event types, no `EventSource`. So any program that reads
lines can hear it (`curl -N`), and whoever does must keep the position and reconnect by themselves. Many public streams
are served so.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import ClientError, ClientTimeout, web

from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.reader import Attempts, Delivery, Reader
from wsdemo.transports.http import ANSWER_TIMEOUT_S, answer_position, http_server, one_connection, read_json

HEARTBEAT_S = 15
"""An empty line this often keeps proxies from closing a silent answer, and shows a dead connection."""


@asynccontextmanager
async def serve(feed: Feed, sock: MeteredSocket, guard: Guard) -> AsyncIterator[None]:
    """Stream `GET /updates?after=SEQ&epoch=E`: the feed's position in the first line, then a line an update."""

    async def updates(request: web.Request) -> web.StreamResponse:
        answer = answer_position(feed, request)
        if isinstance(answer, web.Response):
            return answer
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        with suppress(ConnectionResetError, TimeoutError):  # readers leave, or stall until the library gives up
            await response.prepare(request)
            await response.write(json.dumps(answer.position()).encode() + b"\n")
            seq = answer.before
            while True:
                for news in answer.news:
                    await response.write(news.text().encode() + b"\n")
                    seq = news.seq
                if not await feed.wait(seq, HEARTBEAT_S):
                    await response.write(b"\n")
                answer = feed.since(seq)
        return response

    async with http_server({"/updates": updates}, sock, guard):
        yield


async def hear(url: str, reader: Reader | None = None) -> AsyncGenerator[Delivery]:
    """Listen at `url`; yield each update once, until cancelled. Comes back with its position after every break.

    Raises `Unreachable` if nobody answers at first, `Refused` with the server's sentence when it says no.
    """
    reader = reader or Reader()
    attempts = Attempts(url, reader)
    # No limit on the whole answer, which never ends; three missing heartbeats mean that the server is gone.
    async with one_connection(ClientTimeout(sock_connect=ANSWER_TIMEOUT_S, sock_read=3 * HEARTBEAT_S)) as session:
        while True:
            reader.asks().wasted = False  # the answer to this one request is the whole stream
            placed = False
            try:
                async with session.get(url, params=reader.position()) as response:
                    if response.status >= 400:
                        await read_json(response)  # raises Refused with the server's sentence
                    async for line in response.content:
                        if not line.strip():
                            continue
                        message = json.loads(line)
                        if not placed:
                            placed = True
                            reader.place(message)
                            await reader.opened()
                            attempts.succeeded()
                        elif (delivery := reader.take(message)) is not None:
                            yield delivery
            except (ClientError, TimeoutError) as error:
                attempts.failed(error)
            await attempts.wait()
