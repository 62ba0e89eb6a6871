"""Trials: their rows, how they are played, what a failure says; and all of them, whole or in a small form."""

import asyncio
import re
import subprocess
import sys
from itertools import groupby

import pytest
from patience import PATIENCE, patient

from wsdemo.transports import TRANSPORTS
from wsdemo.trials import patience
from wsdemo.trials.pool import play_all
from wsdemo.trials.rows import TRIALS, chosen

FAMILIES = [list(rows) for _, rows in groupby(TRIALS.values(), key=lambda trial: trial.family)]


def command(*arguments):
    """Run `python -m wsdemo trials` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "wsdemo", "trials", *arguments], capture_output=True, text=True, timeout=patient(300)
    )


def said(outcomes):
    """Return what failed, each with the line that repeats it."""
    return [(outcome.trial.again(outcome.seed), outcome.wrong) for outcome in outcomes if not outcome.good]


def test_rows_are_data_that_say_what_they_do():
    """Each name is a family and a transport, each sentence is one, and no name stands there twice."""
    for name, trial in TRIALS.items():
        assert name == trial.name == f"{trial.family}/{trial.transport}" and trial.transport in TRANSPORTS
        assert re.fullmatch(r"[a-z0-9-]+", trial.family) and len(trial.does) > 20 and not trial.does.endswith(".")
    assert sum(len(rows) for rows in FAMILIES) == len(TRIALS)
    assert len({rows[0].family for rows in FAMILIES}) == len(FAMILIES)


def test_limits_have_the_one_factor_of_the_tests():
    """A slow machine sets one variable."""
    assert patience.patient(10) == patient(10) == 10 * PATIENCE


def test_chances_come_from_the_name_and_the_seed():
    """The same ones each time, others with another seed and for another transport."""
    one, other = chosen("killed-with-log")[:2]
    assert one.chance(1).random() == one.chance(1).random()
    assert len({one.chance(1).random(), one.chance(2).random(), other.chance(1).random()}) == 3


@pytest.mark.large
def test_all_trials_go_well(amount):
    """On ten seeds; in the small form one of each family, over another transport each time."""
    seeds = amount(small=1, large=10)
    trials = [rows[number % len(rows)] for number, rows in enumerate(FAMILIES)] if seeds == 1 else [*TRIALS.values()]
    outcomes = asyncio.run(play_all(trials, range(1, seeds + 1)))
    assert said(outcomes) == []
    assert len(outcomes) == len(trials) * seeds
