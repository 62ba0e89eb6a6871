"""What figures compute from measurements, and what they refuse. Nothing is drawn here, and no word for a drawing.

A refusal is an error for whoever writes the cell; it speaks English, as in the whole package.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wsdemo import theory
from wsdemo.result import Measurement
from wsdemo.transports import TRANSPORTS, Transport
from wsdemo.updates import earthquakes, week_s

_MOST_TICKS = 60
_MOST_POINTS = 400
_SEEDS = 200
_MOST_LUCK = 500

Floats = NDArray[np.float64]
Runs = Measurement | Iterable[Measurement]
"""What a figure is drawn of: a `Comparison`, a list, or a single run."""


# --- which runs -------------------------------------------------------------------------------------------------------


def runs(what: Runs) -> list[Measurement]:
    """Return the measurements in their order. Raises ValueError if there is none."""
    found = [what] if isinstance(what, Measurement) else list(what)
    if not found:
        raise ValueError("nothing to draw: give at least one measurement")
    return found


def row(m: Measurement) -> Transport:
    return TRANSPORTS[m.transport]


def pulls(m: Measurement) -> bool:
    return row(m).family == "pull"


def heard(measured: Iterable[Measurement]) -> list[Measurement]:
    """Return the runs that heard an update: the others have no latency, and nothing to divide their bytes by."""
    return [m for m in measured if m.deliveries]


def by_transport(measured: Sequence[Measurement]) -> list[tuple[Transport, list[Measurement]]]:
    names = dict.fromkeys(m.transport for m in measured)
    return [(TRANSPORTS[name], [m for m in measured if m.transport == name]) for name in names]


def joined(measured: Sequence[Measurement], labels: Sequence[str]) -> list[tuple[Measurement, list[str]]]:
    """Return runs with their labels; runs whose points of the wasted curve would coincide share one place.

    Raises ValueError unless there are as many labels as runs.
    """
    if len(labels) != len(measured):
        raise ValueError(f"{len(measured)} measurements need as many labels, not {len(labels)}")
    named: list[tuple[Measurement, list[str]]] = []
    for m, label in zip(measured, labels, strict=True):
        near = (
            said
            for other, said in named
            if abs(math.log(updates_per_interval(m) / updates_per_interval(other))) < 0.05
            and abs(m.wasted_fraction - other.wasted_fraction) < 0.03
        )
        if (said := next(near, None)) is not None:
            said.append(str(label))
        else:
            named.append((m, [str(label)]))
    return named


# --- one client's timeline --------------------------------------------------------------------------------------------


def shown_s(first: Measurement, client: int, until_s: float | None) -> float:
    """Return where a timeline ends, in seconds after the start: at `until_s`, after 60 polls, or with the run.

    Raises ValueError for a client that there is not, and for a time that is not above 0.
    """
    if not 0 <= client < first.clients:
        raise ValueError(f"client must be between 0 and {first.clients - 1}, not {client!r}")
    if until_s is None:
        return min(first.duration_s, _MOST_TICKS * first.interval_s)
    if not until_s > 0:
        raise ValueError(f"until_s must be a number of seconds above 0, not {until_s!r}")
    return until_s


def of_client(m: Measurement, client: int, until_s: float) -> tuple[int, int, list[float]]:
    """Return one client's polls before a moment, how many were wasted, and how long each update waited, in seconds."""
    polls = [p for p in m.polls if p.client == client and p.at_s < until_s]
    waits = [h.latency_s for h in m.heard if h.client == client and h.received_s - h.latency_s < until_s]
    return len(polls), sum(p.wasted is True for p in polls), waits


def updates_until(m: Measurement, until_s: float) -> int:
    return sum(at_s < until_s for at_s in m.at_s)


# --- numbers of one run -----------------------------------------------------------------------------------------------


def updates_per_interval(m: Measurement) -> float:
    """Return `x = lambda T`."""
    return m.schedule.rate_per_s * m.interval_s


def request_rate(m: Measurement) -> float:
    """Return the requests per second made while the clock ran: a push client subscribes before."""
    return sum(p.at_s >= 0 for p in m.polls) / m.duration_s


