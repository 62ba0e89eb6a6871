"""A feed's log: in memory, or on disk, where it outlives the server. Knows no transport.

Both have one face. On disk the epoch and the beginning of the history belong to the log: whoever opens it again goes on
where it ends, so that a reader's position still leads there.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

from wsdemo.logfile import APPLICATION_ID, VERSION, held, key, look_at, refusing
from wsdemo.news import News
from wsdemo.updates import Schedule

LOG_SIZE = 10_000
"""How many updates a log keeps for readers who come back."""
AT_ONCE = 1000
"""The most updates that one transaction writes, so that what a long absence has left does not all wait in memory."""
UNTIDY, MOST_PAGES = 250, 4000
"""After so many updates the log wants a quiet moment; after so many pages (of 4 KiB) it waits for none.

Then what stands in the file beside it is written into the file itself, and both are synchronised with the disk: some
milliseconds, in which nothing is published.
"""
SAME_BOOT_S = 10.0
"""How far the wall clock may have drifted from `perf_counter` where a system does not say whether it was restarted."""

_TABLES = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE news (seq INTEGER PRIMARY KEY, at_s, after_ns INTEGER NOT NULL, data TEXT NOT NULL)",
)


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
        look_at(self.path)
        with refusing(self.path):
            self._file = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        try:
            with refusing(self.path):
                self._open()
        except BaseException:
            self._file.close()
            raise
        self._key = key(self.path)
        held.add(self._key)

    def claim(self, schedule: Schedule) -> None:
        own = _fingerprint(schedule)
        known = self._about()
        if self.seq == 0 and "schedule" not in known:
            with self._writing():
                self._note(schedule=own, schedule_is=repr(schedule)[:200])
        elif known.get("schedule") != own:
            whose = known.get("schedule_is", "updates that no schedule makes")
            raise ValueError(
                f"the log {self.path} holds the news of another source ({whose}), and this one is"
                f" {repr(schedule)[:200]}: give it the same again, or choose another file"
            )

    def begin(self, t0_ns: int) -> int:
        if self._t0_ns is None:
            wall_ns = time.time_ns() - time.perf_counter_ns() + t0_ns
            with self._writing():
                self._note(began_ns=t0_ns, began_wall_ns=wall_ns, boot=_boot())
            self._t0_ns = t0_ns
        return self._t0_ns

    def keep(self, coming: Iterable[News]) -> None:
        batch: list[News] = []
        try:
            for news in coming:
                batch.append(news)
                if len(batch) == AT_ONCE:
                    self._write(batch)
                    batch = []
        finally:  # what came before the source failed is news as well
            if batch:
                self._write(batch)

    def tidy(self) -> None:
        with suppress(sqlite3.Error, OSError):  # a full disk shows when something is to be kept
            self._file.execute("PRAGMA wal_checkpoint(PASSIVE)")
            with self._writing():  # the first to write after it waits for the disk once more
                self._note(tidied=self.seq)
        self._untidy, self.is_untidy = 0, False

    def close(self) -> None:
        if not self.closed:
            held.discard(self._key)
        self.closed = True
        with suppress(sqlite3.Error):  # all news are in the file already, or in the one beside it
            self._file.close()

    def _write(self, batch: list[News]) -> None:
        """Write news in one transaction, let the oldest go, and only then have them."""
        assert self._t0_ns is not None  # a feed that publishes has begun
        rows = [(one.seq, one.at_s, one.published_at_ns - self._t0_ns, json.dumps(one.data)) for one in batch]
        with self._writing():
            self._file.executemany("INSERT INTO news VALUES (?, ?, ?, ?)", rows)
            if (over := len(self._news) + len(batch) - self._size) > 0:
                own = len(self._news)
                self._let_go(self._news[over - 1].seq if over <= own else batch[over - own - 1].seq)
        for one in batch:
            self._append(one)
        self._untidy += len(batch)
        self.is_untidy = self._untidy >= UNTIDY

    def _let_go(self, cut: int) -> None:
        self._file.execute("DELETE FROM news WHERE seq <= ?", (cut,))
        self._note(cut=cut)

    def _open(self) -> None:
        """Take the file for this process alone, make its tables if it has none, and read what it holds."""
        self._file.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._file.execute("BEGIN EXCLUSIVE")
        (ours,), (tables,) = (
            self._file.execute(sql).fetchone()
            for sql in ("PRAGMA application_id", "SELECT count(*) FROM sqlite_master")
        )
        if ours == tables == 0:  # it is new, or was never finished
            for table in _TABLES:
                self._file.execute(table)
            self._note(epoch=self.epoch)
            self._file.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._file.execute(f"PRAGMA user_version = {VERSION}")
        elif (said := self._file.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(said)
        self._file.execute("COMMIT")
        # Only now, so that the file itself says whose it is, and not the one beside it.
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = NORMAL")
        self._file.execute(f"PRAGMA wal_autocheckpoint = {MOST_PAGES}")
        self._read()

    def _read(self) -> None:
        known = self._about()
        try:
            self.epoch, self.cut = str(known["epoch"]), int(known.get("cut", 0))
            if "began_ns" in known:
                self._t0_ns = _on_this_clock(known["began_ns"], known["began_wall_ns"], known["boot"])
            t0_ns = self._t0_ns or 0
            rows = self._file.execute("SELECT seq, at_s, after_ns, data FROM news ORDER BY seq")
            news = [News(seq, at_s, t0_ns + after_ns, json.loads(data)) for seq, at_s, after_ns, data in rows]
        except (KeyError, TypeError, ValueError) as error:
            raise sqlite3.DatabaseError(f"it holds what no log has: {error!r}") from error
        if (over := len(news) - self._size) > 0:
            with self._writing():
                self._let_go(news[over - 1].seq)
        for one in news:
            self._append(one)
        if news:
            self.reached_ns = news[-1].published_at_ns - t0_ns

    def _about(self) -> dict[str, Any]:
        return dict(self._file.execute("SELECT name, value FROM about"))

    def _note(self, **values: str | int) -> None:
        self._file.executemany("REPLACE INTO about VALUES (?, ?)", values.items())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Run the body in one transaction. Raises OSError with a sentence if it cannot be committed."""
        try:
            with self._file:  # which takes back what could not be committed
                self._file.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.Error as error:
            raise OSError(
                f"the log {self.path} cannot be written ({error}), and nobody hears what is not in it: see to"
                " the disk, then"
                " start again with the same log"
            ) from error


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
