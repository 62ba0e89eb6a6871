"""One experiment for every transport: the same clients, schedule, clock and counters, and theory's word beside each.

`measure` runs one transport, `compare` several, one after the other, each on a fresh server in a process of its own.
"""

from __future__ import annotations

import asyncio
import html
import math
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import psutil

from wsdemo.children import Child
from wsdemo.limits import check_connections
from wsdemo.progress import progress as progress_bar
from wsdemo.serve import Server
from wsdemo.theory import (
    DEFAULT_CLIENTS,
    DEFAULT_DURATION_S,
    DEFAULT_INTERVAL_S,
    Prediction,
    Workload,
    phases,
)
from wsdemo.transports import TRANSPORTS, find
from wsdemo.updates import Schedule, earthquakes

CLIENTS_A_PROCESS = 10
MOST_PROCESSES = 4
MANY_CLIENTS = 100
"""Above this, push latency measures the clients' own processes, which wake them one after the other."""
_MOST_UPDATES, _MOST_POLLS, _MOST_DELIVERIES = 100_000, 1_000_000, 2_000_000
_LEAD_S = 0.3


@dataclass(frozen=True, slots=True)
class Poll:
    """One request of the run. client: its number; at_s: due time after the start; wasted: None if never answered."""

    client: int
    at_s: float
    wasted: bool | None


@dataclass(frozen=True, slots=True)
class Heard:
    """One delivery of the run. received_s: seconds after the start; latency_s: from publication to reception."""

    client: int
    seq: int
    received_s: float
    latency_s: float


