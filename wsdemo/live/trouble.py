"""What a person may do to the line of a side, to see what becomes of its reader.

With no trouble there is no line: the page speaks to the side's own port, and nothing stands between. Whoever wants
trouble is first led to another port, behind which lies a `wsdemo.line.Line` to the side; a little later the trouble
begins. A line leads to the side's port and nowhere else, is bounded, and ends with its session.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

from wsdemo.line import Fault, Line

DELAY_S = 0.3
"""How much longer everything is on its way, in each direction."""
CUT_EVERY_S = 6.0
LEAD_S = 0.5
"""So long the page has to come by the line before something happens to it."""
MOST_HITS = 16

_FAULTS = {
    "none": Fault(),
    "cut": Fault(),  # by hand, since the first is not to be waited for
    "stall": Fault(vanish="both"),
    "delay": Fault(delay_s=DELAY_S),
    "refuse": Fault(unavailable_status=503),
}
TROUBLES = tuple(_FAULTS)
"""What there is: nothing; all connections cut, again and again; half-open; slower; refused with 503."""


class Trouble:
    """The line of one side. most: how many connections it holds."""

    def __init__(self, most: int):
        self.kind = "none"
        self._most = most
        self._line: Line | None = None
        self._hits: deque[dict[str, object]] = deque(maxlen=MOST_HITS)
        self._timer: asyncio.TimerHandle | None = None
        self._turn = asyncio.Lock()

    @property
    def port(self) -> int | None:
        """Where the line listens; None while there is none."""
        return self._line.port if self._line is not None else None

    async def become(self, kind: str, address: str, side_port: int) -> None:
        """Let this be the trouble from now on, one of TROUBLES, on the way to where the side listens.

        Raises OSError where no line can be opened.
        """
        async with self._turn:
            self._cancel()
            if kind == "none":
                self.kind = kind
                await self._end()
                return
            if self._line is None:
                self._line = await Line(side_port, host=address, most=self._most).start()
            self.kind = kind
            self._line.change(None)
            self._timer = asyncio.get_running_loop().call_later(LEAD_S, self._begin)

    def lead_to(self, side_port: int) -> None:
        """Let new connections go to another port of the same side: it has another transport."""
        if self._line is not None:
            self._line.lead_to(side_port)

    def about(self) -> dict[str, object]:
        """Return the trouble, and when which one struck last: moments of the server's clock, in milliseconds."""
        return {"trouble": self.kind, "hits": [*self._hits]}

    async def close(self) -> None:
        """End the line and every connection of it."""
        async with self._turn:
            self._cancel()
            self.kind = "none"
            await self._end()

    def _begin(self) -> None:
        assert self._line is not None
        self._hits.append({"kind": self.kind, "at_ms": time.perf_counter_ns() / 1e6})
        if self.kind == "cut":
            self._line.cut()
            self._timer = asyncio.get_running_loop().call_later(CUT_EVERY_S, self._begin)
        else:
            self._line.change(_FAULTS[self.kind])

    async def _end(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.stop()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
