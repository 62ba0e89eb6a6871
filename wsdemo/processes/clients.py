"""Many clients of one server in a process of their own: what `measure` starts beside the server.

They do not share the kernel's process, so neither its file limit nor its drawing can spoil the measurement.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import statistics
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

from wsdemo.limits import allow_connections
from wsdemo.loops import PromptSelector
from wsdemo.processes.children import say
from wsdemo.processes.jobs import ClientsJob, ClientsReady, ClientsTally, Tally
from wsdemo.processes.stalls import Watch
from wsdemo.reader import Delivery, Reader
from wsdemo.returns import JITTERED, Returning
from wsdemo.transports import TRANSPORTS
from wsdemo.workload import DEFAULT_PACE

GRACE_S = 0.25
"""How long after the last poll's due time the answers may take before the clients hang up."""
OVERTIME_S = 10.0
"""How long clients that are behind their timetable may go on, so that an overloaded run still counts every poll."""
PROBES = 51
_AT_A_TIME = 4


class _FewAtATime(PromptSelector):
    """Hands a few ready sockets to the event loop at a time, and asks the system again once all are handed out.

    A message that has come for a hundred clients makes a hundred sockets ready at once. The loop would read them all
    before it wakes the first client, so that each would wait for all. Real clients, on machines of their own, do not.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ready: deque[tuple[selectors.SelectorKey, int]] = deque()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not self._ready:
            self._ready.extend(super().select(timeout))
        few = [self._ready.popleft() for _ in range(min(_AT_A_TIME, len(self._ready)))]
        # Of one that was let go meanwhile nothing is said; if it is watched for something else now, that is for later.
        return [(key, events) for key, events in few if self.get_map().get(key.fd) is key]


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that clients are measured on."""
    return asyncio.SelectorEventLoop(_FewAtATime())


async def run_child(job: ClientsJob, orders: AsyncIterator[Any]) -> None:
    """Connect all clients, wait for `Start`, run; answer twice with one line on stdout.

    The first answer, `ClientsReady`, comes once every client is connected; the second, `ClientsTally`, after the run.
    """
    allow_connections(len(job["phases_s"]))
    # The end of stdin must end this process at any moment, so the rest of it is read beside the work.
    start: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    work = asyncio.create_task(_work(job, start))
    follow = asyncio.create_task(_follow(orders, start))
    done, _ = await asyncio.wait({work, follow}, return_when=asyncio.FIRST_COMPLETED)
    for task in (work, follow):
        task.cancel()
    await asyncio.gather(work, follow, return_exceptions=True)
    if work in done:
        work.result()


async def _follow(orders: AsyncIterator[Any], start: asyncio.Future[int]) -> None:
    async for order in orders:
        start.set_result(order["start_ns"])


async def _work(job: ClientsJob, start: asyncio.Future[int]) -> None:
    delay_s = await _one_way_delay(job["host"], job["probe_port"], job.get("probes", PROBES))
    hear = TRANSPORTS[job["transport"]].module().hear
    common: dict[str, Any] = {
        "hold_s": job.get("hold_s", DEFAULT_PACE.hold_s),
        "returning": Returning(job.get("returning", JITTERED.kind)),
    }
    readers = [
        Reader(job["interval_s"], phase_s=phase_s, duration_s=job["duration_s"], gate=start, **common)
        for phase_s in job["phases_s"]
    ]
    heard: list[list[Delivery]] = [[] for _ in readers]

    async def attend(number: int) -> None:
        async with aclosing(hear(job["url"], readers[number])) as deliveries:
            async for delivery in deliveries:
                heard[number].append(delivery)

    # A few at a time: a thousand handshakes at once would overflow the server's queue of new connections.
    tasks: list[asyncio.Task[None]] = []
    for number in range(len(readers)):
        tasks.append(asyncio.create_task(attend(number)))
        if number % 50 == 49:
            await all_open(readers[: number + 1], tasks)
    await all_open(readers, tasks)
    ready: ClientsReady = {"delay_s": delay_s}
    say(ready)
    t0_ns = await asyncio.shield(start)
    gc.collect()
    gc.disable()
    watch = Watch()
    watch.start()
    await _until_the_end(job, t0_ns, readers, tasks)
    tally: ClientsTally = {
        "readers": [_tally(*one, t0_ns) for one in zip(readers, heard, strict=True)],
        "stalls": watch.stop(),
    }
    say(tally)


async def _until_the_end(job: ClientsJob, t0_ns: int, readers: list[Reader], tasks: list[asyncio.Task[None]]) -> None:
    """Wait for the end of the run and for clients that are behind, then hang up; raise the failure of any client."""
    end_ns = t0_ns + round((job["duration_s"] + job["interval_s"]) * 1e9)
    await asyncio.sleep((end_ns - time.perf_counter_ns()) / 1e9 + job.get("grace_s", GRACE_S))
    late = [task for task, reader in zip(tasks, readers, strict=True) if reader.polling]
    if late:
        await asyncio.wait(late, timeout=OVERTIME_S)
    for task in tasks:
        if not task.done():
            task.cancel()
    for failure in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(failure, Exception):
            raise failure


async def all_open(readers: list[Reader], tasks: list[asyncio.Task[None]]) -> None:
    """Wait until every reader is connected; raise the failure of the first that cannot."""
    waiting = asyncio.create_task(_opened(readers))
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            waiting.cancel()
            task.result()
    await waiting


async def _opened(readers: list[Reader]) -> None:
    for reader in readers:
        await reader.is_open.wait()


async def _one_way_delay(host: str, port: int, probes: int) -> float:
    """Return the median one-way delay of the bare line, in seconds."""
    return statistics.median(await one_way_delays(host, port, probes))


async def one_way_delays(host: str, port: int, probes: int, pause_s: float = 0.0) -> list[float]:
    """Return half the round trip of a few bytes through the server's TCP echo, in seconds, for each of the probes.

    pause_s: before each of them; a line that is asked seldom finds all code cold.
    """
    reader, writer = await asyncio.open_connection(host, port)
    delays_s = []
    for _ in range(probes):
        await asyncio.sleep(pause_s)
        sent_ns = time.perf_counter_ns()
        writer.write(b"x" * 64)
        await reader.readexactly(64)
        delays_s.append((time.perf_counter_ns() - sent_ns) / 2e9)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return delays_s


def _tally(reader: Reader, deliveries: list[Delivery], t0_ns: int) -> Tally:
    return {
        "requests": [((ask.at_ns - t0_ns) / 1e9, ask.wasted, ask.opening or ask.further) for ask in reader.requests],
        "heard": [(news.seq, (news.received_at_ns - t0_ns) / 1e9, news.latency_s) for news in deliveries],
        "duplicates": reader.duplicates,
        "resets": reader.resets,
        "failures": reader.failures,
        "polls_due": reader.polls_due,
        "polls_left_out": reader.polls_left_out,
    }
