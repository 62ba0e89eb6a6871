"""The feed: plays a schedule in real time, keeps a log, and answers "what came after seq n?". Knows no transport."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from itertools import dropwhile
from pathlib import Path
from types import TracebackType
from typing import Any

from wsdemo.log import LOG_SIZE as LOG_SIZE
from wsdemo.log import DiskLog, Log, MemoryLog
from wsdemo.news import LAST_SEQ as LAST_SEQ
from wsdemo.news import LATEST_S as LATEST_S
from wsdemo.news import MAX_MESSAGE_BYTES as MAX_MESSAGE_BYTES
from wsdemo.news import MAX_UPDATE_BYTES as MAX_UPDATE_BYTES
from wsdemo.news import Answer as Answer
from wsdemo.news import News as News
from wsdemo.news import checked, news_of
from wsdemo.position import Position as Position
from wsdemo.position import read_position as read_position
from wsdemo.tasks import background
from wsdemo.updates import Schedule, Update

MOST_UPDATES, MOST_BYTES = 500, 256 * 1024
"""What one answer holds: so many updates and so many bytes of them, or one update. Who wants more asks again at once.

A whole log is 3 MiB. In one answer it fills the server for whoever does not read it, keeps the others waiting while it
is made, and never comes to its end through a line that breaks now and then.
"""
AT_A_TIME = 32
"""How many updates a stream sends to a reader who catches up before others have their turn; see `Feed.give_way`."""

NEARLY_S = (0.01, 0.0002)
"""How long before an update's moment the feed wakes, to wait for the rest of it by a timer of its own.

