"""What happens given the schedule, by walking it: exact for any updates, with nothing assumed of their chances.

One walk for each habit. A wait is how long an update waits at the server before it leaves for a reader, in seconds; its
way there, `d`, is not in it. Moments are seconds after the start; `at_s` is ascending. No walk knows a machine: each
says what happens where nobody is ever late.

numpy is imported where it is used: servers import this package, and are measured without it.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsdemo.workload import poll_times

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Waits = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Walk:
    """What a walk found. requests: asked within the run; wasted: of these, answered without news.

    waits_s: array of shape (deliveries,), the wait of each update that was delivered, in seconds.
    """

    requests: int
    wasted: int
    waits_s: Waits

    @property
    def deliveries(self) -> int:
        """How many updates were delivered, over all readers of the walk."""
        return len(self.waits_s)

    @property
    def mean_s(self) -> float | None:
        """The mean wait in seconds, None where nothing was delivered."""
        return float(self.waits_s.mean()) if len(self.waits_s) else None

    def quantile_s(self, share: float) -> float | None:
        """Return the wait that this share of deliveries does not exceed, in seconds; None where there are none.

        share: from 0 to 1, as in 0.95. Between two waits it lies on the line between them, as in `numpy.quantile`.
        """
        import numpy as np

        return float(np.quantile(self.waits_s, share)) if len(self.waits_s) else None


@dataclass(frozen=True, eq=False)
class PollsWalk(Walk):
    """All polls of all clients. useful: those within the run that brought news, `requests - wasted`.

    late_answers: one further poll of each client comes after the run; how many of them brought news.
    """

    late_answers: int

    @property
    def useful(self) -> int:
        """How many polls within the run brought news."""
        return self.requests - self.wasted

    @property
    def updates_per_answer(self) -> float | None:
        """How many updates an answer with news carries in the mean, None where none has any."""
        answers = self.useful + self.late_answers
        return self.deliveries / answers if answers else None


@dataclass(frozen=True, eq=False)
class LongPollsWalk(Walk):
    """One reader that is held. answers: with news, of requests within the run or after; opening apart, as in a run.

    timeouts: all answers without news that came before the end, also those to requests after the run.
    """

    answers: int
    timeouts: int


@dataclass(frozen=True, eq=False)
class ConflatedWalk(Walk):
    """One reader of a conflated stream, which asks once. messages: how many went to it.

    latest_waits_s: array of shape (messages,), the wait of the newest update in each: all that is heard where a message
    holds the latest alone.
    """

    messages: int
    latest_waits_s: Waits

    @property
    def updates_per_message(self) -> float | None:
        """How many updates a message carries in the mean, None where there is no message."""
        return self.deliveries / self.messages if self.messages else None

    @property
    def missed_latest_only(self) -> int:
        """How many updates are never heard where a message holds the latest alone."""
        return self.deliveries - self.messages


def polls(
    at_s: Sequence[float],
    phases_s: Sequence[float],
    interval_s: float,
    duration_s: float,
    delay_s: float = 0.0,
) -> PollsWalk:
    """Walk the polls of every client: at `phase + k * T` while before `duration_s`, and once more after that.

    at_s: update times, ascending and before `duration_s`; phases_s: the first poll of each client, `workload.phases`;
    delay_s: the way to the server; what is published at the very moment at which a poll arrives is in its answer.
    waits_s is by client and then by update, and each wait ends when the poll arrives: `T / 2` in the mean over phases.
    Time and memory grow with clients times updates.
    """
    import numpy as np

    times = np.asarray(at_s, dtype=float)
    requests, useful, late, waits = 0, 0, 0, []
    for phase_s in phases_s:
        asked = poll_times(phase_s, interval_s, duration_s)
        arriving = np.array([*asked, phase_s + len(asked) * interval_s]) + delay_s
        poll = np.searchsorted(arriving, times, side="left")  # the first that arrives no earlier than the update
        waits.append(arriving[poll] - times)
        bringing = int(np.count_nonzero(np.diff(poll))) + 1 if len(poll) else 0
        is_late = bool(len(poll) > 0 and poll[-1] == len(asked))
        requests, useful, late = requests + len(asked), useful + int(bringing) - is_late, late + is_late
    return PollsWalk(requests, requests - useful, np.concatenate(waits) if waits else np.empty(0), late)


def long_polls(
    at_s: Sequence[float], duration_s: float, timeout_s: float, delay_s: float, until_s: float = math.inf
) -> LongPollsWalk:
    """Walk the requests of one reader that is held: sent at 0, and again as soon as the answer is there.

    A request arrives `delay_s` after it is sent, and is answered at once if there is news, else at the next update, or
    `timeout_s` later. The answer takes `delay_s`, the next request the same: two transits in which updates wait, to
    share an answer. News at the very moment of a timeout is in that answer.

    duration_s: requests sent before it count; until_s: when the reader leaves. An answer that would reach it later
    never does: neither is it wasted, nor are its updates delivered. Source: RFC 6202 section 2.2.
    Raises ValueError for a timeout that is not above 0, or a delay below 0.
    """
    import numpy as np

    if not timeout_s > 0 or delay_s < 0:
        raise ValueError(f"a timeout is above 0 and a delay at least 0, not {timeout_s!r} and {delay_s!r}")
    sent_s, heard, waits = 0.0, 0, list[float]()
    requests = wasted = answers = timeouts = 0
    while sent_s < until_s and (sent_s < duration_s or heard < len(at_s)):
        counts = sent_s < duration_s
        requests += counts
        arrival_s = sent_s + delay_s
        answered_s = arrival_s + timeout_s
        if heard < len(at_s):
            answered_s = min(answered_s, max(arrival_s, at_s[heard]))
        sent_s = answered_s + delay_s  # where the answer is, the next request leaves
        if sent_s > until_s:
            break
        there = bisect.bisect_right(at_s, answered_s, lo=heard)
        if there > heard:
            answers += 1
            waits += [answered_s - at for at in at_s[heard:there]]
        else:
            wasted, timeouts = wasted + counts, timeouts + 1
        heard = there
    return LongPollsWalk(requests, wasted, np.array(waits, dtype=float), answers, timeouts)


def conflated(at_s: Sequence[float], at_most_every_s: float, duration_s: float) -> ConflatedWalk:
    """Walk a stream that gets at most one message in `T`: at once after a quiet T, else T after the last message.

    What comes while a message is held back goes with it. duration_s: updates fall before it; what is still held then
    goes out later, at most `T` after the run. Never more than `duration / T + 2` messages. Each wait is at most T.
    """
    import numpy as np

    waits, latest = list[float](), list[float]()
    sent_s, heard, end = -math.inf, 0, bisect.bisect_left(at_s, duration_s)
    while heard < end:
        sent_s = max(at_s[heard], sent_s + at_most_every_s)
        there = bisect.bisect_right(at_s, sent_s, lo=heard, hi=end)
        waits += [sent_s - at for at in at_s[heard:there]]
        latest.append(waits[-1])
        heard = there
    return ConflatedWalk(1, 0, np.array(waits, dtype=float), len(latest), np.array(latest, dtype=float))


def heartbeats(at_s: Sequence[float], duration_s: float, period_s: float, *, only_in_silence: bool = False) -> int:
    """Return how many signs of life one silent line carries before `duration_s`: one each period, from the start.

    By default news changes nothing: the pings of websockets (`keepalive` sleeps, pings, sleeps the rest) and the
    comments of aiohttp-sse (`_ping`) go on beside it. only_in_silence: each update starts the period anew, as a server
    does that waits for news no longer than a period. A run counts up to one more, since its lines open before it.
    """
    if not only_in_silence:
        return len(poll_times(period_s, period_s, duration_s))
    times = [0.0, *(at for at in at_s if at < duration_s), duration_s]
    return sum(len(poll_times(period_s, period_s, after - at)) for at, after in itertools.pairwise(times))
