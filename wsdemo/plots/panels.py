"""The panels of a comparison, each drawn into axes that it is given: a row a transport, the first on top."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from wsdemo import words
from wsdemo.plots import captions, ink, quantities
from wsdemo.plots.figure import INK
from wsdemo.result import Heard, Measurement, Poll
from wsdemo.transports import Transport

_TICK: dict[str, Any] = {
    "ls": "none",
    "marker": [(-0.3, -1), (0.3, -1), (0.3, 1), (-0.3, 1), (-0.3, -1)],
    "ms": 17,
    "mew": 1.3,
    "zorder": 3,
}
_CROSS: dict[str, Any] = {"ls": "none", "marker": "x", "ms": 9, "mew": 1.8, "color": ink.MUTED}
_UPDATE: dict[str, Any] = {"ls": "none", "marker": "v", "ms": 7, "color": "#777777"}
_BAR: dict[str, Any] = {"color": INK, "lw": 2.2, "solid_capstyle": "butt"}
"""The dark bar across a row: theory's share, the median."""


def _stacked(runs: Sequence[Measurement]) -> Iterator[tuple[int, Measurement, Transport]]:
    """Yield each run with the height of its row."""
    for y, m in zip(range(len(runs) - 1, -1, -1), runs, strict=True):
        yield y, m, quantities.row(m)


# --- the timeline -----------------------------------------------------------------------------------------------------


def timeline(ax: Axes, runs: Sequence[Measurement], client: int, shown_s: float) -> None:
    """Draw one client's run up to `shown_s` seconds after the start."""
    first = runs[0]
    whole = shown_s >= first.duration_s
    edge_s = shown_s + (first.interval_s if whole else 0)
    _updates(ax, [at_s for at_s in first.at_s if at_s < shown_s], len(runs))
    if whole:
        ax.axvspan(first.duration_s, edge_s, color="#F3F3F3", lw=0, gid="after", zorder=0)
    lost = False
    for y, m, row in _stacked(runs):
        heard = [h for h in m.heard if h.client == client and h.received_s <= edge_s]
        polls = [p for p in m.polls if p.client == client and p.at_s < shown_s]
        _waits(ax, y, row, heard)
        _polls(ax, y, row, polls)
        if row.family == "push":
            at = [h.received_s for h in heard]
            _ticks(ax, y, row, "pushes", at, marker="o", ms=9, mec="white", mew=0.8, zorder=4)
            continue
        late = sorted({h.received_s for h in heard if h.received_s >= first.duration_s and whole})
        _ticks(ax, y, row, "after", late, alpha=0.45)
        lost = lost or any(p.wasted is None for p in polls)
    ink.rows(ax, runs)
    ax.set_xlim(-0.01 * edge_s, edge_s)
    ax.set_xlabel(captions.SECONDS_AND_AFTER if whole else captions.SECONDS)
    ax.grid(False)
    _timeline_key(ax, {quantities.row(m).family for m in runs}, lost)


def _updates(ax: Axes, at_s: Sequence[float], rows: int) -> None:
    ax.vlines(at_s, -0.6, rows - 0.4, color="#A8A8A8", lw=1.0, gid="updates", zorder=1)
    if at_s:  # an empty line that is not clipped would upset the layout
        ax.plot(at_s, [rows - 0.4] * len(at_s), clip_on=False, **_UPDATE)


def _waits(ax: Axes, y: float, row: Transport, heard: Sequence[Heard]) -> None:
    published = [h.received_s - h.latency_s for h in heard]
    received = [h.received_s for h in heard]
    ax.hlines(
        [y] * len(heard), published, received, color=row.colour, alpha=0.3, lw=7, gid=f"{row.name}:waits", zorder=2
    )


def _polls(ax: Axes, y: float, row: Transport, polls: Sequence[Poll]) -> None:
    _ticks(ax, y, row, "wasted", [p.at_s for p in polls if p.wasted], mfc="white")
    if row.family == "pull":
        _ticks(ax, y, row, "news", [p.at_s for p in polls if p.wasted is False])
        _ticks(ax, y, row, "lost", [p.at_s for p in polls if p.wasted is None], **_CROSS)


def _ticks(ax: Axes, y: float, row: Transport, name: str, at_s: Sequence[float], **look: Any) -> None:
    ax.plot(at_s, [y] * len(at_s), **(_TICK | {"color": row.colour, "gid": f"{row.name}:{name}"} | look))


def _timeline_key(ax: Axes, families: set[str], lost: bool) -> None:
    tick = _TICK | {"ms": 13, "color": ink.MUTED}
    keys = [ink.handle(captions.UPDATE, **_UPDATE)]
    if "pull" in families:
        keys += [ink.handle(captions.POLL_WASTED, **tick | {"mfc": "white"}), ink.handle(captions.POLL_NEWS, **tick)]
    if lost:
        keys.append(ink.handle(captions.NO_ANSWER, **_CROSS))
    if "push" in families:
        keys.append(ink.handle(captions.PUSH, marker="o", ms=9, color=ink.MUTED))
    keys.append(ink.handle(captions.WAITING, ls="-", color=ink.MUTED, alpha=0.35, lw=7))
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


# --- wasted requests --------------------------------------------------------------------------------------------------


