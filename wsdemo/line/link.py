"""One connection through a line: a client's socket, the server's, and the two directions between them."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
from typing import Literal, Protocol

from wsdemo.line import proxy
from wsdemo.line.fault import Fault
from wsdemo.line.way import SINK_BYTES, Ended, Way

LINGER_S = 1.0
"""Who was told FIN may take so long to answer with its own, before the line forgets it."""
_LINGER_NOT = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
"""SO_LINGER with no time: closing sends RST."""


Kind = Literal["open", "cut", "idle", "refused", "unavailable", "nobody", "change", "begin", "over"]
"""What a line does, as it is counted. begin, over: of a fault that has a moment (`from_s`, `for_s`)."""


class Host(Protocol):
    """What a connection needs of its line."""

    present: Fault
    """What is wrong now."""
    since_s: float
    """Since when, on the clock of the event loop."""

    def note(self, kind: Kind, number: int, words: str) -> None: ...
    def passed(self, way: str, size: int) -> None: ...
    def connect(self, link: Link) -> None: ...
    def gone(self, link: Link) -> None: ...


class End(asyncio.Protocol):
    """One of a connection's two sockets. way: that into which it speaks; other: that from which it hears."""

    def __init__(self, link: Link, way: Way, other: Way):
        self._link, self._way, self._other = link, way, other
        self.transport: asyncio.Transport | None = None
        self._has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = self._way.source = transport
        transport.set_write_buffer_limits(high=SINK_BYTES)
        self._link.joined(self)

    def data_received(self, data: bytes) -> None:
        self._link.came(self._way, data)

    def eof_received(self) -> bool:
        self._has_ended = True
        return self._link.ended(self._way)

    def connection_lost(self, error: Exception | None) -> None:
        self._link.lost(self._way, "end" if error is None else "reset")

    def pause_writing(self) -> None:
        self._other.wait(True)

    def resume_writing(self) -> None:
        self._other.wait(False)

    def close(self, rst: bool) -> None:
        """Close at once, whatever has not been sent yet."""
        if self.transport is None:
            return
        if rst:
            sock = self.transport.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.transport.abort()

    def finish(self) -> None:
        """Say FIN behind what was sent, and read on to its answer: to close with unread bytes would send RST."""
        if self.transport is None or self.transport.is_closing():
            return
        if self._has_ended:
            self.transport.close()
        else:
            self.transport.write_eof()
            self.transport.resume_reading()


