"""A server process: what runs inside it (`run`), and how a notebook or a measurement starts and stops it (`Server`)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from wsdemo.feed import Feed
from wsdemo.guard import Guard, Terminal, names_of, warn_public
from wsdemo.leaving import Leaving, until_told
from wsdemo.limits import allow_connections, fitting
from wsdemo.loops import PromptSelector, trim_slack
from wsdemo.meter import Meter, listen
from wsdemo.processes.children import Child, say
from wsdemo.processes.jobs import Counters, ServerAbout, ServerCounters, ServerJob, Stall, Start
from wsdemo.processes.stalls import Watch
from wsdemo.returns import Arrivals
from wsdemo.tasks import background, keep_one
from wsdemo.transports import find, paces_of
from wsdemo.updates import Schedule, every, from_recipe
from wsdemo.workload import DEFAULT_PACE, Pace

DEFAULT_MAX_CONNECTIONS = 2000


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a selector event loop, which the meter needs on every system; its timers wake in time for any number."""
    trim_slack()
    return asyncio.SelectorEventLoop(PromptSelector())


def most_connections(transports: int) -> int:
    """Return how many connections each of so many transports holds where nobody says it: the default, or what fits."""
    return max(1, fitting(DEFAULT_MAX_CONNECTIONS, transports))


@dataclass(frozen=True)
class Served:
    """What a running server is: its feed, a meter for each transport, and where they listen."""

    feed: Feed
    meters: dict[str, Meter]
    urls: dict[str, str]
    ports: dict[str, int]
    leaving: list[Leaving] = field(default_factory=list)

    async def drain(self, over_s: float) -> None:
        """Listen no more, and send the readers away one by one over so many seconds; see `leaving`.

        The next server can have the port at once, and they resume there. Raises ValueError for what is no time.
        """
        await asyncio.gather(*(leaving.drain(over_s) for leaving in self.leaving))

    def about(self) -> ServerAbout:
        return {"urls": self.urls, "ports": self.ports, "t0_ns": self.feed.t0_ns, "epoch": self.feed.epoch}


@asynccontextmanager
async def serving(
    names: Sequence[str],
    schedule: Schedule,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    duration_s: float | None = None,
    max_connections: int | None = None,
    allowed_hosts: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
    refused: Callable[[str], object] | None = None,
    hold: bool = False,
    pace: Pace = DEFAULT_PACE,
) -> AsyncIterator[Served]:
    """Serve one feed by one or more transports, each on a port of its own (port, port + 1 … or free ones for 0).

    max_connections: to each transport (default: 2,000, or as many as this system's limit on open files lets fit);
    allowed_hosts, allowed_origins: as for `Guard`; refused: called with a line about whom it refuses; hold: the feed
    starts only when told to; pace: how often each says something in silence, and at the most. Raises what is wrong with
    the schedule, also when that comes out later.
    """
    transports, updates = find(names), schedule.updates(duration_s)
    if max_connections is None:
        max_connections = most_connections(len(transports))
    allow_connections(max_connections, len(transports))
    guard = Guard(host, allowed_hosts, max_connections, allowed_origins=allowed_origins, tell=refused)
    feed = Feed(list(updates) if schedule.ends else updates)
    served = Served(feed, {transport.name: Meter() for transport in transports}, {}, {})
    async with contextlib.AsyncExitStack() as stack:
        for number, (transport, own) in enumerate(zip(transports, paces_of(transports, pace), strict=True)):
            sock = stack.enter_context(listen(served.meters[transport.name], host, port + number if port else 0))
            served.ports[transport.name] = sock.getsockname()[1]
            served.leaving.append(sock.leaving)
            served.urls[transport.name] = transport.url(served.ports[transport.name], names_of(host)[0])
            await stack.enter_async_context(transport.module().serve(feed, sock, guard, own))
        if not hold:
            feed.start()
        stack.push_async_callback(feed.stop)
        await stack.enter_async_context(background(feed.failure()))
        yield served


async def run(
    names: Sequence[str],
    schedule: Schedule,
    *,
    host: str = "127.0.0.1",
    note: str = "",
    drain_s: float | None = None,
    **options: Any,
) -> None:
    """Serve for people until cancelled: `python -m wsdemo serve`. Arguments as for `serving`.

    The first line on stdout is JSON with the addresses, the ports, t0 and the epoch; the sentences are on stderr.
    note: one more of them, said once it serves; drain_s: over how long SIGTERM sends the readers away, None: at once.
    """
    async with serving(names, schedule, host=host, refused=Terminal(), **options) as served:
        warn_public(host)
        say(served.about())
        for transport in find(names):
            for name in names_of(host):
                print(f"{transport.label}: {transport.url(served.ports[transport.name], name)}", file=sys.stderr)
        print(*filter(None, [note, "Ctrl-C stops the server."]), sep="\n", file=sys.stderr, flush=True)
        await until_told(drain_s)
        await served.drain(drain_s or 0.0)


