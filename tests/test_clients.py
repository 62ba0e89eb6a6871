"""The clients' process: it connects all, waits for the start, tallies every reader, and says why it cannot."""

import asyncio
import itertools
import socket
import time

import pytest

from wsdemo.command import child
from wsdemo.loops import PromptSelector
from wsdemo.processes import clients
from wsdemo.processes.children import Child, ChildFailed
from wsdemo.processes.clients import _AT_A_TIME, _FewAtATime
from wsdemo.reader import Reader, Refused
from wsdemo.serve import Server
from wsdemo.theory import phases, poll_times
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import every

INTERVAL_S, DURATION_S, PHASES = 0.2, 0.6, phases(3, 0.2)


async def work(name, server):
    """Run three clients of a server through their job; return both answers."""
    job = {
        "transport": name,
        "url": server.url(name),
        "host": "127.0.0.1",
        "probe_port": server.probe_port,
        "interval_s": INTERVAL_S,
        "duration_s": DURATION_S,
        "phases_s": PHASES,
    }
    crowd = Child("clients", job)
    try:
        ready = await crowd.answer()
        start_ns = time.perf_counter_ns() + 10**8
        await server.begin(start_ns)
        crowd.tell({"start_ns": start_ns})
        return ready, await crowd.answer()
    finally:
        crowd.kill()


@pytest.mark.parametrize("name", TRANSPORTS)
def test_every_reader_is_tallied(name):
    """Each client opens before the start, hears each update once, and reports what it asked and heard."""

    async def scenario():
        async with Server(name, schedule=every(0.15), duration_s=DURATION_S, hold=True) as server:
            return await work(name, server)

    ready, answer = asyncio.run(scenario())
    assert 0 < ready["delay_s"] < 1
    assert len(answer["readers"]) == len(PHASES)
    for phase, reader in zip(PHASES, answer["readers"], strict=True):
        assert [seq for seq, _, _ in reader["heard"]] == [1, 2, 3]
        assert (reader["duplicates"], reader["resets"], reader["failures"]) == (0, 0, 0)
        assert all(latency >= 0 for _, _, latency in reader["heard"])
        if reader["polls_due"]:
            due = [at for at, _, opening in reader["requests"] if not opening and at < DURATION_S]
            assert due == pytest.approx(poll_times(phase, INTERVAL_S, DURATION_S), abs=1e-6)
            assert reader["polls_due"] == len(due)


def test_clients_that_cannot_connect_say_why():
    """The error names the address, and asks whether the server is running."""

    async def scenario():
        async with Server("polling", hold=True) as server:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                nobody = TRANSPORTS["polling"].url(free.getsockname()[1])
            server._about["urls"]["polling"] = nobody
            with pytest.raises(ChildFailed, match="is the server running"):
                await work("polling", server)

    asyncio.run(scenario())


def test_a_crowd_of_ready_sockets_is_handed_out_a_few_at_a_time():
    """A hundred sockets with a message each: no look brings more than a few, and none is forgotten."""
    pairs = [socket.socketpair() for _ in range(100)]
    waiting = {mine for mine, _ in pairs}
    with _FewAtATime() as selector:
        for mine, theirs in pairs:
            selector.register(mine, 1)
            theirs.send(b"news")
        while waiting:
            ready = selector.select(0)
            assert 0 < len(ready) <= _AT_A_TIME
            for key, _ in ready:
                key.fileobj.recv(10)
                waiting.remove(key.fileobj)
    for pair in pairs:
        for end in pair:
            end.close()


