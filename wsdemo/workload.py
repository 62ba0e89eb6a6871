"""What a run asks of a transport: the workload, its defaults, and when each client polls. Knows no other module.

It predicts nothing and measures nothing, so that both can be told the same without knowing each other.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass, replace

DEFAULT_CLIENTS, DEFAULT_INTERVAL_S, DEFAULT_DURATION_S = 20, 0.25, 8.0
"""The workload of those who name none: fits a laptop and Binder, and five transports in under a minute."""

LONG_POLL_TIMEOUT_S = 25.0
"""How long a long poll is held. RFC 6202 section 5.5 finds 30 s safe with most proxies; some give up at just that."""


@dataclass(frozen=True)
class Pace:
    """How often a server speaks where there is no news, and how often at the most where there is much.

    ping_s: between two pings of a WebSocket; comment_s: between two comments of an event stream; hold_s: how long a
    long poll is held; all three keep a silent line open, and show one that is dead. at_most_every_s: the least time
    between two messages to one reader of a stream (conflation), None for one message an update; answer_s: how long a
    reader may take to answer a ping, or to acknowledge what was sent to it.

    A line that is half-open, which nobody is told of, is noticed within two periods by both ends: a server has a period
    to speak and `answer_s` to hear, and clients of ours leave one that is silent for two periods of the default. So a
    pace may be faster without bound, and hardly slower. Raises ValueError for what is no period.
    """

    ping_s: float = 20.0
    comment_s: float = 15.0
    hold_s: float = LONG_POLL_TIMEOUT_S
    at_most_every_s: float | None = None
    answer_s: float = 15.0

    def __post_init__(self) -> None:
        for name, period_s in asdict(self).items():
            is_period = isinstance(period_s, int | float) and 0 < period_s < math.inf
            if not is_period and (name, period_s) != ("at_most_every_s", None):
                raise ValueError(f"{name} must be a number of seconds above 0, not {period_s!r}")

    def faster(self, by: float) -> Pace:
        """Return the pace with the periods of silence `by` times as short: those of a week that is replayed so fast."""
        return replace(self, ping_s=self.ping_s / by, comment_s=self.comment_s / by, hold_s=self.hold_s / by)


DEFAULT_PACE = Pace()
"""The pace of a server that nobody has told another."""


@dataclass(frozen=True)
class Workload:
    """What a run asks of a transport.

    at_s: the update times, seconds after the start, ascending; rate_per_s: the rate of the recipe they come from;
    duration_s: length of the run; interval_s: seconds between polls of one client; clients: how many; update_bytes: the
    size of each update as it is sent, where somebody asks for bytes.
    """

    at_s: tuple[float, ...]
    rate_per_s: float
    duration_s: float
    interval_s: float
    clients: int
    update_bytes: tuple[int, ...] = ()


def phases(clients: int, interval_s: float) -> list[float]:
    """Return the first poll of each client, in seconds after the start: spread evenly over one interval."""
    return [(i + 0.5) / clients * interval_s for i in range(clients)]


def poll_times(phase_s: float, interval_s: float, duration_s: float) -> list[float]:
    """Return one client's polls, `phase + k * T` for k = 0, 1, 2 … while before `duration_s`, in seconds."""
    times = (phase_s + k * interval_s for k in itertools.count())
    return list(itertools.takewhile(lambda at_s: at_s < duration_s, times))


def polls_due(clients: int, interval_s: float, duration_s: float) -> int:
    """Return how many polls of all clients fall before `duration_s`."""
    return sum(len(poll_times(phase, interval_s, duration_s)) for phase in phases(clients, interval_s))
