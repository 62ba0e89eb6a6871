"""One reader of a feed: its position in the log, its timetable of polls, and the tally of what it asked and heard.

Every transport's client side works on a `Reader`, so all are counted by the same rules.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from wsdemo.updates import Data
from wsdemo.workload import poll_times

Message = dict[str, Any]
"""What came as JSON."""


class Refused(RuntimeError):
    """A server said no, and why. status: the HTTP status of its answer."""

    def __init__(self, status: int, reason: str):
        super().__init__(f"the server refused ({status}): {reason}")
        self.status = status


class Unreachable(RuntimeError):
    """Nobody answered at the address when the reader first asked."""

    def __init__(self, url: str, error: Exception):
        super().__init__(f"nothing answers at {url} ({error or type(error).__name__}); is the server running there?")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One update that reached this reader for the first time. Both moments are `time.perf_counter_ns()`."""

    seq: int
    published_at_ns: int
    received_at_ns: int
    data: Data

    @property
    def latency_s(self) -> float:
        """How stale the news was, in seconds. Not the duration of a request."""
        return (self.received_at_ns - self.published_at_ns) / 1e9


@dataclass(slots=True)
class Request:
    """One HTTP exchange. at_ns: when it was due (a poll) or sent; wasted: None until answered, and if it failed.

    opening: a poller's first question, "where are we?", asked before the clock starts; further: one that is put at
    once, since the answer before it said that there is more. Neither is a poll.
    """

    at_ns: int
    wasted: bool | None = None
    opening: bool = False
    further: bool = False


class Reader:
    """A reader's position (epoch, seq), timetable and tally.

    interval_s: seconds between polls, for the transports that poll; phase_s: the first poll, seconds after the start
    (default: one interval); duration_s: polls are due before this moment, and once more after it, so that the last
    update is heard too (default: for ever); after, epoch: a position to resume from, None to start at the newest;
    gate: awaited between opening and the first poll, gives the start of the clock in ns (default: start at once).
    Raises ValueError for an interval that is not above 0.
    """

    def __init__(
        self,
        interval_s: float = 1.0,
        *,
        phase_s: float | None = None,
        duration_s: float = float("inf"),
        after: int | None = None,
        epoch: str | None = None,
        gate: asyncio.Future[int] | None = None,
    ):
        if not 0 < interval_s < float("inf"):
            raise ValueError(f"interval_s must be a number of seconds above 0, not {interval_s!r}")
        self.interval_s, self.duration_s = interval_s, duration_s
        self.phase_s = interval_s if phase_s is None else phase_s
        self.seq, self.epoch = after, epoch
        self.is_open = asyncio.Event()
        self.polling = False  # whether polls of its timetable are still to come
        self.polls_due = 0  # by its timetable, before the end of the run; 0 for those who never poll
        self.requests: list[Request] = []
        self.duplicates = 0
        self.resets = 0
        self.failures = 0
        self._gate = gate

    def position(self) -> dict[str, str]:
        """Return the query parameters that tell a server where this reader is; empty for a new reader."""
        pairs = {"after": self.seq, "epoch": self.epoch}
        return {name: str(value) for name, value in pairs.items() if value is not None}

    def asks(self, at_ns: int | None = None, *, opening: bool = False, further: bool = False) -> Request:
        """Count a request that is about to be sent, and return it, so that `wasted` can be set from its answer."""
        request = Request(time.perf_counter_ns() if at_ns is None else at_ns, opening=opening, further=further)
        self.requests.append(request)
        return request

    def place(self, position: Message) -> None:
        """Take over the server's position: where a new reader starts, or why an old one may have lost something."""
        if self.seq is None:
            self.seq = position["seq"]
        elif not position["recovered"]:
            self.resets += 1
            if position["epoch"] != self.epoch or position["seq"] < self.seq:
                self.seq = 0  # another history: its numbers start again
        self.epoch = position["epoch"]

    def take(self, message: Message) -> Delivery | None:
        """Return an update's message as a delivery if it is new to this reader; otherwise count a duplicate."""
        received_at_ns = time.perf_counter_ns()
        if message["seq"] <= (self.seq or 0):
            self.duplicates += 1
            return None
        self.seq = message["seq"]
        return Delivery(message["seq"], message["published_at_ns"], received_at_ns, message["data"])

    def take_all(self, messages: Iterable[Message]) -> list[Delivery]:
        """Return those of several updates that are new to this reader."""
        return [delivery for message in messages if (delivery := self.take(message)) is not None]

    async def opened(self) -> int:
        """Say that this reader is connected; return the start of the clock in ns, waiting for it if need be.

        After a reconnect the clock has long started, and this returns at once.
        """
        self.is_open.set()
        if self._gate is None:
            self._gate = asyncio.get_running_loop().create_future()
            self._gate.set_result(time.perf_counter_ns())
        return await asyncio.shield(self._gate)

    async def polls(self) -> AsyncIterator[int]:
        """Yield the due time of each poll in ns, at that time: absolute times, never `sleep(T)` after an answer.

        A poll that could not start in time starts late, and its due time stays: the delay shows in the latency.
        """
        t0_ns = await self.opened()
        self.polling = True
        if self.duration_s != float("inf"):
            self.polls_due = len(poll_times(self.phase_s, self.interval_s, self.duration_s))
        for k in itertools.count():
            at_s = self.phase_s + k * self.interval_s
            due_ns = t0_ns + round(at_s * 1e9)
            await asyncio.sleep(max(0, due_ns - time.perf_counter_ns()) / 1e9)
            yield due_ns
            if at_s >= self.duration_s:  # that was the one further poll
                self.polling = False
                return


async def pause(attempt: int, longest_s: float = 10.0) -> None:
    """Wait before reconnecting for the nth time in a row (0, 1, 2 …): growing, and jittered.

    Without the jitter, every client of a restarted server would come back in the same instant.
    """
    await asyncio.sleep(random.uniform(0.5, 1.0) * min(longest_s, 0.05 * 2 ** min(attempt, 10)))


class Attempts:
    """One reader's attempts to reach a server: it gives up if nobody answers at first, and comes back ever after."""

    def __init__(self, url: str, reader: Reader):
        self._url, self._reader = url, reader
        self._in_a_row = 0

    def succeeded(self) -> None:
        self._in_a_row = 0

    def failed(self, error: Exception) -> None:
        """Count a failure on the way. Raises `Unreachable` if this reader has never been connected."""
        if not self._reader.is_open.is_set():
            raise Unreachable(self._url, error) from error
        self._reader.failures += 1

    async def wait(self) -> None:
        """Wait before the next attempt: longer each time, until one succeeds."""
        await pause(self._in_a_row)
        self._in_a_row += 1
