"""Server-sent events: one HTTP answer that never ends, one event an update (WHATWG HTML, section 9.2).

Push over plain HTTP, in one direction. A browser's `EventSource` reconnects by itself and says where it was.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import random
import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress

from aiohttp import ClientResponse, ClientTimeout, HttpVersion11, StreamReader, web
from aiohttp_sse import EventSourceResponse

from wsdemo import far_end
from wsdemo.beats import beats
from wsdemo.fanout import Fanout
from wsdemo.far_end import Addresses, Message, NotOurs, Trouble, Where, goodbye_in, position_in, update_in
from wsdemo.feed import AT_A_TIME, Answer, Feed, News, read_position
from wsdemo.guard import Guard
from wsdemo.meter import Meter, MeteredSocket
from wsdemo.reader import Delivery, Reader
from wsdemo.returns import LEAST_SPREAD_S, Goodbye, told
from wsdemo.tasks import background
from wsdemo.transports.habits import streamed
from wsdemo.transports.http import Client, answer_position, http_server, reading, refuse_position
from wsdemo.workload import DEFAULT_PACE, Pace

RETRY_MS = 1000
"""How long a browser is told to wait at the least before it reconnects; see `retry_ms`."""
MAX_EVENT_CHARS = 1024 * 1024
"""The longest event that is read. Without a bound a stream that has no blank line would fill the memory."""


@asynccontextmanager
async def serve(feed: Feed, sock: MeteredSocket, guard: Guard, pace: Pace = DEFAULT_PACE) -> AsyncIterator[None]:
    """Stream every update at `/updates`, with `id: EPOCH-SEQ`, from where `Last-Event-ID` (or `after`) says.

    The first event, of type `position`, says where the feed stands and whether the reader's place was found. What a
    reader missed is written by its own task from the log, and what comes then by one loop for all, whose bytes are an
    event within a chunk (HTTP/1.1) or bare (HTTP/1.0). Where `pace` conflates, they are the events of all that time. A
    comment every `pace.comment_s` keeps the line open. Its plain form is built in the lesson `03_ask_smarter`, as
    `stream`.
    """

    def event(batch: Sequence[News]) -> bytes:
        return "".join(f"id: {feed.epoch}-{news.seq}\r\ndata: {news.text()}\r\n\r\n" for news in batch).encode()

    def chunk(batch: Sequence[News]) -> bytes:
        return b"%x\r\n%b\r\n" % (len(bare := event(batch)), bare)

    in_chunks, bare = Fanout(feed, sock, chunk), Fanout(feed, sock, event)

    async def updates(request: web.Request) -> web.StreamResponse:
        answer = _resume(feed, request)
        if isinstance(answer, web.Response):
            return answer
        stream = _Answer(sock.meter, pace)
        with sock.leaving.attending(stream.part):
            return await _stream(request, stream, feed, answer, in_chunks if request.version >= HttpVersion11 else bare)

    async with (
        background(in_chunks.publish(pace.at_most_every_s), bare.publish(pace.at_most_every_s)),
        http_server({"/updates": updates}, sock, guard, pace.answer_s),
    ):
        yield


class _Answer(EventSourceResponse):
    """The library's answer, whose comments come at even times and are counted."""

    def __init__(self, meter: Meter, pace: Pace):
        # The library has the system abort a connection on which nothing is acknowledged for so long.
        super().__init__(ping_interval=pace.comment_s, send_timeout=pace.answer_s)
        self.meter = meter
        self.goodbye: Goodbye | None = None

    def part(self, goodbye: Goodbye) -> None:
        """End the stream with this goodbye as its last event."""
        self.goodbye = goodbye
        self.stop_streaming()

    async def _ping(self) -> None:
        with suppress(ConnectionResetError, RuntimeError):  # the reader has left; or the answer is at its end
            async for _ in beats(self._ping_interval):
                try:
                    async with asyncio.timeout(self._send_timeout):
                        await self.write(b": ping\r\n\r\n")
                except TimeoutError:
                    self._abort_transport()
                    return
                self.meter.heartbeats += 1


async def _stream(
    request: web.Request, stream: _Answer, feed: Feed, answer: Answer, readers: Fanout
) -> web.StreamResponse:
    """Send a reader what it missed, waiting for it alone, and let it have what comes until it leaves or is cut off."""
    seq, transport = answer.before, request.transport
    response: web.StreamResponse = web.Response()  # for one who has left before the stream began, and hears nothing
    with suppress(ConnectionResetError, TimeoutError):  # readers leave, or stall until the library gives up
        await stream.prepare(request)
        response = stream
        async with stream:
            position = json.dumps(answer.position() | told(stream.meter))
            retry = retry_ms(stream.meter.spread_s())
            await stream.send(position, id=f"{feed.epoch}-{seq}", event="position", retry=retry)
            while answer.news and stream.goodbye is None:
                for number, news in enumerate(answer.news, 1):
                    await stream.send(news.text(), id=f"{feed.epoch}-{news.seq}")
                    seq = news.seq
                    if number % AT_A_TIME == 0:
                        await feed.give_way()
                answer = feed.since(seq)
            if transport is not None and stream.goodbye is None:
                readers.join(transport, answer.seq)  # no await since the last look: nothing can slip between
                try:
                    await stream.wait()
                finally:
                    readers.leave(transport)
            if (goodbye := stream.goodbye) is not None:
                stream.force_close()
                retry = retry_ms(goodbye.within_s)
                await stream.send(json.dumps(goodbye.message()), event="goodbye", retry=retry)
    return response


