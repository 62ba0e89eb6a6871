"""The file of a log, of SQLite's: what is damaged, foreign or taken is refused with a sentence, and stays as it is."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

APPLICATION_ID, VERSION = 0x77736C67, 1
"""What the header of our files says (SQLite, "The Database File Format", 1.3.14 and 1.3.16): "wslg", and which form."""
MOST_PAGES = 4000
"""After so many pages (of 4 KiB) in the file beside it nobody waits for a quiet moment to tidy up."""

Row = tuple[int, float, int, str]
"""An update as it is kept: seq, at_s, nanoseconds from the beginning to its publication, its data as JSON."""

_TABLES = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE news (seq INTEGER PRIMARY KEY, at_s, after_ns INTEGER NOT NULL, data TEXT NOT NULL)",
)
_held: set[tuple[int, int]] = set()
"""The files that logs of this process have open, by device and number.

Such a file is not even to be looked at: when a process closes any of its descriptors of a file, the system lets go of
all its locks there (POSIX, fcntl), and another server could come in.
"""
_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"


class LogFile:
    """A file that is open for one process alone. Raises as `DiskLog`.

    path: absolute; epoch: of the history that begins, if the file is new.
    """

    def __init__(self, path: str, epoch: str):
        self.path = path
        _look_at(path)
        with self.refusing():
            # Any thread may have it, one at a time: that of the event loop in which its feed runs.
            self.db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            with self.refusing():
                self._open(epoch)
            self._key: tuple[int, int] | None = _key(path)
        except BaseException:
            self.db.close()
            raise
        _held.add(self._key)

    def _open(self, epoch: str) -> None:
        """Take the file for this process alone, and make its tables if it has none."""
        self.db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self.db.execute("BEGIN EXCLUSIVE")
        (ours,) = self.db.execute("PRAGMA application_id").fetchone()
        (tables,) = self.db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if ours == tables == 0:  # it is new, or was never finished
            for table in _TABLES:
                self.db.execute(table)
            self.note(epoch=epoch)
            self.db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self.db.execute(f"PRAGMA user_version = {VERSION}")
        elif (said := self.db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise self.damaged(said)
        self.db.execute("COMMIT")
        # Only now, so that the file itself says whose it is, and not the one beside it.
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.execute(f"PRAGMA wal_autocheckpoint = {MOST_PAGES}")

    def about(self) -> dict[str, Any]:
        """Return what was noted."""
        return dict(self.db.execute("SELECT name, value FROM about"))

    def rows(self) -> Iterable[Row]:
        """Return all updates, oldest first."""
        return self.db.execute("SELECT seq, at_s, after_ns, data FROM news ORDER BY seq")

    def note(self, **values: str | int) -> None:
        """Note values by name, while `writing`."""
        self.db.executemany("REPLACE INTO about VALUES (?, ?)", values.items())

    def insert(self, rows: Iterable[Row]) -> None:
        """Add updates, while `writing`."""
        self.db.executemany("INSERT INTO news VALUES (?, ?, ?, ?)", rows)

    def let_go(self, cut: int) -> None:
        """Delete the updates up to this seq, and note it, while `writing`."""
        self.db.execute("DELETE FROM news WHERE seq <= ?", (cut,))
        self.note(cut=cut)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run the body in one transaction. Raises OSError with a sentence if it cannot be committed."""
        try:
            with self.db:  # which takes back what could not be committed
                self.db.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.Error as error:
            raise OSError(
                f"the log {self.path} cannot be written ({error}), and nobody hears what is not in it: see to the disk,"
                " then start again with the same log"
            ) from error

    def tidy(self) -> None:
        """Write what stands in the file beside it into the file itself, and synchronise both with the disk.

        It takes some milliseconds, in which nothing is published.
        """
        with suppress(sqlite3.Error, OSError):  # a full disk shows when something is to be kept
            self.db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            with self.writing():  # the first to write after it waits for the disk once more
                self.note(tidied=1)

    def close(self) -> None:
        """Close it; nothing is left beside it. Closing again changes nothing."""
        if self._key is not None:
            _held.discard(self._key)
            self._key = None
        with suppress(sqlite3.Error):  # all news are in the file already, or in the one beside it
            self.db.close()

    def refusing(self) -> AbstractContextManager[None]:
        """Say in a sentence what SQLite finds wrong with it while it is opened."""
        return _refusing(self.path)

    def damaged(self, why: str) -> Exception:
        """Return the error that `refusing` makes a sentence of."""
        return sqlite3.DatabaseError(why)


def _look_at(path: str) -> None:
    """Refuse what is no log of ours before SQLite touches it: opening a file may already change it."""
    if not os.path.lexists(path):
        if not os.path.isdir(os.path.dirname(path)):
            raise FileNotFoundError(f"there is no folder for the log {path}: make it first")
        return
    if not os.path.isfile(path):
        raise ValueError(f"{path} is no file, and a log is one: choose another name")
    if _key(path) in _held:
        raise _in_use(path)
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as error:
        raise OSError(f"the log {path} cannot be read ({error.strerror}): choose another file") from error
    if not header:
        return
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC) or _number(header, 68) != APPLICATION_ID:
        raise ValueError(f"{path} is no log of this program, and stays as it is: choose another file")
    if (version := _number(header, 60)) != VERSION:
        raise ValueError(
            f"the log {path} has form {version}, and this version of wsdemo reads form {VERSION}: choose another file"
        )


def _key(path: str) -> tuple[int, int]:
    """Return what tells a file from all others while it is there."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _in_use(path: str) -> OSError:
    return OSError(f"the log {path} is in use by another server: stop that one, or choose another file")


def _number(header: bytes, at: int) -> int:
    return int.from_bytes(header[at : at + 4], "big")


@contextmanager
def _refusing(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise _in_use(path) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
            raise ValueError(
                f"the log {path} is damaged ({error}), and stays as it is: choose another file, or move it away"
            ) from error
        raise OSError(f"the log {path} cannot be opened ({error}): choose a file that may be written") from error