@pytest.mark.parametrize("crowd", [100, 400])
def test_a_crowd_is_asked_for_once_and_not_once_for_each_few(crowd, monkeypatch):
    """The system lists all that is ready whenever it is asked: for every four, that work would be quadratic."""
    listed = []
    ask = PromptSelector.select

    def count(selector, timeout=None):
        found = ask(selector, timeout)
        listed.append(len(found))
        return found

    monkeypatch.setattr(PromptSelector, "select", count)
    pairs = [socket.socketpair() for _ in range(crowd)]
    with _FewAtATime() as selector:
        for mine, theirs in pairs:
            selector.register(mine, 1)
            theirs.send(b"news")
        for _ in range(crowd // _AT_A_TIME):
            for key, _ in selector.select(0):
                key.fileobj.recv(10)
        assert listed == [crowd]
        assert selector.select(0) == []
    for pair in pairs:
        for end in pair:
            end.close()


def test_what_is_no_longer_watched_is_not_handed_out():
    """Of a hundred that are ready, half are let go after the first few: nothing is said of those."""
    pairs = [socket.socketpair() for _ in range(100)]
    with _FewAtATime() as selector:
        for mine, theirs in pairs:
            selector.register(mine, 1)
            theirs.send(b"news")
        seen = [key.fileobj for key, _ in selector.select(0)]
        gone = {mine for mine, _ in pairs[::2]} - set(seen)
        for mine in gone:
            selector.unregister(mine)
        for _ in range(100 // _AT_A_TIME):
            for key, _ in selector.select(0):
                key.fileobj.recv(10)
                seen.append(key.fileobj)
        assert not gone & set(seen)
        assert {mine for mine, _ in pairs} == gone | set(seen)
    for pair in pairs:
        for end in pair:
            end.close()


def test_the_one_way_delay_is_half_a_round_trip(monkeypatch):
    """By a clock that moves 2 ms from when a probe leaves to when it is back."""
    ticks = itertools.count(0, 2_000_000)

    class Clock:
        perf_counter_ns = staticmethod(lambda: next(ticks))

    monkeypatch.setattr(clients, "time", Clock)

    async def echo(reader, writer):
        while data := await reader.read(1024):
            writer.write(data)
        writer.close()

    async def scenario():
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            return await clients._one_way_delay("127.0.0.1", server.sockets[0].getsockname()[1], clients.PROBES)

    assert asyncio.run(scenario()) == pytest.approx(0.001)


def test_clients_behind_their_timetable_may_go_on(monkeypatch):
    """After the run those that still have polls to make are waited for; those that only listen are not."""
    monkeypatch.setattr(clients, "GRACE_S", 0.0)

    async def scenario():
        behind, listener = Reader(), Reader()
        behind.polling = True
        late = asyncio.create_task(asyncio.sleep(0.3))
        listening = asyncio.create_task(asyncio.sleep(600))
        job = {"duration_s": 0.01, "interval_s": 0.01}
        await clients._until_the_end(job, time.perf_counter_ns(), [behind, listener], [late, listening])
        assert late.done() and not late.cancelled()
        assert listening.cancelled()

    asyncio.run(scenario())


@pytest.mark.parametrize("name", TRANSPORTS)
def test_ready_means_that_every_client_is_connected(name):
    """The clock starts after that answer: what opening costs must not be a part of the run."""

    async def scenario():
        async with Server(name, schedule=every(1.0), hold=True) as server:
            crowd = Child("clients", job_of(name, server, phases(7, INTERVAL_S)))
            try:
                await crowd.answer()
                counters = await server.counters(name)
                assert counters["open_now"] == counters["connections"] == 7
                assert counters["requests"] >= 7
            finally:
                crowd.kill()

    asyncio.run(scenario())


def job_of(name, server, phases_s):
    return {
        "transport": name,
        "url": server.url(name),
        "host": "127.0.0.1",
        "probe_port": server.probe_port,
        "interval_s": INTERVAL_S,
        "duration_s": DURATION_S,
        "phases_s": phases_s,
    }


def test_the_failure_of_one_client_is_the_failure_of_the_run(monkeypatch):
    """A run that lacks a client's counts is no measurement: the reason comes out, whatever the others heard."""
    monkeypatch.setattr(clients, "GRACE_S", 0.0)

    async def fail():
        raise Refused(503, "All 1 connections of this server are taken")

    async def scenario():
        tasks = [asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(600))]
        job = {"duration_s": 0.01, "interval_s": 0.01}
        with pytest.raises(Refused, match="are taken"):
            await clients._until_the_end(job, time.perf_counter_ns(), [Reader(), Reader()], tasks)
        assert tasks[1].cancelled()

    asyncio.run(scenario())


def test_clients_run_on_the_loop_that_wakes_a_few_at_a_time():
    """Otherwise the last of a hundred would wait until all others have read their message."""
    _, loop = child.KINDS["clients"]({})
    try:
        assert isinstance(loop._selector, _FewAtATime)
    finally:
        loop.close()
