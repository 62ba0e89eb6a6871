"""The headline table of a comparison: which figures it has, and how it is set as text and as HTML.

A further column of the comparison is a further measurement; a further figure is one row of `ROWS`. It knows what a
measurement must have (`Run`), not where it comes from, so that a result can show itself.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from wsdemo import words
from wsdemo.theory import Prediction
from wsdemo.updates import Schedule


class Run(Protocol):
    """What the table needs of one measurement: see `result.Measurement`, which has it."""

    # Properties, since a measurement is frozen.
    @property
    def label(self) -> str: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def clients(self) -> int: ...
    @property
    def interval_s(self) -> float: ...
    @property
    def duration_s(self) -> float: ...
    @property
    def requests(self) -> int: ...
    @property
    def wasted(self) -> int: ...
    @property
    def wasted_fraction(self) -> float: ...
    @property
    def published(self) -> int: ...
    @property
    def deliveries(self) -> int: ...
    @property
    def missed(self) -> int: ...
    @property
    def duplicates(self) -> int: ...
    @property
    def latency_mean_s(self) -> float: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def bytes_per_delivery(self) -> float: ...
    @property
    def connections(self) -> int: ...
    @property
    def server_cpu_s(self) -> float: ...
    @property
    def server_peak_rss_bytes(self) -> int: ...
    @property
    def predicted(self) -> Prediction: ...
    @property
    def delay_s(self) -> float: ...
    @property
    def opening_bytes(self) -> int: ...
    @property
    def flow_bytes_per_delivery(self) -> float: ...
    @property
    def held_connections(self) -> int | None: ...
    @property
    def percentiles_known(self) -> tuple[int, ...]: ...
    @property
    def line(self) -> str | None: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def unknown(self) -> tuple[str, ...]: ...
    def latency_percentile_s(self, percent: float) -> float: ...


@dataclass(frozen=True)
class Row:
    """One figure of the table. name: as people read it; measured, theory: its text for a run."""

    name: str
    measured: Callable[[Run], str]
    theory: Callable[[Run], str] = lambda _: ""


def _said(name: str, kind: Callable[[float], str]) -> Callable[[Run], str]:
    """Return what theory says of a field, with how far off a run may be: "125 ms ±3.8 ms"; `UNKNOWN` for nothing."""

    def say(run: Run) -> str:
        value: float | None = getattr(run.predicted, name)
        if value is None or math.isnan(value):
            return words.UNKNOWN
        within = run.predicted.within.get(name, 0.0)
        return kind(value) + (f" ±{kind(within)}" if within else "")

    return say


def _percentile(percent: int) -> Callable[[Run], str]:
    def say(run: Run) -> str:
        return words.duration(run.latency_percentile_s(percent)) if percent in run.percentiles_known else words.UNKNOWN

    return say


def _milliseconds(seconds: float) -> str:
    return f"{words.count(seconds * 1e3)} ms"


ROWS = (
    Row("requests", lambda m: words.count(m.requests), _said("requests", words.count)),
    Row("wasted requests", lambda m: words.count(m.wasted), _said("wasted", words.count)),
    Row(
        "wasted share",
        lambda m: words.share(m.wasted_fraction, 2),
        _said("wasted_fraction", lambda share: words.share(share, 2)),
    ),
    Row("… if Poisson", lambda _: "", lambda m: words.share(m.predicted.wasted_fraction_poisson, 2)),
    Row("mean latency", lambda m: words.duration(m.latency_mean_s), _said("latency_mean_s", words.duration)),
    *(Row(f"p{one} latency", _percentile(one), _said(f"latency_p{one}_s", words.duration)) for one in (50, 95, 99)),
    Row("floor d", lambda m: words.duration(m.delay_s)),
    Row("deliveries", lambda m: words.count(m.deliveries), lambda m: words.count(m.predicted.deliveries)),
    Row("missed", lambda m: words.count(m.missed), lambda _: "0"),
    Row("duplicates", lambda m: words.count(m.duplicates), lambda _: "0"),
    Row("bytes to clients", lambda m: words.count(m.bytes_sent), _said("bytes_sent", words.count)),
    Row("bytes from clients", lambda m: words.count(m.bytes_received), _said("bytes_received", words.count)),
    Row("bytes of openings", lambda m: words.count(m.opening_bytes), lambda m: _openings(m.predicted)),
    Row("bytes per delivery", lambda m: words.count(m.flow_bytes_per_delivery), lambda m: _flow(m.predicted)),
    Row("connections", lambda m: words.count(m.connections), lambda m: _connections(m)),
    Row("connections held", lambda m: _held(m.held_connections), _said("held_connections", words.count)),
    Row("server CPU", lambda m: _milliseconds(m.server_cpu_s), _said("server_cpu_s", _milliseconds)),
    Row(
        "server peak memory",
        lambda m: words.mebibytes(m.server_peak_rss_bytes),
        _said("server_rss_bytes", words.mebibytes),
    ),
)


def _connections(run: Run) -> str:
    """Return one for each client, unless theory does not know how many are open: they were cut, and came again."""
    return words.UNKNOWN if math.isnan(run.predicted.held_connections) else words.count(run.clients)


def _held(connections: int | None) -> str:
    return words.UNKNOWN if connections is None else words.count(connections)


def _openings(said: Prediction) -> str:
    if said.opening_bytes_sent is None or said.opening_bytes_received is None:
        return words.UNKNOWN
    return words.count(said.opening_bytes_sent + said.opening_bytes_received)


def _flow(said: Prediction) -> str:
    """Return the bytes of a delivery without the openings, and how far off they may be."""
    if said.bytes_sent is None or said.bytes_received is None or not said.deliveries:
        return words.UNKNOWN
    opening = (said.opening_bytes_sent or 0.0) + (said.opening_bytes_received or 0.0)
    within = said.within.get("bytes_sent", 0.0) + said.within.get("bytes_received", 0.0)
    flow = (said.bytes_sent + said.bytes_received - opening) / said.deliveries
    return f"{words.count(flow)} ±{words.count(within / said.deliveries)}"


def title(runs: Sequence[Run]) -> str:
    """Return one line that says what was run."""
    first = runs[0]
    updates = "1 update" if first.published == 1 else f"{words.count(first.published)} updates"
    return (
        f"{words.count(first.clients)} client{'' if first.clients == 1 else 's'}, {first.duration_s:g} s, polls "
        f"every {first.interval_s:g} s, {updates} ({first.schedule.kind}, "
        f"{words.number(first.schedule.rate_per_s)} a second)"
        + (f", through a line with {first.line or 'no fault'}" if first.line is not None else "")
    )


def notes(runs: Sequence[Run]) -> list[str]:
    """Return what a reader of the numbers must know, each sentence with the transport it belongs to."""
    return [f"{run.label}: {note}" for run in runs for note in (*run.notes, *run.unknown)]


def text(runs: Sequence[Run], spelt: Callable[[str], str] = str) -> str:
    """Return the table for a terminal: prediction beside measurement, aligned, with its title and notes.

    spelt: how a cell is written where the terminal does not have all characters, so that it is set by its real width.
    """
    cells = [["", *(part for run in runs for part in (run.label, "theory"))]]
    cells += [[row.name, *(part for run in runs for part in (row.measured(run), row.theory(run)))] for row in ROWS]
    cells = [[spelt(cell) for cell in line] for line in cells]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    pads = [str.ljust, *[str.rjust] * (len(widths) - 1)]
    lines = [
        "  ".join(pad(*cell) for pad, cell in zip(pads, zip(line, widths, strict=True), strict=True)).rstrip()
        for line in cells
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join([title(runs), "", *lines, *(f"note: {note}" for note in notes(runs))])


def markup(runs: Sequence[Run]) -> str:
    """Return the same table as HTML, for a notebook. Whatever comes from outside is escaped."""
    esc = html.escape
    head = "".join(f"<th>{esc(run.label)}</th><th>theory</th>" for run in runs)
    body = "".join(
        f'<tr><th scope="row" style="text-align:left">{esc(row.name)}</th>'
        + "".join(f"<td>{esc(row.measured(run))}</td><td><em>{esc(row.theory(run))}</em></td>" for run in runs)
        + "</tr>"
        for row in ROWS
    )
    said = "".join(f"<p>Note: {esc(note)}</p>" for note in notes(runs))
    return (
        f"<table><caption>{esc(title(runs))}</caption><thead><tr><th></th>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>{said}"
    )
