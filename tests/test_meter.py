"""Bytes and connections, counted at the sockets and checked against what the other side counted."""

import asyncio
import errno
import socket
import sys
from urllib.parse import urlsplit

import pytest
from patience import patient

from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.meter import Meter, listen
from wsdemo.serve import new_event_loop
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import every


class LikeProactor(asyncio.SelectorEventLoop):
    """A loop that accepts and reads as Windows' proactor does: without a word to the listening socket."""

    def _accept_connection(self, protocol_factory, sock, *rest):
        with socket.socket(sock.family, sock.type, sock.proto, fileno=sock.fileno()) as plain:
            try:
                super()._accept_connection(protocol_factory, plain, *rest)
            finally:
                plain.detach()


LOOPS = {"selector": new_event_loop, "like proactor": LikeProactor}
if sys.platform != "win32":  # where uvloop, which does all its reading in C, does not exist
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


def run(scenario, loop=new_event_loop):
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(scenario)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("sizes", [[1], [100, 65_536, 3], [2_000_000]])
def test_every_byte_is_counted_on_both_ways(sizes, loop):
    """A server that answers with twice what it got has counted exactly that."""
    meter = Meter()
    closed, held = asyncio.Event(), []

    async def twice(reader, writer):
        while data := await reader.read(50_000):
            # A list of buffers goes out through sendmsg on Python 3.12 and later.
            writer.writelines([data, data])
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        closed.set()

    async def scenario():
        server = await asyncio.start_server(twice, sock=listen(meter))
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())

            async def send():
                for size in sizes:
                    writer.write(b"x" * size)
                    await writer.drain()

            sending = asyncio.create_task(send())
            await reader.readexactly(2 * sum(sizes))
            await sending
            held.append(meter.open_now)
            writer.close()
            await writer.wait_closed()
            await closed.wait()

    run(scenario(), LOOPS[loop])
    assert (meter.bytes_received, meter.bytes_sent) == (sum(sizes), 2 * sum(sizes))
    assert (meter.connections, meter.open_now, held) == (1, 0, [1])


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", TRANSPORTS)
def test_every_transport_is_counted_on_every_loop(name, loop):
    """A request by hand, and what came back for it, to the byte; in the end no connection is left open."""

    async def scenario():
        sock = listen(meter := Meter())
        async with Feed(every(0.01)) as feed, TRANSPORTS[name].module().serve(feed, sock, Guard()):
            assert await feed.wait(2)
            at = urlsplit(TRANSPORTS[name].url(sock.getsockname()[1]))
            # Without the headers of a handshake, WebSocket's answer is a refusal.
            request = f"GET {at.path}?after=0 HTTP/1.1\r\nHost: {at.netloc}\r\nConnection: close\r\n\r\n".encode()
            reader, writer = await asyncio.open_connection(at.hostname, at.port)
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            if name == "sse":
                writer.write_eof()  # a reader who leaves ends the stream
            answer += await reader.read()
            writer.close()
            async with asyncio.timeout(patient(30)):
                while meter.open_now:  # noqa: ASYNC110 - the server says goodbye when it likes
                    await asyncio.sleep(0.01)
            return meter, len(request), len(answer)

    meter, asked, answered = run(scenario(), LOOPS[loop])
    assert (meter.connections, meter.requests, meter.bytes_received) == (1, 1, asked)
    assert meter.bytes_sent == answered


@pytest.mark.parametrize("loop", [name for name in LOOPS if name != "selector"])
def test_a_loop_that_would_count_nothing_is_told_so(loop):
    """Where `listen` had no chance to see the loop that serves: an error says why, and nobody reads a 0."""
    meter = Meter()

    async def scenario(sock):
        async with await asyncio.start_server(lambda *_: None, sock=sock):
            pass

    with listen(meter) as sock:
        with pytest.raises(RuntimeError, match=r"nothing would be counted: call `listen` while that loop runs"):
            run(scenario(sock), LOOPS[loop])


def test_a_port_that_is_taken_is_explained():
    """The error says which port, and what to do."""
    with listen(Meter()) as first:
        port = first.getsockname()[1]
        first.listen()
        with pytest.raises(OSError, match=f"port {port} .*choose another port") as caught:
            listen(Meter(), port=port)
        assert caught.value.errno == errno.EADDRINUSE


def test_the_default_is_loopback_and_a_free_port():
    """Nobody else can connect unless told so."""
    with listen(Meter()) as sock:
        host, port = sock.getsockname()
        assert host == "127.0.0.1" and port > 0


def test_a_connection_that_is_closed_twice_has_left_once():
    """Closing again changes nothing: the gauge of open connections decides who is let in."""
    meter = Meter()
    with listen(meter) as sock:
        sock.listen()
        with socket.create_connection(sock.getsockname()):
            accepted, _ = sock.accept()
            assert (meter.connections, meter.open_now) == (1, 1)
            for _ in range(2):
                accepted.close()
                assert (meter.connections, meter.open_now) == (1, 0)


NO_SENDMSG = pytest.mark.skipif(not hasattr(socket.socket, "sendmsg"), reason="Windows has no sendmsg")


@pytest.mark.parametrize("way", ["send", pytest.param("sendmsg", marks=NO_SENDMSG)])
def test_only_what_was_taken_is_counted(way):
    """A reader that takes nothing leaves most of a large answer unsent: what waits has not cost the line a byte."""
    meter, data = Meter(), bytes(50_000_000)
    with listen(meter) as sock:
        sock.listen()
        with socket.create_connection(sock.getsockname()):
            accepted, _ = sock.accept()
            with accepted:
                accepted.setblocking(False)
                taken = accepted.send(data) if way == "send" else accepted.sendmsg([data, data])
    assert 0 < taken < len(data)
    assert meter.bytes_sent == taken
