"""The figures of a bad line: how readers come back after a restart, what it costs to notice that a line is dead, and
how long readers are without news while servers die.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from wsdemo import theory, words
from wsdemo.plots import captions_line as captions
from wsdemo.plots import ink, quantities
from wsdemo.plots.figure import INK, Figure, styled

# --- readers who come back --------------------------------------------------------------------------------------------


@styled()
def storm(
    returns: Mapping[str, Sequence[float]],
    expected: Mapping[str, Sequence[float]] | None = None,
    *,
    step_s: float = 0.1,
) -> Figure:
    """Draw how many connections a second come after a restart, one panel a rule, on the same axes.

    returns: for each rule, when each reader came back, in seconds after the server was killed; expected: for each
    rule, connections a second in each step from 0 on, as theory has them in the mean; step_s: the width of a step.
    Raises ValueError if there is no rule, or times below 0.
    """
    last_s = quantities.last_return(returns)
    edges = np.arange(0, last_s + 2 * step_s, step_s)
    counts = {rule: np.histogram(times, edges)[0] for rule, times in returns.items()}
    canvas = Canvas(figsize=(ink.SIZE_IN[0], 1.0 + 1.75 * len(returns)), layout="constrained")
    axes = canvas.subplots(len(returns), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for ax, (rule, found) in zip(axes, counts.items(), strict=True):
        _draw_returns(ax, rule, found, edges, (expected or {}).get(rule))
    if expected:
        marks = [
            ink.handle(captions.MEASURED, marker="s", ms=9, color=ink.PUSH),
            ink.handle(captions.EXPECTED, ls="-", color=INK, lw=1.4),
        ]
        axes[0].legend(handles=marks, loc="upper right", frameon=False)
    axes[-1].set_xlabel(captions.AFTER_BREAK)
    readers = max(map(len, returns.values()))
    said = captions.storm({rule: int(found.max()) for rule, found in counts.items()}, readers, step_s)
    return Figure(canvas, said.alt, said.caption)


def _draw_returns(ax: Axes, rule: str, found: Any, edges: Any, expected: Sequence[float] | None) -> None:
    step_s = float(edges[1] - edges[0])
    readers = int(found.sum())
    ax.stairs(found / step_s, edges, fill=True, color=ink.PUSH, gid=f"{rule}:returns")
    if expected is not None:
        steps = np.array(expected[: len(edges) - 1], dtype=float)
        ax.stairs(steps, edges[: len(steps) + 1], color=INK, lw=1.4, gid=f"{rule}:expected")
    ax.set_xlim(0, float(edges[-1]))
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ink.label_ticks(ax.yaxis, words.number)
    ink.label_ticks(ax.xaxis, words.number)
    ink.heading(ax, captions.storm_heading(rule, readers))
    if not readers:
        ink.instead(ax, captions.NOBODY)


# --- a line that is dead ----------------------------------------------------------------------------------------------


@styled()
def heartbeat_cost(
    measured: Sequence[tuple[float, float]],
    *,
    beat_bytes: float,
    poll_bytes: float,
    best_period_s: float,
    best_interval_s: float,
    answer_s: float,
) -> Figure:
    """Draw what it costs to know: heartbeats that find a dead line out, beside polls that find an update.

    measured: for each period that was run, the mean time until the dead line was noticed in seconds, and the bytes a
    second; beat_bytes, poll_bytes: what one sign of life and one poll cost on the wire, with their answers;
    best_period_s, best_interval_s: where each costs least; answer_s: how long a sign of life waits for its answer.
    Lines are theory: `beat / P` against `P / 2 + answer`, and `poll / T` against `T / 2`.
    """
    canvas = Canvas(figsize=ink.SIZE_IN, layout="constrained")
    ax = canvas.subplots()
    _draw_price(ax, captions.POLLING, poll_bytes, best_interval_s, 0.0, ink.PULL)
    _draw_price(ax, captions.HEARTBEAT, beat_bytes, best_period_s, answer_s, ink.PUSH)
    known_s, bytes_per_s = [one[0] for one in measured], [one[1] for one in measured]
    look: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 9, "color": ink.PUSH, "mec": "white"}
    ax.plot(known_s, bytes_per_s, gid="measured", zorder=3, label=captions.MEASURED, **look)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ink.log_ticks(ax.xaxis, words.duration, most=8)
    ink.log_ticks(ax.yaxis, words.number, most=8)
    ax.set_xlabel(captions.UNTIL_NOTICED)
    ink.heading(ax, captions.BYTES_PER_S)
    ax.legend(loc="upper right", frameon=False)
    said = captions.heartbeat_cost(measured, best_period_s, best_interval_s, answer_s)
    return Figure(canvas, said.alt, said.caption)


def _draw_price(ax: Axes, name: str, price: float, best_s: float, answer_s: float, colour: str) -> None:
    """Draw what it costs to know by one way, and its point of least cost."""
    periods = np.geomspace(best_s / 200, best_s * 10, 200)
    known = [theory.latency_mean(float(period_s), answer_s) for period_s in periods]
    ax.plot(known, price / periods, color=colour, lw=1.6, gid=f"{name}:theory", label=name)
    at = (theory.latency_mean(best_s, answer_s), price / best_s)
    ax.plot(*at, ls="none", marker="d", ms=13, color=colour, mec="white", gid=f"{name}:best", zorder=4)
    if colour == ink.PUSH:
        offset, horizontal, vertical = (-10.0, -8.0), "right", "top"
    else:
        offset, horizontal, vertical = (10.0, 6.0), "left", "bottom"
    ink.note(ax, captions.best(best_s), at, offset, ha=horizontal, va=vertical, color=ink.text_colour(colour))


# --- servers that die -------------------------------------------------------------------------------------------------


_LINES = ("-", "--", ":", "-.")


@styled()
def silences(received: Sequence[Sequence[float]], struck: Mapping[str, Sequence[float]]) -> Figure:
    """Draw a row of points for each reader, one where an update reached it: what is blank is silence.

    received: for each reader, when it heard each update, in seconds of one clock; struck: for each kind of thing that
    was done, when, by the same clock. Raises ValueError if nobody has heard two updates.
    """
    longest_s = quantities.longest_silence(received)
    canvas = Canvas(figsize=ink.SIZE_IN, layout="constrained")
    ax = canvas.subplots()
    rows = [[row] * len(moments) for row, moments in enumerate(received, 1)]
    ax.plot(np.concatenate(received), np.concatenate(rows), ls="none", marker=".", ms=2, color=ink.PUSH, gid="heard")
    looks: dict[str, Any] = {
        what: {"ls": style, "color": INK, "lw": 1.2}
        for what, style in zip(struck, itertools.cycle(_LINES), strict=False)
    }
    for what, look in looks.items():
        for at_s in struck[what]:
            ax.axvline(at_s, gid=f"{what}:struck", **look)
    if marks := [ink.handle(captions.struck(what), **look) for what, look in looks.items()]:
        canvas.legend(handles=marks, loc="outside upper right", ncols=len(marks), frameon=False)
    ax.set_ylim(0, len(received) + 1)
    ink.label_ticks(ax.xaxis, words.number)
    ink.label_ticks(ax.yaxis, words.number)
    ax.set_xlabel(captions.SECONDS)
    ink.heading(ax, captions.READERS)
    said = captions.silences(len(received), sum(map(len, received)), {k: len(v) for k, v in struck.items()}, longest_s)
    return Figure(canvas, said.alt, said.caption)
