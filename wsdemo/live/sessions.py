"""Sessions: what one page is given. A feed of its own, so that its controls change nobody else's view.

The transports serve it unchanged, each side of the page on a listening socket of its own: so the meter of that socket
counts what this side costs and nothing else, and a browser's limit of six connections to one host and port, which
server-sent events and long polling would use up in a few tabs, is never met.

A run of the feed is a recipe, `(speed, start_s)`, and a moment, `elapsed_s` after its start. Whoever has both can have
the same run again, with the same seq for the same update: after a pause, or after the server was killed. That is why
nothing is lost by either.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from wsdemo.feed import LOG_SIZE
from wsdemo.guard import Guard
from wsdemo.live import PAGE
from wsdemo.live.side import LateFeed, Side
from wsdemo.live.trouble import TROUBLES, Trouble
from wsdemo.transports import TRANSPORTS, Transport
from wsdemo.updates import earthquakes

FIRST = {"left": "polling", "right": "websocket"}
"""The sides of a page, and the transport that each begins with."""
SIDES = tuple(FIRST)
DEFAULT_SPEED = 120.0
"""Two minutes of the week a second: an earthquake every three seconds, which a person can follow."""
SPEED_RANGE = (1.0, 20_000.0)
MAX_SESSIONS = 40
IDLE_S = 60.0
"""A session whose page has said nothing for this long, and holds no connection, ends."""
SILENT_S = 600.0
"""A session whose page has said nothing for this long ends in any case: a sleeping laptop holds dead connections."""
GRACE_S = 3.0
"""When places are short, a session by whose sides nobody has asked for the news in this time makes room first."""
QUIET_S = 30.0
"""And after those, one on whose sides nothing has moved for so long.

Before this time is over a long poll ends, a stream has its heartbeat and a WebSocket its ping.
"""
SIDE_CONNECTIONS = 16
ENDED = "this session has ended; ask for a new one"


class Problem(ValueError):
    """A page asked for what it cannot have, and is told so. Named as in RFC 9457, "Problem Details for HTTP APIs".

    status: the HTTP status that says so; reason: a sentence for whoever asked.
    """

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Recipe:
    """What a page asks for, checked. left, right: names of transports; the rest: see the module."""

    speed: float
    start_s: float
    elapsed_s: float
    left: str
    right: str

    @classmethod
    def read(cls, message: object) -> Recipe:
        """Return a page's message as a recipe. Raises `Problem` with a sentence for anything else."""
        wanted = set(cls.__dataclass_fields__)
        if not isinstance(message, dict) or set(message) != wanted:
            raise Problem(400, f"a session is asked for with exactly {', '.join(sorted(wanted))}")
        low, high = SPEED_RANGE
        speed = _number(message, "speed", low, high)
        start_s = _number(message, "start_s", 0, float("inf"))
        try:
            rate_per_s = earthquakes(speed, start_s).rate_per_s
        except ValueError as error:
            raise Problem(400, str(error)) from error
        # What is older than the log could not be sent to anybody, and working it out would hold up every page.
        elapsed_s = _number(message, "elapsed_s", 0, LOG_SIZE / rate_per_s)
        return cls(speed, start_s, elapsed_s, *(read_transport(message[side]) for side in SIDES))


class Session:
    """One page's feed and the servers of its two sides. Open it with `open`, end it with `close`."""

    def __init__(self, recipe: Recipe, host: str, guard: Guard):
        self.id = secrets.token_urlsafe(12)
        self.recipe = recipe
        self.feed = LateFeed(earthquakes(recipe.speed, recipe.start_s))
        self.heard_at_s = self.moved_at_s = time.monotonic()
        self.was_read = False
        self._host, self._guard = host, guard
        self._sides: dict[str, Side] = {}
        self._troubles = {side: Trouble(2 * SIDE_CONNECTIONS) for side in SIDES}
        self._has_ended = False
        self._t0_ns = 0  # once it is open

    async def open(self) -> None:
        """Start both sides, and the feed's clock, as far into its run as the recipe says."""
        try:
            for side in SIDES:
                await self.serve(side, getattr(self.recipe, side))
        except BaseException:
            await self.close()
            raise
        self._t0_ns = time.perf_counter_ns() - round(self.recipe.elapsed_s * 1e9)
        self.feed.due_ns = self._t0_ns

    async def serve(self, side: str, name: str) -> int:
        """Serve a side by this transport from now on, with counters at 0; return its port.

        Raises `Problem` if the session has ended meanwhile: nobody would close what opens after that.
        """
        new = Side(name, self.feed, self._host, self._guard)
        await new.open()
        if self._has_ended:
            await new.close()
            raise Problem(404, ENDED)
        old, self._sides[side] = self._sides.get(side), new
        self._troubles[side].lead_to(new.port)
        if old is not None:
            await old.close()
        return new.port

    def way(self, side: str) -> int:
        """Return the port by which a side is reached now. Raises `Problem` for a side that there is not."""
        if side not in self._sides:
            raise Problem(404, f"a page has two sides, {' and '.join(SIDES)}")
        return self._troubles[side].port or self._sides[side].port

    async def trouble(self, side: str, kind: str) -> None:
        """Let a side be in this trouble from now on. Raises `Problem` if there is no room, or the session has ended."""
        try:
            await self._troubles[side].become(kind, self._sides[side].address, self._sides[side].port)
        except OSError as error:
            raise Problem(503, "this server has no room for a line in trouble; try again later.") from error
        if self._has_ended:
            await self._troubles[side].close()
            raise Problem(404, ENDED)

    async def close(self) -> None:
        self._has_ended = True
        await asyncio.gather(*(trouble.close() for trouble in self._troubles.values()))
        await asyncio.gather(*(side.close() for side in self._sides.values()))
        await self.feed.stop()

    def about(self) -> dict[str, object]:
        """Return what its page must know to connect."""
        return {
            "id": self.id,
            "epoch": self.feed.epoch,
            "t0_ms": self._t0_ns / 1e6,
            "rate_per_s": earthquakes(self.recipe.speed).rate_per_s,
            "ports": {name: side.port for name, side in self._sides.items()},
        }

    def beat(self) -> dict[str, object]:
        """Note that its page is there, and return how things stand: the newest seq, and each side's counters.

        The seq is 0 as long as nobody has asked for the news.
        """
        self.heard_at_s = time.monotonic()
        sides = {
            name: side.meter.snapshot() | {"port": side.port} | self._troubles[name].about()
            for name, side in self._sides.items()
        }
        return {"seq": self.feed.seq, "sides": sides}

    def look(self, now_s: float) -> None:
        """Note whether anything has moved on its sides since the last look. What its page says does not count."""
        if any([side.has_moved() for side in self._sides.values()]):
            self.moved_at_s, self.was_read = now_s, True

    def makes_room(self, now_s: float) -> bool:
        """Whether it must go when places are short: nobody listens, whatever its page says. See GRACE_S, QUIET_S."""
        self.look(now_s)
        return now_s - self.moved_at_s > (QUIET_S if self.was_read else GRACE_S)

    def is_over(self, now_s: float) -> bool:
        """Whether its page must be gone. A page in the background may speak once a minute, but holds connections."""
        silent_s = now_s - self.heard_at_s
        return silent_s > SILENT_S or (
            silent_s > IDLE_S and not any(side.meter.open_now for side in self._sides.values())
        )


