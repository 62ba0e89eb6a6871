"""A server process: what runs inside it (`run`), and how a notebook or a measurement starts and stops it (`Server`)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import selectors
import sys
from collections.abc import Sequence

from wsdemo.feed import Feed
from wsdemo.guard import Guard, warn_public
from wsdemo.limits import allow_connections
from wsdemo.meter import Meter, listen
from wsdemo.processes.children import Child, commands, say
from wsdemo.tasks import keep_one
from wsdemo.transports import find
from wsdemo.updates import Schedule, every

DEFAULT_MAX_CONNECTIONS = 2000


def new_event_loop(connections: int = DEFAULT_MAX_CONNECTIONS) -> asyncio.AbstractEventLoop:
    """Return a selector event loop, which the meter needs on every system.

    For few connections it waits with `select`, whose timers wake 0.1 to 0.3 ms late; epoll's, rounded up to whole
    milliseconds, wake 0.6 to 1.2 ms late. `select` cannot watch more than about 1,000 sockets.
    """
    few = connections <= 200
    return asyncio.SelectorEventLoop(selectors.SelectSelector() if few else selectors.DefaultSelector())


async def run(
    names: Sequence[str],
    schedule: Schedule,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    duration_s: float | None = None,
    max_connections: int = DEFAULT_MAX_CONNECTIONS,
    allowed_hosts: Sequence[str] = (),
    supervised: bool = False,
    hold: bool = False,
) -> None:
    """Serve one feed by one or more transports, each on a port of its own (port, port + 1 … or free ones for 0).

    The first line on stdout is JSON with the addresses, the ports, t0 and the epoch. supervised: take commands from
    stdin and end with it, otherwise run until cancelled; hold: start the feed only when told to.
    """
    allow_connections(max_connections)
    transports = find(names)
    guard = Guard(host, allowed_hosts, max_connections)
    feed = Feed(schedule.updates(duration_s))
    meters = {transport.name: Meter() for transport in transports}
    async with contextlib.AsyncExitStack() as stack:
        ports = {}
        for number, transport in enumerate(transports):
            sock = stack.enter_context(listen(meters[transport.name], host, port + number if port else 0))
            ports[transport.name] = sock.getsockname()[1]
            await stack.enter_async_context(transport.module().serve(feed, sock, guard))
        if not hold:
            feed.start()
        stack.push_async_callback(feed.stop)
        warn_public(host)
        if supervised:
            probe = await asyncio.start_server(_echo, host, 0)
            stack.callback(probe.close)
            ports["probe"] = probe.sockets[0].getsockname()[1]
        urls = {transport.name: transport.url(ports[transport.name], host) for transport in transports}
        say({"urls": urls, "ports": ports, "t0_ns": feed.t0_ns, "epoch": feed.epoch})
        if supervised:
            await _obey(feed, meters)
        else:
            for transport in transports:
                print(f"{transport.label}: {urls[transport.name]}", file=sys.stderr)
            print("Ctrl-C stops the server.", file=sys.stderr, flush=True)
            await asyncio.Event().wait()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send every byte back: what a measurement learns the bare one-way delay from."""
    while data := await reader.read(1024):
        writer.write(data)
    writer.close()


async def _obey(feed: Feed, meters: dict[str, Meter]) -> None:
    async for command in commands():
        if "start_ns" in command:
            # A collection of garbage at the wrong moment would be measured as latency.
            gc.collect()
            gc.disable()
            feed.start(command["start_ns"])
        say({name: meter.snapshot() for name, meter in meters.items()} | {"seq": feed.seq})


class Server:
    """A server in a child process. Use as `async with Server("polling", schedule=every(1)) as server:`.

    names: the transports, all on one feed; schedule: what the feed plays (default: one update a second);
    hold: whether the feed waits for `begin`; the rest as for `run`. Raises ValueError before anything is started if
    an argument cannot be used, `ChildFailed` if the server cannot start.
    """

    def __init__(
        self,
        *names: str,
        schedule: Schedule | None = None,
        duration_s: float | None = None,
        hold: bool = False,
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
    ):
        self.names = tuple(transport.name for transport in find(names))
        self._arguments = [
            "serve",
            *self.names,
            "--supervised",
            "--max-connections",
            str(max_connections),
            *(schedule or every(1.0)).arguments(),
            *(["--hold"] if hold else []),
            *(["--duration", repr(duration_s)] if duration_s else []),
        ]
        self._child: Child | None = None
        self._about: dict = {}

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *exc_info) -> None:
        await self.stop()

    def __repr__(self) -> str:
        where = ", ".join(self._about["urls"].values()) if self.running else "not running"
        return f"<Server {' '.join(self.names)}: {where}>"

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.alive

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def epoch(self) -> str:
        return self._about["epoch"]

    def url(self, name: str | None = None) -> str:
        """Return the address of one transport, by default the first."""
        return self._about["urls"][name or self.names[0]]

    async def start(self) -> Server:
        """Start the process and wait until it listens. Starting again while it runs changes nothing."""
        if not self.running:
            self._child = Child(*self._arguments)
            try:
                self._about = await self._child.answer()
            except BaseException:
                self._child.kill()
                raise
        return self

    @property
    def probe_port(self) -> int:
        """The port of a plain TCP echo in the same process, for measuring the one-way delay."""
        return self._about["ports"]["probe"]

    async def begin(self, t0_ns: int) -> None:
        """Start the clock of a feed that was told to hold."""
        await self._ask({"start_ns": t0_ns})

    async def counters(self, name: str | None = None) -> dict[str, int]:
        """Return the server's own counters for one transport: the fields of `meter.Meter`."""
        return (await self._ask({}))[name or self.names[0]]

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

    async def _ask(self, command: dict) -> dict:
        self._child.tell(command)
        return await self._child.answer()


async def start(*names: str, schedule: Schedule | None = None, **options) -> Server:
    """Start a server that lasts beyond this cell, and return it; end it with `await server.stop()`.

    Meant for a notebook, where cells are run again: the server that an earlier call started for the same transports
    is stopped first, so there is only ever one. It ends with the kernel, however the kernel ends.
    """
    server = Server(*names, schedule=schedule, **options)
    return await keep_one(("serve", *server.names), server)
