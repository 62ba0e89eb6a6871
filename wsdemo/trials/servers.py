"""Trials of the server's process: killed, stopped, drained, started again; its disk is full."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from wsdemo.processes.children import ChildFailed
from wsdemo.serve import Server
from wsdemo.trials.stage import Stage
from wsdemo.trials.trial import over

if sys.platform != "win32":
    import resource

CROWD = 60
DISK_BYTES = (500, 200_000)
"""How much more a full disk takes, drawn between these."""


async def killed(stage: Stage, *, log: bool, kills: int = 2, readers: int = 2) -> None:
    """Kill a server at random moments under load; its readers find the next one at the same port."""
    server = await stage.server(log=log)
    all_heard = await stage.readers(server, readers)
    for number in range(1, kills + 1):
        await stage.more(all_heard)
        await stage.a_while(0.3)
        server.kill()
        await stage.a_while(0.3)
        await server.start()
        if not log:  # so that each has a place in every history, and has to be told of every end
            await stage.told_gone(all_heard, number)
    await stage.more(all_heard)
    await stage.caught_up(server, all_heard)
    stage.judge(all_heard, resets=0 if log else kills)
    histories = 1 if log else kills + 1
    stage.claim(all(len(heard.epochs) == histories for heard in all_heard), f"there were not {histories} histories")


async def killed_in_a_row(stage: Stage, *, kills: int = 3) -> None:
    """Kill a server again and again as soon as it listens, before all its readers are back."""
    server = await stage.server(log=True)
    all_heard = await stage.readers(server, 3)
    for _ in range(kills):
        server.kill()
        await server.start()
        await stage.a_while(0.1)
    await stage.more(all_heard)
    await stage.caught_up(server, all_heard)
    stage.judge(all_heard)


async def killed_behind_a_line(stage: Stage) -> None:
    """Kill a server behind a gateway that stays: readers reach it, and nobody is there."""
    server = await stage.server(log=True)
    line = await stage.line(server)
    all_heard = await stage.readers(line, 2)
    server.kill()
    await stage.did(line, "nobody", stage.chance.randrange(1, 4))
    await server.start()
    await stage.more(all_heard)
    await stage.caught_up(server, all_heard)
    stage.judge(all_heard)


async def stopped(stage: Stage, *, times: int = 2) -> None:
    """Let a server stand still and go on, as a machine does that is short of memory or asleep."""
    server = await stage.server()
    all_heard = await stage.readers(server, 2)
    for _ in range(times):
        await stage.more(all_heard, stage.chance.randrange(1, 10))
        os.kill(server.pid, signal.SIGSTOP)
        await asyncio.sleep(stage.chance.uniform(0.1, 0.8))
        os.kill(server.pid, signal.SIGCONT)
    await stage.more(all_heard)
    await stage.caught_up(server, all_heard)
    stage.judge(all_heard)


async def deployed(stage: Stage) -> None:
    """Deploy twice: drain, stop, and start the next server with the same log at the same port."""
    server = await stage.server(log=True)
    all_heard = await stage.readers(server, 3)
    for _ in range(2):
        await stage.more(all_heard)
        await server.drain(stage.chance.uniform(0.0, 0.4))
        await server.stop()
        await server.start()
    await stage.more(all_heard)
    await stage.caught_up(server, all_heard)
    stage.judge(all_heard)


async def storm(stage: Stage) -> None:
    """Restart a server of a small crowd: all come back, nobody asks again and again, and what they cost is given back.

    At once, half of them leave, so that its connections have to follow.
    """
    server = await stage.server(log=True)
    all_heard = await stage.readers(server, CROWD, interval_s=0.3)
    if stage.chance.random() < 0.5:
        server.kill()
    else:
        await server.stop()
    await stage.a_while(0.5)
    await server.start()
    await stage.more(all_heard)
    await stage.caught_up(server, all_heard)
    stage.judge(all_heard)
    came = (await stage.counters(server))["connections"]
    stage.claim(came <= 2 * CROWD, f"{CROWD} readers came back with {came} connections")
    await stage.leave(all_heard[: CROWD // 2])
    await stage.open_is(server, CROWD - CROWD // 2)


async def full_disk(stage: Stage) -> None:
    """Let the log's disk be full: the server ends with a sentence, and the next one goes on without a gap."""
    server = await stage.server(log=True)
    all_heard = await stage.readers(server, 2)
    most = _largest(stage.folder) + stage.chance.randrange(*DISK_BYTES)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (most, most))
    await stage.until(lambda: not server.running, "the server ends, since its disk is full")
    said = await _last_words(server)
    stage.claim("cannot be written" in said and "see to the disk" in said, f"on a full disk the server said {said!r}")
    server.kill()
    await server.start()
    await stage.more(all_heard)
    await stage.caught_up(server, all_heard)
    stage.judge(all_heard)


def _largest(folder: Path) -> int:
    return max(path.stat().st_size for path in folder.iterdir())


async def _last_words(server: Server) -> str:
    try:
        await server.look()
    except ChildFailed as failed:
        return str(failed)
    return "nothing"


ROWS = (
    *over(
        "killed-with-log",
        "a server with a log is killed (-9) under load and started again: nothing is lost, nothing comes twice",
        killed,
        parameters={"log": True},
    ),
    *over(
        "killed-without-log",
        "a server without a log is killed and started again: every reader is told that its place is gone",
        killed,
        parameters={"log": False},
    ),
    *over(
        "killed-in-a-row",
        "a server with a log is killed again and again before its readers are back: they lose nothing",
        killed_in_a_row,
    ),
    *over(
        "killed-behind-a-line",
        "a server is killed behind a gateway that stays, where nobody is then: readers wait and go on",
        killed_behind_a_line,
    ),
    *over(
        "stopped",
        "a server's process is stopped (SIGSTOP) and goes on: its readers miss nothing",
        stopped,
        systems=("linux", "darwin"),
    ),
    *over("deployed", "a server drains, stops, and the next has its port and its log: nothing is missing", deployed),
    *over(
        "storm",
        f"a server of {CROWD} readers is restarted: all are back, without asking again and again",
        storm,
        alone=True,
    ),
    *over(
        "full-disk",
        "the log's disk is full: the server says so and ends, nobody heard what is not kept, the next one goes on",
        full_disk,
        systems=("linux",),
    ),
)
