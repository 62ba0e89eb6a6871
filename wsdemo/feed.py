"""The feed: plays a schedule in real time, keeps a log, and answers "what came after seq n?". Knows no transport."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wsdemo.updates import Data, Schedule, Update

LOG_SIZE = 10_000
"""How many updates a feed keeps for readers who come back."""
MAX_UPDATE_BYTES = 64 * 1024
"""The most that an update's data may be as JSON: one limit for all transports, and what each of them carries."""
MAX_MESSAGE_BYTES = MAX_UPDATE_BYTES + 1024
"""The most that one update is on the way, with its number and its moments: what the clients' own limits let in."""


@dataclass(frozen=True, slots=True)
class News:
    """An update that has been published. published_at_ns: its moment on `time.perf_counter_ns()`."""

    seq: int
    at_s: float
    published_at_ns: int
    data: Data

    def message(self) -> dict[str, Any]:
        """Return what every transport sends for it, ready for JSON."""
        return {"seq": self.seq, "at_s": self.at_s, "published_at_ns": self.published_at_ns, "data": self.data}

    def text(self) -> str:
        """Return the message as JSON."""
        return json.dumps(self.message())


@dataclass(frozen=True, slots=True)
class Answer:
    """What the feed says to a reader's position.

    epoch, seq: the feed's own position, to be kept; news: what the reader has not had, oldest first;
    recovered: False where the reader's position does not lead here (another epoch, a log already cut, a seq from
    the future), so that updates may be lost to it. news then holds the whole log.
    """

    epoch: str
    seq: int
    recovered: bool
    news: tuple[News, ...]

    def message(self) -> dict[str, Any]:
        """Return the answer as a request-response transport sends it, ready for JSON."""
        return self.position() | {"updates": [news.message() for news in self.news]}

    def position(self) -> dict[str, Any]:
        """Return the answer without its updates: where the feed stands, and whether the reader's place was found."""
        return {"epoch": self.epoch, "seq": self.seq, "recovered": self.recovered}


class Feed:
    """Plays a schedule once it is started, and wakes whoever waits for news.

    What is published is decided by the schedule and the clock, not by when a timer happened to wake: an answer
    given at time t holds every update with `t0 + at_s <= t`.

    schedule: a `Schedule`, or updates in order of time; log_size: how many updates are kept for readers who return.
    Use it as `async with Feed(every(1.0)) as feed:`, which starts it now, or call `start` yourself.

    Raises ValueError, naming the update, for one above `MAX_UPDATE_BYTES`. A source that is a list, or ends, is looked
    at here. Any other is looked at as it comes, one update ahead: the feed ends before the one that is refused, and
    `watch` and `stop` raise.
    """

    def __init__(self, schedule: Schedule | Iterable[Update], log_size: int = LOG_SIZE):
        coming = schedule.updates() if isinstance(schedule, Schedule) else schedule
        if isinstance(coming, Sequence) or (isinstance(schedule, Schedule) and schedule.ends):
            coming = [_checked(update) for update in coming]
        self._coming = map(_checked, coming)
        self._next = next(self._coming, None)
        self._failure: Exception | None = None
        self._failed = asyncio.Event()
        self._log: deque[News] = deque(maxlen=log_size)
        self._news = asyncio.Event()
        self._player: asyncio.Task[None] | None = None
        self.epoch = secrets.token_hex(4)
        self.t0_ns: int | None = None

    async def __aenter__(self) -> Feed:
        self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def start(self, t0_ns: int | None = None) -> None:
        """Start the clock at `t0_ns` on `time.perf_counter_ns()`, by default now. A second start changes nothing."""
        if self._player is None:
            self.t0_ns = time.perf_counter_ns() if t0_ns is None else t0_ns
            self._player = asyncio.create_task(self._play(self.t0_ns), name="wsdemo feed")

    async def stop(self) -> None:
        """Stop playing. The log stays and can still be asked. Raises, once, what `watch` raises."""
        if self._player is not None:
            self._player.cancel()
            await asyncio.gather(self._player, return_exceptions=True)
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def watch(self) -> None:
        """Wait, for ever if all is well, and raise what ended the source: an update that was refused, its own error."""
        await self._failed.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def seq(self) -> int:
        """The number of the newest update that is published, 0 before the first."""
        self._publish_due()
        return self._log[-1].seq if self._log else 0

    def since(self, after: int | None = None, epoch: str | None = None) -> Answer:
        """Answer what came after update `after`; a reader without a position (None) starts at the newest."""
        seq = self.seq
        if after is None:
            return Answer(self.epoch, seq, True, ())
        oldest = self._log[0].seq if self._log else 1
        recovered = epoch in (None, self.epoch) and oldest - 1 <= after <= seq
        missing = seq - after if recovered else len(self._log)
        # Indexing a deque from its right end is cheap for the few newest, which is what readers ask for.
        return Answer(self.epoch, seq, recovered, tuple(self._log[i] for i in range(-missing, 0)))

    async def wait(self, after: int, timeout_s: float | None = None) -> bool:
        """Wait until an update newer than `after` is published; return False when `timeout_s` came first."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.seq <= after:
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def _play(self, t0_ns: int) -> None:
        while self._next is not None:
            due_ns = t0_ns + round(self._next.at_s * 1e9)
            await asyncio.sleep(max(0, due_ns - time.perf_counter_ns()) / 1e9)
            self._publish_due()

    def _publish_due(self) -> None:
        """Move every update whose moment has come into the log, and wake those who wait."""
        if self.t0_ns is None:
            return
        published = False
        elapsed_ns = time.perf_counter_ns() - self.t0_ns
        while self._next is not None and (at_ns := round(self._next.at_s * 1e9)) <= elapsed_ns:
            update = self._next
            self._log.append(News(update.seq, update.at_s, self.t0_ns + at_ns, update.data))
            published = True
            try:
                self._next = next(self._coming, None)
            except Exception as failure:  # whoever asked is not to blame, and what was published still counts
                self._next, self._failure = None, failure
                self._failed.set()
        if published:
            # A fresh event for the next round: whoever waits on the old one is woken exactly once.
            woken, self._news = self._news, asyncio.Event()
            woken.set()


def _checked(update: Update) -> Update:
    """Return an update that fits through every transport. Raises ValueError otherwise."""
    size = len(json.dumps(update.data))
    if size > MAX_UPDATE_BYTES:
        raise ValueError(
            f"update {update.seq} is {size:,} bytes as JSON, and the most that all transports carry is"
            f" {MAX_UPDATE_BYTES:,}: send a link to what is large"
        )
    return update


Position = tuple[int | None, str | None]
"""A reader's place in a log: `(after, epoch)`, None for what it does not know."""


def read_position(query: Mapping[str, str]) -> Position:
    """Return `(after, epoch)` from a request's query parameters, None for what is not given.

    Raises ValueError with a sentence for the client when `after` is not a whole number from 0 up.
    """
    after = query.get("after")
    if after is None:
        return None, None
    # isdecimal alone would let other scripts' digits through; 18 digits fit every 64-bit reader.
    if not (after.isascii() and after.isdecimal() and len(after) <= 18):
        raise ValueError(f"after must be the seq of an update, a whole number from 0 up, not {after[:40]!r}")
    return int(after), query.get("epoch")
