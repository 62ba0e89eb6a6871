"""The door: every server bounds its connections where they are accepted, and lets go of whoever is silent or deaf."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time

import pytest
from patience import patient
from test_transports import run, serving

from wsdemo import door
from wsdemo.echo import EchoServer
from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.live import server as live_server
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import Update

SERVERS = pytest.mark.parametrize("name", [*TRANSPORTS, "echo", "live"])
KEPT_ALIVE = pytest.mark.parametrize("name", ["polling", "conditional", "long_polling", "live"])
PATHS = {"echo": "/", "live": "/clock"}


class Clock:
    """The door's clock, which stands until a test puts it forward."""

    ahead_s = 0.0

    def monotonic(self):
        return 1000 + self.ahead_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(door, "time", clock)
    return clock


def feed_of(count, size=20):
    feed = Feed([Update(seq, 0.0, {"text": "x" * size}) for seq in range(1, count + 1)], count)
    feed.t0_ns = time.perf_counter_ns() - 10**12
    return feed


@contextlib.asynccontextmanager
async def opened(name, most, monkeypatch, feed=None):
    """Open one of the servers for `most` connections; give its port and the door of its socket."""
    doors = []

    class Noted(door.Door):
        def keep(self, *arguments, **options):
            doors.append(self)
            super().keep(*arguments, **options)

    monkeypatch.setattr("wsdemo.meter.Door", Noted)
    monkeypatch.setattr(live_server, "PAGE_CONNECTIONS", most)
    async with contextlib.AsyncExitStack() as stack:
        if name == "echo":
            server = await stack.enter_async_context(EchoServer(max_connections=most))
            port = server.port
        elif name == "live":
            port = (await stack.enter_async_context(live_server.LiveServer())).port
        else:
            url, _ = await stack.enter_async_context(serving(name, feed or feed_of(3), Guard(max_connections=most)))
            port = int(url.split(":")[2].split("/")[0])
        yield port, doors[0]


