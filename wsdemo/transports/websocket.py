"""WebSocket push: one held connection a reader, and a message only when there is news (RFC 6455)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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

LIMITS = {"compression": None, "max_size": 64 * 1024, "close_timeout": 1}
"""For both sides: bytes a message, and seconds that a closing handshake may take."""
MAX_BUFFERED_BYTES = 256 * 1024
"""What may wait for one reader in the server's memory. A reader that falls further behind is cut off and resumes."""
CATCH_UP_S = 30
"""How long a reader may take for what it missed before it is cut off; it resumes with what it got."""


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
        try:
            if (refusal := guard.refusal(request.headers, sock.meter.open_now)) is not None:
                return connection.respond(HTTPStatus(refusal.status), refusal.reason + "\n")
            connection.position = read_position(dict(parse_qsl(address.query, keep_blank_values=True)))
        except (ValueError, websockets.MultipleValuesError) as error:  # a bad position; Host or Origin given twice
            return connection.respond(HTTPStatus.BAD_REQUEST, f"{error}\n")
        if address.path != "/updates":
            return connection.respond(HTTPStatus.NOT_FOUND, "The stream of updates is at /updates.\n")
        return None

    async def attend(connection: ServerConnection) -> None:
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await catch_up(connection)
            async for _ in connection:
                pass  # this stream only speaks; reading on lets pings and the closing handshake through
        except websockets.ConnectionClosed:
            pass  # readers leave as they like; that is no error of the server
        except TimeoutError:
            connection.transport.abort()
        finally:
            readers.pop(connection, None)

    async def catch_up(connection: ServerConnection) -> None:
        """Send what this reader missed, waiting for it alone, so that a long log needs no large buffer."""
        answer = feed.since(*connection.position)
        seq = answer.seq - len(answer.news)
        await connection.send(json.dumps(answer.position()))
        while answer.news:
            for news in answer.news:
                await connection.send(news.text())
                seq = news.seq
            answer = feed.since(seq)
        readers[connection] = seq  # no await since the last look at the feed: nothing can slip between

    async def publish() -> None:
        seq = feed.seq
        while await feed.wait(seq):
            for news in feed.since(seq).news:
                _broadcast(news, readers, sock)
                seq = news.seq
                # After a stall of this process there is a backlog: let the sockets take each update before the next.
                await asyncio.sleep(0)

    async with background(publish()), serve_websocket(attend, sock=sock, process_request=check, backlog=1024, **LIMITS):
        yield


def _broadcast(news: News, readers: dict[ServerConnection, int], sock: MeteredSocket) -> None:
    """Write one update to every reader that lacks it: serialised once, and never waiting for the slowest."""
    frame = Frame(Opcode.TEXT, news.text().encode()).serialize(mask=False)
    for connection, position in readers.items():
        # An aborted transport keeps its state OPEN until the event loop has told the connection.
        if position >= news.seq or connection.state is not State.OPEN or connection.transport.is_closing():
            continue
        if connection.transport.get_write_buffer_size() > MAX_BUFFERED_BYTES:
            sock.meter.aborted += 1
            connection.transport.abort()
            continue
        connection.transport.write(frame)
        readers[connection] = news.seq


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
            async with connect(f"{url}?{urlencode(reader.position())}", proxy=None, **LIMITS) as connection:
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
