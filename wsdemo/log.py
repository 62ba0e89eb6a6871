"""A feed's log: in memory, or on disk, where it outlives the server. Knows no transport.

Both have one face. On disk the epoch and the beginning of the history belong to the log: whoever opens it again goes on
where it ends, so that a reader's position still leads there.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Protocol

from wsdemo.news import News
from wsdemo.updates import Schedule

LOG_SIZE = 10_000
"""How many updates a log keeps for readers who come back."""
AT_ONCE = 1000
"""The most updates that one transaction writes, so that what a long absence has left does not all wait in memory."""
UNTIDY = 250
"""After so many updates a log on disk wants a quiet moment, to tidy up."""
SAME_BOOT_S = 10.0
"""How far the wall clock may have drifted from `perf_counter` where a system does not say whether it was restarted."""


class Log(Protocol):
    """What a feed asks of its log.

    epoch: which history it holds; seq: of its newest update, 0 before the first; cut: the seq of the newest update that
    it has let go, 0 if it has all; reached_ns: the moment of its newest, after the beginning; closed: whether it takes
    no more; is_untidy: whether it has work that can wait for a quiet moment, but not for ever.
    """

    epoch: str
    seq: int
    cut: int
    reached_ns: int
    closed: bool
    is_untidy: bool

    def claim(self, schedule: Schedule) -> None:
        """Note whose news it holds. Raises ValueError if it holds those of another schedule."""

    def begin(self, t0_ns: int) -> int:
        """Return when its history began, on `time.perf_counter_ns()`: at `t0_ns`, unless it had begun before."""

    def keep(self, coming: Iterable[News]) -> None:
        """Keep these news. When it returns, or `coming` raises, all that came are kept. Raises OSError if it cannot."""

    def since(self, after: int) -> tuple[News, ...]:
        """Return what is newer than `after`, oldest first."""

    def tidy(self) -> None:
        """Do the work that could wait, some milliseconds of it."""

    def close(self) -> None:
        """Let go of what it holds open. What it has can still be asked for. Closing again changes nothing."""


class MemoryLog:
    """The newest `size` updates, in memory: it ends with its process. The members are those of `Log`."""

    def __init__(self, size: int = LOG_SIZE):
        if size < 1:
            raise ValueError(f"log_size must be at least 1, not {size}")
        self.epoch = secrets.token_hex(4)
        self.seq = self.cut = self.reached_ns = 0
        self.closed = self.is_untidy = False
        self._news: deque[News] = deque(maxlen=size)

    def claim(self, schedule: Schedule) -> None: ...

    def begin(self, t0_ns: int) -> int:
        return t0_ns

    def keep(self, coming: Iterable[News]) -> None:
        for news in coming:
            self._append(news)

    def since(self, after: int) -> tuple[News, ...]:
        # From the newest backwards: a deque is quick at its ends, and readers ask for the few newest.
        return tuple(takewhile(lambda one: one.seq > after, reversed(self._news)))[::-1]

    def tidy(self) -> None: ...

    def close(self) -> None: ...

    def skip(self, seq: int) -> None:
        """Go on behind `seq`, without what lies before: a reader who stands there may have lost something."""
        self._news.clear()
        self.seq = self.cut = seq

    def _append(self, news: News) -> None:
        if len(self._news) == self._news.maxlen:
            self.cut = self._news[0].seq
        self._news.append(news)
        self.seq = news.seq


class DiskLog(MemoryLog):
    """The newest `size` updates in a file of SQLite's, and in memory for those who ask.

    path: the file, made if there is none. What was kept is in the file, and survives the end of the process, however it
    ends (kill -9). It need not survive a power cut: the system may then have lost the last updates, not the others
    (`synchronous=NORMAL`, https://sqlite.org/pragma.html#pragma_synchronous).

    One feed has the file at a time. Raises ValueError for a file that is damaged, or is none of ours, and leaves it as
    it is; OSError for one that another server has, or that cannot be read or written.
    """

    def __init__(self, path: str | Path, size: int = LOG_SIZE):
        super().__init__(size)
        self.path, self._size = os.path.abspath(path), size
        self._t0_ns: int | None = None
        self._untidy = 0
        from wsdemo.logfile import LogFile  # here, so that who keeps nothing on disk loads no database

        self._file = LogFile(self.path, self.epoch)
        try:
            with self._file.refusing():
                self._read()
        except BaseException:
            self._file.close()
            raise

    def claim(self, schedule: Schedule) -> None:
        own = _fingerprint(schedule)
        known = self._file.about()
        if self.seq == 0 and "schedule" not in known:
            with self._file.writing():
                self._file.note(schedule=own, schedule_is=repr(schedule)[:200])
        elif known.get("schedule") != own:
            whose = known.get("schedule_is", "updates that no schedule makes")
            raise ValueError(
                f"the log {self.path} holds the news of another source ({whose}), and this one is"
                f" {repr(schedule)[:200]}: give it the same again, or choose another file"
            )

    def begin(self, t0_ns: int) -> int:
        if self._t0_ns is None:
            wall_ns = time.time_ns() - time.perf_counter_ns() + t0_ns
            with self._file.writing():
                self._file.note(began_ns=t0_ns, began_wall_ns=wall_ns, boot=_boot())
            self._t0_ns = t0_ns
        return self._t0_ns

    def keep(self, coming: Iterable[News]) -> None:
        batch: list[News] = []
        try:
            for news in coming:
                batch.append(news)
                if len(batch) == AT_ONCE:
                    whole, batch = batch, []
                    self._write(whole)
        finally:  # what came before the source failed is news as well
            if batch:
                self._write(batch)

    def tidy(self) -> None:
        self._file.tidy()
        self._untidy, self.is_untidy = 0, False

    def close(self) -> None:
        self.closed = True
        self._file.close()

    def _write(self, batch: list[News]) -> None:
        """Write news in one transaction, let the oldest go, and only then have them."""
        assert self._t0_ns is not None  # a feed that publishes has begun
        rows = [(one.seq, one.at_s, one.published_at_ns - self._t0_ns, json.dumps(one.data)) for one in batch]
        with self._file.writing():
            self._file.insert(rows)
            if (over := len(self._news) + len(batch) - self._size) > 0:
                own = len(self._news)
                self._file.let_go(self._news[over - 1].seq if over <= own else batch[over - own - 1].seq)
        for one in batch:
            self._append(one)
        self._untidy += len(batch)
        self.is_untidy = self._untidy >= UNTIDY

    def _read(self) -> None:
        known = self._file.about()
        try:
            self.epoch, self.cut = str(known["epoch"]), int(known.get("cut", 0))
            if "began_ns" in known:
                self._t0_ns = _on_this_clock(known["began_ns"], known["began_wall_ns"], known["boot"])
            t0_ns = self._t0_ns or 0
            rows = self._file.rows()
            news = [News(seq, at_s, t0_ns + after_ns, json.loads(data)) for seq, at_s, after_ns, data in rows]
        except (KeyError, TypeError, ValueError) as error:
            raise self._file.damaged(f"it holds what no log has: {error!r}") from error
        if (over := len(news) - self._size) > 0:
            with self._file.writing():
                self._file.let_go(news[over - 1].seq)
        for one in news:
            self._append(one)
        if news:
            self.reached_ns = news[-1].published_at_ns - t0_ns


def _fingerprint(schedule: Schedule) -> str:
    """Return what two schedules share only if they make the same updates. Where a table lay does not count."""
    recipe = {name: value for name, value in schedule.recipe().items() if name != "path"}
    return hashlib.sha256(json.dumps(recipe, sort_keys=True, default=repr).encode()).hexdigest()


def _on_this_clock(began_ns: int, began_wall_ns: int, boot: str) -> int:
    """Return when a history began, on this system's `perf_counter`, which begins anew when it is started.

    Until then it is the same clock for every process, and better than the wall's, which people set.
    """
    by_wall_ns = began_wall_ns - time.time_ns() + time.perf_counter_ns()
    if (now := _boot()) and boot:
        return began_ns if now == boot else by_wall_ns
    return began_ns if abs(by_wall_ns - began_ns) < SAME_BOOT_S * 1e9 else by_wall_ns


def _boot() -> str:
    """Return what names the time since this system was started, "" where it has no such name."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
