"""The feed: plays a schedule in real time, keeps a log, and answers "what came after seq n?". Knows no transport."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from wsdemo.updates import Data, Schedule, Update

LOG_SIZE = 10_000
"""How many updates a feed keeps for readers who come back."""
MOST_UPDATES, MOST_BYTES = 500, 256 * 1024
"""What one answer holds: so many updates and so many bytes of them, or one update. Who wants more asks again at once.

A whole log is 3 MiB. In one answer it fills the server for whoever does not read it, keeps the others waiting while it
is made, and never comes to its end through a line that breaks now and then.
"""
AT_A_TIME = 32
"""How many updates a stream sends to a reader who catches up before others have their turn; see `Feed.give_way`."""


@dataclass(frozen=True)
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
        return self._text

    @cached_property
    def _text(self) -> str:  # made once, however many readers there are
        return json.dumps(self.message())


@dataclass(frozen=True, slots=True)
class Answer:
    """What the feed says to a reader's position.

    epoch, seq: the position of who has had this answer, to be kept: the feed's own, unless there is more;
    news: what the reader has not had, oldest first; recovered: False where the reader's position does not lead here
    (another epoch, a log already cut, a seq from the future), so that updates may be lost to it. news then begins with
    the oldest of the log. more: whether this is but a part of the news, so that the reader should ask again at once.
    """

    epoch: str
    seq: int
    recovered: bool
    news: tuple[News, ...]
    more: bool = False

    def message(self) -> dict[str, Any]:
        """Return the answer as a request-response transport sends it, ready for JSON."""
        return self.position() | {"updates": [news.message() for news in self.news]}

    def position(self) -> dict[str, Any]:
        """Return the answer without its updates: up to where, whether the reader's place was found, if there is more.

        `more` stands in it only where it is true.
        """
        position = {"epoch": self.epoch, "seq": self.seq, "recovered": self.recovered}
        return position | {"more": True} if self.more else position

    def text(self) -> str:
        """Return the message as JSON."""
        # Put together from the texts of its news, which are there already.
        return f'{json.dumps(self.position())[:-1]}, "updates": [{", ".join(news.text() for news in self.news)}]}}'

    def first(self, count: int) -> Answer:
        """Return the part of the answer that holds the oldest `count` of its news, one at least."""
        news = self.news[: max(1, count)]
        if len(news) == len(self.news):
            return self
        return replace(self, seq=news[-1].seq, news=news, more=True)


class Feed:
    """Plays a schedule once it is started, and wakes whoever waits for news.

    What is published is decided by the schedule and the clock, not by when a timer happened to wake: an answer
    given at time t holds every update with `t0 + at_s <= t`.

    schedule: a `Schedule`, or updates in order of time; log_size: how many updates are kept for readers who return.
    Use it as `async with Feed(every(1.0)) as feed:`, which starts it now, or call `start` yourself.
    """

    def __init__(self, schedule: Schedule | Iterable[Update], log_size: int = LOG_SIZE):
        self._coming = iter(schedule.updates() if isinstance(schedule, Schedule) else schedule)
        self._next = next(self._coming, None)
        self._log: deque[News] = deque(maxlen=log_size)
        self._news = asyncio.Event()
        self._in_turn: deque[asyncio.Future[None]] = deque()
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
        """Stop playing. The log stays and can still be asked."""
        if self._player is not None:
            self._player.cancel()
            await asyncio.gather(self._player, return_exceptions=True)

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

    def part(self, after: int | None = None, epoch: str | None = None) -> Answer:
        """Answer as `since` does, but with no more than one message should hold."""
        answer = self.since(after, epoch).first(MOST_UPDATES)
        sizes = itertools.accumulate(len(news.text()) for news in answer.news)
        return answer.first(sum(size <= MOST_BYTES for size in sizes))

    async def wait(self, after: int, timeout_s: float | None = None) -> bool:
        """Wait until an update newer than `after` is published; return False when `timeout_s` came first."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.seq <= after:
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def give_way(self) -> None:
        """Let others have their turn: of all who catch up, one goes on in each round of the event loop.

        So whoever has no arrears waits for AT_A_TIME messages at the most, and not for as many readers as come back at
        once. A pause of 0 seconds would let all of them go on in the same round.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._in_turn.append(turn)
        if len(self._in_turn) == 1:
            turn.get_loop().call_soon(self._next_turn)
        await turn

    def _next_turn(self) -> None:
        turn = self._in_turn.popleft()
        if not turn.done():  # who was cancelled has left, and its turn is nobody's
            turn.set_result(None)
        if self._in_turn:
            turn.get_loop().call_soon(self._next_turn)

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
            self._next = next(self._coming, None)
            published = True
        if published:
            # A fresh event for the next round: whoever waits on the old one is woken exactly once.
            woken, self._news = self._news, asyncio.Event()
            woken.set()


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
