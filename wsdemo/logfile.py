"""The file of a log: what is damaged, foreign or taken is refused with a sentence, and stays as it is."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

APPLICATION_ID, VERSION = 0x77736C67, 1
"""What the header of our files says (SQLite, "The Database File Format", 1.3.14 and 1.3.16): "wslg", and which form."""
held: set[tuple[int, int]] = set()
"""The files that logs of this process have open, by device and number.

Such a file is not even to be looked at: when a process closes any of its descriptors of a file, the system lets go of
all its locks there (POSIX, fcntl), and another server could come in.
"""
_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"


def look_at(path: str) -> None:
    """Refuse what is no log of ours before SQLite touches it: opening a file may already change it."""
    if not os.path.lexists(path):
        if not os.path.isdir(os.path.dirname(path)):
            raise FileNotFoundError(f"there is no folder for the log {path}: make it first")
        return
    if not os.path.isfile(path):
        raise ValueError(f"{path} is no file, and a log is one: choose another name")
    if key(path) in held:
        raise in_use(path)
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


def key(path: str) -> tuple[int, int]:
    """Return what tells a file from all others while it is there."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def in_use(path: str) -> OSError:
    return OSError(f"the log {path} is in use by another server: stop that one, or choose another file")


def _number(header: bytes, at: int) -> int:
    return int.from_bytes(header[at : at + 4], "big")


@contextmanager
def refusing(path: str) -> Iterator[None]:
    """Say in a sentence what SQLite finds wrong with a file when it is opened."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise in_use(path) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
            raise ValueError(
                f"the log {path} is damaged ({error}), and stays as it is: choose another file, or move it away"
            ) from error
        raise OSError(f"the log {path} cannot be opened ({error}): choose a file that may be written") from error
