"""The figures of the course. The only module that imports matplotlib.

It draws what `measure` returned: markers are measurements, thin grey lines are theory. Orange is pull and blue is push
in every figure, and shape and label say the same as the colour. Each function returns a `Figure` with its alt text and
a caption; both state numbers computed from the data that was drawn.
"""

from __future__ import annotations

import functools
import html
import io
import itertools
import json
import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter
from PIL import Image, PngImagePlugin  # comes with matplotlib, which writes its own PNG with it

from wsdemo import theory
from wsdemo.result import Comparison, Measurement
from wsdemo.transports import TRANSPORTS, Transport
from wsdemo.updates import Update, catalogue, earthquakes, week_s

PULL, PUSH = "#D55E00", "#0072B2"
_INK, _THEORY, _MUTED, _GRID = "#222222", "#555555", "#666666", "#E4E4E4"
_SIZE_IN = (8.0, 4.5)
_DPI, _SHOWN_DPI = 150, 110
"""Drawn finer than shown: sharp on a screen with small pixels and on a projector."""
_STYLE = {
    "figure.dpi": _DPI,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 12,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.labelsize": 12,
    "axes.edgecolor": "#999999",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": "#999999",
    "ytick.color": "#999999",
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "lines.markersize": 8,
}
_TICK_SHAPE = [(-0.3, -1), (0.3, -1), (0.3, 1), (-0.3, 1), (-0.3, -1)]
_MARKERS = {"pull": "sDp", "push": "o^vP"}
_DASHES = ("-", (0, (5, 1.5)), (0, (2, 1)), (0, (6, 1.5, 1.5, 1.5)))
_MOST_TICKS = 60
_MOST_POINTS = 400


@dataclass(frozen=True, repr=False)
class Figure:
    """A drawing with its words.

    figure: the `matplotlib.figure.Figure`, made without pyplot, so that nothing is drawn twice and no figure stays in
    memory; alt: describes it, with its numbers, to those who cannot see it; caption: states the finding.
    """

    figure: Canvas
    alt: str
    caption: str

    def save(self, path: str | Path) -> None:
        """Write the drawing to a file; its suffix says how (.png, .svg, .pdf). A PNG carries the alt text."""
        if Path(path).suffix.lower() == ".png":
            Path(path).write_bytes(self._png())
            return
        with matplotlib.rc_context():
            _set_style()
            self.figure.savefig(path)

    def _png(self) -> bytes:
        """The drawing as PNG in its own 256 commonest colours, which makes a notebook a third of the size."""
        drawn, packed = io.BytesIO(), io.BytesIO()
        with matplotlib.rc_context():
            _set_style()
            self.figure.savefig(drawn, format="rgba", dpi=self.figure.dpi)
        size = self.figure.canvas.get_width_height(physical=True)
        image = Image.frombytes("RGBA", size, drawn.getvalue()).convert("RGB")
        colours = sorted(image.getcolors(image.width * image.height), reverse=True)
        every = np.array([colour for _, colour in colours], dtype=np.int64)
        palette = every[:256]
        nearest = np.empty(2**24, dtype=np.uint8)
        nearest[_packed(every)] = ((palette**2).sum(axis=1) - 2 * every @ palette.T).argmin(axis=1)
        indexed = Image.fromarray(nearest[_packed(np.asarray(image, dtype=np.int64))])
        indexed.putpalette(palette.astype(np.uint8).tobytes())
        words = PngImagePlugin.PngInfo()
        words.add_itxt("Description", self.alt)
        indexed.save(packed, "PNG", optimize=True, pnginfo=words)
        return packed.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        """Show the figure in Jupyter. JupyterLab drops the alt text of a plain PNG, so HTML goes with it."""
        png = b64encode(self._png()).decode("ascii")
        width = round(self.figure.get_figwidth() * _SHOWN_DPI)
        return {
            "image/png": png,
            "text/html": (
                f'<figure style="margin:0"><img alt="{html.escape(self.alt)}" src="data:image/png;base64,{png}" '
                f'style="width:{width}px;max-width:100%;background:#fff">'
                f"<figcaption>{html.escape(self.caption)}</figcaption></figure>"
            ),
            "text/plain": self.caption,
        }

    def __repr__(self) -> str:
        return f"<Figure: {self.caption}>"


def _packed(colours: np.ndarray) -> np.ndarray:
    return colours @ np.array([65536, 256, 1])


def _set_style() -> None:
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(_STYLE)


