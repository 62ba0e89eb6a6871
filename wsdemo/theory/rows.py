"""What theory expects of a run, transport by transport: what stands beside each measured number.

Counts follow from the schedule and the timetable. Latency of a push, bytes, CPU and memory need the machine's own
prices (`Calibration`), found before the clock starts; without them they are None, and the reason is said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from wsdemo.theory.calibration import Both, Calibration, Lag
from wsdemo.theory.closed import latency_mean, wasted_fraction, wasted_fraction_given
from wsdemo.theory.walks import PollsWalk, Walk, conflated, long_polls, polls
from wsdemo.workload import DEFAULT_PACE, Pace, Workload, phases, polls_due

NOT_TRIED = "what it takes on this machine was not tried beforehand"
NO_NEWS = "nothing is published"

BYTES_WITHIN, CPU_WITHIN, MEMORY_WITHIN = 0.03, 0.5, 0.1
"""How far a run may lie from its prediction, as a share of it: by the digits in a message; by what else a processor
does; by how memory is handed out in pages and arenas."""
GOODBYE_BYTES = 8
"""What a client that leaves may say at the end: a WebSocket's close frame, masked (RFC 6455, section 5.5.1)."""
_NEAR_S = 0.005
"""So late a poll may be on any machine, even one that did nothing else when it was tried."""
_LOST: Mapping[str, float | None] = {
    **dict.fromkeys(("requests", "wasted", "wasted_fraction", "latency_mean_s", "held_connections"), math.nan),
    **dict.fromkeys(("latency_p50_s", "latency_p95_s", "latency_p99_s")),
    **dict.fromkeys(("bytes_sent", "bytes_received", "server_cpu_s")),
}


@dataclass(frozen=True)
class Prediction:
    """What theory expects of a run: totals over all clients, fractions between 0 and 1, seconds, bytes of payload.

    A number is None where theory has none, and `reasons` says why. within: by field, how far a run may lie from it,
    in its own unit. bytes_*: opening included; opening_bytes_*: that part alone.
    """

    requests: float
    wasted: float
    wasted_fraction: float
    wasted_fraction_poisson: float
    deliveries: int
    latency_mean_s: float
    held_connections: float
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    latency_p99_s: float | None = None
    bytes_sent: float | None = None
    bytes_received: float | None = None
    opening_bytes_sent: float | None = None
    opening_bytes_received: float | None = None
    server_cpu_s: float | None = None
    server_rss_bytes: float | None = None
    within: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


def polling(work: Workload, delay_s: float, found: Calibration | None = None, pace: Pace = DEFAULT_PACE) -> Prediction:
    """Predict polling: most of `clients / T` requests a second are wasted when updates are rare; latency `T/2 + d`.

    The requests wasted and the percentiles are walked along the schedule for the clients' own phases, so that they hold
    for a single client too; wasted_fraction is the mean over all phases.
    """
    fraction = wasted_fraction_given(work.at_s, work.interval_s, work.duration_s)
    # To the server and back: where the machine was tried, half of a poll's whole way each, and a line's own lag.
    there_s, latest_s = (delay_s, delay_s) if found is None else (found.way_s[0] / 2, found.way_s[1])
    lag = Lag() if found is None else found.lag
    moments = (0.0, there_s, max(there_s, latest_s, _NEAR_S))
    spread = (max(-lag.jitter_s / 2, -lag.up_s), 0.0, lag.jitter_s / 2)
    soonest, walk, latest = (_polled(work, sum(late)) for late in zip(moments, spread, [lag.up_s] * 3, strict=True))
    back_s = there_s + lag.down_s
    prediction = Prediction(
        requests=polls_due(work.clients, work.interval_s, work.duration_s),
        wasted=walk.wasted,
        wasted_fraction=fraction,
        wasted_fraction_poisson=wasted_fraction(work.rate_per_s, work.interval_s),
        deliveries=work.clients * len(work.at_s),
        latency_mean_s=(latency_mean(work.interval_s) if walk.mean_s is None else walk.mean_s) + back_s,
        held_connections=work.clients,
        within={
            "wasted": max(abs(walk.wasted - other.wasted) for other in (soonest, latest)) + 1,
            # Over all phases the share is exact in the mean; these are N of them, and each update has a first and a
            # last poll that finds it.
            "wasted_fraction": len(work.at_s) / max(1, polls_due(work.clients, work.interval_s, work.duration_s)),
        },
    )
    prediction = _waits(prediction, walk, (soonest, latest), back_s)
    if found is None:
        return _unpriced(prediction)
    answers = walk.useful + walk.late_answers
    # One further poll of each comes after the run; all are in the bytes.
    empty = walk.requests + work.clients - answers
    rate = work.clients / work.interval_s
    cpu_s = (walk.requests + work.clients) * found.poll_cpu(rate)
    return _priced(prediction, work, found, empty, answers, cpu_s)


