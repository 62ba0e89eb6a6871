"""What theory expects of a run, transport by transport: what stands beside each measured number."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from wsdemo.theory.closed import latency_mean, wasted_fraction, wasted_fraction_given
from wsdemo.workload import LONG_POLL_TIMEOUT_S, Workload, polls_due


@dataclass(frozen=True)
class Prediction:
    """What theory expects of a run: totals over all clients, fractions between 0 and 1, latency in seconds."""

    requests: float
    wasted: float
    wasted_fraction: float
    wasted_fraction_poisson: float
    deliveries: int
    latency_mean_s: float
    held_connections: int


def polling(work: Workload, delay_s: float) -> Prediction:
    """Predict polling: most of `clients / T` requests a second are wasted when updates are rare; latency `T/2 + d`."""
    requests = polls_due(work.clients, work.interval_s, work.duration_s)
    fraction = wasted_fraction_given(work.at_s, work.interval_s, work.duration_s)
    return Prediction(
        requests=requests,
        wasted=requests * fraction,
        wasted_fraction=fraction,
        wasted_fraction_poisson=wasted_fraction(work.rate_per_s, work.interval_s),
        deliveries=work.clients * len(work.at_s),
        latency_mean_s=latency_mean(work.interval_s, delay_s),
        held_connections=0,
    )


def push(work: Workload, delay_s: float) -> Prediction:
    """Predict push: one request a client to subscribe, none wasted, latency `d`, and every connection held."""
    return Prediction(
        requests=work.clients,
        wasted=0,
        wasted_fraction=0.0,
        wasted_fraction_poisson=0.0,
        deliveries=work.clients * len(work.at_s),
        latency_mean_s=delay_s,
        held_connections=work.clients,
    )


def long_polling(work: Workload, delay_s: float, timeout_s: float = LONG_POLL_TIMEOUT_S) -> Prediction:
    """Predict long polling: one request an update, and one for each `timeout_s` without news, which is wasted.

    Latency is `d`, one transit, but an update that comes while its reader is between two requests waits for the next
    one: up to two transits more. Source: RFC 6202 section 2.2 ("maximum latency is over three network transits").
    """
    times = (0.0, *work.at_s, work.duration_s)
    gaps = [end - start for start, end in itertools.pairwise(times)]
    timeouts = sum(int(gap // timeout_s) for gap in gaps)
    requests = work.clients * (1 + len(work.at_s) + timeouts)
    waits = [max(0.0, 2 * delay_s - gap) for gap in gaps[:-1]]
    return Prediction(
        requests=requests,
        wasted=work.clients * timeouts,
        wasted_fraction=work.clients * timeouts / requests,
        wasted_fraction_poisson=wasted_fraction(work.rate_per_s, timeout_s),
        deliveries=work.clients * len(work.at_s),
        latency_mean_s=delay_s + (sum(waits) / len(waits) if waits else 0.0),
        held_connections=work.clients,
    )
