"""Bytes, requests and connections of a server, counted at its sockets: TCP payload, without TCP and IP headers.

A counter inside a library sees what the library chose to show. These sockets see every byte that goes in or out, for
every transport alike.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from wsdemo.door import Door, Guest


@dataclass
class Meter:
    """One set of counters for one server, as the server sees it. bytes are TCP payload; open_now is a gauge."""

    bytes_sent: int = 0
    bytes_received: int = 0
    connections: int = 0
    open_now: int = 0
    requests: int = 0
    wasted: int = 0
    aborted: int = 0

    def snapshot(self) -> dict[str, int]:
        """Return the counters as they are now."""
        return asdict(self)


class MeteredSocket(socket.socket):
    """A socket that counts. The sockets it accepts are metered too, and come by its door.

    asyncio's selector event loop calls `send`, `sendmsg`, `recv` and `recv_into`; Windows' proactor loop bypasses
    them, which is why servers here always run on a selector loop (`serve.new_event_loop`).
    """

    meter: Meter
    door: Door
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
        self.meter.connections += 1
        self.meter.open_now += 1
        return accepted, address

    def place(self, transport: asyncio.BaseTransport | None) -> int:
        """Return the how-manieth a connection of this listening socket was when it came.

        Where the event loop does not ask the socket for connections, there is no more to know than how many are open.
        """
        return self.door.place(transport) or self.meter.open_now

    def close(self) -> None:
        if self._guest is not None:
            self.door.let_out(self._guest)
            self._guest = None
            self.meter.open_now -= 1
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

    def _count_received(self, data: bytes | memoryview) -> None:
        self.meter.bytes_received += len(data)
        if self._guest is not None:
            self._guest.said(data)


def listen(meter: Meter, host: str = "127.0.0.1", port: int = 0) -> MeteredSocket:
    """Return a listening TCP socket whose connections `meter` counts. Port 0 lets the system choose a free one.

    Raises OSError with what to do next when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = MeteredSocket(family, socket.SOCK_STREAM)
    sock.meter, sock.door = meter, Door()
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
