"""The figures of one comparison: several transports under one workload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine

from wsdemo import words
from wsdemo.plots import captions, ink, panels, quantities
from wsdemo.plots.figure import Figure, styled
from wsdemo.plots.quantities import Floats, Runs
from wsdemo.result import Measurement

if TYPE_CHECKING:  # older versions of matplotlib lack this name
    from matplotlib.typing import RcKeyType

_SLIDE: dict[RcKeyType, Any] = {"font.size": 14, "axes.labelsize": 14, "xtick.labelsize": 13.5, "ytick.labelsize": 13.5}
"""Larger print: the overview is wider than the others, so it is shown smaller."""


@styled()
def overview(comparison: Runs, client: int = 0) -> Figure:
    """Draw a comparison on one slide: one client's timeline, wasted share, latency and bytes per delivery.

    comparison: from `measure.compare`, or any measurements of one workload; client: whose timeline. A row a transport;
    shares in per cent with theory's as a dark bar, latency in seconds on a log axis, payload bytes per delivery.
    """
    runs = quantities.runs(comparison)
    shown_s = quantities.shown_s(runs[0], client, None)
    count = len(runs)
    canvas = Canvas(figsize=(10, 3.4 + 0.75 * count), layout=ConstrainedLayoutEngine(wspace=0.05, h_pad=0.08))
    heights = (1.5 + 0.36 * count, 1.5 + 0.4 * count)
    top, bottom = canvas.subfigures(2, 1, squeeze=False, height_ratios=heights).flat
    with matplotlib.rc_context(_SLIDE):
        panels.timeline(top.subplots(), runs, client, shown_s)
        wasted, latency, weight = bottom.subplots(1, 3, sharey=True)
        panels.wasted_bars(wasted, runs)
        panels.latency_rows(latency, runs)
        panels.byte_bars(weight, runs)
        ink.rows(wasted, runs)
        for ax in (latency, weight):
            ax.tick_params(axis="y", length=0)
    said = captions.overview(runs, client, shown_s)
    return Figure(canvas, said.alt, said.caption)


@styled()
def timeline(comparison: Runs, client: int = 0, until_s: float | None = None) -> Figure:
    """Draw one client's run, a row a transport, against time in seconds after the start.

    Each poll is a tick, hollow if it was wasted and filled if it brought news; each push is a dot; updates are
    vertical lines, and a bar shows how long each update waited to be heard. client: which one, from 0; until_s: where
    to end (default: the whole run, or as much of it as shows 60 polls).
    """
    runs = quantities.runs(comparison)
    shown_s = quantities.shown_s(runs[0], client, until_s)
    canvas = Canvas(figsize=(8, max(2.6, 1.7 + 0.5 * len(runs))), layout="constrained")
    panels.timeline(canvas.subplots(), runs, client, shown_s)
    said = captions.timeline(runs, client, shown_s)
    return Figure(canvas, said.alt, said.caption)


@styled()
def latencies(comparison: Runs) -> Figure:
    """Draw how many of its deliveries each transport made within a given latency (seconds, log axis).

    comparison: from `measure.compare`. Curves are empirical distributions of `Measurement.latency_s`, one sample a
    delivery; with more than 400 samples 400 of them are drawn. The grey line marks `T/2`.
    """
    runs = quantities.runs(comparison)
    heard = quantities.heard(runs)
    half_s = runs[0].interval_s / 2
    canvas = Canvas(figsize=ink.SIZE_IN, layout="constrained")
    ax = canvas.subplots()
    _latency_axes(ax, half_s)
    curves = [(m, quantities.ecdf(m.latency_s)) for m in heard]
    for m, (xs, ys) in curves:
        row = quantities.row(m)
        ax.plot(xs, ys, color=row.colour, lw=2.6, ls=ink.dash(row), drawstyle="steps-post", gid=f"{row.name}:ecdf")
    lowest = min([half_s, *(max(1e-5, m.latency_percentile_s(2)) for m in heard)])
    highest = max([half_s, *(float(m.latency_s.max()) for m in heard)])
    ax.set_xlim(lowest / 2, highest * 12)
    ink.log_ticks(ax.xaxis, words.duration, most=9)
    for group in _neighbours(curves):
        _label_curves(ax, group)
    if not heard:
        ink.instead(ax, captions.NO_DELIVERY)
    said = captions.latencies(runs, half_s)
    return Figure(canvas, said.alt, said.caption)


@styled()
def bytes_per_delivery(comparison: Runs) -> Figure:
    """Draw the bytes that each transport moved per delivery, to and from the clients, as stacked bars.

    comparison: from `measure.compare`. TCP payload at the server's sockets, opening and closing included.
    """
    runs = quantities.runs(comparison)
    canvas = Canvas(figsize=(8, max(2.4, 1.5 + 0.62 * len(runs))), layout="constrained")
    ax = canvas.subplots()
    panels.split_byte_bars(ax, runs)
    ink.rows(ax, runs)
    said = captions.bytes_per_delivery(runs)
    return Figure(canvas, said.alt, said.caption)


# --- steps of the latencies -------------------------------------------------------------------------------------------

_Curve = tuple[Measurement, tuple[Floats, Floats]]


def _latency_axes(ax: Axes, half_s: float) -> None:
    ax.set_xscale("log")
    ax.set_ylim(0, 1.0)
    ink.share_ticks(ax.yaxis)
    ink.heading(ax, captions.HEARD_WITHIN)
    ax.set_xlabel(captions.LATENCY_LOG)
    ax.axvline(half_s, color=ink.THEORY, lw=1.3, gid="half")
    foot = ("data", "axes fraction")
    ink.note(ax, captions.equals("T/2", half_s), (half_s, 0), (7, 7), xycoords=foot, color=ink.THEORY)


def _neighbours(curves: Sequence[_Curve]) -> list[list[_Curve]]:
    """Return the curves from fast to slow, in groups that lie so close that their labels share a column."""
    groups: list[list[_Curve]] = []
    for m, curve in sorted(curves, key=lambda item: item[0].latency_percentile_s(50)):
        median = m.latency_percentile_s(50)
        if groups and median < 8 * groups[-1][0][0].latency_percentile_s(50):
            groups[-1].append((m, curve))
        else:
            groups.append([(m, curve)])
    return groups


def _label_curves(ax: Axes, group: Sequence[_Curve]) -> None:
    """Write each distribution's label to the right of its neighbours, at a height of its own, with a leader to it."""
    for place, (m, (xs, ys)) in enumerate(reversed(group)):
        row = quantities.row(m)
        level = 0.5 + 0.12 * (len(group) - 1) / 2 - 0.12 * place
        at = _reaches(xs, ys, level)
        right = max(_reaches(x, y, level + 0.05) for _, (x, y) in group)
        ax.annotate(
            m.label,
            (at, level),
            xytext=(right * 1.25, level),
            textcoords="data",
            va="center",
            color=ink.text_colour(row.colour),
            arrowprops={"arrowstyle": "-", "color": row.colour, "lw": 1, "shrinkA": 0, "shrinkB": 0},
        )
        ax.plot([at], [level], ls="none", marker=ink.marker(row), ms=8, color=row.colour)


def _reaches(xs: Floats, ys: Floats, level: float) -> float:
    """Return where a distribution first reaches a level, or its end."""
    return float(xs[min(int(np.searchsorted(ys, level)), len(xs) - 1)])
