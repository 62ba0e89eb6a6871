"""One side of a session: a transport on a listening socket of its own, over a feed that waits for its first reader."""

from __future__ import annotations

import asyncio

from wsdemo.feed import Answer, Feed
from wsdemo.guard import Guard
from wsdemo.meter import Meter, listen
from wsdemo.transports import TRANSPORTS


class LateFeed(Feed):
    """A feed that is started by whoever first asks what came: a session without readers costs nothing.

    due_ns: the start of its clock, once that is known. What was published by then is there as if it had always played.
    """

    due_ns: int | None = None

    def since(self, after: int | None = None, epoch: str | None = None) -> Answer:
        if self.due_ns is not None:
            self.start(self.due_ns)
        return super().since(after, epoch)


class Side:
    """One transport on one port, held open by a task: what a transport opens must be closed by the same task."""

    def __init__(self, name: str, feed: Feed, host: str, guard: Guard):
        self.meter = Meter()
        self.address, self.port = "", 0  # once it is open
        self._seen = 0
        self._module = TRANSPORTS[name].module()
        self._feed, self._host, self._guard = feed, host, guard
        self._end = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(opened), name="wsdemo live side")
        try:
            await asyncio.wait([self._task, opened], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the page that asked has left
            await self.close()
            raise
        if not opened.done():
            await self._task  # raises why it could not open

    async def _hold(self, opened: asyncio.Future[None]) -> None:
        with listen(self.meter, self._host) as sock:
            self.address, self.port = sock.getsockname()[:2]
            async with self._module.serve(self._feed, sock, self._guard):
                opened.set_result(None)
                await self._end.wait()

    def has_moved(self) -> bool:
        """Whether a byte has gone in or out since the last look."""
        before, self._seen = self._seen, self.meter.bytes_sent + self.meter.bytes_received
        return self._seen != before

    async def close(self) -> None:
        self._end.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
