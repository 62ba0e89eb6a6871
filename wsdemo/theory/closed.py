"""What each transport should cost, in closed form.

Symbols: interval `T` (seconds between polls of one client), rate `lambda` (updates per second), `x = lambda * T`,
one-way delay `d` (seconds). Where updates form a Poisson process, the chance that an interval holds none is
`exp(-x)`. Where the schedule is known, no Poisson is needed: see `wasted_fraction_given`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def wasted_fraction(rate_per_s: float, interval_s: float) -> float:
    """Return the share of polls that find nothing new: `exp(-lambda T)`, for Poisson updates."""
    return math.exp(-rate_per_s * interval_s)


def wasted_fraction_periodic(period_s: float, interval_s: float) -> float:
    """Return the same share for one update every `period_s` seconds: `max(0, 1 - T / P)`."""
    return max(0.0, 1 - interval_s / period_s)


def wasted_fraction_given(at_s: Sequence[float], interval_s: float, duration_s: float) -> float:
    """Return the share of wasted polls given the schedule, exact in the mean over the phases of the clients.

    A poll finds news when an update fell in the `T` seconds before it, so update i makes polls useful for
    `min(gap_i, T)` seconds: `1 - sum(min(gap_i, T)) / duration`. The last gap ends with the run.
    """
    ends = [*at_s[1:], duration_s] if at_s else []
    useful_s = sum(min(end - start, interval_s) for start, end in zip(at_s, ends, strict=True))
    return 1 - useful_s / duration_s


def requests_per_update(rate_per_s: float, interval_s: float) -> float:
    """Return how many polls one client makes for each update: `1 / (lambda T)`."""
    return 1 / (rate_per_s * interval_s)


def latency_mean(interval_s: float, delay_s: float = 0.0) -> float:
    """Return the mean latency of every update under polling, in seconds: `T / 2 + d`."""
    return interval_s / 2 + delay_s


def latency_mean_latest_only(rate_per_s: float, interval_s: float) -> float:
    """Return the mean latency of the updates that are *seen* when only the latest value is kept, in seconds.

    `T * (1/x - exp(-x) / (1 - exp(-x)))`. It lies below `T / 2`, because the updates that waited longest were
    overwritten and are not in the mean: the classic mistake.
    """
    x = rate_per_s * interval_s
    return interval_s * (1 / x - math.exp(-x) / -math.expm1(-x))


def missed_fraction_latest_only(rate_per_s: float, interval_s: float) -> float:
    """Return the share of updates that nobody sees when only the latest value is kept: `1 - (1 - exp(-x)) / x`."""
    return 1 - freshness(rate_per_s, interval_s)


def freshness(rate_per_s: float, interval_s: float) -> float:
    """Return the share of time in which a polled copy is up to date: `(1 - exp(-x)) / x`.

    Source: J. Cho and H. Garcia-Molina, "Synchronizing a database to improve freshness", SIGMOD 2000.
    """
    x = rate_per_s * interval_s
    return -math.expm1(-x) / x


def least_cost_interval(request_cost: float, staleness_cost_per_s: float, rate_per_s: float) -> float:
    """Return the interval of least cost in seconds, `T* = sqrt(2 a / (b lambda))`.

    request_cost `a`: the price of one request; staleness_cost_per_s `b`: the price of one second of latency of one
    update, in the same money. One client pays `a / T + b * lambda * T / 2` per second; its minimum is at `T*`.
    """
    return math.sqrt(2 * request_cost / (staleness_cost_per_s * rate_per_s))


def latency_quantile(interval_s: float, share: float, delay_s: float = 0.0) -> float:
    """Return the latency under polling that this share of deliveries does not exceed, in seconds: `p T + d`.

    share: from 0 to 1, as in 0.95. An update falls anywhere between two polls, so its wait is even between 0 and T.
    """
    return share * interval_s + delay_s


def long_poll_cycle(rate_per_s: float, timeout_s: float, delay_s: float) -> float:
    """Return the mean time from one long poll of a reader to its next, in seconds, for Poisson updates.

    Two transits, and where nothing came in these, the time until an update or the timeout:
    `2d + exp(-lambda 2d) * (1 - exp(-lambda timeout)) / lambda`. Its inverse, the requests a second, is at most
    `1 / (2d)`. Source of the two transits: RFC 6202 section 2.2.
    """
    gap_s = 2 * delay_s
    return gap_s + math.exp(-rate_per_s * gap_s) * -math.expm1(-rate_per_s * timeout_s) / rate_per_s


def long_poll_wasted_fraction(rate_per_s: float, timeout_s: float, delay_s: float) -> float:
    """Return the share of long polls that end without news, for Poisson updates: `exp(-lambda (2d + timeout))`."""
    return math.exp(-rate_per_s * (2 * delay_s + timeout_s))


def long_poll_latency_mean(rate_per_s: float, timeout_s: float, delay_s: float) -> float:
    """Return the mean latency of every update under long polling, in seconds, for Poisson updates.

    `d`, and for those that come between two requests the rest of `2d`: `d + 2 d^2 / cycle`, which goes towards `2d`.
    """
    return delay_s + 2 * delay_s**2 / long_poll_cycle(rate_per_s, timeout_s, delay_s)


def conflated_messages_per_s(rate_per_s: float, at_most_every_s: float) -> float:
    """Return how many messages a second go to one reader of a conflated stream: `lambda / (x + exp(-x))`.

    After each message `T` must pass, and where nothing came in it, `1 / lambda` more. So there are always fewer than
    `1 / T`, polling's requests with the same T, and fewer than updates.
    """
    x = rate_per_s * at_most_every_s
    return rate_per_s / (x + math.exp(-x))


def conflated_wait_mean(rate_per_s: float, at_most_every_s: float) -> float:
    """Return the mean time an update is held back by conflation, in seconds: `T / 2 * x / (x + exp(-x))`.

    Always below polling's `T / 2`, for Poisson updates. Of a burst all but the first wait for nearly T, which is more.
    """
    x = rate_per_s * at_most_every_s
    return at_most_every_s / 2 * x / (x + math.exp(-x))
