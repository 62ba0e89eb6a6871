"""The headline table of a comparison: which figures it has, and how it is set as text and as HTML.

A further column of the comparison is a further measurement; a further figure is one row of `ROWS`. It knows what a
measurement must have (`Run`), not where it comes from, so that a result can show itself.
"""

from __future__ import annotations

import html
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
    def notes(self) -> tuple[str, ...]: ...
    def latency_percentile_s(self, percent: float) -> float: ...


@dataclass(frozen=True)
class Row:
    """One figure of the table. name: as people read it; measured, theory: its text for a run."""

    name: str
    measured: Callable[[Run], str]
    theory: Callable[[Run], str] = lambda _: ""


ROWS = (
    Row("requests", lambda m: words.count(m.requests), lambda m: words.count(m.predicted.requests)),
    Row("wasted requests", lambda m: words.count(m.wasted), lambda m: f"{m.predicted.wasted:,.1f}"),
    Row(
        "wasted share",
        lambda m: words.share(m.wasted_fraction, 2),
        lambda m: words.share(m.predicted.wasted_fraction, 2),
    ),
    Row("… if Poisson", lambda _: "", lambda m: words.share(m.predicted.wasted_fraction_poisson, 2)),
    Row(
        "mean latency", lambda m: words.duration(m.latency_mean_s), lambda m: words.duration(m.predicted.latency_mean_s)
    ),
    Row("p50 latency", lambda m: words.duration(m.latency_percentile_s(50))),
    Row("p95 latency", lambda m: words.duration(m.latency_percentile_s(95))),
    Row("p99 latency", lambda m: words.duration(m.latency_percentile_s(99))),
    Row("deliveries", lambda m: words.count(m.deliveries), lambda m: words.count(m.predicted.deliveries)),
    Row("missed", lambda m: words.count(m.missed), lambda _: "0"),
    Row("duplicates", lambda m: words.count(m.duplicates), lambda _: "0"),
    Row("bytes to clients", lambda m: words.count(m.bytes_sent)),
    Row("bytes from clients", lambda m: words.count(m.bytes_received)),
    Row("bytes per delivery", lambda m: words.count(m.bytes_per_delivery)),
    Row("connections", lambda m: words.count(m.connections), lambda m: words.count(m.clients)),
    Row("server CPU", lambda m: f"{words.count(m.server_cpu_s * 1e3)} ms"),
    Row("server peak memory", lambda m: words.mebibytes(m.server_peak_rss_bytes)),
)


def title(runs: Sequence[Run]) -> str:
    """Return one line that says what was run."""
    first = runs[0]
    updates = "1 update" if first.published == 1 else f"{words.count(first.published)} updates"
    return (
        f"{words.count(first.clients)} client{'' if first.clients == 1 else 's'}, {first.duration_s:g} s, polls "
        f"every {first.interval_s:g} s, {updates} ({first.schedule.kind}, "
        f"{words.number(first.schedule.rate_per_s)} a second)"
    )


def notes(runs: Sequence[Run]) -> list[str]:
    """Return what a reader of the numbers must know, each sentence with the transport it belongs to."""
    return [f"{run.label}: {note}" for run in runs for note in run.notes]


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
