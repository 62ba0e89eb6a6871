"""Measurements made by hand, of runs in which nothing was late: what figures and captions are tested with."""

import math

import numpy as np

from wsdemo.result import Comparison, Heard, Measurement, Poll
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import poisson
from wsdemo.workload import Workload, phases, poll_times

ALL = tuple(TRANSPORTS)
AT_S = (0.31, 0.9, 1.02, 2.4, 3.33)


def made(
    transport="polling",
    *,
    clients=4,
    interval_s=0.5,
    duration_s=4.0,
    at_s=AT_S,
    rate_per_s=2.0,
    push_s=0.002,
    **changes,
) -> Measurement:
    """Return the measurement of an ideal run: polls on time, pushes `push_s` after the update."""
    row = TRANSPORTS[transport]
    work = Workload(tuple(at_s), rate_per_s, duration_s, interval_s, clients)
    polls, heard = [], []
    for client, phase_s in enumerate(phases(clients, interval_s)):
        if row.family == "push":
            polls.append(Poll(client, -0.2, False))
            heard += [Heard(client, seq, at + push_s, push_s) for seq, at in enumerate(at_s, start=1)]
            continue
        due = poll_times(phase_s, interval_s, duration_s + interval_s)
        for before, now in zip([-math.inf, *due], due, strict=False):
            new = [(seq, at) for seq, at in enumerate(at_s, start=1) if before < at <= now]
            if now < duration_s:
                polls.append(Poll(client, now, not new))
            heard += [Heard(client, seq, now, now - at) for seq, at in new]
    values = {
        "transport": transport,
        "schedule": poisson(rate_per_s),
        "at_s": tuple(at_s),
        "clients": clients,
        "interval_s": interval_s,
        "duration_s": duration_s,
        "delay_s": 0.0001,
        "requests": len(polls),
        "wasted": sum(p.wasted is True for p in polls),
        "published": len(at_s),
        "deliveries": len(heard),
        "missed": 0,
        "duplicates": 0,
        "latency_s": np.array([h.latency_s for h in heard]),
        "bytes_sent": 300 * len(polls) + 100 * len(heard),
        "bytes_received": 200 * len(polls),
        "opening_bytes_sent": 0,
        "opening_bytes_received": 0,
        "connections": clients,
        "server_cpu_s": 0.0002 * len(polls),
        "server_peak_rss_bytes": 30 << 20,
        "client_requests": len(polls),
        "server_requests": len(polls),
        "predicted": row.predict(work, 0.0001),
        "polls": tuple(polls),
        "heard": tuple(heard),
    }
    return Measurement(**(values | changes))


def compared(*transports, **options) -> Comparison:
    return Comparison(tuple(made(transport, **options) for transport in transports))


def unheard(transport="polling", **options) -> Measurement:
    return made(transport, at_s=(), **options)


def sweep(*intervals_s) -> list[Measurement]:
    return [made(interval_s=interval_s) for interval_s in intervals_s]