def _polled(work: Workload, delay_s: float) -> PollsWalk:
    return polls(work.at_s, phases(work.clients, work.interval_s), work.interval_s, work.duration_s, delay_s)


def push(work: Workload, delay_s: float, found: Calibration | None = None, pace: Pace = DEFAULT_PACE) -> Prediction:
    """Predict push: one request a client to subscribe, none wasted, and every connection held.

    Latency is `c0 + s (N - 1) / 2` where the two prices are known, and `d` alone, a floor that nothing meets, where
    they are not. A conflated stream waits as `conflated` walks.
    """
    prediction = Prediction(
        requests=work.clients,
        wasted=0,
        wasted_fraction=0.0,
        wasted_fraction_poisson=0.0,
        deliveries=work.clients * len(work.at_s),
        latency_mean_s=delay_s,
        held_connections=work.clients,
    )
    if found is None:
        return _unpriced(prediction)
    walk = None
    if pace.at_most_every_s is not None:
        walk = conflated(work.at_s, pace.at_most_every_s, work.duration_s)
    messages = len(work.at_s) if walk is None else walk.messages
    prediction = _pushed(prediction, work, found, walk)
    return _priced(prediction, work, found, 0, work.clients * messages, _push_cpu_s(messages, work, found))


def long_polling(
    work: Workload, delay_s: float, found: Calibration | None = None, pace: Pace = DEFAULT_PACE
) -> Prediction:
    """Predict long polling: one request an update, and one for each timeout without news, which is wasted.

    Walked along the schedule: the next request arrives two transits after an answer, and what comes in between shares
    the next one. A transit is `d`, or, where the machine was tried, half of what it takes to answer all readers. A run
    that ends inside a held request wastes nothing. Source: RFC 6202 section 2.2.
    """
    transit_s = soonest_s = delay_s
    if found is not None:
        lag_s = (found.lag.up_s + found.lag.down_s) / 2
        most_s = replace(found, lag=Lag()).push_latency_s(work.clients, 1.0)[0]
        soonest_s, transit_s = found.delay_s + lag_s, max(found.delay_s, most_s / 2) + lag_s
    walk, soonest = (
        long_polls(work.at_s, work.duration_s, pace.hold_s, one_s, work.duration_s + work.interval_s)
        for one_s in (transit_s, soonest_s)
    )
    requests = work.clients * walk.requests
    wait_s = walk.mean_s or 0.0
    prediction = Prediction(
        requests=requests,
        wasted=work.clients * walk.wasted,
        wasted_fraction=walk.wasted / walk.requests if walk.requests else 0.0,
        wasted_fraction_poisson=wasted_fraction(work.rate_per_s, pace.hold_s),
        deliveries=work.clients * len(work.at_s),
        latency_mean_s=delay_s + wait_s,
        held_connections=work.clients,
        within={"requests": 0.25 * abs(requests - work.clients * (1 + len(work.at_s))), "wasted": work.clients},
    )
    if found is None:
        return _unpriced(prediction)
    prediction = _pushed(prediction, work, found, walk)
    if found.lag != Lag():
        prediction = _widened(prediction, walk, soonest)
    answers = work.clients * walk.answers
    cpu_s = _push_cpu_s(walk.answers, work, found)
    return _priced(prediction, work, found, work.clients * walk.timeouts, answers, cpu_s, held=work.clients)


def _widened(prediction: Prediction, walk: Walk, other: Walk) -> Prediction:
    """Return the prediction with what two walks of one run differ in as a further tolerance of its latency.

    Behind a slow line many updates wait for the next question, and how long depends on how late that is, to the hair.
    """
    if not walk.deliveries or not other.deliveries:
        return prediction
    off = {
        name: abs((walk.quantile_s(share) or 0.0) - (other.quantile_s(share) or 0.0))
        for name, share in (("latency_p50_s", 0.5), ("latency_p95_s", 0.95))
    }
    off["latency_mean_s"] = abs((walk.mean_s or 0.0) - (other.mean_s or 0.0))
    return replace(prediction, within={name: within + off.get(name, 0.0) for name, within in prediction.within.items()})


def unforeseen(prediction: Prediction, reason: str, keep: Sequence[str] = ()) -> Prediction:
    """Return the prediction without the numbers that what befalls the line makes unforeseeable, and with the reason.

    keep: the fields that it does not touch. Where a field has to have a number, it is NaN.
    """
    lost = {name: value for name, value in _LOST.items() if name not in keep}
    return replace(
        prediction,
        **lost,  # type: ignore[arg-type]
        within={name: value for name, value in prediction.within.items() if name not in lost},
        reasons=dict(prediction.reasons) | dict.fromkeys(lost, reason),
    )


