"""Server processes: one feed by several transports, one server however often it is started, and small."""

import asyncio
import contextlib
import dataclasses
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import ClassVar

import aiohttp
import psutil
import pytest
from patience import patient

from wsdemo import serve
from wsdemo.door import LOBBY
from wsdemo.feed import MAX_UPDATE_BYTES
from wsdemo.limits import allow_connections, fitting
from wsdemo.processes.children import ChildFailed
from wsdemo.processes.clients import new_event_loop
from wsdemo.reader import Reader
from wsdemo.serve import Server
from wsdemo.transports import TRANSPORTS, websocket
from wsdemo.updates import Schedule, every, from_file, poisson

HELD = fitting(1000)
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


def test_a_server_that_does_not_run_says_so_in_one_sentence():
    """Asked for its address before it was started, or for its counters when it has been stopped."""

    async def scenario():
        server = Server("polling")
        with pytest.raises(RuntimeError, match=r"^this server was never started: use .*`await server.start\(\)`$"):
            server.url()
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"^this server is not running: use .*`await server.start\(\)`$"):
                await server.counters()
            await server.start()
            assert (await server.counters())["connections"] == 0
            await server.stop()
        with pytest.raises(RuntimeError, match="not running"):
            _ = server.pid

    asyncio.run(scenario())


def test_several_questions_at_once_have_each_their_own_answer():
    """Sixty at once, about two transports: none is torn, none is another's, and nobody waits for ever."""

    async def scenario():
        async with Server("polling", "sse") as server:
            await take_first("sse", server.url("sse"))
            async with asyncio.timeout(patient(30)):
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


@dataclass(frozen=True)
class Broken(Schedule):
    """A schedule of somebody's own whose second update cannot be sent."""

    kind: ClassVar[str] = "broken"
    rate_per_s: float = 1.0

    @classmethod
    def from_options(cls, given):
        return cls()

    def moments(self):
        yield 0.0, {"n": 1}
        yield 0.1, {"n": {2}}


def test_a_server_whose_source_turns_out_bad_ends_with_a_sentence(capsys):
    """Whoever started it is told which update it was; nothing goes on serving in silence."""
    with pytest.raises(ValueError, match="update 2 cannot be sent as JSON"):
        asyncio.run(asyncio.wait_for(serve.run(["polling", "websocket"], Broken()), patient(20)))
    assert "Traceback" not in capsys.readouterr().err


