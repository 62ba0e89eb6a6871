"""What a server says in silence, and how often at the most: counted, and held against theory given the schedule."""

import asyncio
import contextlib
import json
import math
import time

import aiohttp
import pytest
from aiohttp import WSMsgType
from patience import patient

from wsdemo import theory
from wsdemo.feed import MAX_MESSAGE_BYTES, Feed
from wsdemo.guard import Guard
from wsdemo.measure import compare, measure
from wsdemo.meter import Meter, listen
from wsdemo.reader import Reader
from wsdemo.serve import Server, new_event_loop
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import Update, every, poisson
from wsdemo.workload import Pace

CLIENTS = 3
BYTES = {"websocket": (2 + 4, 2 + 4 + 4), "sse": (len(b"8\r\n: ping\r\n\r\n\r\n"), 0)}
"""A ping and its pong, which is masked (RFC 6455, section 5.2); a comment as a chunk of its own: sent, received."""
T_S = 0.2
SCHEDULES = {
    "regular": [0.05 * number for number in range(1, 40)],
    "random": poisson(20.0).times(2.0),
    "bursty": [start + 0.004 * number for start in (0.1, 0.75, 1.3) for number in range(12)],
}
STREAMED = [name for name, row in TRANSPORTS.items() if row.habit == "streamed"]


def run(scenario):
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(scenario)


async def beside(name, pace, seconds):
    """Serve nothing but silence for so long; return the first and last counters, and the seconds from one to the next.

    The seconds are a least and a most: the counters are taken somewhere between question and answer.
    """
    async with Server(name, schedule=every(3600.0), pace=pace) as server, asyncio.timeout(patient(30)):
        readers = [Reader(hold_s=pace.hold_s) for _ in range(CLIENTS)]

        async def attend(reader):
            async with contextlib.aclosing(TRANSPORTS[name].module().hear(server.url(), reader)) as deliveries:
                async for _ in deliveries:
                    pass

        tasks = [asyncio.create_task(attend(reader)) for reader in readers]
        for reader in readers:
            await reader.is_open.wait()
        asked = time.monotonic()
        first = await server.counters()
        answered = time.monotonic()
        await asyncio.sleep(seconds)
        asked_again = time.monotonic()
        last = await server.counters()
        span = asked_again - answered, time.monotonic() - asked
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return first, last, span


@pytest.mark.parametrize("way", ["at speed 1", "scaled"])
@pytest.mark.parametrize("name", BYTES)
def test_heartbeats_are_as_many_as_periods(name, way):
    """Each connection has one a period, less or more by the one at the border; and the bytes are theirs, to the byte.

    Two ways to the same pace: short periods given as they are, or a server's own with a week that is 100 times as fast.
    """
    pace = Pace(ping_s=0.2, comment_s=0.15) if way == "at speed 1" else Pace().faster(100)
    assert (pace.ping_s, pace.comment_s) == (0.2, 0.15)
    first, last, (least_s, most_s) = run(beside(name, pace, 2.0))
    period_s = pace.ping_s if name == "websocket" else pace.comment_s
    beats = last["heartbeats"] - first["heartbeats"]
    # A window of length W holds floor(W / P) or one more of times that are P apart.
    assert CLIENTS * (math.floor(least_s / period_s) - 1) <= beats <= CLIENTS * (math.floor(most_s / period_s) + 1)
    sent, received = BYTES[name]
    assert last["bytes_sent"] - first["bytes_sent"] == beats * sent
    # Of the newest ping the pong may be under way.
    missing = beats * received - (last["bytes_received"] - first["bytes_received"])
    assert abs(missing) <= CLIENTS * received


def test_a_long_poll_ends_after_the_time_it_is_held():
    """Each reader asks again once a `hold_s` at the most, and what it asked is wasted, whole."""
    pace = Pace(hold_s=0.25)
    first, last, (least_s, most_s) = run(beside("long_polling", pace, 2.0))
    wasted = last["wasted"] - first["wasted"]
    # A round is held at least so long, and takes a transit more: under load fewer fit, and never more. A client that
    # took these answers for not held would wait ever longer, and ask five times at the most.
    assert CLIENTS * 6 <= wasted <= CLIENTS * (math.floor(most_s / pace.hold_s) + 1)
    assert abs(last["requests"] - first["requests"] - wasted) <= CLIENTS
    assert least_s > 0


async def heard_by(name, at_s, pace):
    """Return what one reader heard, as it came: the moment, the numbers of each message, and the latencies."""
    feed = Feed([Update(number, one, {}) for number, one in enumerate(at_s, 1)])
    with listen(Meter()) as sock:
        async with TRANSPORTS[name].module().serve(feed, sock, Guard(), pace), aiohttp.ClientSession() as session:
            url = TRANSPORTS[name].url(sock.getsockname()[1])
            messages = []
            async with asyncio.timeout(patient(30)), _messages(session, name, url) as coming:
                await anext(coming)  # the position
                feed.start()
                while sum(len(message) for _, message in messages) < len(at_s):
                    messages.append((await anext(coming), time.perf_counter_ns())[::-1])
            await feed.stop()
    return messages, feed.t0_ns


