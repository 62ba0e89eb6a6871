"""Trials: their rows, how they are played, what a failure says; and all of them, whole or in a small form."""

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from itertools import groupby

import psutil
import pytest
import sandbox
from patience import PATIENCE, patient

from wsdemo import __main__ as command_line
from wsdemo.processes import children
from wsdemo.reader import Reader
from wsdemo.serve import new_event_loop
from wsdemo.transports import TRANSPORTS
from wsdemo.trials import patience, pool, rows, worker
from wsdemo.trials.heard import Heard
from wsdemo.trials.left import Present, left_since
from wsdemo.trials.rows import TRIALS, chosen
from wsdemo.trials.trial import Trial

FAMILIES = [list(its) for _, its in groupby(TRIALS.values(), key=lambda trial: trial.family)]
SEEDS = 10
AT_LEAST = 60

PLANT = """
import asyncio, os, signal, subprocess, sys
from wsdemo.reader import Reader
from wsdemo.trials import left
from wsdemo.trials.rows import TRIALS
from wsdemo.trials.trial import Trial

left.LOOKS = 3

async def good(stage): pass

async def bad(stage):
    stage.claim(stage.chance.random() < 0, "a claim that cannot hold")

async def waits(stage):
    await stage.until(lambda: False, "the cows come home")

async def hangs(stage):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    os.kill(child.pid, signal.SIGSTOP)
    print(child.pid, file=open(os.environ["PLANTED_PID"], "w"))
    while True: pass

async def dies(stage):
    os._exit(3)

async def leaves(stage):
    globals()["kept"] = [asyncio.create_task(asyncio.sleep(600)), open(os.devnull)]

for play in (good, bad, waits, hangs, dies, leaves):
    name = f"planted-{play.__name__}/polling"
    TRIALS[name] = Trial(name, "a planted trial", play, "polling", limit_s=1.0)
"""


