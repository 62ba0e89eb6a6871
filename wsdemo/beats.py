"""Even times for what a server says by itself, and the least time between two messages to one reader.

A loop that sleeps a period after each beat falls behind by what every beat takes: at a hundred beats by one or two.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator


async def beats(period_s: float) -> AsyncIterator[int]:
    """Yield k at k periods from now on, k = 1, 2, 3 …; beats that fall due while the body is busy are left out."""
    start_s, beat = time.monotonic(), 0
    while True:
        beat = max(beat + 1, math.ceil((time.monotonic() - start_s) / period_s))
        await asyncio.sleep(start_s + beat * period_s - time.monotonic())
        yield beat


class Conflation:
    """Lets a writer have a turn at most once in so many seconds, and the first one after a quiet time at once.

    What comes meanwhile waits, and goes out together. at_most_every_s: None for a turn whenever it is asked for.
    """

    def __init__(self, at_most_every_s: float | None):
        self.at_most_every_s = at_most_every_s
        self._next_s = -math.inf

    async def turn(self) -> None:
        """Wait for the next turn, and take it."""
        if self.at_most_every_s is None:
            return
        if (rest_s := self._next_s - time.monotonic()) > 0:
            await asyncio.sleep(rest_s)  # by the loop's own clock, so never early
        self._next_s = time.monotonic() + self.at_most_every_s
