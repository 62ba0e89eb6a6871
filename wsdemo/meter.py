"""Bytes, requests and connections of a server, counted at its sockets: TCP payload, without TCP and IP headers.

A counter inside a library sees what the library chose to show. These sockets see every byte that goes in or out, for
every transport alike. Event loops that accept and read without asking the socket (uvloop's, and Windows' proactor,
on which a notebook's cells run there) are counted one step further in, between the loop and the library.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

from wsdemo import returns
from wsdemo.door import Door, Guest
from wsdemo.leaving import Leaving
from wsdemo.segments import segments

LASTING_PORTS = (20_000, 32_000)
"""Ports that no system gives to outgoing connections by default: Linux begins at 32,768, others at 49,152."""


class Counters(TypedDict):
    """What a `Meter` has counted; None for what the system does not count."""

    bytes_sent: int
    bytes_received: int
    connections: int
    open_now: int
    requests: int
    wasted: int
    aborted: int
    heartbeats: int
    segments_sent: int | None
    segments_received: int | None


@dataclass
class Meter:
    """One set of counters for one server, as the server sees it. bytes are TCP payload; open_now is a gauge.

    heartbeats: what was said only to keep a line open, pings and comments; a long poll's timeout is `wasted`.
    """

    bytes_sent: int = 0
    bytes_received: int = 0
    connections: int = 0
    open_now: int = 0
    requests: int = 0
    wasted: int = 0
    aborted: int = 0
    heartbeats: int = 0

    def __post_init__(self) -> None:
        self.arrivals = returns.Arrivals()
        self._open: set[socket.socket] = set()
        self._sent_by_closed, self._received_by_closed, self._has_segments = 0, 0, True

    def snapshot(self) -> Counters:
        """Return the counters as they are now, and `segments_sent` and `segments_received` of TCP.

        These are None where the system does not count them. What passes once a connection is closed here is in no
        counter: its last segments, three or four of them.
        """
        sent, received = self._sent_by_closed, self._received_by_closed
        for sock in self._open:
            if (count := segments(sock)) is None:
                self._has_segments = False
            else:
                sent, received = sent + count.sent, received + count.received
        known = self._has_segments and sys.platform == "linux"
        counters: Any = asdict(self)
        counters |= {"segments_sent": sent if known else None, "segments_received": received if known else None}
        whole: Counters = counters
        return whole

    def spread_s(self) -> float:
        """Return over how many seconds those who are connected should come back, if they all had to."""
        return returns.spread_s(self.open_now, self.arrivals.handshake_s)

    def opened(self, sock: socket.socket | None) -> None:
        """Count a connection; sock: its own, None where the event loop keeps that to itself."""
        self.arrivals.note(self.requests)
        self.connections += 1
        self.open_now += 1
        if sock is None:
            self._has_segments = False
        else:
            self._open.add(sock)

    def closes(self, sock: socket.socket | None) -> None:
        """Note that a connection, whose socket is open still, is about to be closed."""
        self.open_now -= 1
        if sock is None:
            return
        self._open.discard(sock)
        if (count := segments(sock)) is None:
            self._has_segments = False
        else:
            self._sent_by_closed += count.sent
            self._received_by_closed += count.received


class MeteredSocket(socket.socket):
    """A socket that counts. The sockets it accepts are metered too, and come by its door.

    asyncio's selector event loop calls `accept`, `send`, `sendmsg`, `recv` and `recv_into`, so servers that are
    measured run on one (`serve.new_event_loop`). For other loops see `_count_in_between`.
    """

    meter: Meter
    door: Door
    leaving: Leaving
    """Of a listening socket: how its readers are told that the server leaves."""
    on_full: Callable[[], None] | None = None
    """Called when the socket has not taken all that it was offered, so that nobody has to ask before each message."""
    _guest: Guest | None = None

    def accept(self) -> tuple[MeteredSocket, object]:
        fd, address = self.door.receive(self._accept)  # type: ignore[attr-defined] # what socket.accept itself calls
        accepted = MeteredSocket(self.family, self.type, self.proto, fileno=fd)
        accepted.meter = self.meter
        accepted.door = self.door
        accepted._guest = self.door.let_in(accepted)
        # As socket.accept does: without it an accepted socket would block.
        if socket.getdefaulttimeout() is None and self.gettimeout():
            accepted.setblocking(True)
        self.meter.opened(accepted)
        return accepted, address

    def place(self, transport: asyncio.BaseTransport | None) -> int:
        """Return the how-manieth a connection of this listening socket was when it came.

        Where the event loop does not ask the socket for connections, there is no more to know than how many are open.
        """
        return self.door.place(transport) or self.meter.open_now

    def accepted(self, transport: asyncio.BaseTransport) -> MeteredSocket | None:
        """Return the socket below a transport; None for one that did not come by this listening socket's `accept`."""
        sock = self.door.socket_of(transport)
        return sock if isinstance(sock, MeteredSocket) else None

    def close(self) -> None:
        self.on_full = None
        if self._guest is not None:
            self.door.let_out(self._guest)
            self._guest = None
            self.meter.closes(self)
        super().close()

    def send(self, data: Any, *flags: int) -> int:
        sent = 0
        try:
            sent = super().send(data, *flags)
        finally:  # also when nothing is taken for now
            self._count_sent(sent, len(data))
        return sent

    def sendmsg(self, buffers: Iterable[Any], *rest: Any) -> int:
        buffers, sent = list(buffers), 0
        try:
            sent = super().sendmsg(buffers, *rest)
        finally:
            self._count_sent(sent, sum(map(len, buffers)))
        return sent

    def recv(self, size: int, *flags: int) -> bytes:
        data = super().recv(size, *flags)
        self._count_received(data)
        return data

    def recv_into(self, buffer: Any, *rest: int) -> int:
        received = super().recv_into(buffer, *rest)
        self._count_received(memoryview(buffer)[:received])
        return received

    def _count_sent(self, sent: int, offered: int) -> None:
        self.meter.bytes_sent += sent
        if self._guest is not None:
            self._guest.took(sent, offered)
        if sent < offered and self.on_full is not None:
            self.on_full()

    def _count_received(self, data: bytes | memoryview) -> None:
        self.meter.bytes_received += len(data)
        if self._guest is not None:
            self._guest.said(data)


