"""What a machine and its programs charge, as a rehearsal found it before the clock of a run started.

Theory knows how many exchanges there are and who waits for whom. What one of them takes on this machine no theory can
know: it has to be tried. These are the results of the trial, and the only numbers of a prediction that were measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wsdemo.theory.costs import push_latency_quantile

LEAST_BAND = 0.2
"""How far a latency may lie from its prediction at least: rounds that agree by chance do not make a machine certain."""


@dataclass(frozen=True)
class Both:
    """Bytes of TCP payload at the server's socket, in each direction."""

    sent: float = 0.0
    received: float = 0.0


@dataclass(frozen=True)
class Lag:
    """What a line adds to every way, by what it was told: in the mean up_s to a question, down_s to what has news.

    jitter_s: between its soonest and its latest. Seconds.
    """

    up_s: float = 0.0
    down_s: float = 0.0
    jitter_s: float = 0.0


@dataclass(frozen=True)
class Round:
    """One round of a push: first_s, the latency of a single reader, and further_s, what each further one adds.

    first_s is the median over the updates of the round. Seconds.
    """

    first_s: float
    further_s: float

    def latency_s(self, readers: int, share: float = 0.5) -> float:
        """Return the latency that this share of so many readers does not exceed: `c0 + p s (N - 1)`."""
        return push_latency_quantile(self.first_s, self.further_s, readers, share)


@dataclass(frozen=True)
class Calibration:
    """The prices of one transport on this machine.

    delay_s: the bare one-way delay `d` at the pace of news; rounds: of a push; first_p95_s: the latency that 95 % of
    all updates to a single reader do not exceed; way_s: from a poll's due time to its news, as `(median, p95)`.
    opening: bytes of one reader's opening; silent: of an exchange without news; news: of one with news, or a message,
    without the updates themselves. poll_cpu_s: server CPU of a poll by polls a second; update_cpu_s, message_cpu_s: of
    an update, and of it to each reader. rss_bytes, reader_bytes: memory of the server, and of each reader. lag: what a
    line adds, which was not tried but is known.
    """

    delay_s: float
    opening: Both
    silent: Both
    news: Both
    rss_bytes: float
    reader_bytes: float
    rounds: tuple[Round, ...] = ()
    first_p95_s: float = math.nan
    way_s: tuple[float, float] = (math.nan, math.nan)
    poll_cpu_s: tuple[tuple[float, float], ...] = ()
    update_cpu_s: float = math.nan
    message_cpu_s: float = math.nan
    lag: Lag = Lag()

    def push_latency_s(self, readers: int, share: float = 0.5) -> tuple[float, float]:
        """Return the latency of a push to so many readers, and how far its rounds say that it may be off, seconds."""
        import statistics  # here, since servers import this package, and their memory is measured

        found = [one.latency_s(readers, share) for one in self.rounds]
        middle = statistics.median(found)
        if share > 0.5:  # what delays a whole update is in the first reader's own quantile
            middle += max(0.0, self.first_p95_s - statistics.median(one.first_s for one in self.rounds))
        within = max(2 * (max(found) - min(found)), LEAST_BAND * middle) + self.lag.jitter_s / 2
        return middle + self.lag.down_s + (share - 0.5) * self.lag.jitter_s, within

    def poll_cpu(self, polls_per_s: float) -> float:
        """Return the server's CPU for one poll in seconds, at so many polls a second.

        A busy event loop handles many sockets each time it wakes, so a poll is cheaper there. Between the two rates
        that were tried, and not beyond them, the price follows a power of the rate.
        """
        (low, dear), (high, cheap) = self.poll_cpu_s
        share = math.log(min(max(polls_per_s, low), high) / low) / math.log(high / low)
        return math.exp(math.log(dear) + share * math.log(cheap / dear))
