"""A proxy that ends TLS: what passes it, whom it refuses, what it uses, and that nothing of it stays."""

import asyncio
import functools
import ssl

import psutil
import pytest
import trustme
import websockets
from aiohttp import ClientSession
from patience import patient

from wsdemo.processes.children import ChildFailed
from wsdemo.serve import Server
from wsdemo.tls import TlsProxy
from wsdemo.updates import every

READERS = 20


def in_a_loop(scenario):
    """Make a test of a coroutine; pytest still sees which fixtures it asks for."""

    @functools.wraps(scenario)
    def test(**fixtures):
        with asyncio.Runner() as runner:
            runner.run(asyncio.wait_for(scenario(**fixtures), patient(60)))

    return test


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def pem(authority):
    return authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes().decode()


@pytest.fixture(scope="module")
def trusting(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def connect(proxy, context):
    scheme = "ws" if context is None else "wss"
    return websockets.connect(f"{scheme}://127.0.0.1:{proxy.port}/updates?after=0", ssl=context, proxy=None)


@in_a_loop
async def test_news_come_through_both_ways(pem, trusting):
    """By WebSocket and by plain HTTP, to a server that knows nothing of TLS."""
    async with Server("websocket", "polling", schedule=every(0.02), duration_s=0.1) as server:
        async with TlsProxy(server.port("websocket"), pem) as proxy, connect(proxy, trusting) as connection:
            messages = [await connection.recv() for _ in range(4)]
        assert len(messages) == 4
        async with TlsProxy(server.port("polling"), pem) as proxy, ClientSession() as session:
            async with session.get(f"https://127.0.0.1:{proxy.port}/updates", ssl=trusting) as response:
                assert response.status == 200 and (await response.json())["epoch"] == server.epoch


@in_a_loop
async def test_a_client_that_does_not_trust_it_or_speaks_plainly_is_not_let_through(pem):
    """Neither comes to the server; others go on."""
    async with Server("websocket", schedule=every(3600)) as server, TlsProxy(server.port(), pem) as proxy:
        with pytest.raises(ssl.SSLCertVerificationError):
            async with connect(proxy, ssl.create_default_context()):
                pass
        with pytest.raises((websockets.InvalidMessage, ConnectionError)):
            async with connect(proxy, None):
                pass
        assert (await server.counters())["connections"] == 0


@in_a_loop
async def test_who_hangs_up_is_gone_on_both_sides(pem, trusting):
    """A client that leaves takes the server's connection along, and a server that stops the client's."""
    async with Server("websocket", schedule=every(3600)) as server, TlsProxy(server.port(), pem) as proxy:
        async with connect(proxy, trusting) as connection:
            await connection.recv()
            assert (await server.counters())["open_now"] == 1
        async with asyncio.timeout(patient(10)):
            while (await server.counters())["open_now"]:  # noqa: ASYNC110 - another process counts
                await asyncio.sleep(0.02)
        async with connect(proxy, trusting) as connection:
            await connection.recv()
            server.kill()
            async with asyncio.timeout(patient(10)):
                await connection.wait_closed()
        with pytest.raises((websockets.InvalidMessage, ConnectionError)):  # nobody is behind it now
            async with connect(proxy, trusting):
                pass


@in_a_loop
async def test_tls_takes_memory_for_each_connection_and_the_server_none(pem, trusting):
    """At least asyncio's buffer of 256 KiB, where the same proxy without TLS takes a tenth."""
    taken = {}
    for context, key in ((None, None), (trusting, pem)):
        async with Server("websocket", schedule=every(3600)) as server, TlsProxy(server.port(), key) as proxy:
            before = proxy.used()
            connections = [await connect(proxy, context) for _ in range(READERS)]
            after = proxy.used()
            taken[context] = (after.memory_bytes - before.memory_bytes) / READERS
            assert after.cpu_s > before.cpu_s
            await asyncio.gather(*[connection.close() for connection in connections])
    assert taken[trusting] > 256 * 1024 > 4 * taken[None]


@in_a_loop
async def test_it_ends_and_says_what_is_wrong(pem):
    """Its process is gone after `stop`, stopping again is nothing, and a text that is no key is named."""
    proxy = TlsProxy(1, pem)
    for ask in (lambda: proxy.port, proxy.used):
        with pytest.raises(RuntimeError, match="is not running"):
            ask()
    async with proxy:
        pid = proxy._running().pid
        assert await proxy.start() is proxy and proxy._running().pid == pid
    await proxy.stop()
    assert not psutil.pid_exists(pid)
    with pytest.raises(ChildFailed, match="no private key with its certificates in PEM"):
        await TlsProxy(1, "nonsense").start()