def wasted_bars(ax: Axes, runs: Sequence[Measurement]) -> None:
    """Draw the wasted share of each run, with theory's as a dark bar."""
    for y, m, row in _stacked(runs):
        measured, predicted = m.wasted_fraction, m.predicted.wasted_fraction
        ax.barh(y, measured, height=0.5, color=row.colour, gid=f"{row.name}:wasted")
        ax.plot([predicted] * 2, [y - 0.4, y + 0.4], gid=f"{row.name}:theory", **_BAR)
        if max(measured, predicted) > 0.68:  # no room to the right of it
            at, offset, align, colour = min(measured, predicted), -7, "right", ink.on(row.colour)
        else:
            at, offset, align, colour = max(measured, predicted), 7, "left", INK
        ink.note(ax, words.share(measured), (at, y), (offset, 0), va="center", ha=align, color=colour)
    ax.set_xlim(0, 1.02)
    ax.set_xticks([0, 0.5, 1])
    ink.share_ticks(ax.xaxis)
    ax.grid(False, axis="y")
    ink.heading(ax, captions.WASTED_REQUESTS)


# --- latency ----------------------------------------------------------------------------------------------------------


def latency_rows(ax: Axes, runs: Sequence[Measurement]) -> None:
    """Draw each run's latency as 60 dots, from the 1st to the 99th percentile, with the median as a dark bar."""
    ax.set_xscale("log")
    for y, m, row in _stacked(runs):
        if not m.deliveries:
            at = ax.get_yaxis_transform()
            ax.text(0.03, y, captions.NO_DELIVERY, transform=at, va="center", color=ink.MUTED)
            continue
        dots = np.percentile(m.latency_s, np.linspace(1, 99, 60))
        spread = 0.16 * np.sin(np.arange(60) * 2.4)
        look: dict[str, Any] = {"marker": "o", "ms": 4, "mew": 0, "alpha": 0.5, "color": row.colour}
        ax.plot(np.maximum(dots, 1e-6), y + spread, ls="none", gid=f"{row.name}:latency", **look)
        median = m.latency_percentile_s(50)
        ax.plot([median] * 2, [y - 0.3, y + 0.3], gid=f"{row.name}:median", **_BAR)
        ax.annotate(words.duration(median), (median, y + 0.31), ha="center", va="bottom")
    ax.set_xlim(*_latency_span(quantities.heard(runs)))
    ink.log_ticks(ax.xaxis, words.duration, most=3)
    ax.grid(False, axis="y")
    ink.heading(ax, captions.LATENCY_ROWS)


def _latency_span(heard: Sequence[Measurement]) -> tuple[float, float]:
    """Return an axis that holds all dots and spans two decades or more."""
    low = min((m.latency_percentile_s(1) for m in heard), default=0.003)
    high = max((m.latency_percentile_s(99) for m in heard), default=0.3)
    low, high = max(low, 1e-6) / 3, max(high, 1e-6) * 3
    narrow = max(1.0, 100 / (high / low)) ** 0.5
    return low / narrow, high * narrow * 1.0001


# --- bytes ------------------------------------------------------------------------------------------------------------


def byte_bars(ax: Axes, runs: Sequence[Measurement]) -> None:
    """Draw each run's bytes per delivery, in one bar."""
    widest = _widest(runs)
    for y, m, row in _stacked(runs):
        if _byte_label(ax, y, m, widest):
            ax.barh(y, sum(_bytes(m)), height=0.5, color=row.colour, gid=f"{row.name}:bytes")
    _byte_axis(ax, widest * 1.4, ticks=3)
    ink.heading(ax, captions.BYTES)


def split_byte_bars(ax: Axes, runs: Sequence[Measurement]) -> None:
    """Draw each run's bytes per delivery to and from the clients; the first bar with room says which is which."""
    widest = _widest(runs)
    named = False
    for y, m, row in _stacked(runs):
        if not _byte_label(ax, y, m, widest):
            continue
        to, back = _bytes(m)
        look: dict[str, Any] = {"color": ink.lighter(row.colour), "edgecolor": row.colour, "lw": 1.2}
        ax.barh(y, to, height=0.56, color=row.colour, gid=f"{row.name}:to")
        ax.barh(y, back, left=to, height=0.56, gid=f"{row.name}:from", **look)
        if not named and min(to, back) > 0.2 * widest:
            named = True
            ax.annotate(captions.TO_CLIENTS, (to / 2, y), ha="center", va="center", color=ink.on(row.colour))
            ax.annotate(captions.FROM_CLIENTS, (to + back / 2, y), ha="center", va="center")
    _byte_axis(ax, widest * 1.14, ticks=6)
    ax.set_xlabel(captions.BYTES if named else captions.BYTES_BY_SHADE)


def _widest(runs: Sequence[Measurement]) -> float:
    return max((m.bytes_per_delivery for m in quantities.heard(runs)), default=1.0)


def _bytes(m: Measurement) -> tuple[float, float]:
    return m.bytes_sent / m.deliveries, m.bytes_received / m.deliveries


def _byte_label(ax: Axes, y: float, m: Measurement, widest: float) -> bool:
    """Write a row's number, or that there is none; return whether there is."""
    if not m.deliveries:
        ax.text(0.02 * widest, y, captions.NO_DELIVERY, va="center", color=ink.MUTED)
        return False
    ink.note(ax, words.count(m.bytes_per_delivery), (m.bytes_per_delivery, y), (7, 0), va="center")
    return True


def _byte_axis(ax: Axes, end: float, ticks: int) -> None:
    ax.set_xlim(0, end)
    ink.count_ticks(ax.xaxis, ticks)
    ax.grid(False, axis="y")
