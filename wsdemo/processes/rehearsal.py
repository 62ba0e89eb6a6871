"""Readers that only try what a transport takes on this machine, scene by scene, before a run: see `rehearse`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from wsdemo.limits import allow_connections
from wsdemo.processes.children import say
from wsdemo.processes.clients import all_open, one_way_delays
from wsdemo.processes.jobs import RehearsalJob, Scene, SceneHeard
from wsdemo.reader import Delivery, Reader
from wsdemo.tasks import background
from wsdemo.transports import TRANSPORTS

MOST_READERS = 100


async def run_child(job: RehearsalJob, orders: AsyncIterator[Any]) -> None:
    """Play scenes until stdin ends. Each is told twice, `Scene` and `Start`, and answered twice, {} and `SceneHeard`.

    The readers of a scene leave when the next one is told, so that whoever counts at the server can look before.
    """
    allow_connections(MOST_READERS)
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def fail() -> None:
        await failure

    async with background(fail()):
        await _play(job, orders, failure)


async def _play(job: RehearsalJob, orders: AsyncIterator[Any], failure: asyncio.Future[None]) -> None:
    stage: _Stage | None = None
    listening: asyncio.Task[SceneHeard] | None = None

    def tell(heard: asyncio.Task[SceneHeard]) -> None:
        if heard.cancelled():
            return
        if (error := heard.exception()) is not None:  # whoever waits for the answer is to hear that there is none
            failure.set_exception(error)
        else:
            say(heard.result())

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
                listening.add_done_callback(tell)
    finally:
        if listening is not None:
            listening.cancel()
        if stage is not None:
            await stage.clear()


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
        await all_open(self._readers, self._tasks)

    async def _attend(self, hear: Any, reader: Reader) -> None:
        async with aclosing(hear(self._job["url"], reader)) as deliveries:
            async for delivery in deliveries:
                self._heard.append(_noted(delivery, reader, self._gate.result()))

    async def listen(self, start_ns: int) -> SceneHeard:
        self._gate.set_result(start_ns)
        await asyncio.sleep(max(0, start_ns - time.perf_counter_ns()) / 1e9)
        delays_s = await self._probe()
        await asyncio.sleep(start_ns / 1e9 + self._scene["seconds"] + self._scene["rest_s"] - time.perf_counter())
        for task in self._tasks:
            if task.done():
                task.result()  # which raises what ended it, if it was no end of its polls
        requests = [request for reader in self._readers for request in reader.requests if not request.opening]
        return {
            "heard": self._heard,
            "requests": len(requests),
            "wasted": sum(request.wasted is True for request in requests),
            "answered": sum(request.wasted is False for request in requests),
            "delays_s": delays_s,
        }

    async def _probe(self) -> list[float]:
        """Return the one-way delays of the bare line, probed at the pace of news."""
        probes = self._scene["probes"]
        if not probes:
            return []
        pause_s = self._scene["seconds"] / (probes + 1)
        return await one_way_delays(self._job["host"], self._job["probe_port"], probes, pause_s)

    async def clear(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _noted(delivery: Delivery, reader: Reader, start_ns: int) -> tuple[int, float | None, float | None]:
    if delivery.published_at_ns < start_ns:
        return delivery.seq, None, None
    return delivery.seq, delivery.latency_s, (delivery.received_at_ns - reader.requests[-1].at_ns) / 1e9
