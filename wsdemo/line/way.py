"""One direction of one connection: bytes on their way, in order, as late as the line makes them, and never too many."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Literal

from wsdemo.line.fault import Fault

Ended = Literal["end", "reset"]
"""What may come after the last byte: FIN, or RST."""

MOST_ON_THE_WAY = 256 * 1024
"""With so many bytes on its way a direction takes no more from its source, which then has to wait as with TCP."""
SINK_BYTES = 64 * 1024
"""So many bytes wait for a slow receiver, before the direction stands still."""
_PACKET_BYTES = 1460
_PACKETS_A_S = 200
"""Where bandwidth is scarce, data is cut into packets of TCP over Ethernet, but no finer than so many a second."""


class Way:
    """What comes from a source goes to `deliver` in its order. random: a number from 0 to 1, for the jitter."""

    def __init__(self, deliver: Callable[[bytes | Ended], None], random: Callable[[], float]):
        self.source: asyncio.Transport | None = None
        self._deliver, self._random = deliver, random
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, bytes | Ended]] = deque()
        self._bytes = 0
        self._free_s = self._last_s = 0.0  # when the line is free again, when the last byte arrives
        self._timer: asyncio.TimerHandle | None = None
        self._vanishes = self._waits = self._has_ended = self._is_over = False

    def came(self, data: bytes, fault: Fault) -> None:
        """Take data in."""
        if self._is_over:
            return
        now_s = self._loop.time()
        width = fault.bandwidth_bytes_per_s
        packet = len(data) if width is None else max(_PACKET_BYTES, int(width / _PACKETS_A_S))
        late_s = fault.delay_s + (fault.jitter_s * self._random() if fault.jitter_s else 0.0)
        for at in range(0, len(data), packet):
            part = data[at : at + packet]
            self._free_s = max(self._free_s, now_s) + (0.0 if width is None else len(part) / width)
            self._last_s = max(self._last_s, self._free_s + late_s)
            self._queue.append((self._last_s, part))
        self._bytes += len(data)
        self._move()

    def ended(self, how: Ended, fault: Fault) -> None:
        """Take in that nothing more will come: it arrives behind the last byte."""
        if self._is_over or (self._has_ended and how == "end"):
            return
        self._has_ended = True
        self._last_s = max(self._last_s, self._loop.time() + fault.delay_s)
        self._queue.append((self._last_s, how))
        self._move()

    def vanish(self, vanishes: bool) -> None:
        """Let nothing through from now on, or again. What was on its way comes late then, as TCP sends it again."""
        self._vanishes = vanishes
        self._move()

    def wait(self, waits: bool) -> None:
        """Stand still while the receiver takes nothing, or go on."""
        self._waits = waits
        self._move()

    def stop(self) -> None:
        """Drop what is on its way, and take in nothing more."""
        self._is_over = True
        self._queue.clear()
        self._bytes = 0
        if self._timer is not None:
            self._timer.cancel()

    def _move(self) -> None:
        """Deliver what is due, and see when the next is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue and not (self._vanishes or self._waits or self._is_over):
            due_s, what = self._queue[0]
            if due_s > self._loop.time():
                self._timer = self._loop.call_at(due_s, self._move)
                break
            self._queue.popleft()
            if isinstance(what, bytes):
                self._bytes -= len(what)
            self._deliver(what)
        self._hold_back()

    def _hold_back(self) -> None:
        """Let the source wait while there is too much on the way; whoever vanishes is not even heard."""
        if self.source is None or self.source.is_closing() or self._has_ended:
            return
        if (self._vanishes or self._bytes >= MOST_ON_THE_WAY) and not self._is_over:
            self.source.pause_reading()  # does nothing where it is paused already
        else:
            self.source.resume_reading()
