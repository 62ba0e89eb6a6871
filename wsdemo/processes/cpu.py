"""What a process has had of the processors."""

from __future__ import annotations

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


def in_ticks(pid: int) -> bool:
    """Whether this system counts a process's time in ticks only."""
    return _scheduled_ns(pid) is None


def _scheduled_ns(pid: int) -> int | None:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        counted = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
    except (OSError, ValueError, IndexError):
        return None
    return counted if tasks and counted else None