The first of them ends a long timer, which is late by a share of what it waits; behind the second a processor has
hardly had time to fall asleep, and to wake it is most of what is left.
"""
QUIET_S = (0.005, 0.05)
"""A log tidies up so long after an update, when its readers have it, and if the next one is so far away at least."""


class Feed:
    """Plays a schedule once it is started, and wakes whoever waits for news.

    What is published is decided by the schedule and the clock, not by when a timer happened to wake: an answer
    given at time t holds every update with `t0 + at_s <= t`.

    schedule: a `Schedule`, or updates whose seq grows; log_size: how many updates are kept for readers who return; log:
    where they are kept, by default in memory: the path of a file that outlives the feed, or a `Log` of your own making.
    Use it as `async with Feed(every(1.0)) as feed:`, which starts it now, or call `start` yourself.

    The numbers may have gaps, as those of a filtered source have. An update whose moment lies before that of the one
    before it is late: it is published at once, behind that one. What no reader could make sense of (a seq that does
    not grow, data that JSON does not have or above `MAX_UPDATE_BYTES`) is refused with a ValueError that names the
    update: here, if the updates are in a list or of a schedule that ends; otherwise when the update is reached, before
    anybody hears it. Then the feed has failed. The body of `async with` is cancelled, and whoever asks, waits or stops
    is told why.

    With a file that has news already the feed goes on with its history (`log.DiskLog`). Its clock is that of the first
    start; what is in the file is not published again, and what fell due meanwhile is published at once. The feed closes
    the file when it stops. A file that cannot be written is a failure as that of a source is, and nobody hears what is
    not in it.
    """

    def __init__(
        self, schedule: Schedule | Iterable[Update], log_size: int = LOG_SIZE, log: Log | str | Path | None = None
    ):
        if isinstance(log, str | Path):
            log = DiskLog(log, log_size)
        self._log: Log = MemoryLog(log_size) if log is None else log
        try:
            if isinstance(schedule, Schedule):
                self._log.claim(schedule)
                schedule = list(schedule.updates()) if schedule.ends else schedule.updates()
            if isinstance(schedule, Collection):
                schedule = list(checked(schedule, in_full=True))
            # What the log holds is not published again.
            self._coming = dropwhile(lambda update: update.seq <= self._log.seq, checked(schedule))
            self._at_ns = self._log.reached_ns  # when the next update is published, after the start
            self._next: Update | None = None
            self._advance()
        except BaseException:
            self._log.close()
            raise
        self._news = asyncio.Event()
        self._in_turn: deque[asyncio.Future[None]] = deque()
        self._listeners: list[Callable[[], None]] = []
        self._timer: asyncio.Handle | None = None
        self._failure: tuple[Exception, TracebackType | None] | None = None
        self._failed = asyncio.Event()
        self._watch: AbstractAsyncContextManager[None] | None = None
        self.epoch = self._log.epoch
        self.t0_ns: int | None = None

    async def __aenter__(self) -> Feed:
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        self._watch = background(self.failure())
        await self._watch.__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        assert self._watch is not None  # since it was entered
        try:
            await self._watch.__aexit__(*exc_info)
        finally:
            self._end()

    def start(self, t0_ns: int | None = None) -> None:
        """Start the clock at `t0_ns` on `time.perf_counter_ns()`, by default now. A second start changes nothing.

        The clock of a log that has begun before goes on as it is.
        """
        if self._timer is None:
            self.t0_ns = self._log.begin(time.perf_counter_ns() if t0_ns is None else t0_ns)
            self._timer = asyncio.get_running_loop().call_soon(self._play, self.t0_ns)

    async def stop(self) -> None:
        """Stop playing. The log stays and can still be asked. Raises what was wrong with the source, if it failed."""
        self._end()
        self._raise_failure()

    async def failure(self) -> None:
        """Wait until the source fails, and raise what was wrong: for whoever runs the feed, beside what he does."""
        await self._failed.wait()
        self._raise_failure()

    @property
    def seq(self) -> int:
        """The number of the newest update that is published, 0 before the first."""
        if self._publish_due() and self._listeners:
            # Whoever asks is in the middle of something, in which no listener should write.
            asyncio.get_running_loop().call_soon(self._call_listeners)
        self._raise_failure()
        return self._log.seq

    def since(self, after: int | None = None, epoch: str | None = None) -> Answer:
        """Answer what came after update `after`; a reader without a position (None) starts at the newest."""
        seq = self.seq
        if after is None:
            return Answer(self.epoch, seq, True, ())
        recovered = epoch in (None, self.epoch) and self._log.cut <= after <= seq
        return Answer(self.epoch, seq, recovered, self._log.since(after if recovered else 0))

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

    @contextmanager
    def telling(self, listener: Callable[[], None]) -> Iterator[None]:
        """While the body runs, call `listener` whenever something was published, or the source has failed.

        It is called by the timer itself, so that no task has to be woken between an update's moment and the first
        write; and in the next round of the event loop where somebody's question came before the timer. It must not
        raise.
        """
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

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

    def _play(self, t0_ns: int) -> None:
        """Publish what is due, tell the listeners, and wind the timer for the next update."""
        if self._publish_due():
            self._call_listeners()
        if self._next is not None:
            wait_s = (t0_ns + self._at_ns - time.perf_counter_ns()) / 1e9
            if self._log.is_untidy and wait_s > QUIET_S[1]:
                self._timer = asyncio.get_running_loop().call_later(QUIET_S[0], self._tidy, t0_ns)
                return
            # A timer may be late by a share of what it waits (on Linux a thousandth), so the last ones are short.
            short_s = next((early_s for early_s in NEARLY_S if wait_s > early_s), 0.0)
            self._timer = asyncio.get_running_loop().call_later(max(0.0, wait_s - short_s), self._play, t0_ns)

    def _tidy(self, t0_ns: int) -> None:
        self._log.tidy()
        self._play(t0_ns)

    def _call_listeners(self) -> None:
        for listener in self._listeners.copy():
            listener()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._log.close()
        if self._log.closed:  # what falls due from now on is published by whoever opens it next
            self._next = None

    def _publish_due(self) -> bool:
        """Move every update whose moment has come into the log, and wake those who wait; return if anything was new."""
        if self.t0_ns is None or self._next is None:
            return False
        elapsed_ns = time.perf_counter_ns() - self.t0_ns
        if self._at_ns > elapsed_ns:
            return False
        self._publish(self._due(self.t0_ns, elapsed_ns))
        return True

    def _publish(self, coming: Iterable[News]) -> None:
        """Move news into the log, and wake those who wait. What goes wrong is the feed's failure, and is not raised."""
        try:
            self._log.keep(coming)
        except Exception as error:  # the source is somebody's own code, which may fail in any way; and disks are full
            self._fail(error)
        self._wake()

    def _wake(self) -> None:
        # A fresh event for the next round: whoever waits on the old one is woken exactly once.
        old, self._news = self._news, asyncio.Event()
        old.set()

    def _fail(self, error: Exception) -> None:
        self._next, self._failure = None, (error, error.__traceback__)
        self._failed.set()

    def _due(self, t0_ns: int, elapsed_ns: int) -> Iterator[News]:
        """Yield what has fallen due, as news."""
        while self._next is not None and self._at_ns <= elapsed_ns:
            yield news_of(self._next, t0_ns + self._at_ns)
            self._advance()

    def _advance(self) -> None:
        """Take the next update. It is published at its moment, but never before those before it."""
        self._next = update = next(self._coming, None)
        if update is not None:
            self._at_ns = max(self._at_ns, round(update.at_s * 1e9))

    def _raise_failure(self) -> None:
        if self._failure is not None:
            error, trace = self._failure
            raise error.with_traceback(trace)  # which would grow with each raise


@contextmanager
def feed_of(schedule: Schedule, duration_s: float | None, log: str | None, log_size: int = LOG_SIZE) -> Iterator[Feed]:
    """Give the feed of a schedule, for a process that plays it; its log is closed at the end, whatever came between.

    duration_s: how much of it, None for all; log: the file that keeps it, None for memory. Raises what is wrong with
    the schedule or the log.
    """
    with closing(MemoryLog(log_size) if log is None else DiskLog(log, log_size)) as keeps:
        keeps.claim(schedule)
        updates = schedule.updates(duration_s)
        yield Feed(list(updates) if schedule.ends else updates, log=keeps)
