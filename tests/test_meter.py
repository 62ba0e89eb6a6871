"""Bytes and connections, counted at the sockets and checked against what the other side counted."""

import asyncio
import errno
import socket

import pytest

from wsdemo.meter import Meter, listen
from wsdemo.serve import new_event_loop


def run(scenario):
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(scenario)


@pytest.mark.parametrize("sizes", [[1], [100, 65_536, 3], [2_000_000]])
def test_every_byte_is_counted_on_both_ways(sizes):
    """A server that answers with twice what it got has counted exactly that."""
    meter = Meter()
    closed = asyncio.Event()

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
            assert meter.open_now == 1
            writer.close()
            await writer.wait_closed()
            await closed.wait()

    run(scenario())
    assert (meter.bytes_received, meter.bytes_sent) == (sum(sizes), 2 * sum(sizes))
    assert (meter.connections, meter.open_now) == (1, 0)


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
