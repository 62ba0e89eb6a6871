"""WebSocket push: one held connection a reader, and a message only when there is news (RFC 6455)."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, TypedDict, TypeVar
from urllib.parse import parse_qsl, urlsplit
from weakref import WeakKeyDictionary

import websockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State

from wsdemo import far_end
from wsdemo.connection import Connection, websocket_server
from wsdemo.fanout import Fanout
from wsdemo.far_end import Addresses, Message, NotOurs, Reply, Trouble, Where, position_in, updates_in
from wsdemo.feed import AT_A_TIME, MAX_MESSAGE_BYTES, Feed, News, Position, read_position
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.reader import Delivery, Reader
from wsdemo.returns import RETRY_AFTER_S, Goodbye, told
from wsdemo.tasks import background
from wsdemo.transports.habits import streamed
from wsdemo.workload import DEFAULT_PACE, Pace

T = TypeVar("T")


class _Limits(TypedDict):
    compression: str | None
    max_size: int
    close_timeout: float


LIMITS: _Limits = {"compression": None, "max_size": MAX_MESSAGE_BYTES, "close_timeout": 1}
"""For both sides: bytes a message, and seconds that a closing handshake may take."""
SILENCE = 1.25
"""After so many periods of a server's pings a client asks a silent far end whether it is there."""
CATCH_UP_S = 30
"""How long a reader may take for what it missed before it is cut off; it resumes with what it got."""


@asynccontextmanager
async def serve(feed: Feed, sock: MeteredSocket, guard: Guard, pace: Pace = DEFAULT_PACE) -> AsyncIterator[None]:
    """Push each update to every reader of `/updates?after=SEQ&epoch=E`, one JSON message an update.

    The first message is the feed's position. A reader with `after` gets what it missed first; a new one starts at
    the newest. Where `pace` conflates, a message that holds several updates is a list of them. A ping every
    `pace.ping_s` keeps the line open. Built in the lesson `05_push_the_news`.
    """
    push = Push(feed, sock, guard)
    async with (
        background(push.readers.publish(pace.at_most_every_s)),
        websocket_server(push.attend, push.check, sock, guard, keepalive_s=pace.answer_s, ping_s=pace.ping_s, **LIMITS),
    ):
        yield


class Push:
    """The server side for one feed. readers: all who are up to date."""

    def __init__(self, feed: Feed, sock: MeteredSocket, guard: Guard):
        self.readers = Fanout(feed, sock, _frame)
        # Weak, since a handshake that fails after the check is never attended.
        self._positions: WeakKeyDictionary[Connection, Position] = WeakKeyDictionary()
        self._feed, self._meter, self._guard = feed, sock.meter, guard

    def check(self, connection: Connection, request: Request) -> Response | None:
        """Answer what is not to become a connection; note the position of what may."""
        self._meter.requests += 1
        try:
            address = urlsplit(request.path)
            if (refusal := self._guard.refusal(request.headers, connection.place)) is not None:
                answer = connection.respond(HTTPStatus(refusal.status), refusal.reason + "\n")
                if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
                    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
                return answer
            position = read_position(parse_qsl(address.query, keep_blank_values=True))
        except ValueError as error:  # also: what is no address
            return connection.respond(HTTPStatus.BAD_REQUEST, f"{error}\n")
        if address.path != "/updates":
            return connection.respond(HTTPStatus.NOT_FOUND, "The stream of updates is at /updates.\n")
        self._positions[connection] = position
        return None

    async def attend(self, connection: Connection) -> None:
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
            self.readers.leave(connection.transport)

    async def _catch_up(self, connection: Connection) -> None:
        """Send what this reader missed, waiting for it alone, so that a long log needs no large buffer."""
        answer = self._feed.since(*self._positions[connection])
        seq = answer.seq
        await connection.send(json.dumps(answer.position() | told(self._meter)))
        while answer.news:
            for number, news in enumerate(answer.news, 1):
                await connection.send(news.text())
                seq = news.seq
                if number % AT_A_TIME == 0:  # while the socket takes all, `send` does not wait
                    await self._feed.give_way()
            answer = self._feed.since(seq)
        if connection.state is State.OPEN:
            connection.on_goodbye = partial(self.readers.leave, connection.transport)
            self.readers.join(connection.transport, seq)  # no await since the last look: nothing can slip between


def _frame(batch: Sequence[News]) -> bytes:
    """Return the one message of a batch, made once for all its readers: an update, or a list of them (conflation)."""
    text = batch[0].text() if len(batch) == 1 else f"[{', '.join(news.text() for news in batch)}]"
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


def hear(url: Where, reader: Reader | None = None) -> AsyncGenerator[Delivery]:
    """Subscribe at `url` (such as "ws://127.0.0.1:8000/updates"); yield each update once, of one history.

    A connection that breaks is made again after growing, jittered waits, and resumes where it broke off. Raises
    `Unreachable` if nobody answers at first, `Refused`, with what came, if the answer is a no or not a feed's. Who
    leaves says goodbye (close code 1000). Built in `05_push_the_news`.
    """
    reader, where = reader or Reader(), Addresses(url)
    return streamed(where, reader, _Subscription(where, reader))


