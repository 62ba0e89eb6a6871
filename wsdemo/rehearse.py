"""Tries what a transport takes on this machine before a run is measured, so that theory can predict times and bytes.

A rehearsal has a server and clients of its own, in processes as a run has them, and takes a few seconds. Its results
are kept for the session: the machine stays the same. What is measured later is never used to predict it.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
import psutil

from wsdemo.feed import News
from wsdemo.processes.children import Child
from wsdemo.processes.cpu import cpu_s
from wsdemo.processes.jobs import RehearsalJob, Scene, SceneHeard, Start
from wsdemo.processes.lines import LineProcess
from wsdemo.progress import progress as progress_bar
from wsdemo.serve import Server
from wsdemo.theory.calibration import SEVERAL, Both, Calibration, Round
from wsdemo.transports import Transport
from wsdemo.updates import Schedule, Update, every
from wsdemo.workload import phases

CLIENTS_A_PROCESS, MOST_PROCESSES = 10, 4
ROUNDS, FEW, SOME, MANY = 3, 1, SEVERAL, 50
"""A push is tried in so many rounds, each at one reader, at some and at many: one short round is luck."""
GAP_S, NEWS_A_SCENE = 0.1, 3
"""Between two updates: rarer news finds the code as cold as these do."""
MOST_TRIES = 3
"""A scene in which somebody has not heard the last update yet is played again: its bytes would belong to no answer."""
MOST_LOOKS = 500
"""So often the server is asked whether the readers of a scene have gone; then it goes on all the same."""
POLLS_PER_S = (40.0, 400.0)
"""At these rates a poll is tried: a busy server needs less for each."""
_SCENE_S, _REST_S, _LEAD_S = 0.4, 0.1, 0.05

_kept: dict[str, Calibration] = {}
_in_turn: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def rehearse(row: Transport, *, line: bool = False, progress: bool = True) -> Calibration:
    """Return the prices of a transport on this machine, tried now or earlier in this session.

    line: whether it is tried through a line, one in order: what its faults add is known, what it takes itself is not.
    Raises `children.ChildFailed` if a process dies.
    """
    # Runs that are started at once would try at once, the same thing, and disturb each other.
    async with _in_turn.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        key = f"{row.name} through a line" if line else row.name
        if key not in _kept:
            _kept[key] = await _tried(row, progress, line)
    return _kept[key]


def processes_for(clients: int) -> int:
    """Return over how many processes so many clients are spread: ten to each, but not more processes than cores."""
    return max(1, min(os.cpu_count() or 1, MOST_PROCESSES, clients // CLIENTS_A_PROCESS))


def update_bytes(schedule: Schedule, duration_s: float) -> tuple[int, ...]:
    """Return the size of each update as it is sent, with a moment of publication that is as long as one of now."""
    return tuple(map(_size, schedule.updates(duration_s)))


def _size(update: Update) -> int:
    return len(News(update.seq, update.at_s, time.perf_counter_ns(), update.data).text().encode())


@dataclass(frozen=True)
class _Look:
    """The server at one moment."""

    sent: int
    received: int
    seq: int
    cpu_s: float
    rss_bytes: int


@dataclass(frozen=True)
class _Played:
    """One scene. before, opened, after: the server before its readers came, before its clock started, at its end."""

    readers: int
    seconds: float
    before: _Look
    opened: _Look
    after: _Look
    heard: list[tuple[int, float | None, float | None]]
    requests: int
    wasted: int
    answered: int
    delays_s: list[float]

    @property
    def cpu_s(self) -> float:
        return self.after.cpu_s - self.opened.cpu_s

    @property
    def updates(self) -> int:
        """How many were published between the two looks, each of which went to every reader."""
        return self.after.seq - self.opened.seq

    @property
    def is_whole(self) -> bool:
        """Whether every reader has heard, by the end, each update that was published between the two looks."""
        return sum(self.opened.seq < seq <= self.after.seq for seq, _, _ in self.heard) == self.updates * self.readers

    def medians_s(self) -> list[float]:
        """Return the latency of each update: its median over the readers."""
        late = [(seq, late_s) for seq, late_s, _ in self.heard if late_s is not None]
        seqs = sorted({seq for seq, _ in late})
        return [statistics.median(late_s for seq, late_s in late if seq == one) for one in seqs]


class _Rehearsal:
    """A server and the processes of its readers."""

    def __init__(self, row: Transport, through_line: bool = False):
        self._schedule = every(GAP_S)
        self._server = Server(row.name, schedule=self._schedule, hold=True, max_connections=MANY + 8)
        self._row, self._crowds = row, list[Child]()
        self._t0_ns: int | None = None
        self._through_line, self._line = through_line, LineProcess()

    async def start(self) -> None:
        await self._server.start()
        url, probe_port = self._server.url(), self._server.probe_port
        if self._through_line:
            port, probe_port = await self._line.start([self._server.port(), probe_port])
            url = self._row.url(port)
        job: RehearsalJob = {
            "transport": self._row.name,
            "url": url,
            "host": "127.0.0.1",
            "probe_port": probe_port,
        }
        self._crowds = [Child("rehearsal", job) for _ in range(processes_for(MANY))]

    async def publish(self) -> None:
        self._t0_ns = time.perf_counter_ns()
        await self._server.begin(self._t0_ns)

    def _between(self, from_ns: int) -> int:
        """Return a moment from then on that lies in the middle between two updates, where nothing is on its way."""
        if self._t0_ns is None:
            return from_ns
        gap_ns = round(GAP_S * 1e9)
        return self._t0_ns + round((from_ns - self._t0_ns) / gap_ns) * gap_ns + gap_ns // 2

    def kill(self) -> None:
        for crowd in self._crowds:
            crowd.kill()
        self._line.kill()
        self._server.kill()

    async def play(
        self, readers: int, interval_s: float, seconds: float, rest_s: float = 0.0, probes: int = 0
    ) -> _Played:
        """Play one scene: open the readers, let them listen, look at the server before each step."""
        await self._empty()
        before = await self._look()
        count = processes_for(readers)
        for number, crowd in enumerate(self._crowds):
            own = phases(readers, interval_s)[number::count] if number < count else []
            scene: Scene = {
                "phases_s": own,
                "interval_s": interval_s,
                "seconds": seconds,
                "rest_s": rest_s,
                "probes": 0 if number else probes,
            }
            crowd.tell(scene)
        for crowd in self._crowds:
            await crowd.answer()
        await asyncio.sleep((self._between(time.perf_counter_ns()) - time.perf_counter_ns()) / 1e9)
        opened = await self._look()
        start: Start = {"start_ns": self._between(time.perf_counter_ns() + round(_LEAD_S * 1e9))}
        for crowd in self._crowds:
            crowd.tell(start)
        told: list[SceneHeard] = [await crowd.answer() for crowd in self._crowds]
        after = await self._look()
        heard = [(seq, late, way) for one in told for seq, late, way in one["heard"]]
        requests, wasted, answered = (sum(one[name] for one in told) for name in ("requests", "wasted", "answered"))
        delays_s = [delay for one in told for delay in one["delays_s"]]
        return _Played(readers, seconds, before, opened, after, heard, requests, wasted, answered, delays_s)

    async def _empty(self) -> None:
        """Let the readers of the last scene leave, and wait until they have: the next ones would be a larger crowd."""
        nobody: Scene = {"phases_s": [], "interval_s": 1.0, "seconds": 0.0, "rest_s": 0.0, "probes": 0}
        for crowd in self._crowds:
            crowd.tell(nobody)
        for crowd in self._crowds:
            await crowd.answer()
        for _ in range(MOST_LOOKS):
            if not (await self._server.counters())["open_now"]:
                return
            await asyncio.sleep(0.01)

    async def _look(self) -> _Look:
        told = await self._server.look()
        counters = told["meters"][self._row.name]
        rss = psutil.Process(self._server.pid).memory_info().rss
        return _Look(counters["bytes_sent"], counters["bytes_received"], told["seq"], cpu_s(self._server.pid), rss)

    def sizes(self, seq: int) -> tuple[int, ...]:
        """Return the bytes of each update up to this one, as it is sent to one reader."""
        return update_bytes(self._schedule, GAP_S * (seq + 0.5))

    def texts(self, one: _Played) -> int:
        """Return the bytes of the updates that were published in this scene, and so were sent to each reader."""
        return sum(self.sizes(one.after.seq)[one.opened.seq :]) * one.readers

    def heard(self, one: _Played) -> int:
        """Return the bytes of the updates that the answers of this scene have brought, be they from before it."""
        sizes = self.sizes(one.after.seq)
        return sum(sizes[seq - 1] for seq, _, _ in one.heard)


async def _tried(row: Transport, progress: bool, line: bool) -> Calibration:
    rehearsal = _Rehearsal(row, line)
    asks = row.habit == "asks"
    scenes = 3 if asks else 3 * ROUNDS + 1
    try:
        with progress_bar(scenes * (_SCENE_S + 0.2) + 0.6, f"rehearsal: {row.label}", show=progress) as bar:
            await rehearsal.start()
            bar.update(0.6)
            played = []
            async for scene in _asked(rehearsal) if asks else _pushed(rehearsal):
                played.append(scene)
                bar.update(_SCENE_S + 0.2)
    finally:
        rehearsal.kill()
    return _asking(rehearsal, played) if asks else _pushing(rehearsal, played, row.habit == "held")


async def _asked(rehearsal: _Rehearsal) -> AsyncIterator[_Played]:
    """Play polls that find nothing at two rates, then polls that find news."""
    for rate in POLLS_PER_S:
        readers = round(min(MANY, rate / 2))
        yield await rehearsal.play(readers, readers / rate, _SCENE_S, readers / rate + _REST_S, NEWS_A_SCENE)
    await rehearsal.publish()
    yield await rehearsal.play(20, 0.25, _SCENE_S, 0.25 + _REST_S, NEWS_A_SCENE)


async def _pushed(rehearsal: _Rehearsal) -> AsyncIterator[_Played]:
    """Play the opening of many without any news, then news to one reader, to some and to many, in rounds."""
    yield await rehearsal.play(MANY, 1.0, 0.0)
    await rehearsal.publish()
    for readers in (FEW, SOME, MANY) * ROUNDS:
        probes = NEWS_A_SCENE if readers == FEW else 0
        for _ in range(MOST_TRIES):
            scene = await rehearsal.play(readers, 1.0, GAP_S * NEWS_A_SCENE, probes=probes)
            if scene.is_whole:
                break
        yield scene


def _asking(rehearsal: _Rehearsal, played: Sequence[_Played]) -> Calibration:
    slow, quick, busy = played
    silent = Both(
        *(
            (_delta(slow, name) + _delta(quick, name)) / (slow.requests + quick.requests)
            for name in ("sent", "received")
        )
    )
    answers = busy.answered
    texts = rehearsal.heard(busy)
    news = Both(
        (_delta(busy, "sent") - busy.wasted * silent.sent - texts) / answers,
        (_delta(busy, "received") - busy.wasted * silent.received) / answers,
    )
    ways = [way for _, _, way in busy.heard if way is not None]
    prices = tuple((rate, one.cpu_s / one.requests) for rate, one in zip(POLLS_PER_S, (slow, quick), strict=True))
    return replace(
        _common(played, slow, quick, quick, silent, news),
        way_s=(statistics.median(ways), float(np.percentile(ways, 95))),
        poll_cpu_s=prices,
    )


def _pushing(rehearsal: _Rehearsal, played: Sequence[_Played], held: bool) -> Calibration:
    opening, few, some, many = played[0], played[1::3], played[2::3], played[3::3]
    rounds = tuple(map(_round, few, some, many))
    sent = sum(_delta(one, "sent") - (rehearsal.heard(one) if held else rehearsal.texts(one)) for one in many)
    received = sum(_delta(one, "received") for one in many)
    messages = sum(one.answered if held else one.updates * one.readers for one in many)
    alone, together = (sum(one.cpu_s for one in size) / sum(one.updates for one in size) for size in (few, many))
    message_cpu_s = max(0.0, together - alone) / (MANY - FEW)
    asked = sum(one.requests for one in many) if held else messages  # one of each reader is held at the end
    news = Both(sent / messages, received / asked)
    return replace(
        _common(played, few[-1], many[-1], opening, news, news),
        rounds=rounds,
        few_s=_strayed(few),
        many_s=_strayed(many),
        many=MANY,
        update_cpu_s=max(0.0, alone - message_cpu_s),
        message_cpu_s=message_cpu_s,
    )


def _strayed(scenes: Sequence[_Played]) -> tuple[float, ...]:
    """Return by how much each update was later than the middle one of its scene."""
    lates = [one.medians_s() for one in scenes]
    return tuple(late_s - middle_s for late in lates for middle_s in [statistics.median(late)] for late_s in late)


def _round(one: _Played, several: _Played, crowd: _Played) -> Round:
    first_s, several_s, many_s = (statistics.median(scene.medians_s()) for scene in (one, several, crowd))
    return Round.of(first_s, several_s, many_s, MANY)


def _delay_s(played: Sequence[_Played]) -> float:
    delays_s = list(itertools.chain.from_iterable(one.delays_s for one in played))
    return statistics.median(delays_s) if delays_s else math.nan


def _opening(one: _Played) -> Both:
    return Both(
        (one.opened.sent - one.before.sent) / one.readers, (one.opened.received - one.before.received) / one.readers
    )


def _common(
    played: Sequence[_Played], few: _Played, many: _Played, opening: _Played, silent: Both, news: Both
) -> Calibration:
    """Return the prices that every habit has: delay, bytes, and the memory of the server and of each reader."""
    each = max(0.0, (many.after.rss_bytes - few.after.rss_bytes) / max(1, many.readers - few.readers))
    rss_bytes = few.after.rss_bytes - few.readers * each
    return Calibration(_delay_s(played), _opening(opening), silent, news, rss_bytes, each)


def _delta(one: _Played, name: str) -> int:
    difference: int = getattr(one.after, name) - getattr(one.opened, name)
    return difference
