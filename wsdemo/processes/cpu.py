"""What a process has had of the processors."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, of all its threads, in user and system mode.

    Linux's scheduler counts nanoseconds (Documentation/scheduler/sched-stats.rst); elsewhere the system's clock ticks,
    10 or 16 ms long, are added up: see `in_ticks`. Raises psutil.NoSuchProcess for one that is gone.
    """
    if (exact := _scheduled_ns(pid)) is not None:
        return exact / 1e9
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def in_ticks() -> bool:
    """Whether this system counts a process's time in ticks only."""
    return _scheduled_ns(os.getpid()) is None


def _scheduled_ns(pid: int) -> int | None:
    """Return the nanoseconds of all threads that are there, None where the system does not count them."""
    counted = []
    with suppress(OSError):  # a process that is gone
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # a thread that has ended meanwhile
                counted.append(int((task / "schedstat").read_text().split()[0]))
    return sum(counted) or None