class _Subscription:
    """The client's side: one connection after the other."""

    def __init__(self, addresses: Addresses, reader: Reader):
        self._addresses, self._reader = addresses, reader
        self._connection: ClientConnection | None = None
        self._waiting: deque[Message] = deque()

    async def open(self) -> Message:
        self._waiting.clear()  # of a connection that broke: the reader resumes behind what it took
        position, ping_s = self._reader.position(), self._reader.pace.ping_s
        self._connection = await far_end.follow(
            self._addresses.current, lambda place: _open(far_end.address(place, position), ping_s)
        )
        try:
            async with asyncio.timeout(far_end.ANSWER_TIMEOUT_S):
                return await self._read(position_in)
        except TimeoutError as error:
            raise Trouble(Reply(101, "a WebSocket")) from error

    async def news(self) -> Message:
        while not self._waiting:
            self._waiting.extend(await self._read(updates_in))
        return self._waiting.popleft()

    async def _read(self, kind: Callable[[str | bytes], T]) -> T:
        assert self._connection is not None
        try:
            return kind(await self._connection.recv())
        except NotOurs as error:
            raise Trouble(Reply(101, "a WebSocket message", error.body)) from error
        except (OSError, websockets.WebSocketException) as error:
            raise Trouble(Reply(101, "a WebSocket", str(error).encode()), _goodbye(error)) from error

    async def close(self) -> None:
        # Not left to the library's `async with`, which calls leaving within its block an internal error (1011).
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close()
            except asyncio.CancelledError:  # no patience for the answer; the goodbye is on its way
                connection.transport.abort()
                raise


def _goodbye(error: Exception) -> Goodbye | None:
    """Return what the far end said as it left, None where it said nothing."""
    said = error.rcvd if isinstance(error, websockets.ConnectionClosed) else None
    return Goodbye.read(said.code, said.reason) if said is not None else None


async def _open(address: str, ping_s: float) -> ClientConnection:
    caller: Any = partial(_Caller, ping_s)  # to the library any callable will do
    try:
        # proxy=None: the library would otherwise send even loopback traffic through HTTP_PROXY.
        return await connect(
            address, proxy=None, create_connection=caller, open_timeout=far_end.ANSWER_TIMEOUT_S, **LIMITS
        )
    except (OSError, websockets.WebSocketException) as error:
        raise Trouble from error


class _Caller(ClientConnection):
    """The client's side of a connection. It keeps the beginning of an answer that turns out to be no handshake.

    The library shows such an answer only once it has all of it, which for a stream is never.
    """

    _came = b""
    _heard_s = -math.inf

    def __init__(self, ping_s: float, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._ping_s = ping_s

    async def keepalive(self) -> None:
        """Ping only a far end that has long been silent. One that pings, as ours do, need not be asked if it is there.

        So a held line costs what its server says, and no more; browsers do not ping either. A far end from which
        nothing has come for two periods is gone.
        """
        while True:
            # How long it will be, bytes decide, and they wake nobody.
            while (rest_s := self._heard_s + SILENCE * self._ping_s - time.monotonic()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(rest_s)
            await self.ping()
            asked_s = time.monotonic()
            await asyncio.sleep((2 - SILENCE) * self._ping_s)
            if self._heard_s < asked_s:
                self.transport.abort()
                return

    async def handshake(self, *arguments: Any, **options: Any) -> None:
        try:
            await super().handshake(*arguments, **options)
        except websockets.InvalidStatus as error:
            answer = error.response
            raise Trouble(
                Reply.of(answer.status_code, answer.headers.raw_items(), bytes(answer.body or b""))
            ) from error
        except websockets.WebSocketException as error:
            raise Trouble(_read_head(self._came) if self._came else None) from error

    def data_received(self, data: bytes) -> None:
        self._heard_s = time.monotonic()
        if self.response is None and len(self._came) < far_end.WORDS_BYTES:
            had_head = b"\r\n\r\n" in self._came
            self._came += data
            if not had_head and b"\r\n\r\n" in self._came and _read_head(self._came).status != 101:
                self.loop.call_later(far_end.WORDS_S, self._hang_up)
        super().data_received(data)

    def _hang_up(self) -> None:
        if self.response is None:
            self.transport.abort()


def _read_head(came: bytes) -> Reply:
    """Return what these first bytes of an answer are."""
    head, _, body = came.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    protocol, _, rest = first.partition(" ")
    if not (protocol.startswith("HTTP/") and rest[:3].isdecimal()):
        return Reply(0, body=came)
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    if ("transfer-encoding", "chunked") in [(name.lower(), value.lower()) for name, value in headers]:
        body = body.partition(b"\r\n")[2]  # without the first chunk's size
    return Reply.of(int(rest[:3]), headers, body)