def run(scenario):
    """Run a scenario on the loop that trials have."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(scenario)


def said(outcomes):
    """Return what failed, each with the line that repeats it."""
    return [(outcome.trial.again(outcome.seed), outcome.wrong) for outcome in outcomes if not outcome.good]


@pytest.fixture
def planted(monkeypatch, tmp_path):
    """Let there be planted trials here, and in the processes that play."""
    monkeypatch.setattr(rows, "TRIALS", dict(TRIALS))
    monkeypatch.setattr(pool, "GRACE_S", 19.0)
    monkeypatch.setenv("PLANTED_PID", str(tmp_path / "pid"))

    def plant(more=""):
        source = children._MAIN.replace(
            "from wsdemo.__main__", f"exec({PLANT + more!r}, globals()); from wsdemo.__main__"
        )
        monkeypatch.setattr(children, "PYTHON", (sys.executable, "-P", "-c", source))
        names = re.findall(r"^async def (\w+)", PLANT, re.MULTILINE)
        for name in (f"planted-{one}/polling" for one in names):
            rows.TRIALS[name] = Trial(name, "a planted trial", None, "polling", limit_s=1.0)
        return rows.TRIALS

    return plant


# --- rows -------------------------------------------------------------------------------------------------------------


def test_there_are_many_and_each_says_what_it_does():
    """Each name is a family and a transport, each sentence is one, and no name stands there twice."""
    assert len(TRIALS) >= AT_LEAST == 60
    for name, trial in TRIALS.items():
        assert name == trial.name == f"{trial.family}/{trial.transport}" and trial.transport in TRANSPORTS
        assert re.fullmatch(r"[a-z0-9-]+", trial.family) and len(trial.does) > 20 and not trial.does.endswith(".")
    assert sum(map(len, FAMILIES)) == len(TRIALS)
    assert len({its[0].family for its in FAMILIES}) == len(FAMILIES)


def test_limits_have_the_one_factor_of_the_tests():
    """A slow machine sets one variable."""
    assert patience.patient(10) == patient(10) == 10 * PATIENCE


def test_chances_come_from_the_name_and_the_seed():
    """The same ones each time, others with another seed and for another transport."""
    one, other = chosen("killed-with-log")[:2]
    assert one.chance(1).random() == one.chance(1).random()
    assert len({one.chance(1).random(), one.chance(2).random(), other.chance(1).random()}) == 3


# --- what is found ----------------------------------------------------------------------------------------------------

WRONG = {
    "nothing": ([1, 2, 3], {}, []),
    "lost": ([1, 2, 5, 9], {}, ["sse: lost: 5 updates, the first between 2 and 5"]),
    "lost at first": ([3, 4], {}, ["sse: lost: a history began with 3 and not with 1"]),
    "order": ([1, 3, 2], {"gaps": True}, ["sse: order: 2 came after 3 (1 such)"]),
    "twice": ([1, 1], {}, ["sse: order: 1 came after 1 (1 such)"]),
    "not told": ([1], {"resets": 1}, ["sse: told 0 times that its place is gone, and it was 1 times"]),
    "silence": ([], {}, ["sse: a reader heard nothing"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_reader_lost_or_had_twice_is_said(case):
    """In a sentence with the numbers."""
    numbers, how, sentences = WRONG[case]
    heard = Heard("sse", "", Reader())
    heard.got = [("a", seq) for seq in numbers]
    assert heard.wrong(**how) == sentences


def test_a_reader_that_was_sent_an_update_again_or_ended_is_wrong():
    """As is one whose histories come mixed."""
    heard = Heard("sse", "", Reader())
    heard.got, heard.reader.duplicates, heard.failure = [("a", 1), ("b", 1), ("a", 2)], 2, OSError("gone")
    assert heard.wrong() == [
        "sse: a reader ended: gone",
        "sse: histories came mixed",
        "sse: twice: 2 updates were sent again",
    ]


def test_what_is_left_is_said(monkeypatch):
    """A process, a task, a file, a port."""
    monkeypatch.setattr("wsdemo.trials.left.LOOKS", 2)

    def make():
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        return open(os.devnull), socket.create_server(("127.0.0.1", 0)), child

    async def scenario():
        before = Present.now()
        assert await left_since(before) == []
        task = asyncio.create_task(asyncio.sleep(patient(60)))
        file, server, child = make()
        with file, server, child:
            sentences = " ".join(await left_since(before))
            assert f"an open port: {server.getsockname()[1]}" in sentences
            child.communicate()
        task.cancel()
        for words in (f"a process: {child.pid}", "a task: ", " open files" * (os.name == "posix")):
            assert words in sentences
        await asyncio.gather(task, return_exceptions=True)
        assert await left_since(before) == []

    run(scenario())


# The product, broken in the process of the readers: what is done to it, the trial, and what it must say.
BROKEN = {
    "a place one too far": (
        "place = Reader.position\nReader.position = lambda r: place(r) | ({'after': r.seq + 1} if r.seq else {})",
        "cut/websocket",
        "lost: ",
    ),
    "a place one too early": (
        "place = Reader.position\nReader.position = lambda r: place(r) | ({'after': r.seq - 1} if r.seq else {})",
        "cut/long_polling",
        "twice: ",
    ),
    "not told that it is gone": (
        "place = Reader.place\ndef forget(r, said): place(r, said); r.resets = 0\nReader.place = forget",
        "strange-places/polling",
        "told 0 times",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_product_that_is_broken_is_found(case, planted):
    """A trial that could not turn red would be worth nothing."""
    broken, name, words = BROKEN[case]
    (outcome,) = run(pool.play_all([planted(broken)[name]], [1]))
    assert re.search(words, " ".join(outcome.wrong)), outcome.wrong


# --- how they are played ----------------------------------------------------------------------------------------------


def test_a_failure_ends_with_the_line_that_repeats_it(planted, monkeypatch, capsys):
    """And with status 1; what went well is only counted."""
    planted()
    with pytest.raises(SystemExit) as end:
        command_line.main(["trials", "--only", "planted-bad", "--seed", "7", "--repeat", "2"])
    told = capsys.readouterr()
    assert end.value.code == 1
    assert "FAILED planted-bad/polling: a planted trial\n    a claim that cannot hold\n" in told.err
    for seed in (7, 8):
        assert f"    again: python -m wsdemo trials --only planted-bad/polling --seed {seed}\n" in told.err
    assert re.search(r"^planted-bad +2 +2 ", told.out, re.MULTILINE)
    assert told.out.rstrip().endswith("s: 2 failed")
    command_line.main(["trials", "--only", "planted-good"])
    told = capsys.readouterr()
    assert told.out.rstrip().endswith("s: none failed") and told.err == ""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_whatever_a_trial_does_is_an_outcome(planted, monkeypatch, tmp_path):
    """One that waits in vain, hangs, dies or leaves something: it is said, and the next is played."""
    monkeypatch.setattr("wsdemo.trials.pool.at_once", lambda: 1)
    names = ["waits", "hangs", "good", "dies", "leaves", "good"]
    trials = [planted()[f"planted-{name}/polling"] for name in names]
    outcomes = []
    run(pool.play_all(trials, [1], outcomes.append))
    sentences = [(outcome.trial.family.removeprefix("planted-"), " ".join(outcome.wrong)) for outcome in outcomes]
    assert [name for name, _ in sentences] == names
    waits, hangs, good, dies, leaves, again = (words for _, words in sentences)
    assert waits == f"was ended after {patient(1):g} s, while it waited until the cows come home"
    assert hangs == f"hung: nothing came from its process for {patient(20):g} s, and it was ended"
    assert dies == "its process ended: a child process ended with status 3"
    assert "left a task" in leaves and "left 1 open files" in leaves
    assert good == again == ""
    with contextlib.suppress(psutil.NoSuchProcess):  # or nobody has asked yet how it ended
        assert psutil.Process(int((tmp_path / "pid").read_text())).status() == psutil.STATUS_ZOMBIE
    assert psutil.Process().children() == []


def test_trials_that_want_quiet_come_last_and_one_at_a_time(monkeypatch):
    """The others share a bounded number of processes."""
    running, most, order = [], {False: 0, True: 0}, []

    class Lane:
        alive = True

        def __init__(self, *_):
            self.pid = -1

        def tell(self, order):
            running.append(order["name"])

        async def answer(self):
            await asyncio.sleep(0.01)
            name = running[0]
            most["alone" in name] = max(most["alone" in name], len(running))
            running.remove(name)
            order.append("alone" in name)
            return {"wrong": [], "took_s": 0.0, "skipped": ""}

        async def stop(self): ...

        def kill(self): ...

    monkeypatch.setattr(pool, "Child", Lane)
    monkeypatch.setattr(pool, "_end", lambda child: None)
    trials = [Trial(f"{'alone' if n % 3 else 'beside'}-{n}/sse", "", None, "sse", alone=bool(n % 3)) for n in range(40)]
    outcomes = asyncio.run(pool.play_all(trials, [1, 2]))
    assert [(one.seed, one.trial) for one in outcomes] == [(seed, trial) for seed in (1, 2) for trial in trials]
    assert order == sorted(order) and most == {False: pool.at_once(), True: 1}


def test_what_a_system_cannot_is_skipped_and_said(monkeypatch, capsys):
    """It is no failure, and no success either."""
    played = run(worker.play(replace(TRIALS["cut/sse"], systems=("plan9",)), 1))
    assert played["wrong"] == [] and "has not what it needs" in played["skipped"]

    async def play_all(trials, seeds, told):
        return [pool.Outcome(trial, 1, (), 0.0, "not here") for trial in trials]

    monkeypatch.setattr(pool, "play_all", play_all)
    command_line.main(["trials", "--only", "cut"])
    assert re.search(r"^cut +0 +5 +–$", capsys.readouterr().out, re.MULTILINE)


def test_trials_are_listed_and_chosen_by_name(capsys):
    """One, or all of a family; one that there is not is answered with those that are like it."""
    command_line.main(["trials", "--list", "--only", "cut"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [f"cut/{name}" for name in TRANSPORTS]
    command_line.main(["trials", "--list"])
    assert len(capsys.readouterr().out.splitlines()) == len(TRIALS)
    for words, sentence in (
        (["--only", "kiled-with-log"], "there is no trial 'kiled-with-log'; do you mean killed-with-log"),
        (["--only", "@"], "there is no trial '@'; see --list"),
        (["--repeat", "0"], "--repeat must be at least 1, not 0"),
    ):
        with pytest.raises(SystemExit) as end:
            command_line.main(["trials", *words])
        assert end.value.code == 2 and sentence in capsys.readouterr().err


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.large
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_all_trials_go_well(seed, amount, monkeypatch):
    """Each of ten seeds has a tenth of the families: in full by every transport, otherwise by one.

    All of them on all ten seeds take two processors more than twenty minutes: `python -m wsdemo trials --repeat 10`.
    """
    tenth = [its for number, its in enumerate(FAMILIES) if number % SEEDS == seed % SEEDS]
    one_each = [its[seed % len(its)] for its in tenth]
    trials = amount(small=one_each, large=[trial for its in tenth for trial in its])
    full = [trial for trial in trials if trial.family == "full-disk"]
    outcomes = run(pool.play_all([trial for trial in trials if trial not in full], [seed]))
    for name in sandbox.uncounted():  # what counts coverage in CI finds no room there either, and says so
        monkeypatch.delenv(name)
    outcomes += run(pool.play_all(full, [seed])) if full else []
    assert said(outcomes) == []
    assert len(outcomes) == len(trials)


@pytest.mark.large
@pytest.mark.parametrize("log", [True, False], ids=["with a log", "without"])
@pytest.mark.parametrize("name", TRANSPORTS)
def test_a_server_is_killed_a_hundred_times(name, log, amount):
    """At random moments, 20 a transport: with a log 0 lost and 0 twice, without every reader is told each time."""
    family, kills = "killed-with-log" if log else "killed-without-log", amount(small=2, large=20)
    trial = replace(TRIALS[f"{family}/{name}"], parameters={"log": log, "kills": kills}, limit_s=500.0)
    assert run(worker.play(trial, 1))["wrong"] == []


@pytest.mark.large
@pytest.mark.parametrize("name", TRANSPORTS)
def test_a_line_is_cut_hundreds_of_times(name, amount):
    """At random bytes, 500 a transport: 0 lost, 0 twice."""
    trial = replace(TRIALS[f"cut/{name}"], parameters={"cuts": amount(small=10, large=500)}, limit_s=500.0)
    assert run(worker.play(trial, 1))["wrong"] == []
