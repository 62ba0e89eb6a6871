"""WebSocket push: one held connection a reader, and a message only when there is news (RFC 6455)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TypedDict
from urllib.parse import parse_qsl, urlencode, urlsplit
from weakref import WeakKeyDictionary

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State

from wsdemo.connection import MAX_BUFFERED_BYTES, Connection, websocket_server
from wsdemo.feed import AT_A_TIME, Feed, News, Position, read_position
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.reader import Attempts, Delivery, Reader, Refused
from wsdemo.tasks import background


class _Limits(TypedDict):
    compression: str | None
    max_size: int
    close_timeout: float


LIMITS: _Limits = {"compression": None, "max_size": 64 * 1024, "close_timeout": 1}
"""For both sides: bytes a message, and seconds that a closing handshake may take."""
CATCH_UP_S = 30
"""How long a reader may take for what it missed before it is cut off; it resumes with what it got."""


@asynccontextmanager
async def serve(feed: Feed, sock: MeteredSocket, guard: Guard) -> AsyncIterator[None]:
    """Push each update to every reader of `/updates?after=SEQ&epoch=E`, one JSON message an update.

    The first message is the feed's position. A reader with `after` gets what it missed first; a new one starts at
    the newest. Built in the lesson `05_push_the_news`.
    """
    push = Push(feed, sock, guard)
    async with (
        background(push.publish()),
        websocket_server(push.attend, push.check, sock, guard, **LIMITS),
    ):
        yield


class Push:
    """The server side for one feed. readers: each reader that is up to date, and the last seq written to it.

    A reader for whom more than MAX_BUFFERED_BYTES would wait is cut off, and resumes.
    """

    def __init__(self, feed: Feed, sock: MeteredSocket, guard: Guard):
        self.readers: dict[ServerConnection, int] = {}
        # Weak, since a handshake that fails after the check is never attended.
        self._positions: WeakKeyDictionary[ServerConnection, Position] = WeakKeyDictionary()
        self._feed, self._meter, self._guard = feed, sock.meter, guard

    def check(self, connection: Connection, request: Request) -> Response | None:
        """Answer what is not to become a connection; note the position of what may."""
        self._meter.requests += 1
        try:
            address = urlsplit(request.path)
            if (refusal := self._guard.refusal(request.headers, connection.place)) is not None:
                return connection.respond(HTTPStatus(refusal.status), refusal.reason + "\n")
            position = read_position(dict(parse_qsl(address.query, keep_blank_values=True)))
        # What is no address; a bad position; Host or Origin given twice.
        except (ValueError, websockets.MultipleValuesError) as error:
            return connection.respond(HTTPStatus.BAD_REQUEST, f"{error}\n")
        if address.path != "/updates":
            return connection.respond(HTTPStatus.NOT_FOUND, "The stream of updates is at /updates.\n")
        self._positions[connection] = position
        return None

    async def attend(self, connection: ServerConnection) -> None:
        """Serve one reader until it leaves or is cut off."""
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await self._catch_up(connection)
            async for _ in connection:
                pass  # this stream only speaks; reading on lets pings and the closing handshake through
        except websockets.ConnectionClosed:
            pass  # readers leave as they like; that is no error of the server
        except TimeoutError:
            connection.transport.abort()
        finally:
            self.readers.pop(connection, None)

    async def _catch_up(self, connection: ServerConnection) -> None:
        """Send what this reader missed, waiting for it alone, so that a long log needs no large buffer."""
        answer = self._feed.since(*self._positions[connection])
        seq = answer.seq - len(answer.news)
        await connection.send(json.dumps(answer.position()))
        while answer.news:
            for number, news in enumerate(answer.news, 1):
                await connection.send(news.text())
                seq = news.seq
                if number % AT_A_TIME == 0:  # while the socket takes all, `send` does not wait
                    await self._feed.give_way()
            answer = self._feed.since(seq)
        self.readers[connection] = seq  # no await since the last look at the feed: nothing can slip between

    async def publish(self) -> None:
        """For ever: write what is new to all readers."""
        seq = self._feed.seq
        while await self._feed.wait(seq):
            for news in self._feed.since(seq).news:
                self._broadcast(news)
                seq = news.seq
                # After a stall of this process there is a backlog: let the sockets take each update before the next.
                await asyncio.sleep(0)

    def _broadcast(self, news: News) -> None:
        """Write one update to every reader that lacks it: serialised once, and never waiting for the slowest."""
        frame = Frame(Opcode.TEXT, news.text().encode()).serialize(mask=False)
        for connection, position in self.readers.items():
            # An aborted transport keeps its state OPEN until the event loop has told the connection.
            if position >= news.seq or connection.state is not State.OPEN or connection.transport.is_closing():
                continue
            if connection.transport.get_write_buffer_size() > MAX_BUFFERED_BYTES:
                self._meter.aborted += 1
                connection.transport.abort()
                continue
            connection.transport.write(frame)
            self.readers[connection] = news.seq


async def hear(url: str, reader: Reader | None = None) -> AsyncGenerator[Delivery]:
    """Subscribe at `url` (such as "ws://127.0.0.1:8000/updates"); yield each update once, until cancelled.

    A connection that breaks is made again after growing, jittered waits, and resumes where it broke off. Raises
    `Unreachable` if nobody answers at first, `Refused` when the server says no. Built in `05_push_the_news`.
    """
    reader = reader or Reader()
    attempts = Attempts(url, reader)
    while True:
        reader.asks().wasted = False  # the answer to this one request is the whole stream
        try:
            # proxy=None: the library would otherwise send even loopback traffic through HTTP_PROXY.
            async with connect(f"{url}?{urlencode(reader.position())}", proxy=None, **LIMITS) as connection:
                reader.place(json.loads(await connection.recv()))
                await reader.opened()
                attempts.succeeded()
                async for text in connection:
                    if (delivery := reader.take(json.loads(text))) is not None:
                        yield delivery
        except websockets.InvalidStatus as error:
            raise Refused(error.response.status_code, error.response.body.decode().strip()) from error
        except (OSError, websockets.WebSocketException) as error:
            attempts.failed(error)
        await attempts.wait()
