"""How servers leave, by every transport: at once, or one reader after the other; and lines of which nobody is told.

They decide by counts: what was lost or heard twice, how many were told, how many periods it took.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import struct
import sys
from contextlib import aclosing

import pytest
import websockets
from patience import patient
from strange_ends import FarEnd, Told, a_free_port

from wsdemo.far_end import Attempts
from wsdemo.guard import Guard
from wsdemo.leaving import Leaving, until_told
from wsdemo.meter import Meter, listen
from wsdemo.reader import Reader
from wsdemo.returns import SOON_S, Goodbye
from wsdemo.serve import Server, new_event_loop
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import every
from wsdemo.workload import Pace

ALL = pytest.mark.parametrize("name", TRANSPORTS)
HELD = [name for name, row in TRANSPORTS.items() if row.habit != "asks"]
READERS = 8


def run(scenario):
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(asyncio.wait_for(scenario, patient(60)))


async def until(condition):
    while not condition():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def hearing(name, url, readers):
    """Let readers hear while the body runs; give what each heard."""
    heard = [[] for _ in readers]

    async def attend(reader, numbers):
        async with aclosing(TRANSPORTS[name].module().hear(url, reader)) as deliveries:
            async for delivery in deliveries:
                numbers.append(delivery.seq)

    tasks = [asyncio.create_task(attend(*one)) for one in zip(readers, heard, strict=True)]
    try:
        for reader in readers:
            await reader.is_open.wait()
        yield heard
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def goodbyes(monkeypatch):
    """Note each goodbye that a reader hears."""
    noted, part = [], Attempts._part

    def note(attempts, goodbye):
        noted.append(goodbye)
        part(attempts, goodbye)

    monkeypatch.setattr(Attempts, "_part", note)
    yield noted


# --- goodbye ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HELD)
@pytest.mark.parametrize("drains", [False, True], ids=["stops", "drains"])
def test_whoever_waits_is_told_once_and_told_why(name, drains, monkeypatch):
    """1001 where the server stops, 1012 where it drains: in a close frame, an event or an answer."""

    async def scenario():
        readers = [Reader(after=0) for _ in range(READERS)]
        with listen(Meter()) as sock, goodbyes(monkeypatch) as noted:
            async with TRANSPORTS[name].module().serve(Told(1), sock, Guard()):
                url = TRANSPORTS[name].url(sock.getsockname()[1])
                async with hearing(name, url, readers):
                    await until(lambda: len(sock.leaving) == READERS)
                    if drains:
                        await sock.leaving.drain(0.1)
                    else:
                        await sock.leaving.stop()
                    await until(lambda: len(noted) == READERS)
                    assert len(sock.leaving) == 0 or not drains
            assert {goodbye.code for goodbye in noted} == {1012 if drains else 1001}
            assert all(0 < goodbye.within_s <= SOON_S for goodbye in noted)

    run(scenario())


def test_a_websocket_of_any_library_reads_why_it_is_closed():
    """The code and the sentence are the protocol's own."""

    async def scenario():
        with listen(Meter()) as sock:
            async with TRANSPORTS["websocket"].module().serve(Told(1), sock, Guard()):
                url = TRANSPORTS["websocket"].url(sock.getsockname()[1])
                async with websockets.connect(url, proxy=None) as connection:
                    await connection.recv()
                    await sock.leaving.drain(0.0)
                    with pytest.raises(websockets.ConnectionClosed) as closed:
                        await connection.recv()
        assert closed.value.rcvd.code == 1012
        assert closed.value.rcvd.reason.startswith("this server restarts; come back within")

    run(scenario())


@ALL
def test_a_deploy_that_drains_loses_nothing(name):
    """The next server takes the port while the first one drains; every reader goes on there, by a shared log."""
    feed = Told(1)

    async def scenario():
        readers = [Reader(0.02, after=0) for _ in range(READERS)]
        port = a_free_port()
        async with contextlib.AsyncExitStack() as stack:
            old = stack.enter_context(listen(Meter(), port=port))
            first = contextlib.AsyncExitStack()
            await first.enter_async_context(TRANSPORTS[name].module().serve(feed, old, Guard()))
            heard = await stack.enter_async_context(hearing(name, TRANSPORTS[name].url(port), readers))
            await until(lambda: all(numbers == [1] for numbers in heard))
            draining = asyncio.create_task(old.leaving.drain(0.4))
            await until(lambda: old.fileno() < 0)
            new = stack.enter_context(listen(Meter(), port=port))
            await stack.enter_async_context(TRANSPORTS[name].module().serve(feed, new, Guard()))
            for _ in range(10):
                feed.tell()
                feed._call_listeners()
                await asyncio.sleep(0.05)
            await draining
            await first.aclose()
            await until(lambda: all(numbers[-1] == 11 for numbers in heard))
            assert heard == [list(range(1, 12))] * READERS
            assert {(reader.duplicates, reader.resets) for reader in readers} == {(0, 0)}
            assert new.meter.connections >= READERS and old.meter.open_now == 0

    run(scenario())


