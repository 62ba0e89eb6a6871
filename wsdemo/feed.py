"""The feed: plays a schedule in real time, keeps a log, and answers "what came after seq n?". Knows no transport."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from types import TracebackType
from typing import Any

from wsdemo.position import Position as Position
from wsdemo.position import read_position as read_position
from wsdemo.tasks import background
from wsdemo.updates import Data, Schedule, Update

LOG_SIZE = 10_000
"""How many updates a feed keeps for readers who come back."""
LAST_SEQ = 2**53 - 1
"""The largest seq: every reader's JSON can tell whole numbers apart up to here (RFC 8259, section 6)."""
LATEST_S = 1e9
"""The latest moment of an update, some thirty years after the start, which a clock in nanoseconds still has."""
MAX_UPDATE_BYTES = 64 * 1024
"""The most that an update's data may be as JSON: one limit for all transports, and what each of them carries."""
MAX_MESSAGE_BYTES = MAX_UPDATE_BYTES + 1024
"""The most that one update is on the way, with its number and its moments: what the clients' own limits let in."""
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
_JSON = json.JSONEncoder(allow_nan=False)  # Python would write NaN and Infinity, which no other reader's JSON has


@dataclass(frozen=True)
class News:
    """An update that has been published. published_at_ns: its moment on `time.perf_counter_ns()`.

    It is turned into JSON when it is made, once for all its readers. Raises TypeError, ValueError or RecursionError for
    data that JSON does not have: a set, NaN, a list that holds itself.
    """

    seq: int
    at_s: float
    published_at_ns: int
    data: Data
    _text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_text", _JSON.encode(self.message()))

    def message(self) -> dict[str, Any]:
        """Return what every transport sends for it, ready for JSON."""
        return {"seq": self.seq, "at_s": self.at_s, "published_at_ns": self.published_at_ns, "data": self.data}

    def text(self) -> str:
        """Return the message as JSON."""
        return self._text


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

    @property
    def before(self) -> int:
        """Where a reader stands that has heard none of the news yet: a position that leads to the same news."""
        return self.news[0].seq - 1 if self.news else self.seq