def _styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the course's style, whatever style the notebook has set, and leave the notebook's as it was."""

    @functools.wraps(draw)
    def drawn(*args, **kwargs) -> Figure:
        with matplotlib.rc_context():
            _set_style()
            return draw(*args, **kwargs)

    return drawn


# --- the figures ------------------------------------------------------------------------------------------------------


@_styled
def overview(comparison: Comparison, client: int = 0) -> Figure:
    """Draw a comparison on one slide: one client's timeline, wasted share, latency and bytes per delivery.

    comparison: from `measure.compare` (a single Measurement will do); client: whose timeline. A row a transport;
    shares in per cent with theory's as a dark bar, latency in seconds on a log axis, payload bytes per delivery.
    """
    runs = _runs(comparison)
    count = len(runs)
    figure = Canvas(figsize=(10, 3.4 + 0.75 * count), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.5 + 0.36 * count, 1.5 + 0.4 * count))
    figure.get_layout_engine().set(wspace=0.05, h_pad=0.08)
    with matplotlib.rc_context(
        {"font.size": 14, "axes.labelsize": 14, "xtick.labelsize": 13.5, "ytick.labelsize": 13.5}
    ):
        line = top.subplots()
        shown_s = _draw_timeline(line, runs, client)
        wasted, latency, weight = bottom.subplots(1, 3, sharey=True)
        _draw_wasted_bars(wasted, runs)
        _draw_latency_rows(latency, runs)
        _draw_byte_bars(weight, runs, split=False)
        _rows(wasted, runs)
        for ax in (latency, weight):
            ax.tick_params(axis="y", length=0)
    said = "; ".join(
        f"{m.label}: {_share(m.wasted_fraction)} of {m.requests:,} requests wasted (theory "
        f"{_share(m.predicted.wasted_fraction)}), median latency {_time(m.latency_percentile_s(50))}, "
        f"{_number(m.bytes_per_delivery)} bytes per delivery"
        for m in runs
    )
    alt = (
        f"Four panels. Above, {_timeline_alt(runs, client, shown_s)} Below, wasted share, latency and bytes "
        f"of {_clients(runs)}. {said}."
    )
    return Figure(figure, alt, _overview_caption(runs))


@_styled
def timeline(comparison: Comparison, client: int = 0, until_s: float | None = None) -> Figure:
    """Draw one client's run, a row a transport, against time in seconds after the start.

    Each poll is a tick, hollow if it was wasted and filled if it brought news; each push is a dot; updates are
    vertical lines, and a bar shows how long each update waited to be heard. client: which one, from 0; until_s: where
    to end (default: the whole run, or as much of it as shows 60 polls).
    """
    runs = _runs(comparison)
    figure = Canvas(figsize=(8, max(2.6, 1.7 + 0.5 * len(runs))), layout="constrained")
    shown_s = _draw_timeline(figure.subplots(), runs, client, until_s)
    sentences = []
    for m in runs:
        polls, wasted, waits = _of_client(m, client, shown_s)
        heard = f"{len(waits)} of {_updates_until(m, shown_s)} updates heard"
        heard += f", {_time(_mean(waits))} old on average" if waits else ""
        sentences.append(
            f"{m.label}: {wasted} of {polls} polls wasted, {heard}"
            if _row(m).family == "pull"
            else f"{m.label}: {heard}"
        )
    first = runs[0]
    part = "" if shown_s >= first.duration_s else f"The first {_time(shown_s)}. "
    caption = f"{part}Client {client} of {first.clients:,}, the same updates for each. {'; '.join(sentences)}."
    return Figure(figure, _capital(_timeline_alt(runs, client, shown_s)), caption)


@_styled
def wasted_curve(measurements: Iterable[Measurement], labels: Sequence[str] | None = None) -> Figure:
    """Draw the wasted share of requests against `lambda T` (updates expected in one interval, log axis).

    measurements: of any transports and in any order; labels: a word for each, in their order. The line is
    `exp(-lambda T)`; small open circles are predictions given the schedule; the diamond is the real week of
    earthquakes asked once a minute, computed from the catalogue (source: U.S. Geological Survey).
    """
    given = list(measurements)
    if labels is not None and len(labels) != len(given):
        raise ValueError(f"{len(given)} measurements need as many labels, not {len(labels)}")
    runs = _runs(given)
    quake_x, quake_wasted = _week()
    xs = [_x(m) for m in runs]
    low, high = min(*xs, quake_x) / 2, max(*xs, quake_x) * 2
    figure = Canvas(figsize=_SIZE_IN, layout="constrained")
    ax = figure.subplots()
    curve = np.geomspace(low, high, 200)
    ax.plot(curve, np.exp(-curve), color=_THEORY, lw=1.3, gid="theory", zorder=2)
    for row, group in _by_transport(runs):
        ax.plot(
            [_x(m) for m in group],
            [m.wasted_fraction for m in group],
            ls="none",
            marker=_marker(row),
            color=row.colour,
            ms=10,
            gid=f"{row.name}:measured",
            zorder=3,
            clip_on=False,
        )
    ax.plot(
        xs,
        [m.predicted.wasted_fraction for m in runs],
        ls="none",
        marker="o",
        ms=5,
        mfc="white",
        mec=_INK,
        mew=1.2,
        gid="given",
        zorder=4,
        clip_on=False,
    )
    ax.plot(
        [quake_x], [quake_wasted], ls="none", marker="d", ms=13, mfc="#222222", mec="white", gid="earthquakes", zorder=5
    )
    ax.annotate(
        f"a real week of earthquakes,\nasked once a minute: {_share(quake_wasted)}",
        (quake_x, quake_wasted),
        xytext=(12, 10),
        textcoords="offset points",
        va="bottom",
    )
    named: list[tuple[Measurement, list[str]]] = []
    for m, label in zip(given, labels or [], strict=False):
        near = (
            words
            for other, words in named
            if abs(math.log(_x(m) / _x(other))) < 0.05 and abs(m.wasted_fraction - other.wasted_fraction) < 0.03
        )
        if (words := next(near, None)) is not None:
            words.append(str(label))
        else:
            named.append((m, [str(label)]))
    for m, words in named:
        low_down = m.wasted_fraction < 0.12
        ax.annotate(
            _list(words),
            (_x(m), m.wasted_fraction),
            xytext=(-10, 4 if low_down else -5),
            textcoords="offset points",
            ha="right",
            va="bottom" if low_down else "top",
            parse_math=False,
            color=_text_colour(_row(m).colour) if len(words) == 1 else _INK,
        )
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    _log_ticks(ax.xaxis, _plain)
    ax.set_xlabel("λT: updates expected in one interval")
    _heading(ax, "wasted share of requests")
    rows = [row for row, _ in _by_transport(runs)]
    measured = (
        [_handle(row, f"{row.label}, measured") for row in rows]
        if labels is None
        else [Line2D([], [], ls="none", marker="s", ms=9, color=_MUTED, label="measured")]
    )
    _key(
        ax,
        [
            *measured,
            Line2D([], [], ls="none", marker="o", ms=5, mfc="white", mec=_INK, label="predicted, this schedule"),
            Line2D([], [], color=_THEORY, lw=1.3, label="theory, exp(-λT)"),
        ],
        loc="lower left",
    )
    errors = [abs(m.wasted_fraction - m.predicted.wasted_fraction) for m in runs]
    caption = (
        f"The rarer the updates, the more requests find nothing: {_runs_said(runs)} within "
        f"{max(errors) * 100:.1f} percentage points of the prediction given {_its(runs)} schedule; a real week of "
        f"earthquakes asked once a minute ({_plain(quake_x)} updates an interval) wastes {_share(quake_wasted)} where "
        f"exp(-λT) says {_share(math.exp(-quake_x))}."
    )
    points = "; ".join(
        f"{m.label} at λT = {_plain(_x(m))}: {_share(m.wasted_fraction)} measured, "
        f"{_share(m.predicted.wasted_fraction)} predicted"
        for m in sorted(runs, key=_x)
    )
    alt = (
        f"Wasted share of requests against λT on a log axis, falling along the curve exp(-λT). {points}. "
        f"Earthquakes, once a minute: λT = {_plain(quake_x)}, {_share(quake_wasted)}."
    )
    return Figure(figure, alt, caption)


@_styled
def latency_curve(measurements: Iterable[Measurement]) -> Figure:
    """Draw the mean latency of a sweep against the interval `T`, both in seconds.

    measurements: in any order. Points are means, whiskers reach to the 95th percentile, the line is `T/2 + d` with
    the delay `d` measured in the same runs (its mean).
    """
    runs = sorted(_runs(measurements), key=lambda m: m.interval_s)
    heard = [m for m in runs if m.deliveries]
    intervals = [m.interval_s for m in runs]
    delay_s = _mean([m.delay_s for m in runs])
    wide = max(intervals) / min(intervals) >= 8
    low, high = (min(intervals) / 1.6, max(intervals) * 1.6) if wide else (0, max(intervals) * 1.15)
    figure = Canvas(figsize=_SIZE_IN, layout="constrained")
    ax = figure.subplots()
    xs = np.geomspace(low, high, 50) if wide else np.linspace(low, high, 50)
    line = [theory.latency_mean(x, delay_s) for x in xs]
    ax.plot(xs, line, color=_THEORY, lw=1.3, gid="theory", zorder=2)
    for row, group in _by_transport(heard):
        means = np.array([m.latency_mean_s for m in group])
        p95 = np.array([m.latency_percentile_s(95) for m in group])
        at = [m.interval_s for m in group]
        ax.vlines(at, means, p95, color=row.colour, lw=1.6, gid=f"{row.name}:whiskers")
        ax.plot(at, p95, ls="none", marker="_", ms=12, mew=1.6, color=row.colour, gid=f"{row.name}:p95")
        ax.plot(at, means, ls="none", marker=_marker(row), ms=9, color=row.colour, gid=f"{row.name}:measured", zorder=3)
    if wide:
        ax.set_xscale("log")
        ax.set_yscale("log")
        _log_ticks(ax.yaxis, _time)
        _log_ticks(ax.xaxis, _time)
    else:
        ax.set_ylim(bottom=0)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: _time(value)))
    ax.set_xlim(low, high)
    ax.set_xlabel("interval T between two polls of one client")
    _heading(ax, "latency: how old the news was when heard")
    at = len(xs) * 2 // 3
    ax.annotate(
        "theory: T/2 + d", (xs[at], line[at]), xytext=(14, -14), textcoords="offset points", va="top", color=_THEORY
    )
    rows = [row for row, _ in _by_transport(heard)]
    _key(
        ax,
        [
            *(_handle(row, f"{row.label}, mean") for row in rows),
            Line2D([], [], ls="none", marker="_", ms=12, mew=1.6, color=_INK, label="95% were younger than this"),
        ],
        loc="upper left",
    )
    if not heard:
        _nothing(ax)
    asked = [m for m in heard if _row(m).family == "pull"]
    errors = [abs(m.latency_mean_s / theory.latency_mean(m.interval_s, m.delay_s) - 1) for m in asked]
    caption = f"Asked every T, news is T/2 + d old on average when it is heard (d = {_time(delay_s)})"
    caption += f": {_runs_said(asked)} within {max(errors):.1%} of that." if asked else "; no poll here heard any."
    points = "; ".join(
        f"{m.label}, T = {_time(m.interval_s)}: mean {_time(m.latency_mean_s)}, 95th percentile "
        f"{_time(m.latency_percentile_s(95))}, theory {_time(m.predicted.latency_mean_s)}"
        for m in heard
    )
    alt = f"Mean latency against the polling interval with the line T/2 + d. {points or 'No deliveries'}."
    return Figure(figure, alt, caption)


@_styled
def latencies(comparison: Comparison) -> Figure:
    """Draw how many of its deliveries each transport made within a given latency (seconds, log axis).

    comparison: from `measure.compare`. Curves are empirical distributions of `Measurement.latency_s`, one sample a
    delivery; with more than 400 samples 400 of them are drawn. The grey line marks `T/2`.
    """
    runs = _runs(comparison)
    heard = [m for m in runs if m.deliveries]
    half_s = runs[0].interval_s / 2
    figure = Canvas(figsize=_SIZE_IN, layout="constrained")
    ax = figure.subplots()
    ax.set_xscale("log")
    ax.set_ylim(0, 1.0)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    _heading(ax, "share of deliveries heard within this time")
    ax.set_xlabel("latency (log axis)")
    ax.axvline(half_s, color=_THEORY, lw=1.3, gid="half")
    ax.annotate(
        f"T/2 = {_time(half_s)}",
        (half_s, 0),
        xycoords=("data", "axes fraction"),
        xytext=(7, 7),
        textcoords="offset points",
        color=_THEORY,
    )
    curves = {}
    for m in heard:
        row = _row(m)
        curves[row.name] = _ecdf(m.latency_s)
        ax.plot(
            *curves[row.name], color=row.colour, lw=2.6, ls=_dash(row), drawstyle="steps-post", gid=f"{row.name}:ecdf"
        )
    lowest = min([half_s, *(max(1e-5, m.latency_percentile_s(2)) for m in heard)])
    highest = max([half_s, *(float(m.latency_s.max()) for m in heard)])
    ax.set_xlim(lowest / 2, highest * 12)
    _log_ticks(ax.xaxis, _time, most=9)
    _label_curves(ax, [(m, curves[m.transport]) for m in heard])
    if not heard:
        _nothing(ax)
    said = "; ".join(
        f"{m.label}: half within {_time(m.latency_percentile_s(50))}, 95% within {_time(m.latency_percentile_s(95))}"
        if m.deliveries
        else f"{m.label}: no delivery"
        for m in runs
    )
    alt = f"Distribution of latency on a log axis, with T/2 = {_time(half_s)} marked. {said}."
    return Figure(figure, alt, _latency_caption(runs, half_s))


@_styled
def load_curve(measurements: Iterable[Measurement]) -> Figure:
    """Draw what a server bears against the number of clients: requests per second, and CPU in cores.

    measurements: of several transports and numbers of clients, in any order. Requests are those made while the clock
    ran (a push client's one request to subscribe comes before it). Thin lines are theory's requests; CPU has no theory.
    """
    runs = sorted(_runs(measurements), key=lambda m: m.clients)
    figure = Canvas(figsize=(8, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    ends: dict[Axes, list] = {left: [], right: []}
    for row, group in _by_transport(runs):
        clients = [m.clients for m in group]
        expected = [_expected_request_rate(m) for m in group]
        left.plot([0, *clients], [0, *expected], color=_THEORY, lw=1.3, gid=f"{row.name}:theory", zorder=2)
        for ax, values in ((left, [_request_rate(m) for m in group]), (right, [_cores(m) for m in group])):
            ax.plot(
                clients,
                values,
                ls="none" if ax is left else ":",
                lw=1.2,
                marker=_marker(row),
                ms=8,
                color=row.colour,
                gid=f"{row.name}:measured",
                zorder=3,
                clip_on=False,
            )
            ends[ax].append((clients[-1], values[-1], row))
    for ax, heading in ((left, "requests per second"), (right, "server CPU, cores")):
        ax.set_xlim(0, max(m.clients for m in runs) * 1.04)
        ax.set_ylim(0, max(ax.dataLim.y1, 1e-3) * 1.12)
        ax.set_xlabel("clients")
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 2.5, 5, 10]))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value)))
        _heading(ax, heading)
    steep = max(runs, key=_expected_request_rate)
    left.annotate(
        "theory",
        (steep.clients * 0.6, _expected_request_rate(steep) * 0.6),
        xytext=(-8, 6),
        textcoords="offset points",
        ha="right",
        va="bottom",
        color=_THEORY,
    )
    _label_ends(left, ends[left])
    _label_ends(right, ends[right])
    most = [group[-1] for _, group in _by_transport(runs)]
    said = "; ".join(
        f"{m.label} with {m.clients:,} clients: {_plain(_request_rate(m))} requests per second (theory "
        f"{_plain(_expected_request_rate(m))}), {_cores(m):.2g} cores"
        for m in most
    )
    heavy, light = max(most, key=_request_rate), min(most, key=_request_rate)
    said_of = [
        f"{m.label}: {_plain(_request_rate(m))} requests a second for {m.clients:,} clients, {_cores(m):.2g} of a core"
        for m in ([heavy] if light is heavy else [heavy, light])
    ]
    caption = "; ".join(said_of) + "."
    alt = f"Two panels against the number of clients: requests per second and server CPU. {said}."
    return Figure(figure, alt, caption)


@_styled
def cost_staleness(sweep: Iterable[Measurement], pushes: Iterable[Measurement] = ()) -> Figure:
    """Draw what freshness costs: requests or messages per second and client against mean latency in seconds.

    sweep: polling with several intervals, in any order; pushes: one measurement a push transport. The line is theory:
    polling makes `1/T` requests for a latency of `T/2 + d`; push sends one message an update, the rate lambda.
    """
    sweep = sorted(_runs(sweep), key=lambda m: m.interval_s)
    pushes = list(pushes)
    polls, pushed = [m for m in sweep if m.deliveries], [m for m in pushes if m.deliveries]
    rate, delay_s = sweep[0].schedule.rate_per_s, _mean([m.delay_s for m in sweep])
    figure = Canvas(figsize=_SIZE_IN, layout="constrained")
    ax = figure.subplots()
    intervals = np.geomspace(sweep[0].interval_s / 2, sweep[-1].interval_s * 2, 100)
    ax.plot(theory.latency_mean(intervals, delay_s), 1 / intervals, color=_THEORY, lw=1.3, gid="theory", zorder=2)
    ax.axhline(rate, color=_THEORY, lw=1.0, ls=(0, (4, 3)), gid="rate", zorder=1)
    for row, group in _by_transport([*polls, *pushed]):
        ax.plot(
            [m.latency_mean_s for m in group],
            [_cost(m) for m in group],
            ls="none",
            marker=_marker(row),
            ms=10,
            color=row.colour,
            gid=f"{row.name}:measured",
            zorder=3,
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    xs = [*(m.latency_mean_s for m in [*polls, *pushed]), *theory.latency_mean(intervals[[0, -1]], delay_s)]
    ys = [*(_cost(m) for m in [*polls, *pushed] if _cost(m) > 0), rate, *(1 / intervals[[0, -1]])]
    ax.set_xlim(min(xs) / 1.8, max(xs) * 1.5)
    ax.set_ylim(min(ys) / 1.3, max(ys) * 1.3)
    _log_ticks(ax.xaxis, _time, most=9)
    _log_ticks(ax.yaxis, _plain)
    ax.set_xlabel("mean latency (log axis)")
    _heading(ax, "requests or messages per second and client")
    for m in polls:
        ax.annotate(
            f"T = {_time(m.interval_s)}",
            (m.latency_mean_s, _cost(m)),
            xytext=(10, 2),
            textcoords="offset points",
            va="bottom",
            color=_text_colour(_row(m).colour),
        )
    for place, m in enumerate(sorted(pushed, key=lambda m: -m.latency_mean_s)):
        ax.annotate(
            m.label,
            (m.latency_mean_s, _cost(m)),
            xytext=(-4, -24 - 19 * place),
            textcoords="offset points",
            ha="left",
            va="top",
            color=_text_colour(_row(m).colour),
            zorder=1,
            arrowprops={"arrowstyle": "-", "color": _row(m).colour, "lw": 1, "relpos": (0.03, 1)},
        )
    middle_s = math.sqrt(max([ax.get_xlim()[0], *(m.latency_mean_s for m in pushed)]) * 0.5 / rate)
    ax.annotate(
        f"theory: λ = {_plain(rate)} updates per second",
        (middle_s, rate),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color=_THEORY,
    )
    ax.annotate(
        "theory: 1/T",
        (theory.latency_mean(intervals[0], delay_s), 1 / intervals[0]),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        color=_THEORY,
    )
    best = min(pushed, key=lambda m: m.latency_mean_s, default=None)
    near = min(polls, key=lambda m: abs(math.log(m.interval_s * rate)), default=None)
    sentences = []
    if near is not None:
        sentences.append(
            f"{near.label} every {_time(near.interval_s)}: {_plain(_cost(near))} requests per second and "
            f"client, news {_time(near.latency_mean_s)} old"
        )
    if best is not None:
        sentences.append(f"{best.label}: {_plain(_cost(best))} messages, news {_time(best.latency_mean_s)} old")
    sentences.append(
        f"polling is the cheaper only where news may be older than {_time(0.5 / rate)} on average (T above 1/λ)"
    )
    points = "; ".join(
        f"{m.label}"
        + (f", T = {_time(m.interval_s)}" if _row(m).family == "pull" else "")
        + f": {_time(m.latency_mean_s)}, {_plain(_cost(m))} per second"
        for m in [*polls, *pushed]
    )
    alt = (
        "Requests or messages per second and client against mean latency, both log axes: polling falls along a "
        f"line, push stays near one message an update. {points or 'No deliveries'}."
    )
    return Figure(figure, alt, _capital("; ".join(sentences)) + ".")


@_styled
def bytes_per_delivery(comparison: Comparison) -> Figure:
    """Draw the bytes that each transport moved per delivery, to and from the clients, as stacked bars.

    comparison: from `measure.compare`. TCP payload at the server's sockets, opening and closing included.
    """
    runs = _runs(comparison)
    figure = Canvas(figsize=(8, max(2.4, 1.5 + 0.62 * len(runs))), layout="constrained")
    ax = figure.subplots()
    _draw_byte_bars(ax, runs, split=True)
    _rows(ax, runs)
    heard = [m for m in runs if m.deliveries]
    said = "; ".join(
        f"{m.label}: {m.bytes_sent / m.deliveries:,.0f} to and {m.bytes_received / m.deliveries:,.0f} "
        f"from clients, {m.bytes_per_delivery:,.0f} in all"
        if m.deliveries
        else f"{m.label}: no delivery"
        for m in runs
    )
    caption = "No update was heard, so there is nothing to divide the bytes by."
    if heard:
        heavy = max(heard, key=lambda m: m.bytes_per_delivery)
        light = min(heard, key=lambda m: m.bytes_per_delivery)
        caption = f"{heavy.label}: {heavy.bytes_per_delivery:,.0f} bytes for each update that a client hears"
        if light is not heavy:
            caption += (
                f", {heavy.bytes_per_delivery / light.bytes_per_delivery:.1f} times as many as {light.label} "
                f"({light.bytes_per_delivery:,.0f})"
            )
        caption += ". Payload of TCP, connections' opening included."
    return Figure(figure, f"Bars of bytes per delivery. {said}.", caption)


@_styled
def memory_per_connection(
    connections: Sequence[float], rss_bytes: Sequence[float], label: str = "connection"
) -> Figure:
    """Draw a server's resident memory in MiB against the connections it holds, and the line of least squares.

    connections, rss_bytes: two sequences of one length, in any order; label: what one connection is called. The slope,
    in KiB a connection, needs two different numbers of connections.
    """
    counts, memory = np.asarray(connections, dtype=float), np.asarray(rss_bytes, dtype=float) / 2**20
    if counts.ndim != 1 or counts.shape != memory.shape or not len(counts):
        raise ValueError(
            f"connections and rss_bytes must be two lists of one length, not {counts.shape} and {memory.shape}"
        )
    order = np.argsort(counts, kind="stable")
    counts, memory = counts[order], memory[order]
    figure = Canvas(figsize=_SIZE_IN, layout="constrained")
    ax = figure.subplots()
    caption = f"{counts[-1]:,.0f} {label}s held in {memory[-1]:.1f} MiB of resident memory."
    if counts[0] < counts[-1]:
        slope, base = np.polyfit(counts, memory, 1)
        ends = np.array([0, counts[-1] * 1.06])
        ax.plot(ends, base + slope * ends, color=_THEORY, lw=1.3, gid="fit")
        ax.annotate(
            f"{slope * 1024:.1f} KiB a {label}",
            (ends[1] * 0.62, base + slope * ends[1] * 0.62),
            xytext=(10, -10),
            textcoords="offset points",
            va="top",
            color=_THEORY,
        )
        caption = (
            f"Each held {label} costs the server about {slope * 1024:.1f} KiB: {memory[0]:.1f} MiB with "
            f"{counts[0]:,.0f}, {memory[-1]:.1f} MiB with {counts[-1]:,.0f}."
        )
    ax.plot(counts, memory, ls="none", marker="o", ms=9, color=PUSH, gid="measured", zorder=3, clip_on=False)
    ax.set_xlim(0, max(counts[-1] * 1.06, 1))
    ax.set_ylim(0, memory.max() * 1.2)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.set_xlabel(f"held {label}s")
    _heading(ax, "server's resident memory, MiB")
    points = "; ".join(f"{count:,.0f}: {mib:.1f} MiB" for count, mib in zip(counts, memory, strict=True))
    return Figure(figure, f"Resident memory of the server against held {label}s. {points}.", caption)


_DEPTHS = ((0.0, 70.0, "#41A85F"), (70.0, 300.0, "#1F6F8B"), (300.0, math.inf, "#471365"))
"""The classes of the U.S. Geological Survey: shallow, intermediate, deep (from, to: km), lighter to darker."""


@_styled
def earthquake_map(updates: Iterable[Update] | None = None) -> Figure:
    """Draw earthquakes on a map (equirectangular): dot area by magnitude, colour by depth in km.

    updates: from an earthquakes schedule (their `data` has longitude and latitude in degrees, magnitude or None,
    depth_km); default: the whole week. Sources: U.S. Geological Survey (events), Natural Earth (land).
    """
    events = [data for _, data in catalogue()] if updates is None else [update.data for update in updates]
    smallest = 4.0 if len(events) > 300 else 12.0
    figure = Canvas(figsize=_SIZE_IN, layout="constrained")
    ax = figure.subplots()
    ax.add_collection(PolyCollection(_land(), facecolors="#ECECE8", edgecolors="#B5B5B0", linewidths=0.6, gid="land"))
    for event_class in _DEPTHS:
        shown = sorted((e for e in events if _depth_class(e) is event_class), key=lambda e: -_area(e["magnitude"]))
        areas = [max(smallest, _area(e["magnitude"])) for e in shown]
        ax.scatter(
            [e["longitude"] for e in shown],
            [e["latitude"] for e in shown],
            s=areas,
            color=event_class[2],
            edgecolors="white",
            linewidths=[min(0.7, 0.12 * math.sqrt(area)) for area in areas],
            gid=f"depth:{event_class[0]:.0f}",
            zorder=3,
        )
    latitudes = [e["latitude"] for e in events]
    ax.set_xlim(-180, 180)
    ax.set_ylim(max(-90, min([-60, *(y - 4 for y in latitudes)])), min(90, max([84, *(y + 4 for y in latitudes)])))
    ax.set_aspect("equal")
    ax.grid(False)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    keys = []
    for (low, high, colour), size in zip(_DEPTHS, (2, 4, 6), strict=True):
        keys.append(Line2D([], [], ls="none", marker="o", ms=10, color=colour, label=_depth_label(low, high)))
        across = math.sqrt(max(smallest, _area(size)))
        keys.append(Line2D([], [], ls="none", marker="o", ms=across, mfc="none", mec=_INK, label=f"magnitude {size}"))
    ax.legend(
        handles=keys,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.01),
        ncols=3,
        frameon=False,
        fontsize=11.5,
        columnspacing=2.2,
        handletextpad=0.6,
    )
    known = [e for e in events if e["magnitude"] is not None]
    deep = [e for e in events if _depth_class(e) is not _DEPTHS[0]]
    sources = "Sources: U.S. Geological Survey (events), Natural Earth (land)."
    if not events:
        return Figure(figure, "A map of the world without events.", f"No event. {sources}")
    largest = max(known, key=lambda e: e["magnitude"], default=None)
    most = (
        ""
        if largest is None
        else (f"; the largest, magnitude {largest['magnitude']:g}, {largest['depth_km']:g} km deep, {largest['place']}")
    )
    strong = sum(e["magnitude"] >= 4.5 for e in known)
    share = _share(len(deep) / len(events))
    count = "1 event" if len(events) == 1 else f"{len(events):,} events"
    caption = f"{count}, {strong:,} of magnitude 4.5 or more{most}. {share} were 70 km deep or deeper. {sources}"
    alt = (
        f"World map with {len(events):,} dots; "
        + ", ".join(f"{_depth_label(*c[:2])}: {sum(_depth_class(e) is c for e in events):,}" for c in _DEPTHS)
        + f"{most}. {len(events) - len(known):,} without a magnitude."
    )
    return Figure(figure, alt, caption)


# --- panels -----------------------------------------------------------------------------------------------------------


def _draw_timeline(ax: Axes, runs: Sequence[Measurement], client: int, until_s: float | None = None) -> float:
    """Draw the timeline; return where it ends, in seconds after the start."""
    first = runs[0]
    if not 0 <= client < first.clients:
        raise ValueError(f"client must be between 0 and {first.clients - 1}, not {client!r}")
    if until_s is not None and not until_s > 0:
        raise ValueError(f"until_s must be a number of seconds above 0, not {until_s!r}")
    shown_s = until_s if until_s is not None else min(first.duration_s, _MOST_TICKS * first.interval_s)
    whole = shown_s >= first.duration_s
    edge_s = shown_s + (first.interval_s if whole else 0)
    updates = [at_s for at_s in first.at_s if at_s < shown_s]
    ax.vlines(updates, -0.6, len(runs) - 0.4, color="#A8A8A8", lw=1.0, gid="updates", zorder=1)
    if updates:  # an empty line that is not clipped would upset the layout
        ax.plot(updates, [len(runs) - 0.4] * len(updates), ls="none", marker="v", ms=7, color="#777777", clip_on=False)
    if whole:
        ax.axvspan(first.duration_s, edge_s, color="#F3F3F3", lw=0, gid="after", zorder=0)
    tick = {"ls": "none", "marker": _TICK_SHAPE, "ms": 17, "mew": 1.3, "zorder": 3}
    lost = False
    for y, m in zip(range(len(runs) - 1, -1, -1), runs, strict=True):
        row = _row(m)
        heard = [h for h in m.heard if h.client == client and h.received_s <= edge_s]
        ax.hlines(
            [y] * len(heard),
            [h.received_s - h.latency_s for h in heard],
            [h.received_s for h in heard],
            color=row.colour,
            alpha=0.3,
            lw=7,
            gid=f"{row.name}:waits",
            zorder=2,
        )
        polls = [p for p in m.polls if p.client == client and p.at_s < shown_s]

        def draw(name: str, at: list[float], y=y, row=row, **look) -> None:
            ax.plot(at, [y] * len(at), **(tick | {"color": row.colour, "gid": f"{row.name}:{name}"} | look))

        draw("wasted", [p.at_s for p in polls if p.wasted], mfc="white")
        if row.family == "push":
            draw("pushes", [h.received_s for h in heard], marker="o", ms=9, mec="white", mew=0.8, zorder=4)
            continue
        draw("news", [p.at_s for p in polls if p.wasted is False])
        draw("after", sorted({h.received_s for h in heard if h.received_s >= first.duration_s and whole}), alpha=0.45)
        draw("lost", [p.at_s for p in polls if p.wasted is None], marker="x", ms=9, mew=1.8, color=_MUTED)
        lost = lost or any(p.wasted is None for p in polls)
    _rows(ax, runs)
    ax.set_xlim(-0.01 * edge_s, edge_s)
    shaded = " (shaded: one more interval, to hear the last updates)" if whole else ""
    ax.set_xlabel("seconds after the start" + shaded)
    ax.grid(False)
    families = {_row(m).family for m in runs}
    tick |= {"ms": 13, "color": _MUTED}
    keys = [Line2D([], [], ls="none", marker="v", ms=7, color="#777777", label="update")]
    if "pull" in families:
        keys += [
            Line2D([], [], **tick | {"mfc": "white"}, label="poll, wasted"),
            Line2D([], [], **tick, label="poll with news"),
        ]
    if lost:
        keys.append(Line2D([], [], ls="none", marker="x", ms=9, mew=1.8, color=_MUTED, label="no answer"))
    if "push" in families:
        keys.append(Line2D([], [], ls="none", marker="o", ms=9, color=_MUTED, label="push"))
    keys.append(Line2D([], [], color=_MUTED, alpha=0.35, lw=7, label="waiting"))
    ax.legend(
        handles=keys,
        loc="lower left",
        bbox_to_anchor=(0, 1.03),
        ncols=len(keys),
        frameon=False,
        borderpad=0.3,
        borderaxespad=0.1,
        handletextpad=0.5,
        columnspacing=1.4,
        handlelength=1.3,
    )
    return shown_s


def _draw_wasted_bars(ax: Axes, runs: Sequence[Measurement]) -> None:
    for y, m in zip(range(len(runs) - 1, -1, -1), runs, strict=True):
        row = _row(m)
        ax.barh(y, m.wasted_fraction, height=0.5, color=row.colour, gid=f"{row.name}:wasted")
        ax.plot(
            [m.predicted.wasted_fraction] * 2,
            [y - 0.4, y + 0.4],
            color=_INK,
            lw=2.2,
            solid_capstyle="butt",
            gid=f"{row.name}:theory",
        )
        end = max(m.wasted_fraction, m.predicted.wasted_fraction)
        inside = end > 0.68
        ax.annotate(
            _share(m.wasted_fraction),
            (min(m.wasted_fraction, m.predicted.wasted_fraction) if inside else end, y),
            xytext=(-7 if inside else 7, 0),
            textcoords="offset points",
            va="center",
            ha="right" if inside else "left",
            color=_on(row.colour) if inside else _INK,
        )
    ax.set_xlim(0, 1.02)
    ax.set_xticks([0, 0.5, 1])
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.grid(False, axis="y")
    _heading(ax, "wasted requests  (❙ theory)")


def _draw_latency_rows(ax: Axes, runs: Sequence[Measurement]) -> None:
    ax.set_xscale("log")
    heard = [m for m in runs if m.deliveries]
    for y, m in zip(range(len(runs) - 1, -1, -1), runs, strict=True):
        row = _row(m)
        if not m.deliveries:
            ax.text(0.03, y, "no delivery", transform=ax.get_yaxis_transform(), va="center", color=_MUTED)
            continue
        dots = np.percentile(m.latency_s, np.linspace(1, 99, 60))
        spread = 0.16 * np.sin(np.arange(60) * 2.4)
        ax.plot(
            np.maximum(dots, 1e-6),
            y + spread,
            ls="none",
            marker="o",
            ms=4,
            mew=0,
            color=row.colour,
            alpha=0.5,
            gid=f"{row.name}:latency",
        )
        median = m.latency_percentile_s(50)
        ax.plot([median] * 2, [y - 0.3, y + 0.3], color=_INK, lw=2.2, solid_capstyle="butt", gid=f"{row.name}:median")
        ax.annotate(_time(median), (median, y + 0.31), ha="center", va="bottom")
    low = min((m.latency_percentile_s(1) for m in heard), default=0.003)
    high = max((m.latency_percentile_s(99) for m in heard), default=0.3)
    low, high = max(low, 1e-6) / 3, max(high, 1e-6) * 3
    narrow = max(1.0, 100 / (high / low)) ** 0.5
    ax.set_xlim(low / narrow, high * narrow * 1.0001)
    _log_ticks(ax.xaxis, _time, most=3)
    ax.grid(False, axis="y")
    _heading(ax, "latency  (❙ median)")


def _draw_byte_bars(ax: Axes, runs: Sequence[Measurement], *, split: bool) -> None:
    widest = max((m.bytes_per_delivery for m in runs if m.deliveries), default=1.0)
    named = False
    for y, m in zip(range(len(runs) - 1, -1, -1), runs, strict=True):
        row = _row(m)
        if not m.deliveries:
            ax.text(0.02 * widest, y, "no delivery", va="center", color=_MUTED)
            continue
        sent, received = m.bytes_sent / m.deliveries, m.bytes_received / m.deliveries
        ax.annotate(
            f"{m.bytes_per_delivery:,.0f}",
            (m.bytes_per_delivery, y),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
        )
        if not split:
            ax.barh(y, sent + received, height=0.5, color=row.colour, gid=f"{row.name}:bytes")
            continue
        ax.barh(y, sent, height=0.56, color=row.colour, gid=f"{row.name}:to")
        ax.barh(
            y,
            received,
            left=sent,
            height=0.56,
            color=_lighter(row.colour),
            edgecolor=row.colour,
            lw=1.2,
            gid=f"{row.name}:from",
        )
        if not named and min(sent, received) > 0.2 * widest:
            named = True
            ax.annotate("to clients", (sent / 2, y), ha="center", va="center", color=_on(row.colour))
            ax.annotate("from clients", (sent + received / 2, y), ha="center", va="center")
    ax.set_xlim(0, widest * (1.14 if split else 1.4))
    ax.xaxis.set_major_locator(MaxNLocator(6 if split else 3, integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.grid(False, axis="y")
    if split:
        ax.set_xlabel("bytes per delivery" + ("" if named else " (filled: to clients, light: from clients)"))
    else:
        _heading(ax, "bytes per delivery")


# --- words ------------------------------------------------------------------------------------------------------------


def _timeline_alt(runs: Sequence[Measurement], client: int, shown_s: float) -> str:
    sentences = []
    for m in runs:
        polls, wasted, waits = _of_client(m, client, shown_s)
        said = f"{polls} polls, {wasted} wasted, " if _row(m).family == "pull" else ""
        said += f"{len(waits)} updates heard" + (f" after {_time(_mean(waits))} on average" if waits else "")
        sentences.append(f"{m.label}: {said}.")
    return (
        f"a timeline of client {client} over {_time(shown_s)} with {_updates_until(runs[0], shown_s)} updates. "
        + " ".join(sentences)
    )


def _overview_caption(runs: Sequence[Measurement]) -> str:
    pulls = [m for m in runs if _row(m).family == "pull"]
    pushes = [m for m in runs if _row(m).family == "push"]
    parts = []
    if pulls:
        m = max(pulls, key=lambda m: m.wasted_fraction)
        parts.append(
            f"{m.label} every {_time(m.interval_s)} wasted {_share(m.wasted_fraction)} of its "
            f"{m.requests:,} requests (theory: {_share(m.predicted.wasted_fraction)})" + _and_heard(m)
        )
    if pushes:
        wasted, heard = sum(m.wasted for m in pushes), [m for m in pushes if m.deliveries]
        parts.append(
            f"{_list([m.label for m in pushes])} wasted {f'{wasted:,}' if wasted else 'none'}"
            + _and_heard(*(heard or pushes))
        )
    return f"{_clients(runs)}, {runs[0].published:,} updates. {'; '.join(parts)}."


def _and_heard(*runs: Measurement) -> str:
    if not any(m.deliveries for m in runs):
        return " and heard nothing"
    fast, slow = (_time(pick(m.latency_mean_s for m in runs)) for pick in (min, max))
    return f" and heard news {fast if fast == slow else f'{fast} to {slow}'} after the event on average"


def _latency_caption(runs: Sequence[Measurement], half_s: float) -> str:
    heard = [m for m in runs if m.deliveries]
    if not heard:
        return "No update was heard, so there is no latency to draw."
    slowest_s = max(m.latency_percentile_s(50) for m in heard)
    slow = next(m for m in heard if m.latency_percentile_s(50) > 0.97 * slowest_s)
    fast = min(heard, key=lambda m: m.latency_percentile_s(50))
    caption = (
        f"{slow.label}: half of the news is heard within {_time(slow.latency_percentile_s(50))} (T/2 = {_time(half_s)})"
    )
    if fast is not slow:
        ratio = slow.latency_percentile_s(50) / max(fast.latency_percentile_s(50), 1e-9)
        caption += (
            f"; {fast.label}: half within {_time(fast.latency_percentile_s(50))}, "
            f"{ratio:,.{0 if ratio >= 10 else 1}f} times as soon"
        )
    return caption + "."


def _clients(runs: Sequence[Measurement]) -> str:
    return "1 client" if runs[0].clients == 1 else f"{runs[0].clients:,} clients"


def _runs_said(runs: Sequence[Measurement]) -> str:
    return {1: "the one run lies", 2: "both runs lie"}.get(len(runs), f"all {len(runs)} runs lie")


def _its(runs: Sequence[Measurement]) -> str:
    return "its" if len(runs) == 1 else "their"


def _time(seconds: float) -> str:
    """Return a time for people: 4.3 s, 250 ms, 0.12 ms."""
    if math.isnan(seconds):
        return "unknown"
    if seconds == 0:
        return "0 s"
    if abs(seconds) >= 0.9995:
        return f"{_plain(seconds)} s"
    if abs(seconds) >= 0.9995e-5:
        return f"{_plain(seconds * 1e3)} ms"
    return f"{_plain(seconds * 1e6)} µs"


def _plain(value: float) -> str:
    """Return a number with three figures and no exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _list(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _number(value: float) -> str:
    return "no" if math.isnan(value) else f"{value:,.0f}"


def _share(value: float) -> str:
    return f"{value:.0%}" if value in (0, 1) else f"{value:.1%}"


# --- numbers ----------------------------------------------------------------------------------------------------------


def _runs(what: Comparison | Measurement | Iterable[Measurement]) -> list[Measurement]:
    runs = [what] if isinstance(what, Measurement) else list(what)
    if not runs:
        raise ValueError("nothing to draw: give at least one measurement")
    return runs


def _row(m: Measurement) -> Transport:
    return TRANSPORTS[m.transport]


def _by_transport(runs: Sequence[Measurement]) -> list[tuple[Transport, list[Measurement]]]:
    names = dict.fromkeys(m.transport for m in runs)
    return [(TRANSPORTS[name], [m for m in runs if m.transport == name]) for name in names]


def _x(m: Measurement) -> float:
    return m.schedule.rate_per_s * m.interval_s


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


@functools.cache
def _week() -> tuple[float, float]:
    """The real week asked once a minute: `lambda T`, and the wasted share given its schedule."""
    week = earthquakes(speed=1.0)
    return week.rate_per_s * 60, theory.wasted_fraction_given(week.times(week_s()), 60.0, week_s())


def _of_client(m: Measurement, client: int, until_s: float) -> tuple[int, int, list[float]]:
    polls = [p for p in m.polls if p.client == client and p.at_s < until_s]
    waits = [h.latency_s for h in m.heard if h.client == client and h.received_s - h.latency_s < until_s]
    return len(polls), sum(p.wasted is True for p in polls), waits


def _updates_until(m: Measurement, until_s: float) -> int:
    return sum(at_s < until_s for at_s in m.at_s)


def _request_rate(m: Measurement) -> float:
    """Requests per second made while the clock ran: a push client subscribes before."""
    return sum(p.at_s >= 0 for p in m.polls) / m.duration_s


def _expected_request_rate(m: Measurement) -> float:
    held = m.predicted.held_connections
    return max(0.0, m.predicted.requests - held) / m.duration_s


def _cores(m: Measurement) -> float:
    return max(0.0, m.server_cpu_s) / (m.duration_s + m.interval_s)


def _cost(m: Measurement) -> float:
    """Requests (pull) or messages (push; requests, if it needs more of them) per second and client."""
    requests = _request_rate(m) / m.clients
    return requests if _row(m).family == "pull" else max(requests, m.deliveries / m.duration_s / m.clients)


def _ecdf(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted samples and the share of all samples at or below each, thinned to a number that draws fast."""
    ordered = np.sort(samples)
    shares = np.arange(1, len(ordered) + 1) / len(ordered)
    if len(ordered) > _MOST_POINTS:
        chosen = np.unique(np.linspace(0, len(ordered) - 1, _MOST_POINTS).round().astype(int))
        return ordered[chosen], shares[chosen]
    return ordered, shares


@functools.cache
def _land() -> list[np.ndarray]:
    """Return the outlines of the land; one that crosses the date line is drawn on both sides of the map."""
    text = (resources.files("wsdemo") / "data" / "land.json").read_text(encoding="utf-8")
    outlines = []
    for ring in map(np.array, json.loads(text)["rings"]):
        ring[:, 0] = np.unwrap(ring[:, 0], period=360)
        if abs(ring[-1, 0] - ring[0, 0]) > 180:  # around a pole: close it along the edge of the map
            edge = math.copysign(90, ring[:, 1].mean())
            ring = np.vstack([ring, [ring[-1, 0], edge], [ring[0, 0], edge]])
        outlines += [
            ring + np.array([turn, 0])
            for turn in (-360, 0, 360)
            if ring[:, 0].max() + turn > -180 and ring[:, 0].min() + turn < 180
        ]
    return outlines


def _area(magnitude: float | None) -> float:
    """Dot area in square points: tenfold for two magnitudes, nothing where the catalogue gives none."""
    return 0.0 if magnitude is None else 0.3 * 10 ** (magnitude / 2)


def _depth_class(event: dict) -> tuple:
    return next(c for c in reversed(_DEPTHS) if event["depth_km"] >= c[0] or c is _DEPTHS[0])


def _depth_label(low: float, high: float) -> str:
    if low == 0:
        return f"less than {high:.0f} km deep"
    return f"{low:.0f} to {high:.0f} km" if math.isfinite(high) else f"{low:.0f} km or deeper"


# --- drawing ----------------------------------------------------------------------------------------------------------


def _rank(row: Transport) -> int:
    return [other.name for other in TRANSPORTS.values() if other.family == row.family].index(row.name)


def _marker(row: Transport) -> str:
    shapes = _MARKERS[row.family]
    return shapes[_rank(row) % len(shapes)]


def _dash(row: Transport):
    return _DASHES[_rank(row) % len(_DASHES)]


def _handle(row: Transport, label: str) -> Line2D:
    return Line2D([], [], ls="none", marker=_marker(row), ms=9, color=row.colour, label=label)


def _luminance(colour: str) -> float:
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def _text_colour(colour: str) -> str:
    """Return the colour, darkened until text in it on white has a contrast of 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    red_green_blue = np.array(to_rgb(colour))
    while 1.05 / (_luminance(to_hex(red_green_blue)) + 0.05) < 4.5:
        red_green_blue = red_green_blue * 0.95
    return to_hex(red_green_blue)


def _on(colour: str) -> str:
    """Black or white, whichever reads better on the colour."""
    return "white" if 1.05 / (_luminance(colour) + 0.05) > (_luminance(colour) + 0.05) / 0.05 else _INK


def _lighter(colour: str) -> str:
    return to_hex(1 - 0.28 * (1 - np.array(to_rgb(colour))))


def _heading(ax: Axes, text: str) -> None:
    """Name the vertical axis (or the panel) above it, level, where it can be read."""
    ax.set_title(text, loc="left", fontsize=matplotlib.rcParams["axes.labelsize"], pad=8)


def _rows(ax: Axes, runs: Sequence[Measurement]) -> None:
    ax.set_yticks(range(len(runs) - 1, -1, -1), [m.label for m in runs])
    for tick, m in zip(ax.get_yticklabels(), runs, strict=True):
        tick.set_color(_text_colour(_row(m).colour))
        tick.set_fontsize(matplotlib.rcParams["font.size"])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.6, len(runs) - 0.4)


def _key(ax: Axes, handles: list[Line2D], loc: str) -> None:
    ax.legend(handles=handles, loc=loc, frameon=False, handletextpad=0.6, borderaxespad=0.3)


def _nothing(ax: Axes) -> None:
    ax.text(0.5, 0.5, "no delivery", transform=ax.transAxes, ha="center", va="center", color=_MUTED, fontsize=16)


def _log_ticks(axis, words: Callable[[float], str], *, most: int | None = None) -> None:
    """Label a log axis at 1, 2 and 5 of each decade; with `most`, at that many whole decades or fewer."""
    low, high = axis.get_view_interval()
    decades = most is not None and high / low >= 100
    axis.set_major_locator(LogLocator(subs=(1,), numticks=most) if decades else LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))
    axis.set_minor_locator(NullLocator())


def _label_ends(ax: Axes, ends: list[tuple[float, float, Transport]]) -> None:
    """Write each row's label to the right of its last point, moved apart where they would touch."""
    ax.figure.draw_without_rendering()
    scale = 72 / ax.figure.dpi
    wished = [ax.transData.transform((x, y))[1] * scale for x, y, _ in ends]
    places = _apart(wished, 17.0, lowest=ax.bbox.y0 * scale)
    for (x, y, row), wish, place in zip(ends, wished, places, strict=True):
        ax.annotate(
            row.label,
            (x, y),
            xytext=(10, place - wish),
            textcoords="offset points",
            va="center",
            color=_text_colour(row.colour),
            annotation_clip=False,
        )


def _apart(places: Sequence[float], gap: float, lowest: float) -> list[float]:
    """Return the places moved as little as needed so that neighbours are `gap` apart and none lies below `lowest`."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for _ in range(100):
        for lower, upper in itertools.pairwise(order):
            lacking = max(0.0, gap - (moved[upper] - moved[lower]))
            moved[lower] -= lacking / 2
            moved[upper] += lacking / 2
    floor = lowest
    for i in order:
        moved[i] = max(moved[i], floor)
        floor = moved[i] + gap
    return moved


def _label_curves(ax: Axes, curves: list[tuple[Measurement, tuple[np.ndarray, np.ndarray]]]) -> None:
    """Write each distribution's label to the right of its neighbours, at a height of its own, with a leader to it."""
    groups: list[list] = []
    for m, curve in sorted(curves, key=lambda item: item[0].latency_percentile_s(50)):
        median = m.latency_percentile_s(50)
        if groups and median < 8 * groups[-1][0][0].latency_percentile_s(50):
            groups[-1].append((m, curve))
        else:
            groups.append([(m, curve)])
    for group in groups:
        for place, (m, (xs, ys)) in enumerate(reversed(group)):
            level = 0.5 + 0.12 * (len(group) - 1) / 2 - 0.12 * place
            at = xs[min(np.searchsorted(ys, level), len(xs) - 1)]
            right = max(float(x[min(np.searchsorted(y, level + 0.05), len(x) - 1)]) for _, (x, y) in group)
            ax.annotate(
                m.label,
                (at, level),
                xytext=(right * 1.25, level),
                textcoords="data",
                va="center",
                color=_text_colour(_row(m).colour),
                arrowprops={"arrowstyle": "-", "color": _row(m).colour, "lw": 1, "shrinkA": 0, "shrinkB": 0},
            )
            ax.plot([at], [level], ls="none", marker=_marker(_row(m)), ms=8, color=_row(m).colour)