async def run_child(job: ServerJob, orders: AsyncIterator[Any]) -> None:
    """Serve in a child process until stdin ends; it is told `Start`, or {} to ask for the counters."""
    async with (
        serving(
            job["transports"],
            from_recipe(job["schedule"]),
            duration_s=job["duration_s"],
            max_connections=job["max_connections"],
            hold=job["hold"],
            pace=Pace(**job["pace"]),
            port=job["port"],
        ) as served,
        await asyncio.start_server(_echo, "127.0.0.1", 0) as probe,
    ):
        served.ports["probe"] = probe.sockets[0].getsockname()[1]
        say(served.about())
        watch = Watch()
        async for order in orders:
            if "start_ns" in order:
                # A collection of garbage at the wrong moment would be measured as latency.
                gc.collect()
                gc.disable()
                served.feed.start(order["start_ns"])
                watch.start()
            if "drain_s" in order:
                await served.drain(order["drain_s"])
            counters: ServerCounters = {
                "meters": {name: meter.snapshot() for name, meter in served.meters.items()},
                "seq": served.feed.seq,
                "stalls": watch.stalls,
            }
            if "arrivals" in order:
                counters["arrivals"] = {name: list(meter.arrivals.at_ns) for name, meter in served.meters.items()}
            say(counters)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send every byte back: what a measurement learns the bare one-way delay from."""
    while data := await reader.read(1024):
        writer.write(data)
    writer.close()


class Server:
    """A server in a child process. Use as `async with Server("polling", schedule=every(1)) as server:`.

    names: the transports, all on one feed; schedule: what the feed plays (default: one update a second);
    hold: whether the feed waits for `begin`; port: of the first transport, to start a server again where it was; the
    rest as for `serving`. Raises ValueError before anything is started
    if an argument cannot be used, `ChildFailed` if the server cannot start.
    """

    def __init__(
        self,
        *names: str,
        schedule: Schedule | None = None,
        duration_s: float | None = None,
        hold: bool = False,
        max_connections: int | None = None,
        pace: Pace = DEFAULT_PACE,
        port: int = 0,
    ):
        self.names = tuple(transport.name for transport in find(names))
        self._job: ServerJob = {
            "transports": list(self.names),
            "schedule": (schedule or every(1.0)).recipe(),
            "duration_s": duration_s,
            "hold": hold,
            "max_connections": most_connections(len(self.names)) if max_connections is None else max_connections,
            "pace": asdict(pace),
            "port": port,
        }
        self._child: Child | None = None
        self._starting = asyncio.Lock()
        self._about: ServerAbout | None = None

    async def __aenter__(self) -> Server:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def __repr__(self) -> str:
        where = self.url() if self.running else "not running"
        return f"<Server {' '.join(self.names)}: {where}>"

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.alive

    @property
    def pid(self) -> int:
        return self._living().pid

    @property
    def epoch(self) -> str:
        return self._told()["epoch"]

    @property
    def probe_port(self) -> int:
        """The port of a plain TCP echo in the same process, for measuring the one-way delay."""
        return self._told()["ports"]["probe"]

    def url(self, name: str | None = None) -> str:
        """Return the address of one transport, by default the first."""
        return self._told()["urls"][name or self.names[0]]

    async def start(self) -> Server:
        """Start the process and wait until it listens. Starting again while it runs changes nothing."""
        async with self._starting:
            if not self.running:
                self._child = child = Child("server", self._job)
                try:
                    self._about = await child.answer()
                except BaseException:
                    child.kill()
                    raise
        return self

    async def begin(self, t0_ns: int) -> None:
        """Start the clock of a feed that was told to hold."""
        start: Start = {"start_ns": t0_ns}
        await self._ask(start)

    async def counters(self, name: str | None = None) -> Counters:
        """Return the server's own counters for one transport: the fields of `meter.Meter`."""
        return (await self.look())["meters"][name or self.names[0]]

    async def look(self) -> ServerCounters:
        """Return all that the server tells at this moment: its counters, its feed's seq, its stalls."""
        return await self._ask({})

    async def stalls(self) -> list[Stall]:
        """Return when the server stood still since `begin`; see `stalls.Watch`."""
        return (await self.look())["stalls"]

    async def arrivals(self, name: str | None = None) -> Arrivals:
        """Return when the connections of one transport came: a storm, with its `series` and its `peak`."""
        answer = await self._ask({"arrivals": True})
        return Arrivals(answer["arrivals"][name or self.names[0]])

    async def drain(self, over_s: float) -> None:
        """Let the server listen no more and send its readers away one by one over so many seconds; see `leaving`.

        Returns when they are gone. The process goes on until `stop`. Raises ValueError for what is no time.
        """
        if not 0 <= over_s < float("inf"):
            raise ValueError(f"a drain takes a number of seconds from 0 on, not {over_s!r}")
        await self._ask({"drain_s": over_s})

    async def stop(self) -> None:
        """End the process and wait until it is gone. Stopping again changes nothing."""
        child, self._child = self._child, None
        if child is not None:
            await child.stop()

    def kill(self) -> None:
        """End the process at once. Safe to call again, or if it never started."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    async def _ask(self, order: Mapping[str, Any]) -> ServerCounters:
        child = self._living()
        child.tell(order)  # no await between this and the next line: so answers come in the order of the questions
        answer: ServerCounters = await child.answer()
        return answer

    def _told(self) -> ServerAbout:
        if self._about is None:
            raise RuntimeError("this server was never started: use `async with`, or `await server.start()`")
        return self._about

    def _living(self) -> Child:
        if self._child is None:
            raise RuntimeError("this server is not running: use `async with`, or `await server.start()`")
        return self._child


async def start(*names: str, schedule: Schedule | None = None, **options: Any) -> Server:
    """Start a server that lasts beyond this cell, and return it; end it with `await server.stop()`.

    Meant for a notebook, where cells are run again: the server that an earlier call started for the same transports
    is stopped first, so there is only ever one. It ends with the kernel, however the kernel ends.
    """
    server = Server(*names, schedule=schedule, **options)
    return await keep_one(("serve", *server.names), server)
