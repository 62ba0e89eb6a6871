"""The map of the earthquakes."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure as Canvas

from wsdemo.plots import captions, ink
from wsdemo.plots.figure import INK, Figure, styled
from wsdemo.plots.quantities import Floats
from wsdemo.updates import Update, catalogue

Event = Mapping[str, Any]


@dataclass(frozen=True)
class _Depth:
    low_km: float
    high_km: float
    colour: str


_DEPTHS = (_Depth(0.0, 70.0, "#41A85F"), _Depth(70.0, 300.0, "#1F6F8B"), _Depth(300.0, math.inf, "#471365"))
"""The classes of the U.S. Geological Survey: shallow, intermediate, deep; lighter to darker."""


@styled()
def earthquake_map(updates: Iterable[Update] | None = None) -> Figure:
    """Draw earthquakes on a map (equirectangular): dot area by magnitude, colour by depth in km.

    updates: from an earthquakes schedule (their `data` has longitude and latitude in degrees, magnitude or None,
    depth_km); default: the whole week. Sources: U.S. Geological Survey (events), Natural Earth (land).
    """
    events = [data for _, data in catalogue()] if updates is None else [update.data for update in updates]
    smallest = 4.0 if len(events) > 300 else 12.0
    by_depth = {depth: [e for e in events if _depth(e) is depth] for depth in _DEPTHS}
    canvas = Canvas(figsize=ink.SIZE_IN, layout="constrained")
    ax = canvas.subplots()
    ax.add_collection(PolyCollection(_land(), facecolors="#ECECE8", edgecolors="#B5B5B0", linewidths=0.6, gid="land"))
    for depth, shown in by_depth.items():
        _draw_events(ax, depth, shown, smallest)
    _empty_axes(ax, [e["latitude"] for e in events])
    _map_key(ax, smallest)
    said = captions.earthquake_map(events, [(d.low_km, d.high_km, len(shown)) for d, shown in by_depth.items()])
    return Figure(canvas, said.alt, said.caption)


def _draw_events(ax: Axes, depth: _Depth, events: Sequence[Event], smallest: float) -> None:
    """Draw the events of one depth, the largest first, so that none hides a smaller one."""
    shown = sorted(events, key=lambda e: -_area(e["magnitude"]))
    areas = [max(smallest, _area(e["magnitude"])) for e in shown]
    ax.scatter(
        [e["longitude"] for e in shown],
        [e["latitude"] for e in shown],
        s=areas,
        color=depth.colour,
        edgecolors="white",
        linewidths=[min(0.7, 0.12 * math.sqrt(area)) for area in areas],
        gid=f"depth:{depth.low_km:.0f}",
        zorder=3,
    )


def _empty_axes(ax: Axes, latitudes: Sequence[float]) -> None:
    ax.set_xlim(-180, 180)
    ax.set_ylim(max(-90, min([-60, *(y - 4 for y in latitudes)])), min(90, max([84, *(y + 4 for y in latitudes)])))
    ax.set_aspect("equal")
    ax.grid(False)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def _map_key(ax: Axes, smallest: float) -> None:
    keys = []
    for depth, size in zip(_DEPTHS, (2, 4, 6), strict=True):
        said = captions.depth(depth.low_km, depth.high_km)
        across = math.sqrt(max(smallest, _area(size)))
        keys.append(ink.handle(said, marker="o", ms=10, color=depth.colour))
        keys.append(ink.handle(captions.magnitude(size), marker="o", ms=across, mfc="none", mec=INK))
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


@functools.cache
def _land() -> list[Floats]:
    """Return the outlines of the land; one that crosses the date line is drawn on both sides of the map."""
    text = (resources.files("wsdemo") / "data" / "land.json").read_text(encoding="utf-8")
    outlines: list[Floats] = []
    for ring in (np.array(ring) for ring in json.loads(text)["rings"]):
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
    """Return a dot's area in square points: tenfold for two magnitudes, nothing where the catalogue gives none."""
    return 0.0 if magnitude is None else 0.3 * 10 ** (magnitude / 2)


def _depth(event: Event) -> _Depth:
    """Return an event's class; above sea level is shallow."""
    return next(d for d in reversed(_DEPTHS) if event["depth_km"] >= d.low_km or d is _DEPTHS[0])
