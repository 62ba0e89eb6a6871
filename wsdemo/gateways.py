"""Several server processes on one broker, and what publishes there: `Gateways`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from os import PathLike
from typing import Any

from wsdemo.meter import lasting_ports
from wsdemo.scale.broker import Broker
from wsdemo.scale.publisher import Source
from wsdemo.serve import Server
from wsdemo.transports import find
from wsdemo.updates import Schedule


class Gateways:
    """Gateways, a broker and a publisher. Use as `async with Gateways("websocket", count=3) as gateways:`.

    names: the transports, on every gateway; count: how many gateways; schedule: what is published (default: one update
    a second), log: a file that keeps it, as for `Source`; broker: the address of one that runs elsewhere, None for one
    of our own; publish: whether we do, by default where the broker is ours; port: of the first transport of the first
    gateway, those after it get the next (default: any that are free); the rest as for `Server`.

    Each gateway is a `Server`: after `gateways[0].kill()`, `await gateways[0].start()` has it back at the same address.
    So with `gateways.broker`, and `gateways.source`, the publisher. Nothing is lost by it. Raises ValueError before
    anything is started if an argument cannot be used, `ChildFailed` if something cannot start.
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
        self.broker = Broker() if broker is None else None
        url = broker or (self.broker.url if self.broker else "")
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
            if self.broker is not None:
                await self.broker.start()
            if self.source is not None:
                await self.source.start()
            await _all(*(one.start() for one in self.all))
        except BaseException:
            await self.stop()
            raise
        return self

    async def roll(self, over_s: float = 1.0) -> None:
        """Deploy: let each gateway, one after the other, send its readers away over so many seconds, and start anew."""
        for one in self.all:
            await one.drain(over_s)
            await one.stop()
            await one.start()

    def fallen(self) -> list[str]:
        """Return what does not run of "broker", "publisher", "gateway 1", "gateway 2" …"""
        parts: dict[str, Broker | Source | Server | None] = {"broker": self.broker, "publisher": self.source}
        parts |= {f"gateway {number}": one for number, one in enumerate(self.all, 1)}
        return [name for name, part in parts.items() if part is not None and not part.running]

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


async def _all(*parts: Any) -> None:
    """Wait for all of them, and only then raise what went wrong with one."""
    for failure in await asyncio.gather(*parts, return_exceptions=True):
        if isinstance(failure, BaseException):
            raise failure
