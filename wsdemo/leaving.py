"""How a server leaves: it says goodbye to each reader, all at once when it stops, one after the other when it drains.

Knows no transport: each says how its readers are told. A deploy that drains stops listening first, so that the next
server can have the port, or a balancer sees it, before the first reader is sent there. Then readers are told one by
one, evenly over the time: that is jitter which the server makes itself, and the next one has its handshakes in peace.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from wsdemo.returns import SOON_S, Goodbye

LAST_WORDS_S = 2.0
"""How long readers who were told may take to be gone."""

Say = Callable[[Goodbye], Coroutine[Any, Any, object] | None]
"""Says goodbye to one reader; what takes a while is a coroutine."""


class Leaving:
    """The readers of one listening socket who are to be told. spread_s: tells over how long they should come back."""

    def __init__(self, spread_s: Callable[[], float]) -> None:
        self.has_begun = False
        self.stop_listening: Callable[[], Coroutine[Any, Any, object] | None] = lambda: None
        self._spread_s = spread_s
        self._readers: dict[object, Say] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._nobody = asyncio.Event()

    def __len__(self) -> int:
        return len(self._readers)

    @contextlib.contextmanager
    def attending(self, say: Say) -> Iterator[None]:
        """While the body runs there is a reader whom `say` would tell."""
        key = object()
        self._readers[key] = say
        try:
            yield
        finally:
            self._readers.pop(key, None)
            if not self._readers:
                self._nobody.set()

    async def stop(self) -> None:
        """Say to all readers at once that the server stops (1001)."""
        self.has_begun = True
        goodbye = Goodbye(1001, round(self._spread_s(), 2))
        for key in list(self._readers):
            self._tell(key, goodbye)
        await asyncio.sleep(0)

    async def drain(self, over_s: float) -> None:
        """Stop listening, and say to one reader after the other that the server restarts (1012).

        Returns once they are gone, or have had LAST_WORDS_S for it. Raises ValueError for what is no time.
        """
        if not 0 <= over_s < float("inf"):
            raise ValueError(f"a drain takes a number of seconds from 0 on, not {over_s!r}")
        goodbye = Goodbye(1012, round(min(SOON_S, self._spread_s()), 2))
        self.has_begun = True
        if (stopping := self.stop_listening()) is not None:
            await stopping
        start_s, told, keys = time.monotonic(), 0, list(self._readers)
        for told, key in enumerate(keys, 1):
            await asyncio.sleep(max(0.0, start_s + over_s * told / len(keys) - time.monotonic()))
            self._tell(key, goodbye)
        for key in self._readers.keys() - set(keys):  # who was half inside when it began
            self._tell(key, goodbye)
        await self._until_nobody_is_left()
        await asyncio.sleep(max(0.0, start_s + over_s - time.monotonic()))  # who asks by a timetable has its time

    async def _until_nobody_is_left(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                while self._readers:
                    self._nobody.clear()
                    await self._nobody.wait()
                if self._tasks:
                    await asyncio.wait(self._tasks)

    def _tell(self, key: object, goodbye: Goodbye) -> None:
        say = self._readers.get(key)  # none, if the reader has left meanwhile
        if say is not None and (saying := say(goodbye)) is not None:
            task: asyncio.Task[object] = asyncio.get_running_loop().create_task(saying)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def until_told(drain_s: float | None) -> None:
    """Wait for SIGTERM, for ever if nobody is to drain; a second one cancels whoever waits, and so ends the drain."""
    told, task = asyncio.Event(), asyncio.current_task()
    loop = asyncio.get_running_loop()

    def hear() -> None:
        told.set()
        print(f"stopping: readers are sent away over {drain_s:g} s", file=sys.stderr, flush=True)
        if task is not None:
            loop.add_signal_handler(signal.SIGTERM, task.cancel)

    if drain_s is not None:
        with contextlib.suppress(NotImplementedError):  # Windows has no SIGTERM to handle
            loop.add_signal_handler(signal.SIGTERM, hear)
    await told.wait()