class Sessions:
    """All pages' sessions. host: where their sides listen; limit: how many.

    page_port, allowed_origins: whose pages may use them; tell: called with a line about whom they refuse.
    """

    def __init__(
        self,
        host: str,
        allowed_hosts: Iterable[str],
        page_port: int,
        limit: int = MAX_SESSIONS,
        allowed_origins: Iterable[str] = (),
        tell: Callable[[str], object] | None = None,
    ):
        self._host, self._limit = host, limit
        self._guard = Guard(
            host,
            allowed_hosts,
            SIDE_CONNECTIONS,
            [page_port],
            allowed_origins=allowed_origins,
            tell=tell,
            option_for_more=None,
        )
        self._open: dict[str, Session] = {}
        self._opening = 0
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def open(self, recipe: Recipe) -> Session:
        """Open a session. Raises `Problem` when there are as many as this server may hold, and all are in use."""
        if len(self._open) + self._opening >= self._limit and not self._make_room():
            raise Problem(503, f"this server has room for {self._limit} pages, and all of it is taken.")
        session = Session(recipe, self._host, self._guard)
        self._opening += 1
        try:
            await session.open()
        finally:
            self._opening -= 1
        self._open[session.id] = session
        return session

    def _make_room(self) -> bool:
        """End one that nobody listens to, first of those to which nobody ever did; return whether there was one."""
        now_s = time.monotonic()
        idle = [session for session in self._open.values() if session.makes_room(now_s)]
        if idle:
            self.end(min(idle, key=lambda session: (session.was_read, session.moved_at_s)).id)
        return bool(idle)

    def find(self, name: str) -> Session:
        """Return an open session. Raises `Problem` for one that never was or has ended."""
        if name not in self._open:
            raise Problem(404, ENDED)
        return self._open[name]

    def end(self, name: str) -> None:
        """End a session; whoever asks need not wait until its last connection is closed."""
        session = self._open.pop(name, None)
        if session is not None:
            task = asyncio.create_task(session.close(), name="wsdemo live session closing")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def sweep(self, every_s: float = 5.0) -> None:
        """For ever: end the sessions whose pages are gone."""
        while True:
            await asyncio.sleep(every_s)
            now_s = time.monotonic()
            for session in self._open.values():
                session.look(now_s)
            for name in [session.id for session in self._open.values() if session.is_over(now_s)]:
                self.end(name)

    async def close(self) -> None:
        """End all of them and wait until they are gone."""
        for name in list(self._open):
            self.end(name)
        await asyncio.gather(*self._closing)


def offered() -> list[Transport]:
    """Return the transports by which a page can hear: the rows of the registry after which a file of it is named."""
    return [row for row in TRANSPORTS.values() if (PAGE / "transports" / f"{row.name}.js").is_file()]


def read_transport(name: object) -> str:
    """Return the name of a transport. Raises `Problem`, naming those that are offered, for anything else."""
    names = [row.name for row in offered()]
    if not isinstance(name, str):
        raise Problem(400, "a transport is named by a text")
    if name not in names:
        raise Problem(400, f"there is no transport {name[:40]!r} on this page: choose from {', '.join(names)}")
    return name


def read_trouble(name: object) -> str:
    """Return the name of a trouble. Raises `Problem`, naming those that there are, for anything else."""
    if not isinstance(name, str) or name not in TROUBLES:
        raise Problem(400, f"a trouble is one of {', '.join(TROUBLES)}")
    return name


def _number(message: dict[str, object], name: str, low: float, high: float) -> float:
    value = message[name]
    # JSON's true would pass for 1, and Python reads the NaN and Infinity that JSON does not have.
    # An integer of hundreds of digits is no float, and none of our ranges reaches so far.
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not low <= value <= min(high, sys.float_info.max)
    ):
        raise Problem(400, f"{name} must be a number between {low:g} and {high:g}")
    return float(value)
