"""The registry: one row a transport. Adding a transport is adding one file here and one row below.

A transport's module has the same two names as every other: `serve(feed, sock, guard, pace)`, an async context manager
that answers for a feed at a pace (`workload.Pace`), and `hear(url, reader)`, which gives an async generator of
deliveries: the loop of its habit (`habits`). Everything else (prediction, colour, label, the command line's choices)
follows from the row.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Literal, Protocol

from wsdemo import theory
from wsdemo.guard import authority
from wsdemo.theory.calibration import Calibration
from wsdemo.workload import DEFAULT_PACE, Pace, Workload

Family = Literal["pull", "push"]
Habit = Literal["asks", "held", "streamed"]
"""How a transport behaves: each reader *asks* by a timetable; each question is *held* until there is news; each reader
is *streamed* to over one connection. What a page or a figure says of a transport follows from this, not from its name.
"""


class Predict(Protocol):
    """A row of theory. delay_s: the floor `d`; found: what a rehearsal found, if there was one; pace: the server's."""

    def __call__(
        self, work: Workload, delay_s: float, found: Calibration | None = None, pace: Pace = DEFAULT_PACE
    ) -> theory.Prediction: ...


@dataclass(frozen=True)
class Transport:
    """One way to hear the feed.

    name: also the module's; label: for people; family: "pull" or "push"; habit: see `Habit`; scheme: of its address;
    colour: of the Okabe-Ito palette, which stays distinct for colour-blind readers; predict: its row of theory.
    """

    name: str
    label: str
    family: Family
    habit: Habit
    scheme: str
    colour: str
    predict: Predict

    def module(self) -> ModuleType:
        """Return the module with `serve` and `hear`. Imported on use: a server carries only what it serves."""
        return importlib.import_module(f"wsdemo.transports.{self.name}")

    def url(self, port: int, host: str = "127.0.0.1") -> str:
        """Return the address of this transport's updates on a port."""
        return f"{self.scheme}://{authority(host, port)}/updates"


TRANSPORTS = {
    row.name: row
    for row in (
        Transport("polling", "Polling", "pull", "asks", "http", "#D55E00", theory.polling),
        Transport("conditional", "Polling with ETag", "pull", "asks", "http", "#E69F00", theory.polling),
        Transport("long_polling", "Long polling", "push", "held", "http", "#CC79A7", theory.long_polling),
        Transport("sse", "Server-sent events", "push", "streamed", "http", "#56B4E9", theory.push),
        Transport("websocket", "WebSocket", "push", "streamed", "ws", "#0072B2", theory.push),
    )
}


def find(names: Iterable[str]) -> list[Transport]:
    """Return the rows with these names. Raises ValueError, naming those that exist, for an unknown or repeated one."""
    names = list(names)
    unknown = [name for name in names if name not in TRANSPORTS]
    if unknown or not names:
        what = f"unknown transport {', '.join(map(repr, unknown))}" if unknown else "no transport named"
        raise ValueError(f"{what}: choose from {', '.join(TRANSPORTS)}")
    if len(set(names)) < len(names):
        raise ValueError("each transport can be named once")
    return [TRANSPORTS[name] for name in names]


def paces_of(rows: Sequence[Transport], pace: Pace) -> list[Pace]:
    """Return the pace of each: `at_most_every_s` is for those that are streamed to, and left out of the others'.

    Raises ValueError if it is given and none of them is.
    """
    if pace.at_most_every_s is not None and all(row.habit != "streamed" for row in rows):
        streamed = ", ".join(row.name for row in TRANSPORTS.values() if row.habit == "streamed")
        raise ValueError(
            f"at most one message in {pace.at_most_every_s:g} s is for transports that are streamed to ({streamed}): "
            f"{', '.join(row.name for row in rows)} only answers, as often as it is asked"
        )
    return [pace if row.habit == "streamed" else replace(pace, at_most_every_s=None) for row in rows]