def retry_ms(spread_s: float) -> int:
    """Return how long to tell one browser to wait. It waits just so long, so that the jitter must come from here."""
    return RETRY_MS + (round(random.uniform(0, spread_s) * 1000) if spread_s > LEAST_SPREAD_S else 0)


def _resume(feed: Feed, request: web.Request) -> Answer | web.Response:
    """Return the feed's answer to `Last-Event-ID`, which is newer than what the address says, or to the address."""
    ids = request.headers.getall("Last-Event-ID", [])
    if len(ids) > 1:
        return refuse_position(feed, "Last-Event-ID may be given once, and here it is given again")
    if not any(ids):
        return answer_position(feed, request, in_parts=False)  # a stream gives way in between
    epoch, _, last = ids[0].rpartition("-")
    try:
        return feed.since(*read_position({"after": last, "epoch": epoch}))
    except ValueError:
        # A 400 would end a browser's EventSource for good. An id that is not from here leads nowhere, and that is said.
        return feed.since(0, "")


def hear(url: Where, reader: Reader | None = None) -> AsyncGenerator[Delivery]:
    """Listen at `url`; yield each update once, of one history, until cancelled.

    Reconnects with `Last-Event-ID` as a browser does. Raises `Unreachable` if nobody answers at first, `Refused`, with
    what came, if the answer is a no or not a feed's. Its plain form is built in the lesson `03_ask_smarter`, as
    `hear_events`.
    """
    reader, where = reader or Reader(), Addresses(url)
    return streamed(where, reader, _Events(where, reader))


class _Events:
    """The client's side: one answer after the other, each an event stream."""

    def __init__(self, addresses: Addresses, reader: Reader):
        self._addresses, self._reader = addresses, reader
        self._client: Client | None = None
        self._response: ClientResponse | None = None
        self._events: AsyncGenerator[dict[str, str]] | None = None

    async def open(self) -> Message:
        position, headers = self._reader.position(), {"Accept": "text/event-stream"}
        if self._reader.epoch is not None:
            position, headers["Last-Event-ID"] = {}, f"{self._reader.epoch}-{self._reader.seq}"
        # No limit on the whole answer, which never ends; two missing heartbeats mean that the server is gone.
        silence_s = 2 * self._reader.pace.comment_s
        limits = ClientTimeout(sock_connect=far_end.ANSWER_TIMEOUT_S, sock_read=silence_s)
        self._client = await Client(self._addresses, limits).__aenter__()
        try:
            async with asyncio.timeout(far_end.ANSWER_TIMEOUT_S):
                response = await self._client.get(position, headers, "text/event-stream")
        except TimeoutError as error:
            raise Trouble from error
        self._response, self._events = response, (events := read_events(response.content))
        with reading(response):
            async with asyncio.timeout(far_end.ANSWER_TIMEOUT_S):
                first = await anext(events, {"data": ""})
            if first.get("event") != "position":
                raise NotOurs(first["data"])
            return position_in(first["data"])

    async def news(self) -> Message:
        assert self._response is not None and self._events is not None
        with reading(self._response):
            async for event in self._events:
                if event.get("event") == "goodbye":
                    raise Trouble(goodbye=goodbye_in(event["data"]))
                if not event.get("event"):  # one with a type of its own is none of ours
                    return update_in(event["data"])
        raise Trouble

    async def close(self) -> None:
        client, response, events = self._client, self._response, self._events
        self._client = self._response = self._events = None
        if events is not None:
            await events.aclose()
        if response is not None:
            response.close()
        if client is not None:
            await client.__aexit__()


async def read_events(stream: StreamReader | AsyncIterable[bytes]) -> AsyncGenerator[dict[str, str]]:
    """Yield each event of a `text/event-stream` as its fields, such as {"id": …, "event": …, "data": …}.

    A line is `field: value`, a line that starts with a colon is a comment, a blank line ends the event, several `data`
    lines are one text, and an `id` stays until another comes. stream: its bytes, in pieces of any size. Raises
    ValueError for an event without an end. Source: WHATWG HTML, section 9.2.6. Its plain form is built in the lesson
    `03_ask_smarter`, as `parse`.
    """
    last_id: dict[str, str] = {}
    event: dict[str, str] = {}
    async with aclosing(_lines(stream)) as lines:
        async for line in lines:
            if not line:
                if "data" in event:
                    yield last_id | event
                event = {}
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data" and "data" in event:
                value = f"{event['data']}\n{value}"
            if len(value) > MAX_EVENT_CHARS:
                raise ValueError(f"an event is longer than {MAX_EVENT_CHARS} characters")
            if name == "id" and "\0" not in value:
                last_id = {"id": value}
            elif name in ("data", "event") or (name == "retry" and re.fullmatch("[0-9]+", value)):
                event[name] = value


async def _lines(stream: StreamReader | AsyncIterable[bytes]) -> AsyncGenerator[str]:
    """Yield the lines of a stream, which end in CR, LF or both; what is not UTF-8 in them is replaced by U+FFFD."""
    pieces = stream.iter_any() if isinstance(stream, StreamReader) else stream
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")  # sig: a byte order mark before all is let go
    rest, after_cr = "", False
    async for piece in pieces:
        text = decoder.decode(piece)
        if after_cr and text:
            text, after_cr = text.removeprefix("\n"), False  # the second half of a line end
        after_cr = after_cr or text.endswith("\r")
        *lines, rest = re.split("\r\n|\r|\n", rest + text)
        for line in lines:
            yield line
        if len(rest) > MAX_EVENT_CHARS:
            raise ValueError(f"a line is longer than {MAX_EVENT_CHARS} characters")
