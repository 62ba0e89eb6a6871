"""The experiment: counts against an oracle computed from the schedule, for every transport by the same call."""

import asyncio
import dataclasses
import itertools
import json
import math
import os
import re
import subprocess
import sys
import time
import types

import psutil
import pytest
from ideal import made
from patience import patient

from wsdemo import measure as module
from wsdemo import rehearse as rehearse_module
from wsdemo import seen as seen_module
from wsdemo.measure import compare, measure
from wsdemo.meter import Meter
from wsdemo.result import Comparison
from wsdemo.seen import Seen
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import earthquakes, every, poisson
from wsdemo.workload import DEFAULT_PACE, Workload

CLIENTS, INTERVAL_S, DURATION_S = 12, 0.5, 2.5
SCHEDULE = poisson(3.0, seed=6)
SLACK_S = 0.1
"""A poll that is due this short before or after an update may see it or not: the oracle leaves that open."""


@pytest.fixture(scope="module")
def comparison():
    """One run of every transport on one schedule."""
    return asyncio.run(
        compare(
            list(TRANSPORTS), SCHEDULE, clients=CLIENTS, interval_s=INTERVAL_S, duration_s=DURATION_S, progress=False
        )
    )


def oracle():
    """Return (polls, wasted at least, wasted at most) of polling, from the update times alone."""
    at_s = SCHEDULE.times(DURATION_S)
    polls, surely, perhaps = 0, 0, 0
    for client in range(CLIENTS):
        previous, poll = 0.0, (client + 0.5) / CLIENTS * INTERVAL_S
        while poll < DURATION_S:
            polls += 1
            # The server looks at its feed a little after the poll is due, up to SLACK_S later.
            surely += not any(previous < at <= poll + SLACK_S for at in at_s)
            perhaps += not any(previous + SLACK_S < at <= poll for at in at_s)
            previous, poll = poll, poll + INTERVAL_S
    return polls, surely, perhaps


@pytest.mark.parametrize("name", TRANSPORTS)
def test_nothing_is_missed_and_nothing_comes_twice(comparison, name):
    """Every update of the run reaches every client once, by every transport."""
    run = comparison[name]
    published = len(SCHEDULE.times(DURATION_S))
    assert run.published == published > 5
    assert run.deliveries == published * CLIENTS == len(run.latency_s) == len(run.heard)
    assert (run.missed, run.duplicates) == (0, 0)
    assert {(heard.client, heard.seq) for heard in run.heard} == {
        (client, seq) for client in range(CLIENTS) for seq in range(1, published + 1)
    }


@pytest.mark.parametrize("name", TRANSPORTS)
def test_both_sides_count_the_same_requests(comparison, name):
    """What the clients sent is what the server got, and no note says otherwise."""
    run = comparison[name]
    assert run.client_requests == run.server_requests >= CLIENTS
    assert run.connections == CLIENTS
    assert [note for note in run.notes if "stood still" not in note] == []  # a busy machine may have stopped us


@pytest.mark.parametrize("name", ["polling", "conditional"])
def test_polls_are_those_of_the_timetable_and_wasted_ones_those_of_the_schedule(comparison, name):
    """Requests equal the polls due; wasted lies in the narrow range that the update times leave open."""
    run = comparison[name]
    polls, least, most = oracle()
    assert run.requests == polls == run.predicted.requests == len(run.polls)
    assert least <= run.wasted <= most
    assert least > 0 and most - least < polls * 0.4  # the range is narrow enough to mean something
    assert [p.client for p in run.polls] == sorted(p.client for p in run.polls)


@pytest.mark.parametrize("name", ["polling", "conditional"])
def test_the_opening_and_the_last_further_poll_are_no_polls_of_the_run(comparison, name):
    """Each client sends two requests more than are counted: one before the clock starts, one after the end."""
    run = comparison[name]
    assert run.client_requests == run.requests + 2 * CLIENTS


def test_push_subscribes_once_and_wastes_nothing(comparison):
    """One request a client, whose answer is the stream."""
    for name in ("sse", "websocket"):
        assert (comparison[name].requests, comparison[name].wasted) == (CLIENTS, 0)
        assert comparison[name].client_requests == CLIENTS


