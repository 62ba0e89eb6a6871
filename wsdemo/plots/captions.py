"""Every word of the figures: on axes, in keys and notes, in captions and alt texts. No other module speaks.

Measurements go in, one function a figure, and `Words` come out. Another language is another file like this one, beside
another `wsdemo.words`, which says the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wsdemo import theory
from wsdemo.plots import quantities
from wsdemo.result import Measurement
from wsdemo.words import capital, count, duration, listed, mebibytes, number, share


@dataclass(frozen=True)
class Words:
    """What is said beside a drawing. caption: the finding; alt: the drawing, with its numbers, in words."""

    caption: str
    alt: str


# --- in the drawing ---------------------------------------------------------------------------------------------------

SECONDS = "seconds after the start"
SECONDS_AND_AFTER = "seconds after the start (shaded: one more interval, to hear the last updates)"
WASTED_REQUESTS = "wasted requests  (❙ theory)"
WASTED_SHARE = "wasted share of requests"
EXPECTED_UPDATES = "λT: updates expected in one interval"
INTERVAL = "interval T between two polls of one client"
LATENCY = "latency: how old the news was when heard"
LATENCY_ROWS = "latency  (❙ median)"
LATENCY_LOG = "latency (log axis)"
MEAN_LATENCY_LOG = "mean latency (log axis)"
HEARD_WITHIN = "share of deliveries heard within this time"
BYTES = "bytes per delivery"
BYTES_BY_SHADE = "bytes per delivery (filled: to clients, light: from clients)"
CLIENTS = "clients"
REQUESTS_PER_S = "requests per second"
SERVER_CPU = "server CPU, cores"
COST = "requests or messages per second and client"
MEMORY = "server's resident memory, MiB"
UPDATE = "update"
POLL_WASTED = "poll, wasted"
POLL_NEWS = "poll with news"
NO_ANSWER = "no answer"
PUSH = "push"
WAITING = "waiting"
MEASURED = "measured"
MEAN = "mean"
PREDICTED = "predicted, this schedule"
BAND = "nine in ten schedules of this length"
THEORY = "theory"
THEORY_WASTED = "theory, exp(-λT)"
THEORY_LATENCY = "theory: T/2 + d"
THEORY_POLLS = "theory: 1/T"
YOUNGER = "95% were younger than this"
TO_CLIENTS = "to clients"
FROM_CLIENTS = "from clients"
NO_DELIVERY = "no delivery"
CONNECTION = "connection"


def held(label: str) -> str:
    return f"held {label}s"


def named(label: str, what: str) -> str:
    return f"{label}, {what}"


def real_week(wasted: float) -> str:
    return f"a real week of earthquakes,\nasked once a minute: {share(wasted)}"


def equals(symbol: str, seconds: float) -> str:
    return f"{symbol} = {duration(seconds)}"


def theory_rate(rate_per_s: float) -> str:
    return f"theory: λ = {number(rate_per_s)} updates per second"


def slope(kib: float, label: str) -> str:
    return f"{kib:.1f} KiB a {label}"


def magnitude(size: float) -> str:
    return f"magnitude {size:g}"


def depth(low_km: float, high_km: float) -> str:
    if low_km == 0:
        return f"less than {high_km:.0f} km deep"
    return f"{low_km:.0f} to {high_km:.0f} km" if math.isfinite(high_km) else f"{low_km:.0f} km or deeper"


# --- a comparison -----------------------------------------------------------------------------------------------------


def overview(runs: Sequence[Measurement], client: int, shown_s: float) -> Words:
    many = _clients(runs[0].clients)
    pulls = [m for m in runs if quantities.pulls(m)]
    pushes = [m for m in runs if not quantities.pulls(m)]
    found = [_poll_found(max(pulls, key=lambda m: m.wasted_fraction))] if pulls else []
    found += [_pushes_found(pushes)] if pushes else []
    return Words(
        caption=f"{many}, {_updates(runs[0].published)}. {'; '.join(found)}.",
        alt=f"Four panels. Above, a timeline of {_timeline_of(runs, client, shown_s)} Below, wasted share, latency and "
        f"bytes of {many}. {'; '.join(map(_in_numbers, runs))}.",
    )


def _poll_found(m: Measurement) -> str:
    wasted, theorys = share(m.wasted_fraction), share(m.predicted.wasted_fraction)
    said = f"{m.label} every {duration(m.interval_s)} wasted {wasted} of its {count(m.requests)} requests"
    return f"{said} (theory: {theorys}) and {_heard([m])}"


def _pushes_found(runs: Sequence[Measurement]) -> str:
    wasted = sum(m.wasted for m in runs)
    who = listed([m.label for m in runs])
    return f"{who} wasted {count(wasted) if wasted else 'none'} and {_heard(runs)}"


def _heard(runs: Sequence[Measurement]) -> str:
    means_s = [m.latency_mean_s for m in quantities.heard(runs)]
    if not means_s:
        return "heard nothing"
    fast, slow = duration(min(means_s)), duration(max(means_s))
    age = fast if fast == slow else f"{fast} to {slow}"
    return f"heard news {age} after the event on average"


def _in_numbers(m: Measurement) -> str:
    wasted, theorys = share(m.wasted_fraction), share(m.predicted.wasted_fraction)
    said = f"{m.label}: {wasted} of {count(m.requests)} requests wasted (theory {theorys})"
    if not m.deliveries:
        return f"{said}, no delivery"
    median, weight = duration(m.latency_percentile_s(50)), count(m.bytes_per_delivery)
    return f"{said}, median latency {median}, {weight} bytes per delivery"


def timeline(runs: Sequence[Measurement], client: int, shown_s: float) -> Words:
    first = runs[0]
    part = "" if shown_s >= first.duration_s else f"The first {duration(shown_s)}. "
    found = "; ".join(_of_client(m, client, shown_s).caption for m in runs)
    return Words(
        caption=f"{part}Client {client} of {count(first.clients)}, the same updates for each. {found}.",
        alt=f"A timeline of {_timeline_of(runs, client, shown_s)}",
    )


def _timeline_of(runs: Sequence[Measurement], client: int, shown_s: float) -> str:
    updates = _updates(quantities.updates_until(runs[0], shown_s))
    said = " ".join(_of_client(m, client, shown_s).alt for m in runs)
    return f"client {client} over {duration(shown_s)} with {updates}. {said}"


def _of_client(m: Measurement, client: int, shown_s: float) -> Words:
    polls, wasted, waits_s = quantities.of_client(m, client, shown_s)
    found = f"{len(waits_s)} of {count(quantities.updates_until(m, shown_s))} updates heard"
    said = f"{_updates(len(waits_s))} heard"
    if waits_s:
        age = duration(quantities.mean(waits_s))
        found, said = f"{found}, {age} old on average", f"{said} after {age} on average"
    if quantities.pulls(m):
        found, said = f"{wasted} of {polls} polls wasted, {found}", f"{polls} polls, {wasted} wasted, {said}"
    return Words(caption=f"{m.label}: {found}", alt=f"{m.label}: {said}.")


def latencies(runs: Sequence[Measurement], half_s: float) -> Words:
    said = "; ".join(
        f"{m.label}: half within {duration(m.latency_percentile_s(50))}, "
        f"95% within {duration(m.latency_percentile_s(95))}"
        if m.deliveries
        else f"{m.label}: no delivery"
        for m in runs
    )
    alt = f"Distribution of latency on a log axis, with T/2 = {duration(half_s)} marked. {said}."
    if not (heard := quantities.heard(runs)):
        return Words("No update was heard, so there is no latency to draw.", alt)
    fast, slowest = (pick(heard, key=lambda m: m.latency_percentile_s(50)) for pick in (min, max))
    # Runs within 3 % of the slowest are equally slow: the first of them is named.
    slow = next(m for m in heard if m.latency_percentile_s(50) > 0.97 * slowest.latency_percentile_s(50))
    slow_s, fast_s = slow.latency_percentile_s(50), fast.latency_percentile_s(50)
    found = f"{slow.label}: half of the news is heard within {duration(slow_s)} (T/2 = {duration(half_s)})"
    if fast is not slow:
        ratio = slow_s / max(fast_s, 1e-9)
        sooner = f"{ratio:,.{0 if ratio >= 10 else 1}f}"
        found = f"{found}; {fast.label}: half within {duration(fast_s)}, {sooner} times as soon"
    return Words(f"{found}.", alt)


def bytes_per_delivery(runs: Sequence[Measurement]) -> Words:
    said = "; ".join(
        f"{m.label}: {count(m.bytes_sent / m.deliveries)} to and {count(m.bytes_received / m.deliveries)} "
        f"from clients, {count(m.bytes_per_delivery)} in all"
        if m.deliveries
        else f"{m.label}: no delivery"
        for m in runs
    )
    alt = f"Bars of bytes per delivery. {said}."
    if not (heard := quantities.heard(runs)):
        return Words("No update was heard, so there is nothing to divide the bytes by.", alt)
    heavy, light = (pick(heard, key=lambda m: m.bytes_per_delivery) for pick in (max, min))
    found = f"{heavy.label}: {count(heavy.bytes_per_delivery)} bytes for each update that a client hears"
    if light is not heavy:
        more = f"{heavy.bytes_per_delivery / light.bytes_per_delivery:.1f}"
        found = f"{found}, {more} times as many as {light.label} ({count(light.bytes_per_delivery)})"
    return Words(f"{found}. Payload of TCP, connections' opening included.", alt)


# --- sweeps and the map -----------------------------------------------------------------------------------------------


def wasted_curve(runs: Sequence[Measurement], week_x: float, week_wasted: float) -> Words:
    off = max(abs(m.wasted_fraction - m.predicted.wasted_fraction) for m in runs) * 100
    schedule = "its schedule" if len(runs) == 1 else "their schedule"
    said = "; ".join(
        f"{m.label} at λT = {number(quantities.updates_per_interval(m))}: {share(m.wasted_fraction)} measured, "
        f"{share(m.predicted.wasted_fraction)} predicted"
        for m in sorted(runs, key=quantities.updates_per_interval)
    )
    return Words(
        caption=f"The rarer the updates, the more requests find nothing: {_runs_lie(runs)} within {off:.1f} percentage "
        f"points of the prediction given {schedule}; a real week of earthquakes asked once a minute ({number(week_x)} "
        f"updates an interval) wastes {share(week_wasted)} where exp(-λT) says {share(math.exp(-week_x))}.",
        alt=f"Wasted share of requests against λT on a log axis, falling along the curve exp(-λT). {said}. "
        f"Earthquakes, once a minute: λT = {number(week_x)}, {share(week_wasted)}.",
    )


def latency_curve(runs: Sequence[Measurement], delay_s: float) -> Words:
    heard = quantities.heard(runs)
    asked = [m for m in heard if quantities.pulls(m)]
    off = [abs(m.latency_mean_s / theory.latency_mean(m.interval_s, m.delay_s) - 1) for m in asked]
    law = f"Asked every T, news is T/2 + d old on average when it is heard (d = {duration(delay_s)})"
    said = "; ".join(
        f"{m.label}, T = {duration(m.interval_s)}: mean {duration(m.latency_mean_s)}, "
        f"95th percentile {duration(m.latency_percentile_s(95))}, theory {duration(m.predicted.latency_mean_s)}"
        for m in heard
    )
    found = f"{law}: {_runs_lie(asked)} within {share(max(off))} of that" if asked else f"{law}; no poll here heard any"
    return Words(
        caption=f"{found}.",
        alt=f"Mean latency against the polling interval with the line T/2 + d. {said or 'No deliveries'}.",
    )


def load_curve(most: Sequence[Measurement]) -> Words:
    """most: of each transport the run with the most clients."""
    said = "; ".join(
        f"{m.label} with {_clients(m.clients)}: {number(quantities.request_rate(m))} requests per second (theory "
        f"{number(quantities.expected_request_rate(m))}), {number(quantities.cores(m))} cores"
        for m in most
    )
    heavy, light = max(most, key=quantities.request_rate), min(most, key=quantities.request_rate)
    found = "; ".join(
        f"{m.label}: {number(quantities.request_rate(m))} requests a second for {_clients(m.clients)}, "
        f"{number(quantities.cores(m))} of a core"
        for m in ([heavy] if light is heavy else [heavy, light])
    )
    return Words(
        caption=f"{found}.",
        alt=f"Two panels against the number of clients: requests per second and server CPU. {said}.",
    )


def cost_staleness(polls: Sequence[Measurement], pushes: Sequence[Measurement], rate_per_s: float) -> Words:
    """polls, pushes: those that heard an update."""
    found = []
    if polls:
        m = min(polls, key=lambda m: abs(math.log(m.interval_s * rate_per_s)))
        who, often, age = f"{m.label} every {duration(m.interval_s)}", quantities.cost(m), m.latency_mean_s
        found.append(f"{who}: {number(often)} requests per second and client, news {duration(age)} old")
    if pushes:
        m = min(pushes, key=lambda m: m.latency_mean_s)
        found.append(f"{m.label}: {number(quantities.cost(m))} messages, news {duration(m.latency_mean_s)} old")
    even = duration(0.5 / rate_per_s)
    found.append(f"requests are fewer than updates only where news may be older than {even} on average (T above 1/λ)")
    said = "; ".join(
        f"{m.label}, {equals('T', m.interval_s)}: {duration(m.latency_mean_s)}, {number(quantities.cost(m))} per second"
        if quantities.pulls(m)
        else f"{m.label}: {duration(m.latency_mean_s)}, {number(quantities.cost(m))} per second"
        for m in [*polls, *pushes]
    )
    return Words(
        caption=f"{capital('; '.join(found))}.",
        alt="Requests or messages per second and client against mean latency, both log axes: polling falls along a "
        f"line, push stays near one message an update. {said or 'No deliveries'}.",
    )


def memory_per_connection(
    connections: Sequence[float], rss_bytes: Sequence[float], slope_kib: float | None, label: str
) -> Words:
    """connections, rss_bytes: in ascending order; slope_kib: of the line through them, None if one point makes none."""
    said = "; ".join(f"{count(held)}: {mebibytes(size)}" for held, size in zip(connections, rss_bytes, strict=True))
    alt = f"Resident memory of the server against held {label}s. {said}."
    fewest, most, low, high = count(connections[0]), count(connections[-1]), rss_bytes[0], rss_bytes[-1]
    if slope_kib is None:
        return Words(f"{most} {label}s held in {mebibytes(high)} of resident memory.", alt)
    return Words(
        f"Each held {label} costs the server about {slope_kib:.1f} KiB: {mebibytes(low)} with {fewest}, "
        f"{mebibytes(high)} with {most}.",
        alt,
    )


def earthquake_map(events: Sequence[Mapping[str, Any]], by_depth: Sequence[tuple[float, float, int]]) -> Words:
    """events: as in `updates.catalogue`; by_depth: classes of depth, from and to in km, and how many each has."""
    sources = "Sources: U.S. Geological Survey (events), Natural Earth (land)."
    if not events:
        return Words(f"No event. {sources}", "A map of the world without events.")
    known = [e for e in events if e["magnitude"] is not None]
    many = "1 event" if len(events) == 1 else f"{count(len(events))} events"
    strong = count(sum(e["magnitude"] >= 4.5 for e in known))
    deep = share(sum(dots for low_km, _, dots in by_depth if low_km > 0) / len(events))
    classes = ", ".join(f"{depth(low_km, high_km)}: {count(dots)}" for low_km, high_km, dots in by_depth)
    most = ""
    if known:
        e = max(known, key=lambda e: float(e["magnitude"]))
        most = f"; the largest, magnitude {e['magnitude']:g}, {e['depth_km']:g} km deep, {e['place']}"
    return Words(
        caption=f"{many}, {strong} of magnitude 4.5 or more{most}. {deep} were 70 km deep or deeper. {sources}",
        alt=f"World map with {count(len(events))} dots; {classes}{most}. "
        f"{count(len(events) - len(known))} without a magnitude.",
    )


# --- parts that several sentences share -------------------------------------------------------------------------------


def _clients(number_of: int) -> str:
    return "1 client" if number_of == 1 else f"{count(number_of)} clients"


def _updates(number_of: int) -> str:
    return "1 update" if number_of == 1 else f"{count(number_of)} updates"


def _runs_lie(runs: Sequence[Measurement]) -> str:
    return {1: "the one run lies", 2: "both runs lie"}.get(len(runs), f"all {len(runs)} runs lie")
