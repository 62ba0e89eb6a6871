"""Several server processes on one broker, and what publishes there: `Gateways`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from os import PathLike
from typing import Any

from wsdemo.guard import names_of, warn_public
from wsdemo.leaving import until_told
from wsdemo.meter import lasting_ports
from wsdemo.processes.children import ChildFailed, say
from wsdemo.scale.broker import Broker, joining, without_token
from wsdemo.scale.publisher import Source
from wsdemo.serve import Server
from wsdemo.tasks import background
from wsdemo.transports import find
from wsdemo.updates import Schedule

LOOK_S = 0.5
"""How often it is looked who has ended."""


class Gateways:
    """Gateways, a broker and a publisher. Use as `async with Gateways("websocket", count=3) as gateways:`.

    names: the transports, on every gateway; count: how many gateways; schedule: what is published (default: one update
    a second), log: a file that keeps it, as for `Source`; broker: the address of one that runs elsewhere, None for one
    of our own; publish: whether we do, by default where the broker is ours; port: of the first transport of the first
    gateway, those after it get the next (default: any that are free); the rest as for `Server`.

    Each gateway is a `Server`: after `gateways[0].kill()`, `await gateways[0].start()` has it back at the same address.
    So with `gateways.broker`, and nothing is lost by either. So with `gateways.source`, the publisher: with a log it
    goes on where it was, without one it begins again at its first update. Raises ValueError before anything is started
    if an argument cannot be used, `ChildFailed` if something cannot start.
    """

    def __init__(
        self,
        *names: str,
        count: int = 2,
        schedule: Schedule | None = None,
        duration_s: float | None = None,
        log: str | PathLike[str] | None = None,
        broker: str | None = None,
        publish: bool | None = None,
        port: int = 0,
        **options: Any,
    ):
        if count < 1:
            raise ValueError(f"count must be at least 1 gateway, not {count}")
        self.names = tuple(transport.name for transport in find(names))
        publishes = broker is None if publish is None else publish
        if not publishes and (schedule is not None or duration_s is not None or log is not None):
            raise ValueError("who does not publish needs no schedule, duration or log: say publish=True")
        if broker is not None:
            self.broker, url = None, joining(broker)
        else:
            self.broker = Broker()
            url = self.broker.url
        self.address = without_token(url)
        self.source = Source(url, schedule, duration_s=duration_s, log=log) if publishes else None
        self.all = [Server(*self.names, broker=url, port=own, **options) for own in self._ports(count, port)]

    async def __aenter__(self) -> Gateways:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def __repr__(self) -> str:
        running = sum(one.running for one in self.all)
        return f"<Gateways {' '.join(self.names)}: {running} of {len(self.all)} running>"

    def __getitem__(self, number: int) -> Server:
        return self.all[number]

    def __len__(self) -> int:
        return len(self.all)

    def __iter__(self) -> Iterator[Server]:
        return iter(self.all)

    def urls(self, name: str | None = None, first: int = 0) -> list[str]:
        """Return the addresses of one transport, by default the first, for `hear`: beginning with gateway `first`.

        A reader goes on to the next after a failure. So readers are spread if each begins with another.
        """
        turn = first % max(1, len(self.all))
        return [one.url(name) for one in self.all[turn:] + self.all[:turn]]

    async def start(self) -> Gateways:
        """Start what does not run: the broker, the publisher, the gateways. Starting again starts who was killed."""
        try:
            await self.start_fallen()
        except BaseException:
            await self.stop()
            raise
        return self

    async def start_fallen(self) -> None:
        """Start what does not run, and leave what does as it is, whatever goes wrong."""
        if self.broker is not None:
            await self.broker.start()
        if self.source is not None:
            await self.source.start()
        await _all(*(one.start() for one in self.all))

    async def roll(self, over_s: float = 1.0) -> None:
        """Deploy: let each gateway, one after the other, send its readers away over so many seconds, and start anew."""
        for one in self.all:
            await one.drain(over_s)
            await one.stop()
            await one.start()

    def about(self) -> dict[str, Any]:
        """Return where everything is, ready for JSON: lists by transport, in the order of the gateways."""
        urls = {name: self.urls(name) for name in self.names}
        ports = {name: [one.port(name) for one in self.all] for name in self.names}
        return {"urls": urls, "ports": ports, "broker": self.address, "epoch": self.all[0].epoch}

    def fallen(self) -> list[str]:
        """Return what does not run of "broker", "publisher", "gateway 1", "gateway 2" …"""
        parts: dict[str, Broker | Source | Server | None] = {"broker": self.broker, "publisher": self.source}
        parts |= {f"gateway {number}": one for number, one in enumerate(self.all, 1)}
        return [name for name, part in parts.items() if part is not None and not part.running]

    async def keep_up(self, tell: Callable[[str], object]) -> None:
        """For ever: start again what has ended by itself, and say so."""
        while True:
            await asyncio.sleep(LOOK_S)
            if fallen := self.fallen():
                tell(f"ended, and started again: {', '.join(fallen)}")
                try:
                    await self.start_fallen()
                    tell("all of them run")
                except ChildFailed as error:
                    tell(f"not yet: {error}")

    async def drain(self, over_s: float) -> None:
        """Let all gateways send their readers away over so many seconds, as `Server.drain` does."""
        await _all(*(one.drain(over_s) for one in self.all))

    async def stop(self) -> None:
        """End all and wait until they are gone, the broker last. Stopping again changes nothing."""
        try:
            await _all(*(one.stop() for one in self.all), *([self.source.stop()] if self.source else []))
        finally:
            if self.broker is not None:
                await self.broker.stop()

    def _ports(self, count: int, port: int) -> list[dict[str, int]]:
        """Return the ports of each gateway, by transport; one that is away keeps its own."""
        each = len(self.names)
        ports = list(range(port, port + count * each)) if port else lasting_ports(count * each)
        return [dict(zip(self.names, ports[one * each :], strict=False)) for one in range(count)]


async def run(names: Sequence[str], *, note: str = "", drain_s: float | None = None, **options: Any) -> None:
    """Serve for people until cancelled: `python -m wsdemo serve --gateways N`. Arguments as for `Gateways`.

    The first line on stdout is JSON with the addresses and ports of each transport, in the order of the gateways, and
    the broker's address without its token; the sentences are on stderr. What ends by itself is started again.
    """
    gateways = Gateways(*names, **options)
    tell = partial(print, file=sys.stderr, flush=True)
    async with gateways:
        host = options.get("host", "127.0.0.1")
        warn_public(host)
        say(gateways.about())
        for transport in find(names):
            for number, one in enumerate(gateways, 1):
                for name in names_of(host):
                    tell(f"{transport.label}, gateway {number}: {transport.url(one.port(transport.name), name)}")
        tell(*filter(None, [note, f"Broker: {gateways.address}", "Ctrl-C stops all of them."]), sep="\n")
        async with background(gateways.keep_up(tell)):
            await until_told(drain_s)
        await gateways.drain(drain_s or 0.0)


async def _all(*parts: Any) -> None:
    """Wait for all of them, and only then raise what went wrong with one."""
    for failure in await asyncio.gather(*parts, return_exceptions=True):
        if isinstance(failure, BaseException):
            raise failure
