"""A trial as data: one frozen row, which says its name, what it does, over what, and how long it may take."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wsdemo.transports import TRANSPORTS

Play = Callable[..., Awaitable[None]]
"""A scenario: it is given a `stage.Stage`, and the row's parameters by name."""
LIMIT_S = 90.0
ALL = tuple(TRANSPORTS)
STREAMED = tuple(row.name for row in TRANSPORTS.values() if row.habit == "streamed")
ASKING = tuple(row.name for row in TRANSPORTS.values() if row.habit == "asks")
WAITING = tuple(name for name in ALL if name not in ASKING)
"""Those that keep a question or a stream open while there is no news."""


@dataclass(frozen=True)
class Trial:
    """A named scenario that checks itself.

    name: `what-befalls/transport`; does: in a sentence; play: the scenario; transport: by which its readers hear;
    parameters: what else the scenario is given; limit_s: after so long it is ended, seconds on a machine of ordinary
    speed; alone: whether nothing else may run beside it; systems: on which it can run, as `sys.platform` begins.
    """

    name: str
    does: str
    play: Play
    transport: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    limit_s: float = LIMIT_S
    alone: bool = False
    systems: tuple[str, ...] = ("linux", "darwin", "win32")

    @property
    def family(self) -> str:
        """The name without the transport."""
        return self.name.partition("/")[0]

    def chance(self, seed: int) -> random.Random:
        """Return where all its chances come from: another one for each trial and each seed, the same each time."""
        return random.Random(f"{self.name} {seed}")

    def again(self, seed: int) -> str:
        """Return the line that repeats it."""
        return f"python -m wsdemo trials --only {self.name} --seed {seed}"


def over(
    name: str,
    does: str,
    play: Play,
    transports: Iterable[str] = ALL,
    *,
    parameters: Mapping[str, Any] = {},
    **rest: Any,
) -> list[Trial]:
    """Return one row a transport. rest: the other fields of `Trial`."""
    return [Trial(f"{name}/{one}", does, play, one, dict(parameters), **rest) for one in transports]
