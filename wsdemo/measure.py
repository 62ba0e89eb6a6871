"""One experiment for every transport: the same clients, schedule, clock and counters, and theory's word beside each.

`measure` runs one transport, `compare` several, one after the other, each on a fresh server in a process of its own.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import psutil

from wsdemo.befall import Route, behind, foreseen, grace_through, line_through, most_open, probes_through
from wsdemo.limits import check_connections
from wsdemo.line import Fault, words_of
from wsdemo.processes.children import Child
from wsdemo.processes.cpu import cpu_s
from wsdemo.processes.jobs import ClientsJob, ClientsReady, ClientsTally, Stall, Start, Tally
from wsdemo.processes.stalls import Watch
from wsdemo.progress import progress as progress_bar
from wsdemo.rehearse import processes_for, rehearse, update_bytes
from wsdemo.result import Comparison, Heard, Measurement, Poll
from wsdemo.seen import Seen, notes, segments
from wsdemo.serve import Server
from wsdemo.theory.calibration import Calibration
from wsdemo.transports import Transport, find, paces_of
from wsdemo.updates import Schedule, earthquakes
from wsdemo.workload import (
    DEFAULT_CLIENTS,
    DEFAULT_DURATION_S,
    DEFAULT_INTERVAL_S,
    DEFAULT_PACE,
    Pace,
    Workload,
    phases,
)

_MOST_UPDATES, _MOST_POLLS, _MOST_DELIVERIES = 100_000, 1_000_000, 2_000_000
_LEAD_S = 0.3


async def measure(
    transport: str,
    schedule: Schedule | None = None,
    *,
    clients: int = DEFAULT_CLIENTS,
    interval_s: float = DEFAULT_INTERVAL_S,
    duration_s: float = DEFAULT_DURATION_S,
    seed: int | None = None,
    pace: Pace | None = None,
    line: Fault | str | None = None,
    rehearsal: bool = True,
    progress: bool = True,
) -> Measurement:
    """Run one transport on a fresh server and return what it cost, beside what theory predicts.

    transport: a name from `wsdemo.TRANSPORTS`; schedule: what the feed plays (default: the earthquakes at speed 240);
    clients: how many readers; interval_s: seconds between polls of one client; duration_s: updates and counted polls
    fall before this moment, and one further interval lets every client hear the last ones; seed: other luck for the
    schedule (`Schedule.with_seed`); pace: how often the server speaks in silence, and at the most (default: as servers
    do); line: what is wrong with a line between clients and server, or its words, such as "delay=50ms,cut=3s" (see
    `wsdemo.line`; "" for a line in order, None for none): delay, jitter and bandwidth from the start, the rest from
    when the clock starts; rehearsal: whether to try first what the transport takes on this machine (`rehearse`, some
    seconds, once a session), without which theory has no bytes, no CPU and no latency of push; progress: whether to
    show a bar. Takes about `duration_s + interval_s + 2` seconds.

    Raises ValueError before anything starts if the arguments cannot be run; `children.ChildFailed` if a process dies.
    """
    (row,) = find([transport])
    schedule = schedule or earthquakes()
    if seed is not None:
        schedule = schedule.with_seed(seed)
    work = _workload(schedule, clients, interval_s, duration_s)
    (own,) = paces_of([row], pace or DEFAULT_PACE)
    fault = line_through([row], line)
    found = await rehearse(row, line=fault is not None, progress=progress) if rehearsal else None
    if found is not None:
        work = replace(work, update_bytes=update_bytes(schedule, work.duration_s))
        found = found if fault is None else behind(found, fault, work)
    seen = await _run(row, schedule, work, own, fault, progress)
    return _evaluate(row, schedule, work, seen, found, own)


async def _run(
    row: Transport, schedule: Schedule, work: Workload, pace: Pace, fault: Fault | None, progress: bool
) -> Seen:
    """Run one transport on a server and clients of its own, which are gone when this is over, however it ends."""
    most = most_open(work.clients, fault)
    server = Server(row.name, schedule=schedule, duration_s=work.duration_s, hold=True, max_connections=most, pace=pace)
    route = Route(row, server, fault)
    crowds: list[Child] = []
    own = Watch()
    half_way: asyncio.Task[int] | None = None
    try:
        await route.start()
        for share in _spread(phases(work.clients, work.interval_s)):
            crowds.append(Child("clients", _clients_job(route, work, share, pace)))
        ready: list[ClientsReady] = [await crowd.answer() for crowd in crowds]
        opening = await server.counters()
        start: Start = {"start_ns": time.perf_counter_ns() + round(_LEAD_S * 1e9)}
        own.start()
        await route.begin(start["start_ns"])
        for crowd in crowds:
            crowd.tell(start)
        half_way = asyncio.create_task(_open_at(server, start["start_ns"] + round(work.duration_s / 2 * 1e9)))
        run_s = work.duration_s + work.interval_s
        cpu_s, rss_bytes = await _watch(server.pid, start["start_ns"], run_s, row.label, progress)
        held = await half_way
        tallies: list[ClientsTally] = [await crowd.answer() for crowd in crowds]
        counters, did = await server.counters(), await route.did()
        stalls = {"this process": own.stop(), "the server": await server.stalls()}
        stalls |= {_name(number, crowds): tally["stalls"] for number, tally in enumerate(tallies)}
    finally:
        # The stop button may come at any moment: the processes go at once, without waiting for their goodbyes.
        for crowd in crowds:
            crowd.kill()
        route.kill()
        own.stop()
        if half_way is not None:
            half_way.cancel()
    delay_s = statistics.fmean(answer["delay_s"] for answer in ready)
    readers, since = _gathered([tally["readers"] for tally in tallies]), _since(start["start_ns"], stalls)
    return Seen(delay_s, readers, opening, held, counters, cpu_s, rss_bytes, since, fault, did)


async def _open_at(server: Server, at_ns: int) -> int:
    """Return how many connections are open at the server at a moment of the run."""
    await asyncio.sleep(max(0, at_ns - time.perf_counter_ns()) / 1e9)
    return (await server.counters())["open_now"]


def _name(number: int, crowds: Sequence[Child]) -> str:
    return "the clients" if len(crowds) == 1 else f"process {number + 1} of {len(crowds)} with clients"


def _since(t0_ns: int, stalls: Mapping[str, Sequence[Stall]]) -> dict[str, list[tuple[float, float]]]:
    """Return the stalls in seconds after the start, without those that were over by then."""
    after = {who: [((at_ns - t0_ns) / 1e9, lasted_s) for at_ns, lasted_s in found] for who, found in stalls.items()}
    return {who: [one for one in found if sum(one) > 0] for who, found in after.items()}


def _clients_job(route: Route, work: Workload, phases_s: list[float], pace: Pace) -> ClientsJob:
    return {
        "transport": route.row.name,
        "url": route.url,
        "host": "127.0.0.1",
        "probe_port": route.probe_port,
        "interval_s": work.interval_s,
        "duration_s": work.duration_s,
        "phases_s": phases_s,
        "hold_s": pace.hold_s,
        "probes": probes_through(route.fault),
        "grace_s": grace_through(route.fault),
    }


async def compare(
    transports: Sequence[str] = ("polling", "websocket"),
    schedule: Schedule | None = None,
    *,
    clients: int = DEFAULT_CLIENTS,
    interval_s: float = DEFAULT_INTERVAL_S,
    duration_s: float = DEFAULT_DURATION_S,
    seed: int | None = None,
    pace: Pace | None = None,
    line: Fault | str | None = None,
    rehearsal: bool = True,
    progress: bool = True,
) -> Comparison:
    """Measure several transports one after the other on the same workload. Arguments and errors as for `measure`.

    A pace with `at_most_every_s` thins those that are streamed to, one of them at least. Each has a line of its own.
    """
    schedule = schedule or earthquakes()
    if seed is not None:
        schedule = schedule.with_seed(seed)
    rows = find(transports)
    paces = paces_of(rows, pace or DEFAULT_PACE)
    fault = line_through(rows, line)
    _workload(schedule, clients, interval_s, duration_s)
    runs = [
        await measure(
            row.name,
            schedule,
            clients=clients,
            interval_s=interval_s,
            duration_s=duration_s,
            pace=one,
            line=fault,
            rehearsal=rehearsal,
            progress=progress,
        )
        for row, one in zip(rows, paces, strict=True)
    ]
    return Comparison(tuple(runs))


def _spread(phases_s: list[float]) -> list[list[float]]:
    """Deal the clients out to as many processes as help: ten to each, but not more processes than cores."""
    processes = processes_for(len(phases_s))
    return [phases_s[number::processes] for number in range(processes)]


def _gathered(shares: list[list[Tally]]) -> list[Tally]:
    """Put together again, in the order of the clients, what `_spread` has dealt out."""
    clients = sum(map(len, shares))
    return [shares[client % len(shares)][client // len(shares)] for client in range(clients)]


def _workload(schedule: Schedule, clients: int, interval_s: float, duration_s: float) -> Workload:
    """Return the workload. Raises ValueError, with what would be possible, if it cannot be run."""
    if not isinstance(clients, int) or clients < 1:
        raise ValueError(f"clients must be a whole number from 1 up, not {clients!r}")
    for name, value in (("interval", interval_s), ("duration", duration_s)):
        if not (isinstance(value, int | float) and 0 < value < math.inf):
            raise ValueError(f"{name} must be a number of seconds above 0, not {value!r}")
    if interval_s > duration_s:
        raise ValueError(
            f"interval ({interval_s:g} s) is longer than duration ({duration_s:g} s): no client would poll twice"
        )
    expected = schedule.rate_per_s * duration_s
    for what, amount, most in (
        ("updates", expected, _MOST_UPDATES),
        ("polls", clients * duration_s / interval_s, _MOST_POLLS),
        ("deliveries", expected * clients, _MOST_DELIVERIES),
    ):
        if amount > most:
            raise ValueError(f"about {amount:,.0f} {what} are more than one run can hold ({most:,}): use fewer")
    check_connections(clients)
    return Workload(tuple(schedule.times(duration_s)), schedule.rate_per_s, duration_s, interval_s, clients)


async def _watch(pid: int, t0_ns: int, run_s: float, label: str, show: bool) -> tuple[float, int]:
    """Watch the server process while the clock runs; return its CPU seconds and its largest resident memory."""
    process = psutil.Process(pid)
    peak_rss = process.memory_info().rss
    await asyncio.sleep((t0_ns - time.perf_counter_ns()) / 1e9)
    before_s = cpu_s(pid)
    with progress_bar(run_s, label, show=show) as bar:
        while (elapsed_s := (time.perf_counter_ns() - t0_ns) / 1e9) < run_s:
            bar.update(elapsed_s - bar.n)
            await asyncio.sleep(min(0.2, run_s - elapsed_s))
            peak_rss = max(peak_rss, process.memory_info().rss)
    return cpu_s(pid) - before_s, peak_rss


def _polls(seen: Seen, work: Workload) -> tuple[Poll, ...]:
    return tuple(
        Poll(client, at_s, wasted)
        for client, reader in enumerate(seen.readers)
        for at_s, wasted, is_aside in reader["requests"]
        if not is_aside and at_s < work.duration_s
    )


def _heard(seen: Seen) -> tuple[Heard, ...]:
    return tuple(Heard(client, *delivery) for client, reader in enumerate(seen.readers) for delivery in reader["heard"])


def _bytes(seen: Seen) -> dict[str, Any]:
    """Return the bytes in each direction: of all, and of the openings alone."""
    return {
        "bytes_sent": seen.counters["bytes_sent"],
        "bytes_received": seen.counters["bytes_received"],
        "opening_bytes_sent": seen.opening["bytes_sent"],
        "opening_bytes_received": seen.opening["bytes_received"],
    }


def _evaluate(
    row: Transport, schedule: Schedule, work: Workload, seen: Seen, found: Calibration | None, pace: Pace
) -> Measurement:
    delay_s = seen.delay_s if found is None or seen.line is not None else found.delay_s
    predicted = foreseen(row.predict(work, delay_s, found, pace), row, seen.line, work, delay_s, found)
    asked, heard = _polls(seen, work), _heard(seen)
    return Measurement(
        transport=row.name,
        schedule=schedule,
        at_s=work.at_s,
        clients=work.clients,
        interval_s=work.interval_s,
        duration_s=work.duration_s,
        delay_s=delay_s,
        requests=len(asked),
        wasted=sum(poll.wasted is True for poll in asked),
        published=len(work.at_s),
        deliveries=len(heard),
        missed=work.clients * len(work.at_s) - len(heard),
        duplicates=sum(reader["duplicates"] for reader in seen.readers),
        latency_s=np.array([delivery.latency_s for delivery in heard]),
        **_bytes(seen),
        connections=seen.counters["connections"],
        server_cpu_s=seen.cpu_s,
        server_peak_rss_bytes=seen.peak_rss_bytes,
        client_requests=sum(len(reader["requests"]) for reader in seen.readers),
        server_requests=seen.counters["requests"],
        predicted=predicted,
        held_connections=seen.held,
        heartbeats=seen.counters["heartbeats"] - seen.opening["heartbeats"],
        segments=segments(seen),
        polls=asked,
        heard=heard,
        notes=tuple(notes(row, work, seen, asked)),
        line=None if seen.line is None else words_of(seen.line),
        line_did=seen.line_did,
    )
