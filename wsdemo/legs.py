"""Where a push spends its time, leg by leg: the server notes two moments of each update, the readers a third.

A server and readers of their own, in processes as a run has them. Both read one clock, `time.perf_counter_ns()`.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass

from wsdemo.processes.children import Child
from wsdemo.processes.jobs import LegsJob, RehearsalJob, Scene, SceneHeard, Start
from wsdemo.processes.rehearsal import MOST_READERS
from wsdemo.transports import find
from wsdemo.words import duration

_LEAD_S, _REST_S = 0.1, 0.3


@dataclass(frozen=True)
class Legs:
    """The legs of a push, each the median over the updates, in seconds.

    wake_s: from the update's moment until the server's timer has woken. write_s: from then until its frame is written
    to every reader. way_s: from then until the reader in the middle has it, through the kernel, to a process that has
    to wake, and through its library. It is negative where that reader had it before the last frame was written.
    latency_s: from the first to the last, whose median need not be the sum of the others. updates: how many there were.
    """

    transport: str
    readers: int
    updates: int
    wake_s: float
    write_s: float
    way_s: float
    latency_s: float

    def __str__(self) -> str:
        legs = (("the timer wakes", self.wake_s), ("written to all", self.write_s), ("heard, median", self.way_s))
        lines = [f"{name:16}{duration(leg_s):>9}" for name, leg_s in (*legs, ("all of it", self.latency_s))]
        readers = "1 reader" if self.readers == 1 else f"{self.readers} readers"
        return "\n".join([f"{self.transport}, {readers}, {self.updates} updates", *lines])


async def legs(transport: str = "websocket", readers: int = 1, *, gap_s: float = 0.25, updates: int = 12) -> Legs:
    """Push so many updates, `gap_s` apart, and return where their time went.

    transport: one that is streamed to, since only there the server knows when it has written. Takes about
    `gap_s * updates` seconds. Raises ValueError for what cannot be tried, `children.ChildFailed` if a process dies.
    """
    (row,) = find([transport])
    if row.habit != "streamed":
        raise ValueError(
            f"{row.label} is not streamed to, so no writing of its server can be told apart: use websocket"
        )
    if not (1 <= readers <= MOST_READERS and updates >= 1 and gap_s > 0):
        raise ValueError(f"legs needs 1 to {MOST_READERS} readers, an update or more, and a gap above 0 seconds")
    job: LegsJob = {"transport": row.name, "gap_s": gap_s}
    server, crowd = Child("legs", job), None
    try:
        url = (await server.answer())["url"]
        crowd = Child("rehearsal", RehearsalJob(transport=row.name, url=url, host="127.0.0.1", probe_port=0))
        found = await _pushed(row.name, server, crowd, readers, gap_s, updates)
        await asyncio.gather(crowd.stop(), server.stop())
        return found
    finally:
        for child in filter(None, (crowd, server)):
            child.kill()


async def _pushed(transport: str, server: Child, crowd: Child, readers: int, gap_s: float, updates: int) -> Legs:
    seconds = gap_s * (updates + 0.5)
    scene: Scene = {
        "phases_s": [0.0] * readers,
        "interval_s": 1.0,
        "seconds": seconds,
        "rest_s": _REST_S,
        "probes": 0,
    }
    crowd.tell(scene)
    await crowd.answer()
    await asyncio.sleep(0)
    start: Start = {"start_ns": time.perf_counter_ns() + round(_LEAD_S * 1e9)}
    server.tell(start)
    await server.answer()
    crowd.tell(start)
    heard: SceneHeard = await crowd.answer()
    server.tell({})
    seen = (await server.answer())["legs"]
    late = {
        seq: [late_s for one, late_s, _ in heard["heard"] if one == seq and late_s is not None] for seq, _, _ in seen
    }
    whole = [(wake_s, write_s, statistics.median(late[seq])) for seq, wake_s, write_s in seen[:updates] if late[seq]]
    wake_s, write_s, latency_s = (statistics.median(leg) for leg in zip(*whole, strict=True))
    way_s = statistics.median(late_s - wake - write for wake, write, late_s in whole)
    return Legs(transport, readers, len(whole), wake_s, write_s, way_s, latency_s)
