"""How many files, and so connections, a process may have open."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    import resource

SPARE_FILES = 64
"""What Python, its libraries and the listening sockets need besides the connections."""


def file_limit() -> int | None:
    """Return how many files this process could have open at the most (the hard limit), None where there is no limit."""
    if sys.platform == "win32":  # no such limit on sockets
        return None
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return None if hard == resource.RLIM_INFINITY else hard


def check_connections(connections: int) -> None:
    """Raise ValueError, saying what fits, if a process of this user cannot hold that many connections."""
    limit = file_limit()
    if limit is not None and connections + SPARE_FILES > limit:
        raise ValueError(
            f"{connections} connections need more open files than this system allows ({limit}): "
            f"use at most {max(0, limit - SPARE_FILES)}, or raise the limit (ulimit -n)"
        )


def allow_connections(connections: int) -> None:
    """Raise this process's soft file limit so that the connections fit. Raises ValueError where they cannot."""
    check_connections(connections)
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
