"""What can be wrong with a line, as data: one frozen `Fault`, which says of itself in words what it is."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, fields, replace
from typing import Literal

Way = Literal["up", "down", "both"]
"""Up: from clients to the server; down: from the server to clients."""
WAYS = ("up", "down", "both")
PROXY_IDLE_S = 60.0
"""After so long a silence most proxies close a connection: nginx's `proxy_read_timeout`, cloud balancers."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a line. Each field is None, or its default, where that is in order.

    delay_s: how long every byte is on its way, in each direction; jitter_s: up to so much longer, even chances, in
    order all the same; bandwidth_bytes_per_s: of each connection, in each direction. These three hold for every
    connection and at all times: see `steady`.

    cut_after_s: a connection is cut so long after it opened; cut_after_bytes: after so many bytes, both directions
    together, to the byte; cut_every_s: all are cut at once, again and again; rst: by RST and not by FIN.
    vanish: half-open, in one direction or both: nothing gets through, and nobody is told, neither of ends nor of
    resets. idle_s: cut after so long a silence in both directions, as proxies do it (`PROXY_IDLE_S`). hold_bytes:
    answers are held back until they end or so many bytes have come, as bad proxies do it. upgrade_status: requests with
    `Upgrade` are answered with this, such as 400 or 426; unavailable_status: every new connection's request is, such as
    502 or 503, and those that stand are cut; retry_after_s: what the answer asks for, whole seconds.

    one_in: of the connections, every k-th has the fault: number k, 2k, …; chance: each has it with this chance, drawn
    from seed and its number. from_s: when it begins, after the line has been told of it; for_s: how long it lasts.
    These four are for all but the first three.

    Raises ValueError, with a sentence, for what cannot be.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bandwidth_bytes_per_s: float | None = None
    cut_after_s: float | None = None
    cut_after_bytes: int | None = None
    cut_every_s: float | None = None
    rst: bool = False
    vanish: Way | None = None
    idle_s: float | None = None
    hold_bytes: int | None = None
    upgrade_status: int | None = None
    unavailable_status: int | None = None
    retry_after_s: float | None = None
    one_in: int = 1
    chance: float = 1.0
    seed: int = 0
    from_s: float = 0.0
    for_s: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _ZERO_AND_UP and not 0 <= value < math.inf:
                raise ValueError(f"{field.name} must be a number of seconds from 0 up, not {value!r}")
            if field.name in _ABOVE_ZERO and value is not None and not 0 < value < math.inf:
                raise ValueError(f"{field.name} must be a number above 0, not {value!r}")
            if field.name in _STATUSES and value is not None and not 400 <= value <= 599:
                raise ValueError(f"{field.name} must be a status from 400 to 599, not {value!r}")
        if self.vanish is not None and self.vanish not in WAYS:
            raise ValueError(f"vanish must be one of {', '.join(WAYS)}, not {self.vanish!r}")
        if not 0 <= self.chance <= 1:
            raise ValueError(f"chance must lie between 0 and 1, not {self.chance!r}")
        if self.cut_after_s is not None and self.cut_after_bytes is not None:
            raise ValueError("a connection is cut after so long or after so many bytes: choose one")
        if self.retry_after_s is not None and self.unavailable_status is None:
            raise ValueError("retry_after_s goes with unavailable_status: only such an answer says it")

    @property
    def steady(self) -> Fault:
        """The part that loses nothing and lets theory go on: delay, jitter and bandwidth."""
        return Fault(self.delay_s, self.jitter_s, self.bandwidth_bytes_per_s)

    @property
    def disturbs(self) -> bool:
        """Whether there is more than the steady part: something that theory cannot foresee."""
        return any(getattr(self, name) is not None for name in _DISTURB)

    def hits(self, number: int) -> bool:
        """Whether the connection with this number, from 1, has the fault."""
        if number % self.one_in:
            return False
        return self.chance >= 1 or random.Random(f"{self.seed}:{number}").random() < self.chance

    def begun_at_once(self) -> Fault:
        """Return the fault without its beginning and end: what holds between them."""
        return replace(self, from_s=0.0, for_s=None)


_ZERO_AND_UP = frozenset({"delay_s", "jitter_s", "from_s"})
_DISTURB = (
    "cut_after_s",
    "cut_after_bytes",
    "cut_every_s",
    "vanish",
    "idle_s",
    "hold_bytes",
    "upgrade_status",
    "unavailable_status",
)
_STATUSES = frozenset({"upgrade_status", "unavailable_status"})
_ABOVE_ZERO = frozenset(_DISTURB) - _STATUSES - {"vanish"} | {
    "bandwidth_bytes_per_s",
    "retry_after_s",
    "one_in",
    "for_s",
}
