"""Updates and schedules: the workload as data, known before the run. No I/O but reading a table of moments.

A *schedule* says when the source changes. Because all its moments are known beforehand, theory can predict each
number of a run *given the schedule*, and a test can check every count.

Each kind of schedule is one class and one row of `SCHEDULES`. The command line's choices, options and help, and the
way from one process to another, follow from the class.
"""

from __future__ import annotations

import itertools
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from wsdemo.catalogue import WEEK_START as WEEK_START
from wsdemo.catalogue import Data as Data
from wsdemo.catalogue import Moment as Moment
from wsdemo.catalogue import catalogue as catalogue
from wsdemo.catalogue import week_s as week_s
from wsdemo.moments import in_bursts, is_number, read_table

DEFAULT_SEED = 1
DEFAULT_RATE_PER_S = 2.0
DEFAULT_SPEED = 240.0
DEFAULT_BURST = 10.0
DEFAULT_SPREAD_S = 0.2


@dataclass(frozen=True, slots=True)
class Update:
    """One change of the source.

    seq: its number, 1, 2, 3 …, with gaps where a source is filtered; at_s: seconds after the start of the run; data: a
    small JSON-ready dict.
    """

    seq: int
    at_s: float
    data: Data


@dataclass(frozen=True)
class Option:
    """An option of the command line that belongs to a schedule. name: such as "--rate"; type: of its value."""

    name: str
    type: type[float] | type[int] | type[str]
    metavar: str
    help: str

    @property
    def key(self) -> str:
        return self.name.removeprefix("--").replace("-", "_")


RATE = Option("--rate", float, "R", f"updates a second (default: {DEFAULT_RATE_PER_S:g})")
SPEED = Option("--speed", float, "S", f"seconds of the week a second (default: {DEFAULT_SPEED:g})")
START = Option("--start", float, "SECONDS", "where in the week to start (default: 0)")
SEED = Option("--seed", int, "K", "other luck: another draw of the gaps, another part of the week")
BURST = Option("--burst", float, "N", f"updates in a burst, on average (default: {DEFAULT_BURST:g})")
SPREAD = Option(
    "--spread", float, "SECONDS", f"from a burst's first to another, on average (default: {DEFAULT_SPREAD_S:g})"
)
FILE = Option("--file", str, "MOMENTS.csv", "a table with the column at_s (seconds after the start); others are data")


class Schedule(ABC):
    """A recipe for updates; the same recipe always gives the same updates.

    A kind of schedule is a frozen dataclass: its fields are the recipe, all of them ready for JSON. kind: its name;
    help: what it is, for the command line; options: what may be chosen there; ends: whether there is a last update, so
    that a feed can look at all of them beforehand.
    """

    kind: ClassVar[str]
    help: ClassVar[str]
    ends: ClassVar[bool] = False
    options: ClassVar[tuple[Option, ...]] = ()

    @classmethod
    @abstractmethod
    def from_options(cls, given: Mapping[str, Any]) -> Schedule:
        """Return the schedule for options of the command line, by `Option.key`; only those that were given are there.

        Raises ValueError for values that make no schedule, or do not go together.
        """

    @property
    @abstractmethod
    def rate_per_s(self) -> float:
        """The mean number of updates a second."""

    @abstractmethod
    def moments(self) -> Iterator[Moment]:
        """Yield `(seconds after the start, data)` in order of time, for ever or as long as the source has any."""

    def with_seed(self, seed: int) -> Schedule:
        """Return the same recipe with other luck; one that has no luck in it stays as it is."""
        return self

    def updates(self, duration_s: float | None = None) -> Iterator[Update]:
        """Yield the updates with `at_s < duration_s`, in order of time; without a duration, all of them."""
        for seq, (at_s, data) in enumerate(self.moments(), start=1):
            if duration_s is not None and at_s >= duration_s:
                return
            yield Update(seq, at_s, data)

    def times(self, duration_s: float) -> list[float]:
        """Return the update times before `duration_s`, in seconds after the start."""
        return [update.at_s for update in self.updates(duration_s)]

    def recipe(self) -> dict[str, Any]:
        """Return what `from_recipe` makes the same schedule of, ready for JSON: how another process is told."""
        return {"kind": self.kind} | {one.name: getattr(self, one.name) for one in fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True)
