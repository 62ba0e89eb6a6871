"""The figures of a sweep: measurements of several intervals, numbers of clients or numbers of connections."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from wsdemo import theory, words
from wsdemo.plots import captions, ink, quantities
from wsdemo.plots.figure import INK, Figure, styled
from wsdemo.plots.quantities import Floats, Runs
from wsdemo.result import Measurement
from wsdemo.transports import Transport

# --- wasted requests against the interval -----------------------------------------------------------------------------

_GIVEN: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 5, "mfc": "white", "mec": INK}


@styled()
def wasted_curve(measurements: Runs, labels: Sequence[str] | None = None) -> Figure:
    """Draw the wasted share of requests against `lambda T` (updates expected in one interval, log axis).

    measurements: of any transports and in any order; labels: a word for each, in their order. The line is
    `exp(-lambda T)`; the band holds nine in ten schedules of the run's recipe and length, over many seeds: how far luck
    alone goes; small open circles are predictions given the schedule; the diamond is the real week of
    earthquakes asked once a minute, computed from the catalogue (source: U.S. Geological Survey).
    """
    runs = quantities.runs(measurements)
    named = [] if labels is None else quantities.joined(runs, labels)
    week_x, week_wasted = quantities.week()
    xs = [quantities.updates_per_interval(m) for m in runs]
    low, high = min(*xs, week_x) / 2, max(*xs, week_x) * 2
    canvas = Canvas(figsize=ink.SIZE_IN, layout="constrained")
    ax = canvas.subplots()
    curve = np.geomspace(low, high, 200)
    ink.theory_line(ax, curve, np.exp(-curve))
    if (band := quantities.spread(min(runs, key=lambda m: m.published), curve)) is not None:
        ax.fill_between(curve, *band, color=ink.THEORY, alpha=0.15, lw=0, gid="band", zorder=0)
    for row, group in quantities.by_transport(runs):
        at = [quantities.updates_per_interval(m) for m in group]
        ink.points(ax, row, at, [m.wasted_fraction for m in group], ms=10, clip_on=False)
    given = [m.predicted.wasted_fraction for m in runs]
    ax.plot(xs, given, mew=1.2, gid="given", zorder=4, clip_on=False, **_GIVEN)
    _draw_week(ax, week_x, week_wasted)
    _label_points(ax, named)
    _wasted_axes(ax, low, high)
    _wasted_key(ax, [row for row, _ in quantities.by_transport(runs)], labels is not None, band is not None)
    said = captions.wasted_curve(runs, week_x, week_wasted)
    return Figure(canvas, said.alt, said.caption)


def _draw_week(ax: Axes, x: float, wasted: float) -> None:
    ax.plot([x], [wasted], ls="none", marker="d", ms=13, mfc=INK, mec="white", gid="earthquakes", zorder=5)
    ink.note(ax, captions.real_week(wasted), (x, wasted), (12, 10), va="bottom")


def _label_points(ax: Axes, named: Sequence[tuple[Measurement, list[str]]]) -> None:
    for m, labels in named:
        at = (quantities.updates_per_interval(m), m.wasted_fraction)
        low_down = m.wasted_fraction < 0.12
        ink.note(
            ax,
            words.listed(labels),
            at,
            (-10, 4 if low_down else -5),
            ha="right",
            va="bottom" if low_down else "top",
            parse_math=False,
            color=ink.text_colour(quantities.row(m).colour) if len(labels) == 1 else INK,
        )


def _wasted_axes(ax: Axes, low: float, high: float) -> None:
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(0, 1)
    ink.share_ticks(ax.yaxis)
    ink.log_ticks(ax.xaxis, words.number)
    ax.set_xlabel(captions.EXPECTED_UPDATES)
    ink.heading(ax, captions.WASTED_SHARE)


def _wasted_key(ax: Axes, rows: Sequence[Transport], labelled: bool, banded: bool) -> None:
    measured = [ink.transport_handle(row, captions.named(row.label, captions.MEASURED)) for row in rows]
    if labelled:
        measured = [ink.handle(captions.MEASURED, marker="s", ms=9, color=ink.MUTED)]
    given = ink.handle(captions.PREDICTED, **_GIVEN)
    band = [ink.handle(captions.BAND, marker="s", ms=9, color=ink.THEORY, alpha=0.25)] if banded else []
    ink.key(ax, [*measured, given, ink.theory_handle(captions.THEORY_WASTED), *band], loc="lower left")


# --- latency against the interval -------------------------------------------------------------------------------------


@styled()
def latency_curve(measurements: Runs) -> Figure:
    """Draw the mean latency of a sweep against the interval `T`, both in seconds.

    measurements: in any order. Points are means, whiskers reach to the 95th percentile, the line is `T/2 + d` with
    the delay `d` measured in the same runs (its mean).
    """
    runs = sorted(quantities.runs(measurements), key=lambda m: m.interval_s)
    heard = quantities.heard(runs)
    delay_s = quantities.mean([m.delay_s for m in runs])
    shortest, longest = runs[0].interval_s, runs[-1].interval_s
    wide = longest / shortest >= 8
    low, high = (shortest / 1.6, longest * 1.6) if wide else (0, longest * 1.15)
    canvas = Canvas(figsize=ink.SIZE_IN, layout="constrained")
    ax = canvas.subplots()
    xs = np.geomspace(low, high, 50) if wide else np.linspace(low, high, 50)
    line = [theory.latency_mean(float(x), delay_s) for x in xs]
    ink.theory_line(ax, xs, line)
    for row, group in quantities.by_transport(heard):
        _draw_latency(ax, row, group)
    _latency_axes(ax, low, high, wide)
    at = len(xs) * 2 // 3
    ink.note(ax, captions.THEORY_LATENCY, (xs[at], line[at]), (14, -14), va="top", color=ink.THEORY)
    _latency_key(ax, [row for row, _ in quantities.by_transport(heard)])
    if not heard:
        ink.instead(ax, captions.NO_DELIVERY)
    said = captions.latency_curve(runs, delay_s)
    return Figure(canvas, said.alt, said.caption)


_CAP: dict[str, Any] = {"ls": "none", "marker": "_", "ms": 12, "mew": 1.6}


def _draw_latency(ax: Axes, row: Transport, group: Sequence[Measurement]) -> None:
    means = [m.latency_mean_s for m in group]
    p95 = [m.latency_percentile_s(95) for m in group]
    at = [m.interval_s for m in group]
    ax.vlines(at, means, p95, color=row.colour, lw=1.6, gid=f"{row.name}:whiskers")
    ax.plot(at, p95, color=row.colour, gid=f"{row.name}:p95", **_CAP)
    ink.points(ax, row, at, means, ms=9)


def _latency_axes(ax: Axes, low: float, high: float, wide: bool) -> None:
    if wide:
        ax.set_xscale("log")
        ax.set_yscale("log")
        ink.log_ticks(ax.yaxis, words.duration)
        ink.log_ticks(ax.xaxis, words.duration)
    else:
        ax.set_ylim(bottom=0)
        ink.label_ticks(ax.xaxis, words.duration)
        ink.label_ticks(ax.yaxis, words.duration)
    ax.set_xlim(low, high)
    ax.set_xlabel(captions.INTERVAL)
    ink.heading(ax, captions.LATENCY)


def _latency_key(ax: Axes, rows: Sequence[Transport]) -> None:
    means = [ink.transport_handle(row, captions.named(row.label, captions.MEAN)) for row in rows]
    ink.key(ax, [*means, ink.handle(captions.YOUNGER, **_CAP, color=INK)], loc="upper left")


# --- load against the number of clients -------------------------------------------------------------------------------


@styled()
def load_curve(measurements: Runs) -> Figure:
    """Draw what a server bears against the number of clients: requests per second, and CPU in cores.

    measurements: of several transports and numbers of clients, in any order. Requests are those made while the clock
    ran (a push client's one request to subscribe comes before it). Thin lines are theory's requests; CPU has no theory.
    """
    runs = sorted(quantities.runs(measurements), key=lambda m: m.clients)
    canvas = Canvas(figsize=ink.SIZE_IN, layout="constrained")
    left, right = canvas.subplots(1, 2)
    groups = quantities.by_transport(runs)
    for row, group in groups:
        clients = [m.clients for m in group]
        expected = [quantities.expected_request_rate(m) for m in group]
        ink.theory_line(left, [0, *clients], [0, *expected], gid=f"{row.name}:theory")
        rates, cores = [quantities.request_rate(m) for m in group], [quantities.cores(m) for m in group]
        ink.points(left, row, clients, rates, lw=1.2, ms=8, clip_on=False)
        ink.points(right, row, clients, cores, ls=":", lw=1.2, ms=8, clip_on=False)
    for ax, heading in ((left, captions.REQUESTS_PER_S), (right, captions.SERVER_CPU)):
        _load_axes(ax, heading, runs[-1].clients)
    _name_steepest(left, max(runs, key=quantities.expected_request_rate))
    most = [(row, group[-1]) for row, group in groups]
    ink.label_ends(canvas, left, [(m.clients, quantities.request_rate(m), row) for row, m in most])
    ink.label_ends(canvas, right, [(m.clients, quantities.cores(m), row) for row, m in most])
    said = captions.load_curve([m for _, m in most])
    return Figure(canvas, said.alt, said.caption)


def _load_axes(ax: Axes, heading: str, most_clients: int) -> None:
    steps = [1, 2, 2.5, 5, 10]
    ax.set_xlim(0, most_clients * 1.04)
    ax.set_ylim(0, max(ax.dataLim.y1, 1e-3) * 1.12)
    ax.set_xlabel(captions.CLIENTS)
    ink.count_ticks(ax.xaxis, 4, steps=steps)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=steps))
    ink.label_ticks(ax.yaxis, words.number)
    ink.heading(ax, heading)


def _name_steepest(ax: Axes, m: Measurement) -> None:
    """Name theory once, at the line with the most room."""
    at = (m.clients * 0.6, quantities.expected_request_rate(m) * 0.6)
    ink.note(ax, captions.THEORY, at, (-8, 6), ha="right", va="bottom", color=ink.THEORY)


# --- cost against staleness -------------------------------------------------------------------------------------------


@styled()
def cost_staleness(sweep: Runs, pushes: Iterable[Measurement] = ()) -> Figure:
    """Draw what freshness costs: requests or messages per second and client against mean latency in seconds.

    sweep: polling with several intervals, in any order; pushes: one measurement a push transport. The line is theory:
    polling makes `1/T` requests for a latency of `T/2 + d`; push sends one message an update, the rate lambda.
    """
    runs = sorted(quantities.runs(sweep), key=lambda m: m.interval_s)
    polls, pushed = quantities.heard(runs), quantities.heard(pushes)
    rate, delay_s = runs[0].schedule.rate_per_s, quantities.mean([m.delay_s for m in runs])
    canvas = Canvas(figsize=ink.SIZE_IN, layout="constrained")
    ax = canvas.subplots()
    intervals = np.geomspace(runs[0].interval_s / 2, runs[-1].interval_s * 2, 100)
    line = np.array([theory.latency_mean(float(interval_s), delay_s) for interval_s in intervals]), 1 / intervals
    ink.theory_line(ax, *line)
    ax.axhline(rate, color=ink.THEORY, lw=1.0, ls=(0, (4, 3)), gid="rate", zorder=1)
    measured = [*polls, *pushed]
    for row, group in quantities.by_transport(measured):
        ink.points(ax, row, [m.latency_mean_s for m in group], [quantities.cost(m) for m in group], ms=10)
    _cost_axes(ax, measured, line, rate)
    _label_costs(ax, polls, pushed)
    _label_theory(ax, line, rate, [m.latency_mean_s for m in pushed])
    said = captions.cost_staleness(polls, pushed, rate)
    return Figure(canvas, said.alt, said.caption)


def _cost_axes(ax: Axes, measured: Sequence[Measurement], line: tuple[Floats, Floats], rate_per_s: float) -> None:
    costs = [quantities.cost(m) for m in measured if quantities.cost(m) > 0]
    xs = [*(m.latency_mean_s for m in measured), *line[0][[0, -1]]]
    ys = [*costs, rate_per_s, *line[1][[0, -1]]]
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(min(xs) / 1.8, max(xs) * 1.5)
    ax.set_ylim(min(ys) / 1.3, max(ys) * 1.3)
    ink.log_ticks(ax.xaxis, words.duration, most=9)
    ink.log_ticks(ax.yaxis, words.number)
    ax.set_xlabel(captions.MEAN_LATENCY_LOG)
    ink.heading(ax, captions.COST)


def _label_costs(ax: Axes, polls: Sequence[Measurement], pushed: Sequence[Measurement]) -> None:
    """Name each poll's interval beside it, and each push below it, the slowest first, with a leader to it."""
    for m in polls:
        at, colour = (m.latency_mean_s, quantities.cost(m)), ink.text_colour(quantities.row(m).colour)
        ink.note(ax, captions.equals("T", m.interval_s), at, (10, 2), va="bottom", color=colour)
    for place, m in enumerate(sorted(pushed, key=lambda m: -m.latency_mean_s)):
        colour = quantities.row(m).colour
        ink.note(
            ax,
            m.label,
            (m.latency_mean_s, quantities.cost(m)),
            (-4, -24 - 19 * place),
            ha="left",
            va="top",
            color=ink.text_colour(colour),
            zorder=1,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 1, "relpos": (0.03, 1)},
        )


