"""Trials of everything at once: faults in an order that is drawn, on top of each other."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable

from wsdemo.line import Fault, Line
from wsdemo.serve import Server
from wsdemo.trials.stage import Stage
from wsdemo.trials.trial import over

STEPS = 10
Step = Callable[[Stage, Server, Line], Awaitable[None]]


async def _kill(stage: Stage, server: Server, line: Line) -> None:
    server.kill()
    await stage.a_while(0.2)
    await server.start()


async def _deploy(stage: Stage, server: Server, line: Line) -> None:
    await server.drain(stage.chance.uniform(0.0, 0.3))
    await server.stop()
    await server.start()


async def _stand_still(stage: Stage, server: Server, line: Line) -> None:
    if sys.platform != "win32":
        os.kill(server.pid, signal.SIGSTOP)
        await stage.a_while(0.5)
        os.kill(server.pid, signal.SIGCONT)


async def _cut(stage: Stage, server: Server, line: Line) -> None:
    line.cut(rst=stage.chance.random() < 0.5)


async def _cut_at_bytes(stage: Stage, server: Server, line: Line) -> None:
    line.change(Fault(cut_after_bytes=stage.chance.randrange(1, 5000), rst=stage.chance.random() < 0.5))
    await stage.a_while(0.5)


async def _vanish(stage: Stage, server: Server, line: Line) -> None:
    line.change(f"vanish={stage.chance.choice(['up', 'down', 'both'])}")
    await stage.a_while(0.5)


async def _unavailable(stage: Stage, server: Server, line: Line) -> None:
    line.change(Fault(unavailable_status=stage.chance.choice([500, 502, 503, 504])))
    await stage.a_while(0.3)


async def _slow(stage: Stage, server: Server, line: Line) -> None:
    line.change(Fault(delay_s=stage.chance.uniform(0.0, 0.05), jitter_s=stage.chance.uniform(0.0, 0.05)))
    await stage.a_while(0.3)


async def _hold(stage: Stage, server: Server, line: Line) -> None:
    line.change(Fault(hold_bytes=stage.chance.randrange(1, 5000)))
    await stage.a_while(0.3)


STEPS_OF_A_LINE: tuple[Step, ...] = (_stand_still, _cut, _cut_at_bytes, _vanish, _unavailable, _slow, _hold)


async def together(stage: Stage, *, server_too: bool) -> None:
    """Let one fault follow another, some ended before the next and some not; at the end all is well again."""
    server = await stage.server(log=server_too)
    line = await stage.line(server)
    all_heard = await stage.readers(line, 3)
    steps = STEPS_OF_A_LINE + ((_kill, _deploy) if server_too else ())
    for _ in range(STEPS):
        await stage.chance.choice(steps)(stage, server, line)
        if stage.chance.random() < 0.5:
            line.change(None)
            await stage.more(all_heard)
        await asyncio.sleep(0)
    line.change(None)
    await stage.more(all_heard)
    await stage.caught_up(server, all_heard)
    stage.judge(all_heard)
    await stage.open_is(server, len(all_heard))


ROWS = (
    *over(
        "line-at-its-worst",
        "cuts, silence, delay, proxies and a server that stands still, in an order that is drawn: nothing is lost",
        together,
        parameters={"server_too": False},
    ),
    *over(
        "all-at-its-worst",
        "the same, with kills and deploys of a server that has a log: nothing is lost, nothing comes twice",
        together,
        parameters={"server_too": True},
    ),
)