class Every(Schedule):
    """One update every `period_s` seconds, the first after one period."""

    period_s: float
    kind: ClassVar[str] = "every"
    help: ClassVar[str] = "as regular as a clock"
    options: ClassVar[tuple[Option, ...]] = (RATE,)

    def __post_init__(self) -> None:
        _positive(period_s=self.period_s)

    @classmethod
    def from_options(cls, given: Mapping[str, Any]) -> Every:
        return cls(1 / _rate(given))

    @property
    def rate_per_s(self) -> float:
        return 1 / self.period_s

    def moments(self) -> Iterator[Moment]:
        # n * period, not a running sum: rounding errors must not add up.
        return ((n * self.period_s, {"n": n}) for n in itertools.count(1))


@dataclass(frozen=True)
class Poisson(Schedule):
    """Gaps that are exponential with mean `1 / rate_per_s`: changes that nobody can foresee."""

    rate_per_s: float = DEFAULT_RATE_PER_S
    seed: int = DEFAULT_SEED
    kind: ClassVar[str] = "poisson"
    help: ClassVar[str] = "at random, as calls and clicks come"
    options: ClassVar[tuple[Option, ...]] = (RATE, SEED)

    def __post_init__(self) -> None:
        _positive(rate_per_s=self.rate_per_s)

    @classmethod
    def from_options(cls, given: Mapping[str, Any]) -> Poisson:
        return cls(_rate(given), given.get("seed", DEFAULT_SEED))

    def moments(self) -> Iterator[Moment]:
        chance = random.Random(self.seed)
        at_s = 0.0
        for n in itertools.count(1):
            at_s += chance.expovariate(self.rate_per_s)
            yield at_s, {"n": n}

    def with_seed(self, seed: int) -> Poisson:
        """Return the same rate with other gaps."""
        return replace(self, seed=seed)


@dataclass(frozen=True)
class Bursts(Schedule):
    """Bursts that nobody can foresee, as shocks with their aftershocks come: `moments.in_bursts`.

    burst: updates in one, on average, the first included; spread_s: from the first to another, on average.
    """

    rate_per_s: float = DEFAULT_RATE_PER_S
    burst: float = DEFAULT_BURST
    spread_s: float = DEFAULT_SPREAD_S
    seed: int = DEFAULT_SEED
    kind: ClassVar[str] = "bursts"
    help: ClassVar[str] = "in bursts, as aftershocks and replies come"
    options: ClassVar[tuple[Option, ...]] = (RATE, BURST, SPREAD, SEED)

    def __post_init__(self) -> None:
        _positive(rate_per_s=self.rate_per_s, burst=self.burst, spread_s=self.spread_s)
        if self.burst < 1:
            raise ValueError(f"burst must be at least 1, since its first update counts, not {self.burst!r}")

    @classmethod
    def from_options(cls, given: Mapping[str, Any]) -> Bursts:
        burst, spread_s = given.get("burst", DEFAULT_BURST), given.get("spread", DEFAULT_SPREAD_S)
        return cls(_rate(given), burst, spread_s, given.get("seed", DEFAULT_SEED))

    def moments(self) -> Iterator[Moment]:
        at_s = in_bursts(random.Random(self.seed), self.rate_per_s, self.burst, self.spread_s)
        return ((moment_s, {"n": n}) for n, moment_s in enumerate(at_s, start=1))

    def with_seed(self, seed: int) -> Bursts:
        """Return the same bursts at other moments."""
        return replace(self, seed=seed)


@dataclass(frozen=True)
class Earthquakes(Schedule):
    """The real week of earthquakes, `speed` times as fast, from `start_s` seconds into the week; then it begins again.

    seed: what the start was drawn with, None where it was chosen.
    """

    speed: float = DEFAULT_SPEED
    start_s: float = 0.0
    seed: int | None = None
    kind: ClassVar[str] = "earthquakes"
    help: ClassVar[str] = "a real week, faster"
    options: ClassVar[tuple[Option, ...]] = (SPEED, START, SEED)

    def __post_init__(self) -> None:
        _positive(speed=self.speed)
        if not (is_number(self.start_s) and 0 <= self.start_s < week_s()):
            raise ValueError(f"start_s must lie inside the week, between 0 and {week_s():.0f} s, not {self.start_s!r}")

    @classmethod
    def from_options(cls, given: Mapping[str, Any]) -> Earthquakes:
        if "start" in given and "seed" in given:
            raise ValueError("--seed draws where the week starts, and --start says it: choose one of them")
        week = cls(given.get("speed", DEFAULT_SPEED), given.get("start", 0.0))
        return week.with_seed(given["seed"]) if "seed" in given else week

    @property
    def rate_per_s(self) -> float:
        return len(catalogue()) / week_s() * self.speed

    def moments(self) -> Iterator[Moment]:
        for week in itertools.count():
            for at_s, data in catalogue():
                moment_s = at_s + week * week_s() - self.start_s
                if moment_s >= 0:
                    yield moment_s / self.speed, data

    def with_seed(self, seed: int) -> Earthquakes:
        """Return the same replay from another moment of the week."""
        return replace(self, seed=seed, start_s=round(random.Random(seed).random() * week_s(), 3))