class Feed:
    """Plays a schedule once it is started, and wakes whoever waits for news.

    What is published is decided by the schedule and the clock, not by when a timer happened to wake: an answer
    given at time t holds every update with `t0 + at_s <= t`.

    schedule: a `Schedule`, or updates whose seq grows; log_size: how many updates are kept for readers who return.
    Use it as `async with Feed(every(1.0)) as feed:`, which starts it now, or call `start` yourself.

    The numbers may have gaps, as those of a filtered source have. An update whose moment lies before that of the one
    before it is late: it is published at once, behind that one. What no reader could make sense of (a seq that does
    not grow, data that JSON does not have or above `MAX_UPDATE_BYTES`) is refused with a ValueError that names the
    update: here, if the updates are in a list or of a schedule that ends; otherwise when the update is reached, before
    anybody hears it. Then the feed has failed. The body of `async with` is cancelled, and whoever asks, waits or stops
    is told why.
    """

    def __init__(self, schedule: Schedule | Iterable[Update], log_size: int = LOG_SIZE):
        if log_size < 1:
            raise ValueError(f"log_size must be at least 1, not {log_size}")
        if isinstance(schedule, Schedule):
            schedule = list(schedule.updates()) if schedule.ends else schedule.updates()
        if isinstance(schedule, Collection):
            schedule = list(_checked(schedule, in_full=True))
        self._coming = _checked(schedule)
        self._log: deque[News] = deque(maxlen=log_size)
        self._cut = 0  # the seq of the newest update that the log has let go
        self._reached_ns = 0  # the moment of the newest update, after the start
        self._news = asyncio.Event()
        self._in_turn: deque[asyncio.Future[None]] = deque()
        self._listeners: list[Callable[[], None]] = []
        self._timer: asyncio.Handle | None = None
        self._failure: tuple[Exception, TracebackType | None] | None = None
        self._failed = asyncio.Event()
        self._watch: AbstractAsyncContextManager[None] | None = None
        self._next = next(self._coming, None)
        self.epoch = secrets.token_hex(4)
        self.t0_ns: int | None = None

    async def __aenter__(self) -> Feed:
        self.start()
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
        """Start the clock at `t0_ns` on `time.perf_counter_ns()`, by default now. A second start changes nothing."""
        if self._timer is None:
            self.t0_ns = time.perf_counter_ns() if t0_ns is None else t0_ns
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
        return self._log[-1].seq if self._log else 0

    def since(self, after: int | None = None, epoch: str | None = None) -> Answer:
        """Answer what came after update `after`; a reader without a position (None) starts at the newest."""
        seq = self.seq
        if after is None:
            return Answer(self.epoch, seq, True, ())
        recovered = epoch in (None, self.epoch) and self._cut <= after <= seq
        # From the newest backwards: a deque is quick at its ends, and readers ask for the few newest.
        news = takewhile(lambda one: one.seq > after or not recovered, reversed(self._log))
        return Answer(self.epoch, seq, recovered, tuple(news)[::-1])

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
            wait_s = (t0_ns + self._moment_ns(self._next) - time.perf_counter_ns()) / 1e9
            # A timer may be late by a share of what it waits (on Linux a thousandth), so the last ones are short.
            short_s = next((early_s for early_s in NEARLY_S if wait_s > early_s), 0.0)
            self._timer = asyncio.get_running_loop().call_later(max(0.0, wait_s - short_s), self._play, t0_ns)

    def _call_listeners(self) -> None:
        for listener in self._listeners.copy():
            listener()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _publish_due(self) -> bool:
        """Move every update whose moment has come into the log, and wake those who wait; return if anything was new."""
        if self.t0_ns is None:
            return False
        woken = False
        elapsed_ns = time.perf_counter_ns() - self.t0_ns
        try:
            while self._next is not None and (at_ns := self._moment_ns(self._next)) <= elapsed_ns:
                self._keep(_news(self._next, self.t0_ns + at_ns))
                self._reached_ns, woken = at_ns, True
                self._next = next(self._coming, None)
        except Exception as error:  # the source is somebody's own code, which may fail in any way
            self._next, self._failure, woken = None, (error, error.__traceback__), True
            self._failed.set()
        if woken:
            # A fresh event for the next round: whoever waits on the old one is woken exactly once.
            old, self._news = self._news, asyncio.Event()
            old.set()
        return woken

    def _moment_ns(self, update: Update) -> int:
        """Return when an update is published, after the start: at its moment, but never before those before it."""
        return max(self._reached_ns, round(update.at_s * 1e9))

    def _keep(self, news: News) -> None:
        if len(self._log) == self._log.maxlen:
            self._cut = self._log[0].seq
        self._log.append(news)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            error, trace = self._failure
            raise error.with_traceback(trace)  # which would grow with each raise


def _news(update: Update, published_at_ns: int) -> News:
    """Return an update as it is sent. Raises ValueError, naming it, for data that JSON does not have or too much."""
    try:
        news = News(update.seq, update.at_s, published_at_ns, update.data)
    except (TypeError, ValueError, RecursionError) as error:
        has = "JSON has texts, finite numbers, lists and dicts"
        raise ValueError(f"update {update.seq} cannot be sent as JSON ({error}); {has}") from error
    # The second look is for what is large: a message is a little longer than its data.
    if len(news.text()) > MAX_UPDATE_BYTES and (size := len(json.dumps(update.data))) > MAX_UPDATE_BYTES:
        carry = f"the most that all transports carry is {MAX_UPDATE_BYTES:,}: send a link to what is large"
        raise ValueError(f"update {update.seq} is {size:,} bytes as JSON, and {carry}")
    return news


def _checked(updates: Iterable[Update], in_full: bool = False) -> Iterator[Update]:
    """Yield updates as they come. Raises ValueError, naming it, at one that has no place in a log.

    in_full: or that cannot be sent as JSON, which is otherwise found out when it is published.
    """
    before = 0
    for update in updates:
        try:
            seq, at_s, _ = update.seq, update.at_s, update.data
        except AttributeError:
            raise ValueError(f"behind update {before} stands {repr(update)[:80]}, which is no update") from None
        if not (_is(int, seq) and 0 < seq <= LAST_SEQ):
            raise ValueError(f"update {seq!r} must have a whole number from 1 to {LAST_SEQ} as its seq")
        if seq <= before:
            raise ValueError(f"update {seq} comes after update {before}: seq must grow from one update to the next")
        if not (_is(int | float, at_s) and abs(at_s) <= LATEST_S):
            raise ValueError(f"update {seq} must come at_s seconds after the start, a number, not {at_s!r}")
        if in_full:
            _news(update, 0)
        before = seq
        yield update


def _is(kind: Any, value: object) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
