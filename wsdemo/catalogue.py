"""The running example: one real week of earthquakes, as the catalogue has them. Knows no other module.

Its times are those at which the ground shook. Whoever read the Survey's file heard later, by what it took to measure.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

Data = dict[str, Any]
"""What an update carries, ready for JSON."""
Moment = tuple[float, Data]
"""Seconds after some start, and what happened then."""

WEEK_START = "2018-01-31T01:49:59Z"
"""The moment at which the catalogued week begins (see data/SOURCES.md)."""


@cache
def catalogue() -> tuple[Moment, ...]:
    """Return the week's events as `(seconds after WEEK_START, data)`, oldest first.

    data has "time" (UTC, ISO 8601), "magnitude" (negative for some; None where a catalogue gives none, as this week's
    never does), "longitude" and "latitude" (degrees), "depth_km", "place" and "id".
    """
    start = datetime.fromisoformat(WEEK_START)
    return tuple(
        (
            (datetime.fromisoformat(row["time"]) - start).total_seconds(),
            {
                "time": row["time"],
                "magnitude": float(row["magnitude"]) if row["magnitude"] else None,
                "longitude": float(row["longitude"]),
                "latitude": float(row["latitude"]),
                "depth_km": float(row["depth_km"]),
                "place": row["place"],
                "id": row["id"],
            },
        )
        for row in _rows()
    )


def kinds() -> Counter[str]:
    """Return what the catalogue calls the week's events ("earthquake", "explosion" …), and how often."""
    return Counter(row["type"] for row in _rows())


def _rows() -> Iterator[dict[str, str]]:
    text = (resources.files("wsdemo") / "data" / "earthquakes.csv").read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines())


@cache
def week_s() -> float:
    """Return the length of the replayed week in seconds: from its first event to one mean gap after its last."""
    times = [at_s for at_s, _ in catalogue()]
    return times[-1] + (times[-1] - times[0]) / (len(times) - 1)