class _ListeningSocket(MeteredSocket):
    """The socket that `listen` returns. A loop that would leave it uncounted is told so, as soon as it takes it."""

    def fileno(self) -> int:
        loop = _running_loop()
        if loop is not None and not _asks_the_socket(loop) and not _is_counted_in_between(loop):
            raise RuntimeError(
                f"{type(loop).__module__}.{type(loop).__name__} reads sockets by itself, so nothing would be counted: "
                "call `listen` while that loop runs, or serve on a selector loop (`serve.new_event_loop`)"
            )
        return super().fileno()


def listen(meter: Meter, host: str = "127.0.0.1", port: int = 0) -> MeteredSocket:
    """Return a listening TCP socket whose connections `meter` counts. Port 0 lets the system choose a free one.

    Raises OSError with what to do next when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = _ListeningSocket(family, socket.SOCK_STREAM)
    sock.meter, sock.door, sock.leaving = meter, Door(), Leaving(meter.spread_s)
    if (loop := _running_loop()) is not None and not _asks_the_socket(loop) and not _is_counted_in_between(loop):
        _count_in_between(loop)
    if socket.has_ipv6 and family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows: its SO_REUSEADDR would let two servers share one port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise OSError(
            error.errno, f"cannot listen on {host} port {port} ({error.strerror}); choose another port, or 0 for any"
        ) from error
    sock.setblocking(False)
    return sock


_turns = itertools.count(random.Random().randrange(*LASTING_PORTS))


def lasting_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that are free, and stay so while nobody listens there.

    Port 0 gives one of those that outgoing connections have, too: while a server is away, any of them may take its
    port, even a reader of its own that tries to come back. The next free ones are given each time, from a place drawn
    once: of two processes that drew anew each time, one would soon draw what the other is about to listen at.
    """
    first, end = LASTING_PORTS
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            port = first + next(_turns) % (end - first)
            with contextlib.suppress(OSError):
                stack.enter_context(listen(Meter(), port=port))
                found.append(port)
        return found


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _asks_the_socket(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a loop accepts as asyncio's selector loop does: by calling the listening socket's own `accept`."""
    own = asyncio.SelectorEventLoop._accept_connection  # type: ignore[attr-defined] # there is no public sign of it
    return getattr(type(loop), "_accept_connection", None) is own


def _is_counted_in_between(loop: asyncio.AbstractEventLoop) -> bool:
    return isinstance(loop.create_server, _CreateServer)


def _count_in_between(loop: asyncio.AbstractEventLoop) -> None:
    """Let this loop put a counter before the protocol of each connection that comes to a socket of `listen`.

    All libraries serve through `create_server`, and all loops call protocols and hand them a transport: between these
    two every byte goes by, whoever reads it from the socket. bytes_sent are then those that the loop was given.
    """
    loop.create_server = _CreateServer(loop.create_server)  # type: ignore[assignment, method-assign]


class _CreateServer:
    """A loop's `create_server`, for which sockets of `listen` are counted in between."""

    def __init__(self, create_server: Callable[..., Any]):
        self._create_server = create_server

    async def __call__(self, factory: Callable[[], Any], *where: Any, **options: Any) -> Any:
        sock = options.get("sock")
        if not isinstance(sock, _ListeningSocket):
            return await self._create_server(factory, *where, **options)
        return await self._create_server(lambda: _CountedProtocol(factory(), sock.meter), *where, **options)


class _CountedProtocol(asyncio.Protocol):
    """Hands on to a library's protocol what the loop says, and counts what it brings."""

    def __init__(self, protocol: Any, meter: Meter):
        self._protocol, self._meter = protocol, meter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._meter.opened(None)
        self._protocol.connection_made(_CountedTransport(transport, self._meter))

    def connection_lost(self, exc: Exception | None) -> None:
        self._meter.closes(None)
        self._protocol.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._meter.bytes_received += len(data)
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        keep_open: bool | None = self._protocol.eof_received()
        return keep_open

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


class _CountedTransport:
    """A loop's transport, which counts what is written to it and is the same in all else."""

    def __init__(self, transport: Any, meter: Meter):
        self._transport, self._meter = transport, meter

    def write(self, data: Any) -> None:
        self._meter.bytes_sent += memoryview(data).nbytes
        self._transport.write(data)

    def writelines(self, pieces: Iterable[Any]) -> None:
        pieces = list(pieces)
        self._meter.bytes_sent += sum(memoryview(piece).nbytes for piece in pieces)
        self._transport.writelines(pieces)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