def expected_request_rate(m: Measurement) -> float:
    subscribed = m.clients if m.family == "push" else 0
    return max(0.0, m.predicted.requests - subscribed) / m.duration_s


def cores(m: Measurement) -> float:
    """Return the server's CPU in cores, over the run and the one interval in which the last updates are heard."""
    return max(0.0, m.server_cpu_s) / (m.duration_s + m.interval_s)


def cost(m: Measurement) -> float:
    """Return requests (pull) or messages (push; requests, if it needs more of them) per second and client."""
    requests = request_rate(m) / m.clients
    return requests if pulls(m) else max(requests, m.deliveries / m.duration_s / m.clients)


# --- numbers of many --------------------------------------------------------------------------------------------------


def mean(values: Sequence[float]) -> float:
    """Return the mean, NaN if there is nothing to take it of."""
    return float(np.mean(values)) if len(values) else math.nan


@functools.cache
def week() -> tuple[float, float]:
    """Return, of the real week asked once a minute, `lambda T` and the wasted share given its schedule."""
    quakes = earthquakes(speed=1.0)
    return quakes.rate_per_s * 60, theory.wasted_fraction_given(quakes.times(week_s()), 60.0, week_s())


def spread(m: Measurement, xs: Floats) -> tuple[Floats, Floats] | None:
    """Return, at each `x = lambda T`, the 5th and the 95th percentile of the wasted share over many schedules.

    Each is the run's own recipe with another seed, as long as the run; where T is longer than that, NaN. None if there
    is no luck in the recipe, or so many updates that luck evens out.
    """
    if m.published > _MOST_LUCK or m.schedule.with_seed(1) == m.schedule.with_seed(2):
        return None
    intervals_s = xs / m.schedule.rate_per_s
    shares = np.empty((_SEEDS, len(xs)))
    for seed in range(_SEEDS):
        at_s = m.schedule.with_seed(seed).times(m.duration_s)
        gaps_s = np.diff(np.append(at_s, m.duration_s)) if at_s else np.empty(0)
        shares[seed] = 1 - np.minimum(gaps_s[:, None], intervals_s).sum(axis=0) / m.duration_s
    shares[:, intervals_s > m.duration_s] = math.nan
    low, high = np.percentile(shares, (5, 95), axis=0)
    return low, high


def ecdf(samples: Floats) -> tuple[Floats, Floats]:
    """Return sorted samples and the share of all samples at or below each, thinned to a number that draws fast."""
    ordered = np.sort(samples)
    shares = np.arange(1, len(ordered) + 1) / len(ordered)
    if len(ordered) > _MOST_POINTS:
        chosen = np.unique(np.linspace(0, len(ordered) - 1, _MOST_POINTS).round().astype(int))
        return ordered[chosen], shares[chosen]
    return ordered, shares


def memory(connections: Sequence[float], rss_bytes: Sequence[float]) -> tuple[Floats, Floats]:
    """Return connections and the memory of the server that held them, in bytes, by number of connections.

    Raises ValueError unless both are lists of one length with something in them.
    """
    counts, held = np.asarray(connections, dtype=np.float64), np.asarray(rss_bytes, dtype=np.float64)
    if counts.ndim != 1 or counts.shape != held.shape or not len(counts):
        raise ValueError(
            f"connections and rss_bytes must be two lists of one length, not {counts.shape} and {held.shape}"
        )
    order = np.argsort(counts, kind="stable")
    return counts[order], held[order]


def last_return(returns: Mapping[str, Sequence[float]]) -> float:
    """Return when the last reader came back by any rule, in seconds; 0 if none did. Raises ValueError for no storm."""
    if not returns:
        raise ValueError("a storm needs the times of at least one rule")
    times = [at_s for came in returns.values() for at_s in came]
    if any(at_s < 0 for at_s in times):
        raise ValueError("returns are counted in seconds after the server was killed, from 0 on")
    return max(times, default=0.0)


def longest_silence(received: Sequence[Sequence[float]]) -> float:
    """Return the longest time between two updates of any reader, in seconds. Raises ValueError where there are none."""
    gaps = [after - before for moments in received for before, after in itertools.pairwise(moments)]
    if not gaps:
        raise ValueError("a silence lies between two updates, and no reader has heard two")
    return max(gaps)
