"""How readers come back after a break, and what a server says to that. Knows no transport and no library.

A server that restarts with N readers has N handshakes to make, `h` seconds of its processor each. If they all come at
once, the last one waits for N * h, and whoever loses patience meanwhile asks again and makes it worse. So readers
spread. Over how long, a server knows and a reader does not: it is said (`spread_s`) in the position, beside an update
when it has changed much, and in every goodbye. The rule of `JITTERED`:

    what happened                                     the wait before the attempt, drawn evenly
    the line broke without a word                     0 to SOON_S, or to `spread_s` where that is less
    a goodbye that says "within s seconds"            0 to s
    nobody there, busy, or the nth failure in a row   0 to `spread_s`, then twice that, four times … LONGEST_WAIT_S

A reader cannot know whether all lines broke or its own alone. If it was its own, it is back soon. If the server died,
the soon attempt meets a closed port, which costs nobody anything, and from then on the reader knows. A server that has
asked for patience (`Retry-After`, close code 1013) has that first, and the wait comes on top.

Sources: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (full jitter: from 0, not from half);
RFC 6455, section 7.2.3 (a random first wait, then truncated exponential backoff); WHATWG HTML, section 9.2.5 (`retry`:
browsers wait just so long, so that the server has to draw); RFC 9110, section 10.2.3 (`Retry-After`).
"""

from __future__ import annotations

import json
import random
import re
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

HANDSHAKE_S = 0.001
"""What a return costs a server's processor at the least: handshake, position, what was missed. With TLS it is more."""
SLACK = 4.0
"""Readers spread over so many times N * h: a quarter of the processor for those who come, and room for chance."""
NO_STORM = 50
"""So many readers need not be told anything, so their answers are not larger for it."""
LEAST_SPREAD_S = 0.2
"""Spread of a server that says none: fifty readers are no storm."""
MOST_SPREAD_S = 300.0
"""A server that asks for more is not believed."""
SOON_S = 0.4
"""Within this time a reader whose line broke without a word tries again: on average after half of it."""
LONGEST_WAIT_S = 10.0
"""What waits grow to, where `spread_s` is not longer."""
RETRY_AFTER_S = 1
"""What a full server asks for (`Retry-After`): it has answered with 503 before a handshake, which costs it least."""
MOST_HANDSHAKE_S = 0.005
"""No handshake of ours takes more, with TLS on a slow machine, either: what seems to is other work."""
ENOUGH = 50
"""So many questions within a second or two say what one costs."""
MOST_ARRIVALS = 20_000
"""How many moments a server keeps."""

Break = Literal["cut", "told", "gone"]
"""How an attempt ended: the line broke, a goodbye said within what time to return, or nobody is there or has time."""


Kinds = Literal["at once", "growing", "jittered"]


def spread_s(readers: int, handshake_s: float = HANDSHAKE_S, servers: int = 1) -> float:
    """Return over how many seconds so many readers should come back to so many servers: `SLACK * N * h / k`.

    `NO_STORM` readers are none, however slow the processor is.
    """
    if readers <= NO_STORM:
        return LEAST_SPREAD_S
    return min(MOST_SPREAD_S, max(LEAST_SPREAD_S, SLACK * readers * handshake_s / servers))


@dataclass(frozen=True, slots=True)
class Returning:
    """How a reader comes back. kind: "jittered" as above; "at once" and "growing" (without jitter) to compare it with.

    Raises ValueError for another kind.
    """

    kind: Kinds = "jittered"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kinds):
            raise ValueError(f"readers return at once, growing or jittered, not {self.kind!r}")

    def most_s(self, attempt: int, why: Break = "gone", spread_s: float = LEAST_SPREAD_S) -> float:
        """Return the longest that the wait before the nth attempt in a row (0, 1, 2 …) may be, in seconds."""
        if self.kind == "at once":
            return 0.0
        if why == "told" and self.kind == "jittered":
            return spread_s
        if why == "cut" and attempt == 0:
            return min(SOON_S, spread_s)
        return min(max(LONGEST_WAIT_S, spread_s), spread_s * 2.0 ** min(max(0, attempt - 1), 20))

    def wait_s(self, attempt: int, why: Break = "gone", spread_s: float = LEAST_SPREAD_S) -> float:
        """Return how long to wait before the nth attempt in a row, in seconds."""
        most_s = self.most_s(attempt, why, spread_s)
        return random.uniform(0.0, most_s) if self.kind == "jittered" else most_s


AT_ONCE, GROWING, JITTERED = Returning("at once"), Returning("growing"), Returning("jittered")


