"""What runs trials inside a child process, one after the other: `run_child`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypedDict

from wsdemo.processes.children import say
from wsdemo.trials.left import Present, left_since
from wsdemo.trials.patience import patient
from wsdemo.trials.rows import TRIALS
from wsdemo.trials.stage import Stage
from wsdemo.trials.trial import Trial


class Played(TypedDict):
    """How a trial went. wrong: in sentences, empty if it went well; skipped: why it could not be played here."""

    wrong: list[str]
    took_s: float
    skipped: str


async def run_child(_: Any, orders: AsyncIterator[Any]) -> None:
    """Play the trials that it is told of, until stdin ends: {"name": …, "seed": …}. It answers `Played`."""
    async for order in orders:
        say(await play(TRIALS[order["name"]], order["seed"]))


async def play(trial: Trial, seed: int) -> Played:
    """Play a trial in this process, and look at what it leaves."""
    if not sys.platform.startswith(trial.systems):
        return {"wrong": [], "took_s": 0.0, "skipped": f"this system ({sys.platform}) has not what it needs"}
    began_s, before = time.monotonic(), Present.now()
    with tempfile.TemporaryDirectory(prefix="wsdemo-trial-", ignore_cleanup_errors=True) as folder:
        wrong = await _played(trial, Stage(trial.transport, trial.chance(seed), Path(folder)))
    wrong += await left_since(before)
    return {"wrong": wrong, "took_s": time.monotonic() - began_s, "skipped": ""}


async def _played(trial: Trial, stage: Stage) -> list[str]:
    """Play it to its end, or to its limit. Whatever a scenario raises is something wrong with it."""
    limit_s = patient(trial.limit_s)
    try:
        async with stage, asyncio.timeout(limit_s) as limit:
            await trial.play(stage, **trial.parameters)
    except Exception as error:
        if isinstance(error, TimeoutError) and limit.expired():
            waited = f", while it waited until {stage.waits_for}" if stage.waits_for else ""
            return [f"was ended after {limit_s:g} s{waited}", *stage.wrong]
        return [f"{type(error).__name__}: {error}", *stage.wrong]
    return stage.wrong