class Caller:
    """A raw connection. ask() sends a request and returns the status of its answer, 0 if the connection ended."""

    def __init__(self, name):
        self.name = name
        self.reader = self.writer = None

    async def call(self, port):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        return self

    def send(self, data):
        self.is_head = data.startswith(b"HEAD ")
        self.writer.write(data)

    async def ask(self, **headers):
        with contextlib.suppress(ConnectionError):
            self.send(question(self.name, **headers))
            return await self.answer()
        return 0

    async def answer(self):
        """Read one answer, but of a stream its head alone."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            async with asyncio.timeout(patient(20)):
                first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                if not self.is_head:
                    await self.reader.readexactly(int(headers.get("content-length", 0)))
                self.headers = headers
                return int(first.split(" ")[1])
        return 0

    async def ended(self):
        """Wait until the other side has ended the connection; return what it still said."""
        async with asyncio.timeout(patient(20)):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read()
            return b""

    def leave(self):
        if self.writer is not None:
            self.writer.transport.abort()


def question(name, host="localhost", **headers):
    """Return a request that this server answers at once with 200 or 101, or is refused by its Host."""
    lines = [f"GET {PATHS.get(name, '/updates')} HTTP/1.1", f"Host: {host}"]
    if name == "websocket":
        lines += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    return "\r\n".join([*lines, "", ""]).encode()


@contextlib.asynccontextmanager
async def callers(name, port, count):
    found = [Caller(name) for _ in range(count)]
    try:
        for caller in found:
            await caller.call(port)
        yield found
    finally:
        for caller in found:
            caller.leave()
        await asyncio.sleep(0.01)


async def until(condition):
    async with asyncio.timeout(patient(20)):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


def inside(a_door):
    return len(a_door._inside)


SERVED = (101, 200)


@SERVERS
def test_those_who_do_not_ask_are_gone_within_seconds(name, clock, monkeypatch):
    """Whoever says nothing, half a request, or a byte now and then; whoever has asked stays."""

    async def scenario():
        async with opened(name, 100, monkeypatch) as (port, its_door), callers(name, port, 5) as found:
            silent, half, drips, blank, asks = found
            half.send(question(name)[:-2])
            blank.send(b"\r\n\r\n\n")
            drips.send(b"G")
            assert await asks.ask() in SERVED
            await until(lambda: inside(its_door) == (4 if name == "echo" else 5))  # echo's page is answered and closed
            clock.ahead_s += door.SILENCE_S - 0.1
            drips.send(b"E")
            its_door._look_round()
            assert inside(its_door) >= 4
            clock.ahead_s += 0.2
            for caller in (silent, half, drips):
                assert await caller.ended() == b""
            await blank.ended()
            await until(lambda: inside(its_door) == (0 if name == "echo" else 1))

    run(scenario())


@KEPT_ALIVE
def test_who_asks_now_and_then_is_kept(name, clock, monkeypatch):
    """A connection that is used once in fifteen seconds is not cut, also when room is short."""

    async def scenario():
        async with opened(name, 2, monkeypatch) as (port, _), callers(name, port, 2) as found:
            for _ in range(4):
                for caller in found:
                    assert await caller.ask() == 200
                clock.ahead_s += 15
                async with callers(name, port, 2) as others:
                    assert [await other.ask() for other in others] == [503, 503]

    run(scenario())


@SERVERS
def test_the_bound_holds_where_connections_are_accepted(name, monkeypatch):
    """However many come and are silent: so many are let in, the others are told and gone at once."""

    async def scenario():
        async with opened(name, 5, monkeypatch) as (port, its_door), callers(name, port, 40) as found:
            await until(lambda: inside(its_door) == 5 + door.LOBBY)
            for caller in found[5 + door.LOBBY :]:
                said = await caller.ended()
                assert said == b"" or (
                    said.startswith(b"HTTP/1.1 503 ") and b"\r\nConnection: close\r\n" in said and b"All 5 conn" in said
                )
            assert inside(its_door) == 5 + door.LOBBY

    run(scenario())


@SERVERS
def test_who_asks_displaces_who_is_silent(name, clock, monkeypatch):
    """All places are held by silent connections: a moment later a class is served at once, one after the other."""

    async def scenario():
        async with opened(name, 5, monkeypatch) as (port, its_door), callers(name, port, 5 + door.LOBBY):
            await until(lambda: inside(its_door) == 5 + door.LOBBY)
            clock.ahead_s += door.HASTE_S + 0.1
            async with callers(name, port, 5) as pupils:
                assert {await pupil.ask() for pupil in pupils} <= set(SERVED)

    run(scenario())


@KEPT_ALIVE
def test_a_connection_that_is_kept_for_later_makes_room(name, clock, monkeypatch):
    """Three have asked once and then nothing: after half a minute of it one of them goes for each that comes."""

    async def scenario():
        async with opened(name, 3, monkeypatch) as (port, its_door), callers(name, port, 3) as idle:
            assert [await caller.ask() for caller in idle] == [200, 200, 200]
            clock.ahead_s += door.QUIET_S - 5
            assert await idle[2].ask() == 200
            async with callers(name, port, 1) as (early,):
                assert await early.ask() == 503
            clock.ahead_s += 6
            async with callers(name, port, 2) as late:
                assert [await caller.ask() for caller in late] == [200, 200]
            assert [await caller.ended() for caller in idle[:2]] == [b"", b""]
            assert await idle[2].ask() == 200
            await until(lambda: inside(its_door) <= 3)

    run(scenario())


@SERVERS
def test_a_full_server_does_not_turn_on_those_who_are_inside(name, monkeypatch):
    """The one too many is refused, and not the one who was there before."""

    async def scenario():
        async with opened(name, 1, monkeypatch) as (port, its_door), callers(name, port, 1) as (first,):
            await until(lambda: inside(its_door) == 1)
            async with callers(name, port, 1) as (second,):
                await until(lambda: inside(its_door) == 2)
                assert await first.ask() in SERVED
                assert await second.ask() == 503
                assert second.headers["connection"] == "close"
                assert await second.ended() == b""

    run(scenario())


@SERVERS
def test_who_is_refused_is_closed(name, monkeypatch):
    """A foreign Host: one answer, and the place is free again."""

    async def scenario():
        async with opened(name, 10, monkeypatch) as (port, its_door), callers(name, port, 5) as found:
            for caller in found:
                assert await caller.ask(host="evil.example") == 421
                assert caller.headers["connection"] == "close"
                assert await caller.ended() == b""
            await until(lambda: inside(its_door) == 0)

    run(scenario())


def ask_for_much(name, feed):
    """Return requests whose answers are far more than the system's buffers hold."""
    query = f"?after=0&epoch={feed.epoch}".encode()
    return question(name).replace(b"/updates", b"/updates" + query, 1) * (1 if name in ("sse", "websocket") else 60)


