"""Readers that only try what a transport takes on this machine, scene by scene, before a run: see `rehearse`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

from wsdemo.limits import allow_connections
from wsdemo.processes.children import say
from wsdemo.processes.jobs import RehearsalJob, Scene, SceneHeard
from wsdemo.reader import Delivery, Reader
from wsdemo.transports import TRANSPORTS

MOST_READERS = 100


async def run_child(job: RehearsalJob, orders: AsyncIterator[Any]) -> None:
    """Play scenes until stdin ends. Each is told twice, `Scene` and `Start`, and answered twice, {} and `SceneHeard`.

    The readers of a scene leave when the next one is told, so that whoever counts at the server can look before.
    """
    allow_connections(MOST_READERS)
    stage: _Stage | None = None
    listening: asyncio.Task[SceneHeard] | None = None
    try:
        async for order in orders:
            if "start_ns" not in order:
                if stage is not None:
                    await stage.clear()
                stage = _Stage(job, order)
                await stage.open()
                say({})
            elif stage is not None:
                # Beside the orders: the end of stdin must end this process at any moment.
                listening = asyncio.create_task(stage.listen(order["start_ns"]))
                listening.add_done_callback(_tell)
    finally:
        for task in filter(None, [listening]):
            task.cancel()
        if stage is not None:
            await stage.clear()


def _tell(listening: asyncio.Task[SceneHeard]) -> None:
    if not listening.cancelled():
        say(listening.result())


class _Stage:
    """The readers of one scene."""

    def __init__(self, job: RehearsalJob, scene: Scene):
        self._job, self._scene = job, scene
        self._gate: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._readers = [
            Reader(scene["interval_s"], phase_s=phase_s, duration_s=scene["seconds"], gate=self._gate)
            for phase_s in scene["phases_s"]
        ]
        self._heard: list[tuple[int, float | None, float | None]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        hear = TRANSPORTS[self._job["transport"]].module().hear
        self._tasks = [asyncio.create_task(self._attend(hear, reader)) for reader in self._readers]
        waiting = asyncio.create_task(self._opened())
        await asyncio.wait([waiting, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in self._tasks:
            if task.done():
                waiting.cancel()
                task.result()
        await waiting

    async def _opened(self) -> None:
        for reader in self._readers:
            await reader.is_open.wait()

    async def _attend(self, hear: Any, reader: Reader) -> None:
        async with aclosing(hear(self._job["url"], reader)) as deliveries:
            async for delivery in deliveries:
                self._heard.append(_noted(delivery, reader, self._gate.result()))

    async def listen(self, start_ns: int) -> SceneHeard:
        self._gate.set_result(start_ns)
        await asyncio.sleep(max(0, start_ns - time.perf_counter_ns()) / 1e9)
        delays_s = await self._probe()
        await asyncio.sleep(start_ns / 1e9 + self._scene["seconds"] + self._scene["rest_s"] - time.perf_counter())
        requests = [request for reader in self._readers for request in reader.requests if not request.opening]
        return {
            "heard": self._heard,
            "requests": len(requests),
            "wasted": sum(request.wasted is True for request in requests),
            "answered": sum(request.wasted is False for request in requests),
            "delays_s": delays_s,
        }

    async def _probe(self) -> list[float]:
        """Return half the round trip of a few bytes through the server's TCP echo, each time, at the pace of news."""
        probes, delays_s = self._scene["probes"], []
        if not probes:
            return []
        reader, writer = await asyncio.open_connection(self._job["host"], self._job["probe_port"])
        for _ in range(probes):
            await asyncio.sleep(self._scene["seconds"] / (probes + 1))
            sent_ns = time.perf_counter_ns()
            writer.write(b"x" * 64)
            await reader.readexactly(64)
            delays_s.append((time.perf_counter_ns() - sent_ns) / 2e9)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        return delays_s

    async def clear(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _noted(delivery: Delivery, reader: Reader, start_ns: int) -> tuple[int, float | None, float | None]:
    if delivery.published_at_ns < start_ns:
        return delivery.seq, None, None
    return delivery.seq, delivery.latency_s, (delivery.received_at_ns - reader.requests[-1].at_ns) / 1e9
