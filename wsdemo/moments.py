"""Moments: how those of a bursty source are drawn, and how those of a table are read. Known to `updates` alone."""

from __future__ import annotations

import csv
import heapq
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wsdemo.catalogue import Moment


def in_bursts(chance: random.Random, rate_per_s: float, burst: float, spread_s: float) -> Iterator[float]:
    """Yield moments in seconds, ascending, of a process of clusters.

    First shocks are a Poisson process of `rate_per_s / burst`. Each has a Poisson number of aftershocks with mean
    `burst - 1`, each of which follows after a wait of its own, exponential with mean `spread_s`. Bursts may overlap.
    Before the first shock there is nothing, so a run begins without the end of an older burst.
    Source: J. Neyman and E. L. Scott, "Statistical approach to problems of cosmology", J. R. Stat. Soc. B 20, 1958.
    """
    first_s, due_s = 0.0, list[float]()
    while True:
        first_s += chance.expovariate(rate_per_s / burst)
        while due_s and due_s[0] <= first_s:
            yield heapq.heappop(due_s)
        heapq.heappush(due_s, first_s)
        for _ in range(_poisson_number(chance, burst - 1)):
            heapq.heappush(due_s, first_s + chance.expovariate(1 / spread_s))


def _poisson_number(chance: random.Random, mean: float) -> int:
    """Return how many gaps, exponential with mean 1, end within `mean`: a number with a Poisson distribution."""
    number, passed = 0, chance.expovariate(1.0)
    while passed < mean:
        number, passed = number + 1, passed + chance.expovariate(1.0)
    return number


def read_table(path: str | Path) -> tuple[Moment, ...]:
    """Return the moments of a CSV file as `updates.from_file` describes it, and raise as it does."""
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        try:
            rows = tuple(_rows(csv.DictReader(file, strict=True)))
        except (csv.Error, UnicodeDecodeError, ValueError) as error:
            raise ValueError(f"{path} is no table of moments: {error}") from error
    if not rows:
        raise ValueError(f"{path} has no moments: below the heading at_s each line is one update")
    return rows


def _rows(table: csv.DictReader[str]) -> Iterator[Moment]:
    """Yield the moments of a table. Raises ValueError, naming the line, where one is none."""
    if "at_s" not in (table.fieldnames or ()):
        raise ValueError(f"its columns are {', '.join(table.fieldnames or ['(none)'])}, and none of them is at_s")
    before_s = 0.0
    for row in table:
        if None in row or None in row.values():
            raise ValueError(f"line {table.line_num} does not have as many fields as the heading")
        at_s = _value(row.pop("at_s"))
        if not is_number(at_s) or at_s < before_s:
            raise ValueError(
                f"line {table.line_num}: at_s must be seconds after the start, in ascending order, not {at_s!r}"
            )
        before_s = float(at_s)
        yield before_s, {name: _value(text) for name, text in row.items()}


def _value(text: str) -> Any:
    """Return what a field of a table says: a number if it is one in JSON, otherwise its text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if is_number(value) else text


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
