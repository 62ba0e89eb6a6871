"""What was measured: one transport's `Measurement`, and a `Comparison` of several, as objects, JSON and tables.

Results know neither how a run is made nor how it is drawn: `measure` makes them, `plots` draws them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wsdemo import table
from wsdemo.theory import Prediction
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import Schedule
from wsdemo.words import listed

PREDICTED = (
    "requests",
    "wasted",
    "latency_mean_s",
    "latency_p50_s",
    "latency_p95_s",
    "bytes_sent",
    "bytes_received",
    "held_connections",
    "server_cpu_s",
)
"""What theory says to each run in JSON: a number, or None with the reason in the notes."""


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
    delay_s: the bare one-way delay `d`, probed at the pace of the news. notes: what a reader of the numbers must know.
    held_connections: open at the server at the end of the run; heartbeats: what it said only to keep lines open;
    segments: of TCP, both ways, None where the system does not count them. line: the words of the line that it was
    measured through, None where there was none; line_did: how often that line did what, by kind.
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
    latency_s: np.ndarray[Any, np.dtype[np.float64]] = field(repr=False)
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
    held_connections: int | None = None
    heartbeats: int = 0
    segments: int | None = None
    line: str | None = None
    line_did: Mapping[str, int] = field(default_factory=dict)

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
    def percentiles_known(self) -> tuple[int, ...]:
        """Which of 50, 95 and 99 this run can tell: a push has one sample an update, not one a reader."""
        return tuple(one for one in (50, 95, 99) if one < 99 or self.family == "pull" or self.published >= 100)

    @property
    def family(self) -> str:
        return TRANSPORTS[self.transport].family

    @property
    def opening_bytes(self) -> int:
        """The bytes of the openings, both ways: before the clock started."""
        return self.opening_bytes_sent + self.opening_bytes_received

    @property
    def flow_bytes_per_delivery(self) -> float:
        """All bytes, both ways, without the openings, per delivery; NaN if there was none."""
        flow = self.bytes_sent + self.bytes_received - self.opening_bytes
        return flow / self.deliveries if self.deliveries else math.nan

    @property
    def bytes_per_delivery(self) -> float:
        """All bytes, both ways, opening included, per delivery; NaN if there was none."""
        return (self.bytes_sent + self.bytes_received) / self.deliveries if self.deliveries else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return the figures of the command line's `--json`, None for what is not defined."""
        return {
            "requests": self.requests,
            "wasted": self.wasted,
            "wasted_fraction": self.wasted_fraction,
            "predicted_wasted_fraction": _finite(self.predicted.wasted_fraction),
            "predicted_wasted_fraction_poisson": self.predicted.wasted_fraction_poisson,
            "published": self.published,
            "deliveries": self.deliveries,
            "missed": self.missed,
            "duplicates": self.duplicates,
            "latency_s": {
                "mean": _finite(self.latency_mean_s),
                **{f"p{percent}": self._percentile_or_none(percent) for percent in (50, 95, 99)},
                "predicted_mean": _finite(self.predicted.latency_mean_s),
            },
            "bytes_sent": self.bytes_sent,
            "bytes_received": self.bytes_received,
            "opening_bytes": self.opening_bytes,
            "connections": self.connections,
            "held_connections": self.held_connections,
            "heartbeats": self.heartbeats,
            "segments": self.segments,
            "server_cpu_s": self.server_cpu_s,
            "server_peak_rss_bytes": self.server_peak_rss_bytes,
            "predicted": {name: _number(getattr(self.predicted, name)) for name in PREDICTED},
            "predicted_within": {name: self.predicted.within.get(name, 0.0) for name in PREDICTED},
            "line_did": None if self.line is None else dict(self.line_did),
            "notes": [*self.notes, *self.unknown],
        }

    def _percentile_or_none(self, percent: int) -> float | None:
        return _finite(self.latency_percentile_s(percent)) if percent in self.percentiles_known else None

    @property
    def unknown(self) -> tuple[str, ...]:
        """Why a number is not there, in sentences: of this run, or of theory."""
        known = ["latency_p99_s"] if 99 in self.percentiles_known else []
        lacks = {name: getattr(self.predicted, name) for name in (*PREDICTED, *known)}
        reasons: dict[str, list[str]] = {}
        for name in [name for name, value in lacks.items() if _number(value) is None]:
            reasons.setdefault(self.predicted.reasons.get(name, "there is nothing to predict"), []).append(name)
        said = [f"theory has no {listed(names)}: {reason}" for reason, names in reasons.items()]
        if 99 not in self.percentiles_known:
            said.append(f"no p99: {self.published} updates are not the hundred that it takes")
        return tuple(said)

    def __str__(self) -> str:
        return table.text((self,))

    def __repr__(self) -> str:
        return f"<Measurement of {self.transport}: {self.requests} requests, {self.deliveries} deliveries>"

    def _repr_html_(self) -> str:
        return table.markup((self,))


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

    def to_dict(self) -> dict[str, Any]:
        """Return one object for JSON: the schedule with its update times, the workload, and every transport."""
        first = self.measurements[0]
        return {
            "schedule": {
                "kind": first.schedule.kind,
                "rate_per_s": first.schedule.rate_per_s,
                "updates": len(first.at_s),
                "duration_s": first.duration_s,
                "seed": first.schedule.recipe().get("seed"),
                "at_s": list(first.at_s),
            },
            "clients": first.clients,
            "interval_s": first.interval_s,
            "line": first.line,
            "transports": {measurement.transport: measurement.to_dict() for measurement in self},
        }

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers must know, each sentence with the transport it belongs to."""
        return table.notes(self.measurements)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return table.text(self.measurements)

    def _repr_html_(self) -> str:
        return table.markup(self.measurements)


def _number(value: float | None) -> float | None:
    return None if value is None else _finite(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
