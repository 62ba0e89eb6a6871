"""How many files, and so connections, a process may have open: what is needed is asked for, what fits is used."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    import resource

SPARE_FILES = 64
"""What Python, its libraries and the listening sockets need besides the connections."""

SELECT_SOCKETS_WINDOWS = 512
"""On Windows `select` watches this many sockets, whatever their numbers, and asyncio has nothing else that counts."""


def file_limit() -> int | None:
    """Return how many files this process could have open at the most (the hard limit), None where there is no limit."""
    if sys.platform == "win32":
        return SELECT_SOCKETS_WINDOWS
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return None if hard == resource.RLIM_INFINITY else hard


def fitting(connections: int, listeners: int = 1) -> int:
    """Return how many of these connections to each of some listening sockets one process of this user can hold."""
    limit = file_limit()
    return connections if limit is None else min(connections, max(0, limit - SPARE_FILES) // listeners)


def check_connections(connections: int, listeners: int = 1) -> None:
    """Raise ValueError, saying what fits, if a process of this user cannot hold that many connections.

    listeners: how many listening sockets hold so many each.
    """
    if (fit := fitting(connections, listeners)) < connections:
        each = "" if listeners == 1 else f" to each of {listeners} sockets"
        if sys.platform == "win32":
            why = f"more sockets than Windows can watch ({SELECT_SOCKETS_WINDOWS})"
            cure = f"use at most {fit}"
        else:
            why = f"more open files than this system allows ({file_limit()})"
            cure = f"use at most {fit}, or raise the limit (ulimit -n)"
        raise ValueError(f"{connections} connections{each} need {why}: {cure}")


def allow_connections(connections: int, listeners: int = 1) -> None:
    """Raise this process's soft file limit so that the connections fit. Raises ValueError where they cannot."""
    check_connections(connections, listeners)
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections * listeners + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
