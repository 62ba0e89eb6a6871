"""Server-sent events: one HTTP answer that never ends, one event an update (WHATWG HTML, section 9.2).

Push over plain HTTP, in one direction. A browser's `EventSource` reconnects by itself and says where it was.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import ClientResponse, ClientTimeout, StreamReader, web
from aiohttp_sse import sse_response

from wsdemo import far_end
from wsdemo.far_end import Message, NotOurs, Trouble, position_in, update_in
from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.reader import Delivery, Reader
from wsdemo.transports.habits import streamed
from wsdemo.transports.http import Client, answer_position, http_server, reading

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
        answer = answer_position(feed, request)
        if isinstance(answer, web.Response):
            return answer
        seq = answer.seq - len(answer.news)
        with suppress(ConnectionResetError, TimeoutError):  # readers leave, or stall until the library gives up
            async with sse_response(request, ping_interval=HEARTBEAT_S) as response:
                await response.send(
                    json.dumps(answer.position()), id=f"{feed.epoch}-{seq}", event="position", retry=RETRY_MS
                )
                while True:
                    for news in answer.news:
                        await response.send(news.text(), id=f"{feed.epoch}-{news.seq}")
                        seq = news.seq
                    await feed.wait(seq)
                    answer = feed.since(seq)
        return response

    async with http_server({"/updates": updates}, sock, guard):
        yield


def hear(url: str, reader: Reader | None = None) -> AsyncGenerator[Delivery]:
    """Listen at `url`; yield each update once, of one history, until cancelled.

    Reconnects with `Last-Event-ID` as a browser does. Raises `Unreachable` if nobody answers at first, `Refused`, with
    what came, if the answer is a no or not a feed's. Built in the lesson `03_ask_smarter`.
    """
    reader = reader or Reader()
    return streamed(url, reader, _Events(url, reader))


class _Events:
    """The client's side: one answer after the other, each an event stream."""

    def __init__(self, url: str, reader: Reader):
        self._url, self._reader = url, reader
        self._client: Client | None = None
        self._response: ClientResponse | None = None

    async def open(self) -> Message:
        position, headers = self._reader.position(), {"Accept": "text/event-stream"}
        if self._reader.epoch is not None:
            position, headers["Last-Event-ID"] = {}, f"{self._reader.epoch}-{self._reader.seq}"
        # No limit on the whole answer, which never ends; three missing heartbeats mean that the server is gone.
        limits = ClientTimeout(sock_connect=far_end.ANSWER_TIMEOUT_S, sock_read=3 * HEARTBEAT_S)
        self._client = await Client(self._url, limits).__aenter__()
        try:
            async with asyncio.timeout(far_end.ANSWER_TIMEOUT_S):
                response = await self._client.get(position, headers, "text/event-stream")
        except TimeoutError as error:
            raise Trouble from error
        self._response, self._events = response, read_events(response.content)
        with reading(response):
            async with asyncio.timeout(far_end.ANSWER_TIMEOUT_S):
                first = await anext(self._events, {"data": ""})
            if first.get("event") != "position":
                raise NotOurs(first["data"])
            return position_in(first["data"])

    async def news(self) -> Message:
        assert self._response is not None
        with reading(self._response):
            async for event in self._events:
                if not event.get("event"):  # one with a type of its own is none of ours
                    return update_in(event["data"])
        raise Trouble

    async def close(self) -> None:
        client, response, self._client, self._response = self._client, self._response, None, None
        if response is not None:
            response.close()
        if client is not None:
            await client.__aexit__()


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