@contextlib.asynccontextmanager
async def _messages(session, name, url):
    """Give the messages of a stream as another library reads them: of WebSocket, or of one write of an event stream."""

    async def of_socket(socket):
        async for message in socket:
            assert message.type == WSMsgType.TEXT
            came = json.loads(message.data)
            yield came if isinstance(came, list) else [came]

    async def of_events(response):
        async for piece, _ in response.content.iter_chunks():
            lines = [line.removeprefix(b"data: ") for line in piece.splitlines() if line.startswith(b"data: ")]
            if lines:
                yield [json.loads(line) for line in lines]

    if name == "websocket":
        async with session.ws_connect(url) as socket:
            yield of_socket(socket)
    else:
        async with session.get(url) as response:
            yield of_events(response)


def sent(at_s, interval_s):
    """Return when each update is sent at the earliest: at once after a quiet time, else at the end of T."""
    moments, due_s = [], -math.inf
    for one_s in at_s:
        if one_s > due_s:
            due_s = max(one_s, due_s + interval_s)
        moments.append(due_s)
    return moments


def test_a_quiet_time_ends_at_once_and_nothing_waits_longer_than_it_may():
    """No update waits beyond T. In the mean, many at once wait longer than for polls, and all others shorter."""
    waits = {
        source: [sent_s - one_s for sent_s, one_s in zip(sent(at_s, T_S), at_s, strict=True)]
        for source, at_s in SCHEDULES.items()
    }
    assert all(0 <= wait <= T_S for of_source in waits.values() for wait in of_source)
    means = {source: sum(of_source) / len(of_source) for source, of_source in waits.items()}
    assert means["regular"] <= theory.latency_mean(T_S) >= means["random"]
    assert means["bursty"] > theory.latency_mean(T_S)  # eleven of twelve wait for the end of T


@pytest.mark.parametrize("source", SCHEDULES)
@pytest.mark.parametrize("name", STREAMED)
def test_conflation_sends_no_more_than_polling_asks(name, source):
    """Every update comes, once and in order, in at most as many messages as one poller with the same T asks for."""
    at_s = SCHEDULES[source]
    messages, t0_ns = run(heard_by(name, at_s, Pace(at_most_every_s=T_S)))
    seqs = [news["seq"] for _, message in messages for news in message]
    assert seqs == list(range(1, len(at_s) + 1))
    last_s = (messages[-1][0] - t0_ns) / 1e9  # on a machine that stood still it is later, and polls go on until then
    polls = len(theory.poll_times(T_S / 2, T_S, max(2.0, last_s + T_S)))
    assert len(messages) <= polls
    assert len(messages) < len(at_s)  # without conflation there are as many


@pytest.mark.parametrize("name", STREAMED)
def test_without_a_knob_there_is_a_message_an_update(name):
    """As ever: what is due at one moment comes in messages of its own."""
    messages, _ = run(heard_by(name, [0.1, 0.2, 0.3], Pace()))
    assert [[news["seq"] for news in message] for _, message in messages] == [[1], [2], [3]]


def test_what_is_more_than_a_message_holds_comes_in_several():
    """A client that reads no message above its limit is not lost by a burst of large updates."""
    at_s = [0.1 + 0.001 * number for number in range(9)]

    async def scenario():
        feed = Feed([Update(number, one, {"text": "x" * 20_000}) for number, one in enumerate(at_s, 1)])
        with listen(Meter()) as sock:
            async with TRANSPORTS["websocket"].module().serve(feed, sock, Guard(), Pace(at_most_every_s=T_S)):
                url = TRANSPORTS["websocket"].url(sock.getsockname()[1])
                reader = Reader()
                async with contextlib.aclosing(TRANSPORTS["websocket"].module().hear(url, reader)) as deliveries:
                    task = asyncio.create_task(anext(deliveries))
                    async with asyncio.timeout(patient(20)):
                        await reader.is_open.wait()
                        feed.start()
                        seqs = [(await task).seq] + [(await anext(deliveries)).seq for _ in at_s[1:]]
                    await feed.stop()
        return seqs, reader.failures

    assert 2 * MAX_MESSAGE_BYTES < 9 * 20_000
    assert run(scenario()) == (list(range(1, 10)), 0)


def test_a_run_is_conflated_by_its_pace():
    """`measure` hands it on to the server: every update is heard, after waits no shorter than theory's."""

    options = {"clients": 2, "interval_s": 0.25, "duration_s": 1.0, "progress": False}
    ran = asyncio.run(measure("websocket", every(0.02), pace=Pace(at_most_every_s=0.25), **options))
    assert ran.deliveries == ran.predicted.deliveries
    waits = [sent_s - at_s for sent_s, at_s in zip(sent(ran.at_s, 0.25), ran.at_s, strict=True)]
    assert sum(waits) / len(waits) > 0.05
    assert ran.latency_mean_s >= sum(waits) / len(waits)


def test_who_only_answers_cannot_be_thinned():
    """Alone it is refused, before anything starts; beside a stream it stays as it is."""
    pace = Pace(at_most_every_s=1.0)
    with pytest.raises(ValueError, match=r"streamed to \(sse, websocket\): polling only answers"):
        asyncio.run(measure("polling", every(1.0), pace=pace))
    with pytest.raises(ValueError, match="long_polling, conditional only answer"):
        asyncio.run(compare(["long_polling", "conditional"], every(1.0), pace=pace))


@pytest.mark.parametrize("wrong", [{"ping_s": 0}, {"comment_s": -1}, {"hold_s": math.inf}, {"at_most_every_s": 0}])
def test_what_is_no_period_is_refused(wrong):
    """By name, when it is made."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Pace(**wrong)