def _label_theory(ax: Axes, line: tuple[Floats, Floats], rate_per_s: float, pushes_s: Sequence[float]) -> None:
    """Name the rate of updates midway between the pushes and polling's line, and that line at its upper end."""
    middle_s = math.sqrt(max([ax.get_xlim()[0], *pushes_s]) * 0.5 / rate_per_s)
    rate = captions.theory_rate(rate_per_s)
    ink.note(ax, rate, (middle_s, rate_per_s), (0, 4), ha="center", va="bottom", color=ink.THEORY)
    upper = (float(line[0][0]), float(line[1][0]))
    ink.note(ax, captions.THEORY_POLLS, upper, (8, 0), va="center", color=ink.THEORY)


# --- memory against connections ---------------------------------------------------------------------------------------


@styled()
def memory_per_connection(
    connections: Sequence[float], rss_bytes: Sequence[float], label: str = captions.CONNECTION
) -> Figure:
    """Draw a server's resident memory in MiB against the connections it holds, and the line of least squares.

    connections, rss_bytes: two sequences of one length, in any order; label: what one connection is called. The slope,
    in KiB a connection, needs two different numbers of connections.
    """
    counts, held_bytes = quantities.memory(connections, rss_bytes)
    mib = held_bytes / 2**20
    end = float(counts[-1]) * 1.06
    canvas = Canvas(figsize=ink.SIZE_IN, layout="constrained")
    ax = canvas.subplots()
    slope_kib = None
    if counts[0] < counts[-1]:
        slope, base = (float(part) for part in np.polyfit(counts, mib, 1))
        slope_kib = slope * 1024
        ax.plot([0, end], [base, base + slope * end], color=ink.THEORY, lw=1.3, gid="fit")
        at = (end * 0.62, base + slope * end * 0.62)
        ink.note(ax, captions.slope(slope_kib, label), at, (10, -10), va="top", color=ink.THEORY)
    ax.plot(counts, mib, ls="none", marker="o", ms=9, color=ink.PUSH, gid="measured", zorder=3, clip_on=False)
    ax.set_xlim(0, max(end, 1))
    ax.set_ylim(0, mib.max() * 1.2)
    ink.count_ticks(ax.xaxis, 6)
    ax.set_xlabel(captions.held(label))
    ink.heading(ax, captions.MEMORY)
    said = captions.memory_per_connection(counts.tolist(), held_bytes.tolist(), slope_kib, label)
    return Figure(canvas, said.alt, said.caption)
