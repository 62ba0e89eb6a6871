"""Updates and schedules: the workload as data, known before the run. No I/O but reading the packaged earthquakes.

A *schedule* says when the source changes. Because all its moments are known beforehand, theory can predict each
number of a run *given the schedule*, and a test can check every count.
"""

from __future__ import annotations

import csv
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from importlib import resources

WEEK_START = "2018-01-31T01:49:59Z"
"""The moment at which the catalogued week of earthquakes begins (see data/SOURCES.md)."""

DEFAULT_SEED = 1


@dataclass(frozen=True, slots=True)
class Update:
    """One change of the source.

    seq: its number, 1, 2, 3 …; at_s: seconds after the start of the run; data: a small JSON-ready dict.
    """

    seq: int
    at_s: float
    data: dict


@dataclass(frozen=True)
class Schedule:
    """A recipe for updates; the same recipe always gives the same updates.

    kind: "every", "poisson" or "earthquakes"; rate_per_s: mean updates per second; period_s, speed, start_s: see
    the three functions that make schedules; seed: what chance was started with, None where nothing is random.
    """

    kind: str
    rate_per_s: float
    period_s: float | None = None
    speed: float | None = None
    start_s: float | None = None
    seed: int | None = None

    def updates(self, duration_s: float | None = None) -> Iterator[Update]:
        """Yield the updates with `at_s < duration_s`, in order of time; without a duration, for ever."""
        for seq, (at_s, data) in enumerate(_MOMENTS[self.kind](self), start=1):
            if duration_s is not None and at_s >= duration_s:
                return
            yield Update(seq, at_s, data)

    def times(self, duration_s: float) -> list[float]:
        """Return the update times before `duration_s`, in seconds after the start."""
        return [update.at_s for update in self.updates(duration_s)]

    def with_seed(self, seed: int) -> Schedule:
        """Return the same recipe with other luck.

        A Poisson schedule draws other gaps. A replay of the earthquakes starts at another moment of the week.
        A periodic schedule has no luck in it and stays as it is.
        """
        if self.kind == "poisson":
            return replace(self, seed=seed)
        if self.kind == "earthquakes":
            return replace(self, seed=seed, start_s=round(random.Random(seed).random() * week_s(), 3))
        return self

    def arguments(self) -> list[str]:
        """Return the command-line arguments that make this schedule again in another process."""
        pairs = {
            "--schedule": self.kind,
            "--rate": None if self.kind == "earthquakes" else repr(self.rate_per_s),
            "--speed": self.speed and repr(self.speed),
            "--start": self.start_s and repr(self.start_s),
            "--seed": self.seed,
        }
        return [str(word) for pair in pairs.items() if pair[1] is not None for word in pair]


def every(period_s: float) -> Schedule:
    """Return a schedule with one update every `period_s` seconds, the first after one period."""
    _positive(period_s=period_s)
    return Schedule("every", rate_per_s=1 / period_s, period_s=float(period_s))


def poisson(rate_per_s: float, seed: int = DEFAULT_SEED) -> Schedule:
    """Return a schedule whose gaps are exponential with mean `1 / rate_per_s`: changes that nobody can foresee."""
    _positive(rate_per_s=rate_per_s)
    return Schedule("poisson", rate_per_s=float(rate_per_s), seed=seed)


def earthquakes(speed: float = 240.0, start_s: float = 0.0) -> Schedule:
    """Return the real week of earthquakes, replayed `speed` times as fast from `start_s` seconds into the week.

    At speed 240 one second of the run is four minutes of the week. After its last event the week begins again.
    Source: U.S. Geological Survey, 1,707 events (data/SOURCES.md).
    """
    _positive(speed=speed)
    if not 0 <= start_s < week_s():
        raise ValueError(f"start_s must lie inside the week, between 0 and {week_s():.0f} s, not {start_s!r}")
    rate = len(catalogue()) / week_s() * speed
    return Schedule("earthquakes", rate_per_s=rate, speed=float(speed), start_s=float(start_s))


@cache
def catalogue() -> tuple[tuple[float, dict], ...]:
    """Return the week's events as `(seconds after WEEK_START, data)`, oldest first.

    data has "time" (UTC, ISO 8601), "magnitude" (None where the catalogue gives none), "longitude" and "latitude"
    (degrees), "depth_km", "place" and "id".
    """
    start = datetime.fromisoformat(WEEK_START)
    with (resources.files("wsdemo") / "data" / "earthquakes.csv").open(encoding="utf-8", newline="") as file:
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
            for row in csv.DictReader(file)
        )


@cache
def week_s() -> float:
    """Return the length of the replayed week in seconds: from its first event to one mean gap after its last."""
    times = [at_s for at_s, _ in catalogue()]
    return times[-1] + (times[-1] - times[0]) / (len(times) - 1)


def _moments_every(schedule: Schedule) -> Iterator[tuple[float, dict]]:
    # n * period, not a running sum: rounding errors must not add up.
    return ((n * schedule.period_s, {"n": n}) for n in itertools.count(1))


def _moments_poisson(schedule: Schedule) -> Iterator[tuple[float, dict]]:
    chance = random.Random(schedule.seed)
    at_s = 0.0
    for n in itertools.count(1):
        at_s += chance.expovariate(schedule.rate_per_s)
        yield at_s, {"n": n}


def _moments_earthquakes(schedule: Schedule) -> Iterator[tuple[float, dict]]:
    for week in itertools.count():
        for at_s, data in catalogue():
            moment_s = at_s + week * week_s() - schedule.start_s
            if moment_s >= 0:
                yield moment_s / schedule.speed, data


_MOMENTS = {"every": _moments_every, "poisson": _moments_poisson, "earthquakes": _moments_earthquakes}


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (isinstance(value, int | float) and 0 < value < float("inf")):
            raise ValueError(f"{name} must be a number above 0, not {value!r}")
