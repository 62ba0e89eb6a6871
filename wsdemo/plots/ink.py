"""Tools of drawing that every figure shares: colours and shapes, points and notes, ticks, keys, labels kept apart.

Orange is pull and blue is push in every figure, and shape, dash and label say the same as the colour. Markers are
measurements, thin grey lines are theory. What is written comes in as a text.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from wsdemo import words
from wsdemo.plots.figure import INK
from wsdemo.result import Measurement
from wsdemo.transports import TRANSPORTS, Transport

PULL, PUSH = "#D55E00", "#0072B2"
THEORY, MUTED = "#555555", "#666666"
SIZE_IN = (8.0, 4.5)
_CONTRAST = 4.5
"""Of text with what lies behind it, at the least (WCAG 2.2, 1.4.3)."""
_MARKERS = {"pull": "sDp", "push": "o^vP"}
_DASHES: tuple[str | tuple[float, tuple[float, ...]], ...] = ("-", (0, (5, 1.5)), (0, (2, 1)), (0, (6, 1.5, 1.5, 1.5)))


# --- colours and shapes -----------------------------------------------------------------------------------------------


def _rank(row: Transport) -> int:
    return [other.name for other in TRANSPORTS.values() if other.family == row.family].index(row.name)


def marker(row: Transport) -> str:
    shapes = _MARKERS[row.family]
    return shapes[_rank(row) % len(shapes)]


def dash(row: Transport) -> str | tuple[float, tuple[float, ...]]:
    return _DASHES[_rank(row) % len(_DASHES)]


def _luminance(colour: str) -> float:
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def _contrast_on_white(colour: str) -> float:
    return 1.05 / (_luminance(colour) + 0.05)


def text_colour(colour: str) -> str:
    """Return the colour, darkened until text in it can be read on white."""
    red, green, blue = to_rgb(colour)
    while _contrast_on_white(to_hex((red, green, blue))) < _CONTRAST:
        red, green, blue = red * 0.95, green * 0.95, blue * 0.95
    return to_hex((red, green, blue))


def on(colour: str) -> str:
    """Return black or white, whichever reads better on the colour."""
    return "white" if _contrast_on_white(colour) > (_luminance(colour) + 0.05) / 0.05 else INK


def lighter(colour: str) -> str:
    red, green, blue = (1 - 0.28 * (1 - part) for part in to_rgb(colour))
    return to_hex((red, green, blue))


# --- points, lines and notes ------------------------------------------------------------------------------------------


def points(ax: Axes, row: Transport, xs: ArrayLike, ys: ArrayLike, **look: Any) -> None:
    """Draw what was measured of a transport, in its shape and colour."""
    usual: dict[str, Any] = {
        "ls": "none",
        "marker": marker(row),
        "color": row.colour,
        "gid": f"{row.name}:measured",
        "zorder": 3,
    }
    ax.plot(xs, ys, **(usual | look))


def theory_line(ax: Axes, xs: ArrayLike, ys: ArrayLike, gid: str = "theory") -> None:
    ax.plot(xs, ys, color=THEORY, lw=1.3, gid=gid, zorder=2)


def note(ax: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], **look: Any) -> None:
    """Write a text beside the point `at`, `offset` points of print to the right of it and above it."""
    ax.annotate(text, at, xytext=offset, textcoords="offset points", **look)


def heading(ax: Axes, text: str) -> None:
    """Name the vertical axis (or the panel) above it, level, where it can be read."""
    ax.set_title(text, loc="left", fontsize=matplotlib.rcParams["axes.labelsize"], pad=8)


def instead(ax: Axes, text: str) -> None:
    """Say in the middle of an empty panel why it is empty."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=MUTED, fontsize=16)


# --- axes and keys ----------------------------------------------------------------------------------------------------


def label_ticks(axis: Axis, text: Callable[[float], str]) -> None:
    """Write each tick of an axis as `text` says its number."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))


def log_ticks(axis: Axis, text: Callable[[float], str], *, most: int | None = None) -> None:
    """Label a log axis at 1, 2 and 5 of each decade; with `most`, at that many whole decades or fewer."""
    low, high = axis.get_view_interval()
    decades = most is not None and high / low >= 100
    axis.set_major_locator(LogLocator(subs=(1,), numticks=most) if decades else LogLocator(subs=(1, 2, 5)))
    label_ticks(axis, text)
    axis.set_minor_locator(NullLocator())


def share_ticks(axis: Axis) -> None:
    """Label an axis of shares in whole per cent."""
    label_ticks(axis, lambda value: words.share(value, 0))


def count_ticks(axis: Axis, most: int, **steps: Any) -> None:
    """Label an axis of counts, at whole numbers."""
    axis.set_major_locator(MaxNLocator(most, integer=True, **steps))
    label_ticks(axis, words.count)


def rows(ax: Axes, runs: Sequence[Measurement]) -> None:
    """Name the rows of a panel, the first on top, each in its transport's colour."""
    ax.set_yticks(range(len(runs) - 1, -1, -1), [m.label for m in runs])
    for tick, m in zip(ax.get_yticklabels(), runs, strict=True):
        tick.set_color(text_colour(TRANSPORTS[m.transport].colour))
        tick.set_fontsize(matplotlib.rcParams["font.size"])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.6, len(runs) - 0.4)


def handle(label: str, **look: Any) -> Line2D:
    """Return a mark for the key; without a line, unless `look` has one."""
    return Line2D([], [], label=label, **({"ls": "none"} | look))


def transport_handle(row: Transport, label: str) -> Line2D:
    return handle(label, marker=marker(row), ms=9, color=row.colour)


def theory_handle(label: str) -> Line2D:
    return handle(label, ls="-", color=THEORY, lw=1.3)


def key(ax: Axes, handles: Sequence[Line2D], loc: Literal["lower left", "upper left"]) -> None:
    ax.legend(handles=handles, loc=loc, frameon=False, handletextpad=0.6, borderaxespad=0.3)


# --- labels kept apart ------------------------------------------------------------------------------------------------


def label_ends(canvas: Canvas, ax: Axes, ends: Sequence[tuple[float, float, Transport]]) -> None:
    """Write each row's label to the right of its last point, moved apart where they would touch."""
    canvas.draw_without_rendering()
    scale = 72 / canvas.dpi
    wished = [float(ax.transData.transform((x, y))[1]) * scale for x, y, _ in ends]
    places = apart(wished, 17.0, lowest=ax.bbox.y0 * scale)
    for (x, y, row), wish, place in zip(ends, wished, places, strict=True):
        note(
            ax,
            row.label,
            (x, y),
            (10, place - wish),
            va="center",
            color=text_colour(row.colour),
            annotation_clip=False,
        )


def apart(places: Sequence[float], gap: float, lowest: float) -> list[float]:
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
