"""What runs inside a server process: one feed, served by one or more transports (`serving`, `run`, `run_child`)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from wsdemo.feed import Feed, feed_of
from wsdemo.guard import Guard, Terminal, names_of, warn_public
from wsdemo.leaving import Leaving, until_told
from wsdemo.limits import allow_connections, fitting
from wsdemo.log import LOG_SIZE
from wsdemo.loops import PromptSelector, trim_slack
from wsdemo.meter import Meter, listen
from wsdemo.processes.children import say
from wsdemo.processes.jobs import ServerAbout, ServerCounters, ServerJob
from wsdemo.processes.stalls import Watch
from wsdemo.tasks import background
from wsdemo.transports import Transport, find, paces_of
from wsdemo.updates import Schedule, from_recipe
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

    def listens(self, transport: Transport, port: int, host: str) -> None:
        self.ports[transport.name] = port
        self.urls[transport.name] = transport.url(port, names_of(host)[0])

    def about(self) -> ServerAbout:
        return {"urls": self.urls, "ports": self.ports, "t0_ns": self.feed.t0_ns, "epoch": self.feed.epoch}


@asynccontextmanager
async def _source(
    schedule: Schedule | None, broker: str | None, log_size: int, duration_s: float | None, log: str | None
) -> AsyncIterator[Feed]:
    """Give the feed of what is in the broker, or of this schedule. Raises ValueError where there is neither."""
    if broker is None:
        if schedule is None:
            raise ValueError("a server needs a schedule to play, or a broker to hear from")
        with feed_of(schedule, duration_s, log, log_size) as feed:
            yield feed
        return
    from wsdemo.scale.relay import Relay  # here, so that who has no broker needs none of its libraries

    relay = Relay(broker, log_size)
    try:
        await relay.open()
        yield relay
    finally:
        await relay.leave()


@asynccontextmanager
async def _playing(feed: Feed, hold: bool) -> AsyncIterator[None]:
    """Start the feed, unless it is to wait, and stop it at the end. Its failure ends the body."""
    try:
        if not hold:
            feed.start()
        async with background(feed.failure()):
            yield
    finally:
        await feed.stop()


@asynccontextmanager
async def serving(
    names: Sequence[str],
    schedule: Schedule | None,
    *,
    host: str = "127.0.0.1",
    port: int | Mapping[str, int] = 0,
    duration_s: float | None = None,
    max_connections: int | None = None,
    allowed_hosts: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
    refused: Callable[[str], object] | None = None,
    hold: bool = False,
    pace: Pace = DEFAULT_PACE,
    log: str | None = None,
    log_size: int = LOG_SIZE,
    broker: str | None = None,
) -> AsyncIterator[Served]:
    """Serve one feed by one or more transports, each on a port of its own (port, port + 1 … or free ones for 0).

    port: or that of each, by name; max_connections: to each transport (default: 2,000, or what this system's limit on
    open files lets fit); allowed_hosts, allowed_origins: as for `Guard`; refused: called with a line about whom it
    refuses; hold: the feed starts only when told to; pace: how often each speaks in silence, and at the most; log,
    log_size: the file that keeps the feed's log, and how many updates, as for `Feed`; broker: where the news come from
    in place of a schedule. Raises what is wrong with any of these, also when that comes out later.
    """
    transports = find(names)
    max_connections = most_connections(len(transports)) if max_connections is None else max_connections
    allow_connections(max_connections, len(transports))
    guard = Guard(host, allowed_hosts, max_connections, allowed_origins=allowed_origins, tell=refused)
    async with contextlib.AsyncExitStack() as stack:
        feed = await stack.enter_async_context(_source(schedule, broker, log_size, duration_s, log))
        served = Served(feed, {transport.name: Meter() for transport in transports}, {}, {})
        for number, (transport, at_pace) in enumerate(zip(transports, paces_of(transports, pace), strict=True)):
            wanted = port[transport.name] if isinstance(port, Mapping) else port and port + number
            sock = stack.enter_context(listen(served.meters[transport.name], host, wanted))
            served.listens(transport, sock.getsockname()[1], host)
            served.leaving.append(sock.leaving)
            await stack.enter_async_context(transport.module().serve(feed, sock, guard, at_pace))
        await stack.enter_async_context(_playing(feed, hold))
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
            from_recipe(recipe) if (recipe := job["schedule"]) is not None else None,
            duration_s=job["duration_s"],
            max_connections=job["max_connections"],
            hold=job["hold"],
            pace=Pace(**job["pace"]),
            port=job.get("port", 0),
            log=job.get("log"),
            log_size=job.get("log_size", LOG_SIZE),
            broker=job.get("broker"),
            host=job.get("host", "127.0.0.1"),
            allowed_hosts=job.get("allowed_hosts", ()),
            allowed_origins=job.get("allowed_origins", ()),
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