def test_a_drain_tells_one_after_the_other(monkeypatch):
    """Evenly over the time, in the order of their coming; who has left meanwhile is not waited for."""
    slept, told, now = [], [], [0.0]

    async def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    class Clock:
        monotonic = staticmethod(lambda: now[0])

    async def scenario():
        leaving = Leaving(lambda: 3.0)
        with contextlib.ExitStack() as stack:
            closing = [stack.enter_context(contextlib.ExitStack()) for _ in range(4)]
            for number, own in enumerate(closing):

                def say(goodbye, number=number, own=own):
                    told.append((number, round(now[0], 3), goodbye))
                    own.close()
                    if number == 1:
                        closing[2].close()

                own.enter_context(leaving.attending(say))
            monkeypatch.setattr("wsdemo.leaving.time", Clock)
            monkeypatch.setattr(asyncio, "sleep", sleep)
            await leaving.drain(8.0)

    asyncio.run(scenario())
    goodbye = Goodbye(1012, SOON_S)
    assert told == [(0, 2.0, goodbye), (1, 4.0, goodbye), (3, 8.0, goodbye)]


@pytest.mark.parametrize("over_s", [-1, float("nan"), float("inf")])
def test_a_drain_takes_a_time(over_s):
    with pytest.raises(ValueError, match="number of seconds from 0 on"):
        asyncio.run(Leaving(lambda: 1.0).drain(over_s))


def test_a_server_in_a_child_drains_and_tells_when_its_readers_came():
    """`Server.drain` returns when they are gone; nobody is let in any more."""

    async def scenario():
        async with Server("websocket", schedule=every(0.05)) as server:
            readers = [Reader() for _ in range(READERS)]
            async with hearing("websocket", server.url(), readers):
                arrivals = await server.arrivals()
                assert len(arrivals.at_ns) == READERS and list(arrivals.at_ns) == sorted(arrivals.at_ns)
                assert sum(count for _, count in arrivals.series(arrivals.at_ns[0], 3600, 600)) == READERS
                await server.drain(0.2)
                counters = await server.counters()
                assert (counters["open_now"], counters["connections"]) == (0, READERS)
            with pytest.raises(ValueError, match="number of seconds"):
                await server.drain(-1)

    run(scenario())


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_terminal_is_told_to_drain_by_sigterm_and_to_stop_by_a_second_one(capsys):
    async def scenario():
        waiting = asyncio.create_task(until_told(5.0))
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGTERM)
        await waiting
        assert "sent away over 5 s" in capsys.readouterr().err
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)

    run(scenario())


# --- a server that is killed ------------------------------------------------------------------------------------------


@ALL
def test_after_a_kill_every_reader_is_back_once(name):
    """Each by one connection that stands, on the port where the server was; nobody gives up."""
    crowd = 60

    async def scenario():
        server = Server(name, schedule=every(0.05), port=a_free_port())
        await server.start()
        readers = [Reader(0.1) for _ in range(crowd)]
        try:
            async with hearing(name, server.url(), readers) as heard:
                await until(lambda: all(heard))
                server.kill()
                await server.start()
                for numbers in heard:
                    numbers.clear()
                await until(lambda: all(len(numbers) >= 2 for numbers in heard))
                counters = await server.counters()
                assert counters["open_now"] == crowd
                assert {(reader.resets, reader.duplicates) for reader in readers} == {(1, 0)}
        finally:
            await server.stop()

    run(scenario())


