"""A line in a process of its own, where it takes no time from those whose latency is measured."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from wsdemo.line import Fault, Line, words_of
from wsdemo.processes.children import Child, say
from wsdemo.processes.jobs import LineAbout, LineDid, LineJob, LineOrder


async def run_child(job: LineJob, orders: AsyncIterator[Any]) -> None:
    """Keep a line to each port until stdin ends; the first has the faults, the others only what is steady in them.

    Told `LineOrder`, it answers what the first line has done; told {} too.
    """
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(Line(port, job["steady"])) for port in job["to_ports"]]
        about: LineAbout = {"ports": [line.port for line in lines]}
        say(about)
        async for order in orders:
            if "at_ns" in order:
                gc.collect()
                gc.disable()  # a collection at the wrong moment would be measured as latency
                wait_s = max(0.0, (order["at_ns"] - time.perf_counter_ns()) / 1e9)
                timer = asyncio.get_running_loop().call_later(wait_s, lines[0].change, order["fault"])
                stack.callback(timer.cancel)
            did: LineDid = lines[0].did.to_dict()  # type: ignore[assignment]
            say(did)


class LineProcess:
    """A line in a child process, to each of some ports of one server; end it with `kill`.

    fault: None for a line in order. It starts in order but for what is steady in it; `begin` lets it have the rest.
    """

    def __init__(self, fault: Fault | None = None):
        self._fault = fault or Fault()
        self._child: Child | None = None

    async def start(self, to_ports: Sequence[int]) -> list[int]:
        """Start it, and return where clients go instead. Raises `ChildFailed` if it cannot."""
        job: LineJob = {"to_ports": list(to_ports), "steady": words_of(self._fault.steady)}
        self._child = Child("line", job)
        about: LineAbout = await self._child.answer()
        return about["ports"]

    async def begin(self, at_ns: int) -> None:
        """Let the fault begin, at a moment of `time.perf_counter_ns()`."""
        order: LineOrder = {"at_ns": at_ns, "fault": words_of(self._fault)}
        await self._ask(order)

    async def did(self) -> LineDid:
        """Return what it has done so far."""
        return await self._ask({})

    def kill(self) -> None:
        """End it at once. Safe to call again, or if it never started."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    async def _ask(self, order: Mapping[str, Any]) -> LineDid:
        if self._child is None:
            raise RuntimeError("this line is not running: `await line.start(...)`")
        self._child.tell(order)  # no await between this and the next line: answers come in the order of the questions
        did: LineDid = await self._child.answer()
        return did