def test_a_server_process_whose_source_turns_out_bad_says_so_to_its_notebook(monkeypatch, tmp_path):
    """The sentence comes up where the server is asked next."""
    (tmp_path / "sitecustomize.py").write_text(
        "from wsdemo.updates import Every\n"
        "Every.moments = lambda self: iter([(0.0, {}), (0.01, {'n': float('nan')})])\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    async def scenario():
        with pytest.raises(ChildFailed, match="update 2 cannot be sent as JSON"):
            async with asyncio.timeout(patient(20)), Server("polling", schedule=every(1.0)) as server:
                while True:
                    await server.counters()

    asyncio.run(scenario())


def test_impossible_arguments_are_refused_before_a_process_starts():
    """A wrong name is a ValueError at once."""
    before = children()
    with pytest.raises(ValueError, match="choose from"):
        Server("pigeon")
    assert children() == before


def test_a_server_ends_with_the_sentence_of_its_feed(tmp_path):
    """An update that is too large stops the server, at the start where it can be known, and never in silence."""
    table = tmp_path / "moments.csv"
    table.write_text(f"at_s,text\n1,short\n2,{'x' * MAX_UPDATE_BYTES}\n")

    @dataclasses.dataclass(frozen=True)
    class Endless(type(every(1.0))):
        def moments(self):
            return ((0.0, {"text": "x" * n * MAX_UPDATE_BYTES}) for n in itertools.count())

    async def scenario():
        with pytest.raises(ChildFailed, match="update 2 is"):
            await Server("polling", schedule=from_file(table)).start()
        with pytest.raises(ValueError, match="update 2 is"):
            async with serve.serving(["polling", "websocket"], Endless(1.0)):
                await asyncio.Event().wait()

    asyncio.run(scenario())


def test_a_thousand_held_connections_stay_under_64_mib():
    """The resident memory of the server process with 1,000 WebSocket readers, each of whom hears the same update."""
    allow_connections(HELD)

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


def free_neighbours():
    """Return a port that is free, as is the one after it."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                two.bind(("127.0.0.1", port + 1))
                return port


def test_from_a_port_on_each_transport_gets_the_next_one():
    """As `--port` says of the first."""

    async def scenario():
        port = free_neighbours()
        async with serve.serving(["polling", "sse"], every(1.0), port=port) as served:
            assert served.ports == {"polling": port, "sse": port + 1}
            assert served.urls["sse"] == f"http://127.0.0.1:{port + 1}/updates"

    run_on_selectors(scenario())


def run_on_selectors(scenario):
    with asyncio.Runner(loop_factory=serve.new_event_loop) as runner:
        return runner.run(scenario)


def test_what_a_server_is_told_of_who_may_come_reaches_every_transport():
    """A further name is served, any other is not; and the connection after the last is refused."""

    async def status(url, name="localhost"):
        async with aiohttp.ClientSession() as session, session.get(url, headers={"Host": name}) as response:
            return response.status

    async def scenario():
        options = {"max_connections": 2, "allowed_hosts": ["hub.example"]}
        async with serve.serving(["polling", "conditional"], every(1.0), **options) as served:
            for url in served.urls.values():
                assert [await status(url, name) for name in ("hub.example", "evil.example")] == [200, 421]
                port = int(url.split(":")[2].split("/")[0])
                with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
                    assert await status(url) == 503

    run_on_selectors(scenario())


FLOOD = 1_100


@pytest.mark.skipif(fitting(FLOOD + 100) < FLOOD + 100, reason="this system allows too few open files")
@pytest.mark.parametrize("speaks", [True, False], ids=["they ask", "they are silent"])
def test_more_connections_than_select_can_watch_do_no_harm(speaks):
    """A server for 100 connections meets 1,100, more than `select` could watch: the others are refused, each."""

    def status(caller):
        """Return the status of what is said to it, 0 if its connection ends without a word."""
        with contextlib.suppress(ConnectionError):
            return int([*caller.recv(12).split(), b"0", b"0"][1])
        return 0

    allow_connections(FLOOD + 100)
    command = [sys.executable, "-m", "wsdemo", "serve", "polling", "--max-connections", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            port = json.loads(server.stdout.readline())["ports"]["polling"]

            def call(asks):
                caller = socket.create_connection(("127.0.0.1", port), timeout=patient(20))
                if asks:
                    caller.sendall(b"GET /updates HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return caller

            with contextlib.ExitStack() as stack:
                callers = [stack.enter_context(call(speaks)) for _ in range(FLOOD)]
                inside = 100 if speaks else 100 + LOBBY
                if speaks:
                    assert {status(caller) for caller in callers[:inside]} == {200}
                refused = [status(caller) for caller in callers[inside:]]
                assert set(refused) <= {0, 503} and refused.count(503) > len(refused) / 2
                assert server.poll() is None
            for _ in range(100):  # those that have left make room one by one
                with call(True) as late:
                    if (after := status(late)) == 200:
                        break
                time.sleep(patient(0.05))
            assert after == 200
        finally:
            server.terminate()
            _, said = server.communicate(timeout=patient(20))
        assert "Traceback" not in said and "rror" not in said
        assert "refused: a connection, since all 100 connections" in said


def test_a_start_that_is_stopped_leaves_no_process():
    """The stop button, while the server is still starting."""

    async def scenario():
        before = children()
        server = Server("polling")
        starting = asyncio.create_task(server.start())
        await asyncio.sleep(0)
        assert len(children() - before) == 1
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        assert starting.cancelled()
        assert not server.running and children() == before

    asyncio.run(scenario())


def test_starting_another_transport_stops_no_other_server():
    """Only a cell that is run again replaces what it started."""

    async def scenario():
        polling, push = await serve.start("polling"), await serve.start("websocket")
        assert polling.running and push.running
        await polling.stop()
        await push.stop()

    asyncio.run(scenario())
