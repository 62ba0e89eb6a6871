"""A server process, as a notebook or a measurement starts and stops it: `Server`. What runs inside is `serving`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from os.path import abspath
from typing import Any

from wsdemo.log import LOG_SIZE
from wsdemo.meter import Meter as Meter
from wsdemo.meter import lasting_ports
from wsdemo.meter import listen as listen
from wsdemo.processes.children import Child
from wsdemo.processes.jobs import Counters, ServerAbout, ServerCounters, ServerJob, Stall, Start
from wsdemo.returns import Arrivals
from wsdemo.scale.broker import Broker
from wsdemo.serving import DEFAULT_MAX_CONNECTIONS as DEFAULT_MAX_CONNECTIONS
from wsdemo.serving import Served as Served
from wsdemo.serving import most_connections as most_connections
from wsdemo.serving import new_event_loop as new_event_loop
from wsdemo.serving import run as run
from wsdemo.serving import run_child as run_child
from wsdemo.serving import serving as serving
from wsdemo.tasks import keep_one
from wsdemo.transports import find
from wsdemo.updates import Schedule, every
from wsdemo.workload import DEFAULT_PACE, Pace


class Server:
    """A server in a child process. Use as `async with Server("polling", schedule=every(1)) as server:`.

    names: the transports, all on one feed; schedule: what the feed plays (default: one update a second);
    hold: whether the feed waits for `begin`; port: of the first transport; same_ports: whether it listens, when it is
    started again, where it did before, so that its readers find it; broker: a `Broker`, or the address of one, that the
    news come from in place of a schedule; the rest as for `serving`. Raises ValueError before anything is started if an
    argument cannot be used, `ChildFailed` if the server cannot start.

    A server with a log that was killed and is started again goes on with its history.
    """

    def __init__(
        self,
        *names: str,
        schedule: Schedule | None = None,
        duration_s: float | None = None,
        hold: bool = False,
        max_connections: int | None = None,
        pace: Pace = DEFAULT_PACE,
        log: str | PathLike[str] | None = None,
        log_size: int = LOG_SIZE,
        port: int | Mapping[str, int] = 0,
        same_ports: bool = False,
        broker: str | Broker | None = None,
        host: str = "127.0.0.1",
        allowed_hosts: Sequence[str] = (),
        allowed_origins: Sequence[str] = (),
    ):
        if log_size < 1:
            raise ValueError(f"log_size must be at least 1, not {log_size}")
        if broker is not None and (schedule is not None or log is not None or duration_s is not None or hold):
            raise ValueError("with a broker the news come from there: give the schedule, and its log, to the publisher")
        self.names = tuple(transport.name for transport in find(names))
        self._job: ServerJob = {
            "transports": list(self.names),
            "schedule": (schedule or every(1.0)).recipe() if broker is None else None,
            "duration_s": duration_s,
            "hold": hold,
            "max_connections": most_connections(len(self.names)) if max_connections is None else max_connections,
            "pace": asdict(pace),
            "log": None if log is None else abspath(log),
            "log_size": log_size,
            "port": _ports(self.names, port, same_ports),
            "broker": broker.url if isinstance(broker, Broker) else broker,
            "host": host,
            "allowed_hosts": list(allowed_hosts),
            "allowed_origins": list(allowed_origins),
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

    def port(self, name: str | None = None) -> int:
        """Return the port of one transport, by default the first: where a `Line` has to lead."""
        return self._told()["ports"][name or self.names[0]]

    async def start(self) -> Server:
        """Start the process and wait until it listens. Starting again while it runs changes nothing."""
        async with self._starting:
            if not self.running:
                if self._child is not None:  # it has ended by itself
                    self._child.kill()
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


def _ports(names: Sequence[str], port: int | Mapping[str, int], same: bool) -> int | dict[str, int]:
    if same:
        return dict(zip(names, lasting_ports(len(names)), strict=True))
    return port if isinstance(port, int) else dict(port)


async def start(*names: str, schedule: Schedule | None = None, **options: Any) -> Server:
    """Start a server that lasts beyond this cell, and return it; end it with `await server.stop()`.

    Meant for a notebook, where cells are run again: the server that an earlier call started for the same transports
    is stopped first, so there is only ever one. It ends with the kernel, however the kernel ends.
    """
    server = Server(*names, schedule=schedule, **options)
    return await keep_one(("serve", *server.names), server)
