"""How readers come back: the rule drawn by the thousand, what servers say of it, and storms in a time of their own."""

import asyncio
import json
import math
import random

import pytest
from patience import patient
from strange_ends import Told, serving

from wsdemo.far_end import Attempts, Reply, Trouble, pause
from wsdemo.guard import Guard
from wsdemo.meter import Meter, listen
from wsdemo.reader import Reader
from wsdemo.returns import (
    AT_ONCE,
    GROWING,
    HANDSHAKE_S,
    JITTERED,
    LEAST_SPREAD_S,
    LONGEST_WAIT_S,
    MOST_HANDSHAKE_S,
    MOST_SPREAD_S,
    SOON_S,
    Arrivals,
    Goodbye,
    Returning,
    saying,
    spread_in,
    spread_s,
)
from wsdemo.serve import new_event_loop
from wsdemo.transports import TRANSPORTS

READERS = 1000
STREAMED = [name for name, row in TRANSPORTS.items() if row.habit == "streamed"]


def run(scenario):
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(asyncio.wait_for(scenario, patient(60)))


def drawn(returning, attempt, why, spread, times=400):
    return [returning.wait_s(attempt, why, spread) for _ in range(times)]


# --- the rule ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("readers", [1, 20, 300, 10_000])
def test_a_line_that_broke_without_a_word_is_tried_again_soon(readers):
    """However many there are: half of the readers wait less than 0.3 s, since it may be this one line alone."""
    waits = sorted(drawn(JITTERED, 0, "cut", spread_s(readers)))
    assert waits[len(waits) // 2] < 0.3 and waits[-1] <= SOON_S and len(set(waits)) > 390


def test_a_closed_port_makes_them_spread_and_each_further_one_twice_as_long():
    """Evenly from nothing on, up to the longest wait."""
    spread = spread_s(READERS)
    for attempt in range(30):
        longest = min(LONGEST_WAIT_S, spread * 2 ** max(0, attempt - 1))
        waits = drawn(JITTERED, attempt, "gone", spread)
        assert 0 <= min(waits) < longest / 10 and longest * 0.9 < max(waits) <= longest


def test_a_spread_that_is_longer_than_the_longest_wait_is_kept():
    """A hundred thousand readers do not all come within ten seconds."""
    assert JITTERED.most_s(20, "gone", 100.0) == 100.0


def test_a_goodbye_says_within_what_time():
    """The attempts before it do not count: the server was there, and knows."""
    assert JITTERED.most_s(7, "told", 3.0) == 3.0


def test_the_spread_gives_each_handshake_its_time_and_more():
    """N readers on k servers: at least N * h / k; few need none, and nobody is believed who says hours."""
    for readers in (1, 100, 5000):
        for servers in (1, 4):
            assert spread_s(readers, 0.001, servers) >= readers * 0.001 / servers
    assert spread_s(1) == LEAST_SPREAD_S and spread_s(10**9) == MOST_SPREAD_S


@pytest.mark.parametrize("returning", [AT_ONCE, GROWING])
def test_what_it_is_compared_with_has_no_jitter(returning):
    """At once is at once; growing waits are the longest ones of the rule."""
    waits = {drawn(returning, attempt, "gone", 0.5, 5)[0] for attempt in range(1, 4)}
    assert waits == ({0.0} if returning is AT_ONCE else {0.5, 1.0, 2.0})
    assert len(set(drawn(returning, 2, "gone", 0.5))) == 1


def test_there_are_three_ways_to_come_back():
    with pytest.raises(ValueError, match="at once, growing or jittered"):
        Returning("tomorrow")


def storm(returning, down_s, seed):
    """Play a restart in a time of its own; return when each reader came to the server that was back after `down_s`."""
    random.seed(seed)
    spread, came = spread_s(READERS), []
    for _ in range(READERS):
        now_s, attempt, why = 0.0, 0, "cut"
        while True:
            now_s += max(0.001, returning.wait_s(attempt, why, spread))  # a closed port answers in a millisecond
            if now_s >= down_s:
                break
            attempt, why = attempt + 1, "gone"
        came.append(round(now_s * 1e9))
    return Arrivals(sorted(came))


@pytest.mark.parametrize("down_s", [0.5, 1.0, 2.0, 3.0])
def test_a_storm_is_at_most_a_third_of_what_it_was_and_short(down_s):
    """A thousand readers, their server killed and back: per 100 ms, wherever they begin; all are there within 15 s."""
    for seed in range(5):
        wild, tame = storm(AT_ONCE, down_s, seed), storm(JITTERED, down_s, seed)
        assert wild.peak() == READERS
        # A server of ours takes some 300 connections in 100 ms when all come at once.
        assert tame.peak() <= 100
        assert max(tame.at_ns) / 1e9 - down_s <= 15


def test_growing_alone_makes_the_same_storm_later():
    """All waits are equally long: whoever broke together comes back together."""
    assert storm(GROWING, 1.0, 0).peak() == READERS


# --- the attempts of a reader -----------------------------------------------------------------------------------------


class Spy:
    """Stands for how a reader comes back, and notes what it is asked."""

    def __init__(self):
        self.asked = []

    def wait_s(self, *asked):
        self.asked.append(asked)
        return 0.0


def refused_by_the_system():
    trouble = Trouble()
    trouble.__cause__ = ConnectionRefusedError(111, "refused")
    return trouble


def after(*troubles, told=None):
    """Return what a reader's way to come back is asked after these troubles, each followed by a wait."""
    reader = Reader()
    reader.returning = spy = Spy()

    async def scenario():
        attempts = Attempts("", reader)
        attempts.reached()
        attempts.told(told or {})
        for trouble in troubles:
            attempts.failed(trouble)
            await attempts.wait()

    asyncio.run(scenario())
    return spy.asked


def test_what_happened_decides_how_long():
    """A cut, then a closed port, then a server without time."""
    asked = after(Trouble(), refused_by_the_system(), Trouble(Reply(503)), told={"spread_s": 2.5})
    assert asked == [(0, "cut", 2.5), (1, "gone", 2.5), (2, "gone", 2.5)]


def test_a_server_that_says_nothing_has_few_readers():
    assert after(Trouble()) == [(0, "cut", LEAST_SPREAD_S)]


def test_a_goodbye_is_for_the_next_wait_alone():
    """If nobody is there then, what the server said before is what is known."""
    asked = after(Trouble(goodbye=Goodbye(1012, 0.4)), refused_by_the_system(), told={"spread_s": 2.5})
    assert asked == [(0, "told", 0.4), (1, "gone", 2.5)]


def test_a_server_that_is_full_is_left_alone_first(monkeypatch):
    """1013: not before the time that it says, and jittered behind it; 1001 and 1012 have no such time."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    for code in (1001, 1012, 1013):
        after(Trouble(goodbye=Goodbye(code, 3.0)))
    assert slept == [0.0, 0.0, 3.0]


@pytest.mark.parametrize("nonsense", [-1, 0, "2", True, None, math.nan, math.inf, MOST_SPREAD_S + 1, [1]])
def test_a_spread_that_makes_no_sense_is_not_heard(nonsense):
    assert spread_in({"spread_s": nonsense}) is None and spread_in({}) is None


def test_a_pause_without_more_is_one_for_a_server_of_few(monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(pause(0))
    asyncio.run(pause(0, at_least_s=1.0, wait_s=0.5))
    assert 0 <= slept[0] <= LEAST_SPREAD_S and slept[1] == 1.5


# --- what servers say -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1001, 1012, 1013])
def test_a_goodbye_is_read_as_it_was_said(code):
    """In a close frame, where it has 123 bytes, and as a message."""
    goodbye = Goodbye(code, 12.34)
    assert len(goodbye.reason.encode()) <= 123
    assert Goodbye.read(code, goodbye.reason) == goodbye
    assert Goodbye.in_message(json.loads(json.dumps(goodbye.message()))) == goodbye


@pytest.mark.parametrize("reason", ["", "bye", "within s", "within 1e9 s", "within -1 s", "within 99999999 s"])
def test_a_goodbye_of_somebody_else_says_no_time(reason):
    """The code is understood all the same; a code that sends nobody back is none."""
    assert Goodbye.read(1012, reason) == Goodbye(1012, 0.0)
    assert Goodbye.read(1008, reason) is None and Goodbye.in_message({"goodbye": "now"}) is None


def test_a_field_is_added_to_a_message_as_it_is_sent():
    assert json.loads(saying('{"a": 1}', b=2.5)) == {"a": 1, "b": 2.5}
    assert saying('{"a": 1}') == '{"a": 1}'


@pytest.mark.parametrize("name", TRANSPORTS)
def test_a_reader_is_told_of_a_crowd(name):
    """In its first answer; of a few readers nothing is said, which costs nothing."""

    async def scenario():
        found = []
        for crowd in (1, READERS):
            feed, reader = Told(1), Reader(0.01, after=0)
            reader.returning = spy = Spy()
            with listen(Meter()) as sock:
                async with TRANSPORTS[name].module().serve(feed, sock, Guard()):
                    sock.meter.open_now += crowd - 1
                    url = TRANSPORTS[name].url(sock.getsockname()[1])
                    heard = TRANSPORTS[name].module().hear(url, reader)
                    assert (await anext(heard)).seq == 1
                    coming = asyncio.create_task(anext(heard))
                    await asyncio.sleep(0.05)
                while not spy.asked:  # noqa: ASYNC110 - the server is gone, and the reader finds out
                    await asyncio.sleep(0.01)
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
                await heard.aclose()
            found.append(max(asked[2] for asked in spy.asked))
        return found

    few, many = run(scenario())
    assert few == LEAST_SPREAD_S and many >= spread_s(READERS) * 0.99


@pytest.mark.parametrize("name", STREAMED)
def test_whoever_came_when_there_were_few_is_told_when_there_are_many(name):
    """Beside the next update, once for all, and not again until it has changed much."""

    async def scenario():
        feed, reader, told = Told(), Reader(after=0), []
        with listen(Meter()) as sock:
            async with TRANSPORTS[name].module().serve(feed, sock, Guard()):
                heard = TRANSPORTS[name].module().hear(TRANSPORTS[name].url(sock.getsockname()[1]), reader)
                take = reader.take
                reader.take = lambda message: told.append(message.get("spread_s")) or take(message)
                for crowd in (0, READERS, 0, 2 * READERS, -2 * READERS):
                    coming = asyncio.create_task(anext(heard))
                    await reader.is_open.wait()
                    await asyncio.sleep(0.02)
                    sock.meter.open_now += crowd
                    feed.tell()
                    feed._call_listeners()
                    await coming
                await heard.aclose()
        return told

    few, many, again, twice, fewer = run(scenario())
    assert few is again is None and many >= 4.0 and twice >= 8.0 and fewer < twice


# --- storms as a server sees them -------------------------------------------------------------------------------------


def test_a_series_counts_each_arrival_once_and_shows_the_empty_steps():
    """A peak is looked for in every window, not only in those of the series."""
    arrivals = Arrivals([at * 10**6 for at in (10, 95, 105, 350)])
    assert [count for _, count in arrivals.series(0, 0.5)] == [2, 1, 0, 1, 0]
    assert arrivals.peak() == 3 and arrivals.peak(t0_ns=200 * 10**6) == 1 and Arrivals().peak() == 0


def test_every_connection_that_is_let_in_is_an_arrival():
    async def scenario():
        async with serving("polling", Told(1)) as port:
            for _ in range(3):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()

    run(scenario())


def test_what_a_return_costs_is_learnt_within_bounds(monkeypatch):
    """From the processor's time in a second of many arrivals; never below what is known, nor above what can be."""

    class Clock:
        now_ns, cpu_s = 10**9, 0.0
        perf_counter_ns = classmethod(lambda clock: clock.now_ns)
        process_time = classmethod(lambda clock: clock.cpu_s)

    monkeypatch.setattr("wsdemo.returns.time", Clock)

    def learnt(*costs_s):
        arrivals = Arrivals()
        for cost_s in costs_s:
            for _ in range(300):
                arrivals.note()
                Clock.now_ns += 11 * 10**6
                Clock.cpu_s += cost_s
        arrivals.note()
        return arrivals.handshake_s

    assert learnt(0.0001) == HANDSHAKE_S
    assert learnt(0.002, 0.002) == pytest.approx(0.002)
    assert learnt(0.1, 0.003, 0.1) == pytest.approx(0.003)
    assert learnt(0.1, 0.1) == MOST_HANDSHAKE_S
