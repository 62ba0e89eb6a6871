"""The door of a listening socket: how many connections it lets in, and which of them must go.

It stands where connections are accepted, before any library, so that it is the same for every server, and whoever has
not asked for anything has cost a descriptor and nothing else. Who must go has the socket shut down under it; a library
takes that for a peer that has left, and cleans up.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import json
import os
import socket
import time
from collections.abc import Callable, Iterator

from wsdemo.guard import Guard
from wsdemo.returns import RETRY_AFTER_S

SILENCE_S = 5.0
"""How long a new connection may take for the head of its first request."""
PATIENCE_S = 20.0
STEP_BYTES = 16 * 1024
"""Of what waits for it a connection must take all, or so many bytes, within this patience."""
HASTE_S = 1.0
"""When room is short, whoever has been here for so long and has not said a word makes room."""
QUIET_S = 30.0
"""When room is short and everybody has spoken, that one makes room on whose line nothing has moved for so long.

It was kept for a next question, which can as well come by a new connection. Whoever waits for news is not meant: before
this time is over a long poll ends, a stream has its heartbeat and a WebSocket its ping.
"""
LOBBY = 8
"""How many are let in beyond the bound, so that the server can say itself that it is full."""

_AT_ONCE = 64
_OUT_OF_FILES = (errno.EMFILE, errno.ENFILE)


class Guest:
    """What the door knows of one connection, told by its socket. place: the how-manieth it was when it came.

    Moments are of `time.monotonic()`. stuck_s: since when something waits that it does not take, None if nothing does.
    """

    __slots__ = ("_door", "_tail", "_taken", "has_asked", "moved_s", "place", "since_s", "sock", "stuck_s")

    def __init__(self, sock: socket.socket, place: int, door: Door):
        self.sock, self.place, self._door = sock, place, door
        self.since_s = self.moved_s = time.monotonic()
        self.stuck_s: float | None = None
        self.has_asked = False
        self._tail = b""
        self._taken = 0

    def said(self, data: bytes | memoryview) -> None:
        """Note what came from it. The blank line ends the head of its request (RFC 9112, section 2.1)."""
        self.moved_s = time.monotonic()
        if not self.has_asked:
            # It may come byte by byte, with the bare line feeds that some servers take, and after empty lines.
            lines = (self._tail + bytes(data)).replace(b"\r", b"")
            lines = lines if self._tail else lines.lstrip(b"\n")
            self._tail = lines[-1:]
            if b"\n\n" in lines:
                self.has_asked = True
                self._door.note_asked(self)

    def took(self, count: int, offered: int) -> None:
        """Note that it has taken `count` of the bytes that were offered."""
        if count == offered:
            self.moved_s = time.monotonic()
            if self.stuck_s is not None:
                self.stuck_s = None
                self._door.note_free(self)
            return
        self._taken += count
        if self.stuck_s is None or self._taken >= STEP_BYTES:
            self.stuck_s = self.moved_s = time.monotonic()
            self._taken = 0
            self._door.note_stuck(self)

    def has_spoken(self) -> bool:
        """Whether something has come from it that nobody has had time to read."""
        try:
            return socket.socket.recv(self.sock, 1, socket.MSG_PEEK) != b""
        except OSError:
            return False


class Door:
    """Lets connections in and out. As it is made it lets everybody in and only counts; see `keep`."""

    def __init__(self) -> None:
        self._guard: Guard | None = None
        self._silence_s, self._patience_s = SILENCE_S, PATIENCE_S
        self._inside: dict[int, Guest] = {}  # by their descriptors
        self._to_ask: dict[Guest, None] = {}  # in the order of their coming
        self._stuck: dict[Guest, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def keep(self, guard: Guard, silence_s: float = SILENCE_S, patience_s: float = PATIENCE_S) -> None:
        """From now on hold as many connections as the guard allows, all of which speak HTTP at first.

        See the module for the times.
        """
        self._guard, self._silence_s, self._patience_s = guard, silence_s, patience_s
        _spare.fetch()

    def place(self, transport: asyncio.BaseTransport | None) -> int:
        """Return the how-manieth a connection was when it came; 0 for one that came by another way."""
        guest = self._guest_of(transport)
        return guest.place if guest is not None else 0

    def socket_of(self, transport: asyncio.BaseTransport) -> socket.socket | None:
        """Return the socket by which a connection came, None for one that came by another way."""
        guest = self._guest_of(transport)
        return guest.sock if guest is not None else None

    def _guest_of(self, transport: asyncio.BaseTransport | None) -> Guest | None:
        sock = transport.get_extra_info("socket") if transport is not None else None
        return self._inside.get(sock.fileno()) if sock is not None else None

    def receive(self, accept: Callable[[], tuple[int, object]]) -> tuple[int, object]:
        """Return what `accept` gives, if there is room for it. Raises BlockingIOError if nobody is there any more.

        Those for whom there is no room, or no descriptor, are told so and are gone.
        """
        for _ in range(_AT_ONCE):
            try:
                descriptor, address = accept()
            except OSError as error:
                if self._guard is None or error.errno not in _OUT_OF_FILES:
                    raise
                self._make_room()
                with _spare.given_away():
                    _turn_away(accept()[0], self._guard)
                continue
            if self._guard is None or self._has_room(self._guard.max_connections):
                return descriptor, address
            _turn_away(descriptor, self._guard)
        raise BlockingIOError  # there may be more of them, but those who are inside have a turn first

    def let_in(self, sock: socket.socket) -> Guest:
        guest = Guest(sock, len(self._inside) + 1, self)
        if self._guard is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            # An answer that nobody acknowledges: without this Linux tries for a quarter of an hour (RFC 5482).
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(self._patience_s * 1000))
        self._inside[sock.fileno()] = guest
        if self._guard is not None:
            self._to_ask[guest] = None
            self._watch()
        return guest

    def note_asked(self, guest: Guest) -> None:
        self._to_ask.pop(guest, None)

    def note_stuck(self, guest: Guest) -> None:
        # Out and in again, so that the one that is stuck for longest stays in front.
        self._stuck.pop(guest, None)
        self._stuck[guest] = None
        self._watch()

    def note_free(self, guest: Guest) -> None:
        self._stuck.pop(guest, None)

    def let_out(self, guest: Guest) -> None:
        """Forget a connection: its socket is about to be closed."""
        self._to_ask.pop(guest, None)
        self._stuck.pop(guest, None)
        if self._inside.get(guest.sock.fileno()) is guest:
            del self._inside[guest.sock.fileno()]

    def show_out(self, guest: Guest) -> None:
        self.let_out(guest)
        with contextlib.suppress(OSError):  # it was faster
            guest.sock.shutdown(socket.SHUT_RDWR)

    def shut(self) -> None:
        """Show out whoever is still inside: a library may wait for ever for one that takes nothing."""
        for guest in list(self._inside.values()):
            self.show_out(guest)
        if self._timer is not None:
            self._timer.cancel()

    def _has_room(self, most: int) -> bool:
        while len(self._inside) >= most and self._make_room():
            pass
        return len(self._inside) < most + LOBBY

    def _make_room(self) -> bool:
        """Show one out that has never said a word, else one that has long been quiet; return whether there was one."""
        now_s = time.monotonic()
        silent = itertools.takewhile(lambda guest: guest.since_s <= now_s - HASTE_S, self._to_ask)
        victim = next((guest for guest in silent if not guest.has_spoken()), None)
        if victim is None:
            victim = min(self._inside.values(), key=lambda guest: guest.moved_s, default=None)
            if victim is None or victim.moved_s > now_s - QUIET_S:
                return False
        self.show_out(victim)
        return True

    def _watch(self) -> None:
        """Look round from time to time while there is somebody to look after."""
        if self._timer is None and self._guard is not None and (self._to_ask or self._stuck):
            every_s = min(self._silence_s, self._patience_s) / 5
            self._timer = asyncio.get_running_loop().call_later(every_s, self._look_round)

    def _look_round(self) -> None:
        self._timer = None
        now_s = time.monotonic()
        silent = itertools.takewhile(lambda guest: guest.since_s <= now_s - self._silence_s, self._to_ask)
        stuck = itertools.takewhile(lambda guest: (guest.stuck_s or now_s) <= now_s - self._patience_s, self._stuck)
        for guest in [*silent, *stuck]:
            self.show_out(guest)
        self._watch()


class _Spare:
    """A descriptor that this process keeps for the moment when there is no other.

    A connection for which there is none cannot even be refused. It would stay in the system's queue, and wake the event
    loop again and again.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def fetch(self) -> None:
        """Have one. Raises OSError if there is none to have."""
        if self._descriptor is None:
            self._descriptor = os.open(os.devnull, os.O_RDONLY)

    @contextlib.contextmanager
    def given_away(self) -> Iterator[None]:
        """Let the body have it, which gives it back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # another thread was faster; the next time perhaps
                self.fetch()


_spare = _Spare()


def _turn_away(descriptor: int, guard: Guard) -> None:
    """Answer with the guard's sentence as far as that goes at once, and close."""
    body = json.dumps({"error": guard.turns_away().reason}).encode() + b"\n"
    answer = (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: %d\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (RETRY_AFTER_S, len(body), body)
    )
    with socket.socket(fileno=descriptor) as refused, contextlib.suppress(OSError):
        refused.setblocking(False)
        refused.send(answer)
        refused.shutdown(socket.SHUT_WR)
        # What has come and is not read would make the system reset the connection, and the answer with it.
        refused.recv(65536)
