"""Server-sent events: one HTTP answer that never ends, one event an update (WHATWG HTML, section 9.2).

Push over plain HTTP, in one direction. A browser's `EventSource` reconnects by itself and says where it was.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

from aiohttp import ClientError, ClientTimeout, StreamReader, web
from aiohttp_sse import sse_response

from wsdemo.feed import AT_A_TIME, Feed
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.reader import Attempts, Delivery, Reader
from wsdemo.transports.http import ANSWER_TIMEOUT_S, answer_position, http_server, one_connection, read_json

HEARTBEAT_S = 15
"""A comment this often keeps proxies from closing a silent answer, and shows a dead connection."""
RETRY_MS = 1000
"""How long a browser is told to wait before it reconnects."""


@asynccontextmanager
async def serve(feed: Feed, sock: MeteredSocket, guard: Guard) -> AsyncIterator[None]:
    """Stream every update at `/updates`, with `id: EPOCH-SEQ`, from where `Last-Event-ID` (or `after`) says.

    The first event, of type `position`, says where the feed stands and whether the reader's place was found. Each
    reader's answer is written by its own task from the log, so a stalled reader holds up nobody and fills no memory.
    Built in the lesson `03_ask_smarter`.
    """

    async def updates(request: web.Request) -> web.StreamResponse:
        epoch, dash, last = request.headers.get("Last-Event-ID", "").rpartition("-")
        if dash:
            request = request.clone(rel_url=request.rel_url.with_query({"after": last, "epoch": epoch}))
        answer = answer_position(feed, request, in_parts=False)
        if isinstance(answer, web.Response):
            return answer
        seq = answer.seq - len(answer.news)
        response: web.StreamResponse = web.Response()  # for one who has left before the stream began, and hears nothing
        with suppress(ConnectionResetError, TimeoutError):  # readers leave, or stall until the library gives up
            async with sse_response(request, ping_interval=HEARTBEAT_S) as response:
                await response.send(
                    json.dumps(answer.position()), id=f"{feed.epoch}-{seq}", event="position", retry=RETRY_MS
                )
                while True:
                    for number, news in enumerate(answer.news, 1):
                        await response.send(news.text(), id=f"{feed.epoch}-{news.seq}")
                        seq = news.seq
                        if number % AT_A_TIME == 0:
                            await feed.give_way()
                    await feed.wait(seq)
                    answer = feed.since(seq)
        return response

    async with http_server({"/updates": updates}, sock, guard):
        yield


async def hear(url: str, reader: Reader | None = None) -> AsyncGenerator[Delivery]:
    """Listen at `url`; yield each update once, until cancelled. Reconnects with `Last-Event-ID` as a browser does.

    Raises `Unreachable` if nobody answers at first, `Refused` with the server's sentence when it says no. Built in
    the lesson `03_ask_smarter`.
    """
    reader = reader or Reader()
    attempts = Attempts(url, reader)
    # No limit on the whole answer, which never ends; three missing heartbeats mean that the server is gone.
    async with one_connection(ClientTimeout(sock_connect=ANSWER_TIMEOUT_S, sock_read=3 * HEARTBEAT_S)) as session:
        while True:
            reader.asks().wasted = False  # the answer to this one request is the whole stream
            headers = {"Accept": "text/event-stream"}
            if reader.epoch is not None:
                headers["Last-Event-ID"] = f"{reader.epoch}-{reader.seq}"
            query = {} if reader.epoch is not None else reader.position()
            try:
                async with session.get(url, params=query, headers=headers) as response:
                    if response.status >= 400:
                        await read_json(response)  # raises Refused with the server's sentence
                    async with aclosing(read_events(response.content)) as events:
                        async for event in events:
                            message = json.loads(event["data"])
                            if event.get("event") == "position":
                                reader.place(message)
                                await reader.opened()
                                attempts.succeeded()
                            elif (delivery := reader.take(message)) is not None:
                                yield delivery
            except (ClientError, TimeoutError) as error:
                attempts.failed(error)
            await attempts.wait()


async def read_events(stream: StreamReader) -> AsyncGenerator[dict[str, str]]:
    """Yield each event of a `text/event-stream` as its fields, such as {"id": …, "event": …, "data": …}.

    A line is `field: value`, a line that starts with a colon is a comment, a blank line ends the event, and several
    `data` lines are one text. Source: WHATWG HTML, section 9.2.6. Built in the lesson `03_ask_smarter`.
    """
    event: dict[str, str] = {}
    async for raw in stream:
        line = raw.decode().rstrip("\r\n")
        if not line:
            if "data" in event:
                yield event
            event = {}
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data" and "data" in event:
            value = f"{event['data']}\n{value}"
        if name:
            event[name] = value