@dataclass(frozen=True, repr=False)
class Measurement:
    """What one transport cost in one run, and what theory predicted.

    requests, wasted: HTTP exchanges made before `duration_s` and those that brought nothing new (for polling: the
    polls due before it; for push: the one that subscribes). published: updates of the run; deliveries: first-time
    arrivals at all clients; missed: updates that a client never saw, summed over clients; duplicates: repeated
    arrivals. latency_s: one sample a delivery, seconds. bytes_*: TCP payload at the server's sockets, opening and
    closing of the connections included; opening_bytes_*: the part before the clock started. connections: accepted by
    the server. server_cpu_s: CPU seconds of the server process while the clock ran; server_peak_rss_bytes: its
    resident memory at the most. client_requests, server_requests: every HTTP exchange, counted on either side.
    delay_s: the bare one-way delay `d`, measured in the same run. notes: what a reader of the numbers must know.
    """

    transport: str
    schedule: Schedule
    at_s: tuple[float, ...]
    clients: int
    interval_s: float
    duration_s: float
    delay_s: float
    requests: int
    wasted: int
    published: int
    deliveries: int
    missed: int
    duplicates: int
    latency_s: np.ndarray = field(repr=False)
    bytes_sent: int
    bytes_received: int
    opening_bytes_sent: int
    opening_bytes_received: int
    connections: int
    server_cpu_s: float
    server_peak_rss_bytes: int
    client_requests: int
    server_requests: int
    predicted: Prediction
    polls: tuple[Poll, ...] = field(repr=False)
    heard: tuple[Heard, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return TRANSPORTS[self.transport].label

    @property
    def wasted_fraction(self) -> float:
        return self.wasted / self.requests if self.requests else 0.0

    @property
    def latency_mean_s(self) -> float:
        """The mean latency of every delivery in seconds, NaN if there was none."""
        return float(self.latency_s.mean()) if len(self.latency_s) else math.nan

    def latency_percentile_s(self, percent: float) -> float:
        """Return a percentile (0 to 100) of the latency in seconds, NaN if there was no delivery."""
        return float(np.percentile(self.latency_s, percent)) if len(self.latency_s) else math.nan

    @property
    def bytes_per_delivery(self) -> float:
        """All bytes, both ways, opening included, per delivery; NaN if there was none."""
        return (self.bytes_sent + self.bytes_received) / self.deliveries if self.deliveries else math.nan

    def to_dict(self) -> dict:
        """Return the figures of the command line's `--json`, None for what is not defined."""
        return {
            "requests": self.requests,
            "wasted": self.wasted,
            "wasted_fraction": self.wasted_fraction,
            "predicted_wasted_fraction": self.predicted.wasted_fraction,
            "predicted_wasted_fraction_poisson": self.predicted.wasted_fraction_poisson,
            "published": self.published,
            "deliveries": self.deliveries,
            "missed": self.missed,
            "duplicates": self.duplicates,
            "latency_s": {
                "mean": _finite(self.latency_mean_s),
                **{f"p{percent}": _finite(self.latency_percentile_s(percent)) for percent in (50, 95, 99)},
                "predicted_mean": self.predicted.latency_mean_s,
            },
            "bytes_sent": self.bytes_sent,
            "bytes_received": self.bytes_received,
            "connections": self.connections,
            "server_cpu_s": self.server_cpu_s,
            "server_peak_rss_bytes": self.server_peak_rss_bytes,
        }

    def __str__(self) -> str:
        return str(Comparison((self,)))

    def __repr__(self) -> str:
        return f"<Measurement of {self.transport}: {self.requests} requests, {self.deliveries} deliveries>"

    def _repr_html_(self) -> str:
        return Comparison((self,))._repr_html_()


@dataclass(frozen=True, repr=False)
class Comparison:
    """Several measurements of one workload. Shows itself as a table, prediction beside measurement.

    Index it by the name of a transport (`comparison["polling"]`) or iterate over its measurements.
    """

    measurements: tuple[Measurement, ...]

    def __getitem__(self, name: str) -> Measurement:
        for measurement in self.measurements:
            if measurement.transport == name:
                return measurement
        raise KeyError(f"{name!r} was not measured; there are {', '.join(m.transport for m in self)}")

    def __iter__(self) -> Iterator[Measurement]:
        return iter(self.measurements)

    def __len__(self) -> int:
        return len(self.measurements)

    def to_dict(self) -> dict:
        """Return one object for JSON: the schedule with its update times, the workload, and every transport."""
        first = self.measurements[0]
        return {
            "schedule": {
                "kind": first.schedule.kind,
                "rate_per_s": first.schedule.rate_per_s,
                "updates": len(first.at_s),
                "duration_s": first.duration_s,
                "seed": first.schedule.seed,
                "at_s": list(first.at_s),
            },
            "clients": first.clients,
            "interval_s": first.interval_s,
            "transports": {measurement.transport: measurement.to_dict() for measurement in self},
        }

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers must know, each sentence with the transport it belongs to."""
        return [f"{measurement.label}: {note}" for measurement in self for note in measurement.notes]

    def figure(self, path: str | None = None):
        """Return the overview figure of this comparison (see `wsdemo.plots.overview`); save it if a path is given."""
        from wsdemo import plots  # drawing is loaded only by those who draw

        figure = plots.overview(self)
        if path is not None:
            figure.save(path)
        return figure

    def __repr__(self) -> str:
        return str(self)

    def _title(self) -> str:
        first = self.measurements[0]
        return (f"{first.clients} clients, {first.duration_s:g} s, polls every {first.interval_s:g} s, "
                f"{first.published} updates ({first.schedule.kind}, {first.schedule.rate_per_s:.3g} a second)")

    def __str__(self) -> str:
        rows = [["", *(part for m in self for part in (m.label, "theory"))]]
        rows += [[name, *(part for m in self for part in (show(m), theory(m)))] for name, show, theory in _ROWS]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        pads = [str.ljust, *[str.rjust] * (len(widths) - 1)]
        lines = ["  ".join(pad(*cell) for pad, cell in zip(pads, zip(row, widths, strict=True), strict=True)).rstrip()
                 for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        return "\n".join([self._title(), "", *lines, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        esc = html.escape
        head = "".join(f"<th>{esc(m.label)}</th><th>theory</th>" for m in self)
        body = "".join(
            f'<tr><th scope="row" style="text-align:left">{esc(name)}</th>'
            + "".join(f"<td>{esc(show(m))}</td><td><em>{esc(theory(m))}</em></td>" for m in self) + "</tr>"
            for name, show, theory in _ROWS
        )
        notes = "".join(f"<p>Note: {esc(note)}</p>" for note in self.notes)
        return (f"<table><caption>{esc(self._title())}</caption><thead><tr><th></th>{head}</tr></thead>"
                f"<tbody>{body}</tbody></table>{notes}")


async def measure(transport: str, schedule: Schedule | None = None, *, clients: int = DEFAULT_CLIENTS,
                  interval_s: float = DEFAULT_INTERVAL_S, duration_s: float = DEFAULT_DURATION_S,
                  seed: int | None = None, progress: bool = True) -> Measurement:
    """Run one transport on a fresh server and return what it cost, beside what theory predicts.

    transport: a name from `wsdemo.TRANSPORTS`; schedule: what the feed plays (default: the earthquakes at speed 240);
    clients: how many readers; interval_s: seconds between polls of one client; duration_s: updates and counted polls
    fall before this moment, and one further interval lets every client hear the last ones; seed: other luck for the
    schedule (`Schedule.with_seed`); progress: whether to show a bar. Takes about `duration_s + interval_s + 2` seconds.

    Raises ValueError before anything starts if the arguments cannot be run; `children.ChildFailed` if a process dies.
    """
    (row,) = find([transport])
    schedule = schedule or earthquakes()
    if seed is not None:
        schedule = schedule.with_seed(seed)
    work = _workload(schedule, clients, interval_s, duration_s)

    server = Server(row.name, schedule=schedule, duration_s=duration_s, hold=True, max_connections=clients + 8)
    crowds: list[Child] = []
    try:
        await server.start()
        job = {"transport": row.name, "url": server.url(), "host": "127.0.0.1", "probe_port": server.probe_port,
               "interval_s": interval_s, "duration_s": duration_s}
        for share in (shares := _spread(phases(clients, interval_s))):
            crowds.append(Child("clients"))
            crowds[-1].tell({"job": job | {"phases_s": share}})
        delay_s = statistics.fmean([(await crowd.answer())["delay_s"] for crowd in crowds])
        opening = await server.counters()
        t0_ns = time.perf_counter_ns() + round(_LEAD_S * 1e9)
        await server.begin(t0_ns)
        for crowd in crowds:
            crowd.tell({"start_ns": t0_ns})
        cpu_s, peak_rss = await _watch(server.pid, t0_ns, duration_s + interval_s, row.label, progress)
        answers = [(await crowd.answer())["readers"] for crowd in crowds]
        counters = await server.counters()
    finally:
        # The stop button may come at any moment: the processes go at once, without waiting for their goodbyes.
        for crowd in crowds:
            crowd.kill()
        server.kill()

    readers = [answers[client % len(shares)][client // len(shares)] for client in range(clients)]
    return _evaluate(row.name, schedule, work, delay_s, readers, opening, counters, cpu_s, peak_rss)


async def compare(transports: Sequence[str] = ("polling", "websocket"), schedule: Schedule | None = None, *,
                  clients: int = DEFAULT_CLIENTS, interval_s: float = DEFAULT_INTERVAL_S,
                  duration_s: float = DEFAULT_DURATION_S, seed: int | None = None,
                  progress: bool = True) -> Comparison:
    """Measure several transports one after the other on the same workload. Arguments and errors as for `measure`."""
    schedule = schedule or earthquakes()
    if seed is not None:
        schedule = schedule.with_seed(seed)
    rows = find(transports)
    _workload(schedule, clients, interval_s, duration_s)
    options = {"clients": clients, "interval_s": interval_s, "duration_s": duration_s, "progress": progress}
    return Comparison(tuple([await measure(row.name, schedule, **options) for row in rows]))


def _spread(phases_s: list[float]) -> list[list[float]]:
    """Deal the clients out to as many processes as help: ten to each, but not more processes than cores."""
    processes = max(1, min(os.cpu_count() or 1, MOST_PROCESSES, len(phases_s) // CLIENTS_A_PROCESS))
    return [phases_s[number::processes] for number in range(processes)]


def _workload(schedule: Schedule, clients: int, interval_s: float, duration_s: float) -> Workload:
    """Return the workload. Raises ValueError, with what would be possible, if it cannot be run."""
    if not isinstance(clients, int) or clients < 1:
        raise ValueError(f"clients must be a whole number from 1 up, not {clients!r}")
    for name, value in (("interval", interval_s), ("duration", duration_s)):
        if not (isinstance(value, int | float) and 0 < value < math.inf):
            raise ValueError(f"{name} must be a number of seconds above 0, not {value!r}")
    if interval_s > duration_s:
        raise ValueError(
            f"interval ({interval_s:g} s) is longer than duration ({duration_s:g} s): no client would poll twice")
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
    before = process.cpu_times()
    with progress_bar(run_s, label, show=show) as bar:
        while (elapsed_s := (time.perf_counter_ns() - t0_ns) / 1e9) < run_s:
            bar.update(elapsed_s - bar.n)
            await asyncio.sleep(min(0.2, run_s - elapsed_s))
            peak_rss = max(peak_rss, process.memory_info().rss)
    after = process.cpu_times()
    # Each difference by itself: the rounding of one long sum can end below zero.
    return (after.user - before.user) + (after.system - before.system), peak_rss


def _evaluate(name: str, schedule: Schedule, work: Workload, delay_s: float, readers: list[dict], opening: dict,
              counters: dict, cpu_s: float, peak_rss: int) -> Measurement:
    asked = tuple(Poll(client, at_s, wasted) for client, reader in enumerate(readers)
                  for at_s, wasted, is_opening in reader["requests"] if not is_opening and at_s < work.duration_s)
    heard = tuple(Heard(client, *delivery) for client, reader in enumerate(readers) for delivery in reader["heard"])
    client_requests = sum(len(reader["requests"]) for reader in readers)
    predicted = TRANSPORTS[name].predict(work, delay_s)
    return Measurement(
        transport=name, schedule=schedule, at_s=work.at_s, clients=work.clients, interval_s=work.interval_s,
        duration_s=work.duration_s, delay_s=delay_s,
        requests=len(asked),
        wasted=sum(poll.wasted is True for poll in asked),
        published=len(work.at_s),
        deliveries=len(heard),
        missed=work.clients * len(work.at_s) - len(heard),
        duplicates=sum(reader["duplicates"] for reader in readers),
        latency_s=np.array([delivery.latency_s for delivery in heard]),
        bytes_sent=counters["bytes_sent"], bytes_received=counters["bytes_received"],
        opening_bytes_sent=opening["bytes_sent"], opening_bytes_received=opening["bytes_received"],
        connections=counters["connections"], server_cpu_s=cpu_s, server_peak_rss_bytes=peak_rss,
        client_requests=client_requests, server_requests=counters["requests"],
        predicted=predicted, polls=asked, heard=heard,
        notes=tuple(_notes(work, predicted, readers, asked, client_requests, counters)),
    )


def _notes(work: Workload, predicted: Prediction, readers: list[dict], asked: Sequence[Poll], client_requests: int,
           counters: dict) -> Iterator[str]:
    if client_requests != counters["requests"]:
        yield f"clients counted {client_requests} requests, the server {counters['requests']}: do not trust this run"
    if (failures := sum(reader["failures"] for reader in readers)) > 0:
        yield f"{failures} requests or connections failed on the way"
    due = sum(reader["polls_due"] for reader in readers)
    if due and (due != len(asked) or failures < sum(poll.wasted is None for poll in asked)):
        answered = sum(poll.wasted is not None for poll in asked)
        yield f"{due} polls were due, {len(asked)} made, {answered} answered: this machine could not keep the timetable"
    if predicted.held_connections and work.clients > MANY_CLIENTS:
        yield (f"{work.clients} clients share a few processes, which wake them one by one: "
               "the latency of push measures those processes, not the server")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _ms(seconds: float) -> str:
    if math.isnan(seconds):
        return "-"
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.2f} s"


def _count(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}"


def _none(_: Measurement) -> str:
    return ""


_ROWS = (
    ("requests", lambda m: f"{m.requests:,}", lambda m: f"{m.predicted.requests:,.0f}"),
    ("wasted requests", lambda m: f"{m.wasted:,}", lambda m: f"{m.predicted.wasted:,.1f}"),
    ("wasted share", lambda m: f"{m.wasted_fraction:.2%}", lambda m: f"{m.predicted.wasted_fraction:.2%}"),
    ("… if Poisson", _none, lambda m: f"{m.predicted.wasted_fraction_poisson:.2%}"),
    ("mean latency", lambda m: _ms(m.latency_mean_s), lambda m: _ms(m.predicted.latency_mean_s)),
    ("p50 latency", lambda m: _ms(m.latency_percentile_s(50)), _none),
    ("p95 latency", lambda m: _ms(m.latency_percentile_s(95)), _none),
    ("p99 latency", lambda m: _ms(m.latency_percentile_s(99)), _none),
    ("deliveries", lambda m: f"{m.deliveries:,}", lambda m: f"{m.predicted.deliveries:,}"),
    ("missed", lambda m: f"{m.missed:,}", lambda m: "0"),
    ("duplicates", lambda m: f"{m.duplicates:,}", lambda m: "0"),
    ("bytes to clients", lambda m: f"{m.bytes_sent:,}", _none),
    ("bytes from clients", lambda m: f"{m.bytes_received:,}", _none),
    ("bytes per delivery", lambda m: _count(m.bytes_per_delivery), _none),
    ("connections", lambda m: f"{m.connections:,}", lambda m: f"{m.clients:,}"),
    ("server CPU", lambda m: f"{m.server_cpu_s * 1e3:,.0f} ms", _none),
    ("server peak memory", lambda m: f"{m.server_peak_rss_bytes / 2**20:.1f} MiB", _none),
)
