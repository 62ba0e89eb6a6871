"""What a trial leaves behind: processes, tasks, open files, ports."""

from __future__ import annotations

import asyncio
import gc
import os
from dataclasses import dataclass

import psutil

from wsdemo.trials.patience import patient

LOOKS, PAUSE_S = 40, 0.05
"""How often to look again, for what was ended to be gone. All well, the first look is the last."""


@dataclass(frozen=True)
class Present:
    """What there is in this process at a moment. files: how many are open, None where the system does not say."""

    processes: frozenset[int]
    ports: frozenset[int]
    tasks: frozenset[int]
    files: int | None

    @classmethod
    def now(cls) -> Present:
        own = psutil.Process()
        return cls(
            frozenset(child.pid for child in own.children(recursive=True)),
            frozenset(one.laddr.port for one in own.net_connections("inet") if one.status == psutil.CONN_LISTEN),
            frozenset(id(task) for task in asyncio.all_tasks()),
            own.num_fds() if os.name == "posix" else None,
        )

    def left(self, before: Present) -> list[str]:
        """Return what was not there before, in sentences."""
        said = [f"left a process: {pid}" for pid in self.processes - before.processes]
        said += [f"left an open port: {port}" for port in self.ports - before.ports]
        said += [f"left a task: {task!r}" for task in asyncio.all_tasks() if id(task) in self.tasks - before.tasks]
        if self.files is not None and before.files is not None and self.files > before.files:
            said.append(f"left {self.files - before.files} open files")
        return said


async def left_since(before: Present) -> list[str]:
    """Return what is there and was not before, once what was ended has had the time to go."""
    for look in range(LOOKS):
        if look == 1:
            gc.collect()  # what lies in a circle is closed with it
        if not (said := Present.now().left(before)):
            return []
        await asyncio.sleep(patient(PAUSE_S))
    return said
