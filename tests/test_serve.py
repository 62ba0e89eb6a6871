"""Server processes: one feed by several transports, one server however often it is started, and small."""

import asyncio
import socket
import time

import psutil
import pytest

from wsdemo import serve
from wsdemo.processes.clients import new_event_loop
from wsdemo.reader import Reader
from wsdemo.serve import Server
from wsdemo.transports import TRANSPORTS, websocket
from wsdemo.updates import every, poisson

HELD = 1000
MOST_BYTES = 64 * 2**20


def children():
    return set(psutil.Process().children(recursive=True))


def test_all_transports_share_one_feed():
    """One process, one epoch, a port each; every transport hears the same updates."""

    async def first(name, url, count):
        async for delivery in TRANSPORTS[name].module().hear(url, Reader(0.02, after=0)):
            if delivery.seq == count:
                return delivery.published_at_ns

    async def scenario():
        async with Server(*TRANSPORTS, schedule=every(0.05)) as server:
            ports = {server.url(name).split(":")[2] for name in TRANSPORTS}
            assert len(ports) == len(TRANSPORTS)
            moments = await asyncio.gather(*(first(name, server.url(name), 5) for name in TRANSPORTS))
            assert len(set(moments)) == 1

    asyncio.run(scenario())


def test_the_default_is_loopback():
    """Every listening socket of a server process is on 127.0.0.1."""

    async def scenario():
        async with Server(*TRANSPORTS) as server:
            listening = [c for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN]
            assert len(listening) == len(TRANSPORTS) + 1  # and the probe's
            assert {c.laddr.ip for c in listening} == {"127.0.0.1"}

    asyncio.run(scenario())


def test_starting_twice_gives_one_server():
    """`Server.start` does nothing while it runs; `serve.start` replaces what an earlier call of a cell started."""

    async def scenario():
        before = children()
        async with Server("websocket") as server:
            pid = server.pid
            assert (await server.start()).pid == pid
            assert len(children() - before) == 1
        assert children() == before
        first = await serve.start("polling", schedule=every(1.0))
        second = await serve.start("polling", schedule=every(2.0))
        assert not first.running and second.running
        assert len(children() - before) == 1
        await second.stop()
        await second.stop()
        assert children() == before

    asyncio.run(scenario())


def test_a_stopped_server_frees_its_port_and_says_that_it_is_not_running():
    """Nothing listens there any more."""

    async def scenario():
        server = await Server("websocket").start()
        port = int(server.url().split(":")[2].split("/")[0])
        assert server.url() in repr(server)
        await server.stop()
        assert "not running" in repr(server)
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0

    asyncio.run(scenario())


def test_several_questions_at_once_have_each_their_own_answer():
    """Sixty at once, about two transports: none is torn, none is another's, and nobody waits for ever."""

    async def scenario():
        async with Server("polling", "sse") as server:
            await take_first("sse", server.url("sse"))
            async with asyncio.timeout(30):
                for _ in range(3):
                    answers = await asyncio.gather(*(server.counters(name) for name in ("polling", "sse") * 30))
                    assert [answer["connections"] for answer in answers] == [0, 1] * 30

    async def take_first(name, url):
        reader = Reader(after=0)
        async for _ in TRANSPORTS[name].module().hear(url, reader):
            return

    asyncio.run(scenario())


def test_two_starts_at_once_are_one():
    """Both wait until the server listens, and there is one process."""

    async def scenario():
        before = children()
        server = Server("polling")
        started = await asyncio.gather(server.start(), server.start(), server.start())
        assert {one.url() for one in started} == {server.url()}
        assert len(children() - before) == 1
        await server.stop()

    asyncio.run(scenario())


def test_a_feed_on_hold_waits_for_its_start():
    """No update before `begin`, all of the run's after it."""

    async def scenario():
        async with Server("polling", schedule=poisson(50.0), duration_s=0.5, hold=True) as server:
            assert (await server._ask({}))["seq"] == 0
            await server.begin(time.perf_counter_ns() - 10**9)
            assert (await server._ask({}))["seq"] == len(poisson(50.0).times(0.5))

    asyncio.run(scenario())


def test_impossible_arguments_are_refused_before_a_process_starts():
    """A wrong name is a ValueError at once."""
    before = children()
    with pytest.raises(ValueError, match="choose from"):
        Server("pigeon")
    assert children() == before


def test_a_thousand_held_connections_stay_under_64_mib():
    """The resident memory of the server process with 1,000 WebSocket readers, each of whom hears the same update."""

    async def scenario():
        async with Server("websocket", schedule=every(0.1), max_connections=HELD, hold=True) as server:
            readers = [Reader() for _ in range(HELD)]

            async def attend(reader):
                async for _ in websocket.hear(server.url(), reader):
                    return

            tasks = []
            for start in range(0, HELD, 100):
                tasks += [asyncio.create_task(attend(reader)) for reader in readers[start : start + 100]]
                await asyncio.gather(*(reader.is_open.wait() for reader in readers[start : start + 100]))
            counters = await server.counters()
            rss = psutil.Process(server.pid).memory_info().rss
            await server.begin(time.perf_counter_ns())
            await asyncio.gather(*tasks)
            return counters, rss

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        counters, rss = runner.run(scenario())
    assert counters["open_now"] == counters["connections"] == HELD
    assert rss < MOST_BYTES, f"{rss / 2**20:.1f} MiB"
