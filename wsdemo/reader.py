"""One reader of a feed: its position in the log, its timetable of polls, and the tally of what it asked and heard.

Every transport's client side works on a `Reader`, so all are counted by the same rules.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass

from wsdemo.far_end import Message as Message
from wsdemo.far_end import Refused as Refused
from wsdemo.far_end import Unreachable as Unreachable
from wsdemo.far_end import pause as pause
from wsdemo.returns import JITTERED, Returning
from wsdemo.updates import Data
from wsdemo.workload import DEFAULT_PACE, LONG_POLL_TIMEOUT_S, Pace, poll_times


@dataclass(frozen=True, slots=True)
class Delivery:
    """One update that reached this reader for the first time. Both moments are `time.perf_counter_ns()`.

    epoch: the history that `seq` belongs to. After another one has begun, the same numbers are other updates.
    """

    seq: int
    published_at_ns: int
    received_at_ns: int
    data: Data
    epoch: str = ""

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
    gate: awaited between opening and the first poll, gives the start of the clock in ns (default: start at once);
    hold_s: how long the far end is known to hold a question back, `Pace.hold_s`; returning: how it comes back after a
    break, see `returns`; pace: how often the far end speaks at least: a line that is silent for two periods is dead.
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
        hold_s: float = LONG_POLL_TIMEOUT_S,
        returning: Returning = JITTERED,
        pace: Pace = DEFAULT_PACE,
    ):
        if not 0 < interval_s < float("inf"):
            raise ValueError(f"interval_s must be a number of seconds above 0, not {interval_s!r}")
        self.interval_s, self.duration_s = interval_s, duration_s
        self.phase_s = interval_s if phase_s is None else phase_s
        self.seq, self.epoch = after, epoch
        self.is_open = asyncio.Event()
        self.polling = False  # whether polls of its timetable are still to come
        self.polls_due = 0  # by its timetable, before the end of the run; 0 for those who never poll
        self.polls_left_out = 0  # of those that were due: while it waited after a failure
        self.requests: list[Request] = []
        self.duplicates = 0
        self.resets = 0
        self.failures = 0
        self.hold_s, self.returning, self.pace = hold_s, returning, pace
        self._gate = gate
        self._start_ns = 0
        self._next_poll = 0

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
        return Delivery(message["seq"], message["published_at_ns"], received_at_ns, message["data"], self.epoch or "")

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

    async def polls(self) -> AsyncGenerator[int]:
        """Yield the due time of each poll in ns, at that time: absolute times, never `sleep(T)` after an answer.

        A poll that could not start in time starts late, and its due time stays: the delay shows in the latency.
        """
        self._start_ns, self._next_poll = await self.opened(), 0
        self.polling = True
        if self.duration_s != float("inf"):
            self.polls_due = len(poll_times(self.phase_s, self.interval_s, self.duration_s))
        while self.polling:
            at_s, due_ns = self._coming_poll()
            await asyncio.sleep(max(0, due_ns - time.perf_counter_ns()) / 1e9)
            self._next_poll += 1
            yield due_ns
            self.polling = at_s < self.duration_s  # or that was the one further poll

    def has_further_polls(self) -> bool:
        """Whether another poll follows the one that is being made."""
        return self.phase_s + (self._next_poll - 1) * self.interval_s < self.duration_s

    def leave_out_polls(self) -> None:
        """Leave out, and count, the polls that fell due while this reader waited after a failure; never the last."""
        while True:
            at_s, due_ns = self._coming_poll()
            if at_s >= self.duration_s or due_ns >= time.perf_counter_ns():
                return
            self._next_poll += 1
            self.polls_left_out += 1

    def _coming_poll(self) -> tuple[float, int]:
        """Return when the next poll is due: in seconds after the start, and on the clock."""
        at_s = self.phase_s + self._next_poll * self.interval_s
        return at_s, self._start_ns + round(at_s * 1e9)
