"""What a machine and its programs charge, as a rehearsal found it before the clock of a run started.

Theory knows how many exchanges there are and who waits for whom. What one of them takes on this machine no theory can
know: it has to be tried. These are the results of the trial, and the only numbers of a prediction that were measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wsdemo.theory.costs import push_latency_quantile

SEVERAL = 8
"""Up to so many readers, each further one adds what the first ones add: they wake a process that slept, or another."""
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

    first_s is the median over the updates of the round. soon_s: what each of the first further ones adds, up to
    `SEVERAL` readers, where that is not further_s. Seconds.
    """

    first_s: float
    further_s: float
    soon_s: float | None = None

    @classmethod
    def of(cls, first_s: float, several_s: float, many_s: float, many: int) -> Round:
        """Return the round from the median latencies of one reader, of `SEVERAL` and of so many."""
        knee = (SEVERAL - 1) / 2
        soon_s = max(0.0, several_s - first_s) / knee
        return cls(first_s, max(0.0, many_s - first_s - soon_s * knee) / ((many - 1) / 2 - knee), soon_s)

    def latency_s(self, readers: int, share: float = 0.5) -> float:
        """Return the latency that this share of so many readers does not exceed.

        `c0 + p s (N - 1)`, in which the first of those who are served before have a price of their own.
        """
        if self.soon_s is None:
            return push_latency_quantile(self.first_s, self.further_s, readers, share)
        before, knee = share * (readers - 1), (SEVERAL - 1) / 2
        return self.first_s + self.soon_s * min(before, knee) + self.further_s * max(0.0, before - knee)


@dataclass(frozen=True)
class Calibration:
    """The prices of one transport on this machine.

    delay_s: the bare one-way delay `d` at the pace of news; rounds: of a push; few_s, many_s: by how much each update
    to one reader, and to `many` of them, was later than the middle of its scene, negative where sooner; way_s: from a
    poll's due time to its news, as `(median, p95)`.
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
    few_s: tuple[float, ...] = ()
    many_s: tuple[float, ...] = ()
    many: int = 50
    way_s: tuple[float, float] = (math.nan, math.nan)
    poll_cpu_s: tuple[tuple[float, float], ...] = ()
    update_cpu_s: float = math.nan
    message_cpu_s: float = math.nan
    lag: Lag = Lag()

    def push_latency_s(self, readers: int, share: float = 0.5) -> tuple[float, float]:
        """Return the latency of a push to so many readers, and how far the rehearsal says that it may be off, seconds.

        Off by twice what its rounds differ among themselves; or by what one of its updates strayed from its round, nine
        in ten of them for the median and any of them for the high percentiles.
        """
        found = [one.latency_s(readers, share) for one in self.rounds]
        middle, strayed = _middle(found), self._strayed(readers)
        if share > 0.5:  # what delays a whole update is in the first reader's own quantile
            middle += max(0.0, _quantile(self.few_s, min(share, 0.95)))
        off_s = _quantile(strayed, 0.9 if share <= 0.5 else 1.0)
        within_s = max(2 * (max(found) - min(found)), LEAST_BAND * middle, off_s) + self.lag.jitter_s / 2
        return middle + self.lag.down_s + (share - 0.5) * self.lag.jitter_s, within_s

    def push_mean_s(self, readers: int, updates: int) -> tuple[float, float]:
        """Return the mean latency, and how far it may be off, seconds.

        A few updates that are late for whatever reason raise a mean and leave a median as it is: those of the rehearsal
        are in it, and a run may have one more or one less of the worst.
        """
        middle, within_s = self.push_latency_s(readers)
        late_s = max(0.0, sum(self.few_s) / len(self.few_s)) if self.few_s else 0.0
        return middle + late_s, within_s + _quantile(self._strayed(readers), 1.0) / max(1, updates)

    def _strayed(self, readers: int) -> list[float]:
        """Return by how much updates to so many readers stray, either way: between what few and many showed."""
        few, many = (sorted(map(abs, strayed)) for strayed in (self.few_s, self.many_s))
        share = min(1.0, (readers - 1) / (self.many - 1))
        return [one + share * (other - one) for one, other in zip(few, many, strict=False)]

    def poll_cpu(self, polls_per_s: float) -> float:
        """Return the server's CPU for one poll in seconds, at so many polls a second.

        A busy event loop handles many sockets each time it wakes, so a poll is cheaper there. Between the two rates
        that were tried, and not beyond them, the price follows a power of the rate.
        """
        (low, dear), (high, cheap) = self.poll_cpu_s
        share = math.log(min(max(polls_per_s, low), high) / low) / math.log(high / low)
        return math.exp(math.log(dear) + share * math.log(cheap / dear))


def _middle(values: Sequence[float]) -> float:
    return _quantile(values, 0.5)


def _quantile(values: Sequence[float], share: float) -> float:
    """Return the quantile, between two values where it falls there; 0 of none.

    Not NumPy's: servers import this package, and their memory is measured.
    """
    if not values:
        return 0.0
    at = share * (len(values) - 1)
    low, high = sorted(values)[int(at)], sorted(values)[min(int(at) + 1, len(values) - 1)]
    return low + (at - int(at)) * (high - low)
