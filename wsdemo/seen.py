"""What was seen of one run, and what a reader of its numbers must know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wsdemo.line import Fault
from wsdemo.processes.cpu import in_ticks
from wsdemo.processes.jobs import Counters, Tally
from wsdemo.processes.stalls import together
from wsdemo.result import Poll
from wsdemo.transports import Transport
from wsdemo.words import duration, listed
from wsdemo.workload import Workload

MANY_CLIENTS = 100
"""Above this, push latency measures the clients' own processes, which wake them one after the other."""
_MOST_STALLS_SAID = 3
UNTOWARD = ("cut", "idle", "refused", "unavailable", "nobody")
"""What a line may do that a server or a client has to notice."""


@dataclass(frozen=True)
class Seen:
    """What was counted in one run: by each client, by the server before the clock and at the end, from outside.

    stalls: by process, as it is called in a sentence: when it stood still, in seconds after the start, and how long.
    line: what was wrong with the line, None where there was none; line_did: how often it did what.
    """

    delay_s: float
    readers: list[Tally]
    opening: Counters
    held: int
    counters: Counters
    cpu_s: float
    peak_rss_bytes: int
    stalls: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    line: Fault | None = None
    line_did: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_disturbed(self) -> bool:
        """Whether a line may do more than be late: counts of the two sides may differ then, and polls fall out."""
        return self.line is not None and self.line.disturbs


def segments(seen: Seen) -> int | None:
    """Return the TCP segments of the run, both ways, opening included; None where the system does not count them."""
    sent, received = seen.counters["segments_sent"], seen.counters["segments_received"]
    return None if sent is None or received is None else sent + received


def notes(row: Transport, work: Workload, seen: Seen, asked: Sequence[Poll]) -> Iterator[str]:
    """Yield what a reader of the numbers must know."""
    requests = [request for reader in seen.readers for request in reader["requests"]]
    if seen.is_disturbed:
        yield from _line_did(seen.line_did, len(requests) - seen.counters["requests"])
    elif len(requests) != seen.counters["requests"]:
        yield f"clients counted {len(requests)} requests, the server {seen.counters['requests']}: do not trust this run"
    answers = [wasted for _, wasted, is_aside in requests if not is_aside]
    wasted_at_server = seen.counters["wasted"] - seen.opening["wasted"]
    # Where each question has had its answer, both sides must have found the same ones in vain.
    wasted = answers.count(True)
    if row.habit == "asks" and None not in answers and wasted != wasted_at_server and not seen.is_disturbed:
        yield f"clients counted {wasted} wasted requests, the server {wasted_at_server}: do not trust this run"
    if (failures := sum(reader["failures"] for reader in seen.readers)) > 0:
        yield f"{failures} requests or connections failed on the way"
    due = sum(reader["polls_due"] for reader in seen.readers)
    if (left_out := sum(reader["polls_left_out"] for reader in seen.readers)) > 0:
        yield f"{left_out} of {due} polls were left out: they fell due while a client waited after a failure"
    if (
        due
        and not seen.is_disturbed
        and (due - left_out != len(asked) or failures < sum(poll.wasted is None for poll in asked))
    ):
        answered = sum(poll.wasted is not None for poll in asked)
        yield f"{due} polls were due, {len(asked)} made, {answered} answered: this machine could not keep the timetable"
    if in_ticks():
        yield "this system counts CPU in steps of 10 ms or more: small figures of server CPU say next to nothing"
    if row.habit != "asks" and work.clients > MANY_CLIENTS:
        yield (
            f"{work.clients} clients share a few processes, which wake them one by one: "
            "the latency of push measures those processes, not the server"
        )
    yield from _stalled(seen.stalls)


def _line_did(did: Mapping[str, int], lost: int) -> Iterator[str]:
    done = [f"{kind} {did[kind]}" for kind in UNTOWARD if did.get(kind)]
    if done:
        yield f"the line had {did.get('open', 0)} connections: {', '.join(done)}"
    if lost > 0:
        yield f"{lost} requests of the clients never reached the server"


def _stalled(stalls: Mapping[str, Sequence[tuple[float, float]]]) -> Iterator[str]:
    """Yield who stood still, when and for how long: the longest pauses, in the order of time."""
    pauses = together(stalls)
    longest = sorted(pauses, key=lambda pause: -pause.lasted_s)[:_MOST_STALLS_SAID]
    for pause in sorted(longest, key=lambda pause: pause.at_s):
        at_s = max(0.0, pause.at_s)
        yield (
            f"{listed(pause.names)} stood still for {duration(pause.lasted_s)}, {duration(at_s)} after the start: "
            "the machine was busy, asleep or stopped, and the latencies of that time are its own"
        )
    if len(pauses) > len(longest):
        yield f"{len(pauses) - len(longest)} shorter pauses like these are not listed"
