"""WebSocket connections to strangers, for every server of ours: they wait for nobody for ever, and grow for nobody.

The library's own limits do not help against a client that talks and never listens. Its pings and its goodbye wait
until what was written before is taken, and what it writes by itself, a pong for each ping, waits for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.protocol import State

from wsdemo.beats import beats
from wsdemo.fanout import MAX_BUFFERED_BYTES
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.returns import Goodbye

OPEN_TIMEOUT_S, KEEPALIVE_S = 5.0, 20.0


class Connection(ServerConnection):
    """The library's connection, but one that does not wait for ever for a client that does not listen.

    listening: the socket by which it came; open_ones: the set it belongs to while it is open; patience_s: how long it
    may be that more than the library's 32 KiB wait to be taken; place: see `MeteredSocket.place`; on_goodbye: called
    once no more messages may follow, because either side has said goodbye.
    """

    def __init__(
        self, listening: MeteredSocket, open_ones: set[Connection], patience_s: float, *arguments: Any, **options: Any
    ):
        super().__init__(*arguments, **options)
        self.place = 0
        self.on_goodbye: Callable[[], None] | None = None
        self._tail, self._has_head = b"", False
        self._early: bytearray | None = bytearray()  # what came behind the request, None once that is answered
        self._listening, self._open_ones, self._patience_s = listening, open_ones, patience_s
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._open_ones.add(self)
        self.place = self._listening.place(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_ones.discard(self)
        self._be_patient()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._end = asyncio.get_running_loop().call_later(self._patience_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._be_patient()
        super().resume_writing()

    def send_data(self) -> None:
        # The library writes whatever it has to say by this, its goodbye, too.
        super().send_data()
        if self.on_goodbye is not None and self.protocol.state is not State.OPEN:
            self.on_goodbye()

    async def handshake(self, *arguments: Any, **options: Any) -> None:
        await super().handshake(*arguments, **options)
        early, self._early = self._early, None
        if early and self.state is State.OPEN:
            self.data_received(bytes(early))

    async def keepalive(self) -> None:
        """Do as the library does, but at even times, and count."""
        assert self.ping_interval is not None
        async for _ in beats(self.ping_interval):
            pong = await self.ping()
            self._listening.meter.heartbeats += 1
            try:
                async with asyncio.timeout(self.ping_timeout):
                    await pong
            except TimeoutError:
                async with self.send_context():
                    self.protocol.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")

    def data_received(self, data: bytes) -> None:
        super().data_received(data if self._early is None else self._until_the_head_ends(data))
        if self.transport.get_write_buffer_size() + len(self._early or b"") > MAX_BUFFERED_BYTES:
            self.transport.abort()

    def _until_the_head_ends(self, data: bytes) -> bytes:
        """Return what of this belongs to the request, and keep the rest until it has its answer.

        The library reads frames from what follows at once, answers them before the request, and fails within itself if
        it was a second request.
        """
        assert self._early is not None
        if self._has_head:
            self._early += data
            return b""
        lines = self._tail + data
        _, blank_line, after = lines.partition(b"\r\n\r\n")
        self._tail, self._has_head = lines[-3:], bool(blank_line)
        self._early += after
        return data[: len(data) - len(after)]

    def _be_patient(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None


@asynccontextmanager
async def websocket_server(
    attend: Callable[[Any], Awaitable[None]],
    check: Callable[[Connection, Request], Response | None],
    sock: MeteredSocket,
    guard: Guard,
    *,
    open_timeout_s: float = OPEN_TIMEOUT_S,
    keepalive_s: float = KEEPALIVE_S,
    ping_s: float | None = None,
    **options: Any,
) -> AsyncIterator[None]:
    """Serve WebSockets on `sock` while the body runs; say goodbye with code 1001 at its end, with 1012 as it drains.

    attend, check: the library's handler and `process_request`; open_timeout_s: how long a handshake may take;
    keepalive_s: seconds between pings, and how long a client may take to answer one, or to take what is said to it;
    ping_s: seconds between pings, if not that patience; options: others of the library's `serve`.
    """
    open_ones: set[Connection] = set()
    sock.door.keep(guard, open_timeout_s, keepalive_s)
    connection: Any = partial(Connection, sock, open_ones, keepalive_s)  # to the library any callable will do
    checked: Any = check  # all its connections are ours
    async with serve_websocket(
        _attending(attend, sock),
        sock=sock,
        process_request=checked,
        create_connection=connection,
        backlog=1024,
        open_timeout=open_timeout_s,
        ping_interval=ping_s or keepalive_s,
        ping_timeout=keepalive_s,
        **options,
    ) as server:
        sock.leaving.stop_listening = server.server.close
        try:
            yield
        finally:
            await sock.leaving.stop()
            _drop_the_mute(open_ones)


def _attending(attend: Callable[[Any], Awaitable[None]], sock: MeteredSocket) -> Callable[[Any], Awaitable[None]]:
    """Return the handler that also has each reader told when the server leaves."""

    async def attended(connection: Any) -> None:
        with sock.leaving.attending(partial(_say_goodbye, connection)):
            await attend(connection)

    return attended


def _drop_the_mute(open_ones: set[Connection]) -> None:
    """Abort whom the library would wait for: those that never asked, such as the spare connections that browsers keep,
    and those that do not read what was said to them.
    """
    for connection in list(open_ones):
        if connection.request is None or connection.transport.get_write_buffer_size():
            connection.transport.abort()


async def _say_goodbye(connection: Connection, goodbye: Goodbye) -> None:
    await connection.close(goodbye.code, goodbye.reason)
