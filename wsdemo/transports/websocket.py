"""WebSocket push: one held connection a reader, and a message only when there is news (RFC 6455)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urlsplit

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import Request, Response, ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from wsdemo.feed import Feed, News, read_position
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.reader import Delivery, Reader, Refused, Unreachable, pause
from wsdemo.tasks import background

MAX_MESSAGE_BYTES = 64 * 1024
MAX_BUFFERED_BYTES = 256 * 1024
"""What may wait for one reader in the server's memory. A reader that falls further behind is cut off and resumes."""


@asynccontextmanager
async def serve(feed: Feed, sock: MeteredSocket, guard: Guard) -> AsyncIterator[None]:
    """Push each update to every reader of `/updates?after=SEQ&epoch=E`, one JSON message an update.

    The first message is the feed's position. A reader with `after` gets what it missed first; a new one starts at
    the newest. Built in the lesson `05_push_the_news`.
    """
    readers: dict[ServerConnection, int] = {}  # each reader, and the seq of the last update written to it

    def check(connection: ServerConnection, request: Request) -> Response | None:
        sock.meter.requests += 1
        address = urlsplit(request.path)
        if (refusal := guard.refusal(dict(request.headers.raw_items()), sock.meter.open_now)) is not None:
            return connection.respond(HTTPStatus(refusal.status), refusal.reason + "\n")
        if address.path != "/updates":
            return connection.respond(HTTPStatus.NOT_FOUND, "The stream of updates is at /updates.\n")
        try:
            connection.position = read_position(dict(parse_qsl(address.query)))
        except ValueError as error:
            return connection.respond(HTTPStatus.BAD_REQUEST, f"{error}\n")
        return None

    async def attend(connection: ServerConnection) -> None:
        with suppress(websockets.ConnectionClosed):  # readers leave as they like; that is no error of the server
            await follow(connection)

    async def follow(connection: ServerConnection) -> None:
        answer = feed.since(*connection.position)
        position = answer.seq - len(answer.news)
        await connection.send(json.dumps(answer.position()))
        while answer.news:
            # Catching up waits for this reader alone, so a long log needs no large buffer.
            for news in answer.news:
                await connection.send(_text(news))
                position = news.seq
            answer = feed.since(position)
        readers[connection] = position  # no await since the last look at the feed: nothing can slip between
        try:
            async for _ in connection:
                pass  # this stream only speaks; reading on lets pings and the closing handshake through
        finally:
            del readers[connection]

    async def publish() -> None:
        seq = feed.seq
        while True:
            await feed.wait(seq)
            for news in feed.since(seq).news:
                _broadcast(news, readers, sock)
                seq = news.seq

    async with (
        background(publish()),
        serve_websocket(attend, sock=sock, process_request=check, compression=None, max_size=MAX_MESSAGE_BYTES,
                        close_timeout=1, backlog=1024),
    ):
        yield


def _broadcast(news: News, readers: dict[ServerConnection, int], sock: MeteredSocket) -> None:
    """Write one update to every reader that lacks it: serialised once, and never waiting for the slowest."""
    frame = Frame(Opcode.TEXT, _text(news).encode()).serialize(mask=False)
    for connection, position in readers.items():
        if position >= news.seq or connection.state is not State.OPEN:
            continue
        if connection.transport.get_write_buffer_size() > MAX_BUFFERED_BYTES:
            sock.meter.aborted += 1
            connection.transport.abort()
            continue
        connection.transport.write(frame)
        readers[connection] = news.seq


def _text(news: News) -> str:
    return json.dumps(news.message())


async def hear(url: str, reader: Reader | None = None) -> AsyncIterator[Delivery]:
    """Subscribe at `url` (such as "ws://127.0.0.1:8000/updates"); yield each update once, until cancelled.

    A connection that breaks is made again after growing, jittered waits, and resumes where it broke off. Raises
    `Unreachable` if nobody answers at first, `Refused` when the server says no. Built in `05_push_the_news`.
    """
    reader = reader or Reader()
    attempt = 0
    while True:
        reader.asks().wasted = False  # the answer to this one request is the whole stream
        try:
            # proxy=None: the library would otherwise send even loopback traffic through HTTP_PROXY.
            address = f"{url}?{urlencode(reader.position())}"
            async with connect(address, proxy=None, compression=None, max_size=MAX_MESSAGE_BYTES) as connection:
                reader.place(json.loads(await connection.recv()))
                await reader.opened()
                attempt = 0
                async for text in connection:
                    if (delivery := reader.take(json.loads(text))) is not None:
                        yield delivery
        except websockets.InvalidStatus as error:
            raise Refused(error.response.status_code, error.response.body.decode().strip()) from error
        except (OSError, websockets.WebSocketException) as error:
            if not reader.is_open.is_set():
                raise Unreachable(url, error) from error
            reader.failures += 1
        await pause(attempt)
        attempt += 1


