"""Plays many trials, some at a time, each in a process that can be ended: `play_all`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from wsdemo.processes.children import Child, ChildFailed
from wsdemo.trials.patience import patient
from wsdemo.trials.trial import Trial
from wsdemo.trials.worker import Played

GRACE_S = 45.0
"""How much longer than its limit a trial's process is waited for: it has to end what it has started."""


@dataclass(frozen=True)
class Outcome:
    """How one trial with one seed went. wrong: in sentences; skipped: why it was not played, empty if it was."""

    trial: Trial
    seed: int
    wrong: tuple[str, ...]
    took_s: float
    skipped: str = ""

    @property
    def good(self) -> bool:
        return not self.wrong


def at_once() -> int:
    """Return how many trials run beside each other: most of them wait most of the time."""
    return 2 + 2 * min(4, os.cpu_count() or 1)


async def play_all(
    trials: Sequence[Trial], seeds: Sequence[int], told: Callable[[Outcome], object] | None = None
) -> list[Outcome]:
    """Play each trial with each seed, first those that may run beside others, then those that want quiet.

    told: called with each outcome as it comes. Returns them in the order of seeds and trials.
    """
    outcomes: list[Outcome] = []

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if told is not None:
            told(outcome)

    for alone in (False, True):
        waiting = deque((trial, seed) for seed in seeds for trial in trials if trial.alone is alone)
        lanes = min(len(waiting), 1 if alone else at_once())
        async with asyncio.TaskGroup() as group:
            for _ in range(lanes):
                group.create_task(_lane(waiting, note))
    order = {trial.name: number for number, trial in enumerate(trials)}
    return sorted(outcomes, key=lambda outcome: (outcome.seed, order[outcome.trial.name]))


async def _lane(waiting: deque[tuple[Trial, int]], note: Callable[[Outcome], None]) -> None:
    """Play what is waiting, one after the other, in one process as long as that holds."""
    child: Child | None = None
    try:
        while waiting:
            trial, seed = waiting.popleft()
            child = child or Child("trials", {})
            played = await _played(child, trial, seed)
            if not child.alive:
                child = None
            note(Outcome(trial, seed, tuple(played["wrong"]), played["took_s"], played["skipped"]))
        if child is not None:
            await child.stop()
            child = None
    finally:
        if child is not None:
            _end(child)


async def _played(child: Child, trial: Trial, seed: int) -> Played:
    """Let the process play a trial; one that hangs, or dies of it, is ended with all that it has started."""
    limit_s = patient(trial.limit_s + GRACE_S)
    try:
        child.tell({"name": trial.name, "seed": seed})
        async with asyncio.timeout(limit_s):
            played: Played = await child.answer()
        return played
    except TimeoutError:
        wrong = f"hung: nothing came from its process for {limit_s:g} s, and it was ended"
    except ChildFailed as error:
        wrong = f"its process ended: {error}"
    _end(child)
    return {"wrong": [wrong], "took_s": 0.0, "skipped": ""}


def _end(child: Child) -> None:
    """End a process and what it has started, also what stands still and would never notice.

    All of them before it is waited for: what was started has its standard output, too, and keeps that open.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        own = psutil.Process(child.pid)
        for process in [own, *own.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    child.kill()
