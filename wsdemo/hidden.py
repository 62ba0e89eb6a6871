"""A line with a fault that nobody names, for an exercise: a client of the learner's own goes over it, and is judged.

The fault comes from a seed: a cut after a time or after some bytes, cuts again and again, a line that is half-open
for good, a proxy with nobody behind it. The first connection always has it. Before the last update all of it is over or
can be left behind, so that a client which notices, comes back and says where it was hears everything, once.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from wsdemo.line import Fault, Line, words_of
from wsdemo.serve import Server
from wsdemo.updates import every

PERIOD_S, UPDATES = 0.05, 50
"""So often comes an update, and so many come."""
LATE_S = 1.0
"""An update that is first heard so long after it was published, or later, counts as late."""
PATIENCE_S = 3.0
"""After the last update a client has so long for what it has not heard."""
_HEAD_START_S = 0.3
_OVER_S = _HEAD_START_S + PERIOD_S * UPDATES

Hear = Callable[[str], AsyncGenerator[int]]
"""A client: takes an address such as "ws://127.0.0.1:8000/updates" and yields the `seq` of each update as it comes."""


@dataclass(frozen=True)
class Verdict:
    """What one client did on one line.

    seed: which fault it was; fault: in words, as `wsdemo.line` has them; lost: updates it never yielded; twice: how
    often it yielded one again; late: of those it heard, how many `LATE_S` or more after they were published; error: how
    it ended, if it failed.
    """

    seed: int
    fault: str
    lost: int
    twice: int
    late: int
    error: str = ""

    def __str__(self) -> str:
        end = f", ended by {self.error}" if self.error else ""
        return f"seed {self.seed}: {self.lost} lost, {self.twice} twice, {self.late} late{end}"


def hidden_fault(seed: int) -> Fault:
    """Return the fault of a seed. The same seed has the same fault on every machine."""
    chance = random.Random(f"a hidden fault {seed}")
    at_s, rst = round(chance.uniform(0.8, 1.6), 2), chance.random() < 0.5
    halves = (Fault(chance=0.5, seed=place) for place in itertools.count(seed * 1000))
    luck = next(fault.seed for fault in halves if fault.hits(1) and not fault.hits(2))
    return chance.choice(
        [
            Fault(cut_after_s=at_s, rst=rst, for_s=_OVER_S),
            Fault(cut_after_bytes=chance.randrange(1500, 3500), rst=rst, for_s=_OVER_S),
            Fault(cut_every_s=at_s / 2, rst=rst, for_s=_OVER_S),
            Fault(vanish="both", from_s=at_s, chance=0.5, seed=luck),
            Fault(unavailable_status=503, from_s=at_s, for_s=round(chance.uniform(0.3, 0.8), 2)),
        ]
    )


async def examine(hear: Hear, seeds: Iterable[int]) -> list[Verdict]:
    """Let a client hear one feed over a line for each seed, all at the same time, and return a verdict for each.

    hear: begins with the first update, so its first question says `after=0`. It may end by itself; it is closed once it
    has heard all, or `PATIENCE_S` after the last update. Raises ValueError if there is no seed.
    """
    chosen = list(seeds)
    if not chosen:
        raise ValueError("examine needs at least one seed")
    schedule = every(PERIOD_S)
    async with Server("websocket", schedule=schedule, duration_s=PERIOD_S * (UPDATES + 0.5), hold=True) as server:
        start_ns = time.perf_counter_ns() + round(_HEAD_START_S * 1e9)
        clients = [asyncio.create_task(_heard(hear, server.port(), seed, start_ns)) for seed in chosen]
        try:
            await server.begin(start_ns)
            return await asyncio.gather(*clients)
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)


async def _heard(hear: Hear, port: int, seed: int, start_ns: int) -> Verdict:
    """Let one client hear over one line, and judge it."""
    fault, first, error = hidden_fault(seed), dict[int, float](), ""
    twice = 0

    async def listen(line: Line) -> None:
        nonlocal twice
        async with aclosing(hear(f"ws://127.0.0.1:{line.port}/updates")) as updates:
            async for seq in updates:
                if seq in first:
                    twice += 1
                first.setdefault(seq, (time.perf_counter_ns() - start_ns) / 1e9)
                if len(first) == UPDATES:
                    return

    async with Line(port, fault) as line:
        try:
            async with asyncio.timeout(_OVER_S + PATIENCE_S):
                await listen(line)
        except TimeoutError:
            pass
        except Exception as failure:  # the learner's own, whatever it is: the verdict names it
            error = type(failure).__name__
    late = sum(at_s - PERIOD_S * seq >= LATE_S for seq, at_s in first.items())
    return Verdict(seed, words_of(fault), UPDATES - len(first), twice, late, error)