@dataclass(frozen=True)
class File(Schedule):
    """The moments of a table that somebody wrote down: a source of your own. It ends with its last line.

    path: where it was read from; rows: its moments, `(seconds after the start, data)`, ascending. They are kept here,
    so that a file which changes meanwhile cannot make two processes disagree.
    """

    path: str
    rows: tuple[Moment, ...] = field(repr=False)
    kind: ClassVar[str] = "file"
    help: ClassVar[str] = "your own moments, from a table (needs --file)"
    options: ClassVar[tuple[Option, ...]] = (FILE,)
    ends: ClassVar[bool] = True

    def __post_init__(self) -> None:
        # From another process the rows come as JSON's lists.
        object.__setattr__(self, "rows", tuple((at_s, data) for at_s, data in self.rows))

    @classmethod
    def from_options(cls, given: Mapping[str, Any]) -> File:
        if "file" not in given:
            raise ValueError("--schedule file needs --file with a table that has the column at_s")
        return from_file(given["file"])

    @property
    def rate_per_s(self) -> float:
        last_s = self.rows[-1][0]
        return len(self.rows) / last_s if last_s > 0 else float(len(self.rows))

    def moments(self) -> Iterator[Moment]:
        return iter(self.rows)


SCHEDULES: dict[str, type[Schedule]] = {row.kind: row for row in (Every, Poisson, Bursts, Earthquakes, File)}
"""The registry: a new schedule is one class above and one row here."""


def every(period_s: float) -> Every:
    """Return a schedule with one update every `period_s` seconds, the first after one period."""
    _positive(period_s=period_s)
    return Every(float(period_s))


def poisson(rate_per_s: float, seed: int = DEFAULT_SEED) -> Poisson:
    """Return a schedule whose gaps are exponential with mean `1 / rate_per_s`: changes that nobody can foresee."""
    _positive(rate_per_s=rate_per_s)
    return Poisson(float(rate_per_s), seed)


def bursts(
    rate_per_s: float, burst: float = DEFAULT_BURST, spread_s: float = DEFAULT_SPREAD_S, seed: int = DEFAULT_SEED
) -> Bursts:
    """Return a schedule of `rate_per_s` updates a second that come `burst` at a time, `spread_s` after the first."""
    _positive(rate_per_s=rate_per_s, spread_s=spread_s)
    return Bursts(float(rate_per_s), float(burst), float(spread_s), seed)


def earthquakes(speed: float = DEFAULT_SPEED, start_s: float = 0.0) -> Earthquakes:
    """Return the real week of earthquakes, replayed `speed` times as fast from `start_s` seconds into the week.

    At speed 240 one second of the run is four minutes of the week. After its last event the week begins again.
    Source: U.S. Geological Survey, 1,707 events (data/SOURCES.md).
    """
    _positive(speed=speed)
    return Earthquakes(float(speed), start_s)


def from_file(path: str | Path) -> File:
    """Return the moments of a CSV file: the column `at_s` in seconds after the start, ascending; others are data.

    What reads as a number is one, everything else is text. Raises ValueError, naming the line, for a table that is
    none, OSError if the file cannot be read.
    """
    return File(str(path), read_table(path))


def from_recipe(recipe: Mapping[str, Any]) -> Schedule:
    """Return the schedule of which `Schedule.recipe` is."""
    return SCHEDULES[recipe["kind"]](**{name: value for name, value in recipe.items() if name != "kind"})


def _rate(given: Mapping[str, Any]) -> float:
    rate = float(given.get("rate", DEFAULT_RATE_PER_S))
    if not 0 < rate < math.inf:
        raise ValueError(f"--rate must be a number above 0, not {rate:g}")
    return rate


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (is_number(value) and value > 0):
            raise ValueError(f"{name} must be a number above 0, not {value!r}")
