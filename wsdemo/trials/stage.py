"""The stage of a trial: its chance, its servers, lines and readers, which all end with it, and its judgement."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import psutil

from wsdemo.line import Event, Fault, Line
from wsdemo.line.link import Kind
from wsdemo.meter import Counters
from wsdemo.reader import Reader
from wsdemo.serve import Server
from wsdemo.transports import TRANSPORTS
from wsdemo.trials.heard import Heard
from wsdemo.updates import Schedule, poisson

Counted = Literal["connections", "requests", "aborted"]
LOOK_S = 0.01
"""How long between two looks at what has no event of its own."""
RATE_PER_S = 80.0
LOG_SIZE = 50_000
"""How many updates a server's memory keeps: more than a reader could lack, however slow the machine."""
INTERVAL_S = 0.03
"""Between two polls: so that those who ask are as near to the news as those who are told."""


class Stage:
    """What a scenario plays on. Use as `async with Stage(transport, chance, folder) as stage:`.

    transport: the row's; chance: from where everything that is drawn comes; folder: for its files, empty. wrong: what
    has been found wrong so far, in sentences; waits_for: what it waits for at this moment.
    """

    def __init__(self, transport: str, chance: random.Random, folder: Path):
        self.transport, self.chance, self.folder = transport, chance, folder
        self.wrong: list[str] = []
        self.waits_for = ""
        self._stack = contextlib.AsyncExitStack()
        self._logs = 0

    async def __aenter__(self) -> Stage:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()
        beside = [path.name for path in self.folder.iterdir() if path.suffix != ".log"]
        self.claim(not beside, f"left files beside the log: {', '.join(beside)}")

    # --- who plays ----------------------------------------------------------------------------------------------------

    async def server(
        self, schedule: Schedule | None = None, *, log: bool = False, others: Sequence[str] = (), **options: Any
    ) -> Server:
        """Start a server of the row's transport, which listens where it did when it is started again.

        schedule: by default `RATE_PER_S` updates a second, at moments that are drawn; log: whether it has one on disk;
        others: transports that it serves as well.
        """
        if log:
            self._logs += 1
            options["log"] = self.folder / f"{self._logs}.log"
        else:
            options = {"log_size": LOG_SIZE} | options
        plays = schedule or poisson(RATE_PER_S, self.chance.randrange(2**31))
        server = Server(self.transport, *others, schedule=plays, same_ports=True, **options)
        self._stack.push_async_callback(server.stop)
        return await server.start()

    async def line(
        self, server: Server, fault: Fault | str | None = None, told: Callable[[Event], object] | None = None
    ) -> Line:
        """Open a line to a server."""
        return await self._stack.enter_async_context(Line(server.port(), fault, told=told))

    async def reader(self, where: Server | Line | int, **options: Any) -> Heard:
        """Let a reader hear from a server or through a line, and wait until it has heard something."""
        (heard,) = await self.readers(where, 1, **options)
        return heard

    async def readers(
        self, where: Server | Line | int, count: int, *, name: str | None = None, **options: Any
    ) -> list[Heard]:
        """Let several hear from the beginning of the history, and wait until each has heard something, or has ended.

        where: a server, a line, or a port; name: another transport than the row's; options: of `Reader`.
        """
        name = name or self.transport
        port = where if isinstance(where, int) else where.port if isinstance(where, Line) else where.port(name)
        url = TRANSPORTS[name].url(port)
        given = {"interval_s": INTERVAL_S, "after": 0} | options
        all_heard = [Heard(name, url, Reader(**given)) for _ in range(count)]
        for heard in all_heard:
            heard.task = self.beside(heard.follow())
        await self.until(lambda: all(len(heard) or heard.failure for heard in all_heard), "its readers hear something")
        return all_heard

    async def leave(self, readers: Sequence[Heard]) -> None:
        """Let readers leave, as people do."""
        tasks = [heard.task for heard in readers if heard.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def beside(self, coroutine: Any) -> asyncio.Task[Any]:
        """Run something until the trial ends. What goes wrong in it is wrong with the trial."""
        task = asyncio.create_task(coroutine)

        async def end() -> None:
            task.cancel()
            ends: list[object] = await asyncio.gather(task, return_exceptions=True)
            self.wrong += [f"{type(end).__name__}: {end}" for end in ends if isinstance(end, Exception)]

        self._stack.push_async_callback(end)
        return task

    def finally_do(self, what: Callable[..., object], *arguments: Any) -> None:
        """Do something when the trial ends, however it ends."""
        self._stack.callback(what, *arguments)

    # --- what passes --------------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something is so. what: said if the trial is ended meanwhile, behind "until"."""
        self.waits_for = what
        while not condition():  # noqa: ASYNC110 - what a reader hears and counts has no event
            await asyncio.sleep(LOOK_S)
        self.waits_for = ""

    async def more(self, readers: Sequence[Heard], count: int = 1) -> None:
        """Wait until each has heard so many more updates."""
        wanted = {id(heard): len(heard) + count for heard in readers}
        await self.until(
            lambda: all(len(heard) >= wanted[id(heard)] or heard.failure for heard in readers),
            f"its readers hear {count} more updates",
        )

    async def told_gone(self, readers: Sequence[Heard], times: int) -> None:
        """Wait until each has been told so many times that its place is gone."""
        await self.until(
            lambda: all(heard.reader.resets >= times or heard.failure for heard in readers),
            "its readers are told that their place is gone",
        )

    async def did(self, line: Line, kind: Kind, count: int) -> None:
        """Wait until a line has done something so many times."""
        await self.until(lambda: line.did.counts[kind] >= count, f"the line has done {kind!r} {count} times")

    async def a_while(self, most_s: float) -> None:
        """Let a time pass that is drawn, up to so many seconds."""
        await asyncio.sleep(self.chance.uniform(0.0, most_s))

    async def caught_up(self, server: Server, readers: Sequence[Heard]) -> None:
        """Wait until all readers have what the server has published up to now: what is lost at the end shows here."""
        last, epoch = (await server.look())["seq"], server.epoch
        await self.until(
            lambda: all(heard.failure or (heard.epochs[-1:] == [epoch] and heard.seq >= last) for heard in readers),
            f"its readers have heard update {last}",
        )

    async def published(self, server: Server, seq: int) -> None:
        """Wait until a server has published this update."""
        self.waits_for = f"the server has published update {seq}"
        while (await server.look())["seq"] < seq:  # noqa: ASYNC110
            await asyncio.sleep(5 * LOOK_S)
        self.waits_for = ""

    # --- judgement ----------------------------------------------------------------------------------------------------

    def claim(self, holds: object, sentence: str) -> None:
        """Note what is wrong if something does not hold."""
        if not holds:
            self.wrong.append(sentence)

    def judge(self, readers: Sequence[Heard], **how: Any) -> None:
        """Judge what readers heard; how: as for `Heard.wrong`."""
        for heard in readers:
            self.wrong += heard.wrong(**how)

    async def counters(self, server: Server) -> Counters:
        """Return the server's counters for the row's transport."""
        return await server.counters(self.transport)

    async def until_counted(self, server: Server, what: Counted, least: int) -> None:
        """Wait until a server has counted so many of something."""
        self.waits_for = f"the server has counted {least} {what}"
        while (await self.counters(server))[what] < least:  # noqa: ASYNC110
            await asyncio.sleep(5 * LOOK_S)
        self.waits_for = ""

    async def open_is(self, server: Server, count: int) -> None:
        """Wait until a server holds so many connections: those that are gone cost it nothing any more."""
        self.waits_for = f"the server holds {count} connections"
        while (await self.counters(server))["open_now"] != count:  # noqa: ASYNC110
            await asyncio.sleep(5 * LOOK_S)
        self.waits_for = ""


def memory_bytes(server: Server) -> int:
    """Return how much memory a server has at this moment."""
    rss: int = psutil.Process(server.pid).memory_info().rss
    return rss
