"""Every word of the figures of a bad line: on axes, in keys and notes, in captions and alt texts. See `captions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wsdemo.plots.captions import Words
from wsdemo.words import count, duration, listed, number

AFTER_BREAK = "seconds after the server was killed"
NOBODY = "nobody came back"
MEASURED = "measured"
EXPECTED = "expected, in the mean"
UNTIL_NOTICED = "mean time until it is known (log axis)"
BYTES_PER_S = "bytes a second on the wire, one client"
HEARTBEAT = "heartbeats: a dead line is known"
POLLING = "polls: an update is known"
LEAST_COST = "least cost"
SECONDS = "seconds"
READERS = "a row a reader, a point an update that it heard"


def storm_heading(rule: str, readers: int) -> str:
    """Return what one panel shows."""
    return f"{rule}: connections a second, {count(readers)} readers"


def storm(peaks: Mapping[str, int], readers: int, step_s: float) -> Words:
    """peaks: for each rule the most connections in any step; readers: how many came back in each storm."""
    found = [f"{rule} {count(peak)}" for rule, peak in peaks.items()]
    most = f"most connections within {duration(step_s)}: {listed(found)}"
    caption = f"After a restart {count(readers)} readers come back; {most}."
    alt = (
        f"{count(len(peaks))} panels with one time axis, in seconds after the server was killed, each with bars for "
        f"connections a second. {caption}"
    )
    return Words(caption, alt)


def best(seconds: float) -> str:
    """Return the note at a point of least cost."""
    return f"{LEAST_COST}: every {duration(seconds)}"


def heartbeat_cost(
    measured: Sequence[tuple[float, float]], best_period_s: float, best_interval_s: float, answer_s: float
) -> Words:
    """measured: mean seconds until known and bytes a second, of each period that was run."""
    caption = (
        "What is known sooner costs more, by one rule for both: at these prices a heartbeat costs least every "
        f"{duration(best_period_s)}, a poll every {duration(best_interval_s)}."
    )
    runs = [f"{number(cost)} bytes a second for {duration(known_s)}" for known_s, cost in measured]
    alt = (
        "Two falling lines on log axes: bytes a second against the mean time until a dead line (heartbeats, with "
        f"{duration(answer_s)} of patience) or an update (polls) is known, a diamond at the least cost of each. "
        f"Measured heartbeats: {listed(runs)}. {caption}"
    )
    return Words(caption, alt)


def struck(what: str) -> str:
    """Return the key of a line where something was done."""
    return what


def silences(readers: int, deliveries: int, blows: Mapping[str, int], longest_s: float) -> Words:
    """blows: how often each thing was done; longest_s: the longest time between two updates of any reader."""
    done = listed([f"{what} ({count(times)})" for what, times in blows.items()])
    meanwhile = f" Meanwhile: {done}." if blows else ""
    caption = (
        f"Readers: {count(readers)}, deliveries: {count(deliveries)}.{meanwhile} The longest silence of any reader was "
        f"{duration(longest_s)}."
    )
    alt = (
        "A row of points for each reader against time, one point for each update that it heard, blank where it heard "
        f"none, with a line across all rows at each moment when something was done. {caption}"
    )
    return Words(caption, alt)