def test_long_polling_asks_about_once_an_update(comparison):
    """No more than one request an update and one in the air; updates close together may share an answer."""
    run = comparison["long_polling"]
    assert CLIENTS < run.requests <= run.predicted.requests
    assert run.wasted == 0


def test_push_hears_before_polling(comparison):
    """The mean latency of push is below a tenth of polling's, which is near T / 2."""
    polling = comparison["polling"]
    assert polling.latency_mean_s == pytest.approx(polling.predicted.latency_mean_s, rel=0.25)
    for name in ("sse", "websocket"):
        assert comparison[name].latency_mean_s < polling.latency_mean_s / 3
    assert all(latency > 0 for run in comparison for latency in run.latency_s)


def test_bytes_are_counted_at_the_server(comparison):
    """A wasted poll costs more than nothing, push less than polling; the opening is a part of the whole."""
    for run in comparison:
        assert 0 < run.opening_bytes_sent < run.bytes_sent
        assert 0 < run.opening_bytes_received <= run.bytes_received
    polling, push = comparison["polling"], comparison["websocket"]
    assert polling.bytes_received > polling.requests * len("GET /updates HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert push.bytes_per_delivery < polling.bytes_per_delivery
    # 304 answers have no body, so the server sends less than for the same polls with one.
    assert comparison["conditional"].bytes_sent < polling.bytes_sent


def test_the_server_process_was_watched(comparison):
    """CPU and memory are those of a real Python process."""
    for run in comparison:
        assert 0 <= run.server_cpu_s < DURATION_S + INTERVAL_S
        assert 5 * 2**20 < run.server_peak_rss_bytes < 200 * 2**20


def test_a_measurement_is_frozen_and_becomes_json(comparison):
    """The object of `--json`: the schedule with its times, and for each transport exactly the agreed figures."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        comparison["polling"].requests = 0
    data = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert set(data) == {"schedule", "clients", "interval_s", "line", "transports"}
    assert set(data["schedule"]) == {"kind", "rate_per_s", "updates", "duration_s", "seed", "at_s"}
    assert data["schedule"]["at_s"] == SCHEDULE.times(DURATION_S)
    for figures in data["transports"].values():
        assert set(figures) == {
            "opening_bytes",
            "held_connections",
            "heartbeats",
            "segments",
            "line_did",
            "predicted",
            "predicted_within",
            "requests",
            "wasted",
            "wasted_fraction",
            "predicted_wasted_fraction",
            "predicted_wasted_fraction_poisson",
            "published",
            "deliveries",
            "missed",
            "duplicates",
            "latency_s",
            "bytes_sent",
            "bytes_received",
            "connections",
            "server_cpu_s",
            "server_peak_rss_bytes",
            "notes",
        }
        assert set(figures["latency_s"]) == {"mean", "p50", "p95", "p99", "predicted_mean"}


def test_the_tables_have_every_row_and_are_escaped(comparison):
    """Plain for a terminal, HTML for JupyterLab; a label cannot smuggle in markup."""
    text, page = str(comparison), comparison._repr_html_()
    for word in ("wasted share", "mean latency", "bytes per delivery", "peak memory", "theory", "Polling with ETag"):
        assert word in text and word in page
    hostile = dataclasses.replace(comparison["polling"], notes=("<script>alert(1)</script>",))
    assert "<script>" not in Comparison((hostile,))._repr_html_()
    assert "&lt;script&gt;" in Comparison((hostile,))._repr_html_()


def test_a_comparison_is_indexed_by_name_and_says_what_there_is(comparison):
    """A wrong name is explained."""
    assert len(comparison) == len(TRANSPORTS) and comparison["sse"].label == "Server-sent events"
    with pytest.raises(KeyError, match="polling, conditional"):
        comparison["pigeon"]


def test_a_run_without_updates_has_no_latency_and_says_none():
    """Nothing published: all polls are wasted, latency is not a number, and JSON has null."""
    run = asyncio.run(measure("polling", every(100.0), clients=3, interval_s=0.1, duration_s=0.3, progress=False))
    assert (run.published, run.deliveries, run.wasted) == (0, 0, run.requests)
    assert math.isnan(run.latency_mean_s)
    assert run.to_dict()["latency_s"]["mean"] is None
    assert "-" in str(run)


def test_a_run_may_be_repeated_and_gives_the_same_counts():
    """Requests, updates and deliveries do not depend on luck, only on the seed."""

    async def scenario():
        options = {"clients": 5, "interval_s": 0.2, "duration_s": 0.6, "seed": 3, "progress": False}
        runs = [await measure("polling", poisson(5.0), **options) for _ in range(2)]
        assert len(asyncio.all_tasks()) == 1
        return runs

    first, second = asyncio.run(scenario())
    assert first.at_s == second.at_s == tuple(poisson(5.0, seed=3).times(0.6))
    assert (first.requests, first.deliveries) == (second.requests, second.deliveries)


def test_a_seed_moves_the_earthquakes():
    """Another seed replays another part of the week."""
    assert earthquakes(5000).with_seed(1).times(2) != earthquakes(5000).with_seed(2).times(2)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"transport": "pigeon"}, "choose from"),
        ({"clients": 0}, "clients must be"),
        ({"clients": 2.5}, "clients must be"),
        ({"clients": 10**7}, "more than one run"),
        ({"interval_s": 0}, "interval must be"),
        ({"interval_s": math.nan}, "interval must be"),
        ({"interval_s": 9.0}, "longer than duration"),
        ({"duration_s": -1}, "duration must be"),
        ({"duration_s": math.inf}, "duration must be"),
        ({"schedule": poisson(1e9)}, "updates are more"),
        ({"interval_s": 1e-7}, "polls are more"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_starts(monkeypatch, arguments, words):
    """A ValueError with the reason, and no child process."""

    def never(*_, **__):
        raise AssertionError("a process was started")

    monkeypatch.setattr(module, "Child", never)
    monkeypatch.setattr(module, "Server", never)
    options = {"transport": "polling", "schedule": every(1.0), "clients": 2, "interval_s": 0.5, "duration_s": 2.0}
    with pytest.raises(ValueError, match=words):
        asyncio.run(measure(**(options | arguments)))


def test_a_cancelled_run_leaves_no_process():
    """The stop button in the middle of a run: every child is gone when the cancellation has come through."""

    async def scenario():
        before = set(psutil.Process().children(recursive=True))
        run = measure("websocket", every(0.1), clients=4, interval_s=0.5, duration_s=60, progress=False)
        task = asyncio.create_task(run)
        async with asyncio.timeout(patient(30)):
            while len(set(psutil.Process().children(recursive=True)) - before) < 2:  # noqa: ASYNC110 - from outside
                await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert set(psutil.Process().children(recursive=True)) <= before
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())


def seen_by(*requests, polls_due=2, polls_left_out=0, failures=0, **counters):
    """Return what two clients alike saw and counted, each with these requests."""
    reader = {
        "requests": list(requests),
        "heard": [],
        "duplicates": 0,
        "resets": 0,
        "failures": failures,
        "polls_due": polls_due,
        "polls_left_out": polls_left_out,
    }
    meter = Meter(**counters).snapshot()
    return Seen(0.0, [reader, reader], Meter(wasted=2).snapshot(), 2, meter, 0.0, 0)


def evaluated(seen):
    work = Workload((0.5,), 1.0, 1.0, 0.5, 2)
    return module._evaluate(TRANSPORTS["polling"], every(1.0), work, seen, None, DEFAULT_PACE)


def test_overload_is_said():
    """Polls that were due and not made, or never answered, are named in the notes; so are counts that differ."""
    run = evaluated(seen_by((0.1, True, False), (0.6, None, False), polls_due=3, requests=3))
    assert any("6 polls were due, 4 made, 2 answered" in note for note in run.notes)
    assert any("clients counted 4 requests, the server 3" in note for note in run.notes)
    assert run.missed == 2


def test_polls_that_were_left_out_are_no_fault_of_this_machine():
    """A client that waited after a failure says so; what is missing beyond that is still the machine's."""
    requests = ((0.1, None, False), (0.6, True, False))
    run = evaluated(seen_by(*requests, polls_due=5, polls_left_out=3, failures=1, requests=4))
    assert "6 of 10 polls were left out: they fell due while a client waited after a failure" in run.notes
    assert not any("timetable" in note for note in run.notes)
    run = evaluated(seen_by(*requests, polls_due=6, polls_left_out=3, failures=1, requests=4))
    assert any("12 polls were due, 4 made, 2 answered: this machine" in note for note in run.notes)


def test_wasted_requests_are_counted_on_both_sides_and_compared():
    """The server decides by its log, the client by what is new to it; where they differ the run says so."""
    requests = ((-0.2, None, True), (0.1, True, False), (0.6, False, False))
    assert evaluated(seen_by(*requests, requests=6, wasted=4)).notes == ()
    (note,) = evaluated(seen_by(*requests, requests=6, wasted=5)).notes
    assert "clients counted 2 wasted requests, the server 3" in note


def stopped(kind, after_s, for_s):
    """Measure polling for four seconds while one child is stopped; return the run, and how long it was stopped."""
    paused_s = []

    async def stop(t0_ns):
        (child,) = [one for one in psutil.Process().children() if one.cmdline()[-1] == kind]
        await asyncio.sleep((t0_ns - time.perf_counter_ns()) / 1e9 + after_s)
        child.suspend()
        began = time.perf_counter()
        await asyncio.sleep(for_s)
        child.resume()
        paused_s.append(time.perf_counter() - began)

    async def scenario(monkeypatch):
        watch = module._watch

        async def watch_and_stop(pid, t0_ns, *rest):
            stopping = asyncio.create_task(stop(t0_ns))
            seen = await watch(pid, t0_ns, *rest)
            await stopping
            return seen

        monkeypatch.setattr(module, "_watch", watch_and_stop)
        return await measure("polling", every(0.5), clients=4, interval_s=0.5, duration_s=4.0, progress=False)

    with pytest.MonkeyPatch.context() as monkeypatch:
        return asyncio.run(scenario(monkeypatch)), paused_s[0]


STOOD_STILL = r"(.*) stood still for ([\d.]+) (m?s), ([\d.]+) (m?s) after the start"


UNITS_S = {"s": 1.0, "ms": 0.001}


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("kind, who", [("server", "the server"), ("clients", "the clients")])
def test_a_process_that_stood_still_is_named(kind, who):
    """Stopped for a second and a half in a run of four: the run says who, when and for how long; so does its JSON."""
    run, paused_s = stopped(kind, 1.0, 1.5)
    found = [match for note in run.notes if (match := re.match(STOOD_STILL, note)) and who in match[1]]
    longest = max(found, key=lambda match: float(match[2]) * UNITS_S[match[3]])
    # How long it was stopped is known; a busy machine may let it go on a little later than it was told to.
    assert float(longest[2]) * UNITS_S[longest[3]] == pytest.approx(paused_s, abs=0.5)
    assert float(longest[4]) * UNITS_S[longest[5]] == pytest.approx(1.0, abs=0.5)
    assert longest.string in run.to_dict()["notes"]


def test_a_notebook_that_stood_still_is_named(monkeypatch):
    """The process that measures watches itself, too: here a cell's own code holds its event loop for a second."""
    watch = module._watch

    async def watch_and_block(*rest):
        asyncio.get_running_loop().call_later(0.5, time.sleep, 1.0)
        return await watch(*rest)

    monkeypatch.setattr(module, "_watch", watch_and_block)
    run = asyncio.run(measure("websocket", every(0.5), clients=2, duration_s=2.0, progress=False))
    assert [note for note in run.notes if (match := re.match(STOOD_STILL, note)) and "this process" in match[1]]


def test_processes_that_stood_still_together_share_a_sentence():
    """A laptop that was asleep stops all of them: that is one pause, not four; of many pauses the longest are named."""
    calm = seen_by((-0.2, None, True), (0.1, True, False), (0.6, False, False), requests=6, wasted=4)
    seen = dataclasses.replace(calm, stalls={"the server": [(1.0, 1.5)], "the clients": [(1.1, 1.5)]})
    (note,) = evaluated(seen).notes
    assert note.startswith("the server and the clients stood still for 1.6 s, 1 s after the start")
    many = {"this process": [(float(at), 0.3 + at / 100) for at in range(8)]}
    notes = evaluated(dataclasses.replace(seen, stalls=many)).notes
    assert [re.match(STOOD_STILL, note) is not None for note in notes] == [True, True, True, False]
    assert notes[-1].startswith("5 shorter pauses")


@pytest.mark.parametrize("name", ["polling", "conditional", "long_polling"])
def test_a_real_servers_wasted_requests_are_its_clients(comparison, name):
    """In a run without trouble no note doubts the counts."""
    assert not [note for note in comparison[name].notes if "do not trust" in note]


@pytest.mark.parametrize("clients", [1, 9, 20, 23, 100])
@pytest.mark.parametrize("cores", [1, 2, 3, 16])
def test_the_answers_of_several_processes_are_put_in_the_clients_order(monkeypatch, clients, cores):
    """What `_spread` deals out, `_gathered` puts together again: client 7's tally is client 7's."""
    monkeypatch.setattr(rehearse_module.os, "cpu_count", lambda: cores)
    shares = module._spread(list(range(clients)))
    assert len(shares) == max(1, min(cores, 4, clients // 10))
    assert module._gathered(shares) == list(range(clients))


def test_only_the_cpu_of_the_run_is_counted():
    """A process that has worked before the clock starts and then sleeps has used none of it."""
    busy = "import time\nwhile time.process_time() < 0.7: pass\nprint(flush=True)\ntime.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            cpu_s, peak = asyncio.run(module._watch(process.pid, time.perf_counter_ns(), 0.2, "", False))
        finally:
            process.kill()
    assert 0 <= cpu_s < 0.35
    assert peak > 2**20


def test_a_seed_is_the_same_luck_for_every_transport(monkeypatch):
    """`compare` draws once, and every run hears what was drawn."""
    played = []

    async def measured(name, schedule, **_):
        played.append((name, schedule))
        return made(name)

    monkeypatch.setattr(module, "measure", measured)
    asyncio.run(compare(["polling", "sse"], poisson(2.0), seed=5, progress=False))
    assert played == [("polling", poisson(2.0, seed=5)), ("sse", poisson(2.0, seed=5))]


def notes_of(name, seen, asked=(), clients=2):
    return " ".join(seen_module.notes(TRANSPORTS[name], Workload((0.5,), 1.0, 1.0, 0.5, clients), seen, asked))


@pytest.mark.parametrize("name", TRANSPORTS)
def test_many_clients_are_said_of_those_who_are_pushed_to(name):
    """Their latency is that of the processes which wake them; what is asked by a timetable does not depend on it."""
    seen = seen_by(polls_due=0, wasted=2)
    few, many = (
        notes_of(name, seen, clients=clients) for clients in (seen_module.MANY_CLIENTS, seen_module.MANY_CLIENTS + 1)
    )
    assert few == ""
    assert ("101 clients share a few processes" in many) == (TRANSPORTS[name].habit != "asks")


@pytest.mark.parametrize(
    "requests, polls_due, failures, said",
    [
        ([(0.1, True, False), (0.6, False, False)], 2, 0, False),
        ([(0.1, True, False), (0.6, False, False)], 3, 0, True),
        ([(0.1, True, False), (0.6, None, False)], 2, 0, True),
        ([(0.1, True, False), (0.6, None, False)], 2, 1, False),
    ],
    ids=["all is well", "a poll was not made", "a poll was not answered", "a poll failed on the way"],
)
def test_a_timetable_that_was_not_kept_is_said(requests, polls_due, failures, said):
    """A poll that was not made, or has no answer, is overload; one that failed is counted as that, and said."""
    seen = seen_by(*requests, polls_due=polls_due, requests=4, wasted=4)
    seen.readers[0] = seen.readers[0] | {"failures": failures}
    seen.readers[1] = seen.readers[1] | {"failures": failures}
    notes = evaluated(seen).notes
    assert any("could not keep the timetable" in note for note in notes) == said
    assert ("2 requests or connections failed on the way" in notes) == (failures > 0)


def test_the_largest_memory_is_kept_and_not_the_last(monkeypatch):
    """A server that frees memory during the run has needed it all the same."""
    sizes = itertools.chain([300], itertools.repeat(200))

    class Process:
        def __init__(self, pid):
            pass

        def memory_info(self):
            return types.SimpleNamespace(rss=next(sizes))

        def cpu_times(self):
            return types.SimpleNamespace(user=0.0, system=0.0)

    monkeypatch.setattr(module.psutil, "Process", Process)
    assert asyncio.run(module._watch(1, time.perf_counter_ns(), 0.01, "", False)) == (0.0, 300)
    assert next(sizes) == 200  # it has looked more than once
