"""Readers and servers as events on a heap: what happens, one thing after the other, and no formula.

Nothing here knows `wsdemo.theory`. Each reader and server does what the real one does, on a clock that is never late.
"""

import heapq
import itertools
import math
import random
from dataclasses import dataclass, field

UPDATE, OTHER = 0, 1
"""At the same moment an update comes first: whoever asks at that moment finds it in the log."""


class Clock:
    """Does what it is told to at its time, in the order of times."""

    def __init__(self):
        self.now, self._coming, self._count = 0.0, [], itertools.count()

    def at(self, moment, action, *arguments, rank=OTHER):
        heapq.heappush(self._coming, (moment, rank, next(self._count), action, arguments))

    def after(self, pause, action, *arguments):
        self.at(self.now + pause, action, *arguments)

    def run(self, until=float("inf")):
        while self._coming and self._coming[0][0] <= until:
            self.now, _, _, action, arguments = heapq.heappop(self._coming)
            action(*arguments)


class Source:
    """Publishes at given times into a log, and tells whoever subscribed."""

    def __init__(self, clock, at_s):
        self.clock, self.log, self.told = clock, [], []
        for at in at_s:
            clock.at(at, self._publish, rank=UPDATE)

    def _publish(self):
        self.log.append(self.clock.now)
        for tell in list(self.told):
            tell()


@dataclass
class Seen:
    """What happened to all readers: each request as [sent, news or None], each delivery's latency, each message."""

    requests: list = field(default_factory=list)
    latencies: list = field(default_factory=list)
    messages: list = field(default_factory=list)

    def asked(self, before):
        return sum(sent < before for sent, _ in self.requests)

    def wasted(self, before):
        return sum(sent < before and news == 0 for sent, news in self.requests)

    @property
    def mean(self):
        return sum(self.latencies) / len(self.latencies)

    def quantile(self, share):
        """The latency that this share does not exceed; between two of them on the line."""
        ordered = sorted(self.latencies)
        before, part = divmod(share * (len(ordered) - 1), 1)
        low, high = ordered[int(before)], ordered[min(int(before) + 1, len(ordered) - 1)]
        return low + part * (high - low)


def poll(at_s, phases_s, interval_s, duration_s, delay_s=0.0):
    """Readers who ask at their phase and every interval, as long as they have not asked after the end."""
    clock, seen = Clock(), Seen()
    source = Source(clock, at_s)

    def send(phase_s, number, had):
        request = [clock.now, None]
        seen.requests.append(request)
        clock.after(delay_s, arrive, request, had)
        if clock.now < duration_s:
            clock.at(phase_s + (number + 1) * interval_s, send, phase_s, number + 1, had)

    def arrive(request, had):
        news = source.log[had[0] :]
        had[0] += len(news)
        clock.after(delay_s, hear, request, news)

    def hear(request, news):
        request[1] = len(news)
        seen.latencies += [clock.now - at for at in news]

    for phase_s in phases_s:
        clock.at(phase_s, send, phase_s, 0, [0])
    clock.run()
    return seen


def long_poll(at_s, duration_s, timeout_s, delay_s, until_s):
    """One reader who asks again as soon as it has its answer, and a server that holds a question without news."""
    clock, seen = Clock(), Seen()
    source = Source(clock, at_s)
    held, had = [], [0]

    def send():
        request = [clock.now, None]
        seen.requests.append(request)
        clock.after(delay_s, arrive, request)

    def arrive(request):
        if len(source.log) > had[0]:
            answer(request)
        else:
            held.append(request)
            clock.after(timeout_s, give_up, request)

    def give_up(request):
        if any(request is one for one in held):
            held.clear()
            answer(request)

    def told():
        if held:
            # Whatever else comes at this very moment is in the answer, too.
            clock.after(0, answer, held.pop())

    def answer(request):
        news = source.log[had[0] :]
        had[0] += len(news)
        clock.after(delay_s, hear, request, news)

    def hear(request, news):
        request[1] = len(news)
        seen.latencies += [clock.now - at for at in news]
        send()

    source.told.append(told)
    clock.at(0.0, send)
    clock.run(until_s)
    return seen


def conflate(at_s, at_most_every_s):
    """One reader of a stream that is silent for a time after each message, and then says what came meanwhile."""
    clock, seen = Clock(), Seen()
    source = Source(clock, at_s)
    waiting, is_quiet = [], [True]

    def told():
        waiting.append(clock.now)
        if is_quiet[0]:
            is_quiet[0] = False
            clock.after(0, speak)

    def speak():
        seen.messages.append(len(waiting))
        seen.latencies += [clock.now - at for at in waiting]
        waiting.clear()
        clock.after(at_most_every_s, may_speak)

    def may_speak():
        if waiting:
            speak()
        else:
            is_quiet[0] = True

    source.told.append(told)
    clock.run()
    return seen


def push(at_s, readers, first_s, further_s):
    """One server that writes to its readers one after the other, each write taking its time."""
    clock, seen = Clock(), Seen()
    source = Source(clock, at_s)
    writes, busy = [], [False]

    def told():
        writes.extend([clock.now] * readers)
        if not busy[0]:
            busy[0] = True
            write()

    def write():
        if not writes:
            busy[0] = False
            return
        seen.messages.append(1)
        clock.after(first_s, hear, writes.pop(0))
        clock.after(further_s, write)

    def hear(published):
        seen.latencies.append(clock.now - published)

    source.told.append(told)
    clock.run()
    return seen


def beat(at_s, duration_s, period_s, only_in_silence):
    """A server's signs of life: it sleeps, speaks, sleeps; or waits for news no longer than a period. Their number."""
    clock, beats, turn = Clock(), [], [0]

    def sleep():
        turn[0] += 1
        clock.after(period_s, speak, turn[0])

    def speak(mine):
        if mine == turn[0] and clock.now < duration_s:
            beats.append(clock.now)
            sleep()

    source = Source(clock, at_s)
    if only_in_silence:
        source.told.append(sleep)
    sleep()
    clock.run()
    return len(beats)


def poisson(rate_per_s, duration_s, seed):
    """Update times with independent, exponential gaps."""
    chance, times, at = random.Random(seed), [], 0.0
    while (at := at + chance.expovariate(rate_per_s)) < duration_s:
        times.append(at)
    return times


def bursts(rate_per_s, duration_s, seed, size=6, within_s=0.01):
    """Aftershocks: at random moments several updates, all within a moment."""
    chance = random.Random(seed)
    starts = poisson(rate_per_s / size, duration_s, seed)
    times = (at + chance.uniform(0, within_s) for at in starts for _ in range(size))
    return sorted(at for at in times if at < duration_s)


def poisson_without_luck(rate_per_s, updates, seed):
    """Update times whose gaps are the exponential ones, each share of them as often as it should be, shuffled.

    Of few updates already, what depends on the long gaps is known as well as of very many by chance.
    """
    gaps = [-math.log(1 - (k + 0.5) / updates) / rate_per_s for k in range(updates)]
    random.Random(seed).shuffle(gaps)
    return list(itertools.accumulate(gaps))
