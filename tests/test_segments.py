"""Segments as the kernel counts them, held against what the other end of the same line counts."""

import asyncio
import contextlib
import socket
import sys

import aiohttp
import pytest
from aiohttp import TCPConnector
from patience import patient
from websockets.asyncio.client import connect

from wsdemo import segments as module
from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.meter import Meter, listen
from wsdemo.segments import line_bytes, segments
from wsdemo.serve import new_event_loop
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import Update

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts a connection's segments")


def run(scenario):
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(scenario)


async def settled(meter, sock):
    """Return the server's counts and the client's own once nothing is on its way: delayed acknowledgements have come.

    Each as (sent by the server, received by the server). They agree only once both have seen all.
    """
    before = None
    async with asyncio.timeout(patient(20)):
        while True:
            counted = meter.snapshot()
            client = segments(sock)
            now = (counted["segments_sent"], counted["segments_received"]), (client.received, client.sent)
            if now == before:
                return now
            before = now
            await asyncio.sleep(0.3)  # longer than the 40 to 200 ms that Linux may keep an acknowledgement back


def difference(after, before):
    return [tuple(a - b for a, b in zip(*pair, strict=True)) for pair in zip(after, before, strict=True)]


@ON_LINUX
def test_a_poll_is_three_segments_or_four():
    """The question and the answer, which acknowledges it, and the answer's acknowledgement; 4 if the answer is late."""

    opened = []

    def a_socket(address):
        opened.append(socket.socket(*address[:3]))
        return opened[-1]

    async def scenario():
        meter = Meter()
        with listen(meter) as sock:
            async with Feed([Update(1, 0.0, {})]) as feed, TRANSPORTS["polling"].module().serve(feed, sock, Guard()):
                url = TRANSPORTS["polling"].url(sock.getsockname()[1])
                async with aiohttp.ClientSession(connector=TCPConnector(socket_factory=a_socket)) as session:
                    async with session.get(url) as response:
                        await response.read()
                    (own,) = opened
                    first = await settled(meter, own)
                    for _ in range(10):
                        async with session.get(url) as response:
                            await response.read()
                        await settled(meter, own)
                    return difference(await settled(meter, own), first)

    server, client = run(scenario())
    assert server == client
    assert 10 * 3 <= sum(server) <= 10 * 4
    assert server[1] == 20  # a question, and one acknowledgement of its answer


@ON_LINUX
def test_a_pushed_message_is_two_segments():
    """The message and its acknowledgement, whichever end counts."""

    async def scenario():
        meter = Meter()
        with listen(meter) as sock:
            updates = [Update(number, number * 0.4, {}) for number in range(1, 4)]
            feed = Feed(updates)
            async with TRANSPORTS["websocket"].module().serve(feed, sock, Guard()):
                url = TRANSPORTS["websocket"].url(sock.getsockname()[1])
                async with connect(url, proxy=None, ping_interval=None) as connection:
                    await connection.recv()
                    own = connection.transport.get_extra_info("socket")
                    before = await settled(meter, own)
                    feed.start()
                    async with asyncio.timeout(patient(20)):
                        for _ in updates:
                            await connection.recv()
                    after = await settled(meter, own)
                    await feed.stop()
                    return difference(after, before)

    server, client = run(scenario())
    assert server == client == (3, 3)


@ON_LINUX
def test_what_a_closed_connection_had_stays_counted():
    """A connection that is gone, like its bytes, is not taken off the sum again."""
    meter = Meter()
    with listen(meter) as sock:
        sock.listen()
        with socket.create_connection(sock.getsockname()) as client:
            accepted, _ = sock.accept()
            client.sendall(b"x")
            assert accepted.recv(1) == b"x"
            counted = meter.snapshot()
            accepted.close()
            assert meter.snapshot()["segments_received"] >= counted["segments_received"] > 0


@pytest.mark.parametrize("missing", ["system", "length", "socket"])
def test_where_nobody_counts_there_is_no_number(missing, monkeypatch):
    """Another system, an older kernel, a loop that keeps the socket to itself: None, and never 0."""
    meter = Meter()
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(listen(meter))
        sock.listen()
        stack.enter_context(socket.create_connection(sock.getsockname()))
        accepted = stack.enter_context(sock.accept()[0])
        if missing == "system":
            monkeypatch.setattr(module.sys, "platform", "darwin")
        elif missing == "length":
            monkeypatch.setattr(module, "_SEGMENTS_AT", 10_000)
        else:
            meter.opened(None)
        if missing != "socket":
            assert segments(accepted) is None
        counted = meter.snapshot()
    assert (counted["segments_sent"], counted["segments_received"]) == (None, None)


def test_a_closed_socket_has_no_segments():
    """It is no error to ask late."""
    with listen(Meter()) as sock:
        pass
    assert segments(sock) is None


def test_headers_on_the_line():
    """52 bytes a segment by IPv4 with timestamps: an acknowledged ping of 6 bytes with its pong of 10 costs thrice."""
    assert line_bytes(0, 1) == 52
    assert line_bytes(0, 1, timestamps=False) == 40
    assert line_bytes(100, 3, ip_header=40) == 100 + 3 * 72
