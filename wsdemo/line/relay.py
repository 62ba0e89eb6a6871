"""The line itself: a relay on loopback between clients and a server, whose faults may change while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from wsdemo.limits import allow_connections, fitting
from wsdemo.line.fault import Fault, Way
from wsdemo.line.link import Kind, Link
from wsdemo.line.spoken import parse_line, words_of

MOST_EVENTS = 10_000
MOST_CONNECTIONS = 5_000
_BACKLOG = 4096
"""A storm of clients is to reach the server, not to wait in front of the line."""


_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Who listens on every interface is reached by this one."""


class _TurnedAway(asyncio.Protocol):
    """A connection for which the line has no room."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


@dataclass(frozen=True)
class Event:
    """What a line did. at_s: seconds after it started; connection: from 1, 0 for what concerns all of them."""

    at_s: float
    kind: Kind
    connection: int
    words: str = ""

    def __str__(self) -> str:
        who = f"connection {self.connection}: " if self.connection else ""
        return f"{self.at_s:.3f} s: {who}{self.kind}{f' {self.words}' if self.words else ''}"


@dataclass
class Did:
    """What a line has done. counts: by kind, see `link.Kind`; events: the newest `MOST_EVENTS`, each with its moment.

    bytes_up, bytes_down: passed on to the server and to clients.
    """

    counts: Counter[str] = field(default_factory=Counter)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=MOST_EVENTS))
    bytes_up: int = 0
    bytes_down: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {**asdict(self), "counts": dict(self.counts), "events": [asdict(event) for event in self.events]}


class Line:
    """A line between clients and the server at `to_port`. Use as `async with Line(port, fault) as line:`.

    Clients go to `line.port`. fault: a `Fault`, or its words, such as "delay=50ms,cut=3s"; port: where to listen, 0 for
    any; host: where the server listens, and so the line; most: how many connections it holds, others are closed at
    once; told: called with each `Event`. Order is kept, and so is back-pressure: in each direction at most
    `way.MOST_ON_THE_WAY` bytes are on their way, and a source waits. The handshake of TCP itself is not delayed, and
    where packets vanish it still succeeds: the system's queue of new connections answers it.

    Its plain form is built in the lesson `03_ask_smarter`, as `relay`. Raises ValueError for words that make no fault,
    OSError where it cannot listen.
    """

    def __init__(
        self,
        to_port: int,
        fault: Fault | str | None = None,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        most: int = MOST_CONNECTIONS,
        told: Callable[[Event], object] | None = None,
    ):
        self._to_port, self._wanted_port, self._tell = to_port, port, told
        self._host, self._most = host, most
        self._fault = self.present = _fault(fault)
        self.since_s = 0.0
        self.did = Did()
        self._links: dict[int, Link] = {}
        self._number = 0
        self._server: asyncio.Server | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._empty = asyncio.Event()
        self._start_ns = 0

    async def __aenter__(self) -> Line:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def __repr__(self) -> str:
        return f"<Line to port {self._to_port}: {words_of(self._fault) or 'in order'}>"

    @property
    def port(self) -> int:
        """Where clients go. Raises RuntimeError while the line is not open."""
        if self._server is None:
            raise RuntimeError("this line is not open: use `async with`, or `await line.start()`")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def fault(self) -> Fault:
        """What it was told to do, last. Between `from_s` and `for_s`, and only then, all of it holds."""
        return self._fault

    @property
    def open(self) -> int:
        """How many connections it holds at this moment, those included that it is about to close."""
        return len(self._links)

    async def start(self) -> Line:
        """Open the line. Opening it again while it is open changes nothing."""
        if self._server is None:
            with contextlib.suppress(ValueError):  # on a small system it holds what there is
                allow_connections(fitting(self._most, 2), 2)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._join, self._host, self._wanted_port, backlog=_BACKLOG)
            self._start_ns = time.perf_counter_ns()
            self._apply()
        return self

    async def stop(self) -> None:
        """Close the line and every connection, and wait until they are gone. Closing it again changes nothing."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        self._cancel_timers()
        connecting = [*self._connecting]
        for task in connecting:
            task.cancel()
        await asyncio.gather(*connecting, return_exceptions=True)
        for link in [*self._links.values()]:
            link.drop()
        while self._links:
            self._empty.clear()
            await self._empty.wait()
        await server.wait_closed()

    # --- what may be done to it ---------------------------------------------------------------------------------------

    def change(self, fault: Fault | str | None = None) -> None:
        """Have another fault from now on, on connections that stand, too; None for a line in order.

        Its moments (`from_s`, `cut_every_s` and so on) count from now. Raises ValueError for words that make none.
        """
        self._fault = _fault(fault)
        if self._server is not None:
            self.note("change", 0, f"to {words_of(self._fault) or 'a line in order'}")
            self._apply()

    def vanish(self, way: Way | None = "both") -> None:
        """Let nothing through in one direction or both, and tell nobody; None lets all through that has waited."""
        self.change(replace(self._fault, vanish=way))

    def cut(self, rst: bool = False, *, number: int | None = None) -> int:
        """Cut every connection at once, or the one with this number; return how many. rst: by RST and not by FIN."""
        links = [link for link in self._links.values() if number in (None, link.number) and not link.is_over]
        for link in links:
            link.cut(rst)
        return len(links)

    def lead_to(self, port: int) -> None:
        """Let new connections go to another port: a server that was started again has one."""
        self._to_port = port

    # --- what its connections need ------------------------------------------------------------------------------------

    def note(self, kind: Kind, number: int, words: str = "") -> None:
        """Count and keep what was done, and tell whoever wants to know."""
        event = Event((time.perf_counter_ns() - self._start_ns) / 1e9, kind, number, words)
        self.did.counts[kind] += 1
        self.did.events.append(event)
        if self._tell is not None:
            self._tell(event)

    def passed(self, way: str, size: int) -> None:
        """Count bytes that have left for their receiver."""
        if way == "up":
            self.did.bytes_up += size
        else:
            self.did.bytes_down += size

    def connect(self, link: Link) -> None:
        """Connect a connection to the server, in a task that is held."""
        task = asyncio.create_task(self._connect(link))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def gone(self, link: Link) -> None:
        """Forget a connection whose sockets are closed."""
        self._links.pop(link.number, None)
        if not self._links:
            self._empty.set()

    # ------------------------------------------------------------------------------------------------------------------

    def _join(self) -> asyncio.Protocol:
        if len(self._links) >= self._most:
            return _TurnedAway()
        self._number += 1
        link = self._links[self._number] = Link(self, self._number)
        self.note("open", self._number)
        return link.client

    async def _connect(self, link: Link) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: link.server, _ANY.get(self._host, self._host), self._to_port
            )
        except OSError:
            self.note("nobody", link.number, f"at port {self._to_port}")
            link.end(rst=True)

    def _apply(self) -> None:
        """Let the fault begin, now or when it wants to."""
        self._cancel_timers()
        fault = self._fault
        if fault.from_s:
            self._hold(fault.steady)
            self._later(fault.from_s, self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        fault = self._fault
        if fault.from_s:
            self.note("begin", 0)
        self._hold(fault)
        if fault.cut_every_s is not None:
            self._later(fault.cut_every_s, self._cut_again, 1)
        if fault.for_s is not None:
            self._later(fault.for_s, self._over)

    def _over(self) -> None:
        self._cancel_timers()
        self.note("over", 0)
        self._hold(self._fault.steady)

    def _hold(self, fault: Fault) -> None:
        self.present, self.since_s = fault, asyncio.get_running_loop().time()
        for link in [*self._links.values()]:
            link.changed()

    def _cut_again(self, times: int) -> None:
        every_s = self.present.cut_every_s
        if every_s is None:
            return
        for link in [*self._links.values()]:
            if self.present.hits(link.number):
                link.cut(self.present.rst)
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_at(self.since_s + (times + 1) * every_s, self._cut_again, times + 1))

    def _later(self, wait_s: float, do: Callable[..., None], *arguments: Any) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(wait_s, do, *arguments))

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


def _fault(fault: Fault | str | None) -> Fault:
    if isinstance(fault, str):
        return parse_line(fault)
    return fault if fault is not None else Fault()
