"""`python -m wsdemo trials`: faults by the hundred, from a seed."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from typing import TYPE_CHECKING

from wsdemo.command.output import complain
from wsdemo.command.running import heed_ctrl_c

if TYPE_CHECKING:
    from wsdemo.command.options import Jobs
    from wsdemo.trials.pool import Outcome
    from wsdemo.trials.trial import Trial


def add(jobs: Jobs) -> None:
    command = jobs.add_parser(
        "trials",
        help="try every transport under faults: kills, cuts, full disks, bad strangers",
        description="Play named scenarios of faults over all transports. Each checks itself: nothing lost, nothing"
        " twice, in order, readers told where their place is gone, memory back, nothing left. All chances come from the"
        " seed; a failure prints the line that repeats it. The status is 1 if one failed.",
        epilog="example: python -m wsdemo trials --only killed-with-log/sse --seed 7 --repeat 20",
    )
    command.add_argument("--seed", type=int, default=1, metavar="K", help="other luck (default: %(default)s)")
    command.add_argument("--only", metavar="NAME", help="one trial, or what stands before the slash: one a transport")
    command.add_argument("--repeat", type=int, default=1, metavar="N", help="play with N seeds, from K on (default: 1)")
    command.add_argument("--list", action="store_true", help="print the names, each with its sentence, and play none")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from wsdemo.trials.rows import chosen

    trials = chosen(options.only)
    if options.repeat < 1:
        raise ValueError(f"--repeat must be at least 1, not {options.repeat}")
    if options.list:
        width = max(len(trial.name) for trial in trials)
        print(*(f"{trial.name:{width}}  {trial.does}" for trial in trials), sep="\n")
        return
    heed_ctrl_c()
    began_s = time.monotonic()
    seeds = range(options.seed, options.seed + options.repeat)
    outcomes = asyncio.run(_played(trials, seeds))
    print(_summary(outcomes, time.monotonic() - began_s))
    if not all(outcome.good for outcome in outcomes):
        sys.exit(1)


async def _played(trials: list[Trial], seeds: range) -> list[Outcome]:
    from wsdemo.progress import progress
    from wsdemo.trials.pool import play_all

    with progress(len(trials) * len(seeds), "trials", unit="trials") as bar:

        def told(outcome: Outcome) -> None:
            if not outcome.good:
                bar.clear()
                complain(_failed(outcome))
            bar.update(1)

        return await play_all(trials, seeds, told)


def _failed(outcome: Outcome) -> str:
    lines = [f"FAILED {outcome.trial.name}: {outcome.trial.does}", *(f"    {wrong}" for wrong in outcome.wrong)]
    return "\n".join([*lines, f"    again: {outcome.trial.again(outcome.seed)}"])


def _summary(outcomes: list[Outcome], took_s: float) -> str:
    """Return the table: one line a family."""
    families: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        families.setdefault(outcome.trial.family, []).append(outcome)
    width = max(map(len, [*families, "trial"]))
    lines = [f"{'trial':{width}}  played  failed  skipped  median s"]
    for family, its in families.items():
        played = [outcome.took_s for outcome in its if not outcome.skipped]
        middle = f"{statistics.median(played):8.1f}" if played else f"{'–':>8}"
        failed, skipped = sum(not outcome.good for outcome in its), sum(bool(outcome.skipped) for outcome in its)
        lines.append(f"{family:{width}}  {len(played):6}  {failed or '':>6}  {skipped or '':>7}  {middle}")
    failed = sum(not outcome.good for outcome in outcomes)
    lines.append(f"\n{len(outcomes)} trials in {took_s:.0f} s: {failed or 'none'} failed")
    return "\n".join(lines)
