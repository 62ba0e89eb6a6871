"""Whether a process stood still: it watches how late its own timer is.

A process that was stopped, swapped out, asleep with its laptop or short of a processor looks, in the numbers, like a
slow transport: a second and a half doubles the mean of a short run, and shows in no count. So each process of a run
watches itself, and the run says who stood still, when and for how long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wsdemo.processes.jobs import Stall

TICK_S = 0.1
STALL_S = 0.25
"""From when on lateness is worth a word. With two endless loops beside it on two cores, one run in ten is that late."""

_GOES_ON = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
"""A clock that goes on while a laptop sleeps, as `perf_counter` may not: Linux has the first, macOS the second."""


class Watch:
    """Watches the timer of the event loop, from `start` to `stop`."""

    def __init__(self) -> None:
        self._found: list[Stall] = []
        self._timer: asyncio.TimerHandle | None = None
        self._due_ns = 0
        self._due_while_asleep_ns = 0

    def start(self) -> None:
        """Begin to watch. A second start changes nothing."""
        if self._timer is None:
            self._wind()

    def stop(self) -> list[Stall]:
        """Watch no longer, and return what was found: see `stalls`."""
        found = self.stalls
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return found

    @property
    def stalls(self) -> list[Stall]:
        """When this process stood still, on `time.perf_counter_ns()`, and for how many seconds each time."""
        if self._timer is not None:  # it may be overdue just now, and its turn still to come
            self._timer.cancel()
            self._tick()
        return list(self._found)

    def _wind(self) -> None:
        self._due_ns = time.perf_counter_ns() + round(TICK_S * 1e9)
        self._due_while_asleep_ns = _goes_on_ns() + round(TICK_S * 1e9)
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        late_s = (_goes_on_ns() - self._due_while_asleep_ns) / 1e9
        if late_s >= STALL_S:
            self._found.append((self._due_ns, late_s))
        self._wind()


def _goes_on_ns() -> int:
    return time.perf_counter_ns() if _GOES_ON is None else time.clock_gettime_ns(_GOES_ON)


@dataclass(frozen=True)
class Pause:
    """Some processes that stood still at the same time. at_s: when it began, lasted_s: until the last one went on."""

    at_s: float
    lasted_s: float
    names: list[str]


def together(stalls: Mapping[str, Sequence[tuple[float, float]]]) -> list[Pause]:
    """Return the pauses of a run in the order of time; a laptop that was asleep stops all processes in one pause.

    stalls: for each process, by its name, when it stood still in seconds after the start, and for how many seconds.
    """
    pauses: list[Pause] = []
    for at_s, lasted_s, name in sorted((*stall, name) for name, found in stalls.items() for stall in found):
        at_same_time = pauses and at_s < pauses[-1].at_s + pauses[-1].lasted_s
        first = pauses.pop() if at_same_time else Pause(at_s, lasted_s, [])
        names = [one for one in stalls if one in (*first.names, name)]
        pauses.append(Pause(first.at_s, max(first.lasted_s, at_s + lasted_s - first.at_s), names))
    return pauses