class Link:
    """One connection through a line. number: from 1, in the order in which they came."""

    def __init__(self, host: Host, number: int):
        self._host, self.number = host, number
        self._loop = asyncio.get_running_loop()
        chance = random.Random(f"jitter {host.present.seed}:{number}")
        self.up = Way(lambda what: self._deliver("up", self.server, what), chance.random)
        self.down = Way(lambda what: self._deliver("down", self.client, what), chance.random)
        self.client, self.server = End(self, self.up, self.down), End(self, self.down, self.up)
        self.fault = self._own()
        self._opened_s = self._heard_s = self._loop.time()
        self._bytes = 0
        self._head: bytearray | None = bytearray()  # None once it was decided whether this is let through
        self._holder = proxy.Holder()
        self._timer: asyncio.TimerHandle | None = None
        self._asked_to_connect = self.is_over = False
        self._open = 0
        self._ends = 0

    # --- what the sockets say -----------------------------------------------------------------------------------------

    def joined(self, end: End) -> None:
        self._open += 1
        if self.is_over:
            end.close(rst=True)
            return
        self.changed()
        if end is self.server:
            self.up.wait(False)

    def came(self, way: Way, data: bytes) -> None:
        if self.is_over:
            return
        self._heard_s = self._loop.time()
        if self._head is not None:
            self._head += data
            self._decide()
        else:
            way.came(data, self.fault)

    def ended(self, way: Way) -> bool:
        """Note that one end says no more; return whether its socket stays open for what it still hears."""
        if self.is_over or self._head is not None:
            return False
        way.ended("end", self.fault)
        return True

    def lost(self, way: Way, how: Ended) -> None:
        self._open -= 1
        if self._head is not None:
            self.end()
        elif not self.is_over:
            way.ended(how, self.fault)
        if not self._open:
            self._stop()
            self._host.gone(self)

    # --- what the line does -------------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Do what the present fault asks for."""
        if self.is_over:
            return
        self.fault = fault = self._own()
        if fault.unavailable_status is not None and self._head is None:
            self.cut(words="since nobody is behind the proxy")
        self._decide()
        if self.is_over:
            return
        self.up.vanish(fault.vanish in ("up", "both"))
        self.down.vanish(fault.vanish in ("down", "both"))
        if fault.hold_bytes is None and self._holder.holds:
            self._send("down", self.client, self._holder.rest())
        self._watch()

    def _own(self) -> Fault:
        """Return what is wrong for this connection."""
        fault = self._host.present
        return fault if fault.hits(self.number) else fault.steady

    def _decide(self) -> None:
        """Let the connection through, answer it in the server's place, or wait for its first request."""
        fault, head = self.fault, self._head
        if head is None or fault.vanish is not None or self.client.transport is None:
            return  # a handshake needs both directions
        if fault.upgrade_status is not None or fault.unavailable_status is not None:
            if not proxy.head_is_whole(head):
                return
            if (refused := proxy.refusal(head, fault)) is not None:
                self._answer("refused" if fault.unavailable_status is None else "unavailable", *refused)
                return
        if not self._asked_to_connect:
            self._asked_to_connect, self._head = True, None
            self.up.wait(True)  # until there is somebody to send to
            if head:
                self.up.came(bytes(head), fault)
            self._host.connect(self)

    def _answer(self, kind: Kind, words: str, answer: bytes) -> None:
        self._host.note(kind, self.number, words)
        self._head = None
        self.up.stop()
        self.down.came(answer, self.fault)
        self.down.ended("end", self.fault)

    def _deliver(self, way: str, to: End, what: bytes | Ended) -> None:
        if isinstance(what, bytes):
            self._send(way, to, what if way == "up" else self._held(what))
        elif what == "reset":
            self.end(rst=True)
        else:
            if way == "down":
                self._send(way, to, self._holder.rest())
            self._pass_end(to)

    def _held(self, data: bytes) -> bytes:
        """Return what a proxy lets through of an answer, now that this has come of it."""
        most = self.fault.hold_bytes
        if most is None:
            self._holder.passed(data)
            return data
        return self._holder.take(data, most)

    def _pass_end(self, to: End) -> None:
        self._ends += 1
        if self._ends == 2 or self.server.transport is None:
            self.end()
        elif to.transport is not None and not to.transport.is_closing():
            to.transport.write_eof()

    def _send(self, way: str, to: End, data: bytes) -> None:
        if not data or to.transport is None or to.transport.is_closing():
            return
        most = self.fault.cut_after_bytes
        room = len(data) if most is None else max(0, most - self._bytes)
        data = data[:room]
        if way == "up":
            self._holder.asked()
        self._bytes += len(data)
        self._host.passed(way, len(data))
        if data:
            to.transport.write(data)
        if most is not None and self._bytes >= most:
            self.cut(self.fault.rst, words=f"after {self._bytes} bytes")

    def cut(self, rst: bool = False, kind: Kind = "cut", words: str = "") -> None:
        """End this connection on both sides, and say so."""
        if not self.is_over:
            self.end(rst)
            self._host.note(kind, self.number, f"{words} by {'RST' if rst else 'FIN'}".strip())

    def end(self, rst: bool = False) -> None:
        """End this connection on both sides."""
        if self.is_over:
            return
        self.is_over = True
        self._stop()
        for end in (self.client, self.server):
            if rst:
                end.close(rst=True)
            else:
                end.finish()
        if not rst:
            self._timer = self._loop.call_later(LINGER_S, self.drop)

    def drop(self) -> None:
        """Close both sockets at once."""
        self.is_over = True
        self._stop()
        self.client.close(rst=False)
        self.server.close(rst=False)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.up.stop()
        self.down.stop()

    def _watch(self) -> None:
        """Cut when it is time to, by age or by silence."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        fault, since_s = self.fault, self._host.since_s
        ends: list[tuple[float, Kind]] = []
        if fault.cut_after_s is not None:
            ends.append((max(self._opened_s, since_s) + fault.cut_after_s, "cut"))
        if fault.idle_s is not None:
            ends.append((max(self._heard_s, since_s) + fault.idle_s, "idle"))
        if not ends:
            return
        at_s, kind = min(ends)
        if at_s <= self._loop.time():
            self.cut(fault.rst and kind == "cut", kind)
        else:
            self._timer = self._loop.call_at(at_s, self._watch)