def spread_in(message: Mapping[str, Any]) -> float | None:
    """Return the spread that a message says, None if it says none that makes sense."""
    told_s = message.get("spread_s")
    if isinstance(told_s, int | float) and not isinstance(told_s, bool) and 0 < told_s <= MOST_SPREAD_S:
        return float(told_s)
    return None


class Crowd(Protocol):
    """What knows how many came: a `Meter`."""

    def spread_s(self) -> float: ...


def told(crowd: Crowd) -> dict[str, float]:
    """Return the field that says the spread, ready for JSON; none for a few readers, who need not be told."""
    whole_s = round(crowd.spread_s(), 2)
    return {"spread_s": whole_s} if whole_s > LEAST_SPREAD_S else {}


def saying(text: str, **fields: Any) -> str:
    """Return the JSON of an object with further fields at its end."""
    return f"{text[:-1]}, {json.dumps(fields)[1:]}" if fields else text


@dataclass(frozen=True, slots=True)
class Goodbye:
    """What a server says to a reader who is to come back. code: as a WebSocket says it; within_s: 0 if it is not said.

    1001, going away: the server stops. 1012, service restart: it stops for a deploy, and another one is there.
    1013, try again later: it is full. Source: RFC 6455, section 7.4.1, and IANA's registry for the last two.
    """

    code: int
    within_s: float = 0.0

    @property
    def reason(self) -> str:
        """The sentence in a close frame, and of 123 bytes at the most (RFC 6455, section 5.5)."""
        why = {1001: "this server stops", 1012: "this server restarts", 1013: "this server is full"}
        return f"{why[self.code]}; come back within {self.within_s:g} s"

    def message(self) -> dict[str, Any]:
        """Return what an answer or an event says in its place, ready for JSON."""
        return {"goodbye": self.code, "spread_s": self.within_s}

    @classmethod
    def read(cls, code: int, reason: str) -> Goodbye | None:
        """Return what a close frame says; None where its code asks nobody to come back."""
        if code not in (1000, 1001, 1012, 1013):
            return None
        said = re.search(r"within ([0-9]{1,6}(?:\.[0-9]{1,6})?) s\b", reason)
        return cls(code, min(float(said[1]), MOST_SPREAD_S) if said else 0.0)

    @classmethod
    def in_message(cls, message: Mapping[str, Any]) -> Goodbye | None:
        """Return what an answer or an event says."""
        code = message.get("goodbye")
        return cls(code, spread_in(message) or 0.0) if type(code) is int else None


class Arrivals:
    """When connections came, and what one costs: a storm as a server sees it.

    at_ns: moments of `time.perf_counter_ns()`, of the newest `MOST_ARRIVALS`.
    """

    def __init__(self, at_ns: Iterable[int] = ()) -> None:
        self.at_ns: deque[int] = deque(at_ns, MOST_ARRIVALS)
        self.handshake_s = HANDSHAKE_S
        self._least_s = MOST_HANDSHAKE_S
        self._window: tuple[int, float, int] | None = None
        self._count = 0

    def note(self, requests: int = 0) -> None:
        """Count a connection that comes now. requests: how many were answered until now, by whatever connection.

        Where many came within a second or two, what each took of the processor is learnt from it: all that the process
        has used, by what was asked. Other work is in there, too, so the least of it is nearest the truth.
        """
        now_ns, self._count = time.perf_counter_ns(), self._count + 1
        self.at_ns.append(now_ns)
        if self._window is not None and now_ns - self._window[0] < 10**9:
            return
        cpu_s, asked = time.process_time(), max(self._count, requests)
        if self._window is not None and now_ns - self._window[0] < 2 * 10**9 and asked - self._window[2] >= ENOUGH:
            self._least_s = min(self._least_s, (cpu_s - self._window[1]) / (asked - self._window[2]))
            self.handshake_s = max(HANDSHAKE_S, self._least_s)
        self._window = now_ns, cpu_s, asked

    def series(self, t0_ns: int, seconds: float, step_s: float = 0.1) -> list[tuple[float, int]]:
        """Return `(start_s, connections)` of each step of `seconds` after `t0_ns`, those without any, too."""
        steps = max(1, round(seconds / step_s))
        counts = [0] * steps
        for at_ns in self.at_ns:
            if 0 <= (step := int((at_ns - t0_ns) / 1e9 // step_s)) < steps:
                counts[step] += 1
        return [(step * step_s, count) for step, count in enumerate(counts)]

    def peak(self, t0_ns: int = 0, window_s: float = 0.1) -> int:
        """Return the most connections in any window of so many seconds after `t0_ns`, wherever it begins."""
        window: deque[int] = deque()
        most = 0
        for at_ns in self.at_ns:
            if at_ns >= t0_ns:
                window.append(at_ns)
                while at_ns - window[0] >= window_s * 1e9:
                    window.popleft()
                most = max(most, len(window))
        return most
