"""Trials of the server's process: killed, stopped, drained, started again."""

from __future__ import annotations

import asyncio
import os
import signal

from wsdemo.trials.stage import Stage
from wsdemo.trials.trial import over


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
        "stopped",
        "a server's process is stopped (SIGSTOP) and goes on: its readers miss nothing",
        stopped,
        systems=("linux", "darwin"),
    ),
)