@pytest.mark.large
@pytest.mark.parametrize("name", HELD)
def test_cuts_lose_nothing_and_each_is_come_back_from_soon(name, amount, monkeypatch):
    """Among a crowd that this reader is told of: half of the waits that it draws are under 0.3 s, and none is long."""
    feed, drawn = Told(), []

    async def pause(attempt, *, at_least_s, wait_s):
        drawn.append(wait_s)
        await asyncio.sleep(0)

    monkeypatch.setattr("wsdemo.far_end.pause", pause)

    async def scenario():
        reader = Reader(after=0)
        async with contextlib.AsyncExitStack() as stack:
            sock = stack.enter_context(listen(Meter()))
            await stack.enter_async_context(TRANSPORTS[name].module().serve(feed, sock, Guard()))
            far = await stack.enter_async_context(FarEnd(behind=sock.getsockname()[1]))
            far.answers = [far.through]
            [heard] = await stack.enter_async_context(hearing(name, far.url(name), [reader]))
            sock.meter.open_now += 1000
            for number in range(1, amount(small=20, large=500) + 1):
                await until(lambda: len(sock.leaving) >= 1)
                far.cut()
                feed.tell()
                feed._call_listeners()
                await until(lambda number=number: heard[-1:] == [number])
            assert heard == list(range(1, number + 1)) and reader.duplicates == reader.resets == 0
        # Long polling's library asks again by itself, at once.
        assert len(drawn) >= number or TRANSPORTS[name].habit == "held"
        assert not drawn or sorted(drawn)[len(drawn) // 2] < 0.3
        assert max(drawn, default=0.0) <= SOON_S

    run(scenario())


# --- half-open lines --------------------------------------------------------------------------------------------------

SO_ATTACH_FILTER = 26


def swallow(sock):
    """Let the system drop whatever comes for a socket before TCP sees it: no acknowledgement, nobody is told."""
    drop = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF: return 0 bytes of each packet
    program = struct.pack("HP", 1, ctypes.addressof(drop))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def may_swallow():
    """Whether this system lets this user have such a filter. Some leave it to root."""
    if sys.platform != "linux":
        return False
    with socket.socket() as sock, contextlib.suppress(PermissionError):
        swallow(sock)
        return True
    return False


FILTERS = pytest.mark.skipif(not may_swallow(), reason="the filter on a socket: Linux, and where that wants it, root")


class Line:
    """Passes on between clients and a port, until it goes dead: then both its ends hear nothing, and nobody is told."""

    def __init__(self, port):
        self._to, self._ends, self._tasks = port, [], []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port, self.connections = self._listener.getsockname()[1], 0

    async def __aenter__(self):
        self._tasks.append(asyncio.create_task(self._accept()))
        return self

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in (self._listener, *self._ends):
            end.close()

    def die(self):
        """Lose whatever comes on the connections of this moment. Later ones are passed on."""
        for end in self._ends:
            swallow(end)

    async def _accept(self):
        loop = asyncio.get_running_loop()
        while True:
            here, _ = await loop.sock_accept(self._listener)
            there = socket.socket()
            self._ends += [here, there]
            there.setblocking(False)
            await loop.sock_connect(there, ("127.0.0.1", self._to))
            self.connections += 1
            self._tasks += [asyncio.create_task(self._pass_on(*ends)) for ends in ((here, there), (there, here))]

    async def _pass_on(self, one, other):
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while data := await loop.sock_recv(one, 65536):
                await loop.sock_sendall(other, data)
            other.shutdown(socket.SHUT_WR)


@FILTERS
@pytest.mark.parametrize("name", HELD)
def test_a_half_open_line_is_noticed_within_two_periods_by_both_ends(name):
    """By the reader, who comes back on a line of its own; and by the server, whose place for it is free again.

    Of time there is one limit: what both have for it, beside a machine that is busy with something else.
    """
    period_s = 1.0
    pace = Pace(ping_s=period_s, comment_s=period_s, hold_s=period_s, answer_s=0.9 * period_s)
    reader = Reader(after=0, pace=pace, hold_s=period_s)
    feed = Told(1)

    async def scenario():
        with listen(Meter()) as sock:
            async with (
                TRANSPORTS[name].module().serve(feed, sock, Guard(), pace),
                Line(sock.getsockname()[1]) as line,
                hearing(name, TRANSPORTS[name].url(line.port), [reader]) as heard,
            ):
                await until(lambda: heard[0] == [1] and len(sock.leaving) == 1)
                lost = line.connections
                line.die()
                said = sock.meter.heartbeats
                async with asyncio.timeout(patient(10)):
                    await until(lambda: line.connections > lost and len(sock.leaving) >= 1)
                    back_after = sock.meter.heartbeats - said
                    await until(lambda: sock.meter.open_now == line.connections - lost)
                    await until(lambda: len(sock.leaving) <= 1)
                # One beat is on its way when the line dies, and one of the new line may have come.
                assert back_after <= 4
                feed.tell()
                feed._call_listeners()
                await until(lambda: heard[0] == [1, 2])
                assert reader.failures >= 1 and reader.duplicates == 0

    run(scenario())