@contextlib.contextmanager
def deaf(name, port, feed):
    """A connection that asks for much, and reads when it is told to."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        sock.send(ask_for_much(name, feed))
        yield sock


@pytest.mark.parametrize("name", TRANSPORTS)
def test_who_takes_nothing_is_gone_within_seconds(name, clock, monkeypatch):
    """An answer, or a stream, that is not read: its connection is closed, and what waits for it forgotten."""

    async def scenario():
        feed = feed_of(1_000, 50_000)
        async with opened(name, 10, monkeypatch, feed) as (port, its_door):
            with deaf(name, port, feed):
                await until(lambda: its_door._stuck)
                clock.ahead_s += its_door._patience_s + 1
                await until(lambda: inside(its_door) == 0)

    run(scenario())


@pytest.mark.parametrize("name", TRANSPORTS)
def test_who_takes_a_little_now_and_then_is_kept(name, clock, monkeypatch):
    """A bad line that carries STEP_BYTES in each patience is no reason to be cut off."""

    async def scenario():
        feed = feed_of(1_000, 50_000)
        async with opened(name, 10, monkeypatch, feed) as (port, its_door):
            with deaf(name, port, feed) as sock:
                for _ in range(4):
                    await until(lambda: its_door._stuck)
                    (guest,) = its_door._stuck
                    since_s = guest.stuck_s
                    clock.ahead_s += its_door._patience_s - 1
                    # What the system holds has to go before the server can send more.
                    while its_door._stuck and guest.stuck_s == since_s:
                        with contextlib.suppress(BlockingIOError):
                            sock.recv(65536)
                        await asyncio.sleep(0)
                its_door._look_round()
                await asyncio.sleep(0.1)
                assert inside(its_door) == 1

    run(scenario())


@SERVERS
def test_a_server_that_ends_waits_for_nobody(name, monkeypatch):
    """Silent, half a request, asked, deaf: none of them holds up the end, and none is left behind."""

    async def scenario():
        feed = feed_of(1_000, 50_000)
        async with contextlib.AsyncExitStack() as rest:
            async with opened(name, 20, monkeypatch, feed) as (port, its_door):
                found = await rest.enter_async_context(callers(name, port, 3))
                found[1].send(b"GET /")
                assert await found[2].ask() in SERVED
                if name in TRANSPORTS:
                    for _ in range(3):
                        rest.enter_context(deaf(name, port, feed))
                    await until(lambda: len(its_door._stuck) == 3)
                before_s = time.monotonic()
            assert time.monotonic() - before_s < patient(5)
            await until(lambda: len(asyncio.all_tasks()) == 1)
            assert inside(its_door) == 0

    run(scenario())


# --- descriptors ------------------------------------------------------------------------------------------------------

OUT_OF_FILES = """
import asyncio, json, resource, selectors, sys
sys.path.insert(0, {tests!r})
from test_door import feed_of
from wsdemo.guard import Guard
from wsdemo.meter import Meter, listen
from wsdemo.transports import TRANSPORTS

class Counting(selectors.DefaultSelector):
    rounds = 0
    def select(self, timeout=None):
        Counting.rounds += 1
        return super().select(timeout)

async def main():
    meter = Meter()
    with listen(meter) as sock:
        async with TRANSPORTS[{name!r}].module().serve(feed_of(3), sock, Guard(max_connections=1000)):
            used = len(__import__("os").listdir("/proc/self/fd"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            print(sock.getsockname()[1], flush=True)
            while line := await asyncio.to_thread(sys.stdin.readline):
                print(json.dumps([Counting.rounds, meter.open_now]), flush=True)

with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Counting())) as runner:
    runner.run(main())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts its descriptors in /proc")
@pytest.mark.parametrize("name", TRANSPORTS)
def test_without_descriptors_a_server_refuses_and_rests(name):
    """Of 100 connections about 20 fit: the others are refused, nothing is written, nothing turns in a circle."""
    script = OUT_OF_FILES.format(tests=str(__file__).rpartition("/")[0], name=name)
    with (
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as server,
        contextlib.ExitStack() as stack,
    ):

        def count():
            server.stdin.write("?\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        port = int(server.stdout.readline())
        asked = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=patient(20)))
        asked.sendall(question(name))
        assert asked.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 101")
        held = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=patient(20))) for _ in range(100)
        ]
        refused = 0
        for sock in held[50:]:
            sock.settimeout(patient(20))
            with contextlib.suppress(ConnectionError):
                refused += sock.recv(12) == b"HTTP/1.1 503"
        assert refused == 50
        before, _ = count()
        time.sleep(1)
        after, now_open = count()
        assert after - before < 100
        assert 5 <= now_open <= 25
        for sock in held:
            sock.close()
        deadline = time.monotonic() + patient(20)
        while count()[1] > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        with socket.create_connection(("127.0.0.1", port), timeout=patient(20)) as late:
            late.sendall(question(name))
            assert late.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 101")
        server.stdin.close()
        assert server.wait(20) == 0
        assert server.stderr.read() == ""
