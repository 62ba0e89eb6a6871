"""Trials of the kernel: a Python process that plays it starts a server, and is interrupted or killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

import psutil

from wsdemo.processes.children import ROOT
from wsdemo.trials.patience import patient
from wsdemo.trials.stage import RATE_PER_S, Stage
from wsdemo.trials.trial import over

POSIX = ("linux", "darwin")
MARK = "WSDEMO_TRIAL_KERNEL"
"""The variable by which the processes of one kernel are known, also those that nobody has heard of yet."""
CELL = """
import asyncio, json, sys
from wsdemo.serve import Server
from wsdemo.updates import poisson

async def cell(job):
    schedule = poisson(*job["schedule"])
    async with Server(job["transport"], schedule=schedule, log=job["log"], port=job["port"]) as server:
        print(json.dumps({"pid": server.pid, "port": server.port()}), flush=True)
        await asyncio.sleep(3600)

asyncio.run(cell(json.loads(sys.argv[1])))
"""
"""What runs in the kernel: a server that ends with its cell."""


class Kernel:
    """A process that plays a kernel. job: what its cell is given; mark: by which its processes are known."""

    def __init__(self, job: dict[str, object], mark: str):
        self._mark = mark
        source = f"import sys; sys.path.append({str(ROOT)!r})\n{CELL}"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", source, json.dumps(job)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {MARK: mark},
            start_new_session=True,  # as jupyter_client starts one
        )

    async def ready(self) -> dict[str, int]:
        """Wait until its server listens; return the server's pid and port. Raises ValueError if it ends before."""
        assert self._process.stdout is not None
        about: dict[str, int] = json.loads(await asyncio.to_thread(self._process.stdout.readline))
        return about

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and its group, as the stop button does."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def processes(self) -> list[int]:
        """Return all processes of this kernel that are there, those included that wait to be forgotten by nobody."""
        self._process.poll()
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
        return found

    def end(self) -> None:
        """End it and all its processes."""
        self._process.kill()
        self._process.wait()
        for pid in self.processes():
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid).kill()
        if self._process.stdout is not None:
            self._process.stdout.close()


async def ended(stage: Stage, *, how: str) -> None:
    """Interrupt or kill a kernel whose server has readers; another one goes on with the log at the same port."""
    job: dict[str, object] = {
        "transport": stage.transport,
        "schedule": [RATE_PER_S, stage.chance.randrange(2**31)],
        "log": str(stage.folder / "kernel.log"),
        "port": 0,
    }
    kernel = _kernel(stage, job)
    about = await kernel.ready()
    all_heard = await stage.readers(about["port"], 2)
    await stage.more(all_heard, stage.chance.randrange(1, 20))
    kernel.send(signal.SIGINT if how == "interrupted" else signal.SIGKILL)
    await stage.until(lambda: not kernel.processes(), "no process of the kernel is left")
    last = _kernel(stage, job | {"port": about["port"]})
    await last.ready()
    await stage.more(all_heard, 5)
    stage.judge(all_heard)
    stage.claim(all(len(heard.epochs) == 1 for heard in all_heard), "another history began")
    last.send(signal.SIGINT)  # so that its log is closed as it should be
    await stage.until(lambda: not last.processes(), "no process of the second kernel is left")


async def ended_while_starting(stage: Stage) -> None:
    """Kill a kernel at a random moment while it starts a server; nothing of it is left."""
    for _ in range(3):
        job: dict[str, object] = {"transport": stage.transport, "schedule": [RATE_PER_S, 1], "log": None, "port": 0}
        kernel = _kernel(stage, job)
        await asyncio.sleep(stage.chance.uniform(0.0, patient(1.5)))
        kernel.send(signal.SIGKILL if stage.chance.random() < 0.5 else signal.SIGINT)
        await stage.until(lambda kernel=kernel: not kernel.processes(), "no process of the kernel is left")  # type: ignore[misc]


def _kernel(stage: Stage, job: dict[str, object]) -> Kernel:
    kernel = Kernel(job, f"{stage.folder.name}-{stage.chance.randrange(2**63)}")
    stage.finally_do(kernel.end)
    return kernel


ROWS = (
    *over(
        "kernel-interrupted",
        "the kernel that has a server is interrupted: the server ends with its cell, the next one goes on with its log",
        ended,
        parameters={"how": "interrupted"},
        systems=POSIX,
    ),
    *over(
        "kernel-killed",
        "the kernel that has a server is killed: no process of it is left, the next one goes on with its log",
        ended,
        parameters={"how": "killed"},
        systems=POSIX,
    ),
    *over(
        "kernel-killed-early",
        "a kernel is killed or interrupted while it starts a server: no process of it is left",
        ended_while_starting,
        ["polling", "websocket"],
        systems=POSIX,
    ),
)