def _waits(prediction: Prediction, walk: Walk, others: Sequence[Walk], back_s: float) -> Prediction:
    """Return the prediction with the percentiles of what waits for a poll, and is `back_s` on its way back.

    others: the same polls, sooner and later than they are expected. An update that falls beside a poll is in its answer
    or in the next one, by a hair, so what these differ is how far a run may be off.
    """
    names = {"latency_p50_s": 0.5, "latency_p95_s": 0.95, "latency_p99_s": 0.99}
    if not walk.deliveries:
        return replace(prediction, reasons=dict(prediction.reasons) | dict.fromkeys(names, NO_NEWS))
    found = {name: [one.quantile_s(share) or 0.0 for one in (walk, *others)] for name, share in names.items()}
    found["latency_mean_s"] = [one.mean_s or 0.0 for one in (walk, *others)]
    within = {name: max(waits) - min(waits) + _NEAR_S for name, waits in found.items()}
    said = {name: found[name][0] + back_s for name in names}
    return replace(prediction, **said, within=dict(prediction.within) | within)  # type: ignore[arg-type]


def _pushed(prediction: Prediction, work: Workload, found: Calibration, walk: Walk | None) -> Prediction:
    """Return the prediction with the latency of a push to so many readers, behind what its updates wait."""
    reasons = dict(prediction.reasons)
    if not work.at_s:
        names = ("latency_p50_s", "latency_p95_s", "latency_p99_s")
        return replace(prediction, reasons=reasons | dict.fromkeys(names, NO_NEWS))
    middle_s, within_s = found.push_latency_s(work.clients)
    average_s, average_within_s = found.push_mean_s(work.clients, len(work.at_s))
    most_s, most_within_s = found.push_latency_s(work.clients, 0.95)
    waits = {0.5: 0.0, 0.95: 0.0}
    mean_s = 0.0
    if walk is not None and walk.deliveries:
        mean_s = walk.mean_s or 0.0
        waits = {share: walk.quantile_s(share) or 0.0 for share in waits}
    within = dict(prediction.within) | {
        "latency_mean_s": average_within_s + 0.03 * mean_s,
        "latency_p50_s": within_s + 0.03 * waits[0.5],
        "latency_p95_s": most_within_s + 0.03 * waits[0.95],
    }
    return replace(
        prediction,
        latency_mean_s=average_s + mean_s,
        latency_p50_s=middle_s + waits[0.5],
        latency_p95_s=most_s + waits[0.95],
        within=within,
        reasons=reasons | {"latency_p99_s": "the rehearsal has too few updates to know the worst in a hundred"},
    )


def _push_cpu_s(messages: int, work: Workload, found: Calibration) -> float:
    return messages * (found.update_cpu_s + work.clients * found.message_cpu_s)


def _priced(
    prediction: Prediction, work: Workload, found: Calibration, empty: int, answers: int, cpu_s: float, held: int = 0
) -> Prediction:
    """Return the prediction with its bytes, CPU and memory, at the prices found.

    empty, answers: exchanges without news and with it, over all clients; held: requests that are never answered.
    """
    opening = Both(found.opening.sent * work.clients, found.opening.received * work.clients)
    texts = work.clients * sum(work.update_bytes)
    sent = opening.sent + empty * found.silent.sent + answers * found.news.sent + texts
    received = opening.received + empty * found.silent.received + (answers + held) * found.news.received
    rss = found.rss_bytes + work.clients * found.reader_bytes
    within = {
        "bytes_sent": BYTES_WITHIN * sent + GOODBYE_BYTES * work.clients,
        "bytes_received": BYTES_WITHIN * received + GOODBYE_BYTES * work.clients,
        "server_cpu_s": CPU_WITHIN * cpu_s + 0.01,
        "server_rss_bytes": MEMORY_WITHIN * rss,
    }
    return replace(
        prediction,
        bytes_sent=sent,
        bytes_received=received,
        opening_bytes_sent=opening.sent,
        opening_bytes_received=opening.received,
        server_cpu_s=None if math.isnan(cpu_s) else cpu_s,
        server_rss_bytes=rss,
        within=dict(prediction.within) | within,
    )


def _unpriced(prediction: Prediction) -> Prediction:
    """Return the prediction with the reason for what it does not have."""
    names = ("latency_p50_s", "latency_p95_s", "bytes_sent", "bytes_received", "server_cpu_s", "server_rss_bytes")
    missing = {name: NOT_TRIED for name in names if getattr(prediction, name) is None}
    return replace(prediction, reasons=missing | dict(prediction.reasons))
