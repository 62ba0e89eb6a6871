"""Gateways on one broker: whoever is killed, readers lose nothing, hear nothing twice, and in order."""

import asyncio
import contextlib
import itertools
import time

import pytest
from patience import patient

from wsdemo.gateways import Gateways
from wsdemo.reader import Reader
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import every

RATE_PER_S = 50


class Readers:
    """Readers of gateways, each beginning with another; heard: what each has, in the order in which it came."""

    def __init__(self, gateways, names, count):
        self.heard = [[] for _ in range(count)]
        self.readers = [Reader(0.05, after=0) for _ in range(count)]
        self._ways = [
            TRANSPORTS[name].module().hear(gateways.urls(name, first=number), reader)
            for number, (name, reader) in enumerate(zip(itertools.cycle(names), self.readers, strict=False))
        ]

    async def __aenter__(self):
        self._tasks = [asyncio.create_task(self._attend(*one)) for one in zip(self._ways, self.heard, strict=True)]
        return self

    async def __aexit__(self, *exc_info):
        for task in self._tasks:
            task.cancel()
        failures = [one for one in await asyncio.gather(*self._tasks, return_exceptions=True) if one]
        assert not [one for one in failures if not isinstance(one, asyncio.CancelledError)], failures

    async def _attend(self, way, heard):
        async with contextlib.aclosing(way) as deliveries:
            async for delivery in deliveries:
                heard.append((delivery.seq, time.monotonic()))

    async def have(self, seq):
        """Wait until every reader has heard this update."""
        async with asyncio.timeout(patient(60)):
            while not all(heard and heard[-1][0] >= seq for heard in self.heard):
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.02)

    def newest(self):
        return max(heard[-1][0] for heard in self.heard if heard)

    def silence_s(self):
        """Return the longest time in which a reader heard nothing, between two updates."""
        return max(b[1] - a[1] for heard in self.heard for a, b in itertools.pairwise(heard))

    def judge(self):
        """All updates, each once, in order; and no reader was ever sent back to the beginning."""
        for heard in self.heard:
            assert [seq for seq, _ in heard] == list(range(1, len(heard) + 1))
        assert sum(reader.resets for reader in self.readers) == 0


@pytest.mark.large
def test_gateways_are_killed_under_readers_and_nothing_is_lost(amount):
    """Killed (-9) one after the other, and started again on the same ports, under readers by all transports."""
    kills, readers = amount(small=4, large=20), 20

    async def scenario():
        async with Gateways(*TRANSPORTS, count=2, schedule=every(1 / RATE_PER_S)) as gateways:
            async with Readers(gateways, TRANSPORTS, readers) as crowd:
                await crowd.have(5)
                for number in range(kills):
                    victim = gateways[number % len(gateways)]
                    pid, ports = victim.pid, [victim.port(name) for name in TRANSPORTS]
                    victim.kill()
                    await crowd.have(crowd.newest() + 5)  # by the other
                    await victim.start()
                    assert victim.pid != pid and [victim.port(name) for name in TRANSPORTS] == ports
                    await crowd.have(crowd.newest() + 5)
                assert sum(reader.failures for reader in crowd.readers) >= kills
            crowd.judge()
            return crowd.silence_s()

    print(f"longest silence {asyncio.run(scenario()):.2f} s")


@pytest.mark.large
def test_the_broker_is_killed_under_readers_and_nothing_is_lost(amount):
    """What it had acknowledged survives; what it had not is sent again; gateways find it again by themselves."""
    kills, readers = amount(small=1, large=3), 20

    async def scenario():
        async with Gateways(*TRANSPORTS, count=2, schedule=every(1 / RATE_PER_S)) as gateways:
            pids = [one.pid for one in gateways]
            async with Readers(gateways, TRANSPORTS, readers) as crowd:
                await crowd.have(5)
                for _ in range(kills):
                    gateways.broker.kill()
                    assert gateways.fallen() == ["broker"]
                    await gateways.broker.start()
                    await crowd.have(crowd.newest() + 20)
            crowd.judge()
            assert [one.pid for one in gateways] == pids  # none of them has ended over it
            assert sum(reader.failures for reader in crowd.readers) == 0
            return crowd.silence_s()

    print(f"longest silence {asyncio.run(scenario()):.2f} s")
